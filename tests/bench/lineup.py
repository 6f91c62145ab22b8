"""Who is measured, and the model servers behind them: started together, each on its core."""

import enum
import hashlib
import http.client
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec

from tests.bench import nginx
from tests.bench.bodies import Answer, chat_answer, chat_request
from tests.bench.processes import Company, Running, free_ports

CHAT_PATH = "/v1/chat/completions"
MESSAGES_PATH = "/v1/messages"
GATEWAY_COMMAND = (
    "{python} -m gateway serve --config {config} --host 127.0.0.1 --port {port}"
    " --control-port {control_port} --workers 1"
)
_REPLICAS = 2


class Upstream(enum.StrEnum):
    """How the model server behind a work answers."""

    CHAT = "chat"
    BURST = "burst"
    PACED = "paced"
    HELD = "held"

    @property
    def model(self) -> str:
        """The name under which the gateway serves it."""
        return f"bench-{self}"


class Cores(msgspec.Struct, frozen=True):
    """One core for the proxy, another for the load and the model servers."""

    proxy: int
    load: int


class Contender(msgspec.Struct, frozen=True):
    """A way to a model server: its port for each kind of upstream; `direct` is none of our processes.

    `passthrough` is the gateway again, asked in the language of the model server.
    """

    name: str
    ports: dict[Upstream, int]
    running: Running | None = None
    control_port: int | None = None


class Lineup(msgspec.Struct, frozen=True):
    """All contenders by name, and the key that callers show."""

    contenders: dict[str, Contender]
    key: str


def ask(port: int, path: str, key: str, body: bytes, answer: Answer) -> str | None:
    """What is wrong with one answer, or None."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        return answer.flaw(reply.status, reply.read())
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()


def read_page(port: int, path: str) -> str:
    """The body of a GET on loopback; raises OSError when it is not a 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        text = reply.read().decode()
    finally:
        connection.close()
    if reply.status != 200:
        raise OSError(f"GET {path}: {reply.status} {text[:200]}")
    return text


def start(company: Company, cores: Cores, wanted: set[str], gateway_command: str, answer: Answer) -> Lineup:
    """Start the model servers and the wanted contenders, and wait until each answers a chat.

    Raises StartError.
    """
    key = f"sk-gw-{secrets.token_urlsafe(32)}"
    upstreams = _start_upstreams(company, cores)
    contenders = {"direct": Contender("direct", {kind: ports[0] for kind, ports in upstreams.items()})}
    if "nginx" in wanted:
        contenders["nginx"] = _start_nginx(company, cores, upstreams)
    if "gateway" in wanted:
        gateway = contenders["gateway"] = _start_gateway(company, cores, upstreams, gateway_command, key)
        contenders["passthrough"] = msgspec.structs.replace(gateway, name="passthrough")
    chat = chat_request(Upstream.CHAT.model, 400)
    for contender in contenders.values():
        if contender.running:
            port = contender.ports[Upstream.CHAT]
            company.wait_until(contender.running, partial(ask, port, CHAT_PATH, key, chat, answer))
    return Lineup(contenders=contenders, key=key)


def gateway_configuration(upstreams: Mapping[Upstream, list[int]]) -> str:
    """gateway.yaml: two backends for each model, a price for each so that cost is worked out."""
    backends = []
    models = []
    for kind, ports in upstreams.items():
        targets = []
        for replica, upstream_port in enumerate(ports, start=1):
            name = f"{kind}-{replica}"
            backends.append(
                f'  {name}: {{provider: vllm, base_url: "http://127.0.0.1:{upstream_port}", '
                'api_key: "${BENCH_UPSTREAM_KEY}", country: DE}'
            )
            price = "price: {usd_per_mtok_in: 0.15, usd_per_mtok_out: 0.6}"
            targets.append(f"{{backend: {name}, model: bench-upstream, {price}}}")
        models.append(f"  {kind.model}: [{', '.join(targets)}]")
    lines = [
        "state: memory",
        "drain: 2s",
        "caps: {connections: 16000}",
        "backends:",
        *backends,
        "models:",
        *models,
        "callers: callers.yaml",
    ]
    return "\n".join(lines) + "\n"


def callers_configuration(key: str) -> str:
    """callers.yaml: one team, one key, kept as a hash."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f'teams:\n  bench: {{organisation: bench}}\nkeys:\n  bench: {{team: bench, hash: "{digest}"}}\n'


def _start_upstreams(company: Company, cores: Cores) -> dict[Upstream, list[int]]:
    free = free_ports(_REPLICAS * len(Upstream))
    ports = {kind: free[place * _REPLICAS :][:_REPLICAS] for place, kind in enumerate(Upstream)}
    folder = _subfolder(company, "chat-upstream")
    configuration = folder / "nginx.conf"
    configuration.write_text(nginx.upstream_configuration(folder, ports[Upstream.CHAT], chat_answer()))
    chat = company.start("chat-upstream", nginx.command(configuration), cores.load)
    streams = company.start(
        "stream-upstream",
        [sys.executable, "-m", "tests.bench.streaming"]
        + [",".join(str(port) for port in ports[kind]) for kind in Upstream if kind is not Upstream.CHAT],
        cores.load,
    )
    company.wait_until(chat, lambda: _listens(ports[Upstream.CHAT][0]))
    company.wait_until(streams, lambda: _listens(ports[Upstream.HELD][-1]))
    return ports


def _start_nginx(company: Company, cores: Cores, upstreams: Mapping[Upstream, list[int]]) -> Contender:
    own = dict(zip(upstreams, free_ports(len(upstreams)), strict=True))
    folder = _subfolder(company, "nginx")
    configuration = folder / "nginx.conf"
    routes = {str(kind): (own[kind], ports) for kind, ports in upstreams.items()}
    configuration.write_text(nginx.proxy_configuration(folder, routes))
    return Contender("nginx", own, company.start("nginx", nginx.command(configuration), cores.proxy))


def _start_gateway(
    company: Company, cores: Cores, upstreams: Mapping[Upstream, list[int]], template: str, key: str
) -> Contender:
    port, control_port = free_ports(2)
    folder = _subfolder(company, "gateway")
    config = folder / "gateway.yaml"
    config.write_text(gateway_configuration(upstreams))
    (folder / "callers.yaml").write_text(callers_configuration(key))
    places = {"python": sys.executable, "config": str(config), "port": port, "control_port": control_port}
    command = template.format(**places, command=GATEWAY_COMMAND.format(**places))
    # What the shell says of some other gateway must not reach this one.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OTEL_"))}
    env["BENCH_UPSTREAM_KEY"] = "bench-upstream-key"
    running = company.start("gateway", shlex.split(command), cores.proxy, env)
    return Contender("gateway", dict.fromkeys(upstreams, port), running, control_port)


def _subfolder(company: Company, name: str) -> Path:
    folder = company.folder / name
    folder.mkdir()
    return folder


def _listens(port: int) -> str | None:
    try:
        read_page(port, "/v1/models")
    except OSError as error:
        return f"no answer on port {port}: {error}"
    return None
