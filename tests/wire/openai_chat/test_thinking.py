import pytest

from gateway.wire.ir import Thinking
from gateway.wire.openai_chat.thinking import Detail, is_kept, read_detail, read_details, write_detail

TEXT = "reasoning.text"
SEALED = "reasoning.encrypted"
CLAUDE = "anthropic-claude-v1"
OPENAI = "openai-responses-v1"


@pytest.mark.parametrize(
    ("form", "origin"),
    [
        (CLAUDE, "anthropic_messages"),
        ("google-gemini-v1", "gemini"),
        (OPENAI, "openai_responses"),
        ("azure-openai-responses-v1", "openai_responses"),
        ("xai-responses-v1", "xai-responses-v1"),
        ("unknown", "openai_chat"),
        (None, "openai_chat"),
    ],
)
def test_the_format_says_who_signed(form: str | None, origin: str) -> None:
    assert read_detail(Detail(TEXT, "a", signature="s", format=form)) == Thinking("a", "s", origin=origin)
    assert read_detail(Detail(SEALED, data="d", format=form)) == Thinking(redacted="d", origin=origin)
    assert read_detail(Detail(TEXT, "a", format=form)).origin == origin


def test_a_packed_signature_says_it_itself() -> None:
    assert read_detail(Detail(TEXT, "a", signature="gw1.gemini.s")) == Thinking("a", "s", origin="gemini")
    assert read_detail(Detail(SEALED, data="gw1.gemini.s")) == Thinking(redacted="s", origin="gemini")


def test_a_summary_is_told_from_the_thought() -> None:
    told = read_detail(Detail("reasoning.summary", summary="in short", id="rs", format=OPENAI))
    assert told == Thinking("in short", origin="openai_responses", id="rs", summary=True)


def test_entries_of_one_id_are_one_thought() -> None:
    said, sealed = Detail(TEXT, "a", id="rs", format=OPENAI), Detail(SEALED, data="d", id="rs", format=OPENAI)
    assert read_details([said, sealed], "") == [Thinking("a", "", "d", "openai_responses", "rs")]
    other = Detail(SEALED, data="e", id="other", format=OPENAI)
    assert len(read_details([said, other], "")) == 2
    assert len(read_details([said, sealed, sealed], "")) == 2


def test_text_beside_the_entries_is_said_once() -> None:
    signed = Detail(TEXT, signature="s", format=CLAUDE)
    assert read_details([signed], "said") == [Thinking("said", "s", origin="anthropic_messages")]
    sealed = Detail(SEALED, data="d", format=CLAUDE)
    assert read_details([sealed], "said") == [Thinking("said"), Thinking(redacted="d", origin="anthropic_messages")]
    assert read_details([Detail(TEXT, "a")], "a") == [Thinking("a", origin="openai_chat")]


def test_only_more_than_text_is_kept() -> None:
    assert not is_kept(Thinking("a"))
    for kept in (
        Thinking(origin="x"),
        Thinking(signature="s"),
        Thinking(redacted="d"),
        Thinking(id="i"),
        Thinking(summary=True),
    ):
        assert is_kept(kept)


@pytest.mark.parametrize(
    "thinking",
    [
        Thinking("a", "s", "", "anthropic_messages"),
        Thinking("", "s", "", "gemini"),
        Thinking("", "", "d", "anthropic_messages"),
        Thinking("a", "s", "d", "openai_responses", "rs", summary=True),
        Thinking("a", "", "d", "openai_responses", "rs"),
        Thinking("a", "s", "", "xai-responses-v1", "rs"),
        Thinking("a", "s", "", "openai_chat"),
        Thinking("a", "", "", "openai_responses", "rs", summary=True),
    ],
)
def test_a_thought_comes_back_as_it_was(thinking: Thinking) -> None:
    entries = write_detail(thinking, 3)
    assert all(entry["index"] == 3 for entry in entries)
    assert read_details([detail(entry) for entry in entries], "") == [thinking]
    # A client that drops what it doesn't know loses no signature.
    bare = [detail(entry | {"format": None}) for entry in entries]
    if thinking.signature or thinking.redacted:
        assert read_details(bare, "")[-1].origin == thinking.origin


def test_a_signature_says_whose_it_is() -> None:
    (entry,) = write_detail(Thinking("a", "s", "", "anthropic_messages"), 0)
    assert entry == {
        "type": TEXT,
        "text": "a",
        "signature": "gw1.anthropic_messages.s",
        "format": CLAUDE,
        "index": 0,
    }


def detail(entry: dict[str, object]) -> Detail:
    def text(name: str) -> str | None:
        value = entry.get(name)
        return value if isinstance(value, str) else None

    return Detail(
        text("type"), text("text"), text("summary"), text("data"), text("signature"), text("id"), text("format")
    )
