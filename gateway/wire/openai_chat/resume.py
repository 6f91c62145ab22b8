"""Chat completions that go on elsewhere: what may, what was heard, and how the rest is asked for.

What is asked for must be the same as if nothing had happened, so a request goes on only where every field it has is
known not to depend on what was said so far.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from gateway.features import Request
from gateway.wire.openai_chat.joined import END, Rest, payload_of, read_any
from gateway.wire.openai_event import read as read_event
from gateway.wire.openai_event import usage_of
from gateway.wire.resuming import Count, Prefill, Seam, count, partly, split

_LF: Final = 10

# Fields that ask the same of the second half as of the whole.
_SAME: Final = frozenset(
    (
        "cache_prompt",
        "ignore_eos",
        "logit_bias",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "min_p",
        "model",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "stop",
        "stream",
        "temperature",
        "tool_choice",
        "top_k",
        "top_p",
        "user",
    )
)
# Those that do where they ask for nothing. vLLM counts for both penalties only what was said, not what was prompted.
_ZERO: Final = (b"0", b"0.0")
_IDLE: Final[Mapping[str, tuple[bytes, ...]]] = {
    "frequency_penalty": _ZERO,
    "functions": (b"[]",),
    "logprobs": (b"false",),
    "n": (b"1",),
    "presence_penalty": _ZERO,
    "response_format": (b'{"type":"text"}',),
    "store": (b"false",),
    "stream_options": (b'{"include_usage":true}', b'{"include_usage":false}', b"{}"),
    "tools": (b"[]",),
    "top_logprobs": _ZERO,
}
_CAPS: Final = ("max_tokens", "max_completion_tokens")
_NOBODYS: Final = b"".join(bytes((one,)) for one in b" \t\r\n")


class _Delta(Struct, gc=False, forbid_unknown_fields=True):
    """Text and nothing else; the rest are what some say null of in each event."""

    role: str | None = None
    content: str | None = None
    reasoning_content: None = None
    reasoning: None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    logprobs: None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: object = None


class _Turn(Struct, gc=False):
    role: str = ""


_chunk: Final = Decoder(_Chunk).decode
_turns: Final = Decoder(list[_Turn]).decode
_stops: Final = Decoder(str | list[str] | None).decode
_whole: Final = Decoder(int | None).decode


class Chat:
    """See Resume."""

    def hearer(self, request: Request) -> "Heard | None":
        return Heard() if "messages" in request.fields and _goes_on(request.fields) else None


RESUME: Final = Chat()


def _goes_on(fields: Mapping[str, Raw]) -> bool:
    for name, value in fields.items():
        if name in _SAME:
            continue
        text = bytes(value).translate(None, _NOBODYS)
        if text != b"null" and text not in _IDLE.get(name, ()) and not (name == "seed" and _is_greedy(fields)):
            return False
    return True


def _is_greedy(fields: Mapping[str, Raw]) -> bool:
    """Whether nothing is left to chance: else a seed begins anew with the second half."""
    return bytes(fields.get("temperature", b"")).strip() in _ZERO


class Heard:
    """What a caller has heard of one chat: its text by events, and how they look."""

    __slots__ = ("_exact", "_last", "_told", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._last = b"{}"
        self._told: tuple[int, bytes] | None = None  # how many texts there were, and the event that counted them
        self._exact = True

    def heard(self, events: bytes) -> None:
        if not self._exact:
            return
        # Nearly every piece is one event of one line, as in the meter.
        payload = events[6:-2]
        if events[:6] == b"data: " and _LF not in payload:
            self._hear(payload)
            return
        for event in events.split(END):
            if (payload := payload_of(event)) and self._exact:
                self._hear(payload)

    def _hear(self, payload: bytes) -> None:
        try:
            chunk = _chunk(payload)
        except (ValueError, RecursionError):
            self._look(payload)
            return
        for choice in chunk.choices or ():
            delta = choice.delta
            if choice.index or delta is None:
                self._give_up()
            elif delta.content:
                self.texts.append(delta.content)
                self._last = payload
        if chunk.usage is not None:
            self._told = len(self.texts), payload

    def _look(self, payload: bytes) -> None:
        """The same, of an event that has more in it than others have."""
        try:
            chunk = read_any(payload)
        except (ValueError, RecursionError):
            self._give_up()
            return
        for choice in chunk.choices or ():
            text = choice.text()
            if text is None:
                self._give_up()
            elif text:
                self.texts.append(text)
                self._last = payload
        if chunk.usage is not None:
            self._told = len(self.texts), payload

    def _give_up(self) -> None:
        """Something that can't be said again by halves."""
        self._exact = False
        self.texts.clear()

    def rest(self, request: Request, prefill: Prefill) -> Rest | None:
        if not (prefill and self._exact and self.texts):
            return None
        try:
            return self._rest(request, prefill)
        except ValueError:
            return None  # a field of a type that only its backend understands

    def _rest(self, request: Request, prefill: Prefill) -> Rest | None:
        fields = request.fields.copy()
        text = "".join(self.texts)
        if _turns(fields["messages"])[-1].role == "assistant" or partly(text, _stops_of(fields)):
            return None
        prompt, said = self.tokens()
        sent, reread = split(self.texts, prefill, said)
        is_over = is_capped = False
        for name in _CAPS:
            most = _number(fields.get(name))
            if most is None:
                continue
            is_capped = True
            left = most - reread.most
            if left == 0 and reread.certain:
                # It broke between its last token and its end: the end is asked for, with a token that nobody hears.
                is_over, left = True, 1
            elif left <= 0:
                return None
            fields[name] = Raw(encode(left))
        if sent:
            fields["messages"] = _with_turn(fields["messages"], sent, prefill)
            if prefill == "continue_final_message":
                # vLLM refuses a request where both are true, and one is by default (its protocol.py).
                fields |= {prefill: Raw(b"true"), "add_generation_prompt": Raw(b"false")}
        return Rest(
            Request(fields, request.model, request.stream, request.wants_usage, request.query),
            self._last,
            Seam(sent, text[len(sent) :], prefill),
            prompt,
            said,
            reread,
            is_over=is_over,
            is_guessed=is_capped and not reread.certain,
        )

    def tokens(self) -> tuple[int | None, Count]:
        """The prompt's, where an event told, and those of what was heard."""
        if self._told is None:
            return None, count(self.texts)
        at, payload = self._told
        usage = usage_of(read_event(payload))
        if usage is None:
            return None, count(self.texts)
        return usage.input_tokens, count(self.texts[at:]).plus(usage.output_tokens, usage.output_tokens)


def _with_turn(messages: Raw, text: str, prefill: Prefill) -> Raw:
    turn: dict[str, object] = {"role": "assistant", "content": text}
    if prefill == "prefix":
        turn[prefill] = True
    return Raw(b"%b,%b]" % (bytes(messages).rstrip()[:-1], encode(turn)))


def _stops_of(fields: Mapping[str, Raw]) -> list[str]:
    stop = _stops(fields.get("stop", Raw(b"null")))
    return [stop] if isinstance(stop, str) else stop or []


def _number(value: Raw | None) -> int | None:
    return _whole(value) if value is not None else None
