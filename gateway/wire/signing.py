"""Signatures on their way through a language that did not make them.

A model's signed thoughts go back only where they were signed. A caller who speaks another language keeps the signature
for us, so it says whose it is; to its own language it is said bare.
"""

from typing import Final

_MARK: Final = "gw1."
_BEGINS: Final = b'"gw1.'


def is_sealed_elsewhere(conversation: bytes) -> bool:
    """Whether a conversation may hold a signature of another language: its own backends would refuse the request."""
    return _BEGINS in conversation


def pack(signature: str, origin: str, language: str) -> str:
    """A signature as a caller of `language` is given it."""
    if not signature or not origin or origin == language:
        return signature
    return f"{_MARK}{origin}.{signature}"


def unpack(signature: str, language: str) -> tuple[str, str]:
    """The signature a caller of `language` gave back, and the language that made it."""
    if not signature.startswith(_MARK):
        return signature, language
    origin, _, bare = signature.removeprefix(_MARK).partition(".")
    return bare, origin
