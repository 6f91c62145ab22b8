"""Attempts with aiohttp's client: what it raises in our words, and what it may dial."""

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from msgspec.structs import replace

from gateway.errors import (
    RESIDENCY,
    GatewayError,
    UpstreamBroken,
    UpstreamDisconnected,
    UpstreamSlow,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from gateway.exchange import Exchange
from gateway.features import Request
from gateway.routing.estimate import Lengths
from gateway.routing.policy import Rules
from gateway.server.slow.attempts import _Allowed, _in_our_words
from gateway.settings.shape import Settings
from gateway.stages.choose import Chooser
from gateway.stages.find import Finder
from gateway.stages.trial import Way
from gateway.upstream.catalogue import Catalogue
from tests.doubles.inside import Inside, settings_for
from tests.scenarios.test_policies import EU, error_of
from tests.server.slow.places import SlowPlace
from tests.server.slow.test_form import answered, upload

NOWHERE = ConnectionKey("a", 1, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (aiohttp.ConnectionTimeoutError(), UpstreamSlow),
        (aiohttp.ClientConnectorError(NOWHERE, OSError(111, "refused")), UpstreamUnreachable),
        (aiohttp.ClientPayloadError(), UpstreamTruncated),
        (aiohttp.ServerDisconnectedError(), UpstreamDisconnected),
        (aiohttp.ClientOSError(), UpstreamDisconnected),
        (ConnectionResetError(), UpstreamDisconnected),
        (aiohttp.InvalidURL("x"), UpstreamBroken),
        (UpstreamBroken("ours"), UpstreamBroken),
    ],
)
def test_what_the_client_raises_is_said_in_our_words(raised: Exception, ours: type[GatewayError]) -> None:
    with pytest.raises(ours), _in_our_words():
        raise raised


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError), _in_our_words():
        raise ZeroDivisionError


async def test_only_addresses_that_were_allowed_are_dialled() -> None:
    found = await _Allowed(["203.0.113.7", "2001:db8::1"]).resolve("name.example", 443)
    assert [(row["host"], row["port"], row["hostname"]) for row in found] == [
        ("203.0.113.7", 443, "name.example"),
        ("2001:db8::1", 443, "name.example"),
    ]


async def test_a_private_address_that_isnt_configured_is_not_dialled() -> None:
    async with SlowPlace() as place:
        backend = place.backend()
        inward = replace(backend, name="inward", base_urls=("http://10.0.0.1:80",))
        async with Inside(settings_for({"m": [inward, backend]})) as inside:
            assert (await answered(inside, upload())).status == 200
            assert [attempt.outcome for attempt in inside.settled[0].attempts] == ["upstream_unreachable", "answered"]


async def test_a_name_is_resolved_and_sent_as_the_host() -> None:
    async with SlowPlace() as place:
        backend = place.backend()
        named = replace(backend, base_urls=(f"http://localhost:{place.port}",))
        async with Inside(settings_for({"m": [named]})) as inside:
            assert (await answered(inside, upload())).status == 200
            assert place.uploads[0].headers["host"] == f"localhost:{place.port}"


async def test_another_path_to_the_same_place_is_taken_where_the_first_leads_nowhere() -> None:
    async with SlowPlace() as gone:
        (dead,) = gone.backend().base_urls
    async with SlowPlace() as place:
        (alive,) = place.backend().base_urls
        rows = [replace(place.backend(), base_urls=(dead, alive))]
        async with Inside(settings_for({"m": rows})) as inside:
            assert (await answered(inside, upload())).status == 200
            assert [attempt.outcome for attempt in inside.settled[0].attempts] == ["answered"]
        async with Inside(settings_for({"m": [replace(place.backend(), base_urls=(dead, dead))]})) as inside:
            heard = await answered(inside, upload())
            assert (heard.status, heard.headers["x-should-retry"]) == (502, "false")
            assert inside.settled[0].target is not None


class Careless(Finder):
    """Plans as if nothing had to stay anywhere; what its requests must stay in is said all the same."""

    def find(self, exchange: Exchange, model: str, request: Request | None = None) -> Way:
        return replace(super().find(exchange, model, request), rules=Rules(require=EU))


class Carelessly(Inside):
    def finder(self, settings: Settings, instance: str = "inside-0001") -> Finder:
        chooser = Chooser(settings, self.health.snapshot, self.clock)
        return Careless(instance, Catalogue(settings), chooser, lambda _: None, Lengths())


@pytest.mark.parametrize(("country", "is_asked"), [("DE", True), ("US", False), ("", False)])
async def test_whoever_was_planned_may_still_not_see_what_must_stay(country: str, *, is_asked: bool) -> None:
    async with SlowPlace() as place:
        row = replace(place.backend(), country=country, processes_in=(country,) if country else ())
        async with Carelessly(settings_for({"m": [row]})) as inside:
            answer = await answered(inside, upload())
            [attempt] = inside.settled[0].attempts
        assert len(place.uploads) == is_asked
    if is_asked:
        assert answer.status == 200
    else:
        assert (answer.status, error_of(answer)[1]) == (500, RESIDENCY)
        assert (attempt.outcome, attempt.sent) == (RESIDENCY, 0.0)
