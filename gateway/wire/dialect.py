"""Small differences of a host, as data: fields it refuses, calls otherwise, wants set, or caps."""

from msgspec import Raw, Struct
from msgspec.json import decode, encode


class Dialect(Struct, frozen=True):
    """`set` holds JSON texts by field; every edit is a declared loss, shown to callers and in explain."""

    drop: tuple[str, ...] = ()
    rename: dict[str, str] = {}
    set: dict[str, str] = {}
    cap: dict[str, float] = {}


def apply(dialect: Dialect, fields: dict[str, Raw]) -> list[str]:
    """Edit a request's top-level fields in place for this host; the names of what was lost or changed.

    A renamed field never overwrites one the caller sent under the new name.
    """
    if not (dialect.drop or dialect.rename or dialect.set or dialect.cap):
        return []
    changed = [name for name in dialect.drop if fields.pop(name, None) is not None]
    for name, other in dialect.rename.items():
        value = fields.pop(name, None)
        if value is not None:
            changed.append(name)
            fields.setdefault(other, value)
    for name, text in dialect.set.items():
        value = fields.get(name)
        if value is not None and bytes(value) != text.encode():
            changed.append(name)
        fields[name] = Raw(text.encode())
    for name, most in dialect.cap.items():
        value = fields.get(name)
        if value is not None and _is_above(value, most):
            fields[name] = Raw(encode(int(most) if most == int(most) else most))
            changed.append(name)
    return changed


def _is_above(value: Raw, most: float) -> bool:
    try:
        number = decode(value)
    except ValueError:
        # JSON, and yet no number of Python's: 1e999, or an integer of five thousand digits.
        return bytes(value)[:1].isdigit()
    return isinstance(number, int | float) and not isinstance(number, bool) and number > most
