"""The aiohttp side as a whole: one exchange, settled once, and nothing said of itself."""

import pytest
from aiohttp import web
from msgspec.structs import replace

from gateway.exchange import Exchange
from gateway.features import Request
from gateway.server.slow.application import Application, open_application
from gateway.stages.find import Finder
from gateway.stages.trial import Way
from tests.doubles.inside import Inside, settings_for
from tests.server.slow.places import SlowPlace
from tests.server.slow.test_form import answered, upload


async def test_each_exchange_has_a_protocol_of_its_own() -> None:
    application = await open_application(2.0)
    assert isinstance(application, Application)
    assert application.protocol() is not application.protocol()


class Forgetful(Finder):
    """A finder with a bug."""

    def find(self, exchange: Exchange, model: str, request: Request | None = None) -> Way:
        raise ZeroDivisionError(model)


async def test_a_bug_is_an_answer_and_told_without_what_the_caller_sent() -> None:
    async with SlowPlace() as place:
        settings = settings_for({"m": [place.backend()]})
        async with Inside(settings) as inside:
            inside.door.use(replace(inside.runtime, finder=Forgetful.__new__(Forgetful)))
            heard = await answered(inside, upload())
            assert (heard.status, heard.headers["x-should-retry"]) == (500, "false")
            assert [type(error) for error in inside.bugs] == [ZeroDivisionError]
            (exchange,) = inside.settled
            assert (exchange.status, exchange.outcome) == (500, "internal_error")


async def test_a_refusal_says_nothing_of_the_server() -> None:
    async with SlowPlace() as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        heard = await answered(inside, upload(b"no form"))
        assert set(heard.headers) == {
            "content-type",
            "cache-control",
            "x-request-id",
            "content-length",
            "connection",
        }


async def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async with SlowPlace(answers=fail) as place, Inside(settings_for({"m": [place.backend()]})) as inside:
        for data in (upload(), upload(b"no form")):
            await answered(inside, data)
    assert caplog.messages == []
