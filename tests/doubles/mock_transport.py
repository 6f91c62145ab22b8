"""A transport that keeps what is written, for tests of what writes to one."""

import asyncio


class KeepingTransport(asyncio.Transport):
    """Never full by itself: its owner says when writing is to pause."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))


async def turn(times: int = 20) -> None:
    """Let the loop do what is ready."""
    loop = asyncio.get_running_loop()
    for _ in range(times):
        turned = loop.create_future()
        loop.call_soon(turned.set_result, None)
        await turned
