"""A request of Google's language to the inner form: contents, instruction, tools, configuration."""

from collections.abc import Iterator
from typing import Final

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from gateway.errors import BadRequest, UnsupportedFeature
from gateway.features import Request
from gateway.wire.gemini import config, tools
from gateway.wire.gemini.fields import (
    NAME,
    Fields,
    list_in,
    members,
    missing,
    object_in,
    take_count,
    take_list,
    take_object,
    take_text,
    wrong_type,
)
from gateway.wire.gemini.media import is_stored
from gateway.wire.gemini.turns import read_contents, read_system
from gateway.wire.ir import Ask
from gateway.wire.raw import check_once, read_object

_CACHED: Final = "cachedContent"
_NOTHING: Final = Raw(b"[]")
# The request inside a request for a count (ai.google.dev, models.countTokens).
WITHIN: Final = "generateContentRequest"
# Tools that read what lies at Google under our account's key.
_STORES: Final = frozenset(("fileSearch", "retrieval"))
_MOST_ANSWERS: Final = 128


class _File(Struct):
    """An address, in both spellings, as with all that follows: only these are looked for in a body that is carried."""

    fileUri: str | None = None  # noqa: N815  (a rename allows one spelling)
    file_uri: str | None = None


class _Part(Struct):
    fileData: _File | None = None  # noqa: N815  (as above)
    file_data: _File | None = None
    functionResponse: "_Parts | None" = None  # noqa: N815  (as above)
    function_response: "_Parts | None" = None


class _Parts(Struct):
    """A turn, or a function's result."""

    parts: list[_Part] | _Part | None = None


_read_turns: Final = Decoder(list[_Parts] | _Parts | None).decode


def read_request(request: Request) -> Ask:
    """The inner form. BadRequest, with `param`, where what must cross can't be understood."""
    ask = read_fields(members(request.fields, ""), request.model)
    ask.stream = request.stream
    return ask


def read_fields(fields: Fields, model: str) -> Ask:
    """The inner form of a request's fields, under their lowerCamelCase names."""
    fields.pop("model", None)  # the path's counts
    contents = fields.pop("contents", None)
    if contents is None:
        raise missing("contents")
    ask = Ask(NAME, model, read_contents(contents, "contents"), wants_usage=True)
    system = fields.pop("systemInstruction", None)
    if system is not None:
        ask.system = read_system(system, "systemInstruction")
    ask.tools = tools.read_tools(take_list(fields, "tools", ""), "tools")
    choice = take_object(fields, tools.CONFIG, "")
    if choice is not None:
        ask.choice = tools.read_choice(choice, ask.other)
    generation = take_object(fields, config.CONFIG, "")
    if generation is not None:
        config.read_config(ask, generation)
    ask.service_tier = take_text(fields, "serviceTier", "").lower()
    ask.other |= fields
    return ask


def check(request: Request) -> None:
    """Raise BadRequest for what the gateway acts on: how many tokens and answers, and what is stored elsewhere."""
    _check(members(request.fields, ""), "")


def _check(fields: Fields, param: str) -> None:
    if _CACHED in fields:
        raise _stored(f"{param}{_CACHED}")
    for at, tool in enumerate(list_in(fields.get("tools", _NOTHING), f"{param}tools")):
        where = f"{param}tools[{at}]"
        store = next((name for name in object_in(tool, where) if name in _STORES), None)
        if store is not None:
            raise _stored(f"{where}.{store}")
    if config.CONFIG in fields:
        where = f"{param}{config.CONFIG}"
        generation = object_in(fields[config.CONFIG], where)
        check_once(bytes(fields[config.CONFIG]), read_object(fields[config.CONFIG]), f"{where}.")
        take_count(generation, "maxOutputTokens", where)
        take_count(generation, "candidateCount", where, most=_MOST_ANSWERS)
    for name in ("contents", "systemInstruction"):
        if name in fields and any(map(is_stored, _addresses(fields[name], f"{param}{name}"))):
            raise _stored(f"{param}{name}")
    if WITHIN in fields:
        _check(object_in(fields[WITHIN], WITHIN), f"{WITHIN}.")


def _stored(param: str) -> BadRequest:
    return UnsupportedFeature("What is stored at a provider can't be used through this gateway.", param=param)


def _addresses(raw: Raw, param: str) -> Iterator[str]:
    try:
        turns = _read_turns(raw)
    except DecodeError as error:
        raise wrong_type(param, "made of turns and their parts") from error
    for turn in turns if isinstance(turns, list) else [turns]:
        yield from _within(turn)


def _within(parts: _Parts | None) -> Iterator[str]:
    """The addresses in a turn, or in a function's result."""
    if parts is None or parts.parts is None:
        return
    for part in parts.parts if isinstance(parts.parts, list) else [parts.parts]:
        for file in (part.fileData, part.file_data):
            if file is not None:
                yield from filter(None, (file.fileUri, file.file_uri))
        yield from _within(part.functionResponse)
        yield from _within(part.function_response)
