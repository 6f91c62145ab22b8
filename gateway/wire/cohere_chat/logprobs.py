"""How likely each piece of a text was: Cohere's items say a chunk, its tokens' ids and each token's number.

The inner form is OpenAI's, a text and a number a token. A chunk of several tokens is one text: it stands with the
first of them. Ids of tokens, and what else a token might have been, don't cross.
"""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from gateway.wire.losses import Losses

Json = dict[str, object]


class _Item(Struct, gc=False):
    text: str | None = None
    token_ids: list[int] = []
    logprobs: list[float] | None = None


class _Token(Struct, gc=False):
    token: str = ""
    logprob: float = 0.0
    top_logprobs: list[Raw] = []


_items: Final = Decoder(list[_Item]).decode
_item: Final = Decoder(_Item).decode
_tokens: Final = Decoder(list[_Token]).decode


def read_logprobs(raw: Raw, losses: Losses) -> Raw | None:
    """The tokens of an item, or of a list of them; None where there are none. ValueError where it is neither."""
    items = _items(raw) if bytes(raw)[:1] == b"[" else [_item(raw)]
    tokens: list[dict[str, object]] = []
    for item in items:
        if item.token_ids:
            losses.mapped("logprobs")
        text = item.text or ""
        for logprob in item.logprobs or ():
            tokens.append({"token": text, "logprob": logprob, "bytes": None, "top_logprobs": []})
            text = ""
    return Raw(encode(tokens)) if tokens else None


def write_items(raw: Raw, losses: Losses) -> list[Json]:
    """An item a token."""
    return [{"text": token.token, "token_ids": [], "logprobs": [token.logprob]} for token in _read(raw, losses)]


def _read(raw: Raw, losses: Losses) -> list[_Token]:
    tokens = _tokens(raw)
    if any(token.top_logprobs for token in tokens):
        losses.mapped("logprobs")
    return tokens
