"""A Converse request to the inner form and back (docs.aws.amazon.com, Bedrock API reference, Converse).

The model stands in the path. What Amazon alone acts on (guardrails, request metadata, latency, prompt variables) is
`other`, under its own name; so is each field of `additionalModelRequestFields` that isn't understood.
"""

from collections.abc import Collection
from itertools import groupby
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, Encoder

from gateway.features import Request
from gateway.wire.addresses import media_in
from gateway.wire.bedrock_converse.additional import (
    BETA,
    FIELD,
    family,
    fixed_by,
    keeps_cache,
    may_be_claude,
    read_additional,
    write_additional,
)
from gateway.wire.bedrock_converse.fields import content_of, fields_of, said, understood, wanted, wrong
from gateway.wire.bedrock_converse.media import NAME
from gateway.wire.bedrock_converse.reading import SIGNER
from gateway.wire.bedrock_converse.tools import read_tools, write_tools
from gateway.wire.bedrock_converse.writing import Piece, Writing
from gateway.wire.ir import Ask, Block, Foreign, Format, Media, Role, Text, ToolCall, ToolResult, Turn
from gateway.wire.losses import Losses
from gateway.wire.raw import check_once

MOST_TOKENS: Final = 2**31 - 1
TIERS: Final = frozenset(("priority", "default", "flex", "reserved"))
# `system` as it was, where it holds more than texts and cache points; the name ends in what that is.
_SYSTEM: Final = "system."
# Where Claude's own answer and its own stream have it: Converse looks the path up in each (vercel/ai pull 11410).
_STOP_PATH: Final = Raw(b'["/stop_sequence"]')
_STOP_PATHS: Final = Raw(b'["/stop_sequence","/delta/stop_sequence"]')
PATHS: Final = "additionalModelResponseFieldPaths"
_INFERENCE: Final = "inferenceConfig"
_S3: Final = "s3://"
_BUCKET: Final = b"s3Location"
_BACKSLASH: Final = ord("\\")
_ESCAPED: Final = b"\\u00"
_TOOLS: Final = "toolConfig"
# Converse knows no JSON without a schema; in words a model understands it.
_JSON_ONLY: Final = "Reply with exactly one JSON object. Write nothing before or after it, and no code fence."
# Numbers by our name and Converse's; of the others it knows top_k alone (additional.py).
_SAMPLING: Final = {"temperature": "temperature", "top_p": "topP"}


class _Tier(Struct, forbid_unknown_fields=True):
    type: str


class _Schema(Struct, forbid_unknown_fields=True):
    schema: str
    name: str | None = None
    description: str | None = None


class _Structure(Struct, rename="camel", forbid_unknown_fields=True):
    json_schema: _Schema


class _TextFormat(Struct, forbid_unknown_fields=True):
    type: str
    structure: _Structure


class _Output(Struct, rename="camel", forbid_unknown_fields=True):
    text_format: _TextFormat


_encode: Final = Encoder().encode
_items: Final = Decoder(list[Raw]).decode
_string: Final = Decoder(str).decode
_strings: Final = Decoder(list[str]).decode
_whole: Final = Decoder(int).decode
_tier: Final = Decoder(_Tier).decode
_output: Final = Decoder(_Output).decode


def check(request: Request) -> None:
    """What the gateway itself acts on: how much may be answered, and whose files are read.

    Amazon fetches an S3 object as our account, which is one for all tenants.
    """
    text = bytes(request.fields.get("messages", b""))
    if _BUCKET in text or (_BACKSLASH in text and _ESCAPED in text):
        ask = request.inner = read_request(request)
        for at, turn in enumerate(ask.messages):
            if any(isinstance(media, Media) and media.url.startswith(_S3) for media in media_in(turn.content)):
                raise wrong(f"messages[{at}]", "names an object in a bucket", "unsupported_feature")
    inference = said(request.fields, _INFERENCE)
    if inference is not None:
        fields = understood(fields_of, inference, _INFERENCE)
        check_once(bytes(inference), fields, f"{_INFERENCE}.")
        most = said(fields, "maxTokens")
        if most is not None:
            _read_most(most)


def _read_most(value: Raw) -> int:
    param = f"{_INFERENCE}.maxTokens"
    most = understood(_whole, value, param)
    if not 0 < most <= MOST_TOKENS:
        raise wrong(param, "must be a positive number")
    return most


# --- reading ----------------------------------------------------------------------------------------------------------


