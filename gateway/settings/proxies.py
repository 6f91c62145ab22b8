"""Who may stand between a caller and this gateway, and in which headers they say who came to them.

A name stands for somebody's documented headers, and for his networks where he publishes them and they seldom change.
Those of others differ by deployment: a network beside the name, without headers of its own, is where they call from.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.settings.shape import Settings, TrustedProxy

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class Proxy(Struct, frozen=True):
    """What a trusted proxy's headers are called, lower case; b"" where it has none for that.

    `address` holds who came to it. A list there is read from its end, where the proxy wrote: first `own` addresses of
    its own, then that one. With `city_beside`, `country` holds `country,city`.
    """

    address: bytes = b""
    country: bytes = b""
    region: bytes = b""
    city: bytes = b""
    latitude: bytes = b""
    longitude: bytes = b""
    own: int = 0
    city_beside: bool = False


class Known(Struct, frozen=True):
    """A name that `trusted_proxies` may hold, with the networks its owner publishes."""

    name: str
    proxy: Proxy
    networks: tuple[str, ...] = ()


KNOWN: Final = (
    # developers.cloudflare.com/fundamentals/reference/http-headers; the place beyond the country comes with the managed
    # transform "Add visitor location headers". Networks: www.cloudflare.com/ips.
    Known(
        "cloudflare",
        Proxy(
            address=b"cf-connecting-ip",
            country=b"cf-ipcountry",
            region=b"cf-region-code",
            city=b"cf-ipcity",
            latitude=b"cf-iplatitude",
            longitude=b"cf-iplongitude",
        ),
        (
            "103.21.244.0/22",
            "103.22.200.0/22",
            "103.31.4.0/22",
            "104.16.0.0/13",
            "104.24.0.0/14",
            "108.162.192.0/18",
            "131.0.72.0/22",
            "141.101.64.0/18",
            "162.158.0.0/15",
            "172.64.0.0/13",
            "173.245.48.0/20",
            "188.114.96.0/20",
            "190.93.240.0/20",
            "197.234.240.0/22",
            "198.41.128.0/17",
            "2400:cb00::/32",
            "2405:8100::/32",
            "2405:b500::/32",
            "2606:4700::/32",
            "2803:f800::/32",
            "2a06:98c0::/29",
            "2c0f:f248::/32",
        ),
    ),
    # docs.aws.amazon.com/AmazonCloudFront, "Add CloudFront request headers": they come where the origin request policy
    # names them. Its networks are some hundred and change (ip-ranges.json).
    Known(
        "cloudfront",
        Proxy(
            address=b"x-forwarded-for",
            country=b"cloudfront-viewer-country",
            region=b"cloudfront-viewer-country-region",
            city=b"cloudfront-viewer-city",
            latitude=b"cloudfront-viewer-latitude",
            longitude=b"cloudfront-viewer-longitude",
        ),
    ),
    # Fastly sends no place of itself: these are the names of its own example, "Tag requests with geolocation data".
    # Fastly-Client-IP is the caller's to set (fastly.com/documentation/reference/http/http-headers), so the list is
    # read. Networks: api.fastly.com/public-ip-list.
    Known(
        "fastly",
        Proxy(
            address=b"x-forwarded-for",
            country=b"client-geo-country",
            latitude=b"client-geo-latitude",
            longitude=b"client-geo-longitude",
        ),
        (
            "23.235.32.0/20",
            "43.249.72.0/22",
            "103.244.50.0/24",
            "103.245.222.0/23",
            "103.245.224.0/24",
            "104.156.80.0/20",
            "140.248.64.0/18",
            "140.248.128.0/17",
            "146.75.0.0/17",
            "151.101.0.0/16",
            "157.52.64.0/18",
            "167.82.0.0/17",
            "167.82.128.0/20",
            "167.82.160.0/20",
            "167.82.224.0/20",
            "172.111.64.0/18",
            "185.31.16.0/22",
            "199.27.72.0/21",
            "199.232.0.0/16",
            "2a04:4e40::/32",
            "2a04:4e42::/32",
        ),
    ),
    # vercel.com/docs/headers/request-headers.
    Known(
        "vercel",
        Proxy(
            address=b"x-vercel-forwarded-for",
            country=b"x-vercel-ip-country",
            region=b"x-vercel-ip-country-region",
            city=b"x-vercel-ip-city",
            latitude=b"x-vercel-ip-latitude",
            longitude=b"x-vercel-ip-longitude",
        ),
    ),
    # fly.io/docs/networking/request-headers. It says no country: Fly-Region is where Fly took the request over, and the
    # last address of its X-Forwarded-For is the application's own.
    Known("fly", Proxy(address=b"fly-client-ip")),
    # cloud.google.com/load-balancing/docs/https: X-Forwarded-For ends with the caller's address and the load balancer's
    # own. The place is a header one adds oneself, here as in "Create custom headers": {client_region},{client_city}.
    # Networks: cloud.google.com/load-balancing/docs/firewall-rules.
    Known(
        "google",
        Proxy(address=b"x-forwarded-for", country=b"x-client-geo-location", own=1, city_beside=True),
        ("35.191.0.0/16", "130.211.0.0/22", "2600:2d00:1:1::/64", "2600:2d00:1:b029::/64"),
    ),
)
# Whoever connects to our Unix socket.
UNIX: Final = "unix"

_BY_NAME: Final = {known.name: known for known in KNOWN}
_BY_COUNTRY: Final = {known.proxy.country: known.proxy for known in KNOWN if known.proxy.country}
_NOTHING_SAID: Final = Proxy()


class Trust:
    """The proxies whose word is taken: of several networks that hold an address, the smallest decides."""

    def __init__(self, rows: Iterable[tuple[Network, Proxy]] = (), unix: Proxy | None = None) -> None:
        self._rows = sorted(rows, key=lambda row: -row[0].prefixlen)
        self.unix = unix

    def __bool__(self) -> bool:
        return bool(self._rows) or self.unix is not None

    def proxy(self, address: Address) -> Proxy | None:
        """Who is trusted at this address, None where nobody is."""
        return next((proxy for network, proxy in self._rows if address in network), None)


def trust(settings: Settings) -> Trust:
    """Whom these settings trust. Under `--dev`, when only this machine can connect, a caller may say his country."""
    lent = next((_headers(row) for row in settings.trusted_proxies if _lends(row)), _NOTHING_SAID)
    rows: list[tuple[Network, Proxy]] = []
    for row in settings.trusted_proxies:
        rows += ((network, _headers(row, lent)) for network in networks(row))
    if settings.dev:
        country = _BY_NAME["cloudflare"].proxy.country
        rows += ((network, Proxy(country=country)) for network in LOOPBACK)
    unix = next((_headers(row, lent) for row in settings.trusted_proxies if row.source == UNIX), None)
    return Trust(rows, unix)


def networks(row: TrustedProxy) -> tuple[Network, ...]:
    """Where a row's proxies call from, as far as it says so."""
    known = _BY_NAME.get(row.source)
    if known is not None:
        return tuple(map(ip_network, known.networks))
    return (ip_network(row.source, strict=False),) if "/" in row.source else ()


