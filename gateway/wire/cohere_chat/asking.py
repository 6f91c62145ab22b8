"""A request in Cohere's words (docs.cohere.com, Chat)."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Raw
from msgspec.json import encode

from gateway.wire import raw
from gateway.wire.cohere_chat.documents import encoded, write_document
from gateway.wire.cohere_chat.message import part, write_message
from gateway.wire.cohere_chat.words import NAME
from gateway.wire.ir import (
    Ask,
    Block,
    Effort,
    Foreign,
    Format,
    Media,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses

Json = dict[str, object]

_SAMPLING: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
# The least and the most of each, beyond which Cohere answers 400 (docs.cohere.com/reference/chat); "max value of 2^64".
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "top_p": (0.01, 0.99),
    "top_k": (0, 500),
    "frequency_penalty": (0, 1),
    "presence_penalty": (0, 1),
}
_SEEDS: Final = 2**64
_DETAILS: Final = frozenset(("auto", "low", "high"))
_KINDS: Final[Mapping[str, str]] = {"image": "images", "document": "documents", "audio": "audio", "video": "video"}
# There are no words for how much, only a number of tokens; the highest levels are what a model does by itself.
_BUDGETS: Final[Mapping[str, int]] = {"minimal": 512, "low": 1024, "medium": 4096}
_TAKES_NOTHING: Final = Raw(b'{"type":"object","properties":{}}')
_UNCITED: Final = Raw(b'{"mode":"OFF"}')


def write_request(ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
    if ask.n > 1:
        losses.refused("n")
    conversation = _Conversation(ask, losses)
    fields = {"model": raw.text_of(model), "messages": _json(conversation.messages()), "stream": _json(ask.stream)}
    _write_documents(conversation.documents, ask, fields, losses)
    _write_limits(ask, fields, losses)
    _write_tools(ask, fields, losses)
    if ask.thinking is not None:
        fields["thinking"] = _json(_thinking(ask.thinking, losses))
    if ask.format is not None:
        fields["response_format"] = _json(_form(ask.format, losses))
    _lose(ask, losses)
    for name, value in ask.other.items():
        if ask.origin == NAME:
            fields[name] = value
        else:
            losses.dropped(name)
    return fields


def _write_limits(ask: Ask, fields: dict[str, Raw], losses: Losses) -> None:
    """Numbers: how long, how, and how likely."""
    if ask.max_tokens is not None:
        fields["max_tokens"] = _json(ask.max_tokens)
    if ask.stop:
        fields["stop_sequences"] = _json(ask.stop)
    for name, value in ask.sampling.items():
        said = value if ask.origin == NAME else _within(name, value, losses)
        if said is not None and name in _SAMPLING:
            fields[_SAMPLING[name]] = said
        else:
            losses.dropped(name)
    if ask.logprobs is not None:
        fields["logprobs"] = _json(True)
        if ask.logprobs:
            losses.mapped("logprobs")


def _within(name: str, value: Raw, losses: Losses) -> Raw | None:
    """A number that Cohere takes, None for a loss: others' go from -2 to 2, to 1 and beyond, or past 64 bits."""
    number = raw.read_number(value) if name in _SAMPLING else None
    if number is None:
        return value
    least, most = _RANGES.get(name, (number, number))
    if number < 0 and name in _RANGES:
        return None  # more of the same isn't to be had, and no number is as good as none
    if not least <= number <= most:
        losses.mapped(name)
        return _json(least if number < least else most)
    if name == "seed" and not (number % 1 or 0 <= number < _SEEDS):
        losses.mapped(name)
        return _json(int(number) % _SEEDS)  # the same each time
    return value


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


# --- the conversation -------------------------------------------------------------------------------------------------


