"""Uploads through the gateway, on real sockets."""

import asyncio

import pytest
from aiohttp import web

from gateway.settings.keys import digest_of
from gateway.settings.shape import Caller as Key
from gateway.settings.shape import Caps, Deadlines, Timeouts
from tests.doubles.caller import Caller, chat, request
from tests.doubles.inside import CALLER, KEY, Inside, settings_for
from tests.doubles.mock_caller import Heard
from tests.server.slow.places import PLACE_KEY, SlowPlace

AUDIO = "/v1/audio/transcriptions"
BOUNDARY = "----form7"
FILE = bytes(range(256)) * 20
NARROW_KEY = "sk-gw-narrow-0123456789abcdef"
NARROW = Key(name="narrow", team="tests", digest=digest_of(NARROW_KEY, ""), models=("other",))


def part(name: str, data: bytes, *, filename: str = "", kind: str = "", extra: str = "") -> bytes:
    more = f'; filename="{filename}"' if filename else ""
    lines = f'Content-Disposition: form-data; name="{name}"{more}\r\n'
    lines += f"Content-Type: {kind}\r\n" if kind else ""
    return f"--{BOUNDARY}\r\n{lines}{extra}\r\n".encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


SPOKEN = form(
    part("file", FILE, filename='a "b".wav', kind="audio/wav"),
    part("model", b"m"),
    part("language", b"de"),
    part("timestamp_granularities[]", "wörter".encode()),
)


def upload(
    body: bytes = SPOKEN,
    *,
    path: str = AUDIO,
    chunk_bytes: int = 0,
    key: str = KEY,
    headers: dict[str, str] | None = None,
) -> bytes:
    """A multipart request, in chunks of so many bytes or with its length."""
    framing = {"transfer-encoding": "chunked"} if chunk_bytes else {"content-length": str(len(body))}
    named = {"content-type": f"multipart/form-data; boundary={BOUNDARY}", **framing, **(headers or {})}
    head = request(path=path, key=key, headers=named)
    if not chunk_bytes:
        return head + body
    chunks = [body[at : at + chunk_bytes] for at in range(0, len(body), chunk_bytes)]
    return head + b"".join([b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]) + b"0\r\n\r\n"


async def answered(inside: Inside, data: bytes) -> Heard:
    """The one answer of a connection, which then ends."""
    async with Caller(inside.port) as caller:
        caller.send(data)
        return await caller.ends()


@pytest.mark.parametrize("chunk_bytes", [0, 5, 1000])
@pytest.mark.parametrize("path", [AUDIO, "/v1/audio/translations", "/v1/images/edits"])
async def test_a_form_crosses_whole_with_the_targets_model(path: str, chunk_bytes: int) -> None:
    async with SlowPlace() as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        heard = await answered(inside, upload(path=path, chunk_bytes=chunk_bytes))
        assert (heard.status, heard.json) == (200, {"text": "hello"})
        (arrived,) = place.uploads
        assert arrived.path == path
        assert arrived.parts == [
            ("file", "a %22b%22.wav", "audio/wav", FILE),
            ("model", None, "", b"mock-model"),
            ("language", None, "", b"de"),
            ("timestamp_granularities[]", None, "", "wörter".encode()),
        ]
        assert int(arrived.headers["content-length"]) > len(FILE)
        assert arrived.headers["authorization"] == f"Bearer {PLACE_KEY}"
        assert (arrived.headers["accept-encoding"], "cookie" in arrived.headers) == ("identity", False)
        assert arrived.headers["x-gateway-hop"] == "inside-0001"
        assert KEY not in str(arrived.headers)


async def test_an_answer_has_the_headers_of_every_answer_and_is_settled_once() -> None:
    async with SlowPlace() as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        heard = await answered(inside, upload(headers={"x-request-id": "my-own-id"}))
        headers = heard.headers
        assert headers["x-request-id"] == "my-own-id"
        assert headers["connection"] == "close"
        assert headers["x-gateway-model"] == "m"
        assert headers["x-gateway-region"] == "eu-central"
        assert headers["x-gateway-backend"] == "place"
        assert headers["cache-control"] == "no-store"
        assert {"server", "date", "set-cookie"} & set(headers) == set()
        assert heard.ending == "fin"
        (exchange,) = inside.settled
        assert (exchange.operation, exchange.model, exchange.status) == ("audio_transcriptions", "m", 200)
        assert (exchange.outcome, exchange.complete, exchange.settled) == ("answered", True, True)
        assert exchange.bytes_in > len(FILE)
        assert exchange.call.caller is CALLER
        assert [attempt.outcome for attempt in exchange.attempts] == ["answered"]
        assert inside.health.row("place").answered == 1
        await inside.until_alone()
        assert (inside.door.busy, inside.bugs) == (0, [])


