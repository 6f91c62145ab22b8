"""The listening sockets: opened before any worker, kept for as long as we serve.

SO_REUSEPORT lets several sockets share a port, and lets anyone else of our user join them unseen. So the first socket
is bound without it: a port that is taken is found out. Only then are sharing and the other sockets added. A worker
inherits its slot's socket and its successor the same one, so connections that wait for a dead worker are served by the
next.
"""

import errno
import socket
import stat
from contextlib import suppress
from pathlib import Path

BACKLOG = 4096


class CannotListen(Exception):
    """An address can't be had; says which, why, and the option that names another."""


class Listening:
    """Every socket one gateway accepts on: TCP for each worker, one Unix socket for all of them, the control port."""

    def __init__(self) -> None:
        self.tcp: list[socket.socket] = []
        self.unix: socket.socket | None = None
        self.control: socket.socket | None = None
        self._unix_path = ""

    def open(self, host: str, port: int, workers: int) -> None:
        """Listen on `host` and `port` (0: any free one), once for each worker. CannotListen."""
        first = bound(host, port, "--port")
        self.tcp.append(first)
        if workers > 1:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            for _ in range(workers - 1):
                another = socket.socket(first.family, socket.SOCK_STREAM)
                self.tcp.append(another)
                _prepare(another)
                another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                another.bind(first.getsockname())
        for one in self.tcp:
            one.listen(BACKLOG)

    def open_unix(self, path: str) -> None:
        """Listen on a Unix socket, in place of one that nobody answers on any more. CannotListen."""
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _clear_away(path)
            one.bind(path)
            Path(path).chmod(0o660)
            one.listen(BACKLOG)
        except OSError as error:
            one.close()
            raise CannotListen(f"the Unix socket {path} can't be opened ({_why(error)}); set listen.unix") from error
        self.unix, self._unix_path = one, path

    def open_control(self, host: str, port: int) -> None:
        """Listen on the control port. CannotListen."""
        self.control = bound(host, port, "--control-port")
        self.control.listen(BACKLOG)

    def of_worker(self, slot: int) -> list[socket.socket]:
        """What the worker of this slot accepts on."""
        return [self.tcp[slot], *([self.unix] if self.unix is not None else [])]

    def stop_accepting(self) -> None:
        """Let go of the callers' sockets; whoever comes is refused as soon as the workers let go as well."""
        for one in self.tcp:
            one.close()
        if self.unix is not None:
            self.unix.close()
            with suppress(OSError):
                Path(self._unix_path).unlink()
            self.unix = None

    def close(self) -> None:
        self.stop_accepting()
        if self.control is not None:
            self.control.close()


def bound(host: str, port: int, option: str) -> socket.socket:
    """A TCP socket bound to an address nobody else listens on. CannotListen, naming the option that moves it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotListen(f"the host {host} is unknown ({_why(error)}); choose another with --host") from error
    one = socket.socket(family, kind, protocol)
    try:
        _prepare(one)
        one.bind(address)
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(f"port {port} on {host} is taken; choose another with {option}") from error
        raise CannotListen(
            f"port {port} on {host} can't be had ({_why(error)}); choose another with {option}"
        ) from error
    return one


def _prepare(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one.family == socket.AF_INET6:
        # `::` means every address, as it does for everyone else who listens on it.
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


def _clear_away(path: str) -> None:
    """Remove a socket left behind by somebody who was killed. OSError where somebody still answers."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise FileExistsError(errno.EEXIST, "something else is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        try:
            trial.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        else:
            raise OSError(errno.EADDRINUSE, "somebody answers on it")


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
