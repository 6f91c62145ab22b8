"""Answers of our own: whether we are alive."""

from gateway.exchange import Call
from gateway.pipeline import Runtime


def alive(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    del call, runtime
    return 200, b'{"status":"ok"}'


def ready(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    del call
    if runtime.draining():
        return 503, b'{"status":"draining"}'
    return 200, b'{"status":"ready"}'


def nothing(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    """An empty answer, whose headers say everything (OPTIONS)."""
    del call, runtime
    return 200, b""
