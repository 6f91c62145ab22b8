"""How a virtual key is stored: never itself, only its digest. Light, because workers need it and nothing else here."""

import hashlib
import hmac

PREFIX = "sk-gw-"


def digest_of(key: str, pepper: str) -> bytes:
    """HMAC-SHA256 of the key under the pepper; without a pepper, its plain SHA-256.

    A key has 256 random bits, so a fast hash is enough. Bytes that aren't UTF-8 (surrogateescape) are taken as sent.
    """
    return digest_of_bytes(key.encode("utf-8", "surrogateescape"), pepper.encode("utf-8", "surrogateescape"))


def digest_of_bytes(key: bytes, pepper: bytes) -> bytes:
    """The same, of a key as it was sent."""
    return hmac.digest(pepper, key, "sha256") if pepper else hashlib.sha256(key).digest()
