"""The official Python client at work: single calls, and calls without a pause until told to stop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

from openai import APIError, APIStatusError, AsyncOpenAI

from tests.real.endings import KINDS, Ending, Kind, Outcome
from tests.real.gateways import KEY

CLIENT = "python"
TOKENS = 16
# llama.cpp's own field, carried because both sides speak one language: the answer goes on to its last token.
WHOLE_LENGTH = {"ignore_eos": True}


def client(url: str, key: str = KEY, *, retries: int = 0) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=url, api_key=key, max_retries=retries, timeout=60.0)


class Caller:
    """Makes calls for one model and remembers how each ended; `changed` is told of each content and each ending."""

    def __init__(
        self,
        openai: AsyncOpenAI,
        model: str,
        changed: Callable[[], None] = lambda: None,
        kinds: Sequence[Kind] = KINDS,
    ) -> None:
        self.openai = openai
        self.kinds = kinds
        self.model = model
        self.endings: list[Ending] = []
        self.midway = 0  # streams that have content and no end yet
        self.waiting = 0  # calls that have no answer yet
        self._changed = changed
        self._stopped = False

    def stop(self) -> None:
        """Let `keep_on` end after the calls that are under way."""
        self._stopped = True

    async def keep_on(self) -> None:
        """Call after call, of each kind in turn."""
        for kind in cycle(self.kinds):
            if self._stopped:
                return
            await self.call(kind, f"{kind}: number {len(self.endings)}")

    async def call(self, kind: Kind, prompt: str) -> Ending:
        calls = {"stream": self._stream, "chat": self._chat, "completion": self._completion, "embeddings": self._embed}
        self.waiting += 1
        progress = _Progress()
        try:
            ending = await calls[kind](prompt, progress)
        except APIError as error:
            if isinstance(error, APIStatusError):
                progress.answered(error.response.headers)
            ending = progress.ending(
                kind, "broken" if progress.pieces else "failed", error.code or type(error).__name__
            )
        finally:
            if progress.pieces:
                self.midway -= 1
            else:
                self.waiting -= 1
        self.endings.append(ending)
        self._changed()
        return ending

    async def _stream(self, prompt: str, progress: "_Progress") -> Ending:
        raw = await self.openai.chat.completions.with_raw_response.create(
            model=self.model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=TOKENS,
            stream=True,
            extra_body=WHOLE_LENGTH,
        )
        progress.answered(raw.headers)
        finish = None
        async for chunk in raw.parse():
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                if choice.delta.content:
                    self._got_a_piece(progress)
        return progress.ending("stream", "whole" if finish else "silent")

    def _got_a_piece(self, progress: "_Progress") -> None:
        progress.pieces += 1
        if progress.pieces == 1:
            self.waiting -= 1
            self.midway += 1
        self._changed()

    async def _chat(self, prompt: str, progress: "_Progress") -> Ending:
        raw = await self.openai.chat.completions.with_raw_response.create(
            model=self.model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=TOKENS,
            extra_body=WHOLE_LENGTH,
        )
        answer = raw.parse()
        whole = bool(answer.choices[0].message.content and answer.choices[0].finish_reason)
        progress.answered(raw.headers)
        return progress.ending("chat", "whole" if whole else "silent")

    async def _completion(self, prompt: str, progress: "_Progress") -> Ending:
        raw = await self.openai.completions.with_raw_response.create(
            model=self.model, prompt=prompt, max_tokens=TOKENS, extra_body=WHOLE_LENGTH
        )
        answer = raw.parse()
        whole = bool(answer.choices[0].text and answer.choices[0].finish_reason)
        progress.answered(raw.headers)
        return progress.ending("completion", "whole" if whole else "silent")

    async def _embed(self, prompt: str, progress: "_Progress") -> Ending:
        raw = await self.openai.embeddings.with_raw_response.create(model=self.model, input=[prompt, "another"])
        answer = raw.parse()
        whole = [len(one.embedding) > 0 for one in answer.data] == [True, True]
        progress.answered(raw.headers)
        return progress.ending("embeddings", "whole" if whole else "silent")


class _Progress:
    """What a call has brought so far, for the moment it breaks."""

    def __init__(self) -> None:
        self.pieces = 0
        self.backend = ""
        self.request_id = ""

    def answered(self, headers: Mapping[str, str]) -> None:
        self.backend = headers.get("x-gateway-backend", "")
        self.request_id = headers["x-request-id"]

    def ending(self, kind: Kind, outcome: Outcome, error: str = "") -> Ending:
        return Ending(CLIENT, kind, outcome, self.backend, error, self.pieces, self.request_id)


async def together(*callers: Caller, lanes: int) -> None:
    """Let each of them keep on in `lanes` lanes at once, until stopped."""
    async with asyncio.TaskGroup() as group:
        for caller in callers:
            for _ in range(lanes):
                group.create_task(caller.keep_on())
