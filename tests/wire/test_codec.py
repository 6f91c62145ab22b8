import pytest

from gateway.wire.bridge import CONVERSATIONS
from gateway.wire.codec import codec


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_language_of_conversations_has_a_codec_of_its_name(name: str) -> None:
    assert codec(name).name == name
    assert codec(name) is codec(name)


def test_a_language_nobody_wrote_is_not_there() -> None:
    with pytest.raises(ModuleNotFoundError):
        codec("esperanto")
