import sys
from http.client import HTTPConnection

import orjson
import pytest

from gateway.supervisor.stand_ins import Role, StandIns, StandInsMissing

ROLES = (
    Role("frankfurt", "mock-model", "Frankfurt", 0.0, 0.0),
    Role("virginia", "mock-model", "Virginia", 0.0, 0.0),
)


def ask(url: str) -> str:
    """What a server answers to hello. OSError where nobody does."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=20)
    body = orjson.dumps({"model": "mock-model", "messages": [{"role": "user", "content": "hello"}]})
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    answer = orjson.loads(connection.getresponse().read())
    connection.close()
    return str(answer["choices"][0]["message"]["content"])


def test_one_process_is_every_server() -> None:
    servers = StandIns()
    try:
        urls = servers.play(ROLES)
        assert sorted(urls) == ["frankfurt", "virginia"]
        assert "Frankfurt" in ask(urls["frankfurt"])
        assert "Virginia" in ask(urls["virginia"])
    finally:
        servers.close()


def test_nobody_is_left_when_they_are_closed() -> None:
    servers = StandIns()
    urls = servers.play(ROLES)
    servers.close()
    with pytest.raises(ConnectionRefusedError):
        ask(urls["frankfurt"])


def test_a_program_that_says_nothing_is_missed() -> None:
    servers = StandIns((sys.executable, "-c", "pass"))
    with pytest.raises(StandInsMissing):
        servers.play(ROLES)
    servers.close()
