"""Where a caller is: from the headers of proxies that are trusted, else from his address, else unknown.

Law: what somebody wrote who isn't trusted changes nothing. Addresses in a header are taken from its right end, each
only because a trusted proxy wrote it, and the walk ends at the first who isn't one: he is the caller. Of headers that
name a place only those count of the proxy he spoke with; another proxy's would be about that one.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, Protocol
from urllib.parse import unquote

from msgspec import Struct

from gateway.exchange import NOWHERE, Origin
from gateway.settings.countries import countries
from gateway.settings.proxies import Address, Proxy, Trust

MOST_HOPS: Final = 16  # proxies in a row; of whoever has more nothing is known
SEEN_MOST: Final = 8192  # addresses whose place is kept
TEXT_MOST: Final = 64

_FORWARDED: Final = b"forwarded"
# "Contains the IP address of the viewer and the source port", IPv6 without brackets (docs.aws.amazon.com,
# "Add CloudFront request headers").
_WITH_PORT: Final = b"cloudfront-viewer-address"
# RFC 7239, section 4: elements between commas, pairs between semicolons, values that may be quoted and then hold both.
_ELEMENTS: Final = re.compile(rb'(?:[^",\\]|"(?:[^"\\]|\\.)*")+')
_LIST: Final = re.compile(rb'(?:[^"\\]|"(?:[^"\\]|\\.)*")*\Z')
_PAIRS: Final = re.compile(rb'(?:[^";\\]|"(?:[^"\\]|\\.)*")+')

Headers = Mapping[bytes, bytes]


class Places(Protocol):
    """What knows addresses' places."""

    def find(self, address: str) -> Origin:
        """The place of a public address, with the address in it."""


class Hop(Struct, frozen=True):
    """Somebody on the way: the proxy that is trusted at his address, if one is, and where he is himself."""

    proxy: Proxy | None
    origin: Origin


class Origins:
    """Where callers are, under one configuration. Addresses that were seen are remembered."""

    def __init__(self, trust: Trust, places: Places | None) -> None:
        self._trust = trust
        self._places = places
        self._seen: dict[str, Hop] = {}

    def of(self, peer: str, headers: Headers) -> Origin:
        """The origin of a request that came from this peer ("" on the Unix socket)."""
        hop = self._seen.get(peer) or self._meet(peer)
        return hop.origin if hop.proxy is None else self._behind(hop, hop.proxy, headers)

    def direct(self, peer: str) -> Origin | None:
        """Where a peer is who is a caller himself; None for a proxy."""
        hop = self._seen.get(peer) or self._meet(peer)
        return hop.origin if hop.proxy is None else None

    def forget(self) -> None:
        """Look everyone up anew."""
        self._seen.clear()

    def _behind(self, hop: Hop, proxy: Proxy, headers: Headers) -> Origin:
        left: dict[bytes, list[str]] = {}
        for _ in range(MOST_HOPS):
            named = _came_to(proxy, headers, left)
            before = (self._seen.get(named) or self._look(named)) if named else None
            if before is None:
                # Nobody says who came to this proxy, so there is no address to look up but its own.
                return _told(proxy, headers, Origin(address=hop.origin.address))
            if before.proxy is None:
                return _told(proxy, headers, before.origin)
            hop, proxy = before, before.proxy
        return Origin(address=hop.origin.address)

    def _meet(self, peer: str) -> Hop:
        if peer:
            return self._look(peer) or Hop(None, Origin(address=peer))
        hop = self._seen[peer] = Hop(self._trust.unix, NOWHERE)
        return hop

    def _look(self, text: str) -> Hop | None:
        """Who is at an address; None where the text isn't one."""
        try:
            address: Address = ip_address(text.partition("%")[0])
        except ValueError:
            return None
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        origin = Origin(address=str(address))
        proxy = self._trust.proxy(address)
        if proxy is None and self._places is not None and address.is_global:
            origin = self._places.find(origin.address)
        if len(self._seen) >= SEEN_MOST:
            self._seen.clear()
        hop = self._seen[text] = Hop(proxy, origin)
        return hop


def _came_to(proxy: Proxy, headers: Headers, left: dict[bytes, list[str]]) -> str:
    """The address this proxy wrote down, taken out of what is left of its header; "" where there is none."""
    name = proxy.address
    names = left.get(name)
    if names is None:
        names = left[name] = _listed(name, headers.get(name, b""))
    if proxy.own:
        del names[-proxy.own :]
    return names.pop() if names else ""


def _listed(name: bytes, value: bytes) -> list[str]:
    """The addresses in a header, as far from its right end as anybody may need them. "" for what isn't an address."""
    if not value:
        return []
    if name == _WITH_PORT:
        return [value.rpartition(b":")[0].decode("latin-1").strip("[]")]
    if name == _FORWARDED:
        return [_bare(_for(element)) for element in _elements(value)[-MOST_HOPS:]]
    return [_bare(part.strip().decode("latin-1")) for part in value.rsplit(b",", MOST_HOPS + 1)]


def _elements(value: bytes) -> list[bytes]:
    """The elements of a Forwarded header; none where its quotes don't match, since any end could then be a lie."""
    return _ELEMENTS.findall(value) if _LIST.match(value) else []


def _for(element: bytes) -> str:
    """Whom an element is about, where it says so once."""
    pairs = [pair.strip().partition(b"=") for pair in _PAIRS.findall(element)]
    found = [text.decode("latin-1").strip('"') for name, _, text in pairs if name.lower() == b"for"]
    return found[0] if len(found) == 1 else ""


def _bare(text: str) -> str:
    """An address without brackets and port: `[v6]:port`, `v4:port` (RFC 7239, section 6; what Azure writes)."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _told(proxy: Proxy, headers: Headers, seen: Origin) -> Origin:
    """Where a proxy says the one is who came to it; where it says nothing, where his address is."""
    said = headers.get(proxy.country, b"") if proxy.country else b""
    if not said:
        return seen
    town = headers.get(proxy.city, b"")
    if proxy.city_beside and said.count(b",") == 1:
        said, _, town = said.partition(b",")
        if code(town):  # no town, but what the load balancer wrote behind what it was sent
            return Origin(address=seen.address)
    country = code(said)
    if not country:
        return Origin(address=seen.address)
    region, city = _text(headers.get(proxy.region, b"")), _text(town)
    location = _location(headers.get(proxy.latitude, b""), headers.get(proxy.longitude, b""))
    if location is None and seen.country == country:
        region, city, location = region or seen.region, city or seen.city, seen.location
    return Origin(seen.address, country, region, city, location)


def code(said: bytes) -> str:
    """A country's ISO code as others write it; "" for what names none, such as XX, T1, A1, ZZ, EU or two of them."""
    word = said.strip().decode("latin-1").upper()
    return word if word in countries() else ""


def _text(said: bytes) -> str:
    """A name; CDNs escape what isn't ASCII."""
    if not said:
        return ""
    name = unquote(said.decode("latin-1"), errors="replace").strip()
    return name if len(name) <= TEXT_MOST and name.isprintable() else ""


def _location(latitude: bytes, longitude: bytes) -> tuple[float, float] | None:
    if not latitude or not longitude:
        return None
    try:
        return placed(float(latitude), float(longitude))
    except ValueError:
        return None


def placed(latitude: float, longitude: float) -> tuple[float, float] | None:
    """A place on Earth; None for degrees there aren't, which is how some say that they don't know."""
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None
