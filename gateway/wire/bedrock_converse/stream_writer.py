"""Events to a streamed Converse answer, in AWS's binary framing.

Bedrock says one block after the other, and clients keep one at a time (Strands, LiteLLM). So where blocks stand open
side by side, a text or thought ends when another begins and goes on as a new block should it grow again; while a call
is open, what others say waits, for a call can't be cut in two. What proves a thought is told last, as Bedrock does.
"""

from typing import Final

from msgspec import Raw
from msgspec.json import Decoder, Encoder

from gateway.errors import GatewayError
from gateway.wire.bedrock_converse.answer import reason_of, sequence_fields, tier_fields, usage_fields
from gateway.wire.bedrock_converse.error import error_message
from gateway.wire.bedrock_converse.media import NAME, WORDS, Names, write_media
from gateway.wire.bedrock_converse.reading import RESULT, SERVED
from gateway.wire.bedrock_converse.writing import hidden, proof_of, write_citation
from gateway.wire.eventstream import MEDIA_TYPE, head, message
from gateway.wire.ir import (
    Ask,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Citation,
    Event,
    Finished,
    Foreign,
    Media,
    Refusal,
    Started,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.wire.losses import Losses

_START: Final = head("event", "contentBlockStart")
_DELTA: Final = head("event", "contentBlockDelta")
_STOP: Final = head("event", "contentBlockStop")
_STARTED: Final = message(head("event", "messageStart"), b'{"role":"assistant"}')
_ENDED: Final = head("event", "messageStop")
_METADATA: Final = head("event", "metadata")

_NOTHING: Final = Raw(b"[]")

_encode: Final = Encoder().encode
_block: Final = Decoder(dict[str, Raw]).decode


class ConverseWriter:
    """See Writer. A block has an index in the stream once something of it is said."""

    media_type = MEDIA_TYPE
    __slots__ = ("_ask", "_at", "_block", "_calls", "_index", "_losses", "_names", "_next", "_seen", "_waiting")

    def __init__(self, ask: Ask, losses: Losses) -> None:
        self._ask = ask
        self._losses = losses
        self._names = Names(losses)
        self._next = 0
        self._calls = 0
        self._at = -1  # the block that is being said, and what it is
        self._block: Block | None = None
        self._index = -1  # where it stands in the stream, once it does
        self._seen: dict[int, Block] = {}  # texts and thoughts that ended here and may still grow there
        self._waiting: dict[int, list[Event]] = {}

    def feed(self, event: Event) -> bytes:
        if type(event) is BlockGrew and event.at == self._at:
            return self._grow(event)
        out = [self._say(event)]
        while self._waiting and self._block is None:
            out += self._released()
        return b"".join(out)

    def fail(self, error: GatewayError) -> bytes:
        return error_message(error)

    # --- which block is said ------------------------------------------------------------------------------------------

    def _say(self, event: Event) -> bytes:
        if isinstance(event, BlockGrew):
            return self._grow(event) if event.at == self._at else self._grow_other(event)
        if isinstance(event, BlockOpened):
            if isinstance(self._block, ToolCall):
                self._waiting[event.at] = [event]
                return b""
            return self._stop() + self._open(event.at, event.block)
        if isinstance(event, BlockClosed):
            return self._close(event)
        return _STARTED if isinstance(event, Started) else self._finish(event)

    def _grow_other(self, event: BlockGrew) -> bytes:
        if event.at in self._waiting:
            self._waiting[event.at].append(event)
            return b""
        if event.at not in self._seen:
            return b""
        if isinstance(self._block, ToolCall):
            self._waiting[event.at] = [event]
            return b""
        block = self._seen.pop(event.at)
        # It goes on as another of its kind, without what it began with.
        again = Thinking(origin=block.origin, id=block.id) if isinstance(block, Thinking) else Text("")
        return self._stop() + self._open(event.at, again) + self._grow(event)

    def _close(self, event: BlockClosed) -> bytes:
        if event.at in self._waiting:
            self._waiting[event.at].append(event)
            return b""
        out = self._stop() if event.at == self._at else b""
        self._seen.pop(event.at, None)
        return out

    def _released(self) -> list[bytes]:
        """What the block that waited longest has to say."""
        at = next(iter(self._waiting))
        return [self._say(event) for event in self._waiting.pop(at)]

    def _stop(self) -> bytes:
        """End the block that is being said."""
        block, out = self._block, b""
        if isinstance(block, Thinking):
            out = self._prove(block)
        if self._index >= 0:
            out += message(_STOP, b'{"contentBlockIndex":%d}' % self._index)
        if isinstance(block, Text | Thinking | Refusal):
            self._seen[self._at] = block
        self._at, self._block, self._index = -1, None, -1
        return out

    def _finish(self, event: Finished) -> bytes:
        out = [self._stop()]
        while self._waiting:
            out += self._released()
            out.append(self._stop())
        ended: dict[str, object] = {"stopReason": reason_of(event.finish)}
        ended |= sequence_fields(event.sequence, self._ask)
        last: dict[str, object] = {"usage": usage_fields(event.usage, self._losses), "metrics": {"latencyMs": 0}}
        last |= tier_fields(event.service_tier, self._losses)
        out += (message(_ENDED, _encode(ended)), message(_METADATA, _encode(last)))
        return b"".join(out)

    # --- what a block says --------------------------------------------------------------------------------------------

    def _place(self) -> int:
        """Where the block stands in the stream, from its first word on."""
        if self._index < 0:
            self._index = self._next
            self._next += 1
        return self._index

    def _start(self, start: object) -> bytes:
        return message(_START, _encode({"contentBlockIndex": self._place(), "start": start}))

    def _delta(self, delta: object) -> bytes:
        return message(_DELTA, _encode({"contentBlockIndex": self._place(), "delta": delta}))

    def _text(self, text: str) -> bytes:
        return message(_DELTA, b'{"contentBlockIndex":%d,"delta":{"text":%b}}' % (self._place(), _encode(text)))

    def _open(self, at: int, block: Block) -> bytes:
        self._at, self._block, self._index = at, block, -1
        if isinstance(block, Text):
            out = self._text(block.text) if block.text else b""
            return out + b"".join(map(self._cite, block.citations))
        if isinstance(block, Refusal):
            self._losses.mapped("refusal")
            return self._text(block.text) if block.text else b""
        if isinstance(block, Thinking):
            self._block = Thinking("", block.signature, block.redacted, block.origin, block.id, block.summary)
            return self._thought(block.text)
        if isinstance(block, ToolCall):
            return self._open_call(block)
        if isinstance(block, Media):
            return self._open_media(block)
        return self._open_foreign(block)

    def _grow(self, event: BlockGrew) -> bytes:
        block = self._block
        if isinstance(block, Text):
            out = self._text(event.text) if event.text else b""
            if event.citation is not None:
                out += self._cite(event.citation)
            if event.logprobs is not None:
                self._losses.dropped("logprobs")
            return out
        if isinstance(block, ToolCall):
            if event.signature:
                self._losses.dropped("thinking.signature")
            return self._delta({"toolUse": {"input": event.text}}) if event.text else b""
        if isinstance(block, Thinking):
            block.signature += event.signature
            return self._thought(event.text)
        return self._text(event.text) if isinstance(block, Refusal) and event.text else b""

    def _cite(self, citation: Citation) -> bytes:
        said = write_citation(citation, self._losses)
        return b"" if said is None else self._delta({"citation": said})

    def _thought(self, text: str) -> bytes:
        return self._delta({"reasoningContent": {"text": text}}) if text else b""

    def _prove(self, thinking: Thinking) -> bytes:
        if thinking.redacted and self._index < 0:
            return self._delta(hidden(thinking))
        proof = proof_of(thinking)
        return self._delta({"reasoningContent": {"signature": proof}}) if proof else b""

    def _open_call(self, call: ToolCall) -> bytes:
        self._calls += 1
        if call.signature:
            self._losses.dropped("thinking.signature")
        said = {"toolUseId": call.id or f"tooluse_{self._calls}", "name": call.name}
        out = self._start({"toolUse": said})
        return out + self._delta({"toolUse": {"input": call.arguments}}) if call.arguments else out

    def _open_media(self, media: Media) -> bytes:
        written = write_media(media, self._names, self._losses) if media.kind == "image" else None
        if written is None:
            self._losses.dropped("files" if media.file else WORDS[media.kind])
            return b""
        image = written["image"]
        out = self._start({"image": {"format": image["format"]}})
        return out + self._delta({"image": {"source": image["source"]}})

    def _open_foreign(self, block: ToolResult | Foreign) -> bytes:
        """What Amazon's own tools were asked and gave."""
        if not isinstance(block, Foreign) or block.origin != NAME:
            self._losses.dropped(block.kind if isinstance(block, Foreign) else "tool_results")
            return b""
        said = _block(block.raw)
        if block.kind == SERVED:
            asked = _block(said["toolUse"])
            put = bytes(asked.pop("input", b"")).decode()
            return self._start({"toolUse": asked}) + self._delta({"toolUse": {"input": put}})
        if block.kind == RESULT:
            result = _block(said[RESULT])
            given = result.pop("content", _NOTHING)
            return self._start({RESULT: result}) + self._delta({RESULT: given})
        self._losses.dropped(block.kind)
        return b""
