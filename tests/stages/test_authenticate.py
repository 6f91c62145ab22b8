import hmac

import pytest
from msgspec.structs import replace

from gateway.errors import BadRequest, Unauthorized
from gateway.settings.keys import digest_of_bytes
from gateway.settings.shape import Auth, Caller, Provider
from gateway.stages.authenticate import KEY_BYTES, MESSAGE, Keys, brought, key_of

KEY = b"sk-gw-0123456789abcdef"
CALLER = Caller(name="web", team="clinic", digest=digest_of_bytes(KEY, b"pepper"))
KEYS = Keys((CALLER,), "pepper")
NOW = 1_700_000_000.0


def bearer(key: bytes) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + key}


def signed(access_key_id: bytes) -> dict[bytes, bytes]:
    """What boto3 sends, as botocore 1.44.5 writes it."""
    scope = access_key_id + b"/20261122/us-east-1/bedrock/aws4_request"
    return {
        b"authorization": b"AWS4-HMAC-SHA256 Credential=%b, SignedHeaders=host;x-amz-date, Signature=cc21" % scope,
        b"x-amz-date": b"20261122T120000Z",
    }


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
        signed(KEY),
        {b"authorization": b"aws4-hmac-sha256 SignedHeaders=host, Credential=%b/d/r/s/t" % KEY},
        {**signed(KEY), b"x-amz-security-token": b"whatever"},
        {**signed(KEY), b"x-api-key": KEY},
        {**signed(b"somebody"), b"x-gateway-key": KEY},
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
        {**bearer(KEY), b"x-gateway-key": b"unknown"},
        signed(b"AKIDEXAMPLE"),
        signed(b""),
        signed(KEY[:-1]),
        {b"authorization": b"AWS4-HMAC-SHA256"},
        {b"authorization": b"AWS4-HMAC-SHA256 Signature=" + KEY},
        {b"authorization": b"AWS4-HMAC-SHA256 Credential=" + KEY},
        {b"authorization": b"AWS4-HMAC-SHA256 Credential=%b/20261122/us-east-1/bedrock" % KEY},
        {b"authorization": b"AWS3 Credential=%b/d/r/s/t" % KEY},
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
        {**signed(KEY), b"x-goog-api-key": b"another"},
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


def test_an_access_key_id_may_hold_a_slash() -> None:
    assert key_of(signed(b"a/b+c")) == b"a/b+c"


# --- keys of the caller's own -----------------------------------------------------------------------------------------

ANTHROPIC = Provider(name="anthropic", speaks="anthropic_messages", auth=Auth("header", header="X-Api-Key"))
GOOGLE = Provider(name="google", speaks="gemini", auth=Auth("header", header="x-goog-api-key"))
OPENAI = Provider(name="openai", speaks="openai_chat", auth=Auth("bearer"))
GROQ = Provider(name="groq", speaks="openai_chat", auth=Auth("bearer"))
SERVER = Provider(name="server", speaks="openai_chat")
EVERYONE = (ANTHROPIC, GOOGLE, OPENAI, SERVER)


def handed(headers: dict[bytes, bytes], byok: tuple[str, ...], *providers: Provider) -> dict[str, str]:
    found = brought({b"x-gateway-key": KEY, **headers}, byok, providers or EVERYONE)
    assert "their" not in repr(found)
    return {name: key.reveal() for name, key in found.items()}


def test_a_key_goes_to_the_provider_that_wants_it_where_it_came() -> None:
    headers = {b"x-api-key": b"their-a", b"x-goog-api-key": b"their-g", b"authorization": b"bearer their-o"}
    everyone = ("anthropic", "google", "openai", "server")
    assert handed(headers, everyone) == {"anthropic": "their-a", "google": "their-g", "openai": "their-o"}
    assert handed(headers, ("anthropic", "openai")) == {"anthropic": "their-a", "openai": "their-o"}
    assert handed({b"x-api-key": b"their-a"}, everyone) == {"anthropic": "their-a"}
    assert handed({b"x-api-key": b"their-a"}, everyone, OPENAI, GOOGLE) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer their-a"},
        {b"api-key": b"their-a"},
        {b"x-goog-api-key": b"their-a"},
        {b"x-goog-api-key": b"their-a", b"authorization": b"Bearer their-a"},
    ],
)
def test_where_one_provider_may_be_given_a_key_it_is_for_that_one_wherever_it_came(headers: dict[bytes, bytes]) -> None:
    assert handed(headers, ("anthropic",)) == {"anthropic": "their-a"}
    assert handed(headers, ("anthropic",), OPENAI, SERVER) == {}
    assert handed(headers, ("anthropic", "azure"), ANTHROPIC) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b"Basic dTpw"},
        {b"authorization": b"Bearer"},
        signed(b"AKIDEXAMPLE"),
        {b"x-api-key": b""},
        {b"x-api-key": KEY},  # ours, sent twice
        {b"x-api-key": b"sk-gw-somebody-elses"},
        {b"x-goog-api-key": b"their-a", b"api-key": b"their-b"},
        {b"cookie": b"a=b"},
    ],
)
def test_what_is_for_nobody_is_dropped(headers: dict[bytes, bytes]) -> None:
    assert handed(headers, ("anthropic", "server")) == handed(headers, ("anthropic",)) == {}


def test_nothing_is_handed_on_unless_said_nor_without_a_key_of_ours_beside_it() -> None:
    headers = {b"x-api-key": b"their-a"}
    assert handed(headers, ()) == handed(headers, ("groq",)) == handed(headers, ("server",)) == {}
    assert brought({b"x-api-key": b"their-a"}, ("anthropic",), EVERYONE) == {}


def test_a_key_that_two_would_be_shown_is_shown_to_neither() -> None:
    headers = {b"x-gateway-key": KEY, b"authorization": b"Bearer their-o"}
    with pytest.raises(BadRequest) as told:
        brought(headers, ("openai", "groq"), (OPENAI, GROQ))
    assert told.value.reason == "ambiguous_credentials"
    assert brought(headers, ("openai", "groq"), (OPENAI, OPENAI)).keys() == {"openai"}
    assert brought(headers, ("groq",), (OPENAI, GROQ)).keys() == {"groq"}


@pytest.mark.parametrize("key", [b"two words", b"a\tb", b"\xff"])
def test_a_key_that_can_not_be_one_is_refused(key: bytes) -> None:
    with pytest.raises(BadRequest) as told:
        handed({b"x-api-key": key}, ("anthropic",))
    assert told.value.reason == "invalid_header"
