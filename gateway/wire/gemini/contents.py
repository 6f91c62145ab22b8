"""Turns to `contents`: blocks to parts, neighbouring turns of one speaker to one (ai.google.dev, Content)."""

from typing import Final

from msgspec import Raw
from msgspec.json import Decoder

from gateway.wire.gemini import media, models, signature
from gateway.wire.gemini.fields import NAME, untranslatable
from gateway.wire.gemini.result import write_arguments, write_response
from gateway.wire.gemini.turns import OF_PART, OF_RESULT, OF_TURN
from gateway.wire.ir import Ask, Foreign, Media, Refusal, Text, Thinking, ToolCall, ToolResult, Turn
from gateway.wire.losses import Losses

Part = dict[str, object]
_Said = Text | Media | ToolCall | Thinking | Refusal | Foreign

_object: Final = Decoder(dict[str, Raw]).decode


def call_part(call: ToolCall, losses: Losses) -> Part:
    """A call, without its signature. Arguments are an object here: text that is none crosses inside one."""
    arguments, whole = write_arguments(call.arguments)
    if not whole:
        losses.mapped("arguments")
    said: Part = {"id": call.id} if call.id else {}
    return {"functionCall": {**said, "name": call.name, "args": arguments}}


class _Content:
    """One entry of `contents`, growing."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.parts: list[Part] = []
        self.more: Part = {}
        self.calls = False


class Conversation:
    """Writes the turns of one request for one model."""

    def __init__(self, ask: Ask, model: str, losses: Losses) -> None:
        self._losses = losses
        self._own = ask.origin == NAME
        self._signs = not models.is_before_3(model)
        self._last = ask.messages[-1] if ask.messages else None
        self._names: dict[str, str] = {}
        self._contents: list[_Content] = []
        for at, turn in enumerate(ask.messages):
            self._turn(turn, f"messages[{at}]")

    def contents(self) -> list[Part]:
        return [
            {"role": content.role, "parts": content.parts, **content.more}
            for content in self._contents
            if content.parts
        ]

    def _turn(self, turn: Turn, param: str) -> None:
        if turn.name:
            self._losses.dropped("name")
        if turn.role == "system":
            self._losses.mapped("system")
        role = "model" if turn.role == "assistant" else "user"
        if not self._contents or self._contents[-1].role != role:
            self._contents.append(_Content(role))
        content = self._contents[-1]
        beside: list[Part] = []
        for at, block in enumerate(turn.content):
            if isinstance(block, ToolResult):
                content.parts.append(self._result(block, f"{param}.content[{at}]", beside))
            else:
                self._block(block, content, f"{param}.content[{at}]", asked=turn is self._last)
        content.parts += beside

    def _block(self, block: _Said, content: _Content, param: str, *, asked: bool) -> None:
        parts = content.parts
        if isinstance(block, Text):
            self._marks(block)
            if block.text or self._own:  # Vertex refuses an empty one
                parts.append({"text": block.text})
        elif isinstance(block, ToolCall):
            parts.append(self._call(block, param, first=not content.calls))
            content.calls = True
        elif isinstance(block, Media):
            part = media.write(block, self._losses, own=self._own, asked=asked and content.role == "user")
            if part is not None:
                parts.append(part)
        elif isinstance(block, Thinking):
            self._thought(block, parts)
        elif isinstance(block, Refusal):
            self._losses.mapped("refusal")
            parts.append({"text": block.text})
        elif block.origin == NAME:
            lay(block, OF_TURN, content.more, parts)
        else:
            self._losses.dropped(block.kind)

    def _marks(self, text: Text) -> None:
        if text.cache is not None:
            self._losses.dropped("cache")
        if text.citations:
            self._losses.dropped("citations")

    def _thought(self, thinking: Thinking, parts: list[Part]) -> None:
        """A thought Gemini signed goes back as it came; a mark without words stood on an empty text."""
        signed = signature.own(thinking)
        if signed and thinking.origin != NAME:
            self._losses.dropped("thinking.blocks")
        elif signed:
            shown = {"thought": True} if thinking.text else {}
            parts.append({"text": thinking.text, **shown, "thoughtSignature": signed})
        elif thinking.text:
            parts.append({"text": thinking.text, "thought": True})

    def _call(self, call: ToolCall, param: str, *, first: bool) -> Part:
        self._names[call.id] = call.name
        if call.cache is not None:
            self._losses.dropped("cache")
        part = call_part(call, self._losses)
        if call.signature and call.origin == NAME:
            part["thoughtSignature"] = call.signature
            return part
        if call.signature:
            self._losses.dropped("thinking.signature")
        if first and self._signs:
            # Since Gemini 3 the first call of a turn without a signature is an error 400.
            self._losses.mapped("thinking.signature")
            part["thoughtSignature"] = signature.SKIP
        return part

    def _result(self, result: ToolResult, param: str, beside: list[Part]) -> Part:
        """A result; `beside` takes the pictures of one for a model that reads none in it."""
        name = self._names.get(result.call_id)
        if name is None:
            raise untranslatable(param, "is the result of no earlier call")
        if result.cache is not None:
            self._losses.dropped("cache")
        texts: list[str] = []
        parts: list[Part] = []
        more: Part = {}
        for block in result.content:
            if isinstance(block, Text | Refusal):
                texts.append(block.text)
            elif isinstance(block, Media):
                part = media.write(block, self._losses, own=self._own)
                if part is not None:
                    parts.append(part)
            elif isinstance(block, Foreign) and block.origin == NAME:
                lay(block, OF_RESULT, more, parts)
            else:
                self._losses.dropped(block.kind if isinstance(block, Foreign) else "tool_results.content")
        response = write_response("\n".join(texts) if texts else None, is_error=result.is_error)
        said: Part = {"id": result.call_id, "name": name, "response": response, **more}
        if parts and self._signs:
            said["parts"] = parts
        elif parts:
            self._losses.mapped("tool_results.images")
            beside += parts
        return {"functionResponse": said}


def lay(block: Foreign, around: str, outer: Part, parts: list[Part]) -> None:
    """Something of Google's own where it stood: on what is around the parts, on the last of them, or a part itself."""
    if block.kind.startswith(around):
        outer[block.kind.removeprefix(around)] = block.raw
    elif block.kind.startswith(OF_PART):
        if parts:
            parts[-1][block.kind.removeprefix(OF_PART)] = block.raw
    else:
        parts.append(dict(_object(block.raw)))
