"""Small costs of the data path, as thread CPU time beside a calibration in the same run.

    python -m tests.bench.micro [NAME…]

Each figure is the best of several runs, in microseconds, calibration's own call taken off; `per_calibration` divides it
by the time of a fixed loop, so that figures of different machines can be compared. The last line is one JSON object.
"""

import json
import sys
import time
from collections.abc import Callable

import httptools
import msgspec

from gateway.server.head import HeadReader, SameHead
from gateway.settings.shape import Caps
from gateway.wire import load, openai_event
from gateway.wire.dialect import Dialect
from gateway.wire.raw import text_of
from tests.bench.bodies import chat_request

EVENT = (
    b'{"id":"chatcmpl-0123456789abcdefghijklmn","object":"chat.completion.chunk","created":1760000000,'
    b'"model":"some-model-2026-01-01","system_fingerprint":"fp_0123456789","choices":[{"index":0,'
    b'"delta":{"content":" word"},"finish_reason":null}]}'
)
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1760000000,"model":"some-model","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":57,"completion_tokens":42,"total_tokens":99}}'
) % (b"forty-two words " * 32)


class Nothing(msgspec.Struct):
    """Skips whatever it is shown, validating it."""


RUNS = 7
CALLS = 20_000


def per_call_us(work: Callable[[], object], calls: int = CALLS) -> float:
    """The best of several runs, in microseconds of this thread's CPU time a call."""
    best = float("inf")
    for _ in range(RUNS):
        began = time.thread_time()
        for _ in range(calls):
            work()
        best = min(best, time.thread_time() - began)
    return best / calls * 1e6


def calibration() -> None:
    """A fixed piece of plain Python."""
    total = 0
    for number in range(100):
        total += number


def works() -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    wire = load("openai_chat")
    body = chat_request("some-model", 400)
    large = chat_request("some-model", 64 * 1024, turns=40)
    request = wire.read_request(body)
    model = text_of("upstream-model")
    stream = wire.read_request(b'{"model":"m","stream":true,"messages":[]}')
    meter = wire.meter(stream, 1 << 20)
    event = b"data: %b\n\n" % EVENT
    meter.feed(event)
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw.example\r\nAuthorization: Bearer sk-gw-0123456789\r\n"
        b"Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: OpenAI/Python 3.0\r\n"
        b"Content-Length: %d\r\n\r\n"
    ) % len(body)
    reader, same = HeadReader(Caps(), ()), SameHead()
    skip = msgspec.json.Decoder(Nothing).decode
    return {
        "event_feed": lambda: meter.feed(event),
        "event_typed_decode": lambda: openai_event.decode(EVENT),
        "event_validate": lambda: skip(EVENT),
        "event_validate_and_three_searches": lambda: (
            skip(EVENT),
            b'"usage"' in EVENT,
            b'"finish_reason":null' in EVENT,
            b'"error"' in EVENT,
        ),
        "read_request_400b": lambda: wire.read_request(body),
        "read_request_64k": lambda: wire.read_request(large),
        "write_request_400b": lambda: wire.write_request(request, model, Dialect(), ask_usage=True),
        "read_whole": lambda: wire.read_whole(request, "application/json", ANSWER),
        "head_new": lambda: reader.read(head),
        "head_again": lambda: same.read(head, reader),
        "parser_new": lambda: httptools.HttpRequestParser(None),
    }


def main(names: list[str]) -> int:
    """Measure the named works, or all; 2 where a name is unknown."""
    known = works()
    if unknown := [name for name in names if name not in known]:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    empty_us = per_call_us(lambda: None)
    unit_us = per_call_us(calibration, CALLS // 10) - empty_us
    rows = []
    for name in names or list(known):
        spent_us = per_call_us(known[name], CALLS // 10 if name.endswith("64k") else CALLS) - empty_us
        rows.append({"work": name, "us": round(spent_us, 3), "per_calibration": round(spent_us / unit_us, 3)})
        print(f"{name:36s}{spent_us:9.2f} µs{spent_us / unit_us:9.2f} x calibration")
    print(json.dumps({"rows": rows, "calibration_us": round(unit_us, 3), "python": sys.version.split()[0]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
