"""What must not be believed of Anthropic's fields (reliability, section 3-E).

Addresses (row E11) have tests of their own.
"""

import orjson
import pytest

from tests.conformance.inputs_callers import CLAUDE, ELSEWHERE, JSON, stage
from tests.upstream.scripted import sized

USER = {"role": "user", "content": "Hi"}
USE = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
USES = {"role": "assistant", "content": [USE]}


def answers(*blocks: object) -> list[object]:
    return [USER, USES, {"role": "user", "content": list(blocks)}]


@pytest.mark.parametrize(
    ("said", "sent"), [("", b"2023-06-01"), ("2023-01-01", b"2023-01-01"), ("tomorrow", b"tomorrow")]
)
async def test_e1_a_version_is_assumed_and_any_other_is_carried(said: str, sent: bytes) -> None:
    """Anthropic answers 400 without one. Its kits all send one, other callers forget it, and only one exists in use."""
    async with stage(CLAUDE) as on:
        await on.says(CLAUDE.ask(), headers={"anthropic-version": said})
        [request] = on.native.requests
        assert request.lower().count(b"anthropic-version") == 1
        assert b"\r\nanthropic-version: %b\r\n" % sent in request


async def test_e1_a_version_can_not_leave_its_line() -> None:
    async with stage(CLAUDE) as on:
        heard = await on.says(CLAUDE.ask(), headers={"anthropic-version": "a\rb"})
        assert (heard.status, on.native.requests) == (400, [])
        assert set(heard.json) == CLAUDE.shape


async def test_e2_flags_are_carried_and_elsewhere_they_are_losses() -> None:
    flags = ",".join(f"flag-{n}" for n in range(100))
    async with stage(CLAUDE) as on:
        await on.says(CLAUDE.ask(), headers={"anthropic-beta": flags})
        assert b"\r\nanthropic-beta: %b\r\n" % flags.encode() in on.native.requests[0]
    async with stage(CLAUDE) as on:
        await on.says(CLAUDE.ask(), ELSEWHERE, headers={"anthropic-beta": "one,two"})
        assert b"anthropic" not in on.other.requests[0].lower()
        assert list(on.inside.settled[0].changed) == ["anthropic-beta.one", "anthropic-beta.two"]


@pytest.mark.parametrize(
    ("limit", "code"),
    [(None, "missing_field"), (0, "invalid_value"), (-1, "invalid_value"), (2**31, "invalid_value")],
)
async def test_e3_a_limit_is_needed(limit: object, code: str) -> None:
    async with stage(CLAUDE) as on:
        await on.refuses(CLAUDE.ask(max_tokens=limit), code, "max_tokens")


@pytest.mark.parametrize(
    ("messages", "code", "param"),
    [
        (None, "missing_field", "messages"),
        ([], "invalid_value", "messages"),
        ("Hi", "invalid_type", "messages"),
        ([USER, None], "invalid_type", "messages[1]"),
        ([USER, {"role": "wizard", "content": "Hi"}], "invalid_value", "messages[1].role"),
        ([USER, {"content": "Hi"}], "missing_field", "messages[1].role"),
    ],
)
async def test_e4_messages_that_are_none(messages: object, code: str, param: str) -> None:
    async with stage(CLAUDE) as on:
        await on.refuses(CLAUDE.ask(messages=messages), code, param)
        await on.refuses(CLAUDE.ask(messages=messages), code, param, model=ELSEWHERE)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "assistant", "content": "Hi"}],
        [{"role": "user", "content": []}],
        [USER, {"role": "system", "content": "Hi"}],
        [{"role": "user", "content": [{"type": "unheard of", "a": 1.5}]}],
        answers({"type": "tool_result", "tool_use_id": "b", "content": "1"}),
        [USER, {"role": "assistant", "content": [USE, USE]}],
    ],
    ids=["assistant first", "empty", "system", "unknown block", "dangling", "same ids"],
)
async def test_e4_e5_what_only_anthropic_judges_is_carried(messages: list[object]) -> None:
    async with stage(CLAUDE) as on:
        await on.carries(CLAUDE.ask(messages=messages), orjson.dumps(messages))


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (
            answers({"type": "tool_result", "tool_use_id": "b", "content": "1"}),
            "messages[2].content[0].tool_use_id",
        ),
        ([USER, {"role": "assistant", "content": [USE, USE]}], "messages[1].content[1].id"),
    ],
    ids=["dangling", "same ids"],
)
async def test_e5_what_belongs_to_nothing_can_not_be_translated(messages: list[object], param: str) -> None:
    async with stage(CLAUDE) as on:
        await on.refuses(CLAUDE.ask(messages=messages), "untranslatable", param, model=ELSEWHERE)