def read_request(request: Request) -> Ask:
    fields = request.fields
    ask = Ask(NAME, request.model, _read_messages(fields), stream=request.stream, wants_usage=True)
    for name in fields:
        value = said(fields, name)
        if value is None:
            continue
        match name:
            case "messages":
                pass
            case "system":
                _read_system(ask, value)
            case "inferenceConfig":
                _read_inference(ask, understood(fields_of, value, name))
            case "toolConfig":
                read_tools(ask, understood(fields_of, value, name))
            case "additionalModelRequestFields":
                read_additional(ask, understood(fields_of, value, name))
            case "outputConfig":
                _read_format(ask, value)
            case "serviceTier":
                ask.service_tier = understood(_tier, value, name).type
            case _:
                ask.other[name] = value
    return ask


def _read_messages(fields: dict[str, Raw]) -> list[Turn]:
    calls: dict[str, bool] = {}  # an id, and whether its call waits for a result
    messages = understood(_items, wanted(said(fields, "messages"), "messages"), "messages")
    if not messages:
        raise wrong("messages", "is empty")
    return [_read_message(value, f"messages[{n}]", calls) for n, value in enumerate(messages)]


def _read_message(value: Raw, param: str, calls: dict[str, bool]) -> Turn:
    message = understood(fields_of, value, param)
    role = understood(_string, wanted(said(message, "role"), f"{param}.role"), f"{param}.role")
    if role not in ("user", "assistant"):
        raise wrong(f"{param}.role", "is user or assistant")
    given = wanted(said(message, "content"), f"{param}.content")
    turn = Turn("user" if role == "user" else "assistant", [])
    if bytes(given)[:1] == b'"':
        turn.content.append(Text(understood(_string, given, f"{param}.content")))
        return turn
    content, places = content_of(given, f"{param}.content", asked=role == "user")
    for block, where in zip(content, places, strict=True):
        _pair(block, calls, where)
    turn.content = content
    return turn


def _pair(block: Block, calls: dict[str, bool], param: str) -> None:
    """Each result is a call's, and no two calls that wait for one share an id: else nobody knows what belongs together.

    `calls` says which have their result. Models that number their calls anew each turn are taken (recorded).
    """
    if isinstance(block, ToolCall):
        if calls.get(block.id) is False:
            raise wrong(param, "has the id of another call", "untranslatable")
        calls[block.id] = False
    elif isinstance(block, ToolResult):
        if block.call_id not in calls:
            raise wrong(param, "is the result of no call", "untranslatable")
        calls[block.call_id] = True


def _read_system(ask: Ask, value: Raw) -> None:
    content, _ = content_of(value, "system", asked=True)
    ask.system = [block for block in content if isinstance(block, Text)]
    strange = [block for block in content if not isinstance(block, Text)]
    if strange:
        first = strange[0]
        ask.other[_SYSTEM + (first.kind if isinstance(first, Foreign) else "content")] = value


def _read_inference(ask: Ask, fields: dict[str, Raw]) -> None:
    for name in fields:
        value = said(fields, name)
        if value is None:
            continue
        match name:
            case "maxTokens":
                ask.max_tokens = _read_most(value)
            case "stopSequences":
                ask.stop = understood(_strings, value, f"{_INFERENCE}.{name}")
            case "temperature":
                ask.sampling["temperature"] = value
            case "topP":
                ask.sampling["top_p"] = value
            case _:
                ask.other[f"{_INFERENCE}.{name}"] = value


def _read_format(ask: Ask, value: Raw) -> None:
    try:
        given = _output(value).text_format.structure.json_schema
        fields_of(given.schema)
    except (ValueError, RecursionError):
        ask.other["outputConfig"] = value
    else:
        ask.format = Format(Raw(given.schema.encode()), given.name or "", given.description or "")


# --- writing ----------------------------------------------------------------------------------------------------------


