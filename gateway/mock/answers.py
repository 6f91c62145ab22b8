"""What the stand-in says: text that owns up to being one, in OpenAI's shapes, whole and as events. Pure."""

from array import array
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import shake_256
from itertools import chain, cycle, islice, repeat
from math import sqrt

import orjson

from gateway.mock.asks import Ask
from gateway.mock.faults import Faults
from gateway.mock.script import Frame, Kind
from gateway.mock.spoiling import event

DONE = event(b"[DONE]")
FINGERPRINT = "fp_stand_in"
_MANY_BYTES = ("Größe ", "東京 ", "🌍🛰 ", "señal ")
_TOOL_ARGUMENTS = ('{"stand_in"', ": true}")


def _with_json(words: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    return tuple((word, orjson.dumps(word)) for word in words)


_FILLER = _with_json(
    (" so", " here", " are", " more", " words", " that", " mean", " nothing", " and", " only", " count")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything that is known of an answer before its first word."""

    ask: Ask
    id: str
    created: int
    place: str
    tokens: int
    ttft_s: float = 0.0
    tpot_s: float = 0.0
    faults: Faults

    @property
    def finish(self) -> str:
        if self.ask.tool:
            return "tool_calls"
        return "stop" if self.ask.max_tokens is None else "length"

    @property
    def length(self) -> int:
        """Tokens in one choice."""
        return len(_TOOL_ARGUMENTS) if self.ask.tool else self.tokens

    @property
    def words(self) -> Iterator[tuple[str, bytes]]:
        """One choice's tokens, each as text and as JSON."""
        if self.ask.tool:
            return iter(_with_json(_TOOL_ARGUMENTS))
        first = opening(self.ask.model, self.place, many_bytes="split_utf8" in self.faults)
        return islice(chain(first, cycle(_FILLER)), self.tokens)

    @property
    def text(self) -> str:
        """One choice's words together."""
        return "".join(word for word, _ in self.words)

    @property
    def usage(self) -> dict[str, int] | None:
        """Usage as this answer tells it, which a fault may falsify."""
        said = self.faults.text("usage")
        if said == "missing":
            return None
        count = (0, 0) if said == "zero" else (self.ask.prompt_tokens, self.ask.choices * self.length)
        return {"prompt_tokens": count[0], "completion_tokens": count[1], "total_tokens": sum(count)}


@lru_cache(maxsize=256)
def opening(model: str, place: str, *, many_bytes: bool = False) -> tuple[tuple[str, bytes], ...]:
    """The first tokens of every answer, as text and as JSON: they say what is speaking and where."""
    where = f" in {place}" if place else ""
    first, *others = f"This is the stand-in model {model}{where}; no language model is behind it,".split(" ")
    before = _MANY_BYTES if many_bytes else ()
    return _with_json((*before, first, *(f" {word}" for word in others)))


def whole(answer: Answer) -> bytes:
    """The answer as one body."""
    ask, text = answer.ask, answer.text
    chat = ask.operation == "chat"
    choices: list[dict[str, object]] = []
    for index in range(ask.choices):
        choice: dict[str, object] = {"index": index}
        if ask.tool:
            call = {"id": f"call_{answer.id}", "type": "function", "function": {"name": ask.tool, "arguments": text}}
            choice["message"] = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
        elif chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        else:
            choice["text"] = text
        choices.append({**choice, "logprobs": None, "finish_reason": answer.finish})
    body: dict[str, object] = {
        "id": answer.id,
        "object": "chat.completion" if chat else "text_completion",
        "created": answer.created,
        "model": ask.model,
        "choices": choices,
    }
    if (usage := answer.usage) is not None:
        body["usage"] = usage
    return orjson.dumps({**body, "system_fingerprint": FINGERPRINT})


def frames(answer: Answer) -> Iterator[Frame]:
    """The answer as events: roles, words, a finish_reason for each choice, usage if it was asked for, [DONE]."""
    ask = answer.ask
    chat = ask.operation == "chat"
    prefix, suffix = _around(answer, "chat.completion.chunk" if chat else "text_completion")
    wait_s = answer.ttft_s
    indexes = [b'{"index":%d,' % index for index in range(ask.choices)]
    if chat:
        delta = _first_delta(answer)
        for index in indexes:
            yield Frame(prefix + index + delta + suffix, wait_s, kind=Kind.ROLE)
            wait_s = 0.0
    before, after = b'"delta":{"content":', b'},"logprobs":null,"finish_reason":null}'
    if ask.tool:
        before, after = (
            b'"delta":{"tool_calls":[{"index":0,"function":{"arguments":',
            b'}}]},"logprobs":null,"finish_reason":null}',
        )
    elif not chat:
        before, after = b'"text":', b',"logprobs":null,"finish_reason":null}'
    starts = [prefix + index + before for index in indexes]
    after += suffix
    tpot_s = answer.tpot_s
    for _, word in answer.words:
        for start in starts:
            yield Frame(start + word + after, wait_s, 1)
            wait_s = 0.0
        wait_s = tpot_s
    last = b'"delta":{}' if chat else b'"text":""'
    for index in indexes:
        reason = b'%b%b,"logprobs":null,"finish_reason":"%b"}' % (index, last, answer.finish.encode())
        yield Frame(prefix + reason + suffix, 0.0, kind=Kind.FINISH)
    yield from _ending(answer, prefix)


def _around(answer: Answer, kind: str) -> tuple[bytes, bytes]:
    """What stands before and after the choices in every event."""
    prefix = b'data: {"id":%b,"object":%b,"created":%d,"model":%b,"system_fingerprint":%b,"choices":[' % (
        orjson.dumps(answer.id),
        orjson.dumps(kind),
        answer.created,
        orjson.dumps(answer.ask.model),
        orjson.dumps(FINGERPRINT),
    )
    # OpenAI says "usage": null in every other event once usage has been asked for.
    return prefix, b'],"usage":null}\n\n' if answer.ask.include_usage else b"]}\n\n"


def _first_delta(answer: Answer) -> bytes:
    if not answer.ask.tool:
        return b'"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}'
    call = {
        "index": 0,
        "id": f"call_{answer.id}",
        "type": "function",
        "function": {"name": answer.ask.tool, "arguments": ""},
    }
    delta = orjson.dumps({"role": "assistant", "content": None, "tool_calls": [call]})
    return b'"delta":%b,"logprobs":null,"finish_reason":null}' % delta


def _ending(answer: Answer, prefix: bytes) -> Iterator[Frame]:
    if answer.ask.include_usage and (usage := answer.usage) is not None:
        yield Frame(prefix + b'],"usage":%b}\n\n' % orjson.dumps(usage), kind=Kind.USAGE)
    yield Frame(DONE, kind=Kind.DONE)


def shaped_frames(answer: Answer, events: int, event_bytes: int) -> Iterator[Frame]:
    """A stream for benchmarks: `events` events of exactly `event_bytes` each, then usage if asked for, and [DONE].

    ValueError when an event cannot be that small.
    """
    fields = (orjson.dumps(answer.id), answer.created, orjson.dumps(answer.ask.model))
    prefix = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % fields
    shaped = _shaped(prefix, events, event_bytes, with_usage=answer.ask.include_usage)
    waits_s = chain((answer.ttft_s,), repeat(answer.tpot_s))
    kinds = chain(repeat(Kind.CONTENT, events - 1), (Kind.FINISH,))
    content = (Frame(data, wait_s, 1, kind) for data, wait_s, kind in zip(shaped, waits_s, kinds, strict=False))
    return chain(content, _ending(answer, prefix))


@lru_cache(maxsize=64)
def _shaped(prefix: bytes, events: int, event_bytes: int, *, with_usage: bool) -> tuple[bytes, ...]:
    suffix = b'],"usage":null}\n\n' if with_usage else b"]}\n\n"
    shaped = []
    for number in range(events):
        role = b'"role":"assistant",' if number == 0 else b""
        reason = b'"stop"' if number == events - 1 else b"null"
        start = prefix + b'{"index":0,"delta":{%b"content":"' % role
        end = b'"},"finish_reason":%b}' % reason + suffix
        room = event_bytes - len(start) - len(end)
        if room < 1:
            raise ValueError(f"an event of {event_bytes} bytes has no room for content: {1 - room} more are needed")
        shaped.append(start + (b" stand-in" * (room // 9 + 1))[:room] + end)
    return tuple(shaped)


def embeddings(answer: Answer, dimensions: int) -> bytes:
    """A vector for each input: the same text always gets the same one, of length one."""
    data = []
    for index, text in enumerate(answer.ask.inputs):
        vector = _vector(text, dimensions)
        packed = b64encode(array("f", vector).tobytes()).decode() if answer.ask.base64 else vector
        data.append({"object": "embedding", "index": index, "embedding": packed})
    body: dict[str, object] = {"object": "list", "data": data, "model": answer.ask.model}
    said = answer.faults.text("usage")
    if said != "missing":
        tokens = 0 if said == "zero" else answer.ask.prompt_tokens
        body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps(body)


def _vector(text: str, dimensions: int) -> list[float]:
    drawn = array("i", shake_256(text.encode("utf-8", "replace")).digest(4 * dimensions))
    length = sqrt(sum(float(value) ** 2 for value in drawn)) or 1.0
    return [value / length for value in drawn]


def model_list(models: tuple[str, ...], loras: tuple[str, ...], created: int, max_model_len: int) -> bytes:
    """The models, and the adapters as models whose parent is the first one."""
    rows = [_model_row(name, None, created, max_model_len) for name in models]
    rows += [_model_row(name, models[0] if models else None, created, max_model_len) for name in loras]
    return orjson.dumps({"object": "list", "data": rows})


def _model_row(name: str, parent: str | None, created: int, max_model_len: int) -> dict[str, object]:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "stand-in",
        "root": name,
        "parent": parent,
        "max_model_len": max_model_len if parent is None else None,
    }


def error(message: str, kind: str, *, param: str | None = None, code: str | int | None = None) -> bytes:
    """An error in OpenAI's shape."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})
