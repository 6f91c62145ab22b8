from tests.clients.outcomes import LeftOut, Outcome, failed, read, table


def test_a_clients_lines_are_read() -> None:
    lines = b"""{"place":"gemini","case":"plain","trouble":""}
{"place":"gemini","case":"stream","trouble":"text: 'a' is not 'b'"}
{"left_out":{"denied":"no key","count":"no way","unknown":"no key"}}
"""
    assert read("c", lines) == (
        [Outcome("c", "gemini", "plain"), Outcome("c", "gemini", "stream", "text: 'a' is not 'b'")],
        [LeftOut("c", ("denied", "unknown"), "no key"), LeftOut("c", ("count",), "no way")],
    )


def test_a_line_that_is_none_is_a_failure() -> None:
    [outcome], _ = read("c", b"Traceback (most recent call last):\n")
    assert outcome.trouble == "it said b'Traceback (most recent call last):'"


def test_the_table_counts_a_case_with_its_stream_over_all_places_and_gives_each_reason() -> None:
    outcomes = [
        Outcome("one", "gemini", "tools"),
        Outcome("one", "gemini", "tools, stream"),
        Outcome("one", "cohere_chat", "tools", "ids: 1 is not 2"),
        Outcome("another", "gemini", "plain"),
        Outcome("another", "", "run", "it ended with 1"),
    ]
    assert table(outcomes) == [
        "client   tools       plain  run",
        "one      FAILED 1/3  -      -",
        "another  -           ok 1   FAILED 1/1",
        "FAILED one -> cohere_chat: tools: ids: 1 is not 2",
        "FAILED another -> ?: run: it ended with 1",
    ]
    assert len(failed(outcomes)) == 2
