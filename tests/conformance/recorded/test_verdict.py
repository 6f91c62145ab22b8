"""What counts as lost. Each case is one recording and one caller, without anything between."""

from dataclasses import replace

import pytest

from tests.conformance.recorded.claims import Claims, Heard, Refusal, Tool, Used
from tests.conformance.recorded.corpus import Recording
from tests.conformance.recorded.run import CALLERS
from tests.conformance.recorded.verdict import ENDS, NEAREST, Allowed, Verdict, allowed, ends_alike, judge, same_meaning

TABLE = Allowed(
    answers={"gemini": {"citations": "why", "others": "why"}},
    requests={},
    implied={},
    usage={"gemini": {"written": "why"}},
)
TRUTH = Claims(
    text="It rains.",
    thinking="Look outside.",
    seals=["sig"],
    tools=[Tool("look", {"at": 1})],
    ids=["1"],
    citations=[["https://a.example", "A"]],
    others=["server_tool_use"],
    finish="tools",
    usage=Used(10, 5, 3, 2, 1),
)


def recording(language: str = "anthropic_messages") -> Recording:
    return Recording(0, "s", "p", language, language, False, 200, "", b"", "", "", b"")


def verdict(heard: Claims, *lost: str, caller: str = "gemini", truth: Claims = TRUTH) -> Verdict:
    return judge(recording(), Heard(truth), caller, Heard(heard), lost, TABLE)


def failed(heard: Claims, *lost: str, truth: Claims = TRUTH) -> str:
    found = verdict(heard, *lost, truth=truth)
    assert found.outcome == "failed"
    return "; ".join(found.why)


def test_what_is_the_same_is_exact_and_a_count_without_a_field_is_not_asked_for() -> None:
    assert verdict(TRUTH) == Verdict("exact")
    assert verdict(replace(TRUTH, usage=Used(10, 5, 3, 0, 1))) == Verdict("exact")


def test_white_space_between_thoughts_is_no_loss() -> None:
    assert verdict(replace(TRUTH, thinking="Look\n\n outside.")) == Verdict("exact")


def test_a_loss_counts_as_declared_where_it_was_told_and_the_table_has_it() -> None:
    assert verdict(replace(TRUTH, citations=[]), "citations") == Verdict("declared", ("citations",))
    assert verdict(replace(TRUTH, citations=[]), "citations=mapped") == Verdict("declared", ("citations",))
    assert verdict(replace(TRUTH, others=[]), "serverToolUse", "other") == Verdict("declared", ("others",))


def test_a_citation_is_the_same_by_its_address_or_by_any_name_where_it_has_none() -> None:
    assert verdict(replace(TRUTH, citations=[["https://a.example"]])) == Verdict("exact")
    assert "silent: citations" in failed(replace(TRUTH, citations=[["", "A"]]))
    nowhere = replace(TRUTH, citations=[["", "A", "file-1"]])
    assert verdict(replace(TRUTH, citations=[["", "file-1"]]), truth=nowhere) == Verdict("exact")
    assert "silent: citations" in failed(TRUTH, truth=replace(TRUTH, citations=[]))


def test_calls_have_ids_of_their_own_where_the_language_has_ids() -> None:
    twice = replace(TRUTH, tools=TRUTH.tools * 2, ids=["1", "1"])
    assert verdict(twice, truth=twice) == Verdict("exact")
    for ids in (["1", "1"], ["1", ""]):
        found = verdict(replace(twice, ids=ids), truth=twice, caller="openai_chat")
        assert "ids of calls" in "; ".join(found.why)


def test_a_loss_that_nobody_told_is_silent() -> None:
    assert failed(replace(TRUTH, citations=[])).startswith("silent: citations")
    assert failed(replace(TRUTH, others=[]), "citations") == "silent: server_tool_use is gone"


def test_a_loss_that_the_table_has_not_is_a_failure_however_it_was_told() -> None:
    assert failed(replace(TRUTH, thinking=""), "thinking").startswith("not in the table: thinking")
    assert failed(replace(TRUTH, seals=[]), "thinking.signature").startswith("not in the table: seals")


def test_a_seal_may_be_kept_elsewhere_and_with_more_beside_it() -> None:
    assert verdict(replace(TRUTH, seals=["other"], loose_seals=['["id","sig"]'])) == Verdict("exact")
    assert "silent: loose_seals" in failed(TRUTH, truth=replace(TRUTH, loose_seals=["mine"]))


@pytest.mark.parametrize(
    ("heard", "why"),
    [
        (replace(TRUTH, text="It rain"), "text: at 7"),
        (replace(TRUTH, tools=[Tool("look", {"at": 2})]), "tools"),
        (replace(TRUTH, tools=[], ids=[]), "tools"),
        (replace(TRUTH, finish="length"), "finish: tools became length"),
        (replace(TRUTH, usage=None), "usage.input: 10 became 0"),
        (replace(TRUTH, usage=Used(10, 5, 3, 2, 0)), "usage.reasoning: 1 became 0"),
        (replace(TRUTH, broken="oh"), "the answer broke: oh"),
    ],
)
def test_text_calls_end_and_usage_are_never_lost(heard: Claims, why: str) -> None:
    assert why in failed(heard, "text", "tools", "finish", "usage")


def test_nothing_is_lost_where_both_speak_one_language() -> None:
    own = judge(recording("gemini"), Heard(TRUTH), "gemini", Heard(replace(TRUTH, citations=[])), ["citations"], TABLE)
    assert own.outcome == "failed"


