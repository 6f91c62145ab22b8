"""Every recorded answer, played behind a real gateway and heard by the official client of each language."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from tests.conformance.recorded import gateway
from tests.conformance.recorded.claims import Heard
from tests.conformance.recorded.corpus import Recording
from tests.conformance.recorded.jobs import Job, heard, job
from tests.conformance.recorded.standin import Question, StandIn, tag
from tests.conformance.recorded.table import Scores
from tests.conformance.recorded.verdict import Verdict, allowed, judge

DIRECT = "direct"


class Played(Struct, frozen=True):
    """What a caller heard through the gateway, how the place was asked for it, and the losses that were told."""

    heard: Heard
    asked: Question | None
    lost: tuple[str, ...]


def answers(recordings: Sequence[Recording], callers: Sequence[str], skipped: Counter[str]) -> Scores:
    """Play every recording to every caller. What its own client can't read proves nothing: it is skipped."""
    rules = allowed()
    scores = Scores("recorded answers > caller", callers)
    with StandIn({one.number: one for one in recordings}) as stand_in:
        truths = heard(_direct_job(one, stand_in.url) for one in recordings)
        readable = []
        for one in recordings:
            trouble = truths[_name(one, DIRECT)].trouble
            if trouble:
                skipped[f"its own client can't read it: {trouble[:200]} ({one.source})"] += 1
            else:
                readable.append(one)
        played = _played(readable, callers, truths, stand_in)
    for one in readable:
        truth = truths[_name(one, DIRECT)]
        for caller in callers:
            if truth.claims is not None and truth.claims.choices > 1 and one.language != caller:
                skipped["several choices: asking for them is refused where languages differ"] += 1
                continue
            verdict = Verdict("failed", (f"no provider's row speaks {one.language}",))
            name = _name(one, caller)
            if name in played:
                what = played[name]
                verdict = _misasked(one, what) or judge(one, truth, caller, what.heard, what.lost, rules)
            scores.add(one, caller, verdict)
    return scores


def _played(
    recordings: Sequence[Recording], callers: Sequence[str], truths: Mapping[str, Heard], stand_in: StandIn
) -> dict[str, Played]:
    """What each caller heard of each recording whose language the gateway's places can speak."""
    with tempfile.TemporaryDirectory() as folder:
        running = gateway.Gateway(Path(folder), stand_in.url)
        try:
            spoken = [one for one in recordings if one.language in running.languages]
            told = heard(
                _job(one, caller, running.url, truths[_name(one, DIRECT)]) for one in spoken for caller in callers
            )
            return {
                name: Played(told[name], stand_in.asked.get(tag(one.number, caller)), _lost(one, told[name], running))
                for one in spoken
                for caller in callers
                for name in [_name(one, caller)]
            }
        finally:
            running.stop()


def _lost(one: Recording, told: Heard, running: gateway.Gateway) -> tuple[str, ...]:
    """What the header names; of a stream, what the request's line in the log does, too."""
    lost = tuple(word for word in told.dropped.split(", ") if word)
    return lost + running.lost(told.request_id) if one.stream and told.claims is not None else lost


def _misasked(one: Recording, what: Played) -> Verdict | None:
    """A failure where the place was asked for a stream and the caller wanted none, or the other way about."""
    if what.asked is None or what.heard.claims is None or what.asked.stream == one.stream:
        return None
    return Verdict("failed", ("the place was asked for a stream" if what.asked.stream else "no stream was asked for",))


def _name(recording: Recording, caller: str) -> str:
    return f"{recording.number} {caller}"


def _direct_job(one: Recording, url: str) -> Job:
    name = tag(one.number, DIRECT)
    return job(_name(one, DIRECT), one.reader, url, gateway.BACKEND_KEY, model=name, stream=one.stream)


def _job(one: Recording, caller: str, url: str, truth: Heard) -> Job:
    asked = gateway.model(one.language, tag(one.number, caller))
    logprobs = truth.claims is not None and bool(truth.claims.logprobs)
    # After a stream that broke the gateway ends the connection, and its client may be about to use it again.
    breaks = truth.claims is not None and bool(truth.claims.broken)
    return job(
        _name(one, caller),
        caller,
        url,
        gateway.KEY,
        alone=breaks,
        model=asked,
        stream=one.stream,
        logprobs=logprobs,
        strict=one.language != caller,
    )
