"""Where a caller is: whom the walk believes, and whom it never does."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.exchange import NOWHERE, Origin
from gateway.server.origin import MOST_HOPS, SEEN_MOST, Origins, code
from gateway.settings.proxies import trust
from gateway.settings.shape import Settings, TrustedProxy

EMPTY = Settings(models={}, backends={}, callers=(), state="memory")
NGINX = TrustedProxy("10.0.3.0/24", "x-forwarded-for", "x-country")
CLOUDFLARE = TrustedProxy("cloudflare")
EDGE = "104.16.0.7"  # one of Cloudflare's
CALLER = "81.2.69.160"
BERLIN = (52.5, 13.4)


class Atlas:
    """Knows the country of every public address, by its first number; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find(self, address: str) -> Origin:
        self.asked.append(address)
        country = {"81": "GB", "93": "DE"}.get(address.partition(".")[0], "")
        return Origin(address, country, "BE" if country else "", "Berlin" if country else "", BERLIN)


def origins(*rows: TrustedProxy, atlas: Atlas | None = None, dev: bool = False) -> Origins:
    return Origins(trust(replace(EMPTY, trusted_proxies=rows, dev=dev)), atlas)


def found(peer: str, headers: Mapping[str, str], *rows: TrustedProxy, atlas: Atlas | None = None) -> tuple[str, str]:
    origin = origins(*rows, atlas=atlas).of(peer, encoded(headers))
    return origin.address, origin.country


def encoded(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}


# --- who calls --------------------------------------------------------------------------------------------------------


def test_a_peer_who_is_no_proxy_is_the_caller() -> None:
    assert found(CALLER, {"x-forwarded-for": "93.0.0.1", "x-country": "DE"}, NGINX) == (CALLER, "")


def test_a_proxys_header_names_the_caller() -> None:
    assert found("10.0.3.7", {"x-forwarded-for": CALLER}, NGINX) == (CALLER, "")


def test_what_stands_left_of_a_caller_is_his_own_word() -> None:
    assert found("10.0.3.7", {"x-forwarded-for": f"93.0.0.1, {CALLER}"}, NGINX) == (CALLER, "")


def test_the_walk_goes_on_through_every_proxy_that_is_trusted() -> None:
    chain = {"x-forwarded-for": f"93.0.0.1, {CALLER}, 10.0.3.1,10.0.3.2"}
    assert found("10.0.3.7", chain, NGINX) == (CALLER, "")


def test_where_everybody_is_trusted_the_first_of_them_is_the_caller() -> None:
    assert found("10.0.3.7", {"x-forwarded-for": "10.0.3.9, 10.0.3.1"}, NGINX) == ("10.0.3.9", "")


@pytest.mark.parametrize("value", ["", "unknown", "1.2.3", f"{CALLER}, ", "10.0.3.300", "x" * 4000])
def test_a_proxy_that_names_nobody_is_all_that_is_known(value: str) -> None:
    assert found("10.0.3.7", {"x-forwarded-for": value}, NGINX) == ("10.0.3.7", "")
    assert found("10.0.3.7", {}, NGINX) == ("10.0.3.7", "")


def test_too_many_proxies_are_nobodys() -> None:
    long = ", ".join([CALLER, *["10.0.3.1"] * MOST_HOPS])
    assert found("10.0.3.7", {"x-forwarded-for": long}, NGINX, atlas=Atlas()) == ("10.0.3.1", "")
    enough = ", ".join([CALLER, *["10.0.3.1"] * (MOST_HOPS - 1)])
    assert found("10.0.3.7", {"x-forwarded-for": enough}, NGINX, atlas=Atlas()) == (CALLER, "GB")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("81.2.69.160:4711", CALLER),
        ("[2001:4860::1]:443", "2001:4860::1"),
        ("[2001:4860::1]", "2001:4860::1"),
        ("2001:4860:0:0:0:0:0:1", "2001:4860::1"),
        ("::ffff:81.2.69.160", CALLER),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_addresses_are_read_as_proxies_write_them(text: str, address: str) -> None:
    assert found("10.0.3.7", {"x-forwarded-for": text}, NGINX) == (address, "")


def test_a_mapped_peer_is_the_proxy_it_maps() -> None:
    assert found("::ffff:10.0.3.7", {"x-forwarded-for": CALLER}, NGINX) == (CALLER, "")


def test_a_peer_without_an_address_that_can_be_read_stays_as_it_is() -> None:
    assert found("pipe", {}, NGINX, atlas=Atlas()) == ("pipe", "")


