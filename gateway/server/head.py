"""A request's head: what llhttp accepts and we don't, counted and checked before a byte of it is believed.

Pure: bytes in, a `Head` or an error out. llhttp reads one head at a time and never sees a body, so an upgrade can't
swallow one, a trailer can't overwrite a header, and what follows `Connection: close` can't spoil the request before it.
"""

import re
from typing import Final

import httptools
from msgspec import Struct

from gateway.errors import (
    BadRequest,
    ExpectationFailed,
    HeadersTooLarge,
    MalformedHttp,
    TooLarge,
    Unauthorized,
    UriTooLong,
    VersionNotSupported,
    WrongMethod,
)
from gateway.settings.shape import Caps

METHODS: Final = frozenset((b"GET", b"POST", b"DELETE", b"OPTIONS", b"HEAD"))
END: Final = b"\r\n\r\n"

# Two of these with different meanings is how one request becomes two (row A28).
_SINGLE: Final = frozenset(
    (
        b"anthropic-version",
        b"api-key",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"idempotency-key",
        b"transfer-encoding",
        b"x-api-key",
        b"x-gateway-key",
        b"x-goog-api-key",
    )
)
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\Z")
_BAD_ESCAPE: Final = re.compile(r"%(?:00|2f|5c)|%(?![0-9a-f]{2})", re.IGNORECASE)
_KEY_IN_QUERY: Final = re.compile(r"(?:^|&)(?:key|api[_-]?key|access_token|token)=", re.IGNORECASE)
_ID: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}\Z")


