"""Turns as messages: results of tools as messages of their own, and all an assistant said in one flat message.

The order of an assistant's blocks is lost in it: thoughts, then words, then calls.
"""

from typing import Final, TypeGuard

from msgspec.json import Decoder

from gateway.wire.ir import (
    NO_ARGUMENTS,
    Ask,
    Block,
    Cache,
    Foreign,
    Media,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.content import CALL, CALL_KIND, MESSAGE, RESULT_KIND
from gateway.wire.openai_chat.fields import NAME, Fields
from gateway.wire.openai_chat.parts import WORDS, Part, PartsWriter, merge, write_annotations, write_cache
from gateway.wire.openai_chat.thinking import SIGNER, is_kept, write_detail
from gateway.wire.signing import pack

_object: Final = Decoder(Fields).decode


def write_messages(ask: Ask, losses: Losses, *, own: bool) -> list[Part]:
    writing = _Writing(losses, own=own)
    if ask.system:
        writing.say("system", [*ask.system], "")
    last = max((at for at, turn in enumerate(ask.messages) if turn.role == "user"), default=-1)
    for at, turn in enumerate(ask.messages):
        if turn.role == "assistant":
            writing.answer(turn)
        else:
            writing.turn(turn, last=at == last)
    return writing.messages


class _Writing:
    __slots__ = ("_losses", "_own", "messages")

    def __init__(self, losses: Losses, *, own: bool) -> None:
        self.messages: list[Part] = []
        self._losses = losses
        self._own = own

    def say(self, role: str, blocks: list[Block], name: str, *, last: bool = False) -> None:
        writer = PartsWriter(self._losses, own=self._own, last=last)
        content = writer.write([block for block in blocks if not _is_beside(block, MESSAGE)])
        message: Part = {"role": role, "content": content}
        if name:
            message["name"] = name
        self.messages.append(message)
        self._put_back(blocks)

    def turn(self, turn: Turn, *, last: bool) -> None:
        """Results come first: they must follow their calls."""
        said: list[Block] = []
        moved: list[Block] = []
        answers = 0
        for block in turn.content:
            if isinstance(block, ToolResult):
                answers += 1
                self._result(block, moved)
            elif _is_ours(block, RESULT_KIND):
                answers += 1
                self.messages.append({**_object(block.raw)})
            elif answers and not said and _is_beside(block, MESSAGE):
                self._put_back([block])
            else:
                said.append(block)
        if said or moved or not answers:
            self.say(turn.role, moved + said, turn.name, last=last)

    def _result(self, result: ToolResult, moved: list[Block]) -> None:
        """A tool's message holds text; what else a tool gave is shown by the user behind it."""
        kept: list[Block] = []
        for block in result.content:
            if isinstance(block, Media) and not block.text and not self._own:
                self._losses.mapped(f"tool_results.{WORDS[block.kind]}")
                moved += (Text(f"Given by the tool call {result.call_id}:"), block)
            else:
                kept.append(block)
        if result.is_error:
            self._losses.dropped("tool_results.error")
        message: Part = {
            "role": "tool",
            "tool_call_id": result.call_id,
            "content": PartsWriter(self._losses, own=self._own, last=False).write(kept),
        }
        if result.cache is not None:
            self._cache(result.cache, message)
        if result.name and self._own:
            message["name"] = result.name
        self.messages.append(message)

    def answer(self, turn: Turn) -> None:
        message: Part = {"role": "assistant"}
        if turn.name:
            message["name"] = turn.name
        content: list[Block] = []
        thoughts: list[Thinking] = []
        refusals = [block.text for block in turn.content if isinstance(block, Refusal)]
        calls: list[Part] = []
        for block in turn.content:
            if isinstance(block, Thinking):
                thoughts.append(block)
            elif isinstance(block, ToolCall):
                calls.append(self._call(block))
            elif _is_ours(block, CALL_KIND):
                calls.append({**_object(block.raw)})
            elif _is_beside(block, CALL) and calls:
                merge(calls[-1], block.kind.removeprefix(CALL), block.raw)
            elif isinstance(block, Media) and not self._own:
                self._losses.dropped(WORDS[block.kind])  # only users show pictures
            elif not isinstance(block, Refusal) and not _is_beside(block, MESSAGE):
                content.append(block)
        self._think(thoughts, message)
        words = PartsWriter(self._losses, own=self._own, last=False).write(content)
        message["content"] = words if words or not (calls or refusals) else None
        texts = [block for block in content if isinstance(block, Text)] if self._own else []
        if notes := write_annotations(texts, self._losses):
            message["annotations"] = notes
        if refusals:
            message["refusal"] = "".join(refusals)
        if calls:
            message["tool_calls"] = calls
        self.messages.append(message)
        self._put_back(turn.content)

    def _call(self, call: ToolCall) -> Part:
        written: Part = {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or NO_ARGUMENTS},
        }
        if call.cache is not None:
            self._cache(call.cache, written)
        if call.signature and self._own:
            written["extra_content"] = write_signature(call)
        elif call.signature:
            self._losses.dropped("thinking.signature")
        return written

    def _think(self, thoughts: list[Thinking], message: Part) -> None:
        """Plain thoughts as text, as DeepSeek takes them; what is signed goes back only to who signed it."""
        details: list[Part] = []
        plain: list[str] = []
        for thought in thoughts:
            if (self._own and is_kept(thought)) or (thought.origin == NAME and (thought.signature or thought.redacted)):
                details += write_detail(thought, len(details))
            elif thought.signature or thought.redacted:
                self._losses.dropped("thinking.blocks")
            elif thought.text:
                plain.append(thought.text)
        if details:
            message["reasoning_details"] = details
        if plain:
            message["reasoning_content"] = "".join(plain)

    def _cache(self, cache: Cache, message: Part) -> None:
        if self._own:
            message["cache_control"] = write_cache(cache)
        else:
            self._losses.dropped("cache")

    def _put_back(self, blocks: list[Block]) -> None:
        for block in blocks:
            if _is_beside(block, MESSAGE):
                merge(self.messages[-1], block.kind.removeprefix(MESSAGE), block.raw)


def write_signature(call: ToolCall) -> Part:
    """Where Google has the signature of a call (ai.google.dev/gemini-api/docs/thought-signatures, OpenAI)."""
    return {"google": {"thought_signature": pack(call.signature, call.origin, SIGNER)}}


def _is_beside(block: Block, where: str) -> TypeGuard[Foreign]:
    return isinstance(block, Foreign) and block.origin == NAME and block.kind.startswith(where)


def _is_ours(block: Block, kind: str) -> TypeGuard[Foreign]:
    return isinstance(block, Foreign) and block.origin == NAME and block.kind.endswith(kind)
