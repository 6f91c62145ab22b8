"""The door and where its callers are: on real sockets, but for addresses that only the internet has."""

from pathlib import Path

import orjson
from msgspec.structs import replace

from gateway.clock import HandClock
from gateway.mock.server import MockServer
from gateway.routing.policy import Require
from gateway.server.geoip import LOOK_EVERY_S
from gateway.server.listen import tls_context
from gateway.server.protocol import CallerConnection
from gateway.settings.shape import Pop, Settings, Tls, TrustedProxy
from tests.doubles.caller import Caller, chat, request
from tests.doubles.inside import CALLER, Inside, backend, settings_for
from tests.doubles.mmdb import write_mmdb
from tests.server.desk import Wire
from tests.upstream.authority import Authority

POPS = {
    pop.name: pop
    for pop in (
        Pop("fra", "https://fra.gw.example", "eu-central", "DE", (50.11, 8.68)),
        Pop("iad", "https://iad.gw.example", "us-east", "US", (38.95, -77.45)),
    )
}
B = backend("b", "http://127.0.0.1:9")
LONDONER = "81.2.69.160"
BERLINER = "93.184.0.1"
PROXY = TrustedProxy("127.0.0.0/8", "x-forwarded-for", "cf-ipcountry")
POPS_ASKED = request(path="/v1/pops", method="GET")


def settings(**fields: object) -> Settings:
    return replace(settings_for({"m": [B]}), pops=POPS, **{"pop": "iad", **fields})


def database(path: Path, german: str = "DE") -> str:
    write_mmdb(
        path,
        {"81.2.69.0/24": {"country_code": "GB"}, "93.184.0.0/16": {"country_code": german, "city": "Berlin"}},
    )
    return str(path)


class Comer(Wire):
    """Somebody from this address, without a socket."""

    def __init__(self, inside: Inside, address: str) -> None:
        super().__init__()
        self._address = address
        connection = inside.door.connection()
        assert isinstance(connection, CallerConnection)
        self._connection = connection
        connection.connection_made(self)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 4711) if name == "peername" else default

    def pops(self, headers: dict[str, str] | None = None) -> dict[str, object]:
        """What /v1/pops says to him."""
        self.written = b""
        self._connection.data_received(request(path="/v1/pops", method="GET", headers=headers))
        self._connection._transport.flush()
        found: dict[str, object] = orjson.loads(self.written.partition(b"\r\n\r\n")[2])
        return found


def named(said: dict[str, object]) -> list[str]:
    rows = said["pops"]
    assert isinstance(rows, list)
    return [row["name"] for row in rows]


# --- headers ----------------------------------------------------------------------------------------------------------


async def test_a_trusted_proxys_word_reaches_the_call_and_a_strangers_does_not() -> None:
    headers = {"x-forwarded-for": LONDONER, "cf-ipcountry": "GB"}
    async with MockServer() as upstream:
        for row, heard in (
            (PROXY, (LONDONER, "GB")),
            (TrustedProxy("10.0.3.0/24", "x-forwarded-for"), ("127.0.0.1", "")),
        ):
            of = replace(settings_for({"m": [backend("b", upstream.url)]}), trusted_proxies=(row,))
            async with Inside(of) as inside, Caller(inside.port) as caller:
                caller.send(request(chat(), headers=headers))
                assert (await caller.answer()).status == 200
                call = inside.settled[0].call
                assert (call.address, call.country) == heard
                assert call.origin.address == (heard[0] if row is PROXY else "127.0.0.1")


async def test_each_request_on_a_proxys_connection_has_its_own_caller() -> None:
    async with MockServer() as upstream:
        of = replace(settings_for({"m": [backend("b", upstream.url)]}), trusted_proxies=(PROXY,))
        async with Inside(of) as inside, Caller(inside.port) as caller:
            people = [(LONDONER, "GB"), (LONDONER, "GB"), (BERLINER, "DE"), ("1.1.1.1", "AU"), (LONDONER, "GB")]
            for address, country in people:
                caller.send(request(chat(), headers={"x-forwarded-for": address, "cf-ipcountry": country}))
                assert (await caller.answer()).status == 200
            assert [(one.call.address, one.call.country) for one in inside.settled] == people


async def test_where_nobody_is_trusted_and_no_database_is_there_a_call_has_its_peers_address_only() -> None:
    async with MockServer() as upstream, Inside(settings_for({"m": [backend("b", upstream.url)]})) as inside:
        async with Caller(inside.port) as caller:
            for _ in range(2):
                caller.send(request(chat(), headers={"cf-ipcountry": "DE", "x-forwarded-for": LONDONER}))
                assert (await caller.answer()).status == 200
        assert [(one.call.address, one.call.country) for one in inside.settled] == [("127.0.0.1", "")] * 2


