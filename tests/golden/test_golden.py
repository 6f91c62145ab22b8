"""Streams of hosts that speak the caller's language, each in its way.

streams/<language>/<case>.sse       what a host sends; <case>.events.json beside it is what the caller, who did not ask
                                    for usage, gets, and what is known of the answer
"""

import json
from pathlib import Path

import pytest
from msgspec import structs

from gateway.wire import load
from gateway.wire.openai_meter import OpenAIMeter
from tests.golden.same import same

HERE = Path(__file__).parent
STREAMS = sorted(path for path in HERE.glob("streams/openai_chat/*.sse") if path.stem != "full")


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_a_stream_becomes_what_it_did(path: Path, update_golden: bool) -> None:
    wire = load(path.parent.name)
    asked = b'"prompt":""' if path.stem.startswith("text") else b'"messages":[]'
    meter = wire.meter(wire.read_request(b'{"model":"m","stream":true,%b}' % asked), 1024 * 1024)
    assert isinstance(meter, OpenAIMeter)
    out = meter.feed(path.read_bytes()) + meter.finish_up()
    if meter.error is not None and meter.committed:
        out += meter.failure(meter.error)
    facts = {
        "committed": meter.committed,
        "complete": meter.done,
        "error": meter.error and {"kind": type(meter.error).__name__, "code": meter.error.reason},
        "finish": meter.finish,
        "pieces": meter.pieces,
        "usage": meter.usage and structs.asdict(meter.usage),
        "events": out.decode().split("\n\n")[:-1],
    }
    now = json.dumps(facts, ensure_ascii=False, indent=2) + "\n"
    same(path.with_suffix(".events.json"), now, update=update_golden)


def test_there_are_files_to_compare() -> None:
    assert len(STREAMS) > 20
