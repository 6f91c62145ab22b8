"""A request's head: what llhttp accepts and we don't, counted and checked before a byte of it is believed.

Pure: bytes in, a `Head` or an error out. llhttp reads one head at a time and never sees a body, so an upgrade can't
swallow one, a trailer can't overwrite a header, and what follows `Connection: close` can't spoil the request before it.
"""

import re
from typing import TYPE_CHECKING, Final

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

if TYPE_CHECKING:
    from gateway.exchange import Origin
    from gateway.server.welcome import Welcome

METHODS: Final = frozenset((b"GET", b"POST", b"DELETE", b"OPTIONS", b"HEAD"))
_ALLOW: Final = "GET, HEAD, OPTIONS, POST, DELETE"
_VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.0")
END: Final = b"\r\n\r\n"
LENGTH_DIGITS: Final = 18

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
_METHOD: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_-]*\Z")
_VERSION: Final = re.compile(rb"HTTP/(?:0\.9|[23](?:\.0)?)\Z")
_HOST: Final = re.compile(rb"((?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\Z")
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(r"%(?:00|5c)|%(?![0-9a-f]{2})", re.IGNORECASE)
_SLASH: Final = re.compile(r"%2f", re.IGNORECASE)
# In a model's name, which is one segment of these, clients escape the slash (openai, boto3). Nowhere else is it meant.
_MODELS: Final = ("/v1/models/", "/v1beta/models/", "/model/", "/openai/deployments/")
_KEY_IN_QUERY: Final = re.compile(r"(?:^|&)(?:key|api[_-]?key|access_token|token)=", re.IGNORECASE)
_ID: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}\Z")
_BLANK: Final = b" \t"
_GUESS_BYTES: Final = 256
_LENGTH: Final = b"\r\ncontent-length:"
_LINE_EXTRA: Final = 32  # a request line is its target, a method, a version and two spaces


class Head(Struct):
    """What a head says. `length` is the declared body size, None where there is none; header names are lower case.

    `welcome` is what the door made of it, for when it comes again; `origin` where it came from, where that is known.
    """

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    length: int | None
    chunked: bool
    keep_alive: bool
    http_1_0: bool
    expects_continue: bool
    welcome: "Welcome | None" = None
    origin: "Origin | None" = None


class HeadReader:
    """Reads heads under these caps, for these host names (any syntactically valid one where none is given)."""

    def __init__(self, caps: Caps, names: tuple[str, ...]) -> None:
        self._caps = caps
        self._names = frozenset(name.lower().encode() for name in names)

    def find_end(self, data: bytes | bytearray, start: int) -> int:
        """Where the head ends (after its blank line), 0 while it hasn't.

        `data` was looked at up to `start` before. Refuses as soon as what is there can't become an acceptable head:
        neither waiting nor more bytes would change the answer.
        """
        end = data.find(END, max(0, start - 3)) + 4
        caps = self._caps
        if 3 < end <= caps.header_bytes:
            return end
        if not data[:1].isalpha():
            raise MalformedHttp("The request does not start with a request line.")
        line_end = data.find(b"\r\n", 0, caps.uri_bytes + _LINE_EXTRA)
        if line_end < 0 and len(data) >= caps.uri_bytes + _LINE_EXTRA:
            raise UriTooLong("The request line is too long.")
        if line_end >= start - 1 and line_end >= 0:
            self._request_line(bytes(data[:line_end]))
        if len(data) > caps.header_bytes:
            raise HeadersTooLarge("The request header is too large.")
        if data.count(b"\n", start) != data.count(b"\r\n", max(0, start - 1)):
            raise MalformedHttp("The request has a bare line feed.")
        return 0

    def read(self, head: bytes) -> Head:
        """A complete head. Raises what the caller is to be answered with."""
        line_end = head.find(b"\r\n")
        method, target, old = self._request_line(head[:line_end])
        lines = head[line_end + 2 : -4].split(b"\r\n")
        if len(lines) > self._caps.header_fields:
            raise HeadersTooLarge("The request has too many header fields.")
        if len(head) > self._caps.header_field_bytes and max(map(len, lines)) > self._caps.header_field_bytes:
            raise HeadersTooLarge("A request header field is too large.")
        if not head.isascii():
            raise MalformedHttp("The request header has bytes outside ASCII.")
        try:
            httptools.HttpRequestParser(None).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # the head was good; whether to upgrade is not llhttp's to say
        except httptools.HttpParserError as error:
            raise MalformedHttp("The request is not valid HTTP.") from error
        # llhttp has let it pass: no bare CR or LF, no folded line, a token before each colon.
        fields = {name.lower(): value.strip() for name, _, value in [line.partition(b":") for line in lines]}
        if len(fields) != len(lines) or b"_" in b"".join(fields):
            fields = _merged(lines)
        self._check_host(fields.get(b"host"))
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
            expects_continue=b"expect" in fields and not old and _expects(fields),
        )

    def _request_line(self, line: bytes) -> tuple[bytes, bytes, bool]:
        """Method, target, and whether this is HTTP/1.0."""
        parts = line.split(b" ")
        if len(parts) > 1 and len(parts[1]) > self._caps.uri_bytes:
            raise UriTooLong("The request line is too long.")
        if len(parts) == 2 and _METHOD.match(parts[0]):
            raise VersionNotSupported("HTTP/0.9 is not supported.")
        if len(parts) != 3:
            raise MalformedHttp("The request line is not valid.")
        method, target, version = parts
        if version not in _VERSIONS:
            if _VERSION.match(version) and method != b"PRI":
                raise VersionNotSupported("This version of HTTP is not supported.")
            raise MalformedHttp("The request line is not valid.")
        if method not in METHODS:
            if _METHOD.match(method):
                raise WrongMethod("This method is not supported.", headers=(("allow", _ALLOW),))
            raise MalformedHttp("The request line is not valid.")
        return method, target, version == b"HTTP/1.0"

    def _check_host(self, host: bytes | None) -> None:
        found = _HOST.match(host) if host is not None else None
        if found is None:
            raise MalformedHttp("The request needs one valid Host header.")
        if self._names and found[1].lower() not in self._names:
            raise BadRequest("This host is not served here.", code="unknown_host")

    def _split_target(self, target: bytes, method: bytes) -> tuple[str, str]:
        text = target.decode("ascii")
        if not text.startswith("/") and not (text == "*" and method == b"OPTIONS"):
            text = self._origin_form(text)
        path, _, query = text.partition("?")
        if "%" in path and (_BAD_ESCAPE.search(path) or (_SLASH.search(path) and not path.startswith(_MODELS))):
            raise BadRequest("The request's path is not valid.", code="invalid_path")
        if query and _KEY_IN_QUERY.search(query):
            raise Unauthorized(
                "API keys are not accepted in the query string: send 'Authorization: Bearer …' instead.",
                headers=(("www-authenticate", "Bearer"),),
            )
        return path, query

    def _origin_form(self, target: str) -> str:
        """An absolute-form target without its authority, which must be one of our names."""
        found = _ABSOLUTE.match(target)
        host = _HOST.match(found[1].encode()) if found is not None else None
        if found is None or host is None or host[1].lower() not in self._names:
            raise MalformedHttp("The request's target is not served here.")
        rest = target[found.end() :]
        return rest if rest.startswith("/") else f"/{rest}"