def write_request(ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
    own = ask.origin == NAME
    if ask.n > 1:
        losses.refused("n")
    writing = Writing(losses, asking=True, own=own, caches=own or keeps_cache(model))
    system, turns = _conversation(ask, losses)
    fields: dict[str, object] = {"messages": _write_messages(ask, turns, writing, losses)}
    if system:
        fields["system"] = writing.blocks(system)
    additional = write_additional(ask, model, losses)
    inside = {
        _INFERENCE: _write_inference(ask, model, losses, fixed_by(ask, model, additional)),
        _TOOLS: write_tools(ask, model, writing, losses),
        FIELD: additional,
    }
    if ask.format is not None and ask.format.schema is not None:
        fields["outputConfig"] = _write_format(ask.format, ask.format.schema)
    if ask.service_tier in TIERS:
        fields["serviceTier"] = {"type": ask.service_tier}
    elif ask.service_tier not in ("", "auto"):
        losses.dropped("service_tier")
    _drop(ask, losses)
    if own:
        _write_other(ask, fields, inside)
    else:
        for name in ask.other:
            if name != BETA or ask.origin != SIGNER:
                losses.dropped(name)
        if ask.stop and may_be_claude(model):
            # Which of them ended the answer is told only to who asks for it; a model that has no such field is asked in
            # vain: "if the requested field is not in the model response, it is ignored" (API reference, Converse).
            fields[PATHS] = _STOP_PATHS if ask.stream else _STOP_PATH
    fields |= {name: value for name, value in inside.items() if value}
    return {name: Raw(_encode(value)) for name, value in fields.items()}


def _conversation(ask: Ask, losses: Losses) -> tuple[list[Block], list[Turn]]:
    """The system prompt and the turns. Without any turn, which others allow, the prompt is the question."""
    system: list[Block] = [block for block in ask.system if block.text]
    turns = ask.messages
    if not turns and system:
        losses.mapped("system")
        system, turns = [], [Turn("user", system)]
    if ask.format is not None and ask.format.schema is None:
        losses.mapped("format")
        system = [*system, Text(_JSON_ONLY)]
    return system, turns


def _write_messages(ask: Ask, given: list[Turn], writing: Writing, losses: Losses) -> list[Piece]:
    turns = _merged(given, losses)
    last = max((n for n, turn in enumerate(turns) if turn.role == "user"), default=-1)
    messages: list[tuple[Role, list[Piece]]] = []
    for n, turn in enumerate(turns):
        content = writing.blocks(turn.content, mine=turn.role == "assistant", last=n == last)
        if n == last and ask.cache is not None:
            losses.mapped("cache")
            content += writing.point(ask.cache)
        if not content and turn.content:
            continue  # all of it is a loss, and an empty turn is refused
        if messages and messages[-1][0] == turn.role:
            messages[-1][1].extend(content)
        else:
            messages.append((turn.role, content))
    return [{"role": role, "content": content} for role, content in messages]


def _merged(turns: list[Turn], losses: Losses) -> list[Turn]:
    """Turns of one speaker as one, results of tools first: a model wants them before anything else."""
    merged: list[Turn] = []
    for role, group in groupby(turns, key=_speaker):
        several = list(group)
        for turn in several:
            if turn.role == "system":
                losses.mapped("system")
            if turn.name:
                losses.dropped("name")
        if len(several) == 1:
            content = several[0].content
        else:
            content = [block for turn in several for block in turn.content]
            content.sort(key=lambda block: not isinstance(block, ToolResult))
        merged.append(Turn(role, content))
    return merged


def _speaker(turn: Turn) -> Role:
    return "assistant" if turn.role == "assistant" else "user"


def _write_inference(ask: Ask, model: str, losses: Losses, fixed: Collection[str]) -> dict[str, object]:
    inference: dict[str, object] = {}
    if ask.max_tokens is not None:
        inference["maxTokens"] = ask.max_tokens
    # Claude: "each stop sequence must contain non-whitespace".
    blank = ask.origin == NAME or family(model) != "claude"
    stop = [text for text in ask.stop if blank or text.strip()]
    if len(stop) < len(ask.stop):
        losses.dropped("stop")
    if stop:
        inference["stopSequences"] = stop
    for name, value in ask.sampling.items():
        if name in _SAMPLING and name not in fixed:
            inference[_SAMPLING[name]] = value
        elif name != "top_k":
            losses.dropped(name)
    return inference


def _write_format(asked: Format, form: Raw) -> Piece:
    """Bedrock holds every answer to its schema, whether or not that was asked."""
    schema = {"schema": bytes(form).decode()}
    if asked.name:
        schema["name"] = asked.name
    if asked.description:
        schema["description"] = asked.description
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _drop(ask: Ask, losses: Losses) -> None:
    """Note what Converse has no word for."""
    for word, given in (
        ("logprobs", ask.logprobs is not None),
        ("user", bool(ask.user)),
        ("metadata", bool(ask.metadata)),
        ("cache_key", bool(ask.cache_key)),
    ):
        if given:
            losses.dropped(word)


def _write_other(ask: Ask, fields: dict[str, object], inside: dict[str, dict[str, object]]) -> None:
    """What only Converse says goes back to its place."""
    for name, value in ask.other.items():
        outer, _, inner = name.partition(".")
        if inner and outer in inside:
            inside[outer][inner] = value
        elif name.startswith(_SYSTEM):
            fields["system"] = value
        else:
            fields[name] = value