class _Conversation:
    """Writes turns as messages. `documents` are those of users: they go with the conversation, beside it."""

    __slots__ = ("_ask", "_last", "_losses", "documents")

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self._ask = ask
        self._losses = losses
        self._last = max((at for at, turn in enumerate(ask.messages) if turn.role == "user"), default=-1)
        self.documents: list[Media] = []

    def messages(self) -> list[Json]:
        messages: list[Json] = []
        if self._ask.system:
            messages.append({"role": "system", "content": self._content(self._ask.system, last=False)})
        for at, turn in enumerate(self._ask.messages):
            if turn.name:
                self._losses.dropped("name")
            if turn.role == "assistant":
                messages.append(self._assistant(turn))
            elif turn.role == "user":
                messages += self._user(turn, last=at == self._last)
            else:
                messages.append({"role": self._system(), "content": self._content(turn.content, last=False)})
        return messages

    def _system(self) -> str:
        """Cohere says "system turn must be the first in the list": who means it so says so himself."""
        if self._ask.origin == NAME:
            return "system"
        self._losses.mapped("system")
        return "user"

    def _user(self, turn: Turn, *, last: bool) -> list[Json]:
        """A message for each result, then one for the rest."""
        results = [block for block in turn.content if isinstance(block, ToolResult)]
        rest = [block for block in turn.content if not isinstance(block, ToolResult)]
        messages = [self._result(result) for result in results]
        documents = [block for block in rest if isinstance(block, Media) and block.kind == "document" and block.text]
        self.documents += documents
        for document in documents:
            self._mark(document.cache)
        rest = [block for block in rest if not (isinstance(block, Media) and block in documents)]
        if rest or not messages:
            messages.append({"role": "user", "content": self._content(rest, last=last)})
        return messages

    def _result(self, result: ToolResult) -> Json:
        self._mark(result.cache)
        if result.is_error:
            self._losses.dropped("tool_results.error")
        kept: list[Block] = []
        for block in result.content:
            if isinstance(block, Media) and not block.text:
                self._losses.dropped(f"tool_results.{_KINDS[block.kind]}")
            else:
                kept.append(block)
        return {"role": "tool", "tool_call_id": result.call_id, "content": self._content(kept, last=False)}

    def _assistant(self, turn: Turn) -> Json:
        parted = part(turn.content)
        for call in parted.calls:
            self._mark(call.cache)
        content = [block for block in parted.content if not isinstance(block, Thinking) or self._may_send(block)]
        citations: list[Raw] = []
        for block in content:
            for citation in block.citations if isinstance(block, Text) else ():
                if citation.origin == NAME:
                    citations.append(citation.raw)
                else:
                    self._losses.dropped("citations")
        says = content or not (parted.plan or parted.calls or parted.citations)
        return write_message(parted, self._content(content, last=False) if says else None, citations, self._losses)

    def _may_send(self, thinking: Thinking) -> bool:
        """Cohere signs nothing, so it can't tell what another signed."""
        if thinking.signature or thinking.redacted or not thinking.text:
            self._losses.dropped("thinking.blocks")
            return False
        return True

    def _content(self, blocks: Sequence[Block], *, last: bool) -> str | list[object]:
        """A text alone as such. `last`: what these say is what is asked for."""
        parts = [part for block in blocks if (part := self._part(block, last=last)) is not None]
        if not blocks:
            return ""
        if len(blocks) == 1 and isinstance(blocks[0], Text | Refusal):
            return blocks[0].text
        return parts

    def _part(self, block: Block, *, last: bool) -> object | None:
        if isinstance(block, Text):
            self._mark(block.cache)
            return {"type": "text", "text": block.text}
        if isinstance(block, Thinking):
            return {"type": "thinking", "thinking": block.text}
        if isinstance(block, Refusal):
            self._losses.mapped("refusal")
            return {"type": "text", "text": block.text}
        if isinstance(block, Media):
            self._mark(block.cache)
            return self._media(block, last=last)
        if isinstance(block, Foreign) and block.origin == NAME:
            return block.raw
        self._losses.dropped(block.kind if isinstance(block, Foreign) else "tool_results")
        return None

    def _media(self, media: Media, *, last: bool) -> Json | None:
        if media.text:
            return {"type": "document", "document": write_document(media)}
        if media.kind == "image" and not media.file:
            url = media.url or f"data:{media.media_type};base64,{media.data}"
            image: Json = {"url": url}
            if media.detail in _DETAILS:
                image["detail"] = media.detail
            elif media.detail:
                self._losses.dropped("images.detail")
            return {"type": "image_url", "image_url": image}
        word = "files" if media.file else _KINDS[media.kind]
        if last:
            self._losses.refused(word)
        self._losses.dropped(word)
        return None

    def _mark(self, cache: object) -> None:
        if cache is not None:
            self._losses.dropped("cache")


