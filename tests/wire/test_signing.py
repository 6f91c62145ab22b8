from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.signing import pack, unpack

LANGUAGES = st.sampled_from(["openai_chat", "openai_responses", "anthropic_messages", "gemini"])


@given(st.text(), LANGUAGES, LANGUAGES)
def test_a_signature_comes_back_bare_with_the_name_of_who_made_it(signature: str, origin: str, caller: str) -> None:
    bare, signer = unpack(pack(signature, origin, caller), caller)
    assert bare == signature
    assert signer == origin or signature == ""


def test_to_its_own_language_a_signature_is_said_bare() -> None:
    assert pack("c2ln", "gemini", "gemini") == "c2ln"
    assert pack("c2ln", "", "gemini") == "c2ln"


def test_elsewhere_it_says_whose_it_is() -> None:
    assert pack("c2ln", "gemini", "anthropic_messages") == "gw1.gemini.c2ln"
