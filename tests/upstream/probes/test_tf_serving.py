"""TensorFlow Serving. The answers are those of its g3doc/api_rest.md, Model status API."""

from gateway.upstream.probes.reading import DEAD, Site
from gateway.upstream.probes.tf_serving import MODELS_MOST, TfServing
from tests.upstream.probes.looking import asked, look, named


def status(*states: str) -> str:
    rows = ",".join(
        f'{{"version":"{at}","state":"{state}","status":{{"error_code":"OK","error_message":""}}}}'
        for at, state in enumerate(states)
    )
    return f'{{"model_version_status":[{rows}]}}'


def test_a_model_with_a_version_that_is_available_is_served() -> None:
    answers = {
        "/v1/models/half_plus_three": status("AVAILABLE"),
        "/v1/models/new": status("LOADING"),
        "/v1/models/newest": status("START"),
        "/v1/models/swapped": status("UNLOADING", "AVAILABLE"),
        "/v1/models/old": status("END"),
    }
    reading = look(TfServing(Site(("half_plus_three", "new", "newest", "swapped", "old", "never"))), answers)
    assert (reading.alive, reading.loading) == (True, False)
    assert (reading.models, reading.loadable) == (named("half_plus_three", "swapped"), named("new", "newest"))


def test_a_server_all_of_whose_models_are_on_their_way_loads() -> None:
    reading = look(TfServing(Site(("m",))), {"/v1/models/m": status("LOADING")})
    assert (reading.alive, reading.loading, reading.models) == (True, True, frozenset())


def test_without_a_configured_model_it_is_merely_alive() -> None:
    reading, asks = asked(TfServing(Site()), {})
    assert (reading.alive, reading.models) == (True, None)
    assert [ask.path for ask in asks] == ["/v1/models/"]


def test_a_status_that_can_not_be_read_says_nothing_of_any_model() -> None:
    reading = look(TfServing(Site(("m", "n"))), {"/v1/models/m": 401, "/v1/models/n": status("AVAILABLE")})
    assert (reading.alive, reading.models, reading.missing) == (True, None, named("/v1/models/m 401"))
    assert look(TfServing(Site(("m",))), {"/v1/models/m": "<html>"}).models == frozenset()


def test_beyond_so_many_models_the_others_are_taken_as_served() -> None:
    names = tuple(f"m{number}" for number in range(MODELS_MOST + 1))
    reading, asks = asked(TfServing(Site(names)), {})
    assert (reading.models, len(asks)) == (named(names[-1]), MODELS_MOST)


def test_one_that_is_gone_is_dead_and_one_that_goes_meanwhile_is_heard_no_further() -> None:
    assert look(TfServing(Site(("m",))), {"/v1/models/m": 0}) is DEAD
    reading = look(TfServing(Site(("m", "n"))), {"/v1/models/m": status("AVAILABLE"), "/v1/models/n": 0})
    assert (reading.alive, reading.models) == (True, None)