def test_what_the_recording_never_told_may_be_nothing_or_zeros_but_no_more() -> None:
    truth = replace(TRUTH, usage=None)
    assert verdict(replace(TRUTH, usage=Used()), truth=truth) == Verdict("exact")
    assert "usage.output: 0 became 5" in failed(TRUTH, truth=truth)


def test_a_host_that_counts_more_cached_than_there_is_needs_no_echo() -> None:
    truth = replace(TRUTH, usage=Used(10, 5, 9, 9, 1))
    heard = replace(TRUTH, usage=Used(10, 5, 9, 1, 1))
    assert verdict(heard, caller="openai_chat", truth=truth) == Verdict("exact")


def test_a_refusal_may_become_text_where_that_is_told() -> None:
    truth = replace(TRUTH, text="", refusal="I won't.", finish="stop", tools=[])
    heard = replace(truth, text="I won't.", refusal="", finish="filter")
    assert failed(heard, "refusal", truth=truth).startswith("not in the table: refusal")
    assert failed(heard, truth=truth).startswith("silent: a refusal")


def test_every_end_has_a_nearest_word_in_every_language() -> None:
    for caller in CALLERS:
        for finish, chain in NEAREST.items():
            assert any(ENDS[caller] & words for words in chain), (caller, finish)


@pytest.mark.parametrize(
    ("said", "caller", "heard", "alike"),
    [
        ("sequence", "anthropic_messages", "sequence", True),
        ("sequence", "anthropic_messages", "stop", False),
        ("sequence", "openai_chat", "stop", True),
        ("refusal", "openai_chat", "filter", True),
        ("refusal", "openai_chat", "stop", False),
        ("context", "openai_responses", "length", True),
        ("pause", "gemini", "stop", True),
        ("tools", "gemini", "stop", True),  # a vendor's own tools: no call says it
        ("tools", "anthropic_messages", "stop", False),
    ],
)
def test_an_end_is_said_by_the_nearest_word(said: str, caller: str, heard: str, *, alike: bool) -> None:
    assert ends_alike(Claims(finish=said), caller, Claims(finish=heard), own=False) is alike


def test_whoever_calls_tools_and_says_stop_may_be_heard_either_way() -> None:
    truth = Claims(finish="stop", tools=[Tool("a", {})])
    assert ends_alike(truth, "openai_chat", replace(truth, finish="tools"), own=False)
    assert ends_alike(truth, "openai_chat", truth, own=False)
    assert not ends_alike(replace(truth, finish="tools"), "openai_chat", truth, own=False)


def test_the_client_failing_or_an_error_in_place_of_the_answer_is_a_failure() -> None:
    refused = Heard(refusal=Refusal("InternalServerError", 502, "no"))
    assert judge(recording(), Heard(TRUTH), "gemini", Heard(trouble="KeyError"), [], TABLE).outcome == "failed"
    assert judge(recording(), Heard(TRUTH), "gemini", refused, [], TABLE).outcome == "failed"


@pytest.mark.parametrize(
    ("heard", "outcome"),
    [
        (Heard(Claims(text="It", broken="the upstream failed")), "exact"),
        (Heard(refusal=Refusal("ServerError", 502, "the upstream failed")), "exact"),
        (Heard(refusal=Refusal("ClientError", 404, "no such model")), "failed"),
        (Heard(Claims(text="It")), "failed"),
    ],
)
def test_a_stream_that_broke_breaks_for_the_caller_too(heard: Heard, outcome: str) -> None:
    assert judge(recording(), Heard(Claims(broken="oh")), "gemini", heard, [], TABLE).outcome == outcome


@pytest.mark.parametrize(
    ("heard", "why"),
    [
        (Heard(refusal=Refusal("NotFoundError", 404, "The model x does not exist at [url] today")), ""),
        (Heard(refusal=Refusal("NotFoundError", 404, "No.")), "message"),
        (Heard(refusal=Refusal("BadRequestError", 400, "The model x does not exist today")), "status: 404 became 400"),
        (Heard(refusal=Refusal("APIStatusError", 404, "The model x does not exist today")), "raised APIStatusError"),
        (Heard(TRUTH), "became an answer"),
    ],
)
def test_a_refusal_keeps_its_status_its_type_and_its_words(heard: Heard, why: str) -> None:
    truth = Heard(refusal=Refusal("NotFoundError", 404, "The model x does not exist at https://a.example/b today"))
    found = judge(recording(), truth, "openai_chat", heard, [], TABLE)
    assert (found.outcome == "exact") is (why == "")
    assert why in "; ".join(found.why)


@pytest.mark.parametrize(("status", "outcome"), [(502, "exact"), (401, "failed")])
def test_what_is_wrong_with_our_account_is_no_callers_to_mend(status: int, outcome: str) -> None:
    truth = Heard(refusal=Refusal("AuthenticationError", 401, "Incorrect API key provided"))
    heard = Heard(refusal=Refusal("InternalServerError", status, "The upstream failed."))
    assert judge(recording(), truth, "openai_chat", heard, [], TABLE).outcome == outcome


def test_words_count_and_numbers_of_them_do_not() -> None:
    assert same_meaning("", "anything")
    assert same_meaning("Field 'a.b' is wrong", "wrong is Field a.b")
    assert not same_meaning("The model is gone", "The upstream failed")


def test_the_reviewed_table_names_languages_and_gives_a_reason_for_each_row() -> None:
    table = allowed()
    for part in (table.answers, table.requests, table.usage):
        assert set(part) <= set(CALLERS)
        assert all(len(why) > 20 for rows in part.values() for why in rows.values())
    assert not {"text", "tools", "finish", "usage"} & {name for rows in table.answers.values() for name in rows}
