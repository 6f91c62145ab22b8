"""Whom a configuration trusts, and with which headers."""

from ipaddress import ip_address, ip_network

import pytest
from msgspec.structs import replace

from gateway.settings.proxies import KNOWN, Proxy, idle, networks, trust
from gateway.settings.shape import Settings, TrustedProxy

EMPTY = Settings(models={}, backends={}, callers=(), state="memory")
CLOUDFRONT = next(known.proxy for known in KNOWN if known.name == "cloudfront")


def trusted(address: str, *rows: TrustedProxy, dev: bool = False) -> Proxy | None:
    return trust(replace(EMPTY, trusted_proxies=rows, dev=dev)).proxy(ip_address(address))


def test_nobody_is_trusted_unless_somebody_is_named() -> None:
    assert not trust(EMPTY)
    assert trusted("127.0.0.1") is None
    assert trusted("104.16.0.1") is None


def test_a_network_is_trusted_with_the_headers_of_its_row() -> None:
    row = TrustedProxy("10.0.3.0/24", "x-forwarded-for", "x-country")
    assert trusted("10.0.3.255", row) == Proxy(address=b"x-forwarded-for", country=b"x-country")
    assert trusted("10.0.4.0", row) is None
    assert trusted("::1", row) is None


def test_the_smallest_network_that_holds_an_address_decides() -> None:
    rows = [TrustedProxy("10.0.0.0/8", "x-a"), TrustedProxy("10.0.3.0/24", "x-b"), TrustedProxy("10.0.0.0/16", "x-c")]
    for address, header in (("10.0.3.9", b"x-b"), ("10.0.9.9", b"x-c"), ("10.9.9.9", b"x-a")):
        assert trusted(address, *rows) == Proxy(address=header)


def test_a_known_name_brings_its_published_networks_and_headers() -> None:
    found = trusted("173.245.48.1", TrustedProxy("cloudflare"))
    assert found is not None
    assert (found.address, found.country) == (b"cf-connecting-ip", b"cf-ipcountry")
    assert found == trusted("2606:4700::1", TrustedProxy("cloudflare"))
    assert trusted("151.101.1.1", TrustedProxy("cloudflare")) is None


def test_a_row_may_name_other_headers_than_its_name_does() -> None:
    found = trusted("130.211.0.1", TrustedProxy("google", "x-real-ip", "x-country"))
    assert found == Proxy(address=b"x-real-ip", country=b"x-country")


def test_what_goes_with_a_countrys_header_comes_with_it() -> None:
    found = trusted("10.0.3.1", TrustedProxy("10.0.3.0/24", "x-forwarded-for", "cloudfront-viewer-country"))
    assert found == CLOUDFRONT
    by_google = trusted("10.0.3.1", TrustedProxy("10.0.3.0/24", "x-real-ip", "x-client-geo-location"))
    assert by_google == Proxy(address=b"x-real-ip", country=b"x-client-geo-location", city_beside=True)


def test_a_name_without_published_networks_lends_its_headers_to_the_networks_beside_it() -> None:
    rows = (TrustedProxy("10.0.3.0/24"), TrustedProxy("cloudfront"), TrustedProxy("10.0.4.0/24", "x-forwarded-for"))
    assert trusted("10.0.3.1", *rows) == CLOUDFRONT
    assert trusted("10.0.4.1", *rows) == Proxy(address=b"x-forwarded-for")
    own = (TrustedProxy("acme", "x-acme-ip", "x-acme-country"), TrustedProxy("10.0.3.0/24"))
    assert trusted("10.0.3.1", *own) == Proxy(address=b"x-acme-ip", country=b"x-acme-country")
    assert trusted("10.0.3.1", TrustedProxy("10.0.3.0/24")) == Proxy()


def test_a_name_that_has_no_networks_has_no_effect_alone() -> None:
    assert idle([TrustedProxy("cloudflare"), TrustedProxy("cloudfront"), TrustedProxy("acme")]) == [1, 2]
    assert idle([TrustedProxy("cloudfront"), TrustedProxy("10.0.3.0/24", "x-forwarded-for")]) == [0]
    assert idle([TrustedProxy("cloudfront"), TrustedProxy("10.0.3.0/24")]) == []
    assert idle([TrustedProxy("fly"), TrustedProxy("unix")]) == []
    assert idle([]) == []


def test_the_unix_socket_is_trusted_where_it_is_named() -> None:
    settings = replace(EMPTY, trusted_proxies=(TrustedProxy("unix", "x-forwarded-for"),))
    assert trust(settings)
    assert trust(settings).unix == Proxy(address=b"x-forwarded-for")
    assert trust(EMPTY).unix is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_under_dev_this_machine_may_say_its_country(address: str) -> None:
    assert trusted(address, dev=True) == Proxy(country=b"cf-ipcountry")
    assert trusted("10.0.3.1", dev=True) is None
    own = TrustedProxy("127.0.0.0/8", "x-forwarded-for")
    assert trusted("127.0.0.1", own, dev=True) == Proxy(address=b"x-forwarded-for")


def test_published_networks_are_written_as_networks_are() -> None:
    for known in KNOWN:
        assert [str(ip_network(network)) for network in known.networks] == list(known.networks)
        assert networks(TrustedProxy(known.name)) == tuple(map(ip_network, known.networks))
