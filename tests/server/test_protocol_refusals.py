"""Refusals while the caller is still sending: he must see why, or his client tries it three times more."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from tests.doubles.caller import Caller, request
from tests.doubles.inside import KEY, Inside, backend, settings_for
from tests.upstream.authority import Authority

UPLOAD = bytes(40 * 1024 * 1024)
SETTINGS = settings_for({"m": [backend("b", "http://127.0.0.1:9")]})
REFUSALS = [
    ({"content-length": str(len(UPLOAD))}, "sk-gw-unknown", 401),
    ({"content-length": str(len(UPLOAD))}, KEY, 413),
    ({"transfer-encoding": "chunked"}, KEY, 413),
]


async def upload(port: int, key: str, framing: dict[str, str], context: ssl.SSLContext | None) -> int:
    """Send 40 MB and only then read, as simple clients do; the status that was seen."""
    async with Caller(port, context=context) as caller:
        body = UPLOAD if "content-length" in framing else b"%x\r\n%b" % (len(UPLOAD), UPLOAD)
        caller.send(request(key=key, headers={"content-type": "application/json", **framing}))
        with contextlib.suppress(ConnectionError):
            await caller.send_all(body)
        return (await caller.ends()).status


@pytest.mark.slow
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("framing", "key", "status"), REFUSALS, ids=["key", "size", "chunks"])
async def test_twenty_of_twenty_who_upload_40_mb_see_why_they_are_refused(
    framing: dict[str, str], key: str, status: int, secure: bool, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    context = authority.server("localhost") if secure else None
    async with Inside(SETTINGS, context=context) as inside:
        trusting = authority.client if secure else None
        seen: list[int] = []
        for _ in range(4):
            seen += await asyncio.gather(*(upload(inside.port, key, framing, trusting) for _ in range(5)))
        assert seen == [status] * 20
        await inside.until_alone()


async def test_a_refusal_is_said_before_the_body_has_come() -> None:
    async with Inside(SETTINGS) as inside, Caller(inside.port) as caller:
        framing, key, status = REFUSALS[1]
        caller.send(request(key=key, headers={"content-type": "application/json", **framing}))
        assert (await caller.answer()).status == status
        assert inside.settled[0].bytes_in == 0
