"""What `gateway serve --dev` adds to a configuration, and nothing else may have.

Three stand-in servers in three regions that answer to `mock/…` only, everything found on this machine under its own
name, one key per checkout, and an admin token of this run.
"""

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.settings.catalogue import PACKAGE
from gateway.settings.found import Found
from gateway.settings.keys import PREFIX, digest_of
from gateway.settings.shape import Backend, Caller, May, Provider, Secret, Settings, Target
from gateway.settings.words import STAND_IN

KEY_BYTES = 32
CALLER = "dev"
# What every stand-in is asked for: `gateway mock` serves this name unless told otherwise.
STAND_IN_MODEL = "mock-model"
# Its three answers in order, one after the other when one is away.
ANY = f"{STAND_IN}any"

_KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


class StandIn(Struct, frozen=True):
    """A stand-in model server: `place` is what its text says, `location` is latitude and longitude in degrees."""

    name: str
    region: str
    country: str
    place: str
    location: tuple[float, float]
    ttft_s: float
    tpot_s: float = 0.01


def stand_ins() -> tuple[StandIn, ...]:
    """The three of them, in the order in which `mock/any` tries them."""
    return (
        StandIn("frankfurt", "eu-central", "DE", "Frankfurt", (50.11, 8.68), 0.04),
        StandIn("virginia", "us-east", "US", "Virginia", (38.95, -77.45), 0.12),
        StandIn("singapore", "ap-southeast", "SG", "Singapore", (1.35, 103.82), 0.2),
    )


def model_of(stand_in: StandIn) -> str:
    """The name callers use for one stand-in."""
    return f"{STAND_IN}{stand_in.name}"


def dev_settings(
    base: Settings,
    stand_in_urls: Mapping[str, str],
    key: str,
    found: Found,
    providers: Mapping[str, Provider],
    before: Settings | None = None,
) -> Settings:
    """The settings with everything of `--dev` in them. `stand_in_urls` are by a stand-in's name.

    Configured names win: what is found takes a name only where the configuration left it free. On a reload `before`
    is what was served so far: its admin token stays.
    """
    # Keys that the configuration has were hashed under its own pepper, or under none.
    pepper = base.key_pepper if base.key_pepper or base.callers else Secret(secrets.token_urlsafe(KEY_BYTES))
    token = base.admin_token or (before.admin_token if before else None) or Secret(secrets.token_urlsafe(KEY_BYTES))
    caller = Caller(CALLER, CALLER, digest_of(key, pepper.reveal()), may=May(plan=True))
    backends = dict(base.backends)
    models = dict(base.models)
    _add_stand_ins(backends, models, stand_in_urls, providers)
    _add_found(backends, models, found, providers)
    return replace(
        base,
        backends=backends,
        models=models,
        callers=(*(one for one in base.callers if one.name != CALLER), caller),
        key_pepper=pepper,
        admin_token=token,
        dev=True,
    )


def curl(settings: Settings, key: str, model: str, country: str) -> str:
    """A command to copy that asks one model for a streamed answer, as if from this country."""
    host = f"[{settings.listen.host}]" if ":" in settings.listen.host else settings.listen.host
    scheme = "https" if settings.listen.tls else "http"
    body = f'{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "hello"}}]}}'
    return (
        f"curl -sN {scheme}://{host}:{settings.listen.port}/v1/chat/completions "
        f"-H 'authorization: Bearer {key}' -H 'content-type: application/json' "
        f"-H 'cf-ipcountry: {country}' -d '{body}'"
    )


def _add_stand_ins(
    backends: dict[str, Backend],
    models: dict[str, tuple[Target, ...]],
    urls: Mapping[str, str],
    providers: Mapping[str, Provider],
) -> None:
    targets = []
    for stand_in in stand_ins():
        name = f"{CALLER}-{stand_in.name}"
        backends[name] = Backend(
            name=name,
            provider=providers[STAND_IN.rstrip("/")],
            base_urls=(urls[stand_in.name].rstrip("/"),),
            country=stand_in.country,
            region=stand_in.region,
            location=stand_in.location,
            processes_in=(stand_in.country,),
            retention="none",
            training="no",
            tier="self_hosted",
        )
        target = Target(backends[name], STAND_IN_MODEL)
        models[model_of(stand_in)] = (target,)
        targets.append(target)
    models[ANY] = tuple(targets)


def _add_found(
    backends: dict[str, Backend],
    models: dict[str, tuple[Target, ...]],
    found: Found,
    providers: Mapping[str, Provider],
) -> None:
    for key in found.keys:
        provider = providers[key.provider]
        _add(backends, models, Backend(key.provider, provider, (provider.url,), key.key, tier="external"), ())
    for server in found.servers:
        if server.provider:
            backend = Backend(server.provider, providers[server.provider], (server.url,), tier="self_hosted")
            _add(backends, models, backend, server.models)


def _add(
    backends: dict[str, Backend], models: dict[str, tuple[Target, ...]], backend: Backend, names: Sequence[str]
) -> None:
    if backend.name in backends:
        return
    backends[backend.name] = backend
    # By name, so that they are listed; by glob, so that any other model of theirs can be asked for.
    for name in names:
        models.setdefault(f"{backend.name}/{name}", (Target(backend, name),))
    models.setdefault(f"{backend.name}/*", (Target(backend, "*"),))


def key_path(root: Path | None = None) -> Path:
    """Where the development key is kept: in the checkout, or in the working directory of an installed wheel."""
    checkout = PACKAGE.parent
    return (root or (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd())) / ".dev" / "key"


def dev_key(path: Path) -> str:
    """The checkout's key, made at random when there is none that only its owner can read.

    Where nothing can be written it is a key of this run.
    """
    key = _kept(path)
    if key:
        return key
    made = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(made + "\n")
        # It appears whole, so that nobody reads half a key; of two runs at once the first one's stays.
        with suppress(FileExistsError):
            path.hardlink_to(aside)
        key = _kept(path)
        if key:
            aside.unlink()
            return key
        aside.replace(path)
    except OSError:
        with suppress(OSError):
            aside.unlink()
    return made


def _kept(path: Path) -> str:
    try:
        if path.is_symlink() or path.stat().st_mode & 0o077:
            return ""
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if _KEY.fullmatch(text) else ""
