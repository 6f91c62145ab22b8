"""For which names a policy's `complexity` holds."""

import pytest

from gateway.routing.policy import Match, Policy, Rules
from gateway.settings.complexity import is_concrete, smaller

KEYS = Policy("keys", match=Match(keys=("web",)), complexity={"simple": "a"})
PREFER = Policy("prefer", match=Match(models=("assistant",)))
EXACT = Policy("exact", match=Match(models=("assistant", "odd[1]")), complexity={"simple": "b"})
GLOB = Policy("glob", match=Match(models=("assist*",)), complexity={"simple": "c"})
ALL = {policy.name: policy for policy in (KEYS, PREFER, EXACT, GLOB)}


@pytest.mark.parametrize(
    ("names", "model", "found"),
    [
        ("", "assistant", ""),
        ("prefer", "assistant", ""),
        ("keys", "assistant", ""),
        ("keys prefer exact glob", "assistant", "b"),
        ("glob", "assistant", "c"),
        ("exact", "odd[1]", "b"),
        # Named by a header, it isn't for the model that is asked for.
        ("exact", "other", ""),
    ],
)
def test_the_first_policy_that_says_so_of_this_name_counts(names: str, model: str, found: str) -> None:
    assert smaller(ALL, Rules(names=tuple(names.split())), model).get("simple", "") == found


@pytest.mark.parametrize(
    ("asked", "model", "served_as", "concrete"),
    [
        ("openai/gpt-4o", "assistant", ["gpt-4o"], True),
        ("gpt-4o", "assistant", ["gpt-4o"], True),
        ("assistant[1m]", "assistant", ["gpt-4o"], True),
        ("openai/gpt-4o", "openai/gpt-4o", ["gpt-4o"], True),
        ("chat-fast", "chat-fast", ["gpt-4o"], False),
        ("chat-fast", "chat-fast", ["gpt-4o", "fast"], True),
    ],
)
def test_a_providers_model_is_known_by_what_its_name_led_to(
    asked: str, model: str, served_as: list[str], *, concrete: bool
) -> None:
    assert is_concrete(asked, model, served_as) is concrete