def test_the_unix_socket_is_a_proxy_where_it_is_trusted() -> None:
    row = TrustedProxy("unix", "x-forwarded-for", "x-country")
    headers = {"x-forwarded-for": CALLER, "x-country": "DE"}
    assert found("", headers, row) == (CALLER, "DE")
    assert found("", headers, NGINX) == ("", "")
    assert found("", {}, row) == ("", "")


# --- Forwarded --------------------------------------------------------------------------------------------------------

FORWARDED = TrustedProxy("10.0.3.0/24", "forwarded")


@pytest.mark.parametrize(
    "value",
    [
        f"for={CALLER}",
        f"FOR={CALLER};proto=https;by=10.0.3.7",
        f'by=10.0.3.7;For="{CALLER}:4711"',
        f'for=93.0.0.1;host="a,b";proto=http, for={CALLER};host="x\\", for=93.0.0.1;y=\\""',
        f"for=93.0.0.1,for={CALLER},for=10.0.3.2",
    ],
)
def test_forwarded_is_read_from_its_end_with_its_quotes(value: str) -> None:
    assert found("10.0.3.7", {"forwarded": value}, FORWARDED) == (CALLER, "")


def test_forwarded_may_hold_an_ipv6_address_in_brackets() -> None:
    assert found("10.0.3.7", {"forwarded": 'for="[2001:4860::1]:4711"'}, FORWARDED) == ("2001:4860::1", "")


@pytest.mark.parametrize(
    "value",
    [
        "for=unknown",
        "for=_hidden",
        "proto=https",
        f'for={CALLER};host="',
        f"for={CALLER}\\",
        f"for={CALLER};for=93.0.0.1",
    ],
)
def test_forwarded_that_names_nobody_for_certain_names_nobody(value: str) -> None:
    assert found("10.0.3.7", {"forwarded": value}, FORWARDED) == ("10.0.3.7", "")


# --- the country ------------------------------------------------------------------------------------------------------


def test_a_proxy_says_its_callers_country() -> None:
    headers = {"cf-connecting-ip": CALLER, "cf-ipcountry": "DE"}
    assert found(EDGE, headers, CLOUDFLARE) == (CALLER, "DE")
    assert found(CALLER, headers, CLOUDFLARE) == (CALLER, "")


def test_a_proxys_word_counts_more_than_the_database() -> None:
    atlas = Atlas()
    assert found(EDGE, {"cf-connecting-ip": CALLER, "cf-ipcountry": "DE"}, CLOUDFLARE, atlas=atlas) == (CALLER, "DE")
    assert found(EDGE, {"cf-connecting-ip": CALLER}, CLOUDFLARE, atlas=atlas) == (CALLER, "GB")


@pytest.mark.parametrize("said", ["XX", "T1", "A1", "A2", "ZZ", "EU", "UK", "D", "DEU", "**", "DE, US", "d\xfc"])
def test_codes_of_no_country_mean_that_it_is_unknown(said: str) -> None:
    headers = {"cf-connecting-ip": CALLER, "cf-ipcountry": said}
    assert found(EDGE, headers, CLOUDFLARE, atlas=Atlas()) == (CALLER, "")


def test_a_country_is_read_in_either_case() -> None:
    assert code(b" de ") == "DE"


def test_the_country_of_whoever_spoke_with_the_caller_counts_and_no_other() -> None:
    """Behind Cloudflare stands nginx, which has a country of its own to say: that of Cloudflare's edge."""
    headers = {
        "x-forwarded-for": f"{CALLER}, {EDGE}",
        "cf-connecting-ip": CALLER,
        "cf-ipcountry": "FR",
        "x-country": "US",
    }
    assert found("10.0.3.7", headers, NGINX, CLOUDFLARE) == (CALLER, "FR")


def test_whoever_goes_around_the_cdn_can_not_speak_for_it() -> None:
    headers = {"x-forwarded-for": CALLER, "cf-connecting-ip": "93.0.0.1", "cf-ipcountry": "FR"}
    assert found("10.0.3.7", headers, TrustedProxy("10.0.3.0/24", "x-forwarded-for"), CLOUDFLARE) == (CALLER, "")


def test_a_proxy_that_names_no_caller_may_still_say_his_country() -> None:
    assert found("10.0.3.7", {"x-country": "DE"}, NGINX, atlas=Atlas()) == ("10.0.3.7", "DE")


def test_under_dev_a_caller_on_this_machine_says_his_country() -> None:
    assert origins(dev=True).of("127.0.0.1", {b"cf-ipcountry": b"SG"}).country == "SG"
    assert origins(dev=False).of("127.0.0.1", {b"cf-ipcountry": b"SG"}).country == ""