async def test_a_refused_request_has_its_origin_too() -> None:
    async with Inside(settings(trusted_proxies=(PROXY,))) as inside, Caller(inside.port) as caller:
        caller.send(request(chat(), key="sk-gw-nobody", headers={"x-forwarded-for": LONDONER, "cf-ipcountry": "GB"}))
        assert (await caller.answer()).status == 401
        assert (inside.settled[0].call.address, inside.settled[0].call.country) == (LONDONER, "GB")


async def test_under_dev_three_countries_can_be_played_on_one_machine() -> None:
    async with Inside(settings(dev=True)) as inside, Caller(inside.port) as caller:
        for country, nearest in (("DE", "fra"), ("US", "iad"), ("FR", "fra")):
            caller.send(request(path="/v1/pops", method="GET", headers={"cf-ipcountry": country}))
            said = orjson.loads((await caller.answer()).body)
            assert (said["country"], said["pops"][0]["name"]) == (country, nearest)
            assert not any(pop["measured"] for pop in said["pops"])


async def test_the_unix_socket_may_be_a_proxys(tmp_path: Path) -> None:
    for row, country in ((TrustedProxy("unix", "x-forwarded-for", "cf-ipcountry"), "DE"), (PROXY, "")):
        path = str(tmp_path / f"door{country}")
        async with Inside(settings(trusted_proxies=(row,)), unix=path), Caller(unix=path) as caller:
            caller.send(request(path="/v1/pops", method="GET", headers={"cf-ipcountry": "DE"}))
            assert orjson.loads((await caller.answer()).body)["country"] == country


# --- the database -----------------------------------------------------------------------------------------------------


async def test_a_direct_callers_country_is_his_addresss(tmp_path: Path) -> None:
    async with Inside(settings(geoip_db=database(tmp_path / "d.mmdb"))) as inside:
        assert Comer(inside, LONDONER).pops({"cf-ipcountry": "US"})["country"] == "GB"
        said = Comer(inside, BERLINER).pops()
        assert (said["country"], said["city"]) == ("DE", "Berlin")
        assert Comer(inside, "203.0.113.7").pops()["country"] == ""


async def test_behind_a_proxy_the_callers_address_is_looked_up(tmp_path: Path) -> None:
    proxied = settings(geoip_db=database(tmp_path / "d.mmdb"), trusted_proxies=(PROXY,))
    async with Inside(proxied) as inside, Caller(inside.port) as caller:
        caller.send(request(path="/v1/pops", method="GET", headers={"x-forwarded-for": BERLINER}))
        assert orjson.loads((await caller.answer()).body)["country"] == "DE"


async def test_a_connection_that_stays_learns_of_a_new_database(tmp_path: Path) -> None:
    clock = HandClock()
    path = tmp_path / "d.mmdb"
    async with MockServer() as upstream:
        of = replace(
            settings_for({"m": [backend("b", upstream.url)]}), geoip_db=database(path), trusted_proxies=(PROXY,)
        )
        async with Inside(of, clock, sweeps=False) as inside, Caller(inside.port) as caller:
            for german, seconds in (("DE", 0.0), ("AT", LOOK_EVERY_S), ("AT", 0.0)):
                database(tmp_path / "new.mmdb", german)
                (tmp_path / "new.mmdb").rename(path)
                clock.advance(seconds)
                inside.sweeper.sweep(clock.monotonic())
                caller.send(request(chat(), headers={"x-forwarded-for": BERLINER}))
                assert (await caller.answer()).status == 200
            assert [one.call.country for one in inside.settled] == ["DE", "AT", "AT"]


async def test_a_reload_may_bring_a_database_and_take_it_away(tmp_path: Path) -> None:
    with_one = settings(geoip_db=database(tmp_path / "d.mmdb"))
    async with Inside(settings()) as inside:
        comer = Comer(inside, LONDONER)
        heard = [comer.pops()["country"]]
        before = len(inside.sweeper)
        for of in (with_one, with_one, replace(with_one, geoip_db=database(tmp_path / "e.mmdb")), settings()):
            inside.door.use(replace(inside.runtime, settings=of))
            heard.append(comer.pops()["country"])
        assert heard == ["", "GB", "GB", "GB", ""]
        assert len(inside.sweeper) == before


# --- how far callers are ----------------------------------------------------------------------------------------------


