"""Spans of sampled requests, over OTLP, as the OTEL_* variables of OpenTelemetry's SDK say.

One span a request, with a child for each attempt, built in settle from the exchange's timestamps: while a request runs
nothing is traced. Whether it is sampled is asked before anything is built. Spans are made finished, as the SDK's own
`ReadableSpan`, and given to its batch processor, whose queue is bounded; a span opened and closed through the SDK's
tracer costs three times as much. Sampler, resource, processor and exporter are the SDK's and read their variables
themselves.
"""

import re
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from gateway.exchange import Attempt, Exchange
from gateway.settings.shape import Settings
from gateway.telemetry import derived
from gateway.telemetry.families import gen_ai_operation
from gateway.telemetry.writer import Count

# Names of OpenTelemetry's conventions (semantic-conventions-genai, gen-ai-spans.md; http; error), kept here because the
# package that holds them is marked incubating and moves them about.
OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
STATUS_CODE = "http.response.status_code"
ERROR_TYPE = "error.type"

_Value = str | bool | int | float | tuple[str, ...]
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MOST_STATE_BYTES = 512
_ROOT = Context()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)
_FAILED = Status(StatusCode.ERROR)
_SCOPE = InstrumentationScope("gateway")


def remote_parent(traceparent: bytes | None, tracestate: bytes | None) -> SpanContext | None:
    """Who called, by the W3C headers; None where there are none or they make no sense."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    state = tracestate.decode("latin-1") if tracestate and len(tracestate) <= _MOST_STATE_BYTES else ""
    parent = SpanContext(
        int(found[2], 16),
        int(found[3], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(found[4], 16)),
        trace_state=TraceState.from_header([state]) if state else None,
    )
    return parent if parent.is_valid else None


class Tracer:
    """Turns settled exchanges into spans. The processor is the provider's, so that both end together.

    Call `configure` before the first one and at each reload. A request that must stay in some countries has no spans
    where the collector isn't known to be in one of them; `withheld` counts those that would have been sampled.
    """

    def __init__(self, provider: TracerProvider, processor: SpanProcessor, withheld: Count) -> None:
        self._withheld = withheld
        self._country = ""
        self._provider = provider
        self._processor = processor
        self._sampler = provider.sampler
        self._ids = provider.id_generator
        self._resource: Resource = provider.resource

    def configure(self, settings: Settings) -> None:
        """Take over where the collector is."""
        self._country = settings.sinks.otlp

    def settle(self, exchange: Exchange) -> None:
        """Hand over one finished request's spans, if it is sampled."""
        headers = exchange.call.headers
        parent = remote_parent(headers.get(b"traceparent"), headers.get(b"tracestate"))
        trace_id = self._ids.generate_trace_id() if parent is None else parent.trace_id
        context = _ROOT if parent is None else set_span_in_context(NonRecordingSpan(parent), _ROOT)
        operation = gen_ai_operation(exchange.operation) or "request"
        sampling = self._sampler.should_sample(context, trace_id, operation, SpanKind.SERVER)
        if sampling.decision is not Decision.RECORD_AND_SAMPLE:
            return
        if exchange.jurisdictions is not None and self._country not in exchange.jurisdictions:
            self._withheld.add(1.0)
            return
        own = SpanContext(trace_id, self._ids.generate_span_id(), False, _SAMPLED, sampling.trace_state)
        target = exchange.target
        # Seconds from the process's clock to nanoseconds since 1970.
        skew_s = exchange.call.arrived_wall - exchange.call.arrived
        for number, attempt in enumerate(exchange.attempts, 1):
            self._processor.on_end(
                self._span(
                    f"{operation} {attempt.target.model}",
                    SpanContext(trace_id, self._ids.generate_span_id(), False, _SAMPLED, sampling.trace_state),
                    own,
                    kind=SpanKind.CLIENT,
                    failed=attempt.outcome != "answered",
                    started_s=attempt.started + skew_s,
                    ended_s=(attempt.ended or exchange.ended) + skew_s,
                    attributes=_of_attempt(attempt, number, operation),
                    events=_events(attempt, skew_s),
                )
            )
        self._processor.on_end(
            self._span(
                operation if target is None else f"{operation} {exchange.model}",
                own,
                parent,
                kind=SpanKind.SERVER,
                failed=exchange.status >= 500 or (exchange.error is not None and not exchange.status),
                started_s=exchange.call.arrived_wall,
                ended_s=exchange.ended + skew_s,
                attributes=_of_exchange(exchange, operation),
            )
        )

    def close(self) -> None:
        """Send what is queued and end the exporter's thread."""
        self._provider.shutdown()

    def _span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        *,
        kind: SpanKind,
        failed: bool,
        started_s: float,
        ended_s: float,
        attributes: Mapping[str, _Value],
        events: tuple[Event, ...] = (),
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            attributes,
            events,
            kind=kind,
            status=_FAILED if failed else _UNSET,
            start_time=int(started_s * 1e9),
            end_time=int(ended_s * 1e9),
            instrumentation_scope=_SCOPE,
        )


def _of_exchange(exchange: Exchange, operation: str) -> dict[str, _Value]:
    call, target, usage = exchange.call, exchange.target, exchange.usage
    out: dict[str, _Value] = {
        OPERATION_NAME: operation,
        REQUEST_STREAM: exchange.stream,
        STATUS_CODE: exchange.status,
        "gateway.request_id": call.request_id,
        "gateway.attempts": len(exchange.attempts),
    }
    if call.caller is not None:
        out["gateway.key"], out["gateway.team"] = call.caller.name, call.caller.team
    if target is not None:
        out[PROVIDER_NAME] = target.backend.provider.name
        out[REQUEST_MODEL] = exchange.model
        out["gateway.backend"], out["gateway.region"] = target.backend.name, target.backend.region
    if usage is not None:
        out[INPUT_TOKENS], out[OUTPUT_TOKENS] = usage.input_tokens, usage.output_tokens
        out[CACHED_TOKENS], out[REASONING_TOKENS] = usage.cached_tokens, usage.reasoning_tokens
    if exchange.cost_usd is not None:
        out["gateway.cost_usd"] = exchange.cost_usd
    if exchange.finish:
        out[FINISH_REASONS] = (derived.word(exchange.finish),)
    first = derived.first_token_s(exchange)
    if first:
        out[TIME_TO_FIRST_CHUNK] = first
    outcome = derived.outcome(exchange)
    if outcome != "answered":
        out[ERROR_TYPE] = outcome
    return out


def _of_attempt(attempt: Attempt, number: int, operation: str) -> dict[str, _Value]:
    backend = attempt.target.backend
    out: dict[str, _Value] = {
        OPERATION_NAME: operation,
        PROVIDER_NAME: backend.provider.name,
        REQUEST_MODEL: attempt.target.model,
        "gateway.attempt": number,
        "gateway.backend": backend.name,
        "gateway.region": backend.region,
        "gateway.connection.reused": attempt.reused,
    }
    if attempt.status:
        out[STATUS_CODE] = attempt.status
    if attempt.outcome != "answered":
        out[ERROR_TYPE] = derived.word(attempt.outcome)
    return out


def _events(attempt: Attempt, skew_s: float) -> tuple[Event, ...]:
    moments = (("sent", attempt.sent), ("headers", attempt.headers), ("first content", attempt.first_content))
    return tuple(Event(name, None, int((at + skew_s) * 1e9)) for name, at in moments if at)
