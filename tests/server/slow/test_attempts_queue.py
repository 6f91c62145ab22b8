"""What goes the slow way waits in the same room."""

import asyncio

from aiohttp import web
from msgspec.structs import replace

from gateway.routing.policy import Policy
from tests.doubles.inside import Inside, settings_for
from tests.server.slow.places import SlowPlace, transcript
from tests.server.slow.test_form import answered, upload


async def test_an_upload_waits_until_the_ones_before_it_have_ended() -> None:
    go = asyncio.Event()

    async def slowly(request: web.Request) -> web.StreamResponse:
        await go.wait()
        return await transcript(request)

    async with SlowPlace(answers=slowly) as place:
        rows = [replace(place.backend(), slots=1)]
        async with Inside(settings_for({"m": rows}, policies=(Policy("waits", queue_s=100.0),))) as inside:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(answered(inside, upload())) for _ in range(3)]
                await inside.until_so(lambda: len(inside.room) == 1)
                await place.until(lambda: len(place.uploads) == 2)
                go.set()
            assert {task.result().status for task in tasks} == {200}
            assert sum(exchange.waited_s > 0.0 for exchange in inside.settled) == 1
            assert inside.health.snapshot.loads["place"].in_flight == 0