def test_google_writes_its_own_address_behind_the_callers_and_the_city_behind_the_country() -> None:
    headers = {"x-forwarded-for": f"93.0.0.1, {CALLER}, 34.1.2.3", "x-client-geo-location": "US,Mountain View"}
    origin = origins(TrustedProxy("google")).of("130.211.0.9", encoded(headers))
    assert origin == Origin(CALLER, "US", city="Mountain View")
    alone = encoded({**headers, "x-client-geo-location": "US"})
    assert origins(TrustedProxy("google")).of("130.211.0.9", alone) == Origin(CALLER, "US")
    for sent_along in ("DE, US,Mountain View", "DE,Berlin, US", "DE, US"):
        twice = encoded({**headers, "x-client-geo-location": sent_along})
        assert origins(TrustedProxy("google")).of("130.211.0.9", twice) == Origin(CALLER)


def test_fly_names_the_caller_in_a_header_of_its_own() -> None:
    rows = (TrustedProxy("fly"), TrustedProxy("172.16.0.0/12"))
    headers = {"fly-client-ip": CALLER, "fly-region": "ams", "x-forwarded-for": f"{CALLER}, 66.241.1.1"}
    assert found("172.19.0.1", headers, *rows) == (CALLER, "")


@pytest.mark.parametrize("text", ["81.2.69.160:46532", "2001:4860::1:46532", "[2001:4860::1]:46532"])
def test_cloudfronts_viewer_address_ends_with_a_port(text: str) -> None:
    row = TrustedProxy("10.0.3.0/24", "cloudfront-viewer-address", "cloudfront-viewer-country")
    address, country = found("10.0.3.7", {"cloudfront-viewer-address": text, "cloudfront-viewer-country": "DE"}, row)
    assert (address, country) == (CALLER if "." in text else "2001:4860::1", "DE")


# --- the rest of the place --------------------------------------------------------------------------------------------


def test_a_proxy_may_say_the_whole_place() -> None:
    headers = {
        "x-vercel-forwarded-for": CALLER,
        "x-vercel-ip-country": "BR",
        "x-vercel-ip-country-region": "SP",
        "x-vercel-ip-city": "S%C3%A3o%20Paulo",
        "x-vercel-ip-latitude": "-23.5",
        "x-vercel-ip-longitude": "-46.6",
    }
    rows = (TrustedProxy("vercel"), TrustedProxy("76.76.21.0/24"))
    assert origins(*rows, atlas=Atlas()).of("76.76.21.9", encoded(headers)) == Origin(
        CALLER, "BR", "SP", "São Paulo", (-23.5, -46.6)
    )


@pytest.mark.parametrize(("latitude", "longitude"), [("999.0", "999.0"), ("52.5", ""), ("nan", "1"), ("north", "1")])
def test_a_place_that_is_none_is_left_out(latitude: str, longitude: str) -> None:
    headers = {"cf-connecting-ip": CALLER, "cf-ipcountry": "DE", "cf-iplatitude": latitude, "cf-iplongitude": longitude}
    assert origins(CLOUDFLARE).of(EDGE, encoded(headers)) == Origin(CALLER, "DE")


@pytest.mark.parametrize("city", ["x" * 65, "a%0Ab"])
def test_a_name_that_is_none_is_left_out(city: str) -> None:
    headers = {"cf-connecting-ip": CALLER, "cf-ipcountry": "DE", "cf-ipcity": city}
    assert origins(CLOUDFLARE).of(EDGE, encoded(headers)).city == ""


def test_the_database_completes_a_proxys_word_where_the_two_agree() -> None:
    agree = origins(CLOUDFLARE, atlas=Atlas()).of(EDGE, {b"cf-connecting-ip": b"93.0.0.1", b"cf-ipcountry": b"DE"})
    assert agree == Origin("93.0.0.1", "DE", "BE", "Berlin", BERLIN)
    differ = origins(CLOUDFLARE, atlas=Atlas()).of(EDGE, {b"cf-connecting-ip": b"93.0.0.1", b"cf-ipcountry": b"FR"})
    assert differ == Origin("93.0.0.1", "FR")


# --- the database -----------------------------------------------------------------------------------------------------


def test_an_address_is_looked_up_once() -> None:
    atlas = Atlas()
    known = origins(atlas=atlas)
    assert [known.of(CALLER, {}).country for _ in range(3)] == ["GB"] * 3
    assert atlas.asked == [CALLER]
    known.forget()
    known.of(CALLER, {})
    assert atlas.asked == [CALLER] * 2


