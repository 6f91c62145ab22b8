"""Triton. Names: docs/user_guide/metrics.md, and a scrape in the README of its TensorRT-LLM backend."""

import pytest

from gateway.upstream.probes.reading import DEAD, Site
from gateway.upstream.probes.triton import INDEX_EVERY, Triton
from tests.upstream.probes.looking import Told, asked, look, named

METRICS = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="resnet",version="1"} 100
nv_inference_request_success{model="bert",version="1"} 61
# TYPE nv_inference_exec_count counter
nv_inference_exec_count{model="resnet",version="1"} 90000
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="resnet",version="1"} 11110
nv_inference_queue_duration_us{model="bert",version="1"} 0
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="resnet",version="1"} 4
nv_inference_pending_request_count{model="bert",version="1"} 1
# TYPE nv_gpu_power_usage gauge
nv_gpu_power_usage{gpu_uuid="GPU-1"} 250.5
nv_gpu_power_usage{gpu_uuid="GPU-2"} 100.5
# TYPE nv_energy_consumption counter
nv_energy_consumption{gpu_uuid="GPU-1"} 1000
nv_energy_consumption{gpu_uuid="GPU-2"} 2000
"""
TRT_LLM = """\
nv_inference_request_success{model="tensorrt_llm",version="1"} 3
nv_inference_pending_request_count{model="tensorrt_llm",version="1"} 2
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 1
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="context",version="1"} 1
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 7
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 512
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active",version="1"} 8
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="tensorrt_llm",version="1"} 64
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="tensorrt_llm",version="1"} 1560
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="free",model="tensorrt_llm",version="1"} 4679
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 6239
"""
INDEX = """[{"name":"resnet","version":"1","state":"READY"},{"name":"resnet","version":"2","state":"UNAVAILABLE"},
{"name":"bert","version":"1","state":"LOADING"},{"name":"old","state":"UNAVAILABLE","reason":"unloaded"}]"""
SERVER: dict[str, Told] = {"/v2/health/ready": 200, "/v2/repository/index": INDEX, ":8002/metrics": METRICS}
SITE = Site(port=8000)


def test_its_queue_and_its_power_are_read_and_no_counter_is_taken_for_a_gauge() -> None:
    reading = look(Triton(SITE), SERVER)
    assert (reading.alive, reading.running, reading.waiting, reading.kv) == (True, None, 5.0, None)
    assert reading.watts == 351.0
    assert (reading.unmatched, reading.missing) == (frozenset(), frozenset())


def test_models_that_are_ready_are_served_and_those_on_their_way_will_be() -> None:
    reading = look(Triton(SITE), SERVER)
    assert (reading.models, reading.loadable) == (named("resnet"), named("bert"))


def test_its_index_is_asked_for_by_post_and_now_and_then() -> None:
    triton = Triton(SITE)
    posts = [[ask.body for ask in asked(triton, SERVER)[1] if ask.body is not None] for _ in range(INDEX_EVERY + 1)]
    assert posts == [[b"{}"], [], [], [], [], [b"{}"]]


def test_power_is_the_difference_of_its_meter_where_that_has_moved() -> None:
    triton = Triton(SITE)
    look(triton, SERVER, now=100.0)
    later = METRICS.replace("} 1000\n", "} 1600\n").replace("} 2000\n", "} 2400\n")
    assert look(triton, {**SERVER, ":8002/metrics": later}, now=102.0).watts == 500.0


def test_the_time_in_the_queue_is_in_seconds() -> None:
    triton = Triton(SITE)
    look(triton, SERVER)
    later = METRICS.replace("} 11110", "} 2011110").replace("} 100\n", "} 104\n")
    assert look(triton, {**SERVER, ":8002/metrics": later}).queue_s == pytest.approx(0.5)


def test_the_tensorrt_llm_backend_tells_what_a_language_model_needs() -> None:
    reading = look(Triton(SITE), {**SERVER, ":8002/metrics": TRT_LLM})
    assert (reading.running, reading.waiting, reading.slots) == (7.0, 3.0, 512)
    assert reading.kv == pytest.approx(1560 / 6239)


def test_the_used_share_is_taken_where_it_is_told_as_such() -> None:
    page = TRT_LLM + 'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm"} 0.25\n'
    assert look(Triton(SITE), {**SERVER, ":8002/metrics": page}).kv == 0.25


@pytest.mark.parametrize(
    ("site", "port"),
    [
        (Site(port=8000), 8002),
        (Site(port=9000), 9002),
        (Site(port=443), 8002),
        (Site(), 8002),
        (Site(port=8000, metrics_port=7000), 7000),
    ],
)
def test_its_metrics_are_two_ports_above_unless_somebody_says(site: Site, port: int) -> None:
    _, asks = asked(Triton(site), SERVER)
    assert asks[-1].port == port


def test_the_front_ends_metrics_are_at_its_own_port_unless_somebody_says() -> None:
    for said in (0, 7000):
        _, asks = asked(Triton(Site(port=9000, metrics_port=said)), FRONT)
        assert [ask.port for ask in asks if ask.path == "/metrics"] == [said]


def test_metrics_on_a_port_that_is_shut_are_named_and_cost_nothing_else() -> None:
    reading = look(Triton(SITE), {**SERVER, ":8002/metrics": 0})
    assert (reading.alive, reading.waiting, reading.missing) == (True, None, named(":8002/metrics silent"))
    assert reading.models == named("resnet")


def test_a_name_nobody_knows_is_an_alert_in_our_word_for_it() -> None:
    page = METRICS.replace("nv_inference_pending_request_count", "nv_inference_pending")
    assert look(Triton(SITE), {**SERVER, ":8002/metrics": page}).unmatched == named("waiting")


def test_a_server_none_of_whose_models_is_ready_loads() -> None:
    loading = look(Triton(SITE), {**SERVER, "/v2/health/ready": 400, "/v2/repository/index": "[]"})
    assert (loading.alive, loading.loading, loading.missing) == (True, True, frozenset())


def test_a_server_one_of_whose_models_is_not_ready_serves_the_others() -> None:
    reading = look(Triton(SITE), {**SERVER, "/v2/health/ready": 400})
    assert (reading.loading, reading.models) == (False, named("resnet"))


@pytest.mark.parametrize("index", [403, "not JSON", '{"error":"no"}'])
def test_an_index_that_can_not_be_read_excludes_no_model(index: Told) -> None:
    assert look(Triton(SITE), {**SERVER, "/v2/repository/index": index}).models is None


def test_an_index_that_does_not_come_leaves_the_last_one() -> None:
    triton = Triton(SITE)
    for _ in range(INDEX_EVERY):
        look(triton, SERVER)
    assert look(triton, {**SERVER, "/v2/repository/index": 0}).models == named("resnet")


FRONT: dict[str, Told] = {"/health/ready": 200, "/metrics": METRICS, "/v1/models": '{"data":[{"id":"llama"}]}'}


def test_its_openai_front_end_is_known_by_its_paths_and_remembered() -> None:
    triton = Triton(Site(port=9000))
    reading, asks = asked(triton, FRONT)
    assert (reading.alive, reading.waiting, reading.models) == (True, 5.0, named("llama"))
    assert [ask.path for ask in asks] == ["/v2/health/ready", "/health/ready", "/v1/models", "/metrics"]
    assert [ask.path for ask in asked(triton, FRONT)[1]] == ["/health/ready", "/metrics"]


def test_a_front_end_without_a_list_excludes_no_model() -> None:
    assert look(Triton(SITE), {**FRONT, "/v1/models": 500}).models is None


def test_a_server_that_hides_both_is_alive_and_that_is_said() -> None:
    reading = look(Triton(SITE), {":8002/metrics": METRICS, "/metrics": METRICS})
    assert (reading.alive, reading.missing) == (True, named("/health/ready 404"))


def test_one_that_is_gone_is_dead() -> None:
    assert look(Triton(SITE), {**SERVER, "/v2/health/ready": 0}) is DEAD
