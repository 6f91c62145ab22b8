import pytest
from msgspec import Raw
from msgspec.json import decode

from gateway.wire.cohere_chat.citations import read_citation, write_citations
from gateway.wire.ir import Citation, Text
from gateway.wire.losses import Losses

RECORDED = Raw(
    b'{"start":14,"end":29,"text":"gym memberships","sources":[{"type":"document","id":"doc:1",'
    b'"document":{"id":"doc:1","title":"Benefits","url":"https://a.example","snippet":"We offer"}}],'
    b'"type":"TEXT_CONTENT"}'
)


def test_a_citation_says_where_and_from_what_and_keeps_its_own_form() -> None:
    citation, index = read_citation(RECORDED)
    assert citation == Citation("cohere_chat", RECORDED, "https://a.example", "Benefits", "We offer", 14, 29)
    assert index is None


def test_a_tools_output_is_a_source_without_an_address() -> None:
    raw = Raw(b'{"content_index":2,"sources":[{"type":"tool","id":"t:0","tool_output":{"a":"b"}}]}')
    citation, index = read_citation(raw)
    assert citation == Citation("cohere_chat", raw)
    assert index == 2


@pytest.mark.parametrize("raw", [b'{"type":"PLAN"}', b'{"type":"THINKING_CONTENT"}', b'{"start":"x"}', b"[]"])
def test_what_cites_no_text_is_none(raw: bytes) -> None:
    assert read_citation(Raw(raw)) == (None, None)


def test_ours_is_written_as_it_was() -> None:
    losses = Losses()
    citation, _ = read_citation(RECORDED)
    assert citation is not None
    assert write_citations(Text("x", citations=[citation]), 3, losses) == [RECORDED]
    assert losses.names() == []


@pytest.mark.parametrize(
    ("start", "end", "said"), [(2, 5, (2, 5, "cde")), (-1, -1, (0, 6, "abcdef")), (4, 2, (0, 6, "abcdef"))]
)
def test_anothers_becomes_a_document(start: int, end: int, said: tuple[int, int, str]) -> None:
    losses = Losses()
    citation = Citation("openai_chat", Raw(b"{}"), "https://a.example", "", "q", start, end)
    (raw,) = write_citations(Text("abcdef", citations=[citation]), 1, losses)
    assert decode(raw) == {
        "start": said[0],
        "end": said[1],
        "text": said[2],
        "sources": [
            {"type": "document", "id": "https://a.example", "document": {"url": "https://a.example", "text": "q"}}
        ],
        "content_index": 1,
        "type": "TEXT_CONTENT",
    }
    assert losses.names() == ["citations=mapped"]
