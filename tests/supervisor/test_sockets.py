import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.supervisor.sockets import CannotListen, Listening, bound


@pytest.fixture
def listening() -> Iterator[Listening]:
    listening = Listening()
    yield listening
    listening.close()


def test_every_worker_has_a_socket_on_the_same_port(listening: Listening) -> None:
    listening.open("127.0.0.1", 0, 3)
    assert len({one.getsockname() for one in listening.tcp}) == 1
    assert [listening.of_worker(slot) for slot in range(3)] == [[one] for one in listening.tcp]


def test_connections_are_spread_over_the_sockets(listening: Listening) -> None:
    listening.open("127.0.0.1", 0, 2)
    address = listening.tcp[0].getsockname()
    callers = [socket.create_connection(address) for _ in range(100)]
    accepted = []
    for one in listening.tcp:
        one.setblocking(False)
        taken = []
        while True:
            try:
                taken.append(one.accept()[0])
            except BlockingIOError:
                break
        accepted.append(len(taken))
        for connection in taken:
            connection.close()
    for caller in callers:
        caller.close()
    assert sum(accepted) == 100
    assert min(accepted) > 10


def test_connections_wait_for_a_worker_that_is_not_there_yet(listening: Listening) -> None:
    listening.open("127.0.0.1", 0, 1)
    with socket.create_connection(listening.tcp[0].getsockname()) as caller:
        caller.sendall(b"hello")
        taken, _ = listening.tcp[0].accept()
        assert taken.recv(10) == b"hello"
        taken.close()


@pytest.mark.parametrize("workers", [1, 4])
def test_a_port_that_is_taken_is_named_with_its_option(listening: Listening, workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"port {port} on 127\.0\.0\.1 is taken; choose another with --port"):
            listening.open("127.0.0.1", port, workers)


def test_a_port_that_another_gateway_shares_among_its_workers_is_taken_too(listening: Listening) -> None:
    listening.open("127.0.0.1", 0, 2)
    second = Listening()
    with pytest.raises(CannotListen, match="is taken"):
        second.open("127.0.0.1", listening.tcp[0].getsockname()[1], 2)


def test_the_control_port_names_its_own_option(listening: Listening) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(CannotListen, match="choose another with --control-port"),
    ):
        listening.open_control("127.0.0.1", other.getsockname()[1])


def test_an_address_of_somebody_else_is_said_to_be_one() -> None:
    with pytest.raises(CannotListen, match=r"port 0 on 192\.0\.2\.1 can't be had \(cannot assign requested address\)"):
        bound("192.0.2.1", 0, "--port")


def test_a_host_that_is_no_address_is_said_to_be_unknown() -> None:
    with pytest.raises(CannotListen, match=r"the host 1\.2\.3\.4\.5\. is unknown"):
        bound("1.2.3.4.5.", 0, "--port")


def test_who_listens_no_more_refuses(listening: Listening) -> None:
    listening.open("127.0.0.1", 0, 2)
    address = listening.tcp[0].getsockname()
    listening.stop_accepting()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_a_unix_socket_is_shared_by_all_and_removed_behind(listening: Listening, tmp_path: Path) -> None:
    path = tmp_path / "s"
    listening.open("127.0.0.1", 0, 2)
    listening.open_unix(str(path))
    assert [listening.of_worker(slot)[1] for slot in range(2)] == [listening.unix, listening.unix]
    assert path.stat().st_mode & 0o777 == 0o660
    listening.stop_accepting()
    assert not path.exists()


def test_a_unix_socket_left_by_the_dead_is_replaced(listening: Listening, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    listening.open_unix(path)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(path)


def test_a_unix_socket_that_answers_is_left_alone(listening: Listening, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(path)
        living.listen()
        with pytest.raises(CannotListen, match=r"somebody answers on it\); set listen.unix"):
            listening.open_unix(path)


def test_a_file_in_place_of_a_unix_socket_is_left_alone(listening: Listening, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(CannotListen, match="something else is there"):
        listening.open_unix(str(path))
    assert path.read_text() == "precious"


def test_every_address_means_both_kinds() -> None:
    one = bound("::", 0, "--port")
    one.listen()
    port = one.getsockname()[1]
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port)).close()
    one.close()
