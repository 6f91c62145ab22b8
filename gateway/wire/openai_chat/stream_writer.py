"""A streamed chat completion, written (platform.openai.com/docs/api-reference/chat/streaming).

The role comes first, then deltas as they come, the reason to end, what was used where the caller asked for it, and
`[DONE]`. Calls are counted by an index, thoughts that their maker signed by another. Clients join what they know
nothing of by adding strings, in lists by `index` (openai-python, lib/streaming/_deltas.py): so nothing is said twice.
"""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, Encoder

from gateway.errors import GatewayError
from gateway.wire import openai_error
from gateway.wire.answer_id import answer_id
from gateway.wire.ir import (
    NO_ARGUMENTS,
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Citation,
    Event,
    Finished,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.answer import call_id
from gateway.wire.openai_chat.answer_writer import (
    FUNCTION,
    is_beside,
    is_picture,
    note_lost,
    reason_of,
    tier_of,
    write_call,
    write_picture,
    write_usage,
)
from gateway.wire.openai_chat.content import MESSAGE
from gateway.wire.openai_chat.fields import NAME, Fields
from gateway.wire.openai_chat.messages_writer import write_signature
from gateway.wire.openai_chat.parts import Part, note_of
from gateway.wire.openai_chat.request import FunctionsAsk
from gateway.wire.openai_chat.thinking import is_kept, kind_of, write_detail
from gateway.wire.signing import pack

_KIND: Final = "chat.completion.chunk"
# Not everybody names his answers (Converse, Ollama), and openai-node takes no usage from a chunk without an id.
_DONE: Final = b"data: [DONE]\n\n"

_encode: Final = Encoder().encode
_object: Final = Decoder(Fields).decode


class _Said(Struct, gc=False):
    """An open block: where it begins in the content, which of its kind it is, whether anything was said in it."""

    block: Block
    start: int = 0
    index: int = -1
    empty: bool = True
    signature: str = ""


class ChatWriter:
    """See Writer."""

    media_type = "text/event-stream"
    __slots__ = (
        "_ask",
        "_calls",
        "_created",
        "_functions",
        "_head",
        "_id",
        "_length",
        "_losses",
        "_model",
        "_notes",
        "_open",
        "_pictures",
        "_rest",
        "_tail",
        "_thoughts",
    )

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self._ask = ask
        self._losses = losses
        self._functions = isinstance(ask, FunctionsAsk)
        self._open: dict[int, _Said] = {}
        self._calls = 0
        self._thoughts = 0
        self._notes = 0
        self._pictures = 0
        self._length = 0
        self._id = ""
        self._created = 0
        self._model = ask.model
        self._head = b""
        # OpenAI says that usage is still to come in each chunk of a stream that it was asked for in.
        self._rest = b"}]%b}\n\n" % (b',"usage":null' if ask.wants_usage else b"")
        self._tail = b',"logprobs":null,"finish_reason":null' + self._rest

    def feed(self, event: Event) -> bytes:
        if type(event) is BlockGrew:
            return self._grow(event)
        if type(event) is BlockOpened:
            return self._begin(event.at, event.block)
        if type(event) is BlockClosed:
            return self._close(event.at)
        if type(event) is Finished:
            return self._finish(event)
        return self._start(event) if type(event) is Started else b""

    def fail(self, error: GatewayError) -> bytes:
        return openai_error.error_frame(error, self._id, self._created, self._model, _KIND)

    # --- events -------------------------------------------------------------------------------------------------------

    def _start(self, event: Started) -> bytes:
        self._id = answer_id(event.id, self._ask, "chatcmpl")
        self._created = event.created
        self._model = event.model or self._ask.model
        self._head = self._envelope() + b',"choices":[{"index":0,"delta":'
        return self._frame({"role": "assistant", "content": ""})

    def _begin(self, at: int, block: Block) -> bytes:
        said = self._open[at] = _Said(block, self._length)
        if isinstance(block, Text):
            return b"".join((self._say(block.text), *(self._cite(said, citation) for citation in block.citations)))
        if isinstance(block, ToolCall):
            return self._begin_call(said, block)
        if isinstance(block, Thinking):
            return self._begin_thought(said, block)
        if isinstance(block, Refusal):
            return self._frame({"refusal": block.text}) if block.text else b""
        if is_picture(block):
            self._pictures += 1
            return self._frame({"images": [{"index": self._pictures - 1, **write_picture(block)}]})
        if is_beside(block):
            return self._frame({block.kind.removeprefix(MESSAGE): block.raw})
        note_lost(block, self._losses)
        return b""

    def _grow(self, event: BlockGrew) -> bytes:
        said = self._open[event.at]
        block = said.block
        if type(block) is Text:
            if event.citation is None:
                return self._say(event.text, event.logprobs)
            return self._say(event.text, event.logprobs) + self._cite(said, event.citation)
        if type(block) is ToolCall:
            return self._grow_call(said, block, event)
        if type(block) is Thinking:
            said.signature += event.signature
            return self._think(said, block, event.text)
        return self._frame({"refusal": event.text}) if type(block) is Refusal else b""

    def _close(self, at: int) -> bytes:
        said = self._open.pop(at)
        if said.empty and said.index >= 0 and type(said.block) is ToolCall:
            return self._arguments(said, NO_ARGUMENTS)  # clients read them as JSON
        if said.signature and type(said.block) is Thinking:
            kind, _ = kind_of(said.block)
            signature = pack(said.signature, said.block.origin, NAME)
            return self._frame({"reasoning_details": [{"type": kind, "signature": signature, "index": said.index}]})
        return b""

    def _finish(self, event: Finished) -> bytes:
        reason = reason_of(event.finish, functions=self._functions)
        said = tier_of(event.service_tier, self._losses)
        tier = b',"service_tier":%b' % _encode(said) if said else b""
        end = b'%b{},"logprobs":null,"finish_reason":%b}]%b%b' % (self._head, _encode(reason), tier, self._rest[2:])
        if self._ask.wants_usage and event.usage is not None:
            used = _encode(write_usage(event.usage))
            end += b'%b,"choices":[],"usage":%b}\n\n' % (self._envelope(), used)
        return end + _DONE

    # --- what they say ------------------------------------------------------------------------------------------------

    def _say(self, text: str, logprobs: Raw | None = None) -> bytes:
        if logprobs is not None:
            told = b',"logprobs":{"content":%b,"refusal":null},"finish_reason":null' % bytes(logprobs)
            self._length += len(text)
            return b'%b{"content":%b}%b%b' % (self._head, _encode(text), told, self._rest)
        if not text:
            return b""
        self._length += len(text)
        return b'%b{"content":%b}%b' % (self._head, _encode(text), self._tail)

    def _cite(self, said: _Said, citation: Citation) -> bytes:
        notes = note_of(citation, said.start, self._length - said.start, self._losses)
        if not notes:
            return b""
        self._notes += 1
        return self._frame({"annotations": [{"index": self._notes - 1, **_object(notes[0])}]})

    def _begin_thought(self, said: _Said, thought: Thinking) -> bytes:
        """Its maker and its id are said once, and its signature at its end."""
        said.index = self._thoughts
        self._thoughts += 1
        if not is_kept(thought):
            return self._think(said, thought, thought.text)
        said.signature = thought.signature
        begun = Thinking(thought.text, "", thought.redacted, thought.origin, thought.id, thought.summary)
        delta: Part = {"reasoning_content": thought.text} if thought.text else {}
        return self._frame(delta | {"reasoning_details": write_detail(begun, said.index)})

    def _think(self, said: _Said, thought: Thinking, text: str) -> bytes:
        """Its text by itself, and as an entry where there is more to it than that."""
        if not text:
            return b""
        if not is_kept(thought):
            return b'%b{"reasoning_content":%b}%b' % (self._head, _encode(text), self._tail)
        kind, field = kind_of(thought)
        detail = {"type": kind, field: text, "index": said.index}
        return self._frame({"reasoning_content": text, "reasoning_details": [detail]})

    def _begin_call(self, said: _Said, call: ToolCall) -> bytes:
        if self._functions and self._calls:
            self._losses.dropped("tool_choice.parallel")
            return b""
        said.index = self._calls
        said.empty = not call.arguments
        self._calls += 1
        written = write_call(call, call.id or call_id(self._id, said.index))
        function = {"name": call.name, "arguments": call.arguments}
        if self._functions:
            return self._frame({FUNCTION: function})
        return self._frame({"tool_calls": [{"index": said.index, **written, "function": function}]})

    def _grow_call(self, said: _Said, call: ToolCall, event: BlockGrew) -> bytes:
        if said.index < 0:
            return b""
        out = b""
        if event.text:
            said.empty = False
            out = self._arguments(said, event.text)
        if event.signature and not self._functions:
            signed = ToolCall(call.id, call.name, signature=event.signature, origin=call.origin)
            out += self._frame({"tool_calls": [{"index": said.index, "extra_content": write_signature(signed)}]})
        return out

    def _arguments(self, said: _Said, text: str) -> bytes:
        if self._functions:
            return self._frame({FUNCTION: {"arguments": text}})
        call = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (said.index, _encode(text))
        return self._head + call + self._tail

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _frame(self, delta: Part) -> bytes:
        return self._head + _encode(delta) + self._tail

    def _envelope(self) -> bytes:
        return b'data: {"id":%b,"object":"%b","created":%d,"model":%b' % (
            _encode(self._id),
            _KIND.encode(),
            self._created,
            _encode(self._model),
        )
