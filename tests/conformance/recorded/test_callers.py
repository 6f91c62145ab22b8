"""Each official client reads answers that are known by heart, straight from the stand-in."""

import pytest

from tests.conformance.recorded.claims import Heard
from tests.conformance.recorded.corpus import Recording
from tests.conformance.recorded.jobs import CLIENTS, heard, job
from tests.conformance.recorded.scripted import SCRIPTS
from tests.conformance.recorded.scripted.script import Script
from tests.conformance.recorded.standin import StandIn, tag

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIENTS.exists(), reason="`make conformance` sets up the official clients"),
]


def recording(number: int, one: Script) -> Recording:
    return Recording(
        number, "s", "p", "", one.reader, one.stream, one.status, one.content_type, one.answer, "/", "", b""
    )


@pytest.fixture(scope="module")
def read() -> dict[str, Heard]:
    """What every client read of its scripts."""
    recordings = {number: recording(number, one) for number, one in enumerate(SCRIPTS.values())}
    with StandIn(recordings) as stand_in:
        return heard(
            job(name, one.reader, stand_in.url, "key", model=tag(number, "direct"), stream=one.stream, strict=True)
            for number, (name, one) in enumerate(SCRIPTS.items())
        )


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_client_finds_what_the_answer_says(name: str, read: dict[str, Heard]) -> None:
    found, script = read[name], SCRIPTS[name]
    assert found.trouble == ""
    assert (found.claims, found.refusal) == (script.claims, script.refusal)
