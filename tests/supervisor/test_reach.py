import socket

from gateway.channel import BackendState
from gateway.supervisor.reach import address_of, all_failing, any_reachable


def table(*states: str) -> list[BackendState]:
    return [BackendState(f"b{number}", "p", state=state) for number, state in enumerate(states)]


def test_all_are_failing_only_where_every_worker_sees_every_one_fail() -> None:
    assert all_failing([table("failing", "failing"), table("failing")])
    assert not all_failing([table("failing", "healthy")])
    assert not all_failing([table("failing"), table("unknown")])


def test_no_table_is_no_bad_news() -> None:
    assert not all_failing([])
    assert not all_failing([[]])


def test_the_address_is_the_urls_with_its_schemes_port() -> None:
    assert address_of("http://10.1.0.7:8000/v1") == ("10.1.0.7", 8000)
    assert address_of("https://api.example/v1") == ("api.example", 443)
    assert address_of("http://api.example") == ("api.example", 80)
    assert address_of("http://[::1]:81") == ("::1", 81)


async def test_one_that_takes_connections_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as living, socket.create_server(("127.0.0.1", 0)) as dead:
        there = f"http://127.0.0.1:{living.getsockname()[1]}"
        gone = f"http://127.0.0.1:{dead.getsockname()[1]}"
        dead.close()
        assert await any_reachable([gone, there])
        assert not await any_reachable([gone])
        assert not await any_reachable([])


async def test_one_that_never_answers_costs_no_more_than_the_limit() -> None:
    with socket.socket() as full:
        # A backlog of nought that is taken: further connections hang.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        assert not await any_reachable([f"http://127.0.0.1:{full.getsockname()[1]}"], within_s=0.05)
        for one in waiting:
            one.close()
