import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import BadRequest
from gateway.wire.anthropic_messages import effort
from gateway.wire.anthropic_messages.effort import LEAST_BUDGET, MOST_TOKENS, Said
from gateway.wire.anthropic_messages.kept import Kept
from gateway.wire.ir import Ask, Block, Effort, Text, Thinking, ToolCall, ToolChoice, ToolResult, Turn
from gateway.wire.losses import Losses

NEW, MIDDLE, OLD, OTHER = "claude-opus-4-8", "claude-sonnet-4-6", "claude-sonnet-4-5-20250929", "deepseek-chat"


def read(thinking: object, level: str = "") -> tuple[Effort | None, dict[str, Raw]]:
    kept = Kept()
    return effort.read(Raw(encode(thinking)), level, kept), kept.fields()


def write(
    asked: Effort | None,
    model: str,
    *,
    most: int | None = None,
    choice: ToolChoice | None = None,
    turns: tuple[Turn, ...] = (),
) -> tuple[Said, list[str]]:
    losses = Losses()
    ask = Ask("openai_chat", "m", list(turns), thinking=asked, max_tokens=most, choice=choice)
    return effort.write(ask, model, losses), losses.names()


@pytest.mark.parametrize(
    ("thinking", "level", "asked"),
    [
        (None, "", None),
        ({"type": "enabled", "budget_tokens": 2000}, "", Effort("", 2000)),
        ({"type": "enabled", "budget_tokens": 2000, "display": "omitted"}, "low", Effort("low", 2000, shown=False)),
        ({"type": "adaptive"}, "", Effort()),
        ({"type": "adaptive", "display": "summarized"}, "max", Effort("max", shown=True)),
        ({"type": "disabled"}, "", Effort("none")),
    ],
)
def test_thinking_and_effort_are_one_and_go_out_as_they_came(
    thinking: dict[str, object] | None, level: str, asked: Effort | None
) -> None:
    assert read(thinking, level) == (asked, {})
    assert effort.again(asked, alone=False) == Said(thinking, level)


def test_an_effort_without_thinking_is_said_again_without_it() -> None:
    asked, kept = read(None, "high")
    assert asked == Effort("high")
    assert kept == {"thinking.effort": Raw(b'{"output_config":"high"}')}
    assert effort.again(asked, alone=True) == Said()


def test_an_effort_without_a_known_word_is_kept_and_asks_nobody_else_for_anything() -> None:
    kept = {"thinking.effort": Raw(b'{"output_config":"ultra"}')}
    assert read(None, "ultra") == (None, kept)
    assert read({"type": "adaptive"}, "ultra") == (Effort(), kept)
    assert effort.again(Effort(), alone=True) == Said({"type": "adaptive"})


def test_an_effort_beside_disabled_thinking_is_kept() -> None:
    assert read({"type": "disabled"}, "low") == (Effort("none"), {"thinking.effort": Raw(b'{"output_config":"low"}')})
    assert effort.again(Effort("none"), alone=True) == Said({"type": "disabled"})


def test_tomorrows_kinds_and_displays_are_kept() -> None:
    asked, kept = read({"type": "between_tools", "display": "emoji"})
    assert asked == Effort()
    assert kept == {
        "thinking.type": Raw(b'{"thinking":"between_tools"}'),
        "thinking.display": Raw(b'{"thinking":"emoji"}'),
    }


def test_enabled_thinking_needs_its_budget() -> None:
    with pytest.raises(BadRequest) as refused:
        read({"type": "enabled"})
    assert refused.value.param == "thinking.budget_tokens"


def test_where_no_thinking_is_asked_for_only_the_limit_is_said() -> None:
    assert write(None, NEW) == (Said(most=MOST_TOKENS), [])
    assert write(None, NEW, most=50) == (Said(most=50), [])


@pytest.mark.parametrize("asked", [Effort("none"), Effort(tokens=0)])
def test_no_thinking_is_said_in_so_many_words(asked: Effort) -> None:
    assert write(asked, OLD) == (Said({"type": "disabled"}), [])


@pytest.mark.parametrize(
    ("asked", "model", "word", "lost"),
    [
        (Effort("high"), NEW, "high", []),
        (Effort("xhigh"), NEW, "xhigh", []),
        (Effort("xhigh"), MIDDLE, "high", ["thinking=mapped"]),
        (Effort("minimal"), MIDDLE, "low", ["thinking=mapped"]),
        (Effort("max"), "claude-mythos-preview", "max", []),
        (Effort("", 5000), NEW, "medium", ["thinking=mapped"]),
        (Effort("", 10**6), NEW, "max", ["thinking=mapped"]),
        (Effort("low", 10**6), "anthropic/claude-fable-5", "low", []),
        (Effort("", -1), NEW, "", []),
        (Effort(shown=True), MIDDLE, "", []),
        (Effort("huge"), NEW, "", ["thinking=mapped"]),
    ],
)
def test_a_new_model_is_told_in_words(asked: Effort, model: str, word: str, lost: list[str]) -> None:
    said, noted = write(asked, model, most=999)
    assert said == Said({"type": "adaptive"}, word, 999)
    assert noted == (["thinking"] if asked.level == "huge" else lost)


def test_a_new_model_shows_its_thoughts_where_that_is_asked_for() -> None:
    said, _ = write(Effort("low", shown=True), NEW)
    assert said.thinking == {"type": "adaptive", "display": "summarized"}


