"""text-generation-inference. Names: its docs, reference/metrics.md."""

from gateway.upstream.probes.reading import DEAD, Site
from gateway.upstream.probes.tgi import Tgi
from tests.upstream.probes.looking import Told, look, named, while_loading

METRICS = """\
# TYPE tgi_request_count counter
tgi_request_count 150
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 4
# TYPE tgi_batch_current_max_tokens gauge
tgi_batch_current_max_tokens 8192
# TYPE tgi_queue_size gauge
tgi_queue_size 7
# TYPE tgi_request_queue_duration histogram
tgi_request_queue_duration_bucket{le="+Inf"} 150
tgi_request_queue_duration_sum 30.0
tgi_request_queue_duration_count 150
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_sum 8123
tgi_request_generated_tokens_count 150
"""
SERVER: dict[str, Told] = {"/health": 200, "/metrics": METRICS}


def test_its_load_is_read() -> None:
    reading = look(Tgi(Site()), SERVER)
    assert (reading.alive, reading.running, reading.waiting, reading.kv) == (True, 4.0, 7.0, None)
    assert (reading.tokens_in, reading.tokens_out, reading.unmatched) == (None, 8123.0, frozenset())


def test_before_its_first_request_its_gauges_are_not_there_and_nothing_is_wrong() -> None:
    reading = look(Tgi(Site()), {**SERVER, "/metrics": ""})
    assert (reading.running, reading.waiting, reading.unmatched) == (None, None, frozenset())


def test_after_it_a_name_nobody_knows_is_an_alert() -> None:
    page = METRICS.replace("tgi_queue_size", "tgi_queue_length")
    assert look(Tgi(Site()), {**SERVER, "/metrics": page}).unmatched == named("waiting")


def test_one_that_is_gone_is_dead_and_one_that_loads_loads() -> None:
    assert look(Tgi(Site()), {"/health": 503}) is DEAD
    assert while_loading(Tgi(Site(("m",)))).loading
