"""Whole requests and streams, and what becomes of them: files to read side by side.

requests/<language>/<case>.json     what a caller sends; <case>.<language>.json beside it is what the host gets
streams/<language>/<case>.sse       what a host sends; <case>.events.json beside it is what the caller, who did not ask
                                    for usage, gets, and what is known of the answer
"""

import json
from pathlib import Path

import pytest
from msgspec import Raw, structs
from msgspec.json import format as indent

from gateway.wire import load
from gateway.wire.dialect import Dialect
from gateway.wire.openai_meter import OpenAIMeter

HERE = Path(__file__).parent
REQUESTS = sorted((HERE / "requests").glob("*/[a-z]*[a-z].json"))
STREAMS = sorted((HERE / "streams").glob("*/*.sse"))
DIALECT = Dialect(
    drop=("logit_bias", "not_there"),
    rename={"max_completion_tokens": "max_tokens"},
    set={"safe_prompt": "true", "user": '"gateway"'},
    cap={"n": 1, "top_logprobs": 1},
)


def same(path: Path, now: bytes, *, update: bool) -> None:
    if update:
        path.write_bytes(now)
    assert path.read_bytes() == now, f"{path.name} has changed: pytest tests/golden --update-golden, then review it"


@pytest.mark.parametrize("path", [path for path in REQUESTS if path.suffixes == [".json"]], ids=lambda path: path.stem)
def test_a_request_becomes_what_it_did(path: Path, update_golden: bool) -> None:
    language = path.parent.name
    wire = load(language)
    request = wire.read_request(path.read_bytes())
    body, changed = wire.write_request(request, Raw(b'"their-model"'), DIALECT, ask_usage=True)
    written = b'{"changed":%b,"body":%b}' % (json.dumps(changed).encode(), body)
    same(path.with_suffix(f".{language}.json"), indent(written) + b"\n", update=update_golden)


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
    now = json.dumps(facts, ensure_ascii=False, indent=2).encode() + b"\n"
    same(path.with_suffix(".events.json"), now, update=update_golden)


def test_there_are_files_to_compare() -> None:
    assert len(STREAMS) > 20
    assert REQUESTS
