"""A request in Ollama's words (its docs/openapi.yaml, ChatRequest).

A message's content is one text, its images beside it are base64. Texts of one message are joined as Ollama's templates
join messages of one role (template/template.go, collate).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder, encode

from gateway.wire import raw
from gateway.wire.ir import (
    NO_ARGUMENTS,
    Ask,
    Block,
    Effort,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses

Json = dict[str, object]

_OPTIONS: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "repetition_penalty": "repeat_penalty",
}
_LEVELS: Final[Mapping[str, str]] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
_KINDS: Final[Mapping[str, str]] = {"image": "images", "document": "documents", "audio": "audio", "video": "video"}
_TAKES_NOTHING: Final = Raw(b'{"type":"object","properties":{}}')
_BREAK: Final = "\n\n"

_object: Final = Decoder(dict[str, Raw]).decode


def write_request(ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
    if ask.n > 1:
        losses.refused("n")
    fields = {
        "model": raw.text_of(model),
        "messages": _json(_Conversation(ask, losses).messages()),
        "stream": _json(ask.stream),
    }
    options = _options(ask, losses)
    if options:
        fields["options"] = _json(options)
    _write_tools(ask, fields, losses)
    if ask.format is not None:
        fields["format"] = raw.text_of("json") if ask.format.schema is None else ask.format.schema
    if ask.thinking is not None:
        fields["think"] = _json(_think(ask.thinking, losses))
    if ask.logprobs is not None:
        fields["logprobs"] = _json(True)
        fields["top_logprobs"] = _json(ask.logprobs)
    _lose(ask, losses)
    return fields


def _lose(ask: Ask, losses: Losses) -> None:
    """What no field is there for."""
    for name, said in (
        ("user", ask.user),
        ("metadata", ask.metadata),
        ("service_tier", ask.service_tier),
        ("cache_key", ask.cache_key),
        ("cache", ask.cache),
    ):
        if said:
            losses.dropped(name)
    for name in ask.other:
        losses.dropped(name)


# --- the conversation -------------------------------------------------------------------------------------------------


class _Message:
    """A message being gathered."""

    __slots__ = ("calls", "images", "texts", "thoughts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.images: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[Json] = []

    def said(self, role: str) -> Json:
        message: Json = {"role": role, "content": _BREAK.join(self.texts)}
        if self.thoughts:
            message["thinking"] = _BREAK.join(self.thoughts)
        if self.images:
            message["images"] = self.images
        if self.calls:
            message["tool_calls"] = self.calls
        return message


class _Conversation:
    """Writes turns as messages; knows which call was for which tool."""

    __slots__ = ("_ask", "_last", "_losses", "_names")

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self._ask = ask
        self._losses = losses
        self._last = max((at for at, turn in enumerate(ask.messages) if turn.role == "user"), default=-1)
        self._names: dict[str, str] = {}

    def messages(self) -> list[Json]:
        messages: list[Json] = []
        if self._ask.system:
            messages.append(self._gathered(self._ask.system, last=False).said("system"))
        for at, turn in enumerate(self._ask.messages):
            messages += self._turn(turn, last=at == self._last)
        return messages

    def _turn(self, turn: Turn, *, last: bool) -> list[Json]:
        if turn.name:
            self._losses.dropped("name")
        results = [block for block in turn.content if isinstance(block, ToolResult)]
        messages = [self._result(result) for result in results]
        rest = [block for block in turn.content if not isinstance(block, ToolResult)]
        if rest or not messages:
            messages.append(self._gathered(rest, last=last).said(turn.role))
        return messages

    def _result(self, result: ToolResult) -> Json:
        """Its call is named by the tool's name, and by its id where the server knows ids (api/types.go, Message)."""
        self._mark(result.cache)
        if result.is_error:
            self._losses.dropped("tool_results.error")
        texts: list[Block] = []
        for block in result.content:
            if isinstance(block, Media) and not block.text:
                self._losses.dropped(f"tool_results.{_KINDS[block.kind]}")
            else:
                texts.append(block)
        message = self._gathered(texts, last=False).said("tool")
        name = result.name or self._names.get(result.call_id, "")
        if name:
            message["tool_name"] = name
        message["tool_call_id"] = result.call_id
        return message

    def _gathered(self, blocks: Sequence[Block], *, last: bool) -> _Message:
        message = _Message()
        for block in blocks:
            self._gather(message, block, last=last)
        return message

    def _gather(self, message: _Message, block: Block, *, last: bool) -> None:
        if isinstance(block, Text):
            self._mark(block.cache)
            if block.citations:
                self._losses.dropped("citations")
            message.texts.append(block.text)
        elif isinstance(block, Refusal):
            self._losses.mapped("refusal")
            message.texts.append(block.text)
        elif isinstance(block, ToolCall):
            message.calls.append(self._call(block))
        elif isinstance(block, Thinking):
            if block.signature or block.redacted:
                self._losses.dropped("thinking.blocks")  # nothing is signed there
            else:
                message.thoughts.append(block.text)
        elif isinstance(block, Media):
            self._mark(block.cache)
            self._media(message, block, last=last)
        else:
            self._losses.dropped(block.kind if isinstance(block, Foreign) else "tool_results")

    def _call(self, call: ToolCall) -> Json:
        self._mark(call.cache)
        if call.signature:
            self._losses.dropped("thinking.signature")
        self._names[call.id] = call.name
        arguments = call.arguments or NO_ARGUMENTS
        function: Json = {"name": call.name}
        if _is_object(arguments):
            function["arguments"] = Raw(arguments.encode())
        else:
            # They are an object there, so what is none stands inside one.
            self._losses.mapped("tool_calls.arguments")
            function["arguments"] = {"arguments": arguments}
        return {"id": call.id, "function": function}

    def _media(self, message: _Message, media: Media, *, last: bool) -> None:
        if media.text:
            self._losses.mapped("documents")
            if media.cites:
                self._losses.dropped("documents.citations")
            message.texts.append("\n".join(filter(None, (media.title or media.name, media.context, media.text))))
        elif media.kind == "image" and media.data:
            if media.detail:
                self._losses.dropped("images.detail")
            message.images.append(media.data)
        else:
            word = "files" if media.file else _KINDS[media.kind]
            if last:
                self._losses.refused(word)
            self._losses.dropped(word)

    def _mark(self, cache: object) -> None:
        if cache is not None:
            self._losses.dropped("cache")