def _merged(lines: list[bytes]) -> dict[bytes, bytes]:
    """Header fields where a name occurs twice, or holds an underscore.

    Proxies in front may fold an underscore into a name they would have removed, so such a field is dropped (row A29).
    """
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        if b"_" in name:
            continue
        name = name.lower()
        value = value.strip()
        if name in fields:
            if name in _SINGLE:
                raise MalformedHttp("The request repeats a header field that may occur once.")
            value = fields[name] + b", " + value
        fields[name] = value
    return fields


class SameHead:
    """The last head of a connection: a client that keeps one open sends the same again, but for the body's length.

    The same bytes get the same reading, so this is as strict as reading anew, at a tenth of the cost.
    """

    __slots__ = ("_after", "_before", "_head", "_reader")

    def __init__(self) -> None:
        self._head: Head | None = None
        self._reader: HeadReader | None = None
        self._before = b""
        self._after = b""

    def read(self, raw: bytes, reader: HeadReader) -> Head:
        """What `reader.read(raw)` gives; in `headers`, where the head is known, the length is an earlier one's."""
        head = self._head
        if head is not None and self._reader is reader and raw.startswith(self._before) and raw.endswith(self._after):
            digits = raw[len(self._before) : len(raw) - len(self._after)]
            if digits.isdigit() and len(digits) <= LENGTH_DIGITS:
                head.length = int(digits)
                return head
        head = reader.read(raw)
        self._head = None
        if head.length is not None:
            start = raw.lower().index(_LENGTH) + len(_LENGTH)
            while raw[start] in _BLANK:
                start += 1
            self._head, self._reader = head, reader
            self._before, self._after = raw[:start], raw[start + len(head.headers[b"content-length"]) :]
        return head


def _framing(fields: dict[bytes, bytes], *, old: bool) -> tuple[int | None, bool]:
    """Where the body ends: by a length, by chunks, or at once. Never two of these, never a guess."""
    coding = fields.get(b"transfer-encoding")
    declared = fields.get(b"content-length")
    if coding is not None:
        if old or declared is not None or coding.lower() != b"chunked":
            raise MalformedHttp("The request's framing is not valid.")
        return None, True
    if declared is None:
        return None, False
    if not declared.isdigit() or len(declared) > LENGTH_DIGITS:
        raise MalformedHttp("The request's length is not valid.")
    return int(declared), False


def _expects(fields: dict[bytes, bytes]) -> bool:
    if fields[b"expect"].lower() != b"100-continue":
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


def path_of(data: bytes | bytearray) -> str:
    """The path a head seems to ask for, however wrong it is: good for choosing the words of a refusal only."""
    target = bytes(data[:_GUESS_BYTES]).partition(b"\r")[0].split(b" ", 2)[1:2]
    path = target[0].partition(b"?")[0] if target else b""
    return path.decode() if path.startswith(b"/") and path.isascii() else ""
