"""Rows of `backends` and `models` as the structs a worker uses: names resolved, secrets read, URLs made canonical."""

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from gateway.settings.fields import HOURS, MOST_CARBON
from gateway.settings.findings import Findings, suggestion
from gateway.settings.models import BackendRow, GatewayFile, TargetRow, TimeoutsRow
from gateway.settings.places import base_url, is_near
from gateway.settings.scalars import Unclear
from gateway.settings.shape import Backend, Price, Provider, Secret, Target, Timeouts
from gateway.settings.substitution import secret
from gateway.settings.words import STAND_IN
from gateway.settings.yaml import Document, Place, read_once

USUAL = Timeouts()
# A model that thinks is silent for longer.
REASONING = Timeouts(first_token_s=120.0, idle_s=60.0)

MOST_GRID_BYTES = 64 * 1024
# As in base URLs.
_FRONT_DOORS = (80, 443)
_LEAST_PORT = 1024

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_OURS = ("account", "resource", "deployment", "project", "region")


class BackendReader:
    """Makes backends and targets of one file. `sources` gathers the secret files that were read."""

    def __init__(
        self,
        document: Document,
        findings: Findings,
        providers: Mapping[str, Provider],
        environment: Mapping[str, str],
        private_networks: tuple[str, ...],
    ) -> None:
        self._document = document
        self._findings = findings
        self._providers = providers
        self._environment = environment
        self._networks = private_networks
        # The wrong rows too, so that nothing which is written is called unknown.
        self._written = [str(place[1]) for place in document.lines if len(place) == 2 and place[0] == "backends"]
        self._beside = Path(document.file).parent
        self.sources: list[str] = []

    def backends(self, file: GatewayFile, pops: tuple[str, ...]) -> dict[str, Backend]:
        found: dict[str, Backend] = {}
        for name, row in file.backends.items():
            if pops and row.pop and row.pop not in pops:
                self._wrong(("backends", name, "pop"), f"{row.pop} isn't a POP", suggestion(row.pop, pops, "POP"))
            backend = self._backend(name, row)
            if backend is not None:
                found[name] = backend
        return found

    def models(self, file: GatewayFile, backends: Mapping[str, Backend], pop: str) -> dict[str, tuple[Target, ...]]:
        """Targets by the name or glob that callers ask for.

        Left out is what is never chosen here: a weight of 0, a backend of another POP, a backend that is itself wrong.
        """
        found: dict[str, tuple[Target, ...]] = {}
        for name, rows in file.models.items():
            place: Place = ("models", name)
            if name.startswith(STAND_IN):
                self._wrong(place, "mock/ is the stand-in servers' own", "choose another name")
            seen: set[tuple[str, str]] = set()
            targets = []
            for at, row in enumerate(rows):
                here: Place = (*place, at)
                self._target_name(here, name, row)
                if (row.backend, row.model) in seen:
                    self._wrong(here, "the same backend and model again", "remove it, or use weight")
                seen.add((row.backend, row.model))
                if row.backend not in self._written:
                    what = f"{row.backend} isn't a backend"
                    self._wrong((*here, "backend"), what, suggestion(row.backend, self._written, "backend"))
                elif row.backend in backends and row.weight and file.backends[row.backend].pop in {"", pop}:
                    targets.append(target(backends[row.backend], file.backends[row.backend], row))
            if all(row.weight == 0 for row in rows):
                self._wrong(place, "every weight is 0, so nothing is ever chosen", "give one target a weight above 0")
            elif all(row.backend in backends and file.backends[row.backend].pop not in {"", pop} for row in rows):
                self._findings.note(self._document, place, "every backend of it is dialled from other POPs only")
            found[name] = tuple(targets)
        return found

    def _wrong(self, place: Place, what: str, mend: str) -> None:
        self._findings.wrong(self._document, place, what, mend)

    def _target_name(self, here: Place, name: str, row: TargetRow) -> None:
        if "*" in row.model and row.model != "*":
            self._wrong(
                (*here, "model"), "a glob that isn't * alone", 'write "*" for the part the name\'s glob matched'
            )
        elif row.model == "*" and name.count("*") != 1:
            self._wrong((*here, "model"), "* where the name has no single *", "write the model's name")

    def _backend(self, name: str, row: BackendRow) -> Backend | None:
        place: Place = ("backends", name)
        provider = self._providers.get(row.provider)
        if provider is None:
            if self._providers:
                what = f"{row.provider} isn't a provider"
                self._wrong((*place, "provider"), what, suggestion(row.provider, list(self._providers), "provider"))
            self._given_urls(place, row)
            self._given_key(place, row)
            return None
        if row.endpoints is not None:
            self._wrong((*place, "endpoints"), "endpoints are not built yet", "use base_url")
        filled = self._fill(place, provider, row)
        urls = self._urls(place, filled, row)
        key = self._key(place, provider, row)
        tier = row.tier or ("self_hosted" if any(is_near(url) for url in urls) or not provider.url else "external")
        self._metrics_port(place, provider, row, tier)
        return Backend(
            name=name,
            provider=filled,
            base_urls=urls,
            api_key=key,
            country=row.country or "",
            region=row.region,
            pop=row.pop,
            location=row.location,
            processes_in=row.processes_in or ((row.country,) if row.country else ()),
            retention=row.retention,
            training=row.training,
            tier=tier,
            slots=row.slots,
            usd_per_hour=row.usd_per_hour,
            power_watts=row.power_watts,
            timeouts=timeouts(row.timeouts),
            hardware=row.hardware.class_ if row.hardware else "",
            elastic=row.elastic,
            usd_per_kwh=row.usd_per_kwh,
            grams=self._grams(place, row),
            metrics_port=row.metrics_port or 0,
        )

    def _metrics_port(self, place: Place, provider: Provider, row: BackendRow, tier: str) -> None:
        here: Place = (*place, "metrics_port")
        port = row.metrics_port
        if port is None:
            return
        if port not in _FRONT_DOORS and port < _LEAST_PORT:
            self._wrong(here, f"{port} is no port of a model server", "use 80, 443, or one from 1024 up")
        elif not provider.probe:
            self._wrong(here, f"nobody looks at the metrics of {provider.name}", "remove it")
        elif tier == "external":
            self._wrong(here, "nobody looks at an external backend", "remove it, or add tier: self_hosted")

    def _grams(self, place: Place, row: BackendRow) -> tuple[float, ...]:
        match row.carbon_g_per_kwh:
            case None:
                return ()
            case str() as name:
                path = self._beside / name
                self.sources.append(str(path))
                try:
                    return hourly(read_once(path, MOST_GRID_BYTES))
                except Unclear as unclear:
                    self._wrong((*place, "carbon_g_per_kwh"), f"{path} {unclear.what}", unclear.mend)
                    return ()
            case tuple() as values:
                return values
            case value:
                return (value,)

    def _fill(self, place: Place, provider: Provider, row: BackendRow) -> Provider:
        """The provider with its placeholders replaced by the backend's keys of the same names."""
        values = {name: str(getattr(row, name)) for name in _OURS}
        wanted = set() if row.base_url else set(_PLACEHOLDER.findall(provider.url))
        for path in provider.paths.values():
            wanted |= set(_PLACEHOLDER.findall(path)) & set(_OURS)
        for name in sorted(wanted):
            if not values.get(name):
                self._wrong((*place, name), f"is missing: the URL of {provider.name} needs it", f"add {name}: …")
        for name in _OURS[:4]:
            if values[name] and name not in wanted:
                self._wrong((*place, name), f"the URL of {provider.name} has no place for it", "remove it")

        def fill(text: str) -> str:
            return _PLACEHOLDER.sub(lambda match: values.get(match[1]) or match[0], text)

        paths = {operation: fill(path) for operation, path in provider.paths.items()}
        return replace(provider, url=fill(provider.url), paths=paths)

    def _urls(self, place: Place, provider: Provider, row: BackendRow) -> tuple[str, ...]:
        if row.base_url is None:
            if not provider.url and row.endpoints is None:
                what = f"is missing: {provider.name} has no address of its own"
                self._wrong((*place, "base_url"), what, "add base_url: http://127.0.0.1:8000")
            # What is still unfilled was said above.
            return (provider.url,) if provider.url and "{" not in provider.url else ()
        return self._given_urls(place, row)

    def _given_urls(self, place: Place, row: BackendRow) -> tuple[str, ...]:
        found = []
        for at, text in enumerate(row.base_url or ()):
            in_list = (*place, "base_url", at)
            here: Place = in_list if in_list in self._document.lines else in_list[:-1]
            try:
                found.append(base_url(text, self._networks))
            except Unclear as unclear:
                self._wrong(here, unclear.what, unclear.mend)
        if len(set(found)) != len(found):
            self._wrong((*place, "base_url"), "the same URL twice", "keep one of them")
        return tuple(found)

    def _key(self, place: Place, provider: Provider, row: BackendRow) -> Secret:
        here: Place = (*place, "api_key")
        if row.api_key is None and provider.auth.scheme != "none" and not provider.auth.optional:
            self._wrong(here, f"is missing: {provider.name} wants a key", f'add api_key: "${{{provider.auth.secret}}}"')
        if row.api_key is not None and provider.auth.scheme == "none":
            self._wrong(here, f"{provider.name} takes no key", "remove it")
        return self._given_key(place, row)

    def _given_key(self, place: Place, row: BackendRow) -> Secret:
        if row.api_key is None:
            return Secret("")
        try:
            found, source = secret(row.api_key, self._environment, self._beside)
        except Unclear as unclear:
            self._wrong((*place, "api_key"), unclear.what, unclear.mend)
            return Secret("")
        if source:
            self.sources.append(source)
        return found


