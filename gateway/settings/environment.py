"""The process environment, for those who are configured by it alone (OpenTelemetry's `OTEL_*`)."""

import os


def otel() -> dict[str, str]:
    """The variables OpenTelemetry defines."""
    return {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
