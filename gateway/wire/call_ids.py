"""Ids of calls, each once in a conversation.

Not everybody names his calls (Ollama's older versions, Gemini): their readers count those of one answer, and with the
next answer they begin again. Clients that run tools take no id a second time (openai-agents, tool_planning.py: "Model
reused a completed tool call ID for a different invocation").
"""

from typing import Final

from gateway.wire.ir import ToolCall, Turn

_UNNAMED: Final = "call"


class CallIds:
    """Gives each call of an answer an id that no call before it in the conversation has."""

    __slots__ = ("_messages", "_taken")

    def __init__(self, messages: list[Turn]) -> None:
        self._messages = messages
        self._taken: set[str] | None = None

    def settle(self, call: ToolCall) -> None:
        """Its own id where nobody has that, else one made from it; the same however often an answer is read."""
        if self._taken is None:
            blocks = (block for turn in self._messages for block in turn.content)
            self._taken = {block.id for block in blocks if isinstance(block, ToolCall)}
        own = call.id = call.id or _UNNAMED
        number = len(self._taken)
        while call.id in self._taken:
            call.id = f"{own}_{number}"
            number += 1
        self._taken.add(call.id)
