from msgspec import Raw, json

from gateway.wire.ir import Ask, Citation, Text, Turn


def test_two_requests_share_no_list() -> None:
    one, two = Ask("gemini", "m", []), Ask("gemini", "m", [])
    one.messages.append(Turn("user", [Text("hi")]))
    one.stop.append("END")
    assert two.messages == []
    assert two.stop == []


def test_a_citation_keeps_its_origins_own_words() -> None:
    raw = Raw(b'{"type":"url_citation","start_index":1.0}')
    said = Citation("openai_chat", raw, url="https://a.example")
    assert bytes(json.Encoder().encode(said.raw)) == bytes(raw)
