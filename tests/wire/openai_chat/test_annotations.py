import json

import pytest

from gateway.wire.ir import Citation
from gateway.wire.openai_chat.annotations import address, read_annotation, write_annotation
from tests.wire.openai_chat.saying import raw

SOURCE = {"url": "https://a", "title": "A", "content": "words", "start_index": 2, "end_index": 5}


def said(citation: Citation, offset: int, length: int) -> object:
    note = write_annotation(citation, offset, length)
    return None if note is None else json.loads(bytes(note))


def test_a_citation_of_an_address_is_read() -> None:
    note = raw({"type": "url_citation", "url_citation": SOURCE})
    assert read_annotation(note) == Citation("openai_chat", note, "https://a", "A", "words", 2, 5)
    bare = raw({"type": "url_citation", "url_citation": {"url": "https://a"}})
    assert read_annotation(bare) == Citation("openai_chat", bare, "https://a")


@pytest.mark.parametrize("note", [{"type": "file_citation"}, {"type": "url_citation"}, {"type": 1}, []])
def test_any_other_is_kept_as_it_is(note: object) -> None:
    assert read_annotation(raw(note)) == Citation("openai_chat", raw(note))
    assert said(read_annotation(raw(note)), 7, 9) == note


def test_positions_count_from_the_beginning_of_the_message() -> None:
    note = raw({"type": "url_citation", "url_citation": SOURCE})
    assert write_annotation(read_annotation(note), 0, 9) == note
    moved = said(read_annotation(note), 10, 9)
    assert moved == {"type": "url_citation", "url_citation": SOURCE | {"start_index": 12, "end_index": 15}}


def test_a_citation_without_a_place_is_of_the_whole_text() -> None:
    wanted = {"url": "https://a", "title": "", "start_index": 3, "end_index": 7}
    assert said(address("https://a"), 3, 4) == {"type": "url_citation", "url_citation": wanted}
    theirs = Citation("anthropic_messages", raw({}), "https://a")
    assert said(theirs, 3, 4) == {"type": "url_citation", "url_citation": wanted}


def test_anothers_citation_without_an_address_can_not_be_said() -> None:
    assert said(Citation("anthropic_messages", raw({}), quote="words"), 0, 4) is None
