"""Callers of each language, in front of a place that speaks theirs and of one that doesn't."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import orjson

from gateway.exchange import Exchange
from gateway.settings.shape import Backend, Caps, Provider
from tests.doubles.caller import Caller
from tests.doubles.inside import KEY, Inside, settings_for
from tests.doubles.mock_caller import Heard
from tests.upstream.scripted import Upstream, sized

CAPS = Caps(json_bytes=4 * 1024 * 1024)
JSON = b"content-type: application/json\r\n"
MODEL, ELSEWHERE = "m", "x"  # served by a place of the caller's language, and by one of another
OBJECTS = Mapping[str, object]


@dataclass(frozen=True)
class Language:
    """How one language asks, and is refused by a backend of its own. `{model}` in a path is the model's name."""

    name: str
    path: str
    provider: Provider
    fields: OBJECTS
    refusal: bytes
    more: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    shape: frozenset[str] = frozenset(("error",))
    inside: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name

    @property
    def names_model(self) -> bool:
        """Whether the model stands in the body."""
        return "{model}" not in self.path

    def ask(self, **changed: object) -> dict[str, object]:
        """The fields of a good request, changed so; None leaves one out."""
        named = {"model": MODEL} if self.names_model else {}
        said = {**named, **self.fields, **changed}
        return {name: value for name, value in said.items() if value is not None}

    def wire(self, body: bytes, model: str = MODEL, headers: Mapping[str, str] | None = None) -> bytes:
        lines = [
            f"POST {self.path.replace('{model}', model)} HTTP/1.1",
            "host: gateway",
            f"authorization: Bearer {KEY}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            *(f"{name}: {value}" for name, value in {**self.headers, **(headers or {})}.items() if value),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def check_shape(self, heard: Heard, exchange: Exchange) -> None:
        """The error is one of this language, and says what the gateway means in each place the language has."""
        error = exchange.error
        assert error is not None
        said = heard.json
        assert set(said) == self.shape, said
        inner = said["error"] if "error" in self.shape else said
        assert isinstance(inner, dict)
        assert set(inner) >= self.inside
        assert inner["message"] == error.message
        assert heard.headers["x-request-id"] == exchange.call.request_id
        match self.name:
            case "openai_chat" | "openai_responses" | "openai_embeddings":
                assert (inner["code"], inner["param"]) == (error.reason, error.param)
                assert inner["type"] == "invalid_request_error"
            case "anthropic_messages":
                assert said["type"] == "error"
                assert inner["type"] == {
                    400: "invalid_request_error",
                    404: "not_found_error",
                    413: "request_too_large",
                }.get(heard.status)
                assert said["request_id"] == heard.headers["request-id"]
            case "gemini":
                assert (inner["code"], inner["status"]) in ((400, "INVALID_ARGUMENT"), (404, "NOT_FOUND"))
                details = {detail["@type"].rpartition(".")[2]: detail for detail in inner["details"]}
                assert details["ErrorInfo"]["reason"] == error.reason.upper()
                if error.param:
                    assert details["BadRequest"]["fieldViolations"][0]["field"] == error.param
            case "bedrock_converse":
                assert heard.headers["x-amzn-errortype"] in ("ValidationException", "ResourceNotFoundException")
            case _:
                assert said["id"] == exchange.call.request_id


def _provider(speaks: str, **paths: str) -> Provider:
    return Provider(name=speaks, speaks=speaks, paths=paths)


OPENAI = _provider("openai_chat", chat="/v1/chat/completions", embeddings="/v1/embeddings")
ANTHROPIC = Provider(
    name="anthropic_messages",
    speaks="anthropic_messages",
    paths={"messages": "/v1/messages"},
    crossing={"anthropic-version": "2023-06-01"},
)
_MESSAGES = [{"role": "user", "content": "Hi"}]
_OPENAI_SAYS = b'{"error":{"message":"No.","type":"invalid_request_error","param":"seed","code":"invalid_value"}}'
_OPENAI_ERROR = frozenset(("message", "type", "param", "code"))

CHAT = Language(
    "openai_chat", "/v1/chat/completions", OPENAI, {"messages": _MESSAGES}, _OPENAI_SAYS, inside=_OPENAI_ERROR
)
RESPONSES = Language(
    "openai_responses",
    "/v1/responses",
    _provider("openai_responses", responses="/v1/responses"),
    {"input": [{"role": "user", "content": "Hi"}]},
    _OPENAI_SAYS,
    inside=_OPENAI_ERROR,
)
CLAUDE = Language(
    "anthropic_messages",
    "/v1/messages",
    ANTHROPIC,
    {"max_tokens": 64, "messages": _MESSAGES},
    b'{"type":"error","error":{"type":"invalid_request_error","message":"No."}}',
    headers={"anthropic-version": "2023-06-01"},
    shape=frozenset(("type", "error", "request_id")),
)
GEMINI = Language(
    "gemini",
    "/v1beta/models/{model}:generateContent",
    _provider("gemini", generate="/models/{model}:generateContent"),
    {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
    b'{"error":{"code":400,"message":"No.","status":"INVALID_ARGUMENT"}}',
)
CONVERSE = Language(
    "bedrock_converse",
    "/model/{model}/converse",
    _provider("bedrock_converse", converse="/model/{model}/converse"),
    {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    b'{"message":"No."}',
    b"x-amzn-errortype: ValidationException\r\n",
    shape=frozenset(("message",)),
)
COHERE = Language(
    "cohere_chat",
    "/v2/chat",
    _provider("cohere_chat", cohere_chat="/v2/chat"),
    {"messages": _MESSAGES},
    b'{"message":"No."}',
    shape=frozenset(("id", "message")),
)
EMBEDDINGS = Language(
    "openai_embeddings", "/v1/embeddings", OPENAI, {"input": "Hi"}, _OPENAI_SAYS, inside=_OPENAI_ERROR
)
LANGUAGES = (CHAT, RESPONSES, CLAUDE, GEMINI, CONVERSE, COHERE)


class Stage:
    """A gateway, with a place that speaks the caller's language and one that speaks another."""

    def __init__(self, language: Language, inside: Inside, native: Upstream, other: Upstream) -> None:
        self.language = language
        self.inside = inside
        self.native = native
        self.other = other

    async def says(self, body: bytes | OBJECTS, model: str = MODEL, headers: Mapping[str, str] | None = None) -> Heard:
        sent = body if isinstance(body, bytes) else orjson.dumps(body)
        if model == ELSEWHERE:
            sent = sent.replace(b'"model":"m"', b'"model":"x"', 1)
        count = len(self.inside.settled)
        async with Caller(self.inside.port) as caller:
            caller.send(self.language.wire(sent, model, headers))
            heard = await caller.answer()
        await self.inside.until(lambda settled: len(settled) > count)
        assert self.inside.bugs == []
        return heard

    async def sends(self, first: str, body: OBJECTS) -> Heard:
        """A good request by another first line."""
        wire = self.language.wire(orjson.dumps(body)).partition(b"\r\n")[2]
        async with Caller(self.inside.port) as caller:
            caller.send(first.encode() + b"\r\n" + wire)
            return await caller.answer()

    async def refuses(
        self,
        body: bytes | OBJECTS,
        code: str,
        param: str | None,
        model: str = MODEL,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """The caller is refused so, in his own language's shape, and nobody was asked."""
        heard = await self.says(body, model, headers)
        [*_, exchange] = self.inside.settled
        assert heard.status == status, heard.wire[:2000]
        assert exchange.error is not None
        assert (exchange.error.reason, exchange.error.param) == (code, param)
        self.language.check_shape(heard, exchange)
        assert self.native.requests == self.other.requests == []
        assert exchange.attempts == []

    async def carries(self, body: bytes | OBJECTS, *slices: bytes) -> bytes:
        """It reaches the place of the caller's language with these slices as they were; its 4xx comes back."""
        heard = await self.says(body)
        assert len(self.native.requests) == 1, heard.wire
        _, _, sent = self.native.requests[0].partition(b"\r\n\r\n")
        for part in slices:
            assert part in sent, sent[:2000]
        assert heard.status == 400
        [exchange] = self.inside.settled
        assert exchange.attempts[0].status == 400
        self.language.check_shape(heard, exchange)
        return self.native.requests[0]

    async def translates(self, body: bytes | OBJECTS) -> tuple[dict[str, object], list[str]]:
        """What the place of another language was asked, and what the caller is told that it wasn't."""
        heard = await self.says(body, ELSEWHERE)
        assert len(self.other.requests) == 1, heard.wire
        sent: dict[str, object] = orjson.loads(self.other.requests[0].partition(b"\r\n\r\n")[2])
        [exchange] = self.inside.settled
        return sent, list(exchange.changed)


@contextlib.asynccontextmanager
async def stage(language: Language) -> AsyncIterator[Stage]:
    elsewhere = ANTHROPIC if language.provider is OPENAI else OPENAI
    refused = sized(language.refusal, status=b"400 Bad Request", more=JSON + language.more)
    told = sized(CLAUDE.refusal if elsewhere is ANTHROPIC else CHAT.refusal, status=b"400 Bad Request", more=JSON)
    async with Upstream(refused) as native, Upstream(told) as other:
        settings = settings_for(
            {
                MODEL: [_backend("native", language.provider, native)],
                ELSEWHERE: [_backend("other", elsewhere, other)],
            },
            caps=CAPS,
        )
        async with Inside(settings) as inside:
            yield Stage(language, inside, native, other)


def _backend(name: str, provider: Provider, upstream: Upstream) -> Backend:
    return Backend(name=name, provider=provider, base_urls=(upstream.url,))
