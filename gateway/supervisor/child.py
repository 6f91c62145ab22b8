"""One worker process, as its supervisor sees it: started, told things, listened to."""

import asyncio
import socket
from collections.abc import Sequence

from gateway.channel import Backends, BackendState, Message, Ready, Unframer, frame
from gateway.settings.environment import of_worker


class Gone(Exception):
    """A worker ended, or went silent, before it answered."""


class Child:
    """A fresh process in a session of its own, with a socket pair to talk over and its listening sockets inherited."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.process = process
        self.backends: list[BackendState] = []
        self.ready = False
        self.served = False
        self._channel = channel
        self._answer: asyncio.Future[str] | None = None
        self._asking = asyncio.Lock()
        self._saying = asyncio.Lock()

    @classmethod
    async def start(cls, command: Sequence[str], listening: Sequence[socket.socket], slots_path: str) -> "Child":
        """Start `command` with the worker's arguments behind it. OSError where that can't be done."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            listen = [one.fileno() for one in listening]
            process = await asyncio.create_subprocess_exec(
                *command,
                *("--channel", str(theirs.fileno())),
                *("--listen", *map(str, listen)),
                *("--slots", slots_path),
                env=of_worker(),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *listen),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours)

    async def listen(self) -> None:
        """Take in what the worker says until it hangs up or talks nonsense; then it is worth no more."""
        loop = asyncio.get_running_loop()
        unframer = Unframer()
        try:
            while data := await loop.sock_recv(self._channel, 1 << 16):
                for message in unframer.feed(data):
                    self._take(message)
        except OSError:
            pass  # a worker that dies with our words unread resets the channel; its end is seen where it is awaited
        except ValueError:
            self.kill()
        finally:
            self.ready = False
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(Gone("the worker ended before it answered"))

    def _take(self, message: Message) -> None:
        match message:
            case Ready(problem):
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(problem)
            case Backends(rows):
                self.backends = rows

    async def ask(self, message: Message, within_s: float) -> str:
        """Say something that is answered by Ready: the problem it had, "" for none. Gone."""
        async with self._asking:
            self._answer = asyncio.get_running_loop().create_future()
            if not await self.say(message):
                raise Gone("the worker is gone")
            try:
                async with asyncio.timeout(within_s):
                    problem = await self._answer
            except TimeoutError as error:
                self.kill()
                raise Gone(f"the worker did not answer within {within_s:g} s") from error
            if not problem:
                self.ready = self.served = True
            return problem

    async def say(self, message: Message) -> bool:
        """Whether the worker could be told."""
        async with self._saying:
            try:
                await asyncio.get_running_loop().sock_sendall(self._channel, frame(message))
            except OSError:
                return False
        return True

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()

    def close(self) -> None:
        """Close our end, once the worker has ended."""
        self._channel.close()
