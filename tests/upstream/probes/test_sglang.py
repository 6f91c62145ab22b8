"""SGLang. The page is the one of its docs, references/production_metrics.md, with the labels of its newer collector."""

import pytest

from gateway.upstream.probes.reading import DEAD, Site
from gateway.upstream.probes.sglang import Sglang
from tests.upstream.probes.looking import Told, asked, look, named, while_loading

METRICS = """\
# HELP sglang:prompt_tokens_total Number of prefill tokens processed.
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="meta-llama/Llama-3.1-8B-Instruct"} 8.128902e+06
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="meta-llama/Llama-3.1-8B-Instruct"} 7.557572e+06
# HELP sglang:token_usage The token usage
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.28
# HELP sglang:num_running_reqs The number of running requests
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="meta-llama/Llama-3.1-8B-Instruct"} 162.0
# HELP sglang:num_queue_reqs The number of requests in the waiting queue
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="meta-llama/Llama-3.1-8B-Instruct"} 2826.0
"""
MODELS = '{"object":"list","data":[{"id":"meta-llama/Llama-3.1-8B-Instruct","object":"model","root":"x"}]}'
LOADS = """{"timestamp":"2026-09-01T00:00:00Z","version":"0.5.9","dp_rank_count":2,"loads":[
{"dp_rank":0,"num_running_reqs":5,"num_waiting_reqs":2,"max_running_requests":64,"max_total_num_tokens":9000,"token_usage":0.5},
{"dp_rank":1,"num_running_reqs":1,"num_waiting_reqs":0,"max_running_requests":64,"max_total_num_tokens":9000,"token_usage":0.1}]}"""
SERVER: dict[str, Told] = {"/v1/models": MODELS, "/metrics": METRICS}


def test_its_load_is_read() -> None:
    reading = look(Sglang(Site()), SERVER)
    assert (reading.alive, reading.running, reading.waiting, reading.kv) == (True, 162.0, 2826.0, 0.28)
    assert (reading.tokens_in, reading.tokens_out) == (8128902.0, 7557572.0)
    assert (reading.unmatched, reading.missing) == (frozenset(), frozenset())


def test_its_health_check_is_left_alone_because_it_generates() -> None:
    _, asks = asked(Sglang(Site()), SERVER)
    assert [ask.path for ask in asks] == ["/v1/models", "/metrics"]


def test_it_answers_with_its_one_model_whatever_is_asked_for() -> None:
    assert look(Sglang(Site()), SERVER).models is None


def test_ranks_of_one_engine_count_once_and_engines_are_added() -> None:
    page = "sglang:prompt_tokens_total 1\n" + "".join(
        f'sglang:num_running_reqs{{dp_rank="{dp}",engine_type="unified",tp_rank="{tp}"}} {4 + dp}\n'
        f'sglang:num_queue_reqs{{dp_rank="{dp}",engine_type="unified",tp_rank="{tp}"}} {dp}\n'
        f'sglang:token_usage{{dp_rank="{dp}",engine_type="unified",tp_rank="{tp}"}} 0.{dp + 1}\n'
        for dp in range(2)
        for tp in range(2)
    )
    reading = look(Sglang(Site()), {**SERVER, "/metrics": page})
    assert (reading.running, reading.waiting) == (9.0, 1.0)
    assert reading.kv == pytest.approx(0.15)


def test_a_total_is_not_added_to_its_priorities() -> None:
    page = 'sglang:num_queue_reqs{priority=""} 7\nsglang:num_queue_reqs{priority="1"} 7\n'
    assert look(Sglang(Site()), {**SERVER, "/metrics": page}).waiting == 7.0


def test_before_its_first_request_it_is_not_missed_what_comes_with_it() -> None:
    reading = look(Sglang(Site()), {**SERVER, "/metrics": "sglang:max_total_num_tokens 9000\n"})
    assert (reading.running, reading.unmatched) == (None, frozenset())


def test_a_page_without_its_names_is_an_alert_once_it_has_worked() -> None:
    reading = look(Sglang(Site()), {**SERVER, "/metrics": "sglang:num_requests_total 4\n"})
    assert reading.unmatched == named("running", "waiting", "kv")


def test_without_metrics_a_newer_one_tells_its_load_all_the_same() -> None:
    reading = look(Sglang(Site()), {"/v1/models": MODELS, "/v1/loads": LOADS})
    assert (reading.running, reading.waiting, reading.slots) == (6.0, 2.0, 128)
    assert reading.kv == pytest.approx(0.3)
    assert reading.missing == frozenset()


@pytest.mark.parametrize(
    "loads", ['{"loads":[]}', '{"loads":[{"dp_rank":0,"num_running_reqs":0,"max_total_num_tokens":0}]}']
)
def test_loads_of_an_engine_that_is_out_of_sight_or_has_not_begun_are_no_idleness(loads: str) -> None:
    reading = look(Sglang(Site()), {"/v1/models": MODELS, "/v1/loads": loads})
    assert (reading.alive, reading.running, reading.waiting) == (True, None, None)


def test_loads_without_a_share_have_none() -> None:
    loads = '{"loads":[{"num_running_reqs":1,"max_total_num_tokens":9}]}'
    reading = look(Sglang(Site()), {"/v1/models": MODELS, "/v1/loads": loads})
    assert (reading.running, reading.kv, reading.slots) == (1.0, None, None)


def test_loads_in_another_shape_are_missing() -> None:
    reading = look(Sglang(Site()), {"/v1/models": MODELS, "/v1/loads": "[1]"})
    assert (reading.alive, reading.missing) == (True, named("/v1/loads is not what it was"))


def test_an_older_one_without_metrics_tells_nothing_and_that_is_said() -> None:
    reading = look(Sglang(Site()), {"/v1/models": MODELS})
    assert (reading.alive, reading.running, reading.missing) == (True, None, named("/metrics 404"))


def test_one_that_is_gone_is_dead_and_one_that_loads_loads() -> None:
    assert look(Sglang(Site()), {"/v1/models": 0}) is DEAD
    assert while_loading(Sglang(Site(("m",)))).loading
