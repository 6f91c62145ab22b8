"""A database of addresses: what it says in each shape there is, and what becomes of it when its file changes."""

import logging
import resource
from pathlib import Path

import pytest

from gateway.exchange import Origin
from gateway.server.geoip import LOOK_EVERY_S, PIECE_BYTES, GeoIp, say
from tests.doubles.mmdb import MARKER, Value, mmdb, write_mmdb

ADDRESS = "81.2.69.160"
NETWORK = "81.2.69.0/24"
GEOIP2: Value = {
    "city": {"geoname_id": 2643743, "names": {"de": "London", "en": "London"}},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "country": {"iso_code": "GB", "is_in_european_union": False, "names": {"en": "United Kingdom"}},
    "location": {"accuracy_radius": 10, "latitude": 51.5142, "longitude": -0.0931, "time_zone": "Europe/London"},
    "registered_country": {"iso_code": "US"},
    "subdivisions": [{"iso_code": "ENG", "names": {"en": "England"}}, {"iso_code": "WES"}],
}
DB_IP: Value = {
    "city": {"names": {"en": "London"}},
    "country": {"iso_code": "GB", "is_in_european_union": False},
    "location": {"latitude": 51.5142, "longitude": -0.0931},
    "subdivisions": [{"names": {"en": "England"}}],
}
FLAT: Value = {
    "country_code": "GB",
    "city": "London",
    "state1": "England",
    "latitude": 51.5142,
    "longitude": -0.0931,
    "timezone": "Europe/London",
}
LONDON = (51.5142, -0.0931)


