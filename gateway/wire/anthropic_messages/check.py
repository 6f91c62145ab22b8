"""What the gateway acts on itself, so that it is looked at though the body only passes (reliability 3-E).

Limits, roles, and ids of what is stored at a provider: our account is one for all tenants, so until an id's owner can
be looked up, it is refused. So is a tool that has a model of its own (the advisor's): no key's list was asked about it.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire.anthropic_messages.kept import NULL, misfit, unreadable

MOST_TOKENS: Final = 2**31 - 1
ROLES: Final = ("user", "assistant", "system")

_whole: Final = re.compile(rb"-?\d+\Z").match
_KEY: Final = b'"file_id"'
_MODEL: Final = b'"model"'
# A tool of the caller's own.
_CUSTOM: Final = (None, "custom")
_ESCAPED: Final = b"\\u00"
_hides_key: Final = re.compile(rb"\\u00(?:66|69|6[cC]|65|5[fF]|64)").search


class _Message(Struct):
    role: str


class _Skill(Struct):
    type: str | None = None


class _Container(Struct):
    id: str | None = None
    skills: list[_Skill] | None = None


class _Thread(Struct):
    previous_message_id: str | None = None


_messages: Final = Decoder(list[_Message]).decode
_container: Final = Decoder(str | _Container | None).decode
_thread: Final = Decoder(_Thread | None).decode


def check(request: Request, *, counts: bool = False) -> None:
    """Raise BadRequest for what can't be served. `counts`: the request is one to count its tokens."""
    fields = request.fields
    read_limit(fields, needed=not counts)
    messages = fields.get("messages")
    if messages is None or bytes(messages) == NULL:
        raise BadRequest("The field 'messages' is missing.", code="missing_field", param="messages")
    _check_roles(messages)
    if _KEY in (raw := bytes(messages)) or (_ESCAPED in raw and _hides_key(raw)):
        _check_files(raw)
    _check_stores(fields)
    tools = bytes(fields.get("tools", NULL))
    if _MODEL in tools or _ESCAPED in tools:
        _check_models(tools)


def read_limit(fields: Mapping[str, Raw], *, needed: bool) -> int | None:
    """`max_tokens`. Anthropic takes 0 to fill its cache only; here nothing is asked for without an answer."""
    raw = bytes(fields.get("max_tokens", NULL))
    if raw == NULL:
        if needed:
            raise BadRequest("The field 'max_tokens' is missing.", code="missing_field", param="max_tokens")
        return None
    if not _whole(raw):
        raise BadRequest("The field 'max_tokens' must be a whole number.", code="invalid_type", param="max_tokens")
    if len(raw) > 10 or not 0 < int(raw) <= MOST_TOKENS:
        raise BadRequest("The field 'max_tokens' is out of range.", code="invalid_value", param="max_tokens")
    return int(raw)


def _check_roles(raw: Raw) -> None:
    try:
        messages = _messages(raw)
    except ValidationError as error:
        raise misfit(error, "messages") from error
    except DecodeError as error:
        raise unreadable("messages") from error
    if not messages:
        raise BadRequest("The field 'messages' is empty.", code="invalid_value", param="messages")
    for at, message in enumerate(messages):
        if message.role not in ROLES:
            raise BadRequest("This role isn't known.", code="invalid_value", param=f"messages[{at}].role")


def _check_files(raw: bytes) -> None:
    """Somewhere there is a `file_id`; in a tool's arguments it would be nobody's file."""
    try:
        messages = json.loads(raw, object_pairs_hook=_unambiguous)
    except ValueError as error:
        raise unreadable("messages") from error
    for at, message in enumerate(messages):
        _look(message.get("content"), f"messages[{at}].content")


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A name said twice could be read one way here and another way there."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("duplicate")
    return fields


def _look(blocks: object, place: str) -> None:
    for at, block in enumerate(blocks if isinstance(blocks, list) else []):
        if not isinstance(block, dict):
            continue
        source = block.get("source")
        inner = source if isinstance(source, dict) else {}
        if block.get("type") == "container_upload" or "file_id" in inner:
            raise _stored(f"{place}[{at}]")
        _look(block.get("content"), f"{place}[{at}].content")
        _look(inner.get("content"), f"{place}[{at}].source.content")


def _check_models(raw: bytes) -> None:
    """platform.claude.com, Advisor tool: `model` there names who is asked for advice, at the same account."""
    try:
        tools = json.loads(raw, object_pairs_hook=_unambiguous)
    except ValueError as error:
        raise unreadable("tools") from error
    for at, tool in enumerate(tools if isinstance(tools, list) else []):
        if isinstance(tool, dict) and tool.get("type") not in _CUSTOM and tool.get("model") is not None:
            raise BadRequest(
                "A tool that names another model is not accepted by this gateway.",
                code="unsupported_feature",
                param=f"tools[{at}].model",
            )


def _check_stores(fields: Mapping[str, Raw]) -> None:
    """A container holds a caller's files, a skill of his own his words, a thread his conversation."""
    try:
        container = _container(fields["container"]) if "container" in fields else None
        thread = _thread(fields["thread"]) if "thread" in fields else None
    except DecodeError as error:
        place = "container" if "container" in fields else "thread"
        raise BadRequest("A field has a value of the wrong type.", code="invalid_type", param=place) from error
    if isinstance(container, str) or (container is not None and container.id is not None):
        raise _stored("container")
    if container is not None and any(skill.type != "anthropic" for skill in container.skills or ()):
        raise _stored("container.skills")
    if thread is not None and thread.previous_message_id is not None:
        raise _stored("thread.previous_message_id")


def _stored(place: str) -> BadRequest:
    return BadRequest(
        "Ids of stored files, containers, skills and threads are not accepted by this gateway.",
        code="unsupported_feature",
        param=place,
    )
