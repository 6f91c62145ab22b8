"""Every recorded request, read by its language, written in each language, and read there again.

What the second reading hasn't is lost: it must be among the losses, and in the reviewed table.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import unquote

from msgspec import Raw

from gateway.errors import BadRequest, UnsupportedFeature
from gateway.features import Request
from gateway.wire import Addressed, load, raw
from gateway.wire.codec import Codec, codec
from gateway.wire.ir import Ask
from gateway.wire.losses import Losses
from tests.conformance.recorded.corpus import Recording
from tests.conformance.recorded.facts import FILES, Facts, Said, facts, is_all_spoken
from tests.conformance.recorded.table import Scores
from tests.conformance.recorded.verdict import Allowed, Verdict, allowed, first_difference, plain

MODEL = "another-model"
# No caller speaks these, so their requests are written and never read.
OUT_ONLY = frozenset(("bedrock_invoke",))
_MODEL_IN_PATH = re.compile(r"/models?/(?P<model>[^/:]+(?::[^/:]+)?)(?=:\w+$|/[\w-]+$)")
_CHOICE = ("tool_choice", "tool_choice")
_NAMES = ("tool_choice.names", "tool_choice.names")
# What some languages must be told: Anthropic how much at most, Bedrock and OpenAI the name of a document or a schema.
_ADDED = frozenset(("max_tokens", "format.name", "documents.title"))
_IN_RESULTS = "toolresults."
_STORED = "unsupported_feature"


class Unreadable(Exception):
    """A request that its own language doesn't read; `proves` is false where that is as it should be."""

    def __init__(self, why: str, *, proves: bool) -> None:
        super().__init__(why)
        self.proves = proves


def read(one: Recording) -> Ask:
    """The inner form of a recorded request. Unreadable where its language refuses it."""
    if one.language in OUT_ONLY:
        raise Unreadable(f"no caller speaks {one.language}", proves=False)
    try:
        return _codec(one.language).read_request(_request(one.language, one.asked, _address(one)))
    except BadRequest as error:
        refused = one.status != 200 or error.reason == _STORED
        raise Unreadable(f"refused: {error.reason}: {error.param}: {error.message}", proves=not refused) from error


def cross(one: Recording, ask: Ask, language: str, table: Allowed) -> Verdict:
    """The verdict on a request that is written in another language and read there again."""
    losses = Losses()
    try:
        fields = codec(language).write_request(ask, MODEL, losses)
    except UnsupportedFeature as error:
        word = error.param or ""
        if word in table.requests.get(language, {}):
            return Verdict("declared", (f"{word} (refused)",))
        return Verdict("failed", (f"refused and not in the table: {word}",))
    again = _read_again(language, fields, stream=ask.stream)
    return _judged(facts(ask), facts(again), language, losses, table, own=language == one.language)


def requests(recordings: Sequence[Recording], languages: Sequence[str], skipped: Counter[str]) -> Scores:
    """Write every request in every language and read it there."""
    rules = allowed()
    scores = Scores("recorded requests > language", languages)
    for one in recordings:
        for language, verdict in _verdicts(one, languages, skipped, rules):
            scores.add(one, language, verdict)
    return scores


def _verdicts(
    one: Recording, languages: Sequence[str], skipped: Counter[str], rules: Allowed
) -> Iterator[tuple[str, Verdict]]:
    try:
        ask = read(one)
    except Unreadable as error:
        if not error.proves:
            skipped[f"its request: {error}"] += 1
            return
        yield from ((language, Verdict("failed", (str(error),))) for language in languages)
    except Exception as error:  # noqa: BLE001  (whatever a codec raises is a finding)
        why = f"reading it: {type(error).__name__}: {error!s:.200}"
        yield from ((language, Verdict("failed", (why,))) for language in languages)
    else:
        yield from ((language, _crossed(one, ask, language, rules)) for language in languages)


def _crossed(one: Recording, ask: Ask, language: str, rules: Allowed) -> Verdict:
    try:
        return cross(one, ask, language, rules)
    except Exception as error:  # noqa: BLE001  (whatever a codec raises is a finding)
        return Verdict("failed", (f"{type(error).__name__}: {error!s:.200}",))


def _read_again(language: str, fields: dict[str, Raw], *, stream: bool) -> Ask:
    in_path = bool(load(language).patterns)
    address = Addressed(MODEL if in_path else "", stream if in_path else None)
    return _codec(language).read_request(_request(language, raw.write_fields(fields), address))


def _request(language: str, body: bytes, address: Addressed) -> Request:
    return load(language).read_request(body, address)


def _codec(language: str) -> Codec:
    return cast("Codec", codec(language))