async def test_e5_an_unknown_block_is_a_loss_elsewhere() -> None:
    odd = {"type": "unheard_of", "a": 1.5}
    async with stage(CLAUDE) as on:
        messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, odd]}]
        sent, changed = await on.translates(CLAUDE.ask(messages=messages))
        assert "unheard_of" not in str(sent)
        assert changed == ["unheard_of"]


async def test_e6_results_that_nest_too_deep() -> None:
    body = CLAUDE.ask(messages=[USER, USES, {"role": "user", "content": "@"}])
    nested = b'[{"type":"tool_result","tool_use_id":"a","content":' * 300 + b'"Hi"' + b"}]" * 300
    async with stage(CLAUDE) as on:
        await on.refuses(orjson.dumps(body).replace(b'"@"', nested), "nesting_too_deep", None)


async def test_e7_thinking_and_signatures_are_carried_as_they_are() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "tampered=="}
    messages = [USER, {"role": "assistant", "content": [thought, USE]}, {"role": "user", "content": "On."}]
    budget = {"type": "enabled", "budget_tokens": 100_000}
    async with stage(CLAUDE) as on:
        await on.carries(CLAUDE.ask(messages=messages, thinking=budget), orjson.dumps(messages), orjson.dumps(budget))


async def test_e8_marks_are_carried_and_elsewhere_they_are_losses() -> None:
    marked = [{"type": "text", "text": str(n), "cache_control": {"type": "ephemeral"}} for n in range(10)]
    messages = [{"role": "user", "content": marked}]
    async with stage(CLAUDE) as on:
        await on.carries(CLAUDE.ask(messages=messages), orjson.dumps(messages))
    async with stage(CLAUDE) as on:
        sent, changed = await on.translates(CLAUDE.ask(messages=messages))
        assert ("cache_control" in str(sent)) != ("cache" in changed)


async def test_e9_e10_errors_below_its_paths_are_anthropics() -> None:
    async with stage(CLAUDE) as on:
        for path, method, status in (
            ("/v1/messages/nothing", "POST", 404),
            ("/v1/messages", "GET", 405),
            ("/v1/messages/count_tokens", "PUT", 405),
        ):
            heard = await on.sends(f"{method} {path} HTTP/1.1", CLAUDE.ask())
            assert heard.status == status
            assert heard.json["type"] == "error"
            assert set(heard.json) == CLAUDE.shape
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            heard = await on.sends(f"POST {path} HTTP/1.1", CLAUDE.ask(system="x" * 5_000_000))
            assert heard.status == 413
            assert heard.json["error"]["type"] == "request_too_large"  # type: ignore[index]  # a JSON object
        assert on.native.requests == []


async def test_e10_an_upstream_that_breaks_is_told_in_anthropics_words() -> None:
    async with stage(CLAUDE) as on:
        on.native.scripts = [[sized(b"<html>", status=b"500 Oops")]] * 3
        heard = await on.says(CLAUDE.ask())
        assert heard.status >= 500
        assert set(heard.json) == CLAUDE.shape
        assert JSON.strip() in heard.wire.lower()


async def test_a_tool_that_names_another_model_is_refused() -> None:
    tools = [{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-8"}]
    async with stage(CLAUDE) as on:
        await on.refuses(CLAUDE.ask(tools=tools), "unsupported_feature", "tools[0].model")
        await on.refuses(CLAUDE.ask(tools=tools), "unsupported_feature", "tools[0].model", model=ELSEWHERE)