def test_the_limit_we_choose_leaves_room_for_thoughts() -> None:
    assert write(Effort("low"), NEW)[0].most == MOST_TOKENS + 2048
    assert write(Effort(shown=True), NEW)[0].most == MOST_TOKENS + 16_384
    assert write(Effort("low"), OLD)[0].most == MOST_TOKENS + 2048


@pytest.mark.parametrize(
    ("asked", "model", "most", "budget", "lost"),
    [
        (Effort("", 5000), OLD, 8000, 5000, []),
        (Effort("", 5000), MIDDLE, 8000, 5000, []),
        (Effort("", 500), OLD, 8000, LEAST_BUDGET, ["thinking=mapped"]),
        (Effort("high"), OTHER, 64_000, 16_384, ["thinking=mapped"]),
        (Effort("high"), OLD, 8000, 4000, ["thinking=mapped"]),
        (Effort("high"), OLD, 1500, LEAST_BUDGET, ["thinking=mapped"]),
        (Effort("", -1), "claude-3-7-sonnet-20250219", 64_000, 8192, ["thinking=mapped"]),
        (Effort("", 5000), "claude-4-sonnet", 8000, 5000, []),
        (Effort("", 5000), "us.anthropic.claude-opus-4-20250514-v1:0", 8000, 5000, []),
    ],
)
def test_an_older_model_is_told_in_tokens(asked: Effort, model: str, most: int, budget: int, lost: list[str]) -> None:
    assert write(asked, model, most=most) == (Said({"type": "enabled", "budget_tokens": budget}, most=most), lost)


@pytest.mark.parametrize(
    ("asked", "most"), [(Effort("high"), 1024), (Effort(shown=True), 9000), (Effort("huge"), 9000)]
)
def test_thinking_that_leaves_no_room_or_has_no_measure_is_lost(asked: Effort, most: int) -> None:
    assert write(asked, OLD, most=most) == (Said(most=most), ["thinking"])


@pytest.mark.parametrize("mode", ["required", "tool"])
def test_a_forced_tool_wins_over_thinking(mode: str) -> None:
    choice = ToolChoice("required") if mode == "required" else ToolChoice("tool", ("f",))
    assert write(Effort("high"), NEW, most=9, choice=choice) == (Said(None, "high", 9), ["thinking=mapped"])
    said, lost = write(Effort("high"), OLD, most=9000, choice=choice)
    assert (said.thinking, lost) == (None, ["thinking"])


def test_a_free_choice_of_tools_leaves_thinking_alone() -> None:
    assert write(Effort("high"), NEW, most=9, choice=ToolChoice())[0].thinking == {"type": "adaptive"}


SIGNED = Thinking("hm", signature="EqQB", origin="anthropic_messages")
CALL, RESULT = ToolCall("c", "f", "{}"), ToolResult("c", [Text("r")])
QUESTION = Turn("user", [Text("q")])


def loop(*before: Block) -> tuple[Turn, ...]:
    """A question, a call with something before it, its result."""
    return QUESTION, Turn("assistant", [*before, CALL]), Turn("user", [RESULT])


@pytest.mark.parametrize(
    "before",
    [(), (Thinking("hm"),), (Thinking("hm", signature="CiQ=", origin="gemini"),), (Text("Let me see."), SIGNED)],
)
def test_amid_tools_whose_first_answer_has_no_thought_of_claudes_there_is_no_thinking_by_budget(
    before: tuple[Block, ...],
) -> None:
    """ "When `thinking` is enabled, a final `assistant` message must start with a thinking block": a 400 otherwise."""
    assert write(Effort("low"), OLD, turns=loop(*before)) == (Said(most=MOST_TOKENS), ["thinking"])


@pytest.mark.parametrize(
    "turns",
    [
        loop(SIGNED),
        loop(Text(" "), Thinking("hm"), Thinking(redacted="EqQB", origin="anthropic_messages")),
        # A loop of several steps needs it in the first alone.
        (*loop(SIGNED), Turn("assistant", [CALL]), Turn("user", [RESULT])),
        (*loop(SIGNED), Turn("system", [Text("s")])),
        # The results are in, and answered: what comes is a turn of its own.
        (*loop(), Turn("assistant", [Text("a")]), QUESTION),
        (QUESTION, Turn("assistant", [Text("a")]), QUESTION),
        (QUESTION, Turn("assistant", [Text("so far")])),
    ],
)
def test_elsewhere_there_is(turns: tuple[Turn, ...]) -> None:
    said, _ = write(Effort("low"), OLD, turns=turns)
    assert said.thinking == {"type": "enabled", "budget_tokens": 2048}


def test_newer_models_ask_for_no_thought_amid_tools() -> None:
    said, lost = write(Effort("low"), NEW, turns=loop())
    assert (said.thinking, lost) == ({"type": "adaptive"}, [])


@pytest.mark.parametrize(
    ("model", "sampling", "refused"),
    [
        ("claude-opus-4-20250514", ["temperature", "top_p"], []),
        ("claude-opus-4-1-20250805", ["temperature", "top_p", "top_k"], ["top_p"]),
        ("claude-sonnet-4-6", ["top_p", "top_k"], []),
        ("claude-opus-4-7", [], ["temperature", "top_k", "top_p"]),
        ("qwen3", ["temperature", "top_p"], []),
    ],
)
def test_some_numbers_of_sampling_are_refused(model: str, sampling: list[str], refused: list[str]) -> None:
    assert sorted(effort.refused(sampling, model)) == refused
