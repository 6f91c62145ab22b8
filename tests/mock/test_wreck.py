import pytest

from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from tests.doubles.mock_caller import Caller, chat, hear, request


@pytest.mark.parametrize("limit", [1, 200, 500, 1000])
async def test_what_was_written_before_a_reset_arrives_and_then_the_reset(limit: int) -> None:
    async with MockServer(MockOptions(tokens=100)) as server:
        heard = await hear(server, chat(), fault=f"reset={limit}")
    assert (len(heard.wire), heard.ending) == (limit, "rst")


async def test_a_connection_whose_reader_is_stuck_can_be_reset() -> None:
    async with MockServer() as server, Caller(server) as caller:
        caller.send(request(chat(), fault=f"giant={64 << 20}"))
        await server.until(lambda ledger: ledger.bytes_sent > 64 << 20)
        server.kill()
        await server.until(lambda ledger: ledger.open_connections == 0)
        assert (await caller.ends()).ending == "rst"
