"""What an answer says, in nobody's language, so that two readings of it can be compared.

It is read in the clients' own environment and judged in ours, so it knows the standard library alone.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

# A signature that passes through another language says whose it is: gateway/wire/signing.py.
_PACKED = re.compile(r"gw1\.[\w-]+\.")


@dataclass(frozen=True, slots=True)
class Tool:
    """A call; `arguments` parsed, or the text itself where it is no JSON."""

    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens. `input` includes what was cached and written to the cache, `output` what was thought."""

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0


@dataclass(slots=True)
class Claims:
    """One answer. `others` are kinds of blocks that one language alone has.

    `seals` are signatures of thoughts and redacted ones; `loose_seals` those of calls and texts, which Gemini signs.

    `ids` are the calls', `citations` an address each (or "") and what else names it.

    `finish` is one of stop, sequence, length, tools, filter, refusal, pause, context, malformed, other. `broken` is
    set where the answer itself says that it failed.
    """

    text: str = ""
    refusal: str = ""
    thinking: str = ""
    seals: list[str] = field(default_factory=list)
    loose_seals: list[str] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    ids: list[str] = field(default_factory=list, compare=False)
    citations: list[list[str]] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    logprobs: list[list[Any]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    finish: str = ""
    usage: Used | None = None
    choices: int = 1
    broken: str = ""

    def call(self, name: str | None, arguments: Any, call_id: str | None) -> None:
        """Note a tool call; arguments as JSON text, or as the object they are."""
        self.tools.append(Tool(name or "", parsed(arguments)))
        self.ids.append(call_id or "")

    def seal(self, value: str | bytes | None, *, loose: bool = False) -> None:
        """Note a signature or a redacted thought, bare."""
        if not value:
            return
        if isinstance(value, bytes):
            # Bedrock holds Anthropic's text as bytes; what is no text is known by its base64, as Gemini writes it.
            plain = value.isascii() and value.decode().isprintable()
            value = value.decode() if plain else base64.b64encode(value).decode()
        (self.loose_seals if loose else self.seals).append(_PACKED.sub("", value, count=1))

    def cite(self, url: str | None, *named: str | None) -> None:
        """Note where words are from: an address, and whatever else names the place."""
        said = [url or "", *(name for name in named if name)]
        if any(said) and said not in self.citations:
            self.citations.append(said)

    def show(self, kind: str, data: str | bytes) -> None:
        """Note an image or a sound by what it holds; text is base64."""
        raw = base64.b64decode(data) if isinstance(data, str) else data
        self.media.append(f"{kind}:{hashlib.sha256(raw).hexdigest()[:16]}")

    def weigh(self, token: str, logprob: float) -> None:
        """Note how probable a token was."""
        self.logprobs.append([token, round(logprob, 4)])


@dataclass(slots=True)
class Refusal:
    """An error as the official client raised it: its class, its HTTP status, its words."""

    kind: str
    status: int
    message: str


@dataclass(slots=True)
class Heard:
    """What came of one call: claims, or a typed error, or `trouble` of any other kind."""

    claims: Claims | None = None
    refusal: Refusal | None = None
    trouble: str = ""
    request_id: str = ""
    dropped: str = ""

    def headed(self, headers: Mapping[str, str]) -> Self:
        """The same, with what the answer's header says."""
        self.request_id = headers.get("x-request-id", "")
        self.dropped = headers.get("x-gateway-dropped", "")
        return self

    def written(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Self:
        told = dict(written)
        claims = told.pop("claims")
        refusal = told.pop("refusal")
        return cls(
            claims=None if claims is None else _claims(claims),
            refusal=None if refusal is None else Refusal(**refusal),
            **told,
        )


def parsed(arguments: Any) -> Any:
    """The arguments of a call as a value; none at all are an empty object."""
    if isinstance(arguments, str):
        try:
            return json.loads(arguments or "{}")
        except ValueError:
            return arguments
    return {} if arguments is None else arguments


def _claims(told: Mapping[str, Any]) -> Claims:
    tools = [Tool(**tool) for tool in told["tools"]]
    usage = None if told["usage"] is None else Used(**told["usage"])
    return Claims(**{**told, "tools": tools, "usage": usage})
