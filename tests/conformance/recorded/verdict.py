"""Whether a caller got what the recording holds: exactly, or less something that was declared and may be lost.

Text, calls, the reason of the end and usage may never be lost. Everything else may where the answer says so, by
`x-gateway-dropped` or in the log line of a stream, and `allowed.yaml` has a row for it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
import yaml

from tests.conformance.recorded.claims import Claims, Heard, Refusal, Used
from tests.conformance.recorded.corpus import ROOT, Recording

ALLOWED = ROOT / "tests/conformance/recorded/allowed.yaml"
Outcome = Literal["exact", "declared", "failed"]

# What each language of callers can say of an end; tools and refusal count where its readers see them in the answer.
ENDS: Mapping[str, frozenset[str]] = {
    "openai_chat": frozenset(("stop", "length", "tools", "filter")),
    "openai_responses": frozenset(("stop", "length", "tools", "filter", "refusal")),
    "anthropic_messages": frozenset(("stop", "sequence", "length", "tools", "pause", "refusal", "context")),
    "gemini": frozenset(("stop", "length", "tools", "filter", "malformed", "other")),
    "bedrock_converse": frozenset(("stop", "sequence", "length", "tools", "filter", "malformed", "context")),
    "cohere_chat": frozenset(("stop", "sequence", "length", "tools", "other")),
}
# What an end becomes where a language has no word for it: one of the first set of which the language has any.
NEAREST: Mapping[str, tuple[frozenset[str], ...]] = {
    "stop": (frozenset(("stop",)),),
    "sequence": (frozenset(("sequence",)), frozenset(("stop",))),
    "length": (frozenset(("length",)),),
    "tools": (frozenset(("tools",)),),
    "filter": (frozenset(("filter", "refusal")), frozenset(("other",))),
    "refusal": (frozenset(("filter", "refusal")), frozenset(("other",))),
    "pause": (frozenset(("pause",)), frozenset(("stop", "length"))),
    "context": (frozenset(("context",)), frozenset(("length",))),
    "malformed": (frozenset(("malformed",)), frozenset(("filter", "refusal", "other", "stop"))),
    "other": (frozenset(("other",)), frozenset(("stop", "filter", "refusal"))),
}
# Languages whose calls need no id.
_NO_IDS = frozenset(("gemini",))
# Languages whose calls alone say that an answer ends with calls.
_CALLS_SAY_IT = frozenset(("openai_responses", "gemini"))
_SEALS = ("thinking.signature", "thinking.redacted", "thinking.blocks")
# A feature, and the words of losses that declare it; a word's own parts (`thinking.signature`) declare it, too,
# and so does the place it stands in (`message.executed_tools`).
WORDS: Mapping[str, tuple[str, ...]] = {
    "refusal": ("refusal",),
    "thinking": ("thinking",),
    "seals": _SEALS,
    "loose_seals": _SEALS,
    "citations": ("citations",),
    "media": ("images", "audio", "video", "documents"),
    "logprobs": ("logprobs",),
    "choices": ("n",),
}
# What a caller is told of a place that failed before it had said anything.
_ITS_FAULT = frozenset((429, 502, 503, 504, 529))
_URL = re.compile(r"\S*://\S*")
_WORD = re.compile(r"[A-Za-z]{3,}")
_ODD = re.compile(r"[^A-Za-z0-9_.\[\]-]")
_WORD_CHARACTERS = 64
_READ_CHARACTERS = 1500
_SHARE_OF_WORDS = 0.9


class Allowed(msgspec.Struct, forbid_unknown_fields=True):
    """The reviewed table: a language, a feature, and why that is lost there; `implied` is what goes without saying."""

    answers: dict[str, dict[str, str]]
    requests: dict[str, dict[str, str]]
    implied: dict[str, dict[str, str]]
    usage: dict[str, dict[str, str]]


def allowed() -> Allowed:
    return msgspec.convert(yaml.safe_load(ALLOWED.read_text()), Allowed)


class Verdict(msgspec.Struct, frozen=True):
    """`why` says what differs; where it is declared, the features."""

    outcome: Outcome
    why: tuple[str, ...] = ()


def judge(
    recording: Recording, truth: Heard, caller: str, heard: Heard, lost: Iterable[str], table: Allowed
) -> Verdict:
    """The verdict on what a caller heard of a recording; `lost` are the words of losses that he was told."""
    if heard.trouble:
        return Verdict("failed", (f"the client failed: {heard.trouble}",))
    if truth.refusal is not None:
        return _of_refusal(truth.refusal, caller, heard)
    assert truth.claims is not None
    if truth.claims.broken:
        return _of_break(truth.claims.broken, heard)
    if heard.refusal is not None:
        told = heard.refusal
        return Verdict("failed", (f"an error instead of the answer: {told.kind} {told.status}: {told.message[:160]}",))
    assert heard.claims is not None
    if heard.claims.broken:
        return Verdict("failed", (f"the answer broke: {heard.claims.broken[:160]}",))
    return _of_answer(recording, truth.claims, caller, heard.claims, tuple(lost), table)


def _of_answer(
    recording: Recording, truth: Claims, caller: str, heard: Claims, lost: tuple[str, ...], table: Allowed
) -> Verdict:
    own = recording.language == caller
    wrong = list(_core(truth, caller, heard, own=own, lacking=table.usage.get(caller, {}).keys()))
    declared = []
    rows = table.answers.get(caller, {})
    for feature, differs in _others(truth, heard).items():
        for word, what in differs:
            if own or not is_declared(feature, word, lost):
                wrong.append(f"silent: {what}")
            elif feature not in rows:
                wrong.append(f"not in the table: {feature}: {what}")
            else:
                declared.append(feature)
    if wrong:
        return Verdict("failed", tuple(wrong))
    return Verdict("declared", tuple(sorted(set(declared)))) if declared else Verdict("exact")


def _core(truth: Claims, caller: str, heard: Claims, *, own: bool, lacking: Iterable[str]) -> Iterable[str]:
    """What differs of the things that are never lost."""
    if truth.text + truth.refusal != heard.text + heard.refusal:
        yield f"text: {first_difference(truth.text + truth.refusal, heard.text + heard.refusal)}"
    if truth.tools != heard.tools:
        yield f"tools: {truth.tools!r:.300} became {heard.tools!r:.300}"
    if not own and caller not in _NO_IDS and (len(set(heard.ids)) < len(heard.tools) or "" in heard.ids):
        yield f"ids of calls: {heard.ids!r:.200}"
    if not ends_alike(truth, caller, heard, own=own):
        yield f"finish: {truth.finish} became {heard.finish}"
    for name, said, now in _usage(truth.usage, heard.usage, () if own else lacking):
        yield f"usage.{name}: {said} became {now}"


def _others(truth: Claims, heard: Claims) -> dict[str, list[tuple[str, str]]]:
    """What differs of all else: by feature, the word of its loss where it has one of its own, and what it is."""
    found: dict[str, list[tuple[str, str]]] = {}
    if truth.refusal != heard.refusal:
        found["refusal"] = [("", "a refusal is no refusal any more")]
    if "".join(truth.thinking.split()) != "".join(heard.thinking.split()):
        found["thinking"] = [("", f"thinking: {first_difference(truth.thinking, heard.thinking)}")]
    # A seal may be kept in another one's place, and with what its own language must be told beside it.
    kept = "\n".join(heard.seals + heard.loose_seals)
    for feature in ("seals", "loose_seals"):
        gone = [seal for seal in getattr(truth, feature) if seal not in kept]
        if gone:
            found[feature] = [("", f"{feature}: {gone[0]:.60} is gone")]
    if not (_cites(heard, truth) and _cites(truth, heard)):
        found["citations"] = [("", f"citations: {truth.citations!r:.200} became {heard.citations!r:.200}")]
    for feature in ("media", "logprobs"):
        said, now = getattr(truth, feature), getattr(heard, feature)
        if sorted(said) != sorted(now):
            found[feature] = [("", f"{feature}: {said!r:.200} became {now!r:.200}")]
    if truth.choices != heard.choices:
        found["choices"] = [("", f"{truth.choices} choices became {heard.choices}")]
    lacking = [kind for kind in dict.fromkeys(truth.others) if truth.others.count(kind) > heard.others.count(kind)]
    if lacking:
        found["others"] = [(kind, f"{kind} is gone") for kind in lacking]
    return found


def _cites(answer: Claims, other: Claims) -> bool:
    """Whether an answer has every citation of another one: by its address, and by any name where it has none."""
    return all(
        any(one[0] == mine[0] if one[0] else not set(mine[1:]).isdisjoint(one[1:]) for mine in answer.citations)
        for one in other.citations
    )


def is_declared(feature: str, kind: str, lost: Iterable[str]) -> bool:
    """Whether one of the words of losses says that this is lost; what has no word of its own is lost by its kind."""
    words = [plain(kind)] if kind else [plain(word) for word in WORDS[feature]]
    for said in lost:
        bare = plain(said.partition("=")[0])
        if any(bare == word or bare.startswith(f"{word}.") or bare.endswith(f".{word}") for word in words):
            return True
    return False


def plain(word: str) -> str:
    """A word without how its language writes names, and as a header line holds it (gateway/wire/losses.py)."""
    return _ODD.sub("?", word[:_WORD_CHARACTERS]).replace("_", "").replace("-", "").lower()


def ends_alike(truth: Claims, caller: str, heard: Claims, *, own: bool) -> bool:
    """Whether the caller's reason says what the recording's says, as near as his language comes to it."""
    if own:
        return truth.finish == heard.finish
    if truth.tools and truth.finish in {"stop", "tools"}:
        # Some hosts call tools and say `stop`. Whoever said `tools` must be heard so.
        return heard.finish in {"tools", truth.finish}
    if truth.tools and truth.finish == "malformed" and heard.finish == "tools":
        return True
    if truth.finish == "tools" and caller in _CALLS_SAY_IT:
        return heard.finish in {"stop", "tools"}
    if truth.refusal and heard.finish in {"refusal", "filter"}:
        return True
    words = ENDS[caller]
    near = next((words & some for some in NEAREST.get(truth.finish, ()) if words & some), frozenset())
    return heard.finish in near


def _usage(truth: Used | None, heard: Used | None, lacking: Iterable[str]) -> Iterable[tuple[str, int, int]]:
    """The counts that differ. Where nothing was told nothing may be heard, or zeros: some languages require counts."""
    said, now = truth or Used(), heard or Used()
    skipped = set(lacking)
    if said.cached + said.written > said.input:
        # A host that counts more cached than there is: what excludes it from the input can't say so.
        skipped |= {"written"}
    for name in ("input", "output", "cached", "written", "reasoning"):
        if name not in skipped and getattr(said, name) != getattr(now, name):
            yield name, getattr(said, name), getattr(now, name)


def _of_break(broken: str, heard: Heard) -> Verdict:
    """A stream that told an error: the caller's client must say so, too, and not of him."""
    if heard.refusal is not None:
        told = heard.refusal
        fair = told.status in _ITS_FAULT
        return Verdict("exact") if fair else Verdict("failed", (f"it broke, and he heard {told.kind} {told.status}",))
    if heard.claims is not None and not heard.claims.broken:
        return Verdict("failed", (f"silent: the answer broke ({broken[:80]}), and nobody said so",))
    return Verdict("exact")