def idle(rows: Iterable[TrustedProxy]) -> list[int]:
    """Which rows have no effect: names without published networks, where no network stands beside them."""
    rows = tuple(rows)
    if any(_bare(row) for row in rows):
        return []
    return [at for at, row in enumerate(rows) if _lends(row)]


def _headers(row: TrustedProxy, lent: Proxy = _NOTHING_SAID) -> Proxy:
    """A row's headers: its name's, with those it says itself; of a row that says nothing those that are lent."""
    if _bare(row):
        return lent
    known = _BY_NAME.get(row.source)
    proxy = known.proxy if known is not None else _NOTHING_SAID
    address, country = row.address.encode(), row.country.encode()
    if address and address != proxy.address:
        proxy = replace(proxy, address=address, own=0)
    if country and country != proxy.country:
        # Whoever sends this header sends the ones that go with it.
        proxy = replace(_BY_COUNTRY.get(country, Proxy(country=country)), address=proxy.address, own=proxy.own)
    return proxy


def _bare(row: TrustedProxy) -> bool:
    """Whether a row says where proxies call from, and not what their headers are called."""
    return ("/" in row.source or row.source == UNIX) and not (row.address or row.country)


def _lends(row: TrustedProxy) -> bool:
    """Whether a row says what headers are called, and not where they come from."""
    return row.source != UNIX and not networks(row)
