"""`logprobsResult` to the tokens in OpenAI's form that the inner form has, and back (ai.google.dev, LogprobsResult)."""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from gateway.wire.gemini.chunk import Logprobs, Token
from gateway.wire.gemini.fields import raw_of


class _Top(Struct):
    """A token as OpenAI tells it."""

    token: str = ""
    logprob: float = 0.0
    bytes: list[int] | None = None


class _Logprob(Struct):
    token: str = ""
    logprob: float = 0.0
    bytes: list[int] | None = None
    top_logprobs: list[_Top] | None = None


_read: Final = Decoder(list[_Logprob]).decode


def read_logprobs(told: Logprobs | None) -> Raw | None:
    """OpenAI's array of tokens."""
    if told is None or not told.chosen_candidates:
        return None
    others = told.top_candidates or []
    tokens: list[_Logprob] = []
    for at, chosen in enumerate(told.chosen_candidates):
        beside = others[at].candidates or [] if at < len(others) else []
        top = _top(chosen)
        tokens.append(_Logprob(top.token, top.logprob, top.bytes, [_top(token) for token in beside]))
    return raw_of(tokens)


def _top(token: Token) -> _Top:
    text = token.token or ""
    return _Top(text, token.log_probability or 0.0, list(text.encode()))


def write_logprobs(raw: Raw) -> dict[str, object]:
    tokens = _read(raw)
    result: dict[str, object] = {"chosenCandidates": [_written(token.token, token.logprob) for token in tokens]}
    if any(token.top_logprobs for token in tokens):
        result["topCandidates"] = [
            {"candidates": [_written(top.token, top.logprob) for top in token.top_logprobs or ()]} for token in tokens
        ]
    return result


def _written(token: str, logprob: float) -> dict[str, object]:
    return {"token": token, "logProbability": logprob}