# --- what is asked of it ----------------------------------------------------------------------------------------------


def _options(ask: Ask, losses: Losses) -> Json:
    options: Json = {}
    if ask.max_tokens is not None:
        options["num_predict"] = ask.max_tokens
    for name, value in ask.sampling.items():
        if name in _OPTIONS:
            options[_OPTIONS[name]] = value
        else:
            losses.dropped(name)
    if ask.stop:
        options["stop"] = ask.stop
    return options


def _write_tools(ask: Ask, fields: dict[str, Raw], losses: Losses) -> None:
    """The tools. There is no choice among them: whoever wants none is shown none."""
    choice = ask.choice
    if choice is not None:
        if choice.names:
            losses.refused("tool_choice.names")
        if choice.parallel is False:
            losses.dropped("tool_choice.parallel")
        if choice.mode == "none":
            if ask.tools:
                losses.mapped("tool_choice")
            return
        if choice.mode != "auto":
            losses.dropped("tool_choice")
    tools: list[Json] = []
    for tool in ask.tools:
        if isinstance(tool, Tool):
            tools.append(_tool(tool, losses))
        else:
            losses.dropped(tool.kind)
    if tools:
        fields["tools"] = _json(tools)


def _tool(tool: Tool, losses: Losses) -> Json:
    if tool.cache is not None:
        losses.dropped("cache")
    if tool.strict:
        losses.dropped("tools.strict")
    function: Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.schema if tool.schema is not None else _TAKES_NOTHING
    return {"type": "function", "function": function}


def _think(effort: Effort, losses: Losses) -> bool | str:
    """Whether, or how much in its three words. A model that knows no words takes its default."""
    if effort.level == "none":
        return False
    if effort.tokens is not None or effort.shown is False:
        losses.mapped("thinking")
    level = _LEVELS.get(effort.level)
    if level is None:
        return True
    if level != effort.level:
        losses.mapped("thinking")
    return level


def _is_object(text: str) -> bool:
    try:
        _object(text)
    except (DecodeError, RecursionError):
        return False
    return True


def _json(value: object) -> Raw:
    return Raw(encode(value))
