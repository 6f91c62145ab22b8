"""Whole answers and streams, and what callers of each language get of them: files to read side by side.

answers/<outbound>/<case>.json            what a host answers; <case>.<inbound>.json what a caller gets, what is lost
streams/<outbound>/<case>.<framing>       the same as a stream: server-sent events, JSON lines, or AWS's messages in
                                          base64; <case>.<inbound>.events.json what a caller gets of it
"""

import json
from base64 import b64decode
from itertools import product
from pathlib import Path

import pytest
from msgspec import structs
from msgspec.json import encode

from gateway.features import Request
from gateway.wire import StreamMeter, Wire, eventstream, load
from gateway.wire.bridge import CONVERSATIONS, between
from tests.golden.laid_out import flat, lay_out
from tests.golden.same import same
from tests.golden.test_requests import HERE as REQUESTS
from tests.golden.test_requests import IN_PATH

HERE = Path(__file__).parent
CALLERS = sorted(path.name for path in REQUESTS.iterdir())
SUFFIXES = (".sse", ".ndjson", ".frames")
TYPES = {".sse": "text/event-stream", ".ndjson": "application/x-ndjson", ".frames": eventstream.MEDIA_TYPE}
ANSWERS = sorted(HERE.glob("answers/*/full.json"))
STREAMS = sorted(path for path in HERE.glob("streams/*/full.*") if path.suffix in TYPES)
WAYS = pytest.mark.parametrize("caller", CALLERS)
LONG = 1 << 20


def asked(caller: str, host: str) -> tuple[Wire, Request]:
    """A bridge, or the language's own wire, and the fullest request that came over it."""
    wire = load(caller) if caller == host else between(caller, host)
    body = (REQUESTS / caller / "full.json").read_bytes()
    return wire, wire.read_request(body, IN_PATH[caller]) if caller in IN_PATH else wire.read_request(body)


@WAYS
@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.parent.name)
def test_an_answer_becomes_what_it_did(path: Path, caller: str, update_golden: bool) -> None:
    wire, request = asked(caller, path.parent.name)
    whole = wire.read_whole(request, "application/json", path.read_bytes())
    facts = b'{"lost":%b,"finish":%b,"usage":%b,"body":%b}' % (
        encode(whole.lost),
        encode(whole.finish),
        encode(whole.usage and structs.asdict(whole.usage)),
        whole.body or b'"as it was"',
    )
    same(path.with_suffix(f".{caller}.json"), lay_out(facts), update=update_golden)


def sent(path: Path) -> bytes:
    return b"".join(map(b64decode, path.read_bytes().split())) if path.suffix == ".frames" else path.read_bytes()


def heard(meter: StreamMeter, pieces: list[bytes]) -> bytes:
    return b"".join(map(meter.feed, pieces)) + meter.finish_up()


def events_in(caller: str, out: bytes) -> list[object]:
    """What a caller reads, an item a frame."""
    if caller == "bedrock_converse":
        return [{name: json.loads(payload)} for name, payload, _ in eventstream.Messages(LONG).feed(out)]
    return list(out.decode().replace("\r\n", "\n").split("\n\n")[:-1])


@WAYS
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.parent.name)
def test_a_stream_becomes_what_it_did_wherever_it_is_cut(path: Path, caller: str, update_golden: bool) -> None:
    wire, request = asked(caller, path.parent.name)
    wire.check_stream(TYPES[path.suffix])
    meter, bytewise = wire.meter(request, LONG), wire.meter(request, LONG)
    data = sent(path)
    out = heard(meter, [data])
    assert heard(bytewise, [data[at : at + 1] for at in range(len(data))]) == out
    assert (bytewise.usage, bytewise.finish, bytewise.pieces, bytewise.lost) == (
        meter.usage,
        meter.finish,
        meter.pieces,
        meter.lost,
    )
    assert (meter.error, meter.committed) == (None, True)
    facts = {
        "lost": list(meter.lost),
        "finish": meter.finish,
        "pieces": meter.pieces,
        "usage": meter.usage and structs.asdict(meter.usage),
    }
    events = "as they were" if out == data else events_in(caller, out)
    same(path.with_name(f"{path.stem}.{caller}.events.json"), told(facts, events), update=update_golden)


def told(facts: dict[str, object], events: object) -> str:
    """What is known of a stream on one line, and a line for each of its events."""
    lines = "[\n" + ",\n".join(map(flat, events)) + "\n]" if isinstance(events, list) else flat(events)
    return f'{flat(facts)[:-1]}, "events": {lines}}}\n'


def test_every_language_that_hosts_speak_answers_whole_and_streamed() -> None:
    assert {path.parent.name for path in ANSWERS} == {path.parent.name for path in STREAMS} == set(CONVERSATIONS)
    assert len(list(product(CALLERS, CONVERSATIONS))) == 60
