"""A request that comes back to where it has been goes no further."""

import pytest
from msgspec.structs import replace

from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from gateway.settings.shape import Auth, Provider
from tests.doubles.inside import KEY, PATHS, Inside, backend, raw, settings_for
from tests.scenarios.cast import asked, scene

GATEWAY = Provider(name="gateway", speaks="openai_chat", paths=PATHS, auth=Auth(scheme="bearer"))
KEEPING = MockOptions(keep_bodies=True)


def behind(gateway: Inside, other: Inside, instance: str) -> None:
    """Put `other` behind this gateway, which calls itself `instance` from now on."""
    told = settings_for({"*": [backend("first", other.url, GATEWAY, KEY)]})
    gateway.door.use(replace(gateway.runtime, settings=told, finder=gateway.finder(told, instance)))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_two_gateways_in_a_ring_find_out_on_the_second_round(stream: bool) -> None:
    nowhere = settings_for({"*": [backend("first", "http://127.0.0.1:9", GATEWAY, KEY)]})
    async with Inside(nowhere) as one, Inside(nowhere) as other:
        behind(one, other, "instance-one")
        behind(other, one, "instance-other")
        heard = await raw(one.port, asked(close=True, stream=stream))
        await one.until(lambda settled: len(settled) == 2)
        await other.until(lambda settled: len(settled) == 1)
        assert one.settled[0].outcome == "loop_detected"
        assert one.settled[0].attempts == []
        assert one.health.row("first").failed == 0
        assert other.health.row("first").failed == 0
    assert heard.startswith(b"HTTP/1.1 508 ")
    assert b"loop_detected" in heard


async def test_a_gateway_behind_another_is_no_loop() -> None:
    async with MockServer() as model, Inside(settings_for({"*": [backend("first", model.url)]})) as inner:
        told = settings_for({"*": [backend("first", inner.url, GATEWAY, KEY)]})
        async with Inside(told) as outer:
            outer.door.use(replace(outer.runtime, finder=outer.finder(told, "instance-outer")))
            heard = await raw(outer.port, asked(close=True))
    assert heard.startswith(b"HTTP/1.1 200 ")
    assert b"[DONE]" in heard


@pytest.mark.parametrize(
    ("hops", "status"),
    [
        ("a", 200),
        ("a, b,c", 200),
        ("a,b,c,d", 508),
        ("a,b,c,d,e", 508),
        ("inside-0001", 508),
        ("a, inside-0001 ,b", 508),
        ("", 200),
    ],
)
async def test_four_hops_or_our_own_name_are_a_loop(hops: str, status: int) -> None:
    async with scene("", options=KEEPING) as on:
        heard = await on.caller_hears(headers={"x-gateway-hop": hops})
        assert heard.status == status
        if status == 508:
            assert on.exchange.outcome == "loop_detected"
            assert on.first.ledger.connections == 0
        else:
            handed_on = on.first.ledger.last.headers["x-gateway-hop"].split(",")
            assert handed_on[-1] == "inside-0001"
            assert [hop.strip() for hop in handed_on[:-1] if hop] == [hop.strip() for hop in hops.split(",") if hop]


async def test_every_request_carries_where_it_has_been() -> None:
    async with scene("", options=KEEPING) as on:
        heard = await on.caller_hears()
        sent = on.first.ledger.last.headers
    assert sent["x-gateway-hop"] == "inside-0001"
    assert sent["x-request-id"] == heard.headers["x-request-id"]
