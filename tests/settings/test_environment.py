import pytest

from gateway.settings.environment import of_worker, otel


def test_only_opentelemetrys_own_variables_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gateway")
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "x")
    found = otel()
    assert found["OTEL_SERVICE_NAME"] == "gateway"
    assert all(name.startswith("OTEL_") for name in found)


def test_a_worker_keeps_memory_as_we_say_unless_that_is_said_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LOG_LEVEL", "debug")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    given = of_worker()
    assert given["GATEWAY_LOG_LEVEL"] == "debug"
    assert given["MALLOC_TRIM_THRESHOLD_"] == "131072"
    assert given["MALLOC_MMAP_THRESHOLD_"] == "1048576"
