"""Forms with files: read once, kept, and written anew for each attempt with another model's name in it.

Written anew rather than passed on, so no part that two parsers could read differently crosses.
"""

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import BodyPartReader, MultipartReader
from msgspec import Struct

from gateway.errors import BadRequest, GatewayError, TooLarge
from gateway.server.slow.spool import Spool
from gateway.wire.raw import REFUSED

PIECE_BYTES: Final = 256 * 1024
PARTS_MOST: Final = 256
MODEL_BYTES: Final = 256
_PLAIN: Final = frozenset(("", "7bit", "8bit", "binary"))


class Part(Struct, frozen=True):
    """One field; its bytes are `size` of the spool's from `start` on."""

    name: str
    filename: str | None
    content_type: str
    start: int
    size: int

    def head(self, boundary: str) -> bytes:
        filename = "" if self.filename is None else f'; filename="{_quoted(self.filename)}"'
        kind = f"content-type: {self.content_type}\r\n" if self.content_type else ""
        disposition = f'content-disposition: form-data; name="{_quoted(self.name)}"{filename}\r\n'
        return f"--{boundary}\r\n{disposition}{kind}\r\n".encode()


class Form:
    """A form as it was sent, and the model it asks for."""

    def __init__(self, spool: Spool, parts: list[Part], model: str, boundary: str) -> None:
        self._spool = spool
        self._parts = parts
        self._boundary = boundary
        self.model = model

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    def size(self, model: str) -> int:
        """Bytes of the body that `write` gives for the same model."""
        sizes = [len(part.head(self._boundary)) + self._size(part, model) + 2 for part in self._parts]
        return sum(sizes) + len(self._end())

    async def write(self, model: str) -> AsyncIterator[bytes]:
        """The body, with this model's name in place of the caller's."""
        for part in self._parts:
            yield part.head(self._boundary)
            if part.name == "model":
                yield model.encode()
            else:
                for at in range(part.start, part.start + part.size, PIECE_BYTES):
                    yield await self._spool.read(at, min(PIECE_BYTES, part.start + part.size - at))
            yield b"\r\n"
        yield self._end()

    def _size(self, part: Part, model: str) -> int:
        return len(model.encode()) if part.name == "model" else part.size

    def _end(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()


async def read_form(reader: MultipartReader, spool: Spool, most_bytes: int, boundary: str) -> Form:
    """A whole form into the spool. BadRequest where it isn't one, TooLarge at the cap."""
    try:
        parts = [part async for part in _parts(reader, spool, most_bytes)]
    except GatewayError:
        raise
    except Exception as error:  # what aiohttp raises on a form it can't read has no common kind
        raise BadRequest("The request body is not a valid form.", code="invalid_form") from error
    return Form(spool, parts, await _model(parts, spool), boundary)


async def _model(parts: list[Part], spool: Spool) -> str:
    """The model asked for: a short printable text, once."""
    found = [part for part in parts if part.name == "model"]
    if not found:
        raise BadRequest("The field 'model' is missing.", code="missing_field", param="model")
    part = found[0]
    raw = await spool.read(part.start, min(part.size, MODEL_BYTES + 1))
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = ""
    if len(found) > 1 or part.filename is not None or len(raw) > MODEL_BYTES or not name or not name.isprintable():
        raise BadRequest("The field 'model' is not a model's name.", code="invalid_value", param="model")
    return name


async def _parts(reader: MultipartReader, spool: Spool, most_bytes: int) -> AsyncIterator[Part]:
    count = 0
    while (part := await reader.next()) is not None:
        count += 1
        if not isinstance(part, BodyPartReader) or not part.name or count > PARTS_MOST:
            raise BadRequest("The request body is not a valid form.", code="invalid_form")
        if part.name in REFUSED:
            raise BadRequest("A field is not accepted by this gateway.", code="unsupported_field", param=part.name)
        if part.headers.get("content-transfer-encoding", "").lower() not in _PLAIN:
            raise BadRequest("Encoded form fields are not accepted.", code="invalid_form")
        start = spool.size
        while piece := await part.read_chunk(PIECE_BYTES):
            if spool.size + len(piece) > most_bytes:
                raise TooLarge("The request body is too large.")
            await spool.append(piece)
        kind = part.headers.get("content-type", "")
        yield Part(
            part.name, part.filename, kind if kind.isascii() and kind.isprintable() else "", start, spool.size - start
        )


def _quoted(value: str) -> str:
    """As browsers quote it in a form (WHATWG, multipart/form-data encoding algorithm)."""
    return value.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
