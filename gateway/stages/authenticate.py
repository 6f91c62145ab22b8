"""Who calls: a key to its caller, in constant time, without I/O."""

import hmac

from gateway.errors import BadRequest, Unauthorized
from gateway.settings.keys import digest_of_bytes
from gateway.settings.shape import Caller

# One message for a missing, malformed, unknown, revoked or expired key: an answer must not tell which (row B2).
MESSAGE = "The API key is missing or not valid for this gateway."
KEY_BYTES = 512
_NOBODY = bytes(32)

_OTHERS = frozenset((b"x-api-key", b"api-key", b"x-goog-api-key"))


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
    own = headers.get(b"x-gateway-key")
    if own is not None:
        return own
    value = headers.get(b"authorization")
    found = b""
    if value is not None:
        scheme, _, found = value.partition(b" ")
        if scheme != b"Bearer" and scheme.lower() != b"bearer":
            raise unauthorized()
        found = found.strip()
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


def unauthorized() -> Unauthorized:
    return Unauthorized(MESSAGE, headers=(("www-authenticate", "Bearer"),))
