"""Uploads that turn to another model."""

from aiohttp import web
from msgspec.structs import replace

from gateway.routing.policy import Fallback, Match, Policy, Retry
from tests.doubles.inside import Inside, settings_for
from tests.server.slow.places import SlowPlace
from tests.server.slow.test_form import answered, upload

FALLS = Policy("falls", match=Match(models=("m",)), fallback=Fallback(("n",)))


async def test_where_nobody_takes_an_upload_the_policys_other_model_does() -> None:
    async with SlowPlace() as away, SlowPlace() as there:
        rows = {"m": [away.backend("away")], "n": [there.backend("there")]}
        async with Inside(settings_for(rows, policies=(FALLS,))) as inside:
            inside.health.drain("away", inside.clock.monotonic())
            heard = await answered(inside, upload())
            assert (heard.status, heard.headers["x-gateway-model"]) == (200, "n")
            [exchange] = inside.settled
            assert (exchange.model, exchange.reason, len(exchange.attempts)) == ("n", "fallback", 1)
            inside.health.drain("there", inside.clock.monotonic())
            assert (await answered(inside, upload())).status == 503
        assert away.uploads == []


async def test_where_an_upload_fails_the_policys_other_model_is_asked_in_the_end() -> None:
    async with SlowPlace() as gone:
        rows = [gone.backend("one"), gone.backend("two")]
        last = gone.backend("last")
    async with SlowPlace() as there:
        others = [there.backend("there"), last]
        told = settings_for({"m": rows, "n": others}, policies=(replace(FALLS, retry=Retry(2)),))
        async with Inside(told) as inside:
            heard = await answered(inside, upload())
            assert (heard.status, heard.headers["x-gateway-model"]) == (200, "n")
            [exchange] = inside.settled
            assert (exchange.model, exchange.reason) == ("n", "fallback")
            assert [attempt.target.backend.name for attempt in exchange.attempts] == ["one", "two", "there"]
    # Two attempts were allowed, and were made: of the other model one place is asked, and no more.
    async with Inside(told) as inside:
        assert (await answered(inside, upload())).status == 502
        assert [attempt.target.backend.name for attempt in inside.settled[0].attempts] == ["one", "two", "there"]


async def test_what_an_upload_was_refused_for_is_no_cause_for_another_model() -> None:
    async def refuses(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "No."}}, status=400)

    async with SlowPlace(answers=refuses) as place, SlowPlace() as there:
        told = settings_for({"m": [place.backend("one")], "n": [there.backend("there")]}, policies=(FALLS,))
        async with Inside(told) as inside:
            assert (await answered(inside, upload())).status == 400
        assert there.uploads == []
