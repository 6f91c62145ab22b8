from tests.conformance.recorded.corpus import Recording
from tests.conformance.recorded.table import Scores
from tests.conformance.recorded.verdict import Verdict


def recording(provider: str) -> Recording:
    return Recording(0, f"{provider}.yaml#0", provider, "gemini", "gemini", False, 200, "", b"", "", "", b"")


def test_each_failure_is_told_with_its_source_then_the_table_then_what_was_declared() -> None:
    scores = Scores("answers", ["openai_chat", "gemini"])
    scores.add(recording("vertex"), "openai_chat", Verdict("failed", ("text: a", "usage: b")))
    scores.add(recording("vertex"), "openai_chat", Verdict("exact"))
    scores.add(recording("gemini"), "openai_chat", Verdict("declared", ("citations",)))
    assert list(scores.told()) == [
        "FAILED vertex.yaml#0 [vertex gemini > openai_chat] text: a; usage: b",
        "answers (exact / declared / failed)  openai_chat  gemini",
        "-----------------------------------  -----------  ------",
        "gemini gemini                        0 / 1 / 0    -",
        "vertex gemini                        1 / 0 / 1    -",
        "all                                  1 / 1 / 1    -",
        "declared 1: openai_chat: citations",
    ]
    assert scores.sums() == {"exact": 1, "declared": 1, "failed": 1}