# --- refusals ---------------------------------------------------------------------------------------------------------

_BY_STATUS = {
    400: "BadRequestError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
_KINDS: Mapping[str, Mapping[int, str]] = {
    "openai_chat": _BY_STATUS,
    "openai_responses": _BY_STATUS,
    "anthropic_messages": {**_BY_STATUS, 413: "RequestTooLargeError"},
    "gemini": dict.fromkeys(range(400, 500), "ClientError"),
    "bedrock_converse": {
        400: "ValidationException",
        404: "ResourceNotFoundException",
        429: "ThrottlingException",
    },
    "cohere_chat": {**_BY_STATUS, 429: "TooManyRequestsError"},
}
# These speak of the gateway's own account: the caller can't mend it, and isn't told to (gateway/errors.py).
_OURS = frozenset((401, 402, 403))


def _of_refusal(truth: Refusal, caller: str, heard: Heard) -> Verdict:
    told = heard.refusal
    if told is None:
        return Verdict("failed", (f"a refusal ({truth.status}: {truth.message[:80]}) became an answer",))
    wrong = []
    if truth.status in _OURS:
        return Verdict("exact") if told.status >= 500 else Verdict("failed", (f"{truth.status} became {told.status}",))
    if told.status != truth.status:
        wrong.append(f"status: {truth.status} became {told.status}")
    kind = _KINDS[caller].get(told.status)
    if kind is not None and told.kind != kind:
        wrong.append(f"the client raised {told.kind} and not {kind}")
    if not same_meaning(truth.message, told.message):
        wrong.append(f"message: {truth.message!r:.200} became {told.message!r:.200}")
    return Verdict("failed", tuple(wrong)) if wrong else Verdict("exact")


def same_meaning(said: str, now: str) -> bool:
    """Whether the words are there, addresses and what looks like a key aside (those are kept from callers)."""
    words = _WORD.findall(_URL.sub(" ", said[:_READ_CHARACTERS]))
    kept = sum(word in now for word in words)
    return kept >= _SHARE_OF_WORDS * len(words)


def first_difference(said: str, now: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(said, now, strict=False)) if a != b), min(len(said), len(now)))
    return f"at {at} of {len(said)}: {said[at : at + 40]!r} became {now[at : at + 40]!r}"
