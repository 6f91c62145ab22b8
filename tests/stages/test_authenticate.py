import hmac

import pytest
from msgspec.structs import replace

from gateway.errors import BadRequest, Unauthorized
from gateway.settings.keys import digest_of_bytes
from gateway.settings.shape import Caller
from gateway.stages.authenticate import KEY_BYTES, MESSAGE, Keys, key_of

KEY = b"sk-gw-0123456789abcdef"
CALLER = Caller(name="web", team="clinic", digest=digest_of_bytes(KEY, b"pepper"))
KEYS = Keys((CALLER,), "pepper")
NOW = 1_700_000_000.0


def bearer(key: bytes) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + key}


@pytest.mark.parametrize(
    "headers",
    [
        bearer(KEY),
        {b"authorization": b"bearer " + KEY},
        {b"authorization": b"BEARER   " + KEY + b" "},
        {b"x-api-key": KEY},
        {b"api-key": KEY},
        {b"x-goog-api-key": KEY},
        {b"x-gateway-key": KEY},
        {b"x-gateway-key": KEY, b"authorization": b"Basic c29tZTpvbmU="},
        {b"x-gateway-key": KEY, b"x-api-key": b"a key of his own"},
        {**bearer(KEY), b"x-api-key": KEY, b"api-key": KEY},
    ],
)
def test_a_key_names_its_caller_wherever_clients_put_it(headers: dict[bytes, bytes]) -> None:
    assert KEYS.caller(headers, NOW) is CALLER


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(b""),
        bearer(b"sk-gw-unknown"),
        bearer(KEY[:-1]),
        bearer(KEY + b"x"),
        bearer(b"x" * (KEY_BYTES + 1)),
        bearer(b"\xff\xfe"),
        {b"authorization": KEY},
        {b"authorization": b"Basic " + KEY},
        {b"authorization": b"Bearer"},
        {b"x-gateway-key": b"", b"authorization": b"Bearer " + KEY},
        {b"x-gateway-key": b"unknown", b"authorization": b"Bearer " + KEY},
        {b"authorization": b"Token " + KEY, b"x-api-key": KEY},
    ],
)
def test_whoever_names_nobody_is_told_one_thing(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthorized) as told:
        KEYS.caller(headers, NOW)
    assert (told.value.message, told.value.reason) == (MESSAGE, "invalid_api_key")
    assert told.value.headers == (("www-authenticate", "Bearer"),)
    assert KEY.decode() not in str(told.value)


@pytest.mark.parametrize("expires_at", [NOW, NOW - 1])
def test_a_key_is_unknown_from_the_moment_it_expires(expires_at: float) -> None:
    keys = Keys((replace(CALLER, expires_at=expires_at),), "pepper")
    with pytest.raises(Unauthorized) as told:
        keys.caller(bearer(KEY), NOW)
    assert told.value.message == MESSAGE


def test_a_key_is_good_until_then() -> None:
    keys = Keys((replace(CALLER, expires_at=NOW + 0.001),), "pepper")
    assert keys.caller(bearer(KEY), NOW).name == "web"


@pytest.mark.parametrize(
    "headers",
    [
        {**bearer(KEY), b"x-api-key": b"another"},
        {b"x-api-key": KEY, b"api-key": b"another"},
    ],
)
def test_two_different_keys_are_ambiguous(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(BadRequest) as told:
        key_of(headers)
    assert told.value.reason == "ambiguous_credentials"


def test_what_is_stored_differs_with_the_pepper() -> None:
    digests = {
        digest_of_bytes(KEY, b""),
        digest_of_bytes(KEY, b"pepper"),
        digest_of_bytes(KEY, b"salt"),
        digest_of_bytes(b"x", b"pepper"),
    }
    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {32}
    with pytest.raises(Unauthorized):
        Keys((CALLER,), "salt").caller(bearer(KEY), NOW)


def test_every_look_up_compares_in_constant_time_also_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    KEYS.caller(bearer(KEY), NOW)
    with pytest.raises(Unauthorized):
        KEYS.caller(bearer(b"unknown"), NOW)
    assert [(len(one), len(other)) for one, other in compared] == [(32, 32)] * 2