class Told:
    """A log, and how often it was heard that the database is another."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []
        self.changes = 0

    def __call__(self, level: str, event: str, **fields: object) -> None:
        self.lines.append((level, event, str(fields.get("meanwhile", fields.get("type", fields.get("problem"))))))

    def change(self) -> None:
        self.changes += 1


def opened(path: Path, told: Told | None = None) -> GeoIp:
    told = told or Told()
    return GeoIp(str(path), told, told.change)


def found(tmp_path: Path, record: Value, address: str = ADDRESS) -> Origin:
    write_mmdb(tmp_path / "d.mmdb", {NETWORK: record})
    return opened(tmp_path / "d.mmdb").find(address)


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_maxminds_databases_are_read(tmp_path: Path) -> None:
    assert found(tmp_path, GEOIP2) == Origin(ADDRESS, "GB", "ENG", "London", LONDON)
    assert found(tmp_path, {"country": {"iso_code": "GB"}}) == Origin(ADDRESS, "GB")


def test_db_ips_databases_are_read(tmp_path: Path) -> None:
    assert found(tmp_path, DB_IP) == Origin(ADDRESS, "GB", "England", "London", LONDON)


def test_flat_databases_are_read(tmp_path: Path) -> None:
    assert found(tmp_path, FLAT) == Origin(ADDRESS, "GB", "England", "London", LONDON)
    assert found(tmp_path, {"country_code": "GB"}) == Origin(ADDRESS, "GB")
    assert found(tmp_path, {"country": "United Kingdom", "country_code": "GB"}) == Origin(ADDRESS, "GB")
    assert found(tmp_path, {"country": "GB", "latitude": "51.5142", "longitude": "-0.0931"}).location == LONDON


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"country": {"iso_code": "EU"}},
        {"country_code": "XX"},
        {"registered_country": {"iso_code": "US"}},
        {"country": {"iso_code": 7}, "subdivisions": [], "city": {"names": {"de": "London"}}},
        {"latitude": "north", "longitude": "west"},
        {"location": {"latitude": 51.5}},
        "GB",
        ["GB"],
    ],
)
def test_what_names_no_country_is_unknown(tmp_path: Path, record: Value) -> None:
    assert found(tmp_path, record) == Origin(ADDRESS)


def test_an_address_that_is_in_no_network_is_unknown(tmp_path: Path) -> None:
    assert found(tmp_path, GEOIP2, "93.0.0.1") == Origin("93.0.0.1")
    assert found(tmp_path, GEOIP2, "2001:4860::1") == Origin("2001:4860::1")


def test_a_database_of_ipv4_knows_no_ipv6(tmp_path: Path) -> None:
    write_mmdb(tmp_path / "d.mmdb", {NETWORK: FLAT}, version=4, record_bits=24)
    known = opened(tmp_path / "d.mmdb")
    assert known.find(ADDRESS).country == "GB"
    assert known.find("2001:4860::1") == Origin("2001:4860::1")


def test_ipv6_is_looked_up_in_records_of_any_size(tmp_path: Path) -> None:
    for bits in (24, 28, 32):
        write_mmdb(tmp_path / f"{bits}.mmdb", {"2001:4860::/32": FLAT, NETWORK: GEOIP2}, record_bits=bits)
        known = opened(tmp_path / f"{bits}.mmdb")
        assert [known.find(address).region for address in ("2001:4860::1", ADDRESS)] == ["England", "ENG"]


# --- the file ---------------------------------------------------------------------------------------------------------


def replace_by(path: Path, data: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.rename(path)


def test_a_file_that_changes_is_read_anew_by_the_sweep(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    write_mmdb(path, {NETWORK: FLAT})
    known = opened(path, told)
    known.sweep(0.0)
    assert told.changes == 0
    replace_by(path, mmdb({NETWORK: {"country_code": "IE"}}, kind="Another"))
    known.sweep(LOOK_EVERY_S - 0.1)
    assert (known.find(ADDRESS).country, told.changes) == ("GB", 0)
    known.sweep(LOOK_EVERY_S)
    assert (known.find(ADDRESS).country, told.changes) == ("IE", 1)
    assert told.lines == [
        ("info", "geoip database read", "GeoLite2-City"),
        ("info", "geoip database read", "Another"),
    ]


def test_a_file_that_stays_is_not_read_again(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    write_mmdb(path, {NETWORK: FLAT})
    known = opened(path, told)
    for number in range(5):
        known.sweep(number * LOOK_EVERY_S)
    assert len(told.lines) == 1


@pytest.mark.parametrize("data", [b"", b"no database", MARKER + b"\xff" * 40, mmdb({NETWORK: FLAT})[-200:]])
def test_a_broken_file_is_said_once_and_origins_are_unknown(tmp_path: Path, data: bytes) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    path.write_bytes(data)
    known = opened(path, told)
    known.sweep(0.0)
    known.sweep(LOOK_EVERY_S)
    assert told.lines == [("error", "geoip database can't be read", "origins by address are unknown")]
    assert known.find(ADDRESS) == Origin(ADDRESS)
    replace_by(path, mmdb({NETWORK: FLAT}))
    known.sweep(2 * LOOK_EVERY_S)
    assert (known.find(ADDRESS).country, told.changes) == ("GB", 1)


def test_a_missing_file_is_said_once_and_read_when_it_comes(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    known = opened(path, told)
    known.sweep(0.0)
    assert [line[0] for line in told.lines] == ["error"]
    write_mmdb(path, {NETWORK: FLAT})
    known.sweep(LOOK_EVERY_S)
    assert known.find(ADDRESS).country == "GB"


def test_the_last_good_one_is_kept_while_the_file_is_broken_or_gone(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    write_mmdb(path, {NETWORK: FLAT})
    known = opened(path, told)
    replace_by(path, b"no database")
    known.sweep(0.0)
    assert known.find(ADDRESS).country == "GB"
    path.unlink()
    known.sweep(LOOK_EVERY_S)
    assert known.find(ADDRESS).country == "GB"
    assert told.changes == 0
    assert [line[2] for line in told.lines[1:]] == ["the last good one stays in use"] * 2


def test_a_database_that_breaks_while_it_is_asked_is_asked_no_more(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    whole = bytearray(mmdb({NETWORK: FLAT}))
    at = whole.index(b"country_code")
    whole[at - 2 : at] = b"\xff\xff"
    path.write_bytes(whole)
    known = opened(path, told)
    assert known.find(ADDRESS) == Origin(ADDRESS)
    assert known.find(ADDRESS) == Origin(ADDRESS)
    assert [line[:2] for line in told.lines] == [
        ("info", "geoip database read"),
        ("error", "geoip database is broken"),
    ]


def large(record: Value) -> bytes:
    """A database of two pieces and a little more: its records are far behind its tree."""
    tree, marker, about = mmdb({NETWORK: record}).rpartition(MARKER)
    return tree + bytes(2 * PIECE_BYTES) + marker + about


def test_a_file_that_is_overwritten_where_it_lies_harms_nobody(tmp_path: Path) -> None:
    """Mapped, a file that was cut off would kill this very process."""
    path, told = tmp_path / "d.mmdb", Told()
    path.write_bytes(large(FLAT))
    known = opened(path, told)
    with path.open("r+b") as file:
        file.truncate(0)
        assert known.find(ADDRESS).country == "GB"
        fresh = large({"country_code": "IE"})
        for upto in (100, PIECE_BYTES, len(fresh) - 10):
            file.seek(0)
            file.write(fresh[:upto])
            file.flush()
            known.sweep(upto * LOOK_EVERY_S)
            assert known.find(ADDRESS).country == "GB"
    path.write_bytes(fresh)
    for sweep in range(5):
        known.sweep(2 * len(fresh) * LOOK_EVERY_S + sweep)
    assert (known.find(ADDRESS).country, told.changes) == ("IE", 1)
    assert ("error", "geoip database can't be read", "the last good one stays in use") in told.lines


def test_a_large_file_is_copied_a_piece_at_a_sweep(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    write_mmdb(path, {NETWORK: FLAT})
    known = opened(path, told)
    replace_by(path, large({"country_code": "IE"}))
    seen = []
    for sweep in range(4):
        known.sweep(LOOK_EVERY_S + sweep)
        seen.append(known.find(ADDRESS).country)
    assert seen == ["GB", "GB", "IE", "IE"]
    assert told.changes == 1


def test_a_file_that_is_written_to_while_it_is_read_is_refused_and_read_again(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    write_mmdb(path, {NETWORK: FLAT})
    known = opened(path, told)
    path.write_bytes(large({"country_code": "IE"}))
    known.sweep(0.0)
    with path.open("ab") as file:
        file.write(b"more")
    known.sweep(0.1)
    known.sweep(0.2)
    assert (known.find(ADDRESS).country, told.changes) == ("GB", 0)
    assert told.lines[-1] == ("error", "geoip database can't be read", "the last good one stays in use")
    replace_by(path, large({"country_code": "IE"}))
    for sweep in range(3):
        known.sweep(LOOK_EVERY_S + sweep)
    assert (known.find(ADDRESS).country, told.changes) == ("IE", 1)


def test_without_room_for_a_copy_the_last_good_one_is_kept(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    write_mmdb(path, {NETWORK: FLAT})
    known = opened(path, told)
    replace_by(path, large({"country_code": "IE"}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PIECE_BYTES + 1, hard))
    try:
        known.sweep(0.0)
        known.sweep(0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    known.sweep(0.2)
    assert known.find(ADDRESS).country == "GB"
    assert told.lines[1:] == [("error", "geoip database can't be read", "the last good one stays in use")]


def test_a_torn_tree_is_refused(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    torn = bytearray(mmdb({f"{first}.0.0.0/24": FLAT for first in (3, 7)}))
    at = torn.index(b"country_code")
    torn[at - 2 : at] = b"\xff\xff"
    path.write_bytes(torn)
    assert opened(path, told).find("7.0.0.1") == Origin("7.0.0.1")
    assert told.lines == [("error", "geoip database can't be read", "origins by address are unknown")]


def test_one_that_is_closed_while_it_reads_reads_no_more(tmp_path: Path) -> None:
    path, told = tmp_path / "d.mmdb", Told()
    write_mmdb(path, {NETWORK: FLAT})
    known = opened(path, told)
    replace_by(path, large(FLAT))
    known.sweep(0.0)
    known.close()
    known.sweep(0.1)
    assert (known.find(ADDRESS), told.changes) == (Origin(ADDRESS), 0)


def test_a_closed_one_knows_nothing(tmp_path: Path) -> None:
    write_mmdb(tmp_path / "d.mmdb", {NETWORK: FLAT})
    known = opened(tmp_path / "d.mmdb")
    known.close()
    known.close()
    assert known.find(ADDRESS) == Origin(ADDRESS)


def test_without_a_log_it_says_so_as_a_library_does(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        say("error", "geoip database can't be read", path="d.mmdb")
    assert caplog.messages == ["geoip database can't be read path=d.mmdb"]
