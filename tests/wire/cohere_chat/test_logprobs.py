import pytest
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.wire.cohere_chat.logprobs import read_logprobs, write_items
from gateway.wire.losses import Losses


def test_items_are_read_as_a_text_and_a_number_a_token() -> None:
    losses = Losses()
    raw = read_logprobs(
        Raw(b'[{"text":"Hi","token_ids":[1,2],"logprobs":[-0.5,-1]},{"text":"!","logprobs":[-2]}]'), losses
    )
    assert raw is not None
    assert [(token["token"], token["logprob"]) for token in decode(raw)] == [("Hi", -0.5), ("", -1), ("!", -2)]
    assert losses.names() == ["logprobs=mapped"]


def test_an_item_alone_is_read_too() -> None:
    losses = Losses()
    assert read_logprobs(Raw(b'{"text":"Hi","token_ids":[],"logprobs":[-0.5]}'), losses) == Raw(
        encode([{"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}])
    )
    assert read_logprobs(Raw(b'{"text":null,"token_ids":[]}'), losses) is None
    assert losses.names() == []


def test_what_is_neither_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="Expected"):
        read_logprobs(Raw(b"1"), Losses())


def test_an_item_a_token_is_written_and_alternatives_are_not() -> None:
    losses = Losses()
    tokens = Raw(
        b'[{"token":"a","logprob":-1,"top_logprobs":[]},{"token":"b","logprob":-2,"top_logprobs":[{"token":"c"}]}]'
    )
    assert write_items(tokens, losses) == [
        {"text": "a", "token_ids": [], "logprobs": [-1]},
        {"text": "b", "token_ids": [], "logprobs": [-2]},
    ]
    assert losses.names() == ["logprobs=mapped"]
