import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.keys import digest_of


def test_a_key_under_a_pepper_is_its_hmac() -> None:
    assert digest_of("sk-gw-x", "pepper") == hmac.new(b"pepper", b"sk-gw-x", hashlib.sha256).digest()


def test_a_key_without_a_pepper_is_its_sha_256() -> None:
    assert digest_of("sk-gw-x", "") == hashlib.sha256(b"sk-gw-x").digest()


@given(st.text(max_size=80), st.text(max_size=20))
def test_any_key_that_can_arrive_has_a_digest(key: str, pepper: str) -> None:
    sent = key.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    assert len(digest_of(sent, pepper.encode("utf-8", "ignore").decode())) == 32