async def test_a_form_is_handed_over_also_as_a_later_request_of_a_connection() -> None:
    async with (
        SlowPlace() as place,
        Inside(settings_for({"m": [place.backend()]})) as inside,
        Caller(inside.port) as caller,
    ):
        for _ in range(2):
            caller.send(request(path="/healthz", method="GET"))
            assert (await caller.answer()).status == 200
        caller.send(upload() + request(path="/healthz", method="GET"))
        heard = await caller.ends()
        assert heard.json == {"text": "hello"}, "and what followed it is not another request"
        assert len(place.uploads) == 1


async def test_a_form_asking_for_h2c_is_a_form() -> None:
    async with SlowPlace() as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        heard = await answered(
            inside,
            upload(headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMA"}),
        )
        assert (heard.status, len(place.uploads)) == (200, 1)


async def test_who_waits_for_leave_to_send_his_form_gets_it_once() -> None:
    async with (
        SlowPlace() as place,
        Inside(settings_for({"m": [place.backend()]})) as inside,
        Caller(inside.port) as caller,
    ):
        data = upload(headers={"expect": "100-continue"})
        head, _, body = data.partition(b"\r\n\r\n")
        caller.send(head + b"\r\n\r\n")
        assert await caller.hears(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.send(body)
        assert (await caller.hears(b"\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_large_file_crosses_through_a_file_not_through_memory() -> None:
    large = bytes(3 * 1024 * 1024)
    async with SlowPlace() as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        body = form(part("image", large, filename="a.png"), part("model", b"m"))
        heard = await answered(inside, upload(body, path="/v1/images/edits"))
        assert heard.status == 200
        assert place.uploads[0].parts[0][3] == large


async def test_the_next_place_gets_the_same_form_when_the_first_fails() -> None:
    async def fail(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no"}}, status=500)

    async with (
        SlowPlace(answers=fail) as first,
        SlowPlace() as second,
        Inside(settings_for({"m": [first.backend("first"), second.backend("second")]})) as inside,
    ):
        heard = await answered(inside, upload())
        assert (heard.status, heard.headers["x-gateway-backend"]) == (200, "second")
        assert first.uploads[0].parts == second.uploads[0].parts
        (exchange,) = inside.settled
        assert [attempt.outcome for attempt in exchange.attempts] == ["upstream_invalid_response", "answered"]
        assert inside.health.row("first").failed == 1


async def test_a_place_that_nobody_listens_at_is_passed_over() -> None:
    async with SlowPlace() as gone:
        dead = gone.backend("dead")
    async with SlowPlace() as place, Inside(settings_for({"m": [dead, place.backend()]})) as inside:
        heard = await answered(inside, upload())
        assert heard.status == 200
        assert [attempt.outcome for attempt in inside.settled[0].attempts] == ["upstream_unreachable", "answered"]


async def test_what_the_place_refuses_of_the_callers_is_told_him_and_tried_nowhere_else() -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "too short", "code": "audio_too_short"}}, status=400)

    async with (
        SlowPlace(answers=refuse) as first,
        SlowPlace() as second,
        Inside(settings_for({"m": [first.backend("first"), second.backend("second")]})) as inside,
    ):
        heard = await answered(inside, upload())
        assert heard.status == 400
        assert heard.json["error"] == {
            "message": "too short",
            "type": "invalid_request_error",
            "param": None,
            "code": "audio_too_short",
        }
        assert second.uploads == []


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
async def test_an_error_that_hides_in_a_200_is_a_failure(kind: str) -> None:
    async def pretend(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b'{"error":{"message":"x"}}', content_type=kind)

    async with SlowPlace(answers=pretend) as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        heard = await answered(inside, upload())
        assert (heard.status, heard.headers["x-should-retry"]) == (502, "false")


async def test_another_gateways_loop_is_tried_nowhere_else_and_no_fault_of_the_place() -> None:
    async def loop(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "loop"}}, status=508)

    async with SlowPlace(answers=loop) as first, SlowPlace() as second:
        rows = [first.backend("first"), second.backend("second")]
        async with Inside(settings_for({"m": rows})) as inside:
            assert (await answered(inside, upload())).status == 508
            assert inside.health.row("first").failed == 0
    assert second.uploads == []
    assert [exchange.outcome for exchange in inside.settled] == ["loop_detected"]


