import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.wire.gemini.citation import Found, Grounding, place, read_citations, read_grounding
from gateway.wire.gemini.fields import raw_of
from gateway.wire.ir import Citation
from gateway.wire.losses import Losses

WEB = {"web": {"uri": "https://a.example", "title": "A"}}
STORED = {"retrievedContext": {"text": "Paris is.", "title": "B"}}
PLACE = {"maps": {"uri": "https://maps.example", "title": "C"}}


def facts(found: list[Found]) -> list[tuple[str, str, str]]:
    return [(one.citation.url, one.citation.title, one.citation.quote) for one in found]


def test_each_source_of_each_segment_is_a_citation() -> None:
    losses = Losses()
    grounding = {
        "groundingChunks": [WEB, STORED, PLACE, {}],
        "groundingSupports": [
            {"segment": {"startIndex": 1, "endIndex": 3, "text": "bc"}, "groundingChunkIndices": [0, 1, 9, -1]},
            {"groundingChunkIndices": [2]},
            {"segment": {}},
        ],
        "searchEntryPoint": {"renderedContent": "<b>"},
    }
    found = read_grounding(raw_of(grounding), losses)
    assert facts(found) == [
        ("https://a.example", "A", ""),
        ("", "B", "Paris is."),
        ("https://maps.example", "C", ""),
        ("", "", ""),
    ]
    assert [place(one.segment, "abcd") for one in found] == [(1, 3), (1, 3), (-1, -1), (-1, -1)]
    assert json.loads(bytes(found[0].citation.raw)) == {
        "groundingChunk": WEB,
        "groundingSupport": grounding["groundingSupports"][0],  # type: ignore[index]  # a JSON object
    }
    assert losses.names() == ["groundingMetadata.searchEntryPoint"]


def test_a_search_without_sources_is_no_citation() -> None:
    losses = Losses()
    assert read_grounding(raw_of({"webSearchQueries": ["q"]}), losses) == []
    assert not losses.noted


def test_recitations_are_citations_under_either_name() -> None:
    one = {"startIndex": 1, "endIndex": 2, "uri": "https://a.example", "title": "A", "license": "MIT"}
    for name in ("citations", "citationSources"):
        (found,) = read_citations(raw_of({name: [one]}))
        assert facts([found]) == [("https://a.example", "A", "")]
        assert place(found.segment, "abc") == (1, 2)
    assert read_citations(Raw(b"{}")) == []


def segment(start: int, end: int, text: str = "") -> Found:
    (found,) = read_citations(raw_of({"citations": [{"startIndex": start, "endIndex": end, "text": text}]}))
    return found


def test_places_count_bytes_there_and_characters_here() -> None:
    text = "Ô là là"
    assert place(segment(3, 6, "là").segment, text) == (2, 4)
    assert place(segment(0, 2).segment, text) == (0, 1)


def test_words_are_found_where_the_place_is_wrong() -> None:
    assert place(segment(0, 2, "bc").segment, "abcd") == (1, 3)
    assert place(segment(50, 60, "bc").segment, "abcd") == (1, 3)
    assert place(segment(0, 0, "xx").segment, "abcd") == (-1, -1)
    assert place(segment(0, 0).segment, "abcd") == (-1, -1)
    assert place(segment(-2, 9).segment, "abcd") == (-1, -1)
    assert place(None, "abcd") == (-1, -1)


@given(st.text(max_size=12), st.text(min_size=1, max_size=6), st.text(max_size=4))
def test_a_citation_is_found_where_it_was_put(before: str, words: str, after: str) -> None:
    grounding = Grounding(Losses())
    grounding.passed(before, [])
    grounding.passed(words + after, [Citation("gemini", Raw(b"1"), "https://a.example", start=0, end=len(words))])
    (found,) = read_grounding(raw_of(grounding.written()), Losses())
    assert place(found.segment, before + words + after) == (len(before), len(before) + len(words))


def test_sources_and_segments_are_said_once() -> None:
    losses = Losses()
    grounding = Grounding(losses)
    assert grounding.written() is None
    one = Citation("anthropic_messages", Raw(b"1"), "https://a.example", "A", start=0, end=2)
    two = Citation("anthropic_messages", Raw(b"2"), "", "B", "words", start=0, end=2)
    wide = Citation("gemini", Raw(b"3"), "https://a.example", "A", start=0, end=9)
    beside = Citation("gemini", Raw(b"4"), "https://a.example", "A", start=3, end=9)
    grounding.passed("abc", [one, two, one, wide, beside])
    assert grounding.written() == {
        "groundingChunks": [WEB, {"retrievedContext": {"title": "B", "text": "words"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 2, "text": "ab"}, "groundingChunkIndices": [0, 1]},
            {"segment": {"startIndex": 0, "endIndex": 3, "text": "abc"}, "groundingChunkIndices": [0]},
        ],
    }
    assert losses.names() == ["citations=mapped"]


def test_a_source_without_a_place_is_of_the_whole_block() -> None:
    grounding = Grounding(Losses())
    grounding.passed("é", [])
    grounding.passed("abc", [Citation("gemini", Raw(b"1"), "https://a.example")])
    assert grounding.written() == {
        "groundingChunks": [{"web": {"uri": "https://a.example"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 2, "endIndex": 5, "text": "abc"}, "groundingChunkIndices": [0]}
        ],
    }


def test_a_source_of_nothing_said_stands_alone() -> None:
    grounding = Grounding(Losses())
    grounding.passed("", [Citation("gemini", Raw(b"1"), "https://a.example")])
    assert grounding.written() == {"groundingChunks": [{"web": {"uri": "https://a.example"}}]}


def test_a_citation_of_nothing_is_lost() -> None:
    losses = Losses()
    grounding = Grounding(losses)
    grounding.passed("abc", [Citation("openai_chat", Raw(b"1"))])
    assert grounding.written() is None
    assert losses.names() == ["citations"]
