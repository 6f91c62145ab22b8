"""An upstream's status line and header fields, read where they lie.

Of an answer's dozen fields two or three matter, so they are looked for rather than taken apart one by one; llhttp
checks the syntax of all of them afterwards. What it lets pass and we don't is refused here (HTTP.md, Outbound). Pure.
"""

import re
from typing import Final

from gateway.errors import UpstreamBroken

END: Final = b"\r\n\r\n"
HEAD_BYTES: Final = 64 * 1024
HEADER_FIELDS: Final = 128
HEADER_BYTES: Final = 8 * 1024
# Below this size a head can't break a limit: 129 fields take more.
SMALL_BYTES: Final = HEADER_FIELDS * 4

# What an answer may start with: the first twelve bytes are enough, llhttp sees to the thirteenth.
STATUSES: Final = {b"HTTP/1.%d %d" % (minor, status): status for minor in (1, 0) for status in range(200, 600)}
# Only the fields whose name ends so speak of chunks or of what was done to the body.
ENCODING: Final = b"encoding:"

_INFORMATIONAL: Final = re.compile(rb"HTTP/1\.[01] 1\d\d[ \r]")
_ENCODINGS: Final = re.compile(rb"\r\n(content|transfer)-encoding:([^\r]*)")
_CHUNKED: Final = b"\r\ntransfer-encoding: chunked\r\n"
_PREFIX: Final = b"HTTP/1."


def could_begin(data: bytes | bytearray) -> bool:
    """Whether an answer can start with these bytes."""
    return data.startswith(_PREFIX[: len(data)])


def is_informational(data: bytes) -> bool:
    """Whether this is a 1xx answer, which another one follows. UpstreamBroken for 101: nobody asked for it."""
    if data.startswith((b"HTTP/1.1 101", b"HTTP/1.0 101")):
        raise UpstreamBroken("The upstream switched protocols.")
    return _INFORMATIONAL.match(data) is not None


def check_size(head: bytes) -> None:
    """UpstreamBroken where a head is above a limit: 64 KiB, 128 fields, 8 KiB a field."""
    if (
        len(head) > HEAD_BYTES
        or head.count(b"\r\n") > HEADER_FIELDS + 1
        or (len(head) > HEADER_BYTES and max(map(len, head.split(b"\r\n"))) > HEADER_BYTES)
    ):
        raise UpstreamBroken("The upstream's header is above the limit.")


def is_chunked(low: bytes, status: int) -> bool:
    """Whether a lower-case head frames its body in chunks.

    UpstreamBroken for every other transfer encoding, and for content that was encoded although identity alone was
    accepted. An error's content may be: its status has said what matters, and nobody reads the rest.
    """
    at = low.find(ENCODING)
    if at < 0:
        return False
    start = at - len(b"\r\ntransfer-")
    end = start + len(_CHUNKED)
    if low[start:end] == _CHUNKED and low.find(ENCODING, end) < 0 and low.startswith(b"http/1.1"):
        return True  # as nearly all of them say it
    chunked = False
    for which, value in _ENCODINGS.findall(low):
        coding = value.strip(b" \t")
        if which == b"content":
            if status < 300 and coding not in (b"", b"identity"):
                raise UpstreamBroken("The upstream's answer is compressed.")
        elif coding != b"chunked" or chunked or low.startswith(b"http/1.0"):
            # Two readers disagree on where such a body ends; that is how one answer becomes two.
            raise UpstreamBroken("The upstream's answer has a transfer encoding that isn't understood.")
        else:
            chunked = True
    return chunked


def field(low: bytes, name: bytes) -> bytes | None:
    """The value of the first field of a name in a lower-case head; the name has its line break and its colon."""
    found = low.find(name)
    if found < 0:
        return None
    start = found + len(name)
    return low[start : low.index(b"\r", start)].strip(b" \t")


def fields(head: bytes) -> dict[bytes, bytes]:
    """Every field by its lower-case name; of several of a name the last."""
    found = {}
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            found[name.lower()] = value.strip(b" \t")
    return found


def ends_chunks(data: bytes) -> bool:
    """Whether these bytes, in which the last chunk ended, hold nothing after it: not even another line break."""
    return data.endswith(END[-len(data) :]) and data[-5:-4] not in (b"\r", b"\n")
