"""The world at work: the network, six `gateway mock` and three `gateway serve`, each a process within its region."""

import os
import shutil
import socket
import sys
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import orjson

from gateway.settings.load import digest_of
from tests.doubles.mmdb import write_mmdb
from tests.live.places import DETOUR, FIRST_SERVER_PORT, GATEWAY_PORT, HOMES, REGIONS, SERVERS, Region
from tests.live.wan import TUN, enter, own_namespace
from tests.real.gateways import ADMIN_TOKEN, KEY
from tests.real.processes import Program

MODEL: Final = "llama-3.1-8b"
SLOTS: Final = 8
TTFT_MS: Final = 100
TPOT_MS: Final = 12
TOKENS: Final = 16
ANSWER_S: Final = (TTFT_MS + (TOKENS - 1) * TPOT_MS) / 1000
# What a region's two servers can answer.
CAPACITY_PER_S: Final = 2 * SLOTS / ANSWER_S
# Who asks for others in Virginia, and says for whom.
PROXY: Final = REGIONS["iad"].address


def lacking() -> str:
    """Why there can be no such world here, "" where there can."""
    if os.geteuid():
        return "only root can make network namespaces"
    missing = [tool for tool in ("ip", "nsenter") if shutil.which(tool) is None]
    if missing:
        return f"there is no {missing[0]}"
    return "" if TUN.exists() else f"there is no {TUN}"


class World:
    """Everything up and served from the constructor on, until `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._servers: dict[str, Program] = {}
        self._gateways: dict[str, Program] = {}
        with ExitStack() as undo:
            undo.callback(self._stack.close)
            self._begin()
            undo.pop_all()

    def _begin(self) -> None:
        network = self._stack.enter_context(Program([sys.executable, "-m", "tests.live.wan"]))
        self._paths: dict[str, str] = orjson.loads(network.says(r"^\{.*\}$")[0])
        self._namespaces = {name: os.open(path, os.O_RDONLY) for name, path in self._paths.items()}
        self._home = own_namespace()
        for namespace in (*self._namespaces.values(), self._home):
            self._stack.callback(os.close, namespace)
        for name in SERVERS:
            self.start(name)
        for name in SERVERS:
            self.ready(name)
        self._configure()
        for region in REGIONS.values():
            self._serve(region)
        for gateway in self._gateways.values():
            gateway.says(r'"event":"serving"')

    def close(self) -> None:
        """End all of it. AssertionError where a gateway doesn't end well."""
        with self._stack:
            codes = {name: gateway.stop() for name, gateway in self._gateways.items()}
        assert set(codes.values()) == {0}, [self._gateways[name].tail() for name, code in codes.items() if code]

    # --- servers ------------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start a model server, at its usual address."""
        place = SERVERS[name]
        command = [
            *("mock", "--host", REGIONS[place].address, "--port", str(_port(name))),
            *("--model", MODEL, "--place", name, "--slots", str(SLOTS), "--tokens", str(TOKENS)),
            *("--ttft", f"{TTFT_MS}ms", "--tpot", f"{TPOT_MS}ms"),
        ]
        self._servers[name] = self._stack.enter_context(Program(self._within(place, command)))

    def ready(self, name: str) -> None:
        """Wait until a server that was started listens."""
        self._servers[name].says(r"^listening on ")

    def kill(self, name: str) -> None:
        """End a server as a crash does."""
        self._servers[name].kill()

    def slow(self, name: str, times: int) -> None:
        """Make a server so many times slower from its next request on; 1: as it was."""
        place = SERVERS[name]
        faults = [f"ttft={times * TTFT_MS}ms", f"tpot={times * TPOT_MS}ms"] if times > 1 else []
        asking = HTTPConnection(REGIONS[place].address, _port(name))
        asking.sock = self.socket_at(place)
        asking.sock.settimeout(10.0)
        asking.sock.connect((asking.host, asking.port))
        asking.request("POST", "/mock/fault", orjson.dumps(faults))
        status = asking.getresponse().status
        asking.close()
        assert status == 200, faults

    # --- gateways -----------------------------------------------------------------------------------------------------

    def _configure(self) -> None:
        """The files of all POPs; JSON is YAML."""
        pops = {
            region.name: {
                "url": f"http://{region.address}:{GATEWAY_PORT}",
                "region": region.region,
                "country": region.country,
                "location": region.location,
            }
            for region in REGIONS.values()
        }
        backends = {
            name: {
                "provider": "vllm",
                "base_url": f"http://{REGIONS[place].address}:{_port(name)}",
                "region": REGIONS[place].region,
                "country": REGIONS[place].country,
                "location": REGIONS[place].location,
                "slots": SLOTS,
            }
            for name, place in SERVERS.items()
        }
        callers = {
            "teams": {"t": {}},
            "keys": {"k": {"team": "t", "hash": digest_of(KEY, "").hex(), "may": {"plan": True}}},
        }
        told = {
            "state": "memory",
            "drain": "20s",
            "callers": "callers.yaml",
            "private_networks": [f"{region.address}/32" for region in REGIONS.values()],
            "trusted_proxies": [{"from": f"{PROXY}/32", "address": "x-forwarded-for"}],
            "backends": backends,
            "models": {MODEL: [{"backend": name, "model": MODEL} for name in SERVERS]},
        }
        for name, words in (("pops", pops), ("callers", callers), ("gateway", told)):
            (self._folder / f"{name}.yaml").write_bytes(orjson.dumps(words))
        known = {home.address: home.country for home in (*HOMES.values(), DETOUR)}
        write_mmdb(
            self._folder / "countries.mmdb",
            {f"{address}/32": {"country": {"iso_code": country}} for address, country in known.items()},
            kind="GeoLite2-Country",
        )

    def _serve(self, region: Region) -> None:
        command = [
            *("serve", "--config", str(self._folder / "gateway.yaml"), "--control-port", "0"),
            *("--host", region.address, "--port", str(GATEWAY_PORT)),
        ]
        environment = {
            "GATEWAY_POP": region.name,
            "GATEWAY_GEOIP_DB": str(self._folder / "countries.mmdb"),
            "GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
        }
        self._gateways[region.name] = self._stack.enter_context(
            Program(self._within(region.name, command), environment=environment)
        )

    # --- being somewhere ----------------------------------------------------------------------------------------------

    def _within(self, place: str, words: list[str]) -> list[str]:
        """The command that runs the gateway's command line in a place."""
        nsenter = shutil.which("nsenter")
        assert nsenter is not None
        return [nsenter, f"--net={self._paths[place]}", sys.executable, "-m", "gateway", *words]

    def socket_at(self, place: str) -> socket.socket:
        """A TCP socket in a place: it stays there, wherever it is used from."""
        enter(self._namespaces[place])
        try:
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        finally:
            enter(self._home)


def _port(server: str) -> int:
    return FIRST_SERVER_PORT + REGIONS[SERVERS[server]].servers.index(server)