def _address(one: Recording) -> Addressed:
    """What the recorded address says, where its language has the model there."""
    found = _MODEL_IN_PATH.search(unquote(one.path)) if load(one.language).patterns else None
    if found is None:
        return Addressed(query=one.query)
    return Addressed(found["model"], "stream" in one.path.lower(), one.query)


def _judged(said: Facts, now: Facts, language: str, losses: Losses, table: Allowed, *, own: bool) -> Verdict:
    lost = tuple(losses.noted)
    rows = table.requests.get(language, {})
    wrong = list(_core(said, now, lost))
    declared = []
    for known, value in said.others.items():
        feature, word = known
        heard = _files(now, word) if _is_file(word) else now.others.get(known)
        if _same(value, heard, now) or (value is True and word in table.implied.get(language, ())):
            continue
        if own or not _names(word, lost):
            wrong.append(f"silent: {word}: {value!r:.160} became {heard!r:.160}")
        elif feature not in rows:
            wrong.append(f"not in the table: {feature}" + (f": {word}" if word != feature else ""))
        else:
            declared.append(feature)
    added = (word for feature, word in now.others.keys() - said.others.keys() if word not in _ADDED or own)
    wrong += [f"added: {word}" for word in added if not _is_file(word)]
    if wrong:
        return Verdict("failed", tuple(wrong))
    return Verdict("declared", tuple(sorted(set(declared)))) if declared else Verdict("exact")


def _is_file(word: str) -> bool:
    return word.rpartition(".")[2] in FILES.values()


def _files(now: Facts, word: str) -> object:
    """Everything of a kind that is held; what was a document with an address may be read as the sound it is."""
    inside = word.startswith("tool_results.")
    held = [
        what for (_, kind), what in now.others.items() if _is_file(kind) and kind.startswith("tool_results.") == inside
    ]
    return [one for what in held if isinstance(what, list) for one in what] or None


def _same(said: object, heard: object, now: Facts) -> bool:
    """Whether a fact is still there: of the tools, what is said of those that are; of lists, at least what was."""
    if isinstance(said, dict) and said.keys() - set(now.tools):
        heard = heard if isinstance(heard, dict) else {}
        return all(heard.get(name) == what for name, what in said.items() if name in now.tools)
    if isinstance(said, list) and isinstance(heard, list):
        return said == heard or (len(said) < len(heard) and all(one in heard for one in said))
    return said == heard


def _core(said: Facts, now: Facts, lost: tuple[str, ...]) -> Iterator[str]:
    if said.stream != now.stream:
        yield f"stream: {said.stream} became {now.stream}"
    if not _tools_are_there(said, now, lost):
        yield f"tools: {said.tools!r:.200} became {now.tools!r:.200}"
    if (said.system, said.said) == (now.system, now.said):
        return
    if "system" in lost and is_all_spoken(said, now):
        return
    # JSON without a schema is asked for in words, where there is no field for it.
    asked_in_words = "format" in lost and now.system.startswith(said.system)
    if said.system != now.system and not asked_in_words:
        yield f"system: {first_difference(said.system, now.system)}"
    # What a result held beside text may follow as a message of its own, with words that say so.
    told = _without_added(said, now) if any(word.startswith("tool_results.") for word in lost) else now.said
    for before, after in zip(said.said, told, strict=False):
        if before != after:
            yield f"said: {before!r:.200} became {after!r:.200}"
            return
    if len(said.said) != len(told):
        yield f"said: {len(said.said)} became {len(told)}: {(said.said + told)[-1]!r:.200}"


def _without_added(said: Facts, now: Facts) -> list[Said]:
    """What is said now, without texts of the user that weren't said before."""
    return [one for one in now.said if one in said.said or one[:2] != ("text", "user")]


def _tools_are_there(said: Facts, now: Facts, lost: tuple[str, ...]) -> bool:
    """Whether the tools are the same. Where a choice of some or of none can't be said, the others are left out.

    Bedrock wants every tool that the conversation has called to be described, whether it may still be called or not.
    """
    wanted = said.tools
    chosen = said.others.get(_NAMES)
    if said.others.get(_CHOICE) == "none" and "tool_choice" in lost and not now.tools:
        wanted = []
    elif isinstance(chosen, list) and "tool_choice.names" in lost and set(now.tools) <= set(chosen):
        wanted = [name for name in wanted if name in chosen]
    called = {who for kind, who, _ in said.said if kind == "call"}
    return wanted == [name for name in now.tools if name in wanted or name not in called]


def _names(word: str, among: tuple[str, ...]) -> bool:
    """Whether one of these is the word, a part of it, or what it is a part of; all that results hold is one thing."""
    bare = plain(word)
    if bare.startswith(_IN_RESULTS):
        bare = _IN_RESULTS.rstrip(".")
    return any(bare == one or one.startswith(f"{bare}.") or bare.startswith(f"{one}.") for one in map(plain, among))
