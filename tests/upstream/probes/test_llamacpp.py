"""llama.cpp. The answers are those of its server as xllamacpp 2026.10 has it, and of tools/server/README.md."""

import pytest

from gateway.upstream.probes.llamacpp import ROUTED_MOST, Llamacpp
from gateway.upstream.probes.reading import DEAD, Reading, Site
from tests.upstream.probes.looking import Told, asked, look, named, while_loading

METRICS = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 120
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 39080
# HELP llamacpp:requests_processing Number of requests processing
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 3
# HELP llamacpp:requests_deferred Number of requests deferred
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 2
"""
SLOTS = """[{"id":0,"n_ctx":512,"speculative":false,"is_processing":false},
{"id":1,"n_ctx":512,"speculative":false,"is_processing":true}]"""
PROPS = """{"default_generation_settings":{"n_ctx":512},"total_slots":4,"model_alias":"smollm2-135m",
"endpoint_slots":true,"endpoint_props":false,"endpoint_metrics":true,"is_sleeping":false}"""
MODELS = """{"models":[{"name":"smollm2-135m"}],"object":"list",
"data":[{"id":"smollm2-135m","aliases":["smollm2-135m"],"tags":[],"object":"model","owned_by":"llamacpp"}]}"""
SERVER: dict[str, Told] = {
    "/health": '{"status":"ok"}',
    "/v1/models": MODELS,
    "/props": PROPS,
    "/metrics": METRICS,
    "/slots": SLOTS,
}
SITE = Site(("smollm2-135m",))


def test_its_load_is_read() -> None:
    reading = look(Llamacpp(SITE), SERVER)
    assert (reading.alive, reading.running, reading.waiting, reading.kv) == (True, 3.0, 2.0, None)
    assert (reading.slots, reading.tokens_in, reading.tokens_out) == (4, 120.0, 39080.0)
    assert (reading.unmatched, reading.missing) == (frozenset(), frozenset())


def test_a_build_that_still_tells_how_full_its_cache_is_is_believed() -> None:
    page = METRICS + "llamacpp:kv_cache_usage_ratio 0.5\n"
    assert look(Llamacpp(SITE), {**SERVER, "/metrics": page}).kv == 0.5


def test_with_one_model_it_answers_whatever_name_is_asked_for() -> None:
    assert look(Llamacpp(SITE), SERVER).models is None


def test_with_metrics_its_slots_are_left_alone_because_they_wake_it() -> None:
    _, asks = asked(Llamacpp(SITE), SERVER)
    assert [ask.path for ask in asks] == ["/health", "/v1/models", "/props", "/metrics"]


def test_without_metrics_its_slots_say_how_busy_it_is_and_not_who_waits() -> None:
    reading = look(Llamacpp(SITE), {**SERVER, "/metrics": 501})
    assert (reading.running, reading.waiting, reading.slots) == (1.0, None, 4)
    assert reading.missing == named("/metrics 501")


@pytest.mark.parametrize("slots", [501, "not JSON"])
def test_without_either_its_load_is_unknown(slots: Told) -> None:
    reading = look(Llamacpp(SITE), {**SERVER, "/metrics": 501, "/slots": slots})
    assert (reading.alive, reading.running) == (True, None)


@pytest.mark.parametrize("props", [404, "not JSON"])
def test_where_nobody_knows_whether_it_sleeps_its_slots_are_left_alone(props: Told) -> None:
    reading, asks = asked(Llamacpp(SITE), {**SERVER, "/metrics": 501, "/props": props})
    assert (reading.alive, reading.running, reading.slots) == (True, None, None)
    assert "/slots" not in [ask.path for ask in asks]


def test_a_server_that_sleeps_is_cold_and_is_not_woken() -> None:
    sleeping = {**SERVER, "/props": PROPS.replace('"is_sleeping":false', '"is_sleeping":true')}
    reading, asks = asked(Llamacpp(SITE), sleeping)
    assert (reading.alive, reading.running, reading.slots) == (True, None, 4)
    assert (reading.models, reading.loadable) == (frozenset(), named("smollm2-135m"))
    assert {ask.path for ask in asks} == {"/health", "/v1/models", "/props"}


def test_a_server_that_loads_is_not_dead_and_one_that_is_gone_is() -> None:
    assert while_loading(Llamacpp(SITE)) == Reading(
        alive=True, loading=True, models=frozenset(), loadable=frozenset({"smollm2-135m"})
    )
    assert look(Llamacpp(SITE), {"/health": 0}) is DEAD


def test_whether_it_routes_is_asked_once_a_life() -> None:
    llama = Llamacpp(SITE)
    asks = [[ask.path for ask in asked(llama, SERVER)[1]] for _ in range(2)]
    assert ["/v1/models" in paths for paths in asks] == [True, False]
    look(llama, {"/health": 0})
    assert "/v1/models" in [ask.path for ask in asked(llama, SERVER)[1]]


# --- a router ---------------------------------------------------------------------------------------------------------

ROUTED = """{"data":[
{"id":"ggml-org/gemma-3-4b-it-GGUF:Q4_K_M","status":{"value":"loaded","args":["llama-server","-ctx","4096"]}},
{"id":"asleep","status":{"value":"sleeping"}},{"id":"on-disk","aliases":["disk"],"status":{"value":"unloaded"}}]}"""
GEMMA = "/metrics?model=ggml-org%2Fgemma-3-4b-it-GGUF%3AQ4_K_M&autoload=false"
ROUTER: dict[str, Told] = {"/health": 200, "/v1/models": ROUTED, GEMMA: METRICS}


def test_a_router_tells_what_is_loaded_and_how_busy_that_is() -> None:
    reading = look(Llamacpp(SITE), ROUTER)
    assert (reading.running, reading.waiting) == (3.0, 2.0)
    assert reading.models == named("ggml-org/gemma-3-4b-it-GGUF:Q4_K_M")
    assert reading.loadable == named("asleep", "on-disk", "disk")


def test_a_routers_models_are_asked_for_each_time_and_none_is_loaded_by_it() -> None:
    llama = Llamacpp(SITE)
    for _ in range(2):
        _, asks = asked(llama, ROUTER)
        assert [ask.path for ask in asks] == ["/health", "/v1/models", GEMMA]


def test_a_router_with_nothing_loaded_is_idle() -> None:
    reading = look(Llamacpp(SITE), {**ROUTER, "/v1/models": '{"data":[{"id":"m","status":{"value":"unloaded"}}]}'})
    assert (reading.running, reading.waiting, reading.models) == (0.0, 0.0, frozenset())


def test_a_router_whose_models_do_not_tell_is_not_idle() -> None:
    reading = look(Llamacpp(SITE), {**ROUTER, GEMMA: 501})
    assert (reading.running, reading.waiting, reading.missing) == (None, None, named("/metrics 501"))


def test_a_routers_models_without_a_name_we_know_are_an_alert() -> None:
    reading = look(Llamacpp(SITE), {**ROUTER, GEMMA: "llamacpp:busy 1\n"})
    assert (reading.running, reading.unmatched) == (None, named("running", "waiting"))


def test_no_more_of_a_routers_models_are_asked_than_it_usually_loads() -> None:
    rows = ",".join(f'{{"id":"m{at}","status":{{"value":"loaded"}}}}' for at in range(ROUTED_MOST + 3))
    _, asks = asked(Llamacpp(SITE), {**ROUTER, "/v1/models": f'{{"data":[{rows}]}}'})
    assert len(asks) == 2 + ROUTED_MOST


def test_a_router_that_is_silent_for_once_is_asked_again() -> None:
    llama = Llamacpp(SITE)
    look(llama, {**ROUTER, "/v1/models": 0})
    assert look(llama, ROUTER).models is not None
