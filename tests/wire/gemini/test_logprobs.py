import json

from msgspec import Raw

from gateway.wire.gemini.chunk import Choices, Logprobs, Token
from gateway.wire.gemini.logprobs import read_logprobs, write_logprobs


def test_tokens_are_read_into_openais_form() -> None:
    told = Logprobs([Token("é", -0.5), Token(None, None), Token("c", -1.0)], [Choices([Token("é", -0.5)]), Choices()])
    raw = read_logprobs(told)
    assert raw is not None
    assert json.loads(bytes(raw)) == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "é", "logprob": -0.5, "bytes": [195, 169]}],
        },
        {"token": "", "logprob": 0.0, "bytes": [], "top_logprobs": []},
        {"token": "c", "logprob": -1.0, "bytes": [99], "top_logprobs": []},
    ]


def test_nothing_told_is_nothing() -> None:
    assert read_logprobs(None) is None
    assert read_logprobs(Logprobs()) is None


def test_tokens_are_written() -> None:
    tokens = b'[{"token":"a","logprob":-1,"bytes":null,"top_logprobs":[{"token":"b","logprob":-2}]},{"token":"c"}]'
    assert write_logprobs(Raw(tokens)) == {
        "chosenCandidates": [{"token": "a", "logProbability": -1.0}, {"token": "c", "logProbability": 0.0}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -2.0}]}, {"candidates": []}],
    }
    assert write_logprobs(Raw(b'[{"token":"a","logprob":-1,"top_logprobs":null}]')) == {
        "chosenCandidates": [{"token": "a", "logProbability": -1.0}]
    }
