"""Recorded traffic, and which of it is a chat: told by the path that was called, as the protocols have it."""

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.settings.load import own_environment

ROOT = Path(__file__).parents[3]
NAMED = own_environment().get("GATEWAY_WIRE_CORPUS")
CORPUS = Path(NAMED) if NAMED else ROOT.parent / "shared/wire/exchanges.jsonl.gz"

# The end of a path, and the language that is spoken there.
_PATHS = (
    (re.compile(r"/chat/completions"), "openai_chat"),
    (re.compile(r"/responses"), "openai_responses"),
    (re.compile(r"/messages|/publishers/anthropic/models/[^/]+:(?:stream)?[rR]awPredict"), "anthropic_messages"),
    (re.compile(r":(?:generateContent|streamGenerateContent)"), "gemini"),
    (re.compile(r"/model/[^/]+/converse(?:-stream)?"), "bedrock_converse"),
    (re.compile(r"/model/[^/]+/invoke(?:-with-response-stream)?"), "bedrock_invoke"),
    (re.compile(r"/v2/chat"), "cohere_chat"),
)
_STREAMED = re.compile(r"stream", re.IGNORECASE)
# Whose own client reads a recording, where it isn't that of its language.
_READERS = {("mistral", "openai_chat"): "mistral", ("vertex", "gemini"): "vertex"}
_UNFINISHED = {"queued", "in_progress"}


class Asked(msgspec.Struct):
    method: str
    url: str
    body: str | None = None


class Answered(msgspec.Struct):
    status: int
    content_type: str = ""
    body: str | None = None
    body_b64: str | None = None


class Exchange(msgspec.Struct):
    """A line of the corpus."""

    source: str
    provider: str
    operation: str
    stream: bool
    request: Asked
    response: Answered


class Recording(msgspec.Struct, frozen=True):
    """An exchange of a chat: `reader` is the official client that reads its answer, `path` what was called."""

    number: int
    source: str
    provider: str
    language: str
    reader: str
    stream: bool
    status: int
    content_type: str
    answer: bytes
    path: str
    query: str
    asked: bytes

    @property
    def row(self) -> str:
        """What it counts under in the table."""
        return f"{self.provider} {self.language}{' stream' if self.stream else ''}"


class Skipped(msgspec.Struct, frozen=True):
    """An exchange that proves nothing here, and why."""

    source: str
    why: str


def read(path: Path | None = None) -> Iterator[Recording | Skipped]:
    """Every exchange of a corpus, in its order."""
    path = CORPUS if path is None else path
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as lines:
        for number, line in enumerate(lines):
            yield sort(number, msgspec.json.decode(line, type=Exchange))


def sort(number: int, exchange: Exchange) -> Recording | Skipped:
    """A recording of a chat, or why it is none."""
    address = urlsplit(exchange.request.url)
    path = address.path
    language = next((name for end, name in _PATHS if re.search(f"(?:{end.pattern})$", path)), "")
    answer = _bytes(exchange.response)
    asked = (exchange.request.body or "").encode()
    why = ""
    if not language or exchange.request.method != "POST":
        why = f"no chat: {exchange.operation if len(exchange.operation) < 30 else 'another path'}"
    elif language == "bedrock_invoke" and "anthropic" not in unquote(path):
        why = "no chat: a model that isn't Claude, by its own body"
    elif exchange.response.status != 200 and not 400 <= exchange.response.status < 500:
        why = f"status {exchange.response.status}"
    elif not exchange.stream and exchange.response.status == 200:
        why = _unfinished(answer)
    if why:
        return Skipped(exchange.source, why)
    return Recording(
        number=number,
        source=exchange.source,
        provider=exchange.provider,
        language=language,
        reader=_READERS.get((exchange.provider, language), language),
        stream=exchange.stream or (exchange.response.status != 200 and _asks_stream(path, asked)),
        status=exchange.response.status,
        content_type=exchange.response.content_type,
        answer=answer,
        path=path,
        query=address.query,
        asked=asked,
    )


def _bytes(response: Answered) -> bytes:
    if response.body_b64 is not None:
        return base64.b64decode(response.body_b64)
    return (response.body or "").encode()


def _asks_stream(path: str, asked: bytes) -> bool:
    if _STREAMED.search(path.rpartition("/")[2]):
        return True
    try:
        return json.loads(asked).get("stream") is True
    except (ValueError, AttributeError):
        return False


def _unfinished(answer: bytes) -> str:
    """Why a whole answer isn't one: a stored answer that is still being made (OpenAI's background mode)."""
    try:
        status = json.loads(answer).get("status")
    except (ValueError, AttributeError):
        return "the answer is no JSON object"
    return f"no answer yet: {status}" if status in _UNFINISHED else ""
