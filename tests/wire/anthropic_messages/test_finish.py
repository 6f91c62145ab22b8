from typing import get_args

import pytest

from gateway.wire.anthropic_messages import finish
from gateway.wire.ir import Finish

OFFICIAL = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
}


@pytest.mark.parametrize("reason", sorted(OFFICIAL))
def test_every_reason_is_written_as_it_was_read(reason: str) -> None:
    assert finish.write(finish.read(reason, called=False)) == reason


def test_every_end_is_one_that_official_clients_know() -> None:
    assert {finish.write(end) for end in get_args(Finish)} == OFFICIAL


def test_where_no_reason_is_given_a_call_says_enough() -> None:
    assert finish.read("", called=True) == "tools"
    assert finish.read("", called=False) == "other"
    assert finish.read("tomorrow", called=True) == "other"


def test_a_compaction_is_a_pause() -> None:
    assert finish.read("compaction", called=False) == "pause"
