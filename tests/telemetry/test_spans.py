from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway.errors import NoRoute
from gateway.exchange import Attempt
from gateway.settings.shape import Sinks
from gateway.telemetry.spans import Tracer, remote_parent
from gateway.telemetry.trace import open_tracer
from gateway.telemetry.writer import Count
from tests.doubles.collector import Collector, attributes
from tests.doubles.settled import ARRIVED_WALL, TARGET, Counting, settings, settled

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLERS_SPAN = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{CALLERS_SPAN}-01".encode()
NOT_SAMPLED = f"00-{TRACE}-{CALLERS_SPAN}-00".encode()
CANARY = "sk-gw-CANARY-0123456789"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@contextmanager
def tracing(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, withheld: Count | None = None, **more: str
) -> Iterator[Tracer]:
    """A tracer that sends to the collector; all is there once the context is left."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **more}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    tracer = open_tracer(environment, "instance-1", withheld or Counting())
    assert tracer is not None
    yield tracer
    tracer.close()


def one(collector: Collector, kind: "Span.SpanKind.ValueType") -> Span:
    (span,) = [span for span in collector.spans if span.kind == kind]
    return span


def nanoseconds(monotonic: float) -> int:
    return int((ARRIVED_WALL + monotonic - 100.0) * 1e9)


def test_a_request_is_a_span_with_its_attempt_inside(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracing(collector, monkeypatch) as tracer:
        tracer.settle(settled())
    own, attempt = one(collector, Span.SPAN_KIND_SERVER), one(collector, Span.SPAN_KIND_CLIENT)
    assert collector.paths == ["/v1/traces"]
    assert own.name == "chat llama-3.1-8b"
    assert attempt.name == "chat meta/Llama-3.1-8B"
    assert attempt.trace_id == own.trace_id
    assert attempt.parent_span_id == own.span_id
    assert own.parent_span_id == b""
    assert own.start_time_unix_nano == pytest.approx(nanoseconds(100.0), abs=1000)
    assert own.end_time_unix_nano == pytest.approx(nanoseconds(100.9), abs=1000)
    assert attempt.start_time_unix_nano == pytest.approx(nanoseconds(100.0001), abs=1000)
    assert attempt.end_time_unix_nano == pytest.approx(nanoseconds(100.89), abs=1000)
    assert [event.name for event in attempt.events] == ["sent", "headers", "first content"]
    assert own.status.code == attempt.status.code == Status.STATUS_CODE_UNSET


def test_a_span_says_what_opentelemetry_calls_it(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracing(collector, monkeypatch) as tracer:
        tracer.settle(settled())
    assert attributes(one(collector, Span.SPAN_KIND_SERVER).attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "llama-3.1-8b",
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": pytest.approx(0.0801),
        "gen_ai.usage.input_tokens": 123,
        "gen_ai.usage.output_tokens": 45,
        "gen_ai.usage.cache_read.input_tokens": 7,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "http.response.status_code": 200,
        "gateway.request_id": "req-1",
        "gateway.attempts": 1,
        "gateway.key": "clinic-web",
        "gateway.team": "clinic",
        "gateway.backend": "vllm-fra-1",
        "gateway.region": "eu-central",
        "gateway.cost_usd": 0.000123,
    }
    assert attributes(one(collector, Span.SPAN_KIND_CLIENT).attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "meta/Llama-3.1-8B",
        "http.response.status_code": 200,
        "gateway.attempt": 1,
        "gateway.backend": "vllm-fra-1",
        "gateway.region": "eu-central",
        "gateway.connection.reused": True,
    }


def test_the_names_are_those_of_opentelemetrys_own_package() -> None:
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as theirs

    from gateway.telemetry import spans as ours

    known = {value for name, value in vars(theirs).items() if name.startswith("GEN_AI_")}
    mine = {value for name, value in vars(ours).items() if name.isupper() and str(value).startswith("gen_ai.")}
    assert len(mine) == 10
    assert mine <= known


def test_an_inbound_traceparent_is_the_parent(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracing(collector, monkeypatch, OTEL_TRACES_SAMPLER="parentbased_always_off") as tracer:
        tracer.settle(settled(headers={b"traceparent": SAMPLED, b"tracestate": b"a=1,b=2"}))
        tracer.settle(settled())
    own = one(collector, Span.SPAN_KIND_SERVER)
    assert own.trace_id.hex() == TRACE
    assert own.parent_span_id.hex() == CALLERS_SPAN
    assert own.trace_state == "a=1,b=2"
    assert one(collector, Span.SPAN_KIND_CLIENT).trace_id.hex() == TRACE


def test_a_caller_who_does_not_sample_is_followed(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracing(collector, monkeypatch) as tracer:
        tracer.settle(settled(headers={b"traceparent": NOT_SAMPLED}))
    assert collector.spans == []


def test_a_share_is_sampled(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracing(
        collector, monkeypatch, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.25"
    ) as tracer:
        for _ in range(400):
            tracer.settle(settled())
    requests = [span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]
    # Six standard deviations around a hundred: one run in a billion falls outside.
    assert 48 <= len(requests) <= 152


@pytest.mark.parametrize(
    ("kept_in", "stays_in", "is_sent"),
    [("", None, True), ("FR", {"DE", "FR"}, True), ("US", {"DE", "FR"}, False), ("", {"DE", "FR"}, False)],
)
def test_what_must_stay_has_spans_where_the_collector_is_known_to_be_inside(
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    kept_in: str,
    stays_in: set[str] | None,
    *,
    is_sent: bool,
) -> None:
    withheld = Counting()
    exchange = settled()
    exchange.jurisdictions = None if stays_in is None else frozenset(stays_in)
    with tracing(collector, monkeypatch, withheld) as tracer:
        tracer.configure(settings(sinks=Sinks(otlp=kept_in)))
        tracer.settle(exchange)
    assert (len(collector.spans), withheld.value) == ((2, 0.0) if is_sent else (0, 1.0))


def test_what_is_not_sampled_is_not_withheld(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    withheld = Counting()
    exchange = settled()
    exchange.jurisdictions = frozenset({"DE"})
    with tracing(collector, monkeypatch, withheld, OTEL_TRACES_SAMPLER="always_off") as tracer:
        tracer.settle(exchange)
    assert (collector.spans, withheld.value) == ([], 0.0)


def test_failures_say_what_failed_and_where(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = settled()
    exchange.target, exchange.usage, exchange.cost_usd = None, None, None
    exchange.attempts = [Attempt(TARGET, 100.0, ended=100.5, outcome="upstream_timeout")]
    exchange.error = NoRoute("No backend.")
    exchange.status = 503
    with tracing(collector, monkeypatch) as tracer:
        tracer.settle(exchange)
    own, attempt = one(collector, Span.SPAN_KIND_SERVER), one(collector, Span.SPAN_KIND_CLIENT)
    assert own.name == "chat"
    assert own.status.code == attempt.status.code == Status.STATUS_CODE_ERROR
    assert attributes(own.attributes)["error.type"] == "no_backend_available"
    assert attributes(attempt.attributes)["error.type"] == "upstream_timeout"
    assert [event.name for event in attempt.events] == []


def test_nothing_planted_in_a_request_is_sent(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = settled(model=CANARY, headers={b"authorization": CANARY.encode()}, body=CANARY.encode(), query=CANARY)
    exchange.target = None
    exchange.finish = CANARY
    exchange.error = NoRoute(CANARY, param=CANARY)
    exchange.attempts[0].outcome = CANARY
    with tracing(collector, monkeypatch) as tracer:
        tracer.settle(exchange)
    assert len(collector.spans) == 2
    assert CANARY not in str(collector.spans)


def test_the_sender_says_who_it_is(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracing(
        collector, monkeypatch, OTEL_EXPORTER_OTLP_HEADERS="x-tenant=blue", OTEL_EXPORTER_OTLP_COMPRESSION="gzip"
    ) as tracer:
        tracer.settle(settled())
    assert collector.resource["service.name"] == "meridian-gateway"
    assert collector.resource["service.instance.id"] == "instance-1"
    assert collector.headers[0]["x-tenant"] == "blue"
    assert collector.headers[0]["content-encoding"] == "gzip"


def test_a_name_from_the_environment_wins(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracing(collector, monkeypatch, OTEL_RESOURCE_ATTRIBUTES="service.name=mine,pop=fra") as tracer:
        tracer.settle(settled())
    assert collector.resource["service.name"] == "mine"
    assert collector.resource["pop"] == "fra"


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        b"",
        b"nonsense",
        f"00-{TRACE}-{CALLERS_SPAN}".encode(),
        f"ff-{TRACE}-{CALLERS_SPAN}-01".encode(),
        f"00-{TRACE}-{CALLERS_SPAN}-01-more".encode(),
        f"00-{'0' * 32}-{CALLERS_SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE.upper()}-{CALLERS_SPAN}-01".encode(),
    ],
)
def test_a_traceparent_that_makes_no_sense_is_none(traceparent: bytes | None) -> None:
    assert remote_parent(traceparent, None) is None


def test_a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    parent = remote_parent(f"01-{TRACE}-{CALLERS_SPAN}-01-more".encode(), None)
    assert parent is not None
    assert parent.trace_flags.sampled


def test_a_tracestate_that_is_too_long_is_left_out() -> None:
    parent = remote_parent(SAMPLED, b"a=" + b"x" * 600)
    assert parent is not None
    assert len(parent.trace_state) == 0
