import asyncio
import socket

import pytest
from msgspec.structs import replace

from gateway.channel import BackendState
from gateway.clock import HandClock
from gateway.settings.shape import Secret
from gateway.supervisor.board import LiveBoard, Tally
from gateway.supervisor.fleet import Fleet
from gateway.supervisor.sockets import Listening
from gateway.telemetry.log import Log
from gateway.telemetry.slots import SlotWriter
from tests.doubles.prometheus import parse
from tests.doubles.settled import FRANKFURT, settings


class Lines:
    def put(self, line: bytes) -> None:
        """Nobody reads them here."""


class Staffed(Fleet):
    """A fleet whose workers are said to be there, with these views of the backends."""

    def __init__(self) -> None:
        super().__init__(("nobody",), Listening(), settings(), HandClock(), Log(Lines(), HandClock()))
        self.staff = 1
        self.views: list[list[BackendState]] = []

    @property
    def ready(self) -> int:
        return self.staff

    def tables(self) -> list[list[BackendState]]:
        return self.views


@pytest.fixture
def fleet() -> Staffed:
    return Staffed()


@pytest.fixture
def board(fleet: Staffed) -> LiveBoard:
    return LiveBoard(fleet, Tally())


def failing(name: str = "b") -> BackendState:
    return BackendState(name, "vllm", state="failing")


def test_it_is_ready_while_a_worker_serves(fleet: Staffed, board: LiveBoard) -> None:
    assert board.not_ready() == ""
    fleet.staff = 0
    assert board.not_ready() == "starting"


def test_it_is_not_ready_from_the_moment_it_drains(fleet: Staffed, board: LiveBoard) -> None:
    fleet.leaving.set()
    assert board.not_ready() == "draining"


async def test_failing_tables_are_not_enough_to_turn_traffic_away(fleet: Staffed, board: LiveBoard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as place:
        url = f"http://127.0.0.1:{place.getsockname()[1]}"
        fleet.settings = replace(settings(), backends={"b": replace(FRANKFURT, base_urls=(url,))})
        fleet.views = [[failing()]]
        await board.look()
        assert board.not_ready() == ""
        place.close()
        await board.look()
        assert board.not_ready() == "no backend can be reached"
    fleet.views = [[failing(), BackendState("c", "vllm", state="healthy")]]
    await board.look()
    assert board.not_ready() == ""


def test_the_token_is_the_one_in_force(fleet: Staffed, board: LiveBoard) -> None:
    fleet.settings = replace(settings(), admin_token=Secret("new"))
    assert board.admin_token() == Secret("new")


def test_metrics_are_the_workers_and_the_supervisors(fleet: Staffed, tmp_path_factory: pytest.TempPathFactory) -> None:
    from gateway.telemetry.metrics import Metrics

    path = str(tmp_path_factory.mktemp("slots") / "w")
    slots = SlotWriter(path)
    fleet.totals.watch(path)
    Metrics(slots).log_lines_dropped.add(2.0)
    dropped = Tally()
    dropped.add(3.0)
    fleet.staff = 2
    fleet.replaced = 4
    fleet.settings = replace(
        settings(), revision="abc", pop="fra", backends={"b": replace(FRANKFURT, name="b", slots=8)}
    )
    fleet.views = [
        [BackendState("b", "vllm", state="healthy", in_flight=3)],
        [BackendState("b", "vllm", state="failing", in_flight=1)],
    ]
    board = LiveBoard(fleet, dropped)
    board.reloads["accepted"] = 1
    page = parse(board.metrics())
    assert page["gateway_log_lines_dropped_total", ()] == 5.0
    assert page["gateway_workers_ready", ()] == 2.0
    assert page["gateway_worker_restarts_total", ()] == 4.0
    assert page["gateway_config_reloads_total", (("outcome", "accepted"),)] == 1.0
    assert page["gateway_config_reloads_total", (("outcome", "refused"),)] == 0.0
    assert page["gateway_backend_state", (("backend", "b"), ("provider", "vllm"), ("state", "healthy"))] == 1.0
    assert page["gateway_backend_state", (("backend", "b"), ("provider", "vllm"), ("state", "failing"))] == 1.0
    assert page["gateway_backend_in_flight", (("backend", "b"),)] == 4.0
    assert page["gateway_backend_load", (("backend", "b"),)] == 0.5
    (info,) = [dict(labels) for (name, labels) in page if name == "gateway_config_info"]
    assert (info["revision"], info["pop"]) == ("abc", "fra")
    assert info["version"]
    fleet.totals.close()
    slots.close()


def test_a_backend_whose_slots_nobody_knows_has_no_load(fleet: Staffed, board: LiveBoard) -> None:
    fleet.views = [[BackendState("b", "vllm", in_flight=3)]]
    names = {name for name, _ in parse(board.metrics())}
    assert "gateway_backend_in_flight" in names
    assert "gateway_backend_load" not in names


def test_backends_are_put_together_from_all_workers(fleet: Staffed, board: LiveBoard) -> None:
    fleet.views = [[failing("a")], [failing("a")]]
    assert [(row.name, row.states) for row in board.backends()] == [("a", {"failing": 2})]


def test_a_look_while_all_is_well_asks_nobody(fleet: Staffed, board: LiveBoard) -> None:
    fleet.settings = replace(settings(), backends={"b": replace(FRANKFURT, base_urls=("http://192.0.2.1",))})
    asyncio.run(board.look())
    assert board.not_ready() == ""


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ("one", ["one"]),
        ("region:eu-central", ["one", "two"]),
        ("pop:fra", ["two"]),
        ("provider:vllm", ["one", "two"]),
        ("region:nowhere", []),
        ("nobody", []),
    ],
)
async def test_a_backend_is_steered_by_its_name_or_by_where_it_is(
    which: str, found: list[str], fleet: Staffed, board: LiveBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[list[str], bool, float | None]] = []

    async def steer(backends: list[str], *, resume: bool, for_s: float | None = None) -> None:
        told.append((backends, resume, for_s))

    monkeypatch.setattr(fleet, "steer", steer)
    one = replace(FRANKFURT, name="one", region="eu-central", pop="")
    fleet.settings = replace(settings(), backends={"one": one, "two": replace(one, name="two", pop="fra")})
    assert await board.steer(which, resume=False, for_s=60.0) == found
    assert told == ([(found, False, 60.0)] if found else [])
