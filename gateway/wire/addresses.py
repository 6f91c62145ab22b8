"""Addresses in a conversation that a model's server would fetch by itself (reliability, rows D13, D14 and E11).

A provider fetches from its own network; a self-hosted server from ours, where metadata services and other tenants'
hosts are a request away, whatever the address looks like. So towards those no address crosses at all: data does.
"""

import re
from typing import Final, cast

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.codec import Codec, codec
from gateway.wire.ir import Ask, Block, Foreign, Media, ToolResult
from gateway.wire.needs import SIGNS

# More pictures than any conversation has; a video as thousands of frames took servers down (vLLM, CVE-2026-5497).
MOST_MEDIA: Final = 500

_COLON: Final = b":/"
# A field that is called an address, with bare quotes: so it is no text of anybody's.
_FIELD: Final = re.compile(rb'"[A-Za-z_0-9]*[uU][rR][iIlL]"\s*:')
_BACKSLASH: Final = ord("\\")
_SLASH: Final = ord("/")
_ESCAPED: Final = (b"\\/", b"\\u00")
_LARGE: Final = 64 * 1024  # below it there is no room for so much


def may_name_addresses(language: str, request: Request) -> bool:
    """Whether a closer look is needed: quick, and wrong in one direction only."""
    signs = SIGNS.get(language)
    if signs is None:
        return False
    for name in signs.conversation:
        text = bytes(request.fields.get(name, b""))
        if len(text) > _LARGE and text.count(b"data:") > MOST_MEDIA:
            return True
        # A number `in` bytes is one memchr, far quicker than a search for words.
        if _SLASH in text and _COLON in text and _FIELD.search(text):
            return True
        if _BACKSLASH in text and any(escape in text for escape in _ESCAPED):
            return True
    return False


def check_addresses(language: str, request: Request) -> None:
    """Raise BadRequest for an address that a self-hosted server would fetch, or more media than it can bear."""
    if not may_name_addresses(language, request):
        return
    ask = request.inner
    if not isinstance(ask, Ask):
        # What can't be read can't be looked through, and is refused with the reader's own reason.
        ask = request.inner = cast("Codec", codec(language)).read_request(request)
    seen = 0
    for at, turn in enumerate(ask.messages):
        for media in media_in(turn.content):
            seen += 1
            if _is_address(media):
                raise BadRequest(
                    "A self-hosted model's server would fetch this address itself: send the data instead.",
                    code="unsupported_feature",
                    param=f"messages[{at}]",
                )
    if seen > MOST_MEDIA:
        raise BadRequest("There are too many pictures or files.", code="invalid_value", param="messages")


def _is_address(block: Media | Foreign) -> bool:
    """What only one language knows may be a picture by another name."""
    if isinstance(block, Media):
        return bool(block.url)
    return any(mark in bytes(block.raw) for mark in (_COLON, *_ESCAPED))


def media_in(blocks: list[Block]) -> list[Media | Foreign]:
    """Pictures and files, those in tools' results too, and what may be one by another name."""
    found: list[Media | Foreign] = []
    for block in blocks:
        if isinstance(block, Media | Foreign):
            found.append(block)
        elif isinstance(block, ToolResult):
            found += media_in(block.content)
    return found
