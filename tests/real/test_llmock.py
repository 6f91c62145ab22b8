"""llmock breaks every way it can: before content nobody notices, after it callers get an error, and llmock approves."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Literal

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.real.asking import Caller, client
from tests.real.endings import Ending, Outcome, count
from tests.real.gateways import Gateway, backend
from tests.real.llmocks import Llmock, Record

pytestmark = pytest.mark.real

# A place that is only slow, because the machine is busy, is given up too, and llmock takes that for another call.
PATIENCE = {"first_token": "4s", "idle": "4s"}
STALL_S = 20
CALLS = 160
LANES = 8
# llmock echoes it, word by word: long enough for any fault to come before its end.
WORDS = "one two three four five six seven eight nine ten eleven twelve"


class Row:
    """llmocks behind one gateway: `both` asks the first and then the second, `one` the first alone."""

    def __init__(self, folder: pytest.TempPathFactory, first: Llmock, second: Llmock) -> None:
        self.first, self.second = first, second
        places = {"first": first, "second": second}
        self.gateway = Gateway(
            folder.mktemp("llmock"),
            {
                name: backend("openai", llmock.url, api_key="${LLMOCK_ACCOUNT}", timeouts=PATIENCE)
                for name, llmock in places.items()
            },
            {
                "both": [{"backend": name, "model": "gpt-4o-mini", "order": at} for at, name in enumerate(places)],
                "one": [{"backend": "first", "model": "gpt-4o-mini"}],
            },
            {"LLMOCK_ACCOUNT": "sk-llmock-account"},
            drain="100ms",
        )

    def forget(self) -> None:
        self.first.forget()
        self.second.forget()
        self.gateway.forget()


def _running(folder: pytest.TempPathFactory, *flags: str) -> Iterator[Row]:
    with ExitStack() as stack:
        pair = [Llmock("--response-style", "echo", *flags) for _ in range(2)]
        for llmock in pair:
            stack.enter_context(llmock.program)
        row = Row(folder, *pair)
        stack.callback(row.gateway.close)
        yield row


@pytest.fixture(scope="module")
def _calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Row]:
    # Paced, so that it sees whether its client stopped reading.
    yield from _running(tmp_path_factory, "--stream-chunk-delay-ms=20")


@pytest.fixture
def calm(_calm: Row) -> Row:
    """llmocks that break only what a test scripts."""
    _calm.forget()
    return _calm


@pytest.fixture(scope="module")
def chaotic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Row]:
    """llmocks that break at random, both of them."""
    errors = [f"--error-rate={status}={rate}" for status, rate in ((429, 0.2), (500, 0.05), (503, 0.05))]
    faults = [f"--stream-fault={kind}=0.1" for kind in ("disconnect", "truncate", "stall", "malformed")]
    yield from _running(
        tmp_path_factory, *errors, *faults, f"--stream-stall-seconds={STALL_S}", "--stream-chunk-delay-ms=2"
    )


@pytest.mark.parametrize("kind", ["disconnect", "truncate", "stall", "malformed"])
@pytest.mark.parametrize(
    ("after_chunks", "outcome", "tried"),
    [(0, "whole", ["first", "second"]), (1, "whole", ["first", "second"]), (3, "broken", ["first"])],
    ids=["at once", "after the role", "after content"],
)
async def test_a_stream_that_breaks_is_unseen_before_content_and_an_error_after_it(
    calm: Row, kind: str, after_chunks: int, outcome: Outcome, tried: list[str]
) -> None:
    calm.first.will({"type": "stream_fault", "kind": kind, "after_chunks": after_chunks, "stall_seconds": STALL_S})
    async with client(calm.gateway.url) as asks:
        ending = await Caller(asks, "both").call("stream", WORDS)
    assert ending.outcome == outcome
    line = calm.gateway.of(ending.request_id)
    assert [one.backend for one in line.attempts] == tried
    assert [record.fault for record in calm.first.records()] == [f"stream:{kind}@{after_chunks}"]
    assert len(calm.second.records()) == len(tried) - 1


@pytest.mark.parametrize("kind", ["stream", "chat"])
@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 504, 529])
async def test_a_failing_place_is_asked_once_and_the_next_one_answers(
    calm: Row, status: int, kind: Literal["stream", "chat"]
) -> None:
    calm.first.will({"type": "fail", "status": status})
    async with client(calm.gateway.url) as asks:
        ending = await Caller(asks, "both").call(kind, WORDS)
    assert (ending.outcome, ending.backend) == ("whole", "second")
    assert [record.status for record in calm.first.records()] == [status]
    assert [record.status for record in calm.second.records()] == [200]
    assert calm.first.verdict().of("error") == []


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_the_callers_own_mistake_is_told_him_and_tried_nowhere_else(calm: Row, status: int) -> None:
    calm.first.will(
        {"type": "fail", "status": status, "code": "context_length_exceeded", "message": "Too many tokens."}
    )
    async with client(calm.gateway.url, retries=2) as asks:
        with pytest.raises(openai.APIStatusError) as refused:
            await asks.chat.completions.create(model="both", messages=[{"role": "user", "content": WORDS}])
    assert (refused.value.status_code, refused.value.code) == (status, "context_length_exceeded")
    assert "Too many tokens." in refused.value.message
    assert (len(calm.first.records()), len(calm.second.records())) == (1, 0)


@pytest.mark.parametrize("wait_s", [0.4, 1.4, 2.5])
async def test_an_official_client_waits_as_long_as_the_upstream_asked(calm: Row, wait_s: float) -> None:
    calm.first.will({"type": "fail", "status": 429, "retry_after": wait_s})
    async with client(calm.gateway.url, retries=2) as asks:
        await asks.chat.completions.create(model="one", messages=[{"role": "user", "content": WORDS}])
    assert [record.status for record in calm.first.records()] == [429, 200]
    assert calm.first.verdict().findings == []


async def test_llmocks_verdict_on_callers_who_insist_passes(calm: Row, figures: dict[str, object]) -> None:
    """Callers behind the gateway, with the official client's own retries, who ask again when a stream broke."""
    fail: list[dict[str, object]] = [
        {"type": "fail", "status": status, "retry_after": 0.5} for status in (429, 503, 529)
    ]
    broken: list[dict[str, object]] = [
        {"type": "stream_fault", "kind": kind, "after_chunks": at, "stall_seconds": STALL_S}
        for kind in ("disconnect", "truncate", "stall", "malformed")
        for at in (1, 3)
    ]
    scripts = [*([one] for one in (*fail, *broken)), [fail[0], fail[0]], [fail[1], broken[3]]]
    final: list[list[dict[str, object]]] = [[{"type": "fail", "status": status}] for status in (400, 401, 403, 404)]
    async with client(calm.gateway.url, retries=2) as asks:
        for at, script in enumerate([*scripts, *final]):
            calm.first.will(*script)
            assert await insist(asks, f"{WORDS} {at}") == (script not in final)
    verdict = calm.first.verdict()
    figures["llmock_verdict"] = {
        "passed": verdict.passed,
        "calls": verdict.calls,
        "attempts": verdict.attempts,
        "faults": verdict.faults_injected,
        "errors": verdict.of("error"),
        "warnings": verdict.of("warning"),
    }
    assert verdict.passed, calm.first.report()
    assert verdict.calls == len(scripts) + len(final)
    assert verdict.findings == [], calm.first.report()


