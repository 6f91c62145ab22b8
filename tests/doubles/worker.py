"""A worker that is real in everything its supervisor sees: it speaks the channel, accepts on the sockets it was given,
counts in its slots, drains and leaves. What it answers is its process id, under the settings it was told.

    GET /            {"pid": …, "pop": …}
    GET /hold        the head at once, the rest when somebody asks this worker for /release

Every request is counted in its slots. A configuration whose `pop` is `refused` it refuses; at `fatal` it dies.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys

import orjson

from gateway.channel import Backends, BackendState, Configure, Drain, Drained, Message, Ready, Steer, Unframer, frame
from gateway.telemetry.families import REQUESTS
from gateway.telemetry.slots import SlotWriter


class Worker:
    def __init__(self, channel: socket.socket, listening: list[socket.socket], slots: SlotWriter) -> None:
        self.channel = channel
        self.listening = listening
        self.requests = slots.counter(REQUESTS, "chat", "m", "b", "200", "answered")
        self.pop = ""
        self.running = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.released = asyncio.Event()
        self.leaving = asyncio.Event()
        self.servers: list[asyncio.Server] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self.obey())
            await self.leaving.wait()
            for server in self.servers:
                server.close()
            await self.idle.wait()
            await self.say(Drained())
            listening.cancel()

    async def obey(self) -> None:
        loop = asyncio.get_running_loop()
        unframer = Unframer()
        while data := await loop.sock_recv(self.channel, 65536):
            for message in unframer.feed(data):
                match message:
                    case Configure(settings):
                        await self.configure(settings.pop)
                    case Steer(resume=resume):
                        await self.say(Backends([BackendState("b", "p", state="healthy" if resume else "drained")]))
                    case Drain():
                        self.leaving.set()
        self.leaving.set()

    async def configure(self, pop: str) -> None:
        if pop == "fatal":
            os._exit(3)
        if pop == "refused":
            await self.say(Ready("this double refuses"))
            return
        self.pop = pop
        if not self.servers:
            for one in self.listening:
                serve = asyncio.start_unix_server if one.family == socket.AF_UNIX else asyncio.start_server
                self.servers.append(await serve(self.answer, sock=one))
        await self.say(
            Backends([BackendState("b", "p", state="failing" if pop == "lonely" else "healthy", in_flight=1)])
        )
        await self.say(Ready())

    async def say(self, message: Message) -> None:
        await asyncio.get_running_loop().sock_sendall(self.channel, frame(message))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.running += 1
        self.idle.clear()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.add(1.0)
            if head.startswith(b"GET /release"):
                self.released.set()
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
            if head.startswith(b"GET /hold"):
                await self.released.wait()
            writer.write(orjson.dumps({"pid": os.getpid(), "pop": self.pop}))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.running -= 1
            if not self.running:
                self.idle.set()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--listen", type=int, nargs="+", required=True)
    parser.add_argument("--slots", required=True)
    told = parser.parse_args()
    channel = socket.socket(fileno=told.channel)
    channel.setblocking(False)
    await Worker(channel, [socket.socket(fileno=fd) for fd in told.listen], SlotWriter(told.slots)).run()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    asyncio.run(main())
    sys.exit(0)