async def test_connections_teach_how_far_their_country_is(tmp_path: Path) -> None:
    async with Inside(settings(geoip_db=database(tmp_path / "d.mmdb"))) as inside:
        for address in (BERLINER, LONDONER, BERLINER, "127.0.0.1"):
            async with Caller(inside.port) as caller:
                caller.send(POPS_ASKED)
                await caller.answer()
                for guest in inside.door.guests:
                    guest.address = address
            await inside.until_alone()
        german, british = inside.door.trips.of("DE"), inside.door.trips.of("GB")
        assert german is not None
        assert british is not None
        assert (german.samples, british.samples) == (2, 1)
        assert 0 < german.rtt_ms < 1000
        assert inside.door.trips.of("") is None


async def test_a_proxys_connection_and_one_that_asked_nothing_teach_nothing(tmp_path: Path) -> None:
    proxied = settings(geoip_db=database(tmp_path / "d.mmdb"), trusted_proxies=(TrustedProxy("93.184.0.0/16"),))
    async with Inside(proxied) as inside:
        for address, asks in ((BERLINER, True), (LONDONER, False)):
            async with Caller(inside.port) as caller:
                if asks:
                    caller.send(POPS_ASKED)
                    await caller.answer()
                await inside.until_so(lambda: inside.door.open == 1)
                for guest in inside.door.guests:
                    guest.address = address
            await inside.until_alone()
        assert [inside.door.trips.of(country) for country in ("DE", "GB")] == [None, None]


async def test_what_was_measured_ranks_the_pops(tmp_path: Path) -> None:
    known = database(tmp_path / "d.mmdb")
    async with Inside(settings()) as inside:
        inside.door.use(replace(inside.runtime, settings=settings(geoip_db=known, pop="fra")))
        assert named(Comer(inside, BERLINER).pops()) == ["fra", "iad"]
        for _ in range(200):
            inside.door.trips.note("DE", 250.0)
        assert named(Comer(inside, BERLINER).pops()) == ["iad", "fra"]


async def test_the_one_who_asks_is_measured_himself() -> None:
    async with Inside(settings()) as inside, Caller(inside.port) as caller:
        caller.send(POPS_ASKED)
        first = orjson.loads((await caller.answer()).body)["pops"][0]
        assert (first["name"], first["measured"], first["here"]) == ("iad", True, True)
        assert 0 < first["rtt_ms"] < 80


async def test_a_tls_connection_is_measured_below_its_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.server("localhost")
    tls = Tls(certificate=str(tmp_path / "1.pem"), key=str(tmp_path / "1.pem"))
    async with (
        Inside(settings(), context=tls_context(tls)) as inside,
        Caller(inside.port, context=authority.client) as caller,
    ):
        caller.send(POPS_ASKED)
        assert orjson.loads((await caller.answer()).body)["pops"][0]["measured"]


# --- which POP answers ------------------------------------------------------------------------------------------------


async def test_answers_of_our_own_say_which_pop_answers() -> None:
    async with Inside(settings()) as inside, Caller(inside.port) as caller:
        for path in ("/v1/pops", "/v1/models", "/v1/models/m", "/v1beta/models"):
            caller.send(request(path=path, method="GET"))
            assert (await caller.answer()).headers["x-gateway-pop"] == "iad"
        caller.send(request(path="/healthz", method="GET", key=""))
        assert "x-gateway-pop" not in (await caller.answer()).headers


async def test_a_gateway_without_a_name_says_none() -> None:
    async with Inside(settings_for({"m": [B]})) as inside, Caller(inside.port) as caller:
        caller.send(POPS_ASKED)
        answer = await caller.answer()
        assert "x-gateway-pop" not in answer.headers
        assert orjson.loads(answer.body) == {"pops": [], "country": ""}


async def test_the_ranking_needs_a_key() -> None:
    async with Inside(settings()) as inside, Caller(inside.port) as caller:
        caller.send(request(path="/v1/pops", method="GET", key=""))
        assert (await caller.answer()).status == 401
        caller.send(request(path="/v1/pops", method="POST"))
        refused = await caller.answer()
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_whoever_may_not_be_served_here_learns_where_he_may() -> None:
    european = replace(CALLER, require=Require(jurisdictions=frozenset({"DE"})))
    async with Inside(settings(callers=(european,))) as inside, Caller(inside.port) as caller:
        caller.send(POPS_ASKED)
        answer = await caller.answer()
        assert (answer.status, named(orjson.loads(answer.body))) == (200, ["fra"])