async def test_an_empty_answer_is_a_failure() -> None:
    async def say_nothing(_: web.Request) -> web.StreamResponse:
        return web.Response(content_type="text/plain")

    async with SlowPlace(answers=say_nothing) as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        assert (await answered(inside, upload())).status == 502


async def test_an_answer_above_the_limit_is_a_failure() -> None:
    async def go_on(_: web.Request) -> web.StreamResponse:
        return web.json_response({"text": "x" * 2000})

    caps = Caps(answer_bytes=1000)
    async with SlowPlace(answers=go_on) as place, Inside(settings_for({"m": [place.backend()]}, caps=caps)) as inside:
        assert (await answered(inside, upload())).status == 502


async def test_an_answer_that_falls_silent_is_ended() -> None:
    async def fall_silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: one\n\n")
        await asyncio.Event().wait()
        return response

    async with (
        SlowPlace(answers=fall_silent) as place,
        Inside(settings_for({"m": [place.backend()]}, timeouts=Timeouts(idle_s=0.1))) as inside,
    ):
        heard = await answered(inside, upload())
        assert b"data: one" in heard.wire
        assert not heard.wire.endswith(b"0\r\n\r\n")
        assert inside.settled[0].outcome == "upstream_timeout"
        await place.until(lambda: len(place.ended) == 1)


async def test_a_redirect_is_not_followed() -> None:
    async with SlowPlace() as elsewhere:

        async def redirect(_: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"location": f"http://127.0.0.1:{elsewhere.port}{AUDIO}"})

        async with SlowPlace(answers=redirect) as place, Inside(settings_for({"m": [place.backend()]})) as inside:
            heard = await answered(inside, upload())
            assert (heard.status, elsewhere.uploads) == (502, [])


async def test_an_answer_that_is_no_json_is_passed_on_as_it_comes() -> None:
    go_on = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "set-cookie": "a=b"})
        await response.prepare(request)
        await response.write(b"data: one\n\n")
        await go_on.wait()
        await response.write(b"data: [DONE]\n\n")
        return response

    async with SlowPlace(answers=stream) as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        async with Caller(inside.port) as caller:
            caller.send(upload())
            assert b"set-cookie" not in await caller.hears(b"data: one\n\n")
            go_on.set()
            heard = await caller.ends()
            assert heard.wire.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert inside.settled[0].complete


async def test_an_answer_that_breaks_ends_without_its_end() -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/plain"})
        await response.prepare(request)
        await response.write(b"half of it")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with (
        SlowPlace(answers=break_off) as place,
        SlowPlace() as second,
        Inside(settings_for({"m": [place.backend("first"), second.backend("second")]})) as inside,
    ):
        heard = await answered(inside, upload())
        assert b"half of it" in heard.wire
        assert not heard.wire.endswith(b"0\r\n\r\n")
        assert second.uploads == []
        (exchange,) = inside.settled
        assert exchange.error is not None
        assert not exchange.complete
        await inside.until_alone()


