"""The supervisor from outside: processes, signals and ports. The workers are those of `tests/doubles/worker.py`."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.doubles.prometheus import parse
from tests.doubles.supervised import CEILING_S, TOKEN, Gateway, Held, configuration, refused

pytestmark = pytest.mark.slow


async def number(gateway: Gateway, name: str, *labels: tuple[str, str]) -> float:
    return parse((await gateway.get("/metrics", control=True)).body)[name, tuple(sorted(labels))]


async def pids(gateway: Gateway, wanted: int) -> set[int]:
    """The workers that answer, once as many were seen as are wanted."""
    seen: set[int] = set()
    async with asyncio.timeout(CEILING_S):
        while len(seen) < wanted:
            seen.add(int(str((await gateway.get()).json()["pid"])))
    return seen


async def gone(pids: Iterable[int]) -> None:
    """Returns when none of these processes is there any more."""
    async with asyncio.timeout(CEILING_S):
        for pid in pids:
            try:
                watched = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            ended = asyncio.Event()
            asyncio.get_running_loop().add_reader(watched, ended.set)
            await ended.wait()
            asyncio.get_running_loop().remove_reader(watched)
            os.close(watched)


# --- start ------------------------------------------------------------------------------------------------------------


async def test_it_serves_on_as_many_workers_as_are_asked_for(tmp_path: Path) -> None:
    async with Gateway(configuration(tmp_path), workers=2) as gateway:
        assert len(await pids(gateway, 2)) == 2
        assert (await gateway.get("/healthz", control=True)).body == b"ok\n"
        assert (await gateway.get("/readyz", control=True)).json() == {"ready": True, "reason": ""}
        assert await number(gateway, "gateway_workers_ready") == 2.0


async def test_a_port_that_is_taken_ends_with_78_and_names_its_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        gateway = Gateway(configuration(tmp_path), port=port)
        await gateway.start()
        assert await gateway.ends() == 78
        assert await gateway.complaint() == f"port {port} on 127.0.0.1 is taken; choose another with --port\n"


async def test_a_configuration_that_cannot_be_used_ends_with_78_and_every_problem(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    path.write_text("state: memory\ncallers: callers.yaml\nlisten: {prot: 1}\ndrain: 5\n")
    gateway = Gateway(path)
    await gateway.start()
    assert await gateway.ends() == 78
    lines = (await gateway.complaint()).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{path}:") for line in lines)


async def test_traces_in_a_protocol_that_is_not_spoken_end_with_78(tmp_path: Path) -> None:
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    gateway = Gateway(configuration(tmp_path), environment=asked)
    await gateway.start()
    assert await gateway.ends() == 78
    assert await gateway.complaint() == "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: only http/protobuf is spoken here\n"


async def test_settings_that_the_first_worker_refuses_end_with_78(tmp_path: Path) -> None:
    gateway = Gateway(configuration(tmp_path, "refused"), workers=2)
    await gateway.start()
    assert await gateway.ends() == 78
    assert (await gateway.says("no worker can serve"))["problem"] == "this double refuses"


async def test_the_admin_api_opens_with_the_token_of_the_environment(tmp_path: Path) -> None:
    async with Gateway(configuration(tmp_path)) as gateway:
        assert (await gateway.get("/admin/backends", control=True)).status == 401
        answer = await gateway.get("/admin/backends", control=True, token=TOKEN)
        assert answer.status == 200
        assert [row["name"] for row in answer.json()["backends"]] == ["b"]  # type: ignore[attr-defined]  # JSON


# --- replacement ------------------------------------------------------------------------------------------------------


async def test_a_killed_worker_is_replaced_on_its_socket_and_nobody_is_refused(tmp_path: Path) -> None:
    async with Gateway(configuration(tmp_path)) as gateway:
        (before,) = await pids(gateway, 1)
        os.kill(before, signal.SIGKILL)
        # Whoever connects while nobody is there waits; nobody is refused, and everybody is answered.
        answers = await asyncio.gather(*(gateway.get() for _ in range(50)))
        assert {answer.status for answer in answers} == {200}
        after = {answer.json()["pid"] for answer in answers}
        assert after.isdisjoint({before})
        assert len(after) == 1
        await gateway.until("/readyz", 200)
        assert await number(gateway, "gateway_worker_restarts_total") == 1.0


# --- reload -----------------------------------------------------------------------------------------------------------


async def test_a_reload_reaches_every_worker_and_breaks_no_request(tmp_path: Path) -> None:
    async with Gateway(configuration(tmp_path), workers=2) as gateway:
        await pids(gateway, 2)
        held = await Held.begin(gateway.port)
        configuration(tmp_path, "two")
        gateway.told(signal.SIGHUP)
        await gateway.says("reloaded")
        seen: dict[object, object] = {}
        async with asyncio.timeout(CEILING_S):
            while len(seen) < 2:
                answer = (await gateway.get("/release")).json()
                seen[answer["pid"]] = answer["pop"]
        assert set(seen.values()) == {"two"}
        assert (await held.rest())["pop"] == "two"
        assert await number(gateway, "gateway_config_reloads_total", ("outcome", "accepted")) == 1.0


async def test_a_broken_file_changes_nothing_and_every_problem_is_said(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    async with Gateway(path) as gateway:
        path.write_text("state: memory\ncallers: callers.yaml\nlisten: {prot: 1}\ndrain: 5\n")
        gateway.told(signal.SIGHUP)
        await gateway.says("reload refused", 2)
        assert (await gateway.get()).json()["pop"] == "one"
        assert (await gateway.get("/readyz", control=True)).status == 200
        assert await number(gateway, "gateway_config_reloads_total", ("outcome", "refused")) == 1.0
        configuration(tmp_path, "two")
        gateway.told(signal.SIGHUP)
        await gateway.says("reloaded")
        assert (await gateway.get()).json()["pop"] == "two"


async def test_what_only_a_restart_changes_is_said(tmp_path: Path) -> None:
    async with Gateway(configuration(tmp_path)) as gateway:
        configuration(tmp_path, "two", "listen: {names: [gw.example]}\n")
        gateway.told(signal.SIGHUP)
        await gateway.says("reloaded")
        await gateway.says("addresses and the number of workers change at a restart only")


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_end_it_finishes_what_runs_and_takes_nothing_new(tmp_path: Path, number: signal.Signals) -> None:
    async with Gateway(configuration(tmp_path), workers=2) as gateway:
        workers = await pids(gateway, 2)
        held = [await Held.begin(gateway.port) for _ in range(4)]
        releasing = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(16)]
        gateway.told(number)
        assert (await gateway.until("/readyz", 503)).json()["reason"] == "draining"
        await refused(gateway.port)
        assert not any(one.over for one in held)
        for _, writer in releasing:
            writer.write(b"GET /release HTTP/1.1\r\n\r\n")
        assert {(await one.rest())["pop"] for one in held} == {"one"}
        for _, writer in releasing:
            writer.close()
        assert await gateway.ends() == 0
        await gone(workers)


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with Gateway(configuration(tmp_path)) as gateway:
        workers = await pids(gateway, 1)
        held = await Held.begin(gateway.port)
        gateway.told(signal.SIGTERM)
        await gateway.says("draining")
        gateway.told(signal.SIGTERM)
        assert await gateway.ends() == 0
        with pytest.raises(ConnectionResetError):
            await held.rest()
        await gone(workers)


async def test_workers_leave_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    async with Gateway(configuration(tmp_path), workers=2) as gateway:
        workers = await pids(gateway, 2)
        gateway.told(signal.SIGKILL)
        await gone(workers)


# --- readiness --------------------------------------------------------------------------------------------------------


async def test_it_is_not_ready_while_no_backend_can_be_reached_and_ready_again_after(tmp_path: Path) -> None:
    with socket.socket() as place:
        # Bound and not listening: nobody is reached there, and nobody else is given the port meanwhile.
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
        more = (
            f'backends: {{b: {{provider: vllm, base_url: "http://127.0.0.1:{port}", country: DE}}}}\n'
            "models: {m: [{backend: b, model: m}]}\n"
        )
        async with Gateway(configuration(tmp_path, "lonely", more)) as gateway:
            assert (await gateway.until("/readyz", 503)).json()["reason"] == "no backend can be reached"
            place.listen()
            assert (await gateway.until("/readyz", 200)).json()["ready"] is True


# --- real workers -----------------------------------------------------------------------------------------------------


async def answered(gateway: Gateway) -> float:
    page = parse((await gateway.get("/metrics", control=True)).body)
    return sum(
        value
        for (name, labels), value in page.items()
        if name == "gateway_requests_total" and ("outcome", "answered") in labels
    )


async def test_a_development_gateway_answers_from_three_places_with_the_key_it_prints() -> None:
    async with Gateway(dev=True, workers=2, command=()) as gateway:
        key = await gateway.shows("development key")
        for place in ("frankfurt", "virginia", "singapore"):
            body = f'{{"model": "mock/{place}", "messages": [{{"role": "user", "content": "hello"}}]}}'
            answer = await gateway.post("/v1/chat/completions", body, key)
            assert answer.status == 200
            assert place in answer.body.decode().lower()
        assert (await gateway.post("/v1/chat/completions", "{}", "sk-gw-wrong")).status == 401
        async with asyncio.timeout(CEILING_S):  # counters may be a tenth of a second behind
            while (count := await answered(gateway)) < 3.0:
                continue
        assert count == 3.0
        backends = (await gateway.get("/admin/backends", control=True, token=TOKEN)).body
        assert b"dev-frankfurt" in backends
        gateway.told(signal.SIGTERM)
        assert await gateway.ends() == 0
        requests = [line for line in gateway.events if line["event"] == "request"]
        assert len(requests) == 4
        assert key not in str(requests)