def hourly(data: bytes) -> tuple[float, ...]:
    """Grams a kilowatt-hour of 24 hours (UTC) from CSV: 24 numbers, or rows of an hour and its number. Unclear.

    A heading is passed over; of a row with more columns the first and the last count.
    """
    mend = f"write {HOURS} numbers, or {HOURS} rows such as 0,380"
    lines = [line.strip() for line in data.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    rows = [[cell.strip() for cell in line.split(",") if cell.strip()] for line in lines]
    if rows and not any(map(_is_number, rows[0])):
        del rows[0]
    cells = [cell for row in rows for cell in row]
    if len(rows) == HOURS and all(len(row) > 1 for row in rows):
        by_hour = {row[0].zfill(2): row[-1] for row in rows}
        cells = [by_hour.get(f"{hour:02}", "") for hour in range(HOURS)]
    if len(cells) != HOURS:
        raise Unclear(f"has {len(cells)} numbers", mend)
    if not all(_is_number(cell) and 0 <= float(cell) <= MOST_CARBON for cell in cells):
        raise Unclear("doesn't have a carbon intensity for each hour", mend)
    return tuple(map(float, cells))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,6}(\.[0-9]{0,9})?", text) is not None


def timeouts(*rows: TimeoutsRow, otherwise: Timeouts = USUAL) -> Timeouts:
    """The first row that names a time decides it."""
    found = {}
    for name in ("connect", "first_token", "idle", "total"):
        given = [getattr(row, name) for row in rows if getattr(row, name) is not None]
        found[f"{name}_s"] = given[0] if given else getattr(otherwise, f"{name}_s")
    return Timeouts(**found)


def target(backend: Backend, backend_row: BackendRow, row: TargetRow) -> Target:
    """A target with its times resolved: its own, then its backend's, then the defaults."""
    price = row.price
    return Target(
        backend=backend,
        model=row.model,
        timeouts=timeouts(row.timeouts, backend_row.timeouts, otherwise=REASONING if row.reasoning else USUAL),
        price=Price(price.usd_per_request, price.usd_per_mtok_in, price.usd_per_mtok_out) if price else None,
        quantization=row.quantization,
        weight=row.weight,
        order=row.order,
        context_window=row.context_window,
        capabilities=row.capabilities,
    )