async def test_a_place_that_takes_too_long_is_a_deadline() -> None:
    async def sleep(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async with (
        SlowPlace(answers=sleep) as place,
        Inside(settings_for({"m": [place.backend()]}, timeouts=Timeouts(total_s=0.2))) as inside,
    ):
        heard = await answered(inside, upload())
        assert (heard.status, heard.json["error"]["code"]) == (504, "deadline_exceeded")  # type: ignore[index]  # JSON
        await place.until(lambda: len(place.ended) == 1)


async def test_the_callers_own_deadline_holds_too() -> None:
    async def sleep(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async with SlowPlace(answers=sleep) as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        assert (await answered(inside, upload(headers={"x-gateway-timeout-ms": "100"}))).status == 504


@pytest.mark.parametrize("how", ["closes", "half-closes", "resets"])
async def test_who_leaves_is_worked_for_no_longer(how: str) -> None:
    async def sleep(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async with (
        SlowPlace(answers=sleep) as place,
        Inside(settings_for({"m": [place.backend()]})) as inside,
        Caller(inside.port) as caller,
    ):
        caller.send(upload())
        await place.until(lambda: len(place.uploads) == 1)
        left_at = asyncio.get_running_loop().time()
        {"closes": caller.writer.close, "half-closes": caller.half_close, "resets": caller.reset}[how]()
        await place.until(lambda: len(place.ended) == 1, 2.5)
        assert place.ended[0][1] - left_at < 0.25
        await inside.until(lambda settled: len(settled) == 1)
        assert (inside.settled[0].outcome, inside.settled[0].attempts[0].outcome) == ("left", "caller_left")
        await inside.until_alone()
        assert inside.bugs == []


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (upload(key=""), 401, "invalid_api_key"),
        (upload(key="sk-gw-unknown"), 401, "invalid_api_key"),
        (upload(key=NARROW_KEY), 403, "model_not_allowed"),
        (upload(headers={"content-type": "application/json"}), 415, "unsupported_media_type"),
        (upload(headers={"content-type": "multipart/form-data"}), 415, "unsupported_media_type"),
        (upload(headers={"content-type": "multipart/mixed; boundary=b"}), 415, "unsupported_media_type"),
        (upload(headers={"content-encoding": "gzip"}), 415, "unsupported_media_type"),
        (upload(headers={"x-gateway-hop": "a,inside-0001"}), 508, "loop_detected"),
        (upload(headers={"x-gateway-timeout-ms": "soon"}), 400, "invalid_header"),
        (upload(form(part("file", FILE, filename="a"))), 400, "missing_field"),
        (upload(form(part("model", b"unknown"))), 404, "model_not_found"),
        (upload(form(part("model", b"textual"))), 400, "unsupported_operation"),
        (upload(form(part("model", b"m"), part("model", b"m"))), 400, "invalid_value"),
        (upload(form(part("model", b"m", filename="a"))), 400, "invalid_value"),
        (upload(form(part("model", b"m" * 300))), 400, "invalid_value"),
        (upload(form(part("model", b"m"), part("api_base", b"http://evil"))), 400, "unsupported_field"),
        (upload(form(part("model", b"bQ==", extra="Content-Transfer-Encoding: base64\r\n"))), 400, "invalid_form"),
        (upload(SPOKEN[:-10]), 400, "invalid_form"),
        (upload(b"no form at all"), 400, "invalid_form"),
        (upload(b""), 400, "invalid_form"),
    ],
)
async def test_what_is_refused_is_refused_as_at_our_own_door(data: bytes, status: int, code: str) -> None:
    async with SlowPlace() as place:
        textual = place.backend("textual")
        textual.provider.paths.pop("audio_transcriptions")
        settings = settings_for({"m": [place.backend()], "textual": [textual]}, callers=(CALLER, NARROW))
        async with Inside(settings) as inside, Caller(inside.port) as caller:
            caller.send(data)
            heard = await caller.answer()
            assert heard.status == status
            error = heard.json["error"]
            assert isinstance(error, dict)
            assert error["code"] == code
            assert len(heard.headers["x-request-id"]) >= 8
            assert "server" not in heard.headers
            assert place.uploads == []
            await inside.until(lambda settled: len(settled) == 1)
            assert inside.settled[0].status == status
            assert inside.bugs == []


@pytest.mark.parametrize("chunk_bytes", [0, 1000])
async def test_a_form_above_the_cap_of_its_route_is_refused(chunk_bytes: int) -> None:
    caps = Caps(json_bytes=4000, files_bytes=1_000_000)
    async with (
        SlowPlace() as place,
        Inside(settings_for({"m": [place.backend()]}, caps=caps, deadlines=Deadlines(linger_s=0.1))) as inside,
    ):
        heard = await answered(inside, upload(chunk_bytes=chunk_bytes))
        assert (heard.status, place.uploads) == (413, [])
        heard = await answered(inside, upload(path="/v1/images/edits", chunk_bytes=chunk_bytes))
        assert heard.status == 200


async def test_broken_chunks_are_refused_as_at_our_own_door() -> None:
    async with (
        SlowPlace() as place,
        Inside(settings_for({"m": [place.backend()]}, deadlines=Deadlines(linger_s=0.1))) as inside,
    ):
        data = upload(chunk_bytes=1000).replace(b"\r\n3e8\r\n", b"\r\n3e8 \r\n")
        heard = await answered(inside, data)
        assert (heard.status, place.uploads, inside.bugs) == (400, [], [])


async def test_a_form_that_comes_too_slowly_is_refused_at_its_deadline() -> None:
    deadlines = Deadlines(body_s=0.1, linger_s=0.2)
    async with SlowPlace() as place, Inside(settings_for({"m": [place.backend()]}, deadlines=deadlines)) as inside:
        heard = await answered(inside, upload()[:-10])
        assert (heard.status, heard.headers["connection"], place.uploads) == (408, "close", [])
        await inside.until_alone()


async def test_chats_are_served_beside_uploads() -> None:
    async with (
        SlowPlace() as place,
        Inside(settings_for({"m": [place.backend()]})) as inside,
        Caller(inside.port) as caller,
    ):
        caller.send(upload()[:-10])
        async with Caller(inside.port) as other:
            other.send(request(chat("unknown")))
            assert (await other.answer()).status == 404
        caller.send(upload()[-10:])
        assert (await caller.ends()).status == 200
