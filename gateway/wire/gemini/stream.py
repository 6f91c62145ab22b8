"""A streamed answer of Google's language: every event is a GenerateContentResponse with some more of the parts.

There is no last frame: an answer is complete once it says why it ended. Functions' calls come whole, counts are of all
so far (ai.google.dev, models.streamGenerateContent).
"""

from bisect import bisect_left, bisect_right
from typing import Final

from msgspec import Raw
from msgspec.structs import replace

from gateway.errors import UpstreamTruncated
from gateway.wire import openai_error
from gateway.wire.gemini import chunk as chunks
from gateway.wire.gemini.chunk import UNSAID, Call, Candidate, Chunk, Part
from gateway.wire.gemini.citation import Found, place, read_citations, read_grounding
from gateway.wire.gemini.fields import NAME
from gateway.wire.gemini.logprobs import read_logprobs
from gateway.wire.gemini.media import kind_of
from gateway.wire.gemini.signature import standard
from gateway.wire.ir import (
    NO_ARGUMENTS,
    Block,
    BlockClosed,
    BlockGrew,
    BlockOpened,
    Event,
    Finish,
    Finished,
    Foreign,
    Media,
    Started,
    Text,
    Thinking,
    ToolCall,
)
from gateway.wire.losses import Losses

_NULL: Final = b"null"


