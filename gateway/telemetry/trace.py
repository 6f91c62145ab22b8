"""Whether to trace at all: decided from the environment before any of OpenTelemetry is imported."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.telemetry.spans import Tracer
    from gateway.telemetry.writer import Count

_SERVICE = "meridian-gateway"


class TracingUnspoken(ValueError):
    """OTEL_* asks for what isn't spoken here."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether OTEL_* asks for traces over OTLP. TracingUnspoken."""

    def said(name: str) -> str:
        return environment.get(name, "").strip()

    if said("OTEL_SDK_DISABLED").lower() == "true":
        return False
    exporters = {name.strip() for name in said("OTEL_TRACES_EXPORTER").split(",")} - {""}
    if exporters - {"otlp", "none"}:
        raise TracingUnspoken(
            f"OTEL_TRACES_EXPORTER={said('OTEL_TRACES_EXPORTER')}: otlp or none, nothing else is built in"
        )
    named = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or said("OTEL_EXPORTER_OTLP_ENDPOINT")
    if "none" in exporters or not (named or exporters):
        return False
    protocol = said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or said("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        raise TracingUnspoken(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: only http/protobuf is spoken here")
    return True


def open_tracer(environment: Mapping[str, str], instance: str, withheld: "Count") -> "Tracer | None":
    """A tracer as OTEL_* says, or None where it says nothing; then nothing is imported and nothing paid.

    `environment` is the process's own, which the SDK reads too; `withheld` counts requests whose spans must not leave.
    TracingUnspoken.
    """
    if not wanted(environment):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  (0.2 s)
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  (see above)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  (see above)
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  (see above)

    from gateway.telemetry.spans import Tracer  # noqa: PLC0415  (see above)

    attributes = {"service.instance.id": instance}
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes["service.name"] = _SERVICE
    # The worker says itself when it ends; an exit handler would wait for a collector that is gone.
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    processor = BatchSpanProcessor(OTLPSpanExporter())
    provider.add_span_processor(processor)
    return Tracer(provider, processor, withheld)
