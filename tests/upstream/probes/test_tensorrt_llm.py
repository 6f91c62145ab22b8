"""trtllm-serve. Names and labels: tensorrt_llm/metrics/collector.py."""

from gateway.upstream.probes.reading import DEAD, Site
from gateway.upstream.probes.tensorrt_llm import TensorrtLlm
from tests.upstream.probes.looking import Told, look, named, while_loading

METRICS = """\
# TYPE trtllm_request_success_total counter
trtllm_request_success_total{engine_type="trtllm",finished_reason="stop",model_name="nemotron-nano-3"} 12.0
# TYPE trtllm_num_requests_running gauge
trtllm_num_requests_running{engine_type="trtllm",model_name="nemotron-nano-3"} 5.0
# TYPE trtllm_num_requests_waiting gauge
trtllm_num_requests_waiting{engine_type="trtllm",model_name="nemotron-nano-3"} 2.0
# TYPE trtllm_max_num_active_requests gauge
trtllm_max_num_active_requests{engine_type="trtllm",model_name="nemotron-nano-3"} 256.0
# TYPE trtllm_kv_cache_utilization gauge
trtllm_kv_cache_utilization{engine_type="trtllm",model_name="nemotron-nano-3"} 0.62
# TYPE trtllm_kv_cache_host_utilization gauge
trtllm_kv_cache_host_utilization{engine_type="trtllm",model_name="nemotron-nano-3"} 0.9
# TYPE trtllm_prompt_tokens_total counter
trtllm_prompt_tokens_total{engine_type="trtllm",model_name="nemotron-nano-3"} 900.0
"""
SERVER: dict[str, Told] = {"/health": 200, "/prometheus/metrics": METRICS}


def test_its_load_is_read() -> None:
    reading = look(TensorrtLlm(Site()), SERVER)
    assert (reading.alive, reading.running, reading.waiting, reading.kv) == (True, 5.0, 2.0, 0.62)
    assert (reading.slots, reading.tokens_in, reading.unmatched) == (256, 900.0, frozenset())


def test_without_iteration_statistics_its_gauges_are_missed_once_it_has_worked() -> None:
    """Their types are there, their series come with enable_iter_perf_stats alone."""
    page = "# TYPE trtllm_num_requests_running gauge\n"
    assert look(TensorrtLlm(Site()), {**SERVER, "/prometheus/metrics": page}).unmatched == frozenset()
    worked = page + 'trtllm_request_success_total{finished_reason="stop"} 1\n'
    reading = look(TensorrtLlm(Site()), {**SERVER, "/prometheus/metrics": worked})
    assert (reading.running, reading.slots) == (None, None)
    assert reading.unmatched == named("running", "waiting", "kv")


def test_without_return_perf_metrics_there_is_no_such_path() -> None:
    assert look(TensorrtLlm(Site()), {"/health": 200}).missing == named("/prometheus/metrics 404")


def test_one_that_is_gone_is_dead_and_one_that_loads_loads() -> None:
    assert look(TensorrtLlm(Site()), {"/health": 0}) is DEAD
    assert while_loading(TensorrtLlm(Site(("m",)))).loading
