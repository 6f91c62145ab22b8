import http.client
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.recorded.corpus import Recording
from tests.conformance.recorded.standin import Question, StandIn, cut, tag


def recording(answer: bytes, *, stream: bool = False, status: int = 200) -> Recording:
    kind = "text/event-stream" if stream else "application/json"
    return Recording(5, "s", "p", "openai_chat", "openai_chat", stream, status, kind, answer, "/", "", b"")


def answered(one: Recording, path: str, body: str) -> tuple[http.client.HTTPResponse, bytes, dict[str, Question]]:
    with StandIn({5: one}) as stand_in:
        asking = http.client.HTTPConnection(urlsplit(stand_in.url).netloc, timeout=10)
        asking.request("POST", path, body)
        answer = asking.getresponse()
        heard = answer.read()
        asking.close()
        return answer, heard, stand_in.asked


@given(st.binary(max_size=5000))
def test_any_body_is_cut_into_few_pieces_that_are_all_of_it(body: bytes) -> None:
    pieces = list(cut(body))
    assert b"".join(pieces) == body
    assert len(pieces) <= 40
    assert all(pieces)


@pytest.mark.parametrize("body", ['{"model": "rec-5-x", "stream": true}', '{"model":"rec-5-x","stream":true}'])
def test_a_stream_is_played_to_whoever_asks_for_its_number(body: str) -> None:
    said = b"data: {}\n\n" * 100
    answer, heard, asked = answered(recording(said, stream=True), "/v1/chat/completions", body)
    assert (answer.status, heard) == (200, said)
    assert answer.headers["transfer-encoding"] == "chunked"
    assert asked == {"rec-5-x": Question("/v1/chat/completions", stream=True)}


def test_a_whole_answer_is_played_to_a_name_in_the_path() -> None:
    answer, heard, asked = answered(recording(b"{}"), f"/model/{tag(5, 'x')}/converse", "{}")
    assert (answer.status, answer.headers["content-type"], heard) == (200, "application/json", b"{}")
    assert asked["rec-5-x"].stream is False


def test_a_refusal_keeps_its_status_and_is_never_cut() -> None:
    answer, heard, _ = answered(recording(b"no", stream=True, status=404), "/x", "rec-5-x")
    assert (answer.status, answer.headers["content-length"], heard) == (404, "2", b"no")


def test_another_name_has_no_recording() -> None:
    assert answered(recording(b"{}"), "/x", "rec-6-x")[0].status == 418
    assert answered(recording(b"{}"), "/x", "other")[0].status == 418
