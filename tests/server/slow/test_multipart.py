"""Forms, as aiohttp reads them and as they are written anew."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import MultipartReader, StreamReader
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest, CallerError, TooLarge
from gateway.server.slow.multipart import PARTS_MOST, Form, read_form
from gateway.server.slow.spool import Spool

MOST = 10_000
Field = tuple[str, str | None, str, bytes]


def written(fields: list[Field], boundary: str = "b0") -> bytes:
    """A form as a browser writes it."""
    lines = b""
    for name, filename, kind, data in fields:
        more = "" if filename is None else f'; filename="{filename}"'
        typed = f"Content-Type: {kind}\r\n" if kind else ""
        lines += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{typed}\r\n'.encode()
        lines += data + b"\r\n"
    return lines + f"--{boundary}--\r\n".encode()


def reader_of(body: bytes, boundary: str = "b0") -> MultipartReader:
    content = StreamReader(BaseProtocol(asyncio.get_running_loop()), 1 << 16, loop=asyncio.get_running_loop())
    content.feed_data(body)
    content.feed_eof()
    return MultipartReader({"Content-Type": f"multipart/form-data; boundary={boundary}"}, content)


@asynccontextmanager
async def read(body: bytes, most_bytes: int = MOST) -> AsyncIterator[Form]:
    spool = Spool()
    try:
        yield await read_form(reader_of(body), spool, most_bytes, "b1")
    finally:
        spool.close()


async def fields_of(body: bytes) -> list[Field]:
    """The fields of a form that was written anew."""
    found = []
    reader = reader_of(body, "b1")
    while (part := await reader.next()) is not None:
        assert not isinstance(part, MultipartReader)
        kind = part.headers.get("content-type", "")
        found.append((part.name or "", part.filename, kind, bytes(await part.read())))
    return found


NAMES = st.text("abz09_[]- ü", min_size=1, max_size=8).map(str.strip).filter(lambda name: name not in ("", "model"))
FIELDS = st.lists(
    st.tuples(
        NAMES,
        st.one_of(st.none(), st.text("abz. ü", min_size=1, max_size=8).map(str.strip).filter(bool)),
        st.sampled_from(["", "audio/wav", "text/plain; charset=utf-8"]),
        st.binary(max_size=50).filter(lambda data: b"--b0" not in data and b"--b1" not in data),
    ),
    max_size=4,
)


@settings(max_examples=60)
@given(FIELDS, st.integers(0, 4))
def test_every_field_crosses_and_the_size_is_known_beforehand(fields: list[Field], at: int) -> None:
    fields.insert(min(at, len(fields)), ("model", None, "", b"their-model"))

    async def check() -> None:
        async with read(written(fields)) as form:
            assert form.model == "their-model"
            for model in ("ours", "ours/with-a-longer-name"):
                body = b"".join([piece async for piece in form.write(model)])
                assert len(body) == form.size(model)
                expected = [(*field[:3], model.encode()) if field[0] == "model" else field for field in fields]
                assert await fields_of(body) == expected

    asyncio.run(check())


@settings(max_examples=60)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    b"--b0",
                    b"--",
                    b"\r\n",
                    b'Content-Disposition: form-data; name="model"',
                    b"m",
                    b"\r\n\r\n",
                    b"Content-Type: multipart/mixed; boundary=c",
                    b"\0",
                    b"\xff",
                ]
            ),
            max_size=14,
        ).map(b"".join),
    )
)
def test_no_bytes_raise_anything_but_a_callers_error(noise: bytes) -> None:
    async def check() -> None:
        with contextlib.suppress(CallerError):
            async with read(noise) as form:
                assert form.model

    asyncio.run(check())


MODEL: Field = ("model", None, "", b"m")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_form"),
        (b"--b0--\r\n", "missing_field"),
        (written([MODEL])[:-8], "invalid_form"),
        (written([("file", "a", "", b"x")]), "missing_field"),
        (written([MODEL, MODEL]), "invalid_value"),
        (written([("model", "a.txt", "", b"m")]), "invalid_value"),
        (written([("model", None, "", b"")]), "invalid_value"),
        (written([("model", None, "", b"\xff")]), "invalid_value"),
        (written([("model", None, "", b"a\nb")]), "invalid_value"),
        (written([("model", None, "", b"m" * 257)]), "invalid_value"),
        (written([MODEL, ("api_base", None, "", b"http://evil")]), "unsupported_field"),
        (written([MODEL, *([("x", None, "", b"")] * PARTS_MOST)]), "invalid_form"),
        (written([MODEL]).replace(b'name="model"', b"x=y"), "invalid_form"),
        (written([MODEL, ("inner", None, "multipart/mixed; boundary=c", b"--c\r\n\r\nx\r\n--c--")]), "invalid_form"),
    ],
)
async def test_what_is_no_form_for_us_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        async with read(body):
            pass
    assert refused.value.reason == code


async def test_a_form_above_the_cap_is_too_large() -> None:
    body = written([MODEL, ("file", "a", "", b"x" * 100)])
    async with read(body, 101):
        pass
    with pytest.raises(TooLarge):
        async with read(body, 100):
            pass


async def test_names_are_quoted_as_browsers_do() -> None:
    async with read(written([MODEL, ('a"b'.replace('"', "%22"), 'c"d'.replace('"', "%22"), "", b"x")])) as form:
        body = b"".join([piece async for piece in form.write("m")])
        assert b'name="a%22b"; filename="c%22d"\r\n' in body