def test_a_proxys_own_address_is_never_looked_up() -> None:
    atlas = Atlas()
    assert origins(CLOUDFLARE, atlas=atlas).of(EDGE, {}) == Origin(EDGE)
    assert atlas.asked == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd00::1", "100.64.0.1", "169.254.1.1"]
)
def test_addresses_that_are_not_public_are_nowhere(address: str) -> None:
    atlas = Atlas()
    assert origins(atlas=atlas).of(address, {}) == Origin(address)
    assert atlas.asked == []


def test_what_is_remembered_is_bounded() -> None:
    known = origins(atlas=Atlas())
    for number in range(SEEN_MOST + 10):
        known.of(str(ip_address(0x01000000 + number)), {})
    assert len(known._seen) == 10


def test_who_speaks_for_others_is_not_direct() -> None:
    known = origins(NGINX, atlas=Atlas())
    assert known.direct("10.0.3.7") is None
    assert known.direct(CALLER) == known.of(CALLER, {})
    assert known.direct("") == NOWHERE


# --- laws -------------------------------------------------------------------------------------------------------------

HEADERS = (
    "x-forwarded-for",
    "forwarded",
    "x-country",
    "x-real-ip",
    "cf-connecting-ip",
    "cf-ipcountry",
    "cf-iplatitude",
    "cf-iplongitude",
    "fly-client-ip",
    "cloudfront-viewer-country",
)
TRUSTED = (NGINX, CLOUDFLARE, TrustedProxy("2001:db8:7::/48", "forwarded", "x-country"))
ADDRESSES = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(network="10.0.3.0/24").map(str),
    st.ip_addresses(network="104.16.0.0/13").map(str),
    st.sampled_from([CALLER, "93.0.0.1", "10.0.3.7"]),
)
VALUES = st.one_of(
    st.lists(ADDRESSES, max_size=5).map(", ".join),
    st.lists(ADDRESSES.map(lambda text: f'for="{text}"'), max_size=4).map(",".join),
    st.sampled_from(["DE", "US", "XX", "52.5", "13.4"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
)


def is_trusted(text: str) -> bool:
    address = ip_address(text)
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return trust(replace(EMPTY, trusted_proxies=TRUSTED)).proxy(address) is not None


@given(ADDRESSES.filter(lambda text: not is_trusted(text)), st.dictionaries(st.sampled_from(HEADERS), VALUES))
def test_nothing_that_an_untrusted_peer_writes_changes_where_he_is(peer: str, headers: dict[str, str]) -> None:
    assert origins(*TRUSTED, atlas=Atlas()).of(peer, encoded(headers)) == origins(*TRUSTED, atlas=Atlas()).of(peer, {})


@given(st.lists(ADDRESSES, min_size=1, max_size=6), st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_the_walk_never_takes_an_address_to_the_left_of_an_untrusted_one(chain: list[str], said: str) -> None:
    """The caller is the last who isn't trusted, whatever he and those before him wrote."""
    last = next((at for at in reversed(range(len(chain))) if not in_network(chain[at])), None)
    written = ", ".join(chain)
    known = origins(NGINX, atlas=Atlas())
    origin = known.of("10.0.3.7", {b"x-forwarded-for": written.encode()})
    if last is None:
        assert origin.address == chain[0]
        return
    assert origin.address == str(mapped(chain[last]))
    forged = f"{said}, {', '.join(chain[last:])}".encode("latin-1")
    assert known.of("10.0.3.7", {b"x-forwarded-for": forged}) == origin


@given(st.dictionaries(st.sampled_from(HEADERS), VALUES), ADDRESSES.filter(lambda text: not is_trusted(text)))
def test_only_the_header_of_the_proxy_that_spoke_with_the_caller_says_his_country(
    headers: dict[str, str], caller: str
) -> None:
    named = {**headers, "x-forwarded-for": caller}
    origin = origins(*TRUSTED, atlas=Atlas()).of("10.0.3.7", encoded(named))
    kept = {name: value for name, value in named.items() if name in {"x-forwarded-for", "x-country"}}
    assert origin == origins(*TRUSTED, atlas=Atlas()).of("10.0.3.7", encoded(kept))


def mapped(text: str) -> object:
    address = ip_address(text)
    return address.ipv4_mapped or address if address.version == 6 else address


def in_network(text: str) -> bool:
    return mapped(text) in ip_network("10.0.3.0/24")