def _write_documents(documents: list[Media], ask: Ask, fields: dict[str, Raw], losses: Losses) -> None:
    """All are cited or none; by itself it cites them."""
    if not documents:
        return
    fields["documents"] = encoded(documents)
    cited = {document.cites for document in documents}
    if len(cited) > 1:
        losses.mapped("documents.citations")
    elif cited == {False} and "citation_options" not in ask.other:
        fields["citation_options"] = _UNCITED


# --- what is asked of it ----------------------------------------------------------------------------------------------


def _write_tools(ask: Ask, fields: dict[str, Raw], losses: Losses) -> None:
    tools: list[object] = []
    asked = _narrowed(ask.tools, ask.choice, losses)
    for tool in asked:
        if isinstance(tool, Tool):
            if tool.cache is not None:
                losses.dropped("cache")
            tools.append(_tool(tool))
        elif tool.origin == NAME:
            tools.append(tool.raw)
        else:
            losses.dropped(tool.kind)
    if tools:
        fields["tools"] = _json(tools)
        strict = {tool.strict for tool in asked if isinstance(tool, Tool)}
        if len(strict) == 1 and strict != {None}:
            fields["strict_tools"] = _json(strict == {True})
        elif True in strict:
            losses.dropped("tools.strict")  # it is for all of them or for none
    choice = ask.choice
    if choice is None:
        return
    if choice.mode != "auto":
        fields["tool_choice"] = raw.text_of("NONE" if choice.mode == "none" else "REQUIRED")
    if choice.parallel is False:
        losses.dropped("tool_choice.parallel")


def _narrowed(tools: list[Tool | Foreign], choice: ToolChoice | None, losses: Losses) -> list[Tool | Foreign]:
    """The tools that may be called: the others aren't shown, since none can be named."""
    if choice is None or not choice.names:
        return tools
    losses.mapped("tool_choice.names")
    named = [tool for tool in tools if isinstance(tool, Tool) and tool.name in choice.names]
    for tool in tools:
        if isinstance(tool, Foreign):
            losses.dropped(tool.kind)
    if not named:
        losses.refused("tool_choice.names")
    return list(named)


def _tool(tool: Tool) -> Json:
    function: Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.schema if tool.schema is not None else _TAKES_NOTHING
    return {"type": "function", "function": function}


def _thinking(effort: Effort, losses: Losses) -> Json:
    if effort.level == "none":
        return {"type": "disabled"}
    if effort.level:
        losses.mapped("thinking")
    if effort.shown is not None:
        losses.mapped("thinking.shown")  # thoughts are shown wherever it thinks
    budget = effort.tokens if effort.tokens is not None else _BUDGETS.get(effort.level)
    return {"type": "enabled"} if budget is None else {"type": "enabled", "token_budget": budget}


def _form(form: Format, losses: Losses) -> Json:
    if form.name or form.description:
        losses.dropped("format.name")
    if form.strict is False:
        losses.mapped("format.strict")  # a schema is always kept to
    said: Json = {"type": "json_object"}
    if form.schema is not None:
        said["json_schema"] = form.schema
    return said


def _json(value: object) -> Raw:
    return Raw(encode(value))
