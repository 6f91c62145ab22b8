"""Who calls: a key to its caller, in constant time, without I/O."""

import hmac
import re
from collections.abc import Collection, Iterable, Mapping

from gateway.errors import BadRequest, Unauthorized
from gateway.settings.keys import PREFIX, digest_of_bytes
from gateway.settings.shape import Auth, Caller, Provider, Secret

# One message for a missing, malformed, unknown, revoked or expired key: an answer must not tell which (row B2).
MESSAGE = "The API key is missing or not valid for this gateway."
KEY_BYTES = 512
_NOBODY = bytes(32)

_OWN = b"x-gateway-key"
_BEARER = b"authorization"
_OTHERS = frozenset((b"x-api-key", b"api-key", b"x-goog-api-key"))
_OURS = PREFIX.encode()
# AWS Signature Version 4: docs.aws.amazon.com/IAM, reference_sigv-authentication-methods. The scope behind the access
# key id is date/region/service/aws4_request.
_SIGNED = b"aws4-hmac-sha256"
_SCOPE_PARTS = 4
_SENDABLE = re.compile(rb"[!-~]+")


class Keys:
    """The virtual keys of this gateway, by digest: the keys themselves are nowhere."""

    def __init__(self, callers: tuple[Caller, ...], pepper: str) -> None:
        self._by_digest = {caller.digest: caller for caller in callers}
        self._pepper = pepper.encode("utf-8", "surrogateescape")

    def caller(self, headers: dict[bytes, bytes], wall: float) -> Caller:
        """The caller a request's credentials name. Unauthorized where they name nobody."""
        caller = self._look_up(key_of(headers))
        if caller.expires_at is not None and wall >= caller.expires_at:
            raise unauthorized()
        return caller

    def _look_up(self, key: bytes) -> Caller:
        if not key or len(key) > KEY_BYTES:
            raise unauthorized()
        digest = digest_of_bytes(key, self._pepper)
        # The table is keyed by digest; the comparison that decides is constant-time all the same.
        candidate = self._by_digest.get(digest)
        same = hmac.compare_digest(candidate.digest if candidate else _NOBODY, digest)
        if candidate is None or not same:
            raise unauthorized()
        return candidate


def key_of(headers: dict[bytes, bytes]) -> bytes:
    """The key in a request's headers: `x-gateway-key` wins; two others that differ are ambiguous (row B4)."""
    own = headers.get(_OWN)
    if own is not None:
        return own
    value = headers.get(_BEARER)
    found = b""
    if value is not None:
        scheme, _, found = value.partition(b" ")
        if scheme == b"Bearer" or scheme.lower() == b"bearer":
            found = found.strip()
        elif scheme.lower() == _SIGNED:
            found = access_key_id(found)
        else:
            raise unauthorized()
    if _OTHERS.isdisjoint(headers):
        return found
    for name in _OTHERS:
        other = headers.get(name)
        if other is None:
            continue
        if found and other != found:
            raise BadRequest("Two different API keys were sent.", code="ambiguous_credentials")
        found = other
    return found


def access_key_id(signed: bytes) -> bytes:
    """Who says to have signed an AWS request; the signature proves nothing here, so it is not looked at."""
    credential = signed.partition(b"Credential=")[2].partition(b",")[0].strip()
    parts = credential.rsplit(b"/", _SCOPE_PARTS)
    if len(parts) <= _SCOPE_PARTS or not parts[0]:
        raise unauthorized()
    return parts[0]


def brought(headers: Mapping[bytes, bytes], byok: Collection[str], providers: Iterable[Provider]) -> dict[str, Secret]:
    """Keys of the caller's own beside `x-gateway-key`, by the provider each is for; what is for nobody is dropped.

    Only for providers of `byok`. A key is for the one that wants it in the header it came in; where `byok` names a
    single provider, a single key is for that one, wherever it stood: clients of another language have their own header.
    BadRequest where two want the same key, since it would be shown to one it isn't meant for.
    """
    values = _credentials(headers) if _OWN in headers else {}
    wanted = {one.name: _place_of(one.auth) for one in providers if one.name in byok and one.auth.scheme != "none"}
    if not values or not wanted:
        return {}
    found = {name: values[place] for name, place in wanted.items() if place in values}
    if not found and len(byok) == 1 and len(set(values.values())) == 1:
        found = dict.fromkeys(wanted, next(iter(values.values())))
    if len({wanted[name] for name in found}) != len(found):
        raise BadRequest(
            "Two providers of this model may be given the key beside 'x-gateway-key': ask for 'provider/model'.",
            code="ambiguous_credentials",
        )
    if not all(map(_SENDABLE.fullmatch, found.values())):
        raise BadRequest("The key beside 'x-gateway-key' is not valid.", code="invalid_header")
    return {name: Secret(value.decode("ascii")) for name, value in found.items()}


def _credentials(headers: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Credentials that aren't ours, by the header each came in."""
    found = {name: headers[name] for name in _OTHERS if name in headers}
    scheme, _, bearer = headers.get(_BEARER, b"").partition(b" ")
    if scheme.lower() == b"bearer":
        found[_BEARER] = bearer.strip()
    own = headers[_OWN]
    return {name: value for name, value in found.items() if value not in (b"", own) and not value.startswith(_OURS)}


def _place_of(auth: Auth) -> bytes:
    """The header in which a provider wants its key."""
    return auth.header.lower().encode() if auth.header else _BEARER


def unauthorized() -> Unauthorized:
    return Unauthorized(MESSAGE, headers=(("www-authenticate", "Bearer"),))
