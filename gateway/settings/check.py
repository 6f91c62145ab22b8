"""`gateway check`: what is wrong with a configuration and its policies, its JSON Schema, what another one changes."""

import json
from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import fields

from gateway.errors import ConfigProblem
from gateway.settings.examples import prove
from gateway.settings.load import config_path, own_environment, providers, read_settings, settings_of
from gateway.settings.models import CallersFile, GatewayFile
from gateway.settings.options import ServeOptions
from gateway.settings.policy_rows import PolicyFile
from gateway.settings.reader import Reading
from gateway.settings.shape import Secret, Settings

FINE = 0
FOUND_WRONG = 1


def check(
    config: str | None,
    other: str | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    dev: bool = False,
) -> tuple[list[str], int]:
    """The lines to print and the exit code; the environment is the process's own unless given."""
    around = own_environment() if environment is None else environment
    reading = _read(config, around, dev=dev)
    if reading.settings is None:
        return [str(problem) for problem in reading.problems], FOUND_WRONG
    if other is None:
        settings = reading.settings

        def at(pop: str) -> Settings:
            return settings_of(_read(config, {**around, "GATEWAY_POP": pop}, dev=dev))

        failing = prove(reading.proofs, settings, at, providers()) if reading.proofs else []
        if failing:
            return [*map(str, failing)], FOUND_WRONG
        return [*map(_noted, reading.notes), _summary(settings, sum(len(one.examples) for one in reading.proofs))], FINE
    next_one = _read(other, around, dev=dev)
    if next_one.settings is None:
        return [str(problem) for problem in next_one.problems], FOUND_WRONG
    return differences(reading.settings, next_one.settings) or ["nothing changes"], FINE


def schema() -> str:
    """The JSON Schema of gateway.yaml; among its definitions those of a policy and callers.yaml, by their classes."""
    found = GatewayFile.model_json_schema(by_alias=True)
    for file in (PolicyFile, CallersFile):
        other = file.model_json_schema(by_alias=True)
        found["$defs"] |= {**other.pop("$defs"), file.__name__: other}
    return json.dumps(found, indent=2)


def differences(before: Settings, after: Settings) -> list[str]:
    """What changes, key by key: `+` new, `-` gone, `~` changed. Secrets are compared and never shown."""
    old, new = dict(_flat("", _outline(before))), dict(_flat("", _outline(after)))
    lines = []
    for key in sorted(old.keys() | new.keys()):
        if key not in old:
            lines.append(f"+ {key}: {_shown(new[key])}")
        elif key not in new:
            lines.append(f"- {key}: {_shown(old[key])}")
        elif old[key] != new[key]:
            lines.append(f"~ {key}: {_shown(old[key])} -> {_shown(new[key])}")
    return lines


def _read(config: str | None, environment: Mapping[str, str], *, dev: bool) -> Reading:
    return read_settings(config_path(config, environment, dev=dev), environment, ServeOptions(config=config, dev=dev))


def _noted(note: ConfigProblem) -> str:
    return f"note: {note}"


def _summary(settings: Settings, examples: int) -> str:
    found = f"ok: {len(settings.backends)} backends, {len(settings.models)} models, {len(settings.callers)} keys"
    if settings.policies:
        found += f", {len(settings.policies)} policies, {examples} examples"
    return found


def _outline(settings: Settings) -> dict[str, object]:
    """The settings without what says nothing of itself: where they came from, and a backend inside each target."""
    found: dict[str, object] = {name: getattr(settings, name) for name in _names(settings) if name not in _ASIDE}
    found["policies"] = {policy.name: policy for policy in settings.policies}
    found["callers"] = {caller.name: caller for caller in settings.callers}
    found["models"] = {
        name: [
            {**{field: getattr(one, field) for field in _names(one)}, "backend": one.backend.name} for one in targets
        ]
        for name, targets in settings.models.items()
    }
    return found


_ASIDE = frozenset({"sources", "revision", "dev"})


def _names(struct: Struct) -> tuple[str, ...]:
    return tuple(field.name for field in fields(struct))


def _flat(key: str, value: object) -> Iterator[tuple[str, object]]:
    match value:
        case Struct():
            value = {name: getattr(value, name) for name in _names(value)}
        case list() | tuple() if any(isinstance(item, Struct | dict) for item in value):
            value = {f"[{at}]": item for at, item in enumerate(value)}
        case _:
            pass
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            joined = f"{key}{name}" if str(name).startswith("[") or not key else f"{key}.{name}"
            yield from _flat(joined, inner)
    else:
        yield key, value


def _shown(value: object) -> str:
    match value:
        case Secret():
            return "***"
        case bytes():
            return value.hex()[:12] + "…"
        case frozenset():
            return "[" + ", ".join(sorted(map(str, value))) + "]"
        case tuple() | list():
            return "[" + ", ".join(map(str, value)) + "]"
        case "":
            return '""'
    return str(value)
