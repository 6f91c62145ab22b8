"""Which backends are looked at, and what is sent to them."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from gateway.settings.catalogue import CHECKOUT, read_catalogue
from gateway.settings.findings import Findings
from gateway.settings.shape import Auth, Backend, Provider, Secret, Settings, Target
from gateway.upstream.pool import Origin
from gateway.upstream.probes import KINDS, reports_load
from gateway.upstream.probes.reading import Ask, Reading
from gateway.upstream.watched import AGREED, Watched, watched
from tests.upstream.probes.looking import LOADING, asked


def provider(probe: str = "vllm") -> Provider:
    return Provider(name="p", speaks="openai_chat", probe=probe, auth=Auth("bearer", "KEY", optional=True))


def backend(name: str = "b", *, probe: str = "vllm", tier: str = "self_hosted", urls: tuple[str, ...] = ()) -> Backend:
    return Backend(
        name=name,
        provider=provider(probe),
        base_urls=urls or ("http://10.1.0.7:8000",),
        api_key=Secret("sk-own"),
        tier=tier,
    )


def settings(*backends: Backend, models: Mapping[str, tuple[Target, ...]] | None = None) -> Settings:
    return Settings(models=dict(models or {}), backends={one.name: one for one in backends}, callers=(), state="memory")


def test_servers_of_ones_own_are_looked_at_and_nobody_elses() -> None:
    found = watched(
        settings(
            backend("own"), backend("theirs", tier="external"), backend("quiet", probe=""), backend("edge", tier="edge")
        )
    )
    assert [*found] == ["own", "edge"]


def test_every_providers_probe_is_a_readers() -> None:
    findings = Findings()
    probes = {row.probe for row in read_catalogue(CHECKOUT, findings).values()} - {""}
    assert probes <= set(KINDS)
    assert len(probes) > 5


def test_a_probe_of_no_reader_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        Watched(backend(probe="nothing"))


def test_some_kinds_report_their_load_with_their_answers() -> None:
    assert {kind for kind in KINDS if reports_load(kind)} == {"vllm", "triton"}
    assert not reports_load("")


def test_a_reader_is_told_the_models_its_backend_is_configured_for() -> None:
    one = backend()
    models = {"a": (Target(one, "m"), Target(one, "n")), "b": (Target(one, "m"),), "all/*": (Target(one, "*"),)}
    found = watched(settings(one, models=models))["b"]
    looking = found.reader.look(0.0)
    next(looking)
    with pytest.raises(StopIteration) as end:
        looking.send(LOADING)
    assert end.value.value.loadable == frozenset({"m", "n"})


@pytest.mark.parametrize("probe", ["vllm", "sglang", "tensorrt_llm", "tgi", "triton", "llamacpp"])
def test_metrics_are_asked_for_where_the_backend_has_them(probe: str) -> None:
    watch = Watched(replace(backend(probe=probe), metrics_port=7000))
    _, asks = asked(watch.reader, {})
    assert [ask.path for ask in asks if ask.port == 7000] == [
        path for path in (ask.path for ask in asks) if "metrics" in path
    ]
    assert 7000 in {ask.port for ask in asks}


def test_a_request_has_the_paths_start_and_the_key() -> None:
    one = Watched(backend(urls=("http://10.1.0.7:8000/llm/", "https://llm.example")))
    assert list(one.requests(Ask("/metrics"))) == [
        (
            Origin(secure=False, host="10.1.0.7", port=8000),
            (
                b"GET /llm/metrics HTTP/1.1\r\nhost: 10.1.0.7:8000\r\nuser-agent: meridian-gateway\r\n"
                b"accept-encoding: identity\r\nauthorization: Bearer sk-own\r\n\r\n"
            ),
        ),
        (
            Origin(secure=True, host="llm.example", port=443),
            (
                b"GET /metrics HTTP/1.1\r\nhost: llm.example\r\nuser-agent: meridian-gateway\r\n"
                b"accept-encoding: identity\r\nauthorization: Bearer sk-own\r\n\r\n"
            ),
        ),
    ]


def test_a_body_is_posted() -> None:
    ((_, request),) = Watched(backend()).requests(Ask("/v2/repository/index", body=b"{}"))
    assert request.startswith(b"POST /v2/repository/index HTTP/1.1\r\n")
    assert request.endswith(b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}")


def test_another_port_is_asked_in_the_clear_and_without_the_key() -> None:
    ((where, request),) = Watched(backend(urls=("https://llm.example/v1",))).requests(Ask("/metrics", port=8002))
    assert where == Origin(secure=False, host="llm.example", port=8002)
    assert request.startswith(b"GET /metrics HTTP/1.1\r\nhost: llm.example:8002\r\n")
    assert b"sk-own" not in request


def test_the_way_that_answered_is_the_first_from_then_on() -> None:
    one = Watched(backend(urls=("http://10.1.0.7:8000", "http://10.1.0.8:8000")))
    one.prefer(1)
    assert [origin.host for origin, _ in one.requests(Ask("/"))] == ["10.1.0.8", "10.1.0.7"]


def test_what_it_does_not_tell_is_news_once_some_looks_agree() -> None:
    one = Watched(backend())
    kv = Reading(alive=True, unmatched=frozenset({"kv"}))
    assert [one.news(kv) for _ in range(AGREED + 2)] == [None, None, (frozenset({"kv"}), frozenset()), None, None]


def test_one_look_that_differs_is_no_news() -> None:
    one = Watched(backend())
    for _ in range(AGREED):
        one.news(Reading(alive=True))
    lost = Reading(alive=True, missing=frozenset({"/metrics silent"}))
    assert [one.news(lost), one.news(Reading(alive=True)), one.news(lost)] == [None, None, None]


def test_that_it_tells_again_is_news_too() -> None:
    one = Watched(backend())
    for _ in range(AGREED):
        one.news(Reading(alive=True, unmatched=frozenset({"kv"})))
    assert [one.news(Reading(alive=True)) for _ in range(AGREED)][-1] == (frozenset(), frozenset())
