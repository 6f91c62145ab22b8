"""What kinds that tell their load by metrics alone have in common."""

from gateway.upstream.probes.gauges import Gauges
from gateway.upstream.probes.prometheus import Scrape, Signal
from gateway.upstream.probes.reading import DEAD, Site
from tests.upstream.probes.looking import Told, look

SCRAPE = Scrape(
    Signal("running", ("busy",)),
    Signal("slots", ("most",), quiet=True),
    Signal("queue_sum", ("waited_sum",), quiet=True),
    Signal("queue_count", ("waited_count",), quiet=True),
)
PAGE = """\
# TYPE busy gauge
busy 3
# TYPE most gauge
most 16
"""
WELL: dict[str, Told] = {"/well": 200, "/numbers": PAGE}


def test_what_a_kind_has_no_signal_for_is_not_known() -> None:
    reading = look(Gauges(Site(), "/well", "/numbers", SCRAPE), WELL)
    assert (reading.alive, reading.running, reading.slots) == (True, 3.0, 16)
    assert (reading.kv, reading.waiting, reading.tokens_in, reading.queue_s) == (None, None, None, None)


def test_slots_that_are_none_are_not_none_at_all_but_unknown() -> None:
    assert (
        look(Gauges(Site(), "/well", "/numbers", SCRAPE), {**WELL, "/numbers": PAGE.replace("16", "0")}).slots is None
    )


def test_who_is_not_well_is_not_asked_for_more() -> None:
    assert look(Gauges(Site(), "/well", "/numbers", SCRAPE), {"/well": 503}) is DEAD


def test_metrics_are_asked_for_at_their_own_port_where_they_have_one() -> None:
    asking = Gauges(Site(metrics_port=9000), "/well", "/numbers", SCRAPE)
    told: dict[str, Told] = {"/well": 200, ":9000/numbers": PAGE}
    assert look(asking, told).running == 3.0
