"""Bytes of an upload until they have been sent on: a few of them in memory, many in a nameless file."""

import asyncio
from tempfile import SpooledTemporaryFile
from typing import Final

MEMORY_BYTES: Final = 1024 * 1024


class Spool:
    """Appended to once, read as often as attempts need it. File work is done in a thread."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115  (closed by `close`)
        self.size = 0

    async def append(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > MEMORY_BYTES:
            await asyncio.to_thread(self._file.write, data)
        else:
            self._file.write(data)

    async def read(self, start: int, size: int) -> bytes:
        if self.size > MEMORY_BYTES:
            return await asyncio.to_thread(self._read, start, size)
        return self._read(start, size)

    def _read(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()