class Head(Struct):
    """What a head says. `length` is the declared body size, None where none is declared; header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    length: int | None
    chunked: bool
    keep_alive: bool
    http_1_0: bool
    upgrade: str
    expects_continue: bool


class _Fields:
    """Gathers header fields as llhttp finds them."""

    __slots__ = ("double", "fields")

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.double = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if b"_" in name:
            return  # proxies in front may fold these into names they would have removed (row A29)
        fields = self.fields
        name = name.lower()
        if name in fields:
            if name in _SINGLE:
                self.double = True
            else:
                value = fields[name] + b", " + value
        fields[name] = value


class HeadReader:
    """Reads heads under these caps, for these host names (any syntactically valid one where none is given)."""

    def __init__(self, caps: Caps, names: tuple[str, ...]) -> None:
        self._caps = caps
        self._names = frozenset(name.lower().encode() for name in names)

    def find_end(self, data: bytes | bytearray, start: int) -> int:
        """Where the head ends (after its blank line), 0 while it hasn't. Refuses what is already too much or wrong."""
        if data[:1] in (b"\r", b"\n"):
            raise MalformedHttp("The request does not start with a request line.")
        end = data.find(END, max(0, start - 3))
        size = end + 4 if end >= 0 else len(data)
        if size > self._caps.header_bytes:
            if data.find(b"\r\n", 0, self._caps.uri_bytes + 32) < 0:
                raise UriTooLong("The request line is too long.")
            raise HeadersTooLarge("The request header is too large.")
        if end >= 0:
            return end + 4
        if len(data) > self._caps.uri_bytes + 32 and data.find(b"\r\n", 0, self._caps.uri_bytes + 32) < 0:
            raise UriTooLong("The request line is too long.")
        if b"\n" in data and data.count(b"\n") != data.count(b"\r\n"):
            raise MalformedHttp("The request has a bare line feed.")
        return 0

    def read(self, head: bytes) -> Head:
        """A complete head. Raises what the caller is to be answered with."""
        line_end = head.find(b"\r\n")
        method, target, version = self._request_line(head[:line_end])
        if head.count(b"\r\n") - 2 > self._caps.header_fields:
            raise HeadersTooLarge("The request has too many header fields.")
        if not head.isascii():
            raise MalformedHttp("The request header has bytes outside ASCII.")
        gathered = _Fields()
        parser = httptools.HttpRequestParser(gathered)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # the head was good; whether to upgrade is not llhttp's to say
        except httptools.HttpParserError as error:
            raise MalformedHttp("The request is not valid HTTP.") from error
        fields = gathered.fields
        if len(head) > self._caps.header_field_bytes:
            for name, value in fields.items():
                if len(name) + len(value) > self._caps.header_field_bytes:
                    raise HeadersTooLarge("A request header field is too large.")
        if gathered.double:
            raise MalformedHttp("The request repeats a header field that may occur once.")
        if method not in METHODS:
            raise WrongMethod("This method is not supported.", headers=(("allow", "GET, HEAD, OPTIONS, POST, DELETE"),))
        self._check_host(fields)
        old = version == b"HTTP/1.0"
        length, chunked = _framing(fields, old=old)
        path, query = self._split_target(target, method)
        return Head(
            method=method.decode(),
            path=path,
            query=query,
            headers=fields,
            length=length,
            chunked=chunked,
            keep_alive=not old and b"close" not in fields.get(b"connection", b"").lower(),
            http_1_0=old,
            upgrade=fields.get(b"upgrade", b"").decode().lower() if b"upgrade" in fields else "",
            expects_continue=b"expect" in fields and _expects(fields),
        )

    def _request_line(self, line: bytes) -> tuple[bytes, bytes, bytes]:
        if len(line) > self._caps.uri_bytes + 32:
            raise UriTooLong("The request line is too long.")
        parts = line.split(b" ")
        if len(parts) == 2 and parts[0].isalpha():
            raise VersionNotSupported("HTTP/0.9 is not supported.")
        if len(parts) != 3:
            raise MalformedHttp("The request line is not valid.")
        version = parts[2]
        if version not in (b"HTTP/1.1", b"HTTP/1.0"):
            if version in (b"HTTP/2.0", b"HTTP/2", b"HTTP/3", b"HTTP/3.0", b"HTTP/0.9"):
                if parts[0] == b"PRI":
                    raise MalformedHttp("HTTP/2 is not spoken here.")
                raise VersionNotSupported("This version of HTTP is not supported.")
            raise MalformedHttp("The request line is not valid.")
        return parts[0], parts[1], version

    def _check_host(self, fields: dict[bytes, bytes]) -> None:
        host = fields.get(b"host")
        if host is None or not _HOST.match(host):
            raise MalformedHttp("The request needs one valid Host header.")
        if self._names and host.rpartition(b":")[0].lower() not in self._names and host.lower() not in self._names:
            raise BadRequest("This host is not served here.", code="unknown_host")

    def _split_target(self, target: bytes, method: bytes) -> tuple[str, str]:
        text = target.decode("ascii")
        if text.startswith(("http://", "https://")):
            authority, slash, rest = text.partition("://")[2].partition("/")
            if authority.partition(":")[0].lower().encode() not in self._names:
                raise MalformedHttp("The request's target is not served here.")
            text = slash + rest
        path, _, query = text.partition("?")
        if not path.startswith("/") and not (path == "*" and method == b"OPTIONS"):
            raise MalformedHttp("The request's target is not valid.")
        if "%" in path and _BAD_ESCAPE.search(path):
            raise BadRequest("The request's path is not valid.", code="invalid_path")
        if query and _KEY_IN_QUERY.search(query):
            raise Unauthorized(
                "API keys are not accepted in the query string: send 'Authorization: Bearer …' instead.",
                headers=(("www-authenticate", "Bearer"),),
            )
        return path, query


def _framing(fields: dict[bytes, bytes], *, old: bool) -> tuple[int | None, bool]:
    """Where the body ends: by a length, by chunks, or at once. Never two of these, never a guess."""
    coding = fields.get(b"transfer-encoding")
    declared = fields.get(b"content-length")
    if coding is not None:
        if old or declared is not None or coding.strip().lower() != b"chunked":
            raise MalformedHttp("The request's framing is not valid.")
        return None, True
    if declared is None:
        return None, False
    if not declared.isdigit() or len(declared) > 18:
        raise MalformedHttp("The request's length is not valid.")
    return int(declared), False


def _expects(fields: dict[bytes, bytes]) -> bool:
    if fields[b"expect"].strip().lower() != b"100-continue":
        raise ExpectationFailed("Only 'Expect: 100-continue' is supported.")
    return True


def check_size(head: Head, most_bytes: int) -> None:
    """TooLarge where a declared body is above the cap: before a byte of it is read."""
    if head.length is not None and head.length > most_bytes:
        raise TooLarge("The request body is too large.")


def given_id(headers: dict[bytes, bytes]) -> str | None:
    """The caller's own request id, where it is one (row H5)."""
    value = headers.get(b"x-request-id")
    return value.decode() if value is not None and _ID.match(value) else None
