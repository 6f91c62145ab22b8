"""`thoughtSignature`: what a model proves its thoughts with, on any part of an answer.

To Google's clients it is bytes, so it must be base64: a signature that another language made, which is not, travels
inside one, together with what else its thought needs to be sent back. They write base64 with `-` and `_`.
"""

from binascii import a2b_base64, b2a_base64
from typing import Final

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from gateway.wire.gemini.fields import NAME
from gateway.wire.ir import Thinking
from gateway.wire.signing import pack, unpack

# What Google tells to write where a call has no signature because another model made it (ai.google.dev, "Thought
# signatures", FAQ). It has two such sentences, bare or, as
# its clients write bytes, in base64.
SKIP: Final = b2a_base64(b"skip_thought_signature_validator", newline=False).decode()
_SENTENCES: Final = frozenset(
    (
        SKIP,
        "skip_thought_signature_validator",
        "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv",
        "context_engineering_is_the_way_to_go",
    )
)
# "gw1." in base64, as far as what follows doesn't change it.
_PACKED: Final = "Z3cxL"


class _Kept(Struct, array_like=True):
    """What a thought of another language needs to be sent back."""

    signature: str
    redacted: str = ""
    id: str = ""
    summary: bool = False


_read: Final = Decoder(_Kept).decode
_encode: Final = Encoder().encode


def standard(base64: str) -> str:
    """Base64 in the alphabet and with the padding everybody else needs."""
    if "-" in base64 or "_" in base64:
        base64 = base64.replace("-", "+").replace("_", "/")
    return base64 + "=" * (-len(base64) % 4)


def show(thinking: Thinking) -> str:
    """The signature of a thought as a caller of this language is given it, "" where there is nothing to keep."""
    if not thinking.signature and not thinking.redacted:
        return ""
    if thinking.origin == NAME:
        return own(thinking)
    kept = _encode(_Kept(thinking.signature, thinking.redacted, thinking.id, thinking.summary)).decode()
    return b2a_base64(pack(kept, thinking.origin, NAME).encode(), newline=False).decode()


def own(thinking: Thinking) -> str:
    """A signature Gemini made. OpenRouter passes it as encrypted data."""
    return thinking.signature or thinking.redacted


def read(signature: str, text: str = "") -> Thinking:
    """The thought that a signature belongs to. A sentence that stands for a missing one is none."""
    if not signature or signature in _SENTENCES:
        return Thinking(text)
    if signature.startswith(_PACKED):
        try:
            packed, origin = unpack(a2b_base64(standard(signature)).decode(), NAME)
            kept = _read(packed)
        except ValueError:
            return Thinking(text, signature, origin=NAME)
        return Thinking(text, kept.signature, kept.redacted, origin, kept.id, kept.summary)
    return Thinking(text, signature, origin=NAME)
