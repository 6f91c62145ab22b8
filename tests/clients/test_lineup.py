from pathlib import Path

import pytest

from gateway.wire import load
from gateway.wire.bridge import CONVERSATIONS
from tests.clients.agents import WORKERS
from tests.clients.lineup import CLIENTS, Client

FOLDER = Path(__file__).parent


def test_every_language_that_callers_speak_has_its_client() -> None:
    spoken = {name for name in CONVERSATIONS if has_a_way_in(name)}
    assert {one.language for one in (*CLIENTS, *WORKERS)} == spoken


def has_a_way_in(language: str) -> bool:
    try:
        wire = load(language)
    except AttributeError:
        return False
    return bool(wire.paths or wire.patterns)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_clients_program_has_its_kind(client: Client) -> None:
    source = f"python/{client.file}.py" if isinstance(client.runs, Path) else f"node/{client.file}.mjs"
    assert client.kind in (FOLDER / source).read_text()
