"""A database file that knows where addresses are, in the MaxMind DB format (maxmind.github.io/MaxMind-DB).

What is mapped is a copy of our own that has no name: a file that somebody overwrites or cuts off where it lies would
kill whoever has it mapped (SIGBUS, mmap(2)). To read it into memory instead costs a worker all of it, and the reader
written in C only maps. Measured with 80 MB: in memory 77 MiB of the worker's own and 46 µs a look-up; as a mapped copy
3 MiB, the pages in use, which the system may take back, and 3 µs, as without the copy.

The file is looked at again by the sweep, never by a request, and copied a piece at a sweep. One that is missing, broken
or still being written is one line in the log, and the last good one stays in use.
"""

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import NamedTemporaryFile, gettempdir
from typing import TYPE_CHECKING, Final, Protocol

from gateway.exchange import Origin
from gateway.server.origin import code, placed
from gateway.telemetry.writer import Field, Level

if TYPE_CHECKING:
    from maxminddb import Reader
    from maxminddb.types import Record

LOOK_EVERY_S: Final = 10.0
# What a sweep copies: a millisecond in memory, ten where the disk is slow. A city database is there after some seconds.
PIECE_BYTES: Final = 2 * 1024 * 1024

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
        self._copying: _Copy | None = self._look()
        while (copying := self._copying) is not None:
            self._go_on(copying)

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
        if self._copying is None and now >= self._looks_at:
            self._looks_at = now + LOOK_EVERY_S
            self._copying = self._look()
        if self._copying is not None and self._go_on(self._copying):
            self._changed()

    def close(self) -> None:
        """Let go of the file."""
        if self._copying is not None:
            self._copying.close()
            self._copying = None
        self._drop()

    def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _look(self) -> "_Copy | None":
        """The beginning of a copy where the file is another than it was."""
        try:
            stamp = _stamp(self._file.stat())
        except OSError:
            stamp = None
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            return _Copy(self._file)
        except OSError as error:
            self._refuse(error)
            return None

    def _go_on(self, copying: "_Copy") -> bool:
        """Copy one more piece; whether there is a new database now."""
        try:
            if copying.more():
                return False
            reader = copying.reader()
        except (OSError, RuntimeError, ValueError) as error:
            self._refuse(error)
            reader = None
        copying.close()
        self._copying = None
        if reader is None:
            return False
        self._drop()
        self._reader = reader
        about = reader.metadata()
        self._old = about.ip_version == 4
        self._log("info", "geoip database read", path=self.path, type=about.database_type, built=about.build_epoch)
        return True

    def _refuse(self, error: Exception) -> None:
        kept = "the last good one stays in use" if self._reader is not None else "origins by address are unknown"
        self._log("error", "geoip database can't be read", path=self.path, problem=str(error), meanwhile=kept)


class _Copy:
    """A file on its way into one of ours, which is gone once nobody has it open. OSError where there is no room."""

    def __init__(self, path: Path) -> None:
        with ExitStack() as files:
            self._theirs = files.enter_context(path.open("rb", buffering=0))
            self._ours = files.enter_context(NamedTemporaryFile(buffering=0, suffix=".mmdb"))
            self._files = files.pop_all()
        self._stamp = _stamp(os.fstat(self._theirs.fileno()))

    def more(self) -> bool:
        """Copy a piece; whether there are more."""
        piece = self._theirs.read(PIECE_BYTES)
        if self._ours.write(piece) != len(piece):
            raise OSError(f"there is no room for a copy in {gettempdir()}")
        return len(piece) == PIECE_BYTES

    def reader(self) -> "Reader":
        """A reader of the whole copy. ValueError where the file was written to meanwhile, RuntimeError if broken."""
        import maxminddb  # noqa: PLC0415  (a tenth of a second, for those who have a database)

        if _stamp(os.fstat(self._theirs.fileno())) != self._stamp or self._ours.tell() != self._stamp[1]:
            raise ValueError("it was written to while it was read")
        reader = maxminddb.open_database(self._ours.name)
        try:
            # What was written in part has its end, where all else is described, only by chance; then its tree is torn.
            for first in range(1, 224):
                reader.get(f"{first}.0.0.1")
        except (RuntimeError, ValueError):
            reader.close()
            raise
        return reader

    def close(self) -> None:
        """Let go of both files."""
        self._files.close()


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino


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
