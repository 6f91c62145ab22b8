"""Which path is answered with what: the model calls, the health and metrics of a vLLM, and the stand-in's own doors."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import orjson

from gateway.mock import answers
from gateway.mock.answers import Answer
from gateway.mock.asks import OPERATIONS, Ask, BadAsk, read_ask
from gateway.mock.faults import NO_FAULTS, Faults, Standing
from gateway.mock.ledger import Entry
from gateway.mock.metrics import CONTENT_TYPE as METRICS_TYPE
from gateway.mock.options import MockOptions
from gateway.mock.playing import Stage
from gateway.mock.script import Frame, Header, Kind, Step, Then, framed, head_of, travelled
from gateway.mock.spoiling import HTML_BODY, spoiled, spoiled_body

JSON_TYPE = "application/json"
SECRET_HEADERS = frozenset(
    ("authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie", "proxy-authorization", "x-gateway-key")
)
# name of the fault → status, type, code, words
REFUSALS: dict[str, tuple[int, str, str | int | None, str]] = {
    "loading": (503, "unavailable_error", 503, "Loading model"),  # llama.cpp's words
    "quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota, says the stand-in."),
    "context_length": (
        *(400, "invalid_request_error", "context_length_exceeded"),
        "This stand-in's maximum context length is shorter than that.",
    ),
    "content_policy": (400, "invalid_request_error", "content_policy_violation", "The stand-in's policy refuses this."),
}
_STATUS_TYPES = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    529: ("overloaded_error", None),
}


@dataclass(slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    keep_alive: bool = True
    chunks: bool = True  # HTTP/1.0 knows none
    connection: int = 0


@dataclass(slots=True)
class Reply:
    """How to answer it: steps to play, and what happens to the connection after them."""

    steps: Iterator[Step]
    keep_alive: bool
    entry: Entry | None = None
    in_slot: bool = False
    reason: str = "stop"
    faults: Faults = field(default_factory=lambda: NO_FAULTS)


class Desk:
    """Answers the requests of one stand-in."""

    def __init__(self, options: MockOptions, stage: Stage, standing: Standing) -> None:
        self._options = options
        self._stage = stage
        self._standing = standing
        self._started_at = stage.clock.monotonic()
        self._created = int(stage.clock.wall())
        self._run = f"{stage.clock.draw() & 0xFFFFFFFF:08x}"

    def answer(self, request: Request) -> Reply:
        """The reply to any request; a fault it names wrongly is a 400."""
        path, method = request.path, request.method
        if path.startswith("/mock/"):
            return self._own_door(request)
        if method == "POST":
            return self._model_call(request)
        if method in ("GET", "HEAD"):
            return self._looked_up(request)
        return self._error(request, 405, "no such method here", "invalid_request_error")

    def _looked_up(self, request: Request) -> Reply:
        path = request.path
        if path in ("/health", "/ping"):
            sick = self._cold or self._standing.holds("loading")
            if sick:
                return self._refusal(request, "loading")
            return self._plain(request, 503 if self._standing.holds("unhealthy") else 200)
        if self._cold:
            return self._refusal(request, "loading")
        if path == "/metrics":
            page = self._stage.meters.page(self._stage.slots, self._stage.clock.wall())
            return self._plain(request, 200, page, METRICS_TYPE)
        if path == "/load":
            slots = self._stage.slots
            return self._plain(request, 200, orjson.dumps({"server_load": slots.running + slots.waiting}))
        if path == "/v1/models":
            known = self._options
            body = answers.model_list(known.models, known.loras, self._created, known.max_model_len)
            return self._plain(request, 200, body)
        return self._error(request, 404, "no such path here", "invalid_request_error", code="unknown_route")

    @property
    def _cold(self) -> bool:
        cold_s = self._options.cold_s
        return cold_s > 0 and self._stage.clock.monotonic() - self._started_at < cold_s

    # The stand-in's own doors

    def _own_door(self, request: Request) -> Reply:
        ledger = self._stage.ledger
        match request.method, request.path:
            case "GET", "/mock/ledger":
                return self._plain(request, 200, orjson.dumps(ledger.as_json()))
            case "DELETE", "/mock/ledger":
                ledger.clear()
                return self._plain(request, 200, orjson.dumps(ledger.totals()))
            case "POST", "/mock/fault":
                try:
                    self._standing.set(_specs_in(request.body))
                except ValueError as error:
                    return self._error(request, 400, str(error), "invalid_request_error")
                ledger.changed()
            case "GET", "/mock/fault":
                pass
            case _:
                return self._error(request, 404, "no such door", "invalid_request_error")
        return self._plain(request, 200, orjson.dumps({"faults": self._standing.specs}))

    # Model calls

    def _model_call(self, request: Request) -> Reply:
        stage = self._stage
        entry = stage.ledger.open(request.path, stage.clock.monotonic())
        entry.connection = request.connection
        entry.request_id = request.headers.get("x-request-id")
        if key := request.headers.get("authorization"):
            entry.authorization = sha256(key.encode()).hexdigest()[:12]
        if self._options.keep_bodies:
            entry.body = request.body
            entry.headers = {name: _kept(name, value) for name, value in request.headers.items()}
        try:
            faults = self._standing.take(request.headers.get("x-mock-fault", ""))
        except ValueError as error:
            return self._error(request, 400, str(error), "invalid_request_error", entry=entry)
        entry.faults = faults.specs
        refused = self._refused(request, entry, faults)
        if refused is not None:
            return refused
        operation = OPERATIONS.get(request.path)
        if operation is None:
            return self._error(request, 404, "no such path here", "invalid_request_error", entry=entry)
        try:
            ask = read_ask(operation, request.body)
            entry.model, entry.stream, entry.prompt_tokens = ask.model, ask.stream, ask.prompt_tokens
            self._check(ask)
            return self._said(request, entry, ask, faults)
        except ValueError as error:
            return self._error(request, 400, str(error), "invalid_request_error", entry=entry)
        except BadAsk as bad:
            kind = "NotFoundError" if bad.status == 404 else "invalid_request_error"
            return self._error(request, bad.status, bad.message, kind, param=bad.param, code=bad.code, entry=entry)

    def _refused(self, request: Request, entry: Entry, faults: Faults) -> Reply | None:
        """The reply of a fault that answers in place of the model."""
        if self._cold:
            return self._refusal(request, "loading", entry)
        if not faults:
            return None
        if "refuse" in faults:
            return Reply(iter((Step(0.0, b"", 0, Then.CLOSE),)), keep_alive=False, entry=entry, faults=faults)
        for name in REFUSALS:
            if name in faults:
                return self._refusal(request, name, entry, faults)
        if faults.status is not None:
            status = int(faults.status)
            kind, code = _STATUS_TYPES.get(status, ("server_error", None))
            after_s = faults.count("429")
            headers = () if after_s is None else (("retry-after", str(after_s)),)
            words = f"The stand-in answers {status} as it was told to."
            return self._error(request, status, words, kind, code=code, entry=entry, faults=faults, headers=headers)
        if address := faults.text("redirect"):
            return self._plain(request, 307, entry=entry, faults=faults, headers=(("location", address),))
        if "html" in faults:
            return self._plain(request, 200, HTML_BODY, "text/html; charset=utf-8", entry=entry, faults=faults)
        return None

    def _check(self, ask: Ask) -> None:
        known = (*self._options.models, *self._options.loras)
        if known and ask.model not in known:
            raise BadAsk("no such model here", status=404, param="model", code="model_not_found")
        if ask.prompt_tokens + (ask.max_tokens or 0) > self._options.max_model_len:
            raise BadAsk(REFUSALS["context_length"][3], param="messages", code="context_length_exceeded")

    def _said(self, request: Request, entry: Entry, ask: Ask, faults: Faults) -> Reply:
        options = self._options
        ttft_s, tpot_s = faults.seconds("ttft"), faults.seconds("tpot")
        shaped = options.events > 0 and ask.operation == "chat" and ask.stream
        kind = "chatcmpl" if ask.operation == "chat" else "cmpl"
        answer = Answer(
            ask=ask,
            # Shaped events are made once, so they are all alike.
            id=f"{kind}-{self._run}" if shaped else f"{kind}-stand-in-{self._run}-{entry.sequence}",
            created=self._created if shaped else int(self._stage.clock.wall()),
            place=options.place,
            tokens=options.events if shaped else faults.count("tokens") or ask.max_tokens or options.tokens,
            ttft_s=options.ttft_s if ttft_s is None else ttft_s,
            tpot_s=options.tpot_s if tpot_s is None else tpot_s,
            faults=faults,
        )
        stream = (ask.stream and "json_to_stream" not in faults) or "sse_to_whole" in faults
        if ask.operation != "embeddings" and stream:
            return self._streamed(request, entry, answer, shaped=shaped)
        if ask.operation == "embeddings":
            body, tokens, wait_s = answers.embeddings(answer, ask.dimensions or options.dimensions), 0, answer.ttft_s
        else:
            tokens = ask.choices * answer.length
            body, wait_s = answers.whole(answer), answer.ttft_s + (answer.length - 1) * answer.tpot_s
        body = spoiled_body(body, faults)
        reply = self._whole(request, 200, body, JSON_TYPE, wait_s=wait_s, tokens=tokens, entry=entry, faults=faults)
        reply.in_slot = True
        reply.reason = "length" if answer.finish == "length" else "stop"
        return reply

    def _streamed(self, request: Request, entry: Entry, answer: Answer, *, shaped: bool) -> Reply:
        faults = answer.faults
        delimited = "close_delimited" in faults or "close_delimited_reset" in faults or not request.chunks
        keep_alive = request.keep_alive and not delimited
        headers: list[Header] = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")]
        if not delimited:
            headers.append(("transfer-encoding", "chunked"))
        head = self._head(request, entry, faults.count("status") or 200, headers, faults, keep_alive=keep_alive)
        if shaped:
            frames = answers.shaped_frames(answer, self._options.events, self._options.event_bytes)
        else:
            frames = answers.frames(answer)
        off = faults.count("wrong_length") or 0
        steps = framed(spoiled(frames, faults), head, chunked=not delimited, first_size_off=off)
        return Reply(
            travelled(steps, faults),
            keep_alive=keep_alive,
            entry=entry,
            in_slot=True,
            reason="length" if answer.finish == "length" else "stop",
            faults=faults,
        )

    # Whole answers of every kind

    def _whole(
        self,
        request: Request,
        status: int,
        body: bytes,
        content_type: str,
        *,
        wait_s: float = 0.0,
        tokens: int = 0,
        entry: Entry | None = None,
        faults: Faults = NO_FAULTS,
        headers: tuple[Header, ...] = (),
    ) -> Reply:
        delimited = "close_delimited" in faults or "close_delimited_reset" in faults
        keep_alive = request.keep_alive and not delimited
        off = faults.count("wrong_length") or 0
        fields: list[Header] = [("content-type", content_type)] if body else []
        if not delimited:
            fields.append(("content-length", str(max(0, len(body) + off))))
        fields += headers
        status = faults.count("status") or status
        head = self._head(request, entry, status, fields, faults, keep_alive=keep_alive)
        # A length that promises more than there is can only be noticed once the connection closes.
        then = Then.CLOSE if off > 0 else Then.END
        sent = b"" if request.method == "HEAD" else body
        frame = Frame(sent, wait_s, tokens, Kind.WHOLE, then)
        if faults.count("stall_mid") == 0:
            frame = frame._replace(data=b"", tokens=0, then=Then.STALL)
        steps = framed(iter((frame,)), head, chunked=False)
        return Reply(travelled(steps, faults), keep_alive=keep_alive, entry=entry, faults=faults)

    def _plain(
        self,
        request: Request,
        status: int,
        body: bytes = b"",
        content_type: str = JSON_TYPE,
        *,
        entry: Entry | None = None,
        faults: Faults = NO_FAULTS,
        headers: tuple[Header, ...] = (),
    ) -> Reply:
        return self._whole(request, status, body, content_type, entry=entry, faults=faults, headers=headers)

    def _error(
        self,
        request: Request,
        status: int,
        words: str,
        kind: str,
        *,
        param: str | None = None,
        code: str | int | None = None,
        entry: Entry | None = None,
        faults: Faults = NO_FAULTS,
        headers: tuple[Header, ...] = (),
    ) -> Reply:
        body = answers.error(words, kind, param=param, code=code)
        return self._plain(request, status, body, entry=entry, faults=faults, headers=headers)

    def _refusal(self, request: Request, name: str, entry: Entry | None = None, faults: Faults = NO_FAULTS) -> Reply:
        status, kind, code, words = REFUSALS[name]
        return self._error(request, status, words, kind, code=code, entry=entry, faults=faults)

    def _head(
        self,
        request: Request,
        entry: Entry | None,
        status: int,
        headers: list[Header],
        faults: Faults,
        *,
        keep_alive: bool,
    ) -> bytes:
        if entry is not None:
            entry.status = status
            headers.append(("x-request-id", entry.request_id or f"stand-in-{self._run}-{entry.sequence}"))
        if not keep_alive:
            headers.append(("connection", "close"))
        return head_of(status, tuple(headers), faults)


def _kept(name: str, value: str) -> str:
    return f"sha256:{sha256(value.encode()).hexdigest()[:12]}" if name in SECRET_HEADERS else value


def _specs_in(body: bytes) -> list[str]:
    """The specs of a JSON list of strings. ValueError otherwise."""
    specs: object = orjson.loads(body)
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise ValueError('the faults are a JSON list of texts, such as ["500*2", "stall"]')
    return specs
