"""What a request costs can't grow unseen: its steps are the same on every machine."""

import sys

import pytest

from tests.bench import steps

# Of CPython 3.11: other versions compile to other steps. What is added here is paid with every request.
MOST = 4_200


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the bound is of CPython 3.11's bytecode")
async def test_a_whole_chat_takes_no_more_steps_than_it_may() -> None:
    found = await steps.measure()
    assert found.total <= MOST, found.where


async def test_a_long_chat_takes_hardly_more_of_them() -> None:
    short, long = await steps.measure(requests=16), await steps.measure(64 * 1024, requests=16)
    assert long.total <= short.total + 200, {
        name: more for name, taken in long.where.items() if (more := taken - short.where.get(name, 0.0))
    }


async def test_steps_are_counted_where_they_are_made() -> None:
    found = await steps.measure(requests=4)
    assert found.where["pipeline.py:serve"] > 50
    assert "routing/calm.py:calm" in found.where
    assert sum(found.where.values()) == found.total
    assert sys.gettrace() is None or "steps" not in repr(sys.gettrace())
