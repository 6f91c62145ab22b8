"""vLLM. The pages have the names and labels of docs.vllm.ai, Production Metrics, and of a server's, 0.11 and 0.8."""

import pytest

from gateway.upstream.probes.reading import DEAD, Reading, Site
from gateway.upstream.probes.vllm import MODELS_EVERY, Vllm
from tests.upstream.probes.looking import Told, asked, look, named, while_loading

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 8.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 3.0
# HELP vllm:engine_sleep_state Engine sleep state.
# TYPE vllm:engine_sleep_state gauge
vllm:engine_sleep_state{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct",sleep_state="awake"} 1.0
vllm:engine_sleep_state{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct",sleep_state="weights_offloaded"} 0.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.42
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 5030.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 17921.0
# TYPE vllm:request_queue_time_seconds histogram
vllm:request_queue_time_seconds_bucket{engine="0",le="0.3",model_name="meta-llama/Llama-3.1-8B-Instruct"} 9.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 20.0
vllm:request_queue_time_seconds_count{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 100.0
# TYPE vllm:lora_requests_info gauge
vllm:lora_requests_info{max_lora="4",running_lora_adapters="law",waiting_lora_adapters=""} 1.7886264545e+09
vllm:lora_requests_info{max_lora="4",running_lora_adapters="law,sql",waiting_lora_adapters="med"} 1.7886264577e+09
vllm:lora_requests_info{max_lora="4",running_lora_adapters="",waiting_lora_adapters=""} 1.7886264540e+09
"""
MODELS = """{"object":"list","data":[
{"id":"meta-llama/Llama-3.1-8B-Instruct","object":"model","root":"meta-llama/Llama-3.1-8B-Instruct","parent":null},
{"id":"law","object":"model","root":"/loras/law","parent":"meta-llama/Llama-3.1-8B-Instruct"},
{"id":"sql","object":"model","root":"/loras/sql","parent":"meta-llama/Llama-3.1-8B-Instruct"},
{"id":"idle","object":"model","root":"/loras/idle","parent":"meta-llama/Llama-3.1-8B-Instruct"}]}"""
BASE = "meta-llama/Llama-3.1-8B-Instruct"
SERVER: dict[str, Told] = {"/health": 200, "/metrics": METRICS, "/v1/models": MODELS}


def test_its_load_is_read() -> None:
    reading = look(Vllm(Site()), SERVER)
    assert (reading.alive, reading.running, reading.waiting, reading.kv) == (True, 8.0, 3.0, 0.42)
    assert (reading.tokens_in, reading.tokens_out) == (5030.0, 17921.0)
    assert (reading.unmatched, reading.missing) == (frozenset(), frozenset())


def test_the_newest_series_says_which_adapters_are_in_use() -> None:
    reading = look(Vllm(Site()), SERVER)
    assert (reading.adapters, reading.adapters_most) == (named("law", "sql", "med"), 4)
    assert reading.models == named(BASE, "law", "sql")
    assert reading.loadable == named("idle")


def test_several_engines_are_one_server() -> None:
    page = (
        'vllm:num_requests_running{engine="0"} 2\nvllm:num_requests_running{engine="1"} 1\n'
        'vllm:num_requests_waiting{engine="0"} 0\nvllm:num_requests_waiting{engine="1"} 4\n'
        'vllm:kv_cache_usage_perc{engine="0"} 0.2\nvllm:kv_cache_usage_perc{engine="1"} 0.4\n'
    )
    reading = look(Vllm(Site()), {**SERVER, "/metrics": page})
    assert (reading.running, reading.waiting) == (3.0, 4.0)
    assert reading.kv == pytest.approx(0.3)


def test_the_older_name_of_the_cache_is_known() -> None:
    page = METRICS.replace("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
    reading = look(Vllm(Site()), {**SERVER, "/metrics": page})
    assert (reading.kv, reading.unmatched) == (0.42, frozenset())


def test_a_name_nobody_knows_is_none_and_an_alert() -> None:
    page = METRICS.replace("vllm:kv_cache_usage_perc", "vllm:kv_pool_usage")
    reading = look(Vllm(Site()), {**SERVER, "/metrics": page})
    assert (reading.kv, reading.unmatched) == (None, named("kv"))


def test_without_metrics_it_is_alive_and_its_load_unknown() -> None:
    reading = look(Vllm(Site()), {**SERVER, "/metrics": 404})
    assert (reading.alive, reading.running, reading.waiting, reading.kv) == (True, None, None, None)
    assert (reading.missing, reading.unmatched) == (named("/metrics 404"), frozenset())


def test_a_dead_engine_is_dead_and_a_loading_one_loads() -> None:
    assert look(Vllm(Site()), {**SERVER, "/health": 503}) is DEAD
    assert look(Vllm(Site()), {**SERVER, "/health": 0}) is DEAD
    assert while_loading(Vllm(Site(("m",)))) == Reading(
        alive=True, loading=True, models=frozenset(), loadable=frozenset({"m"})
    )


def test_a_sleeping_engine_is_not_an_idle_one() -> None:
    """It shows 0 everywhere and answers nothing until it is woken by hand."""
    page = METRICS.replace('sleep_state="awake"} 1.0', 'sleep_state="awake"} 0.0')
    reading = look(Vllm(Site()), {**SERVER, "/metrics": page})
    assert (reading.alive, reading.running, reading.waiting, reading.kv) == (True, None, None, None)
    assert (reading.models, reading.loadable) == (frozenset(), frozenset())


def test_without_lora_every_model_that_is_listed_is_served() -> None:
    page = 'vllm:lora_requests_info{max_lora="0",running_lora_adapters="",waiting_lora_adapters=""} 1.0\n'
    reading = look(Vllm(Site()), {**SERVER, "/metrics": page})
    assert (reading.adapters, reading.adapters_most) == (None, None)
    assert (reading.models, reading.loadable) == (named(BASE, "law", "sql", "idle"), frozenset())


@pytest.mark.parametrize("listed", [401, '{"data":[]}', "not JSON"])
def test_a_list_that_says_nothing_excludes_no_model(listed: Told) -> None:
    assert look(Vllm(Site()), {**SERVER, "/v1/models": listed}).models is None


def test_the_time_in_the_queue_is_that_of_the_latest_requests() -> None:
    vllm = Vllm(Site())
    assert look(vllm, SERVER).queue_s is None
    later = METRICS.replace("_sum{engine", "_sum{engine").replace("} 20.0", "} 26.0").replace("} 100.0", "} 104.0")
    assert look(vllm, {**SERVER, "/metrics": later}).queue_s == pytest.approx(1.5)


def test_its_models_are_asked_for_now_and_then_and_kept_while_it_is_silent() -> None:
    vllm = Vllm(Site())
    asks = [[ask.path for ask in asked(vllm, SERVER)[1]] for _ in range(MODELS_EVERY + 1)]
    assert ["/v1/models" in paths for paths in asks] == [True, False, False, False, False, True]
    for _ in range(MODELS_EVERY):
        reading = look(vllm, {**SERVER, "/v1/models": 0})
    assert reading.models is not None


def test_after_a_restart_its_models_are_asked_for_at_once() -> None:
    vllm = Vllm(Site())
    look(vllm, SERVER)
    look(vllm, {**SERVER, "/health": 0})
    assert "/v1/models" in [ask.path for ask in asked(vllm, SERVER)[1]]
