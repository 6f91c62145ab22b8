"""Bytes until they are sent on."""

import asyncio

import pytest

from gateway.server.slow.spool import MEMORY_BYTES, Spool


@pytest.mark.parametrize("pieces", [[b"hello ", b"world"], [b"a" * MEMORY_BYTES, b"hello", b"b" * 1000], []])
async def test_what_was_appended_is_read_from_anywhere_as_often_as_needed(pieces: list[bytes]) -> None:
    spool = Spool()
    for piece in pieces:
        await spool.append(piece)
    whole = b"".join(pieces)
    assert spool.size == len(whole)
    for _ in range(2):
        assert await spool.read(0, len(whole)) == whole
        assert await spool.read(5, 6) == whole[5:11]
    spool.close()


async def test_many_bytes_are_in_a_file_without_a_name_and_the_loop_never_waits_for_it() -> None:
    spool = Spool()
    await spool.append(b"a" * (MEMORY_BYTES + 1))
    assert isinstance(spool._file.fileno(), int)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while turns >= 0:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.ensure_future(turn())  # noqa: TID251  (runs beside what is tested)
    await spool.append(b"b" * MEMORY_BYTES)
    assert await spool.read(MEMORY_BYTES, 3) == b"abb"
    assert turns > 0
    turning.cancel()
    spool.close()
