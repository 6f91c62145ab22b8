"""Where a backend may be: the rules for a base URL, checked once here and again on the address when it is dialled.

A URL is taken apart once and written anew, so that nobody after us can read it differently.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from gateway.settings.scalars import Unclear

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

PORTS = {"http": 80, "https": 443}
LONGEST = 2048
# Names that only a private network resolves (RFC 6762, RFC 8375, RFC 9476's neighbours, Kubernetes).
PRIVATE_SUFFIXES = (".local", ".internal", ".lan", ".home.arpa", ".svc", ".intranet", ".test")
# What a private network may be: RFC 1918, RFC 6598, RFC 4193.
PRIVATE = tuple(ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
# IPv6 that wraps an IPv4 address, so that a private one looks public.
_WRAPPED = tuple(
    ip_network(n) for n in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH = re.compile(r"(/[A-Za-z0-9._~!@:+,=-]+)*/?")


def private_network(text: str) -> str:
    """A network as written, such as `10.1.0.0/16`. Unclear where it is none, or holds public addresses."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise Unclear("isn't a network", "write address/length without host bits, such as 10.1.0.0/16") from error
    if not any(network.version == known.version and network.subnet_of(known) for known in PRIVATE):  # type: ignore[arg-type]  # the versions were compared
        raise Unclear(f"{text} isn't inside a private range", "name a part of 10/8, 172.16/12, 192.168/16 or fc00::/7")
    return str(network)


def base_url(text: str, private_networks: tuple[str, ...]) -> str:
    """The URL in its one canonical form, without a slash at its end. Unclear where a rule is broken."""
    _printable(text)
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").lower()
    except ValueError as error:
        raise Unclear("isn't a URL", "write https://host:port/path") from error
    scheme = parts.scheme
    if scheme not in PORTS or not parts.netloc:
        raise Unclear("isn't an http or https URL", "write https://host:port/path")
    if "@" in parts.netloc:
        raise Unclear("holds a user or password", "put the key into api_key: ${NAME}")
    if "#" in text or "?" in text:
        raise Unclear("has a query or a fragment", "end it with its path")
    if not _PATH.fullmatch(parts.path) or "/./" in f"{parts.path}/" or "/../" in f"{parts.path}/":
        raise Unclear("has a path that can be read in two ways", "write plain segments, such as /v1")
    if port is None:
        port = PORTS[scheme]
    elif port not in PORTS.values() and port < 1024:
        raise Unclear(f"port {port} isn't one a model server has", "use 80, 443, or a port from 1024 up")
    networks = tuple(ip_network(network) for network in private_networks)
    is_private, canonical = _host(host, networks)
    if scheme == "http" and not is_private:
        raise Unclear("http to a public host", "write https, or list its network in private_networks")
    place = canonical if port == PORTS[scheme] else f"{canonical}:{port}"
    return f"{scheme}://{place}{parts.path.rstrip('/')}"


def is_near(url: str) -> bool:
    """Whether a canonical URL names a private or loopback place: a server of one's own, not somebody's service."""
    host = (urlsplit(url).hostname or "").lower()
    address = _address(host)
    if address is not None:
        return not address.is_global
    return _is_private_name(host)


def _printable(text: str) -> None:
    if len(text) > LONGEST:
        raise Unclear(f"is longer than {LONGEST} characters", "shorten it")
    if not text.isascii():
        raise Unclear("holds other letters than ASCII", "write the host in its xn-- form")
    if "\\" in text or "%" in text or any(character <= " " or character == "\x7f" for character in text):
        raise Unclear(
            "holds a backslash, a percent sign, a space or a control character", "write https://host:port/path"
        )


def _host(host: str, networks: tuple[Network, ...]) -> tuple[bool, str]:
    """Whether a host is a private one, and how it is written."""
    address = _address(host)
    if address is not None:
        written = f"[{address}]" if address.version == 6 else str(address)
        return _address_is_private(address, networks), written
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise Unclear("an IPv4 address in an unusual form", "write four decimal numbers, such as 10.1.0.7")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Unclear("isn't a host name", "write https://host:port/path")
    name = ".".join(labels)
    if name == "localhost":
        return True, name
    # A private name is only believed where private networks exist; its address is checked when it is dialled.
    return bool(networks) and _is_private_name(name), name


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_private_name(name: str) -> bool:
    return "." not in name or name.endswith(PRIVATE_SUFFIXES) or ".svc." in name


def _address_is_private(address: Address, networks: tuple[Network, ...]) -> bool:
    if address.is_loopback:
        return True
    if any(address in network for network in networks):
        return True
    if any(address in network for network in _WRAPPED):
        raise Unclear("an IPv6 address that wraps an IPv4 one", "write the IPv4 address")
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        raise Unclear(f"{address} isn't the address of a server", "name the server's own address")
    if not address.is_global:
        raise Unclear(f"{address} is a private address", "list its network in private_networks")
    return False