class GeminiReader:
    """See Reader. Text and thoughts are blocks that stay open until another kind of part comes.

    `answered`: there was a candidate, or the prompt was not let through.
    """

    __slots__ = (
        "_at",
        "_blocks",
        "_calls",
        "_cited",
        "_early",
        "_id",
        "_losses",
        "_marks",
        "_open",
        "_reason",
        "_signed",
        "_spent",
        "_started",
        "_texts",
        "_tier",
        "answered",
        "done",
    )

    def __init__(self, losses: Losses) -> None:
        self.done = False
        self._losses = losses
        self._started = False
        self.answered = False
        self._id = ""
        self._at = -1
        self._open: type[Text | Thinking] | None = None
        self._signed = False
        self._texts: list[str] = []
        # Each block of text, and how many characters of all text stand before it.
        self._blocks: list[tuple[int, int]] = []
        self._marks: list[str] = []
        self._cited: set[bytes] = set()
        self._early: dict[bytes, Found] = {}
        self._calls = 0
        self._reason: Finish | None = None
        self._spent = chunks.Spent()
        self._tier = ""

    def feed(self, name: str, payload: bytes) -> list[Event]:
        chunk = chunks.read_chunk(payload)
        if _is_said(chunk.error):
            raise openai_error.read_inside(payload)
        events: list[Event] = []
        if not self._started:
            self._start(chunk, events)
        spent = chunk.usage_metadata
        if spent is not None:
            if spent.prompt_token_count is not None or spent.candidates_token_count is not None:
                self._spent = spent
            self._tier = spent.service_tier or self._tier
        candidate = chunks.first(chunk)
        if candidate is not None:
            self.answered = True
            self._candidate(candidate, payload, events)
        elif chunks.blocked(chunk):
            self.answered = True
            self._reason = "filter"
        return events

    def end(self) -> list[Event]:
        if self._reason is None:
            raise UpstreamTruncated("The upstream's answer ended without its end.", code="upstream_truncated")
        return self.finished(self._reason)

    def finished(self, otherwise: Finish) -> list[Event]:
        """The last events of an answer, for this reason where it told none."""
        events: list[Event] = []
        self._cite_unplaced(events)
        self._flush(events)
        self._close(events)
        events.append(Finished(self._reason or otherwise, usage=chunks.usage_of(self._spent), service_tier=self._tier))
        return events

    def _start(self, chunk: Chunk, events: list[Event]) -> None:
        self._started = True
        self._id = chunk.response_id or ""
        events.append(Started(self._id, chunk.model_version or "", chunks.seconds(chunk.create_time)))

    def _candidate(self, candidate: Candidate, payload: bytes, events: list[Event]) -> None:
        content = candidate.content
        if content is not None and content.parts:
            for at, part in enumerate(content.parts):
                self._part(part, at, payload, events)
        if candidate.logprobs_result is not None:
            self._logprobs(read_logprobs(candidate.logprobs_result), events)
        if _is_said(candidate.grounding_metadata):
            self._cite(read_grounding(candidate.grounding_metadata, self._losses), candidate, events)
        if _is_said(candidate.citation_metadata):
            self._cite(read_citations(candidate.citation_metadata), candidate, events)
        if candidate.finish_reason:
            self._reason = chunks.finish_of(candidate.finish_reason, calls=self._calls > 0)
            if candidate.finish_message and chunks.explains(self._reason):
                self._losses.dropped("finishMessage")

    def _part(self, part: Part, at: int, payload: bytes, events: list[Event]) -> None:
        text = part.text
        if text is not None:
            if part.thought:
                self._thought(text, part.thought_signature or "", events)
                return
            if text:
                if self._open is not Text or self._marks:
                    self._begin(Text(""), events)
                self._texts.append(text)
                events.append(BlockGrew(self._at, text))
            if part.thought_signature:
                self._marks.append(part.thought_signature)
        elif part.function_call is not None:
            self._call(part.function_call, part.thought_signature or "", events)
        elif not part.thought and (media := _media(part)) is not None:
            self._whole(media, events)
            if part.thought_signature:
                self._marks.append(part.thought_signature)
        else:
            self._unknown(part, chunks.raw_parts(payload)[at], events)

    def _thought(self, text: str, signed: str, events: list[Event]) -> None:
        if not text and not signed:
            return
        if self._open is not Thinking or self._signed:
            self._begin(Thinking(origin=NAME), events)
        self._signed = bool(signed)
        events.append(BlockGrew(self._at, text, signed))

    def _call(self, call: Call, signed: str, events: list[Event]) -> None:
        if not call.name:
            # Vertex tells arguments piece by piece to who asks for it in this language, and nobody else can.
            self._losses.dropped("partialArgs")
            return
        made = f"{self._id}_call_{self._calls}" if self._id else f"call_{self._calls}"
        self._calls += 1
        arguments = bytes(call.args).decode() if _is_said(call.args) else NO_ARGUMENTS
        origin = NAME if signed else ""
        self._whole(ToolCall(call.id or made, call.name, arguments, signed, origin), events)

    def _unknown(self, part: Part, raw: Raw, events: list[Event]) -> None:
        kind = chunks.kind_of(raw)
        if kind:
            self._whole(Foreign(NAME, "thought" if part.thought else kind, raw), events)
        elif part.thought_signature:
            self._marks.append(part.thought_signature)

    def _begin(self, block: Text | Thinking, events: list[Event]) -> None:
        """A block that grows."""
        self._next(events)
        self._open = type(block)
        self._signed = False
        if isinstance(block, Text):
            self._blocks.append((self._at, sum(map(len, self._texts))))
        events.append(BlockOpened(self._at, block))

    def _whole(self, block: Block, events: list[Event]) -> None:
        """A block that comes at once."""
        self._next(events)
        events.append(BlockOpened(self._at, block))
        events.append(BlockClosed(self._at))

    def _next(self, events: list[Event]) -> None:
        if self._marks:
            self._flush(events)
        self._close(events)
        self._at += 1

    def _close(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(BlockClosed(self._at))
            self._open = None

    def _flush(self, events: list[Event]) -> None:
        """Signatures that stood on text: thoughts without words, behind it and all that is said about it later."""
        marks, self._marks = self._marks, []
        for mark in marks:
            self._whole(Thinking("", mark, origin=NAME), events)

    def _logprobs(self, logprobs: Raw | None, events: list[Event]) -> None:
        if logprobs is None:
            return
        last = events[-1] if events else None
        if self._open is not Text:
            self._losses.dropped("logprobs")
        elif isinstance(last, BlockGrew):
            last.logprobs = logprobs
        else:
            events.append(BlockGrew(self._at, logprobs=logprobs))

    def _cite(self, found: list[Found], candidate: Candidate, events: list[Event]) -> None:
        """Citations of the text so far, each on the blocks that its words stand in. Chunks may tell them again."""
        text = "".join(self._texts)
        parts = _begins(candidate, len(text))
        begins = [before for _, before in self._blocks]
        placed: list[BlockGrew] = []
        for one in found:
            key = bytes(one.citation.raw)
            if key in self._cited:
                continue
            start, end = place(one.segment, text, parts)
            if start < 0 and one.segment is not None:
                self._early[key] = one  # it may be of words that are still to come
                continue
            self._cited.add(key)
            self._early.pop(key, None)
            if one.segment is None:
                placed.append(BlockGrew(self._blocks[-1][0] if self._blocks else -1, citation=one.citation))
                continue
            for at, before in self._blocks[bisect_right(begins, start) - 1 : bisect_left(begins, end)]:
                after = begins[n] if (n := bisect_right(begins, before)) < len(begins) else len(text)
                there = replace(one.citation, start=max(start, before) - before, end=min(end, after) - before)
                placed.append(BlockGrew(at, citation=there))
        self._put(placed, events)

    def _cite_unplaced(self, events: list[Event]) -> None:
        """What is cited of words that were never said: of all the text, where that is one block."""
        at = self._blocks[0][0] if len(self._blocks) == 1 else -1
        self._put([BlockGrew(at, citation=one.citation) for one in self._early.values()], events)

    def _put(self, placed: list[BlockGrew], events: list[Event]) -> None:
        """Citations on texts that are open, or were when this chunk came; elsewhere it is too late for them."""
        late: dict[int, list[Event]] = {}
        for more in placed:
            if self._open is Text and more.at == self._at:
                events.append(more)
            else:
                late.setdefault(more.at, []).append(more)
        if not late:
            return
        said, events[:] = events[:], []
        for event in said:
            if type(event) is BlockClosed:
                events += late.pop(event.at, ())
            events.append(event)
        if late:
            self._losses.dropped("citations")


def _begins(candidate: Candidate, after: int) -> dict[int, int]:
    """How many characters of all text, which ends `after` so many, stand before each part of it in this chunk."""
    parts = candidate.content.parts or [] if candidate.content is not None else []
    begins: dict[int, int] = {}
    for at in range(len(parts) - 1, -1, -1):
        if parts[at].text and not parts[at].thought:
            after -= len(parts[at].text or "")
            begins[at] = after
    return begins


def _is_said(raw: Raw) -> bool:
    return raw is not UNSAID and bytes(raw) != _NULL


def _media(part: Part) -> Media | None:
    if part.inline_data is not None:
        media_type = part.inline_data.mime_type or ""
        return Media(kind_of(media_type), media_type, standard(part.inline_data.data or ""))
    if part.file_data is not None:
        media_type = part.file_data.mime_type or ""
        return Media(kind_of(media_type), media_type, url=part.file_data.file_uri or "")
    return None
