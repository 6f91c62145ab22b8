"""`make test-clients`: what callers use, as others wrote it, through a running gateway.

    .venv/bin/python -m tests.clients.run [--only WORD]

Every client talks to the same gateway process, and asks it for models that aimock serves in each language but the
client's own: an answer, the same as a stream, tools, several of them and one after the other, thoughts that come back,
and errors as the client's own exceptions (script.json says what is asked and answered). The command-line agents do a
task. The table counts each case over all places; then come the failures with their reasons, and what isn't asked about.
The last line is one JSON object; the exit code is 1 where anything failed.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import orjson
from msgspec import to_builtins

from gateway.clock import RealClock
from tests.clients.agents import WORKERS, work
from tests.clients.front import Front
from tests.clients.lineup import CLIENTS, Client
from tests.clients.outcomes import LeftOut, Outcome, failed, read, table
from tests.clients.places import PLACES, StandIn, gateway
from tests.clients.programs import run, surroundings
from tests.real.gateways import KEY

AT_ONCE = 2
WITHIN_S = 120.0

Came = tuple[list[Outcome], list[LeftOut]]


def main(arguments: Sequence[str]) -> int:
    only = _options(arguments).only
    began = RealClock.monotonic()
    outcomes: list[Outcome] = []
    left_out: list[LeftOut] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clients-")))
        stand_in = StandIn()
        stack.enter_context(stand_in.program)
        served = gateway(folder / "gateway", stand_in)
        stack.enter_context(served.program)
        front = Front(folder / "front", served.port)
        stack.enter_context(front.program)
        jobs = _jobs(only, folder, f"http://127.0.0.1:{served.port}", front)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for came, reasons in pool.map(lambda job: job(), jobs):
                outcomes += came
                left_out += reasons
        code = served.program.stop()
    if code != 0:
        outcomes.append(Outcome("gateway", "", "end", f"it ended with {code}: {served.program.tail()}"))
    for line in (*table(outcomes), *_notes(left_out)):
        sys.stdout.write(f"{line}\n")
    told = {
        "cases": len(outcomes),
        "failed": len(failed(outcomes)),
        "clients": len({one.client for one in outcomes}),
        "took_s": round(RealClock.monotonic() - began, 1),
    }
    sys.stdout.write(f"{orjson.dumps(told).decode()}\n")
    return 1 if told["failed"] or not outcomes else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.clients.run")
    parser.add_argument("--only", default="", help="clients whose name has this in it")
    return parser.parse_args(arguments)


def _jobs(only: str, folder: Path, url: str, front: Front) -> list[Callable[[], Came]]:
    """Those that take longest first, so that no core waits for another at the end."""
    agents = [partial(_worked, number, folder, url) for number, worker in enumerate(WORKERS) if only in worker.name]
    clients = [client for client in CLIENTS if only in client.name]
    asked = [partial(_asked, client, folder / f"client-{number}", url, front) for number, client in enumerate(clients)]
    return [*asked, *agents]


def _worked(number: int, folder: Path, url: str) -> Came:
    return work(WORKERS[number], folder / f"agent-{number}", url, KEY), []


def _asked(client: Client, home: Path, url: str, front: Front) -> Came:
    home.mkdir()
    environment = dict(client.environment)
    if client.key_in:
        environment[client.key_in] = KEY
    if client.trust_in:
        environment[client.trust_in] = str(front.certificate)
        url = front.url
    places = [to_builtins(place) for place in PLACES if place.language != client.language]
    command = client.command(url, KEY, orjson.dumps(places).decode())
    ended = run(command, surroundings(home, environment), within_s=WITHIN_S)
    outcomes, left_out = read(client.name, ended.out)
    if ended.code != 0 or not outcomes:
        outcomes.append(Outcome(client.name, "", "run", ended.complaint()))
    return outcomes, left_out


def _notes(left_out: Sequence[LeftOut]) -> list[str]:
    lacking = [LeftOut(place.language, (what,), why) for place in PLACES for what, why in place.lacks.items()]
    return [f"not asked of {one.who}: {'; '.join(one.what)}: {one.why}" for one in (*lacking, *left_out)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
