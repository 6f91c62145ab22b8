import asyncio

import pytest

from gateway.mock.ledger import Entry, Ledger


def test_sums_are_those_of_all_requests_also_of_forgotten_ones() -> None:
    ledger = Ledger(keep_entries=2)
    for _ in range(3):
        entry = ledger.open("/v1/chat/completions", 1.0)
        ledger.sent(entry, 100, 2)
        ledger.ended(entry, 2.0, finished=True)
    assert [entry.sequence for entry in ledger.requests] == [2, 3]
    sums = {"requests": 3, "tokens_sent": 6, "bytes_sent": 300, "finished": 3, "left": 0}
    assert sums.items() <= ledger.totals().items()


def test_a_request_ends_once() -> None:
    ledger = Ledger()
    entry = ledger.open("/", 1.0)
    ledger.ended(entry, 2.0, finished=True)
    ledger.ended(entry, 3.0, left=True)
    assert (entry.ended_at, entry.left_at, ledger.left) == (2.0, None, 0)


def test_what_has_no_number_leaves_no_trace() -> None:
    ledger = Ledger()
    scrape = Entry(0, "/metrics", 1.0)
    ledger.sent(scrape, 100, 0)
    ledger.ended(scrape, 2.0, finished=True)
    assert set(ledger.totals().values()) == {0}


def test_clearing_forgets_the_past_but_no_open_connection() -> None:
    ledger = Ledger()
    first = ledger.connected()
    ledger.open("/", 1.0)
    ledger.clear()
    assert (len(ledger.requests), ledger.open_connections, ledger.totals()["requests"]) == (0, 1, 0)
    assert ledger.connected() == first + 1


def test_an_entry_waits_until_it_has_begun() -> None:
    entry = Entry(1, "/", 1.0)
    assert entry.queued
    entry.begun_at = 2.0
    assert not entry.queued


def test_bodies_are_in_the_json_only_where_they_were_kept() -> None:
    assert "body" not in Entry(1, "/", 1.0).as_json()
    kept = Entry(1, "/", 1.0, body=b"{}", headers={"a": "b"})
    assert (kept.as_json()["body"], kept.as_json()["headers"]) == ("{}", {"a": "b"})


async def test_waiting_ends_with_the_change_that_makes_it_true() -> None:
    ledger = Ledger()
    entry = ledger.open("/", 1.0)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(ledger.until(lambda seen: seen.tokens_sent >= 2))
        asyncio.get_running_loop().call_soon(ledger.sent, entry, 10, 1)
        asyncio.get_running_loop().call_soon(ledger.sent, entry, 10, 1)
    assert waiting.done()
    assert entry.tokens_sent == 2


async def test_what_is_true_already_is_not_waited_for() -> None:
    await Ledger().until(lambda ledger: ledger.request_count == 0, ceiling_s=0.0)


async def test_waiting_in_vain_tells_what_was_there_instead() -> None:
    ledger = Ledger()
    ledger.open("/v1/embeddings", 1.0)
    with pytest.raises(TimeoutError, match="/v1/embeddings"):
        await ledger.until(lambda seen: seen.left > 0, ceiling_s=0.01)


async def test_a_predicate_that_breaks_breaks_for_the_one_who_waits() -> None:
    ledger = Ledger()

    async def wait() -> None:
        with pytest.raises(ZeroDivisionError):
            await ledger.until(lambda seen: seen.request_count > 0 and 1 // seen.left > 0)

    async with asyncio.TaskGroup() as group:
        group.create_task(wait())
        asyncio.get_running_loop().call_soon(ledger.open, "/", 1.0)
        asyncio.get_running_loop().call_soon(ledger.changed)
        asyncio.get_running_loop().call_soon(ledger.changed)
