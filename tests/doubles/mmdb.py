"""Databases in the MaxMind DB format, written by hand: a few networks and what is known of them.

The format: maxmind.github.io/MaxMind-DB. A binary tree over the address's bits, sixteen zero bytes, the records, and
behind a marker a map that says how to read the rest.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from struct import pack
from typing import Final

Value = str | int | float | bool | Sequence["Value"] | Mapping[str, "Value"]

MARKER: Final = b"\xab\xcd\xefMaxMind.com"
BUILT: Final = 1_763_800_000
_SEPARATOR: Final = bytes(16)
_EMPTY: Final = -1
_STRING, _DOUBLE, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY, _BOOLEAN = 2, 3, 5, 6, 7, 9, 11, 14
_EXTENDED: Final = 7  # types above it are named by a byte of their own


def write_mmdb(
    path: Path, networks: Mapping[str, Value], *, kind: str = "GeoLite2-City", version: int = 6, record_bits: int = 28
) -> None:
    """Write a database; an IPv4 network in one of version 6 lies below ::/96, as everywhere."""
    path.write_bytes(mmdb(networks, kind=kind, version=version, record_bits=record_bits))


def mmdb(
    networks: Mapping[str, Value], *, kind: str = "GeoLite2-City", version: int = 6, record_bits: int = 28
) -> bytes:
    """The bytes of a database."""
    records = b""
    nodes: list[list[tuple[str, int]]] = [[("", _EMPTY), ("", _EMPTY)]]
    for network, record in networks.items():
        _insert(nodes, _bits(network, version), ("data", len(records)))
        records += _encoded(record)
    tree = b"".join(_node([_number(side, len(nodes)) for side in node], record_bits) for node in nodes)
    about = {
        "node_count": _integer(len(nodes), _UINT32),
        "record_size": _integer(record_bits, _UINT16),
        "ip_version": _integer(version, _UINT16),
        "database_type": _encoded(kind),
        "languages": _encoded(["en"]),
        "binary_format_major_version": _integer(2, _UINT16),
        "binary_format_minor_version": _integer(0, _UINT16),
        "build_epoch": _integer(BUILT, _UINT64),
        "description": _encoded({"en": "Made by a test."}),
    }
    return tree + _SEPARATOR + records + MARKER + _map(about)


def _bits(network: str, version: int) -> str:
    parsed = ip_network(network)
    if parsed.version > version:
        raise ValueError(f"{network} has no place in a database of version {version}")
    bits = f"{int(parsed.network_address):0{parsed.max_prefixlen}b}"[: parsed.prefixlen]
    return "0" * 96 + bits if parsed.version < version else bits


def _insert(nodes: list[list[tuple[str, int]]], bits: str, data: tuple[str, int]) -> None:
    at = 0
    for bit in map(int, bits[:-1]):
        kind, number = nodes[at][bit]
        if kind == "":
            nodes.append([("", _EMPTY), ("", _EMPTY)])
            number = len(nodes) - 1
            nodes[at][bit] = ("node", number)
        elif kind == "data":
            raise ValueError("a network inside another one")
        at = number
    nodes[at][int(bits[-1])] = data


def _number(side: tuple[str, int], count: int) -> int:
    kind, number = side
    return number if kind == "node" else count if kind == "" else count + len(_SEPARATOR) + number


def _node(sides: list[int], record_bits: int) -> bytes:
    left, right = sides
    if record_bits == 28:
        middle = (left >> 24) << 4 | right >> 24
        return (left & 0xFFFFFF).to_bytes(3, "big") + bytes([middle]) + (right & 0xFFFFFF).to_bytes(3, "big")
    size = record_bits // 8
    return left.to_bytes(size, "big") + right.to_bytes(size, "big")


def _encoded(value: Value) -> bytes:
    match value:
        case bool():
            return _control(_BOOLEAN, int(value))
        case str():
            text = value.encode()
            return _control(_STRING, len(text)) + text
        case float():
            return _control(_DOUBLE, 8) + pack(">d", value)
        case int():
            return _integer(value, _UINT32)
        case Mapping():
            return _map({key: _encoded(inner) for key, inner in value.items()})
        case _:
            return _control(_ARRAY, len(value)) + b"".join(map(_encoded, value))


def _integer(value: int, kind: int) -> bytes:
    """A number in as few bytes as it needs, of a type that readers insist on."""
    number = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _control(kind, len(number)) + number


def _map(pairs: Mapping[str, bytes]) -> bytes:
    return _control(_MAP, len(pairs)) + b"".join(_encoded(key) + value for key, value in pairs.items())


def _control(kind: int, size: int) -> bytes:
    """A type and a size; sizes above 28 go on in a byte of their own."""
    first, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    if kind > _EXTENDED:
        return bytes([first, kind - _EXTENDED]) + more
    return bytes([kind << 5 | first]) + more
