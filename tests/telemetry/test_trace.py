import subprocess
import sys

import pytest

from gateway.telemetry.trace import TracingUnspoken, open_tracer, wanted
from tests.doubles.settled import Counting

SOMEWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "answer"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "gw"}, False),
        (SOMEWHERE, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({**SOMEWHERE, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**SOMEWHERE, "OTEL_SDK_DISABLED": "true"}, False),
        ({**SOMEWHERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
    ],
)
def test_tracing_is_on_where_the_environment_asks_for_it(environment: dict[str, str], answer: bool) -> None:
    assert wanted(environment) is answer


@pytest.mark.parametrize(
    "environment",
    [
        {**SOMEWHERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {**SOMEWHERE, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
        {"OTEL_TRACES_EXPORTER": "zipkin"},
    ],
)
def test_what_is_not_spoken_is_said_and_not_ignored(environment: dict[str, str]) -> None:
    with pytest.raises(TracingUnspoken, match="OTEL_"):
        wanted(environment)


def test_nothing_is_paid_where_tracing_is_off() -> None:
    program = (
        "import sys\n"
        "from gateway.telemetry.trace import open_tracer\n"
        "assert open_tracer({}, 'i', None) is None\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'requests', 'google'))])\n"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"


def test_a_tracer_is_opened_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SOMEWHERE.items():
        monkeypatch.setenv(name, value)
    tracer = open_tracer(SOMEWHERE, "instance-1", Counting())
    assert tracer is not None
    tracer.close()
