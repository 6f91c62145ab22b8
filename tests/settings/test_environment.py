import pytest

from gateway.settings.environment import otel


def test_only_opentelemetrys_own_variables_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gateway")
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "x")
    found = otel()
    assert found["OTEL_SERVICE_NAME"] == "gateway"
    assert all(name.startswith("OTEL_") for name in found)
