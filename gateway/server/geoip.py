"""A database file that knows where addresses are, in the MaxMind DB format (maxmind.github.io/MaxMind-DB).

Mapped into memory, so that workers share it and only its pages that are used are read; looked at again by the sweep,
never by a request. A file that is missing or broken is one line in the log, and the last good one stays in use.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from gateway.exchange import Origin
from gateway.server.origin import code, placed
from gateway.telemetry.writer import Field, Level

if TYPE_CHECKING:
    from maxminddb import Reader
    from maxminddb.types import Record

LOOK_EVERY_S: Final = 10.0

_Stamp = tuple[int, int, int]


class Saying(Protocol):
    """Where rare events are told."""

    def __call__(self, level: Level, event: str, **fields: Field) -> None: ...


def say(level: Level, event: str, **fields: Field) -> None:
    """Tell of an event as a library does, where nobody gave us a log."""
    line = " ".join([event, *(f"{name}={value}" for name, value in fields.items())])
    logging.getLogger(__name__).log(logging.getLevelNamesMapping()[level.upper()], line)


class GeoIp:
    """Places of public addresses, as the file at `path` has them; `changed` is called when it has become another."""

    def __init__(self, path: str, log: Saying, changed: Callable[[], None]) -> None:
        self.path = path
        self._file = Path(path)
        self._log = log
        self._changed = changed
        self._reader: Reader | None = None
        self._stamp: _Stamp | None = (0, 0, 0)  # of the file as it was last looked at; None: it wasn't there
        self._old = False  # whether it knows IPv4 only
        self._looks_at = 0.0
        self._look()

    def find(self, address: str) -> Origin:
        """The place of an address; only the address where it isn't known."""
        reader = self._reader
        if reader is None or (self._old and ":" in address):
            return Origin(address=address)
        try:
            record = reader.get(address)
        except (RuntimeError, ValueError) as error:  # InvalidDatabaseError, and text that is no UTF-8
            self._drop()
            self._log("error", "geoip database is broken", path=self.path, problem=str(error))
            return Origin(address=address)
        return origin_of(address, record)

    def sweep(self, now: float) -> None:
        """Read the file anew where it has changed."""
        if now >= self._looks_at:
            self._looks_at = now + LOOK_EVERY_S
            if self._look():
                self._changed()

    def close(self) -> None:
        """Let go of the file."""
        self._drop()

    def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _look(self) -> bool:
        """Whether there is a new database."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            reader = _open(self.path)
        except (OSError, RuntimeError, ValueError) as error:
            kept = "the last good one stays in use" if self._reader is not None else "origins by address are unknown"
            self._log("error", "geoip database can't be read", path=self.path, problem=str(error), meanwhile=kept)
            return False
        self._drop()
        self._reader = reader
        about = reader.metadata()
        self._old = about.ip_version == 4
        self._log("info", "geoip database read", path=self.path, type=about.database_type, built=about.build_epoch)
        return True

    def _stamp_now(self) -> _Stamp | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _open(path: str) -> "Reader":
    import maxminddb  # noqa: PLC0415  (a tenth of a second, for those who have a database)

    return maxminddb.open_database(path)


def origin_of(address: str, record: "Record | None") -> Origin:
    """What a record says, in any of the shapes there are.

    MaxMind's GeoIP2 and GeoLite2 nest (`country.iso_code`); DB-IP's have their shape, and names of subdivisions only;
    ip-location-db's and IPinfo's are flat (`country_code`, `latitude`).
    """
    country, subdivisions = _at(record, "country"), _at(record, "subdivisions")
    flat = _at(record, "country_code") or country
    # The country where the address is used; `registered_country` is where somebody signed for it.
    named = _at(country, "iso_code") or flat
    first = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
    location = _at(record, "location") or record
    return Origin(
        address,
        code(named.encode()) if isinstance(named, str) else "",
        _word(_at(first, "iso_code") or _english(first) or _at(record, "state1")),
        _word(_english(_at(record, "city")) or _at(record, "city")),
        _location(_at(location, "latitude"), _at(location, "longitude")),
    )


def _at(record: "Record | None", name: str) -> "Record | None":
    return record.get(name) if isinstance(record, dict) else None


def _english(record: "Record | None") -> "Record | None":
    return _at(_at(record, "names"), "en")


def _word(found: "Record | None") -> str:
    return found if isinstance(found, str) else ""


def _location(latitude: "Record | None", longitude: "Record | None") -> tuple[float, float] | None:
    if not isinstance(latitude, int | float | str) or not isinstance(longitude, int | float | str):
        return None
    try:
        return placed(float(latitude), float(longitude))
    except ValueError:
        return None