async def insist(asks: AsyncOpenAI, prompt: str) -> bool:
    """Stream until it came whole; False where the answer is a no that stays one."""
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": prompt}]
    while True:
        try:
            finish = None
            async for chunk in await asks.chat.completions.create(model="one", messages=messages, stream=True):
                finish = chunk.choices[0].finish_reason
        except openai.APIStatusError as error:
            if error.status_code < 500 or error.code == "upstream_denied":
                return False
        except openai.APIError:
            pass
        else:
            assert finish
            return True


async def test_of_many_calls_in_chaos_each_ends_as_its_attempts_did(chaotic: Row, figures: dict[str, object]) -> None:
    endings: dict[str, Ending] = {}
    async with client(chaotic.gateway.url) as asks:
        caller = Caller(asks, "both")
        prompts = iter([f"{WORDS} {number}" for number in range(CALLS)])

        async def lane() -> None:
            for at, prompt in enumerate(prompts):
                endings[prompt] = await caller.call("chat" if at % 4 == 0 else "stream", prompt)

        async with asyncio.TaskGroup() as group:
            for _ in range(LANES):
                group.create_task(lane())

    records = [*chaotic.first.records(), *chaotic.second.records()]
    firsts = {record.prompt: record for record in chaotic.first.records()}
    seconds = {record.prompt: record for record in chaotic.second.records()}
    verdicts = [chaotic.first.verdict(), chaotic.second.verdict()]
    figures["llmock_chaos"] = {
        "calls": CALLS,
        **count(endings.values()),
        "attempts": len(records),
        "faults": sum(record.fault is not None for record in records),
        "errors": sorted({code for verdict in verdicts for code in verdict.of("error")}),
        "warnings": sorted({code for verdict in verdicts for code in verdict.of("warning")}),
    }
    assert len(endings) == len(firsts.keys() | seconds.keys()) == CALLS
    assert len(records) == len(firsts) + len(seconds), "somewhere one call was tried twice in one place"
    assert count(endings.values())["silent"] == 0
    for prompt, ending in endings.items():
        # Which of them was asked first depends on what they did before.
        outcomes = [seen(place[prompt]) for place in (firsts, seconds) if prompt in place]
        outcomes.sort(key=lambda outcome: outcome != "failed")
        assert outcomes[:-1] == ["failed"] * (len(outcomes) - 1)
        assert outcomes[-1] == ending.outcome
    # Asked again elsewhere, a cut stream looks accepted to who cut it: what each caller got says that it wasn't.
    assert {code for verdict in verdicts for code in verdict.of("error")} <= {"truncated_stream_accepted"}
    stalls = [record.stall_waited for record in records if record.stall_waited is not None]
    assert max(stalls, default=0.0) < STALL_S


def seen(record: Record) -> Outcome:
    """What a caller makes of this attempt: the role comes as a chunk of its own, so content begins with the next."""
    if record.status >= 400:
        return "failed"
    if record.fault is None:
        return "whole"
    return "failed" if int(record.fault.partition("@")[2]) < 2 else "broken"
