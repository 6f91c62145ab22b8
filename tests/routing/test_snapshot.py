from gateway.routing.snapshot import IDLE, UNKNOWN, Load, Snapshot


def test_a_backend_nobody_told_of_works_on_what_was_sent_to_it() -> None:
    assert Load(in_flight=3).working() == 3


def test_what_was_sent_since_others_were_told_of_counts_at_once() -> None:
    """`reported` are others' requests; the greater of both would hide what was sent since."""
    load = Load(in_flight=2, reported=10.0)
    load.in_flight += 3
    assert load.working() == 15


def test_what_is_missing_in_a_snapshot_is_idle_healthy_and_unmeasured() -> None:
    snapshot = Snapshot()
    load = snapshot.loads.get("a", IDLE)
    assert (load.working(), load.shut, load.shut_until, load.models) == (0, "", 0.0, None)
    assert snapshot.paces.get(("a", "m"), UNKNOWN).slow == 1.0
