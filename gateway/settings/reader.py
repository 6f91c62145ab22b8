"""One reading of a configuration: every file it names, checked whole, and made into Settings."""

import glob
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from gateway.errors import ConfigProblem
from gateway.routing.policy import Policy
from gateway.settings.backends import BackendReader
from gateway.settings.callers import callers
from gateway.settings.catalogue import catalogue_path, read_catalogue
from gateway.settings.findings import Findings, suggestion
from gateway.settings.models import AliasesFile, CallersFile, GatewayFile, NamesFile, PopsFile
from gateway.settings.names import name_rules, shipped_names
from gateway.settings.options import VARIABLES, ProcessOptions, ServeOptions
from gateway.settings.policies import Known, PolicyReader, Proof
from gateway.settings.proxies import KNOWN, UNIX, idle
from gateway.settings.salvage import validated
from gateway.settings.scalars import Unclear
from gateway.settings.shape import (
    Backend,
    Caller,
    Caps,
    Deadlines,
    Listen,
    NameRule,
    Pop,
    Secret,
    Settings,
    Sinks,
    Tls,
    TrustedProxy,
)
from gateway.settings.substitution import private_file, substitute
from gateway.settings.yaml import Document, Place, Value, read, read_file

# What `--dev` serves where there is no file at all.
DEV_TEXT = b"state: memory\n"
BUILT_IN = "(built in)"

# Accepted for what comes later, or because it belongs elsewhere (OTEL_*, standard output); `gateway check` says so.
WITHOUT_EFFECT: tuple[Place, ...] = (
    ("decisions",),
    ("sinks", "ledger"),
    ("sinks", "otlp", "url"),
    ("sinks", "access_log", "url"),
)
# A key left blank is a slip, except where null is a value.
NULLABLE: frozenset[Place] = frozenset({("listen", "unix"), ("listen", "tls"), ("decisions", "file")})
SECRET_KEYS = frozenset({"api_key"})


class Reading(Struct):
    """Everything one reading found: the settings where there is no problem, and notes on keys without effect.

    `proofs` are the policies' examples, which only `gateway check` looks at.
    """

    settings: Settings | None
    problems: list[ConfigProblem]
    notes: list[ConfigProblem]
    proofs: list[Proof] = []


class Reader:
    """Reads one configuration, once."""

    def __init__(self, path: Path | None, environment: Mapping[str, str], options: ServeOptions) -> None:
        self._path = path
        self._environment = environment
        self._options = options
        self._findings = Findings()
        self._sources: list[str] = []
        self._proofs: list[Proof] = []
        self._callers_document: Document | None = None
        self._hash = hashlib.sha256()

    def read(self) -> Reading:
        """Read every file; problems of all of them come back together."""
        settings = None
        process = self._process()
        document = self._document(self._path)
        if document is not None:
            file = validated(document, GatewayFile, self._findings)
            if file is not None:
                settings = self._settings(document, file, process)
        problems = self._findings.sorted()
        return Reading(None if problems else settings, problems, self._findings.notes, self._proofs)

    def _process(self) -> ProcessOptions:
        if not any(name in self._environment for name in VARIABLES):
            return ProcessOptions()
        # pydantic-settings takes a third of a second to import, so only where it has something to read.
        from gateway.settings.process import read_process  # noqa: PLC0415  (see above)

        return read_process(self._environment, self._findings)

    def _document(self, path: Path | None) -> Document | None:
        """A file with its references replaced; its secrets stay as written until they are needed."""
        if path is None:
            document, problems = read(DEV_TEXT, BUILT_IN)
        else:
            document, problems = read_file(path)
            self._sources.append(str(path))
        for problem in problems:
            self._findings.add(problem)
        if document is not None:
            self._hash.update(document.digest)
            document.value = self._substituted(document, (), document.value)
        return document

    def _substituted(self, document: Document, place: Place, value: Value) -> Value:
        match value:
            case dict():
                return {key: self._substituted(document, (*place, key), inner) for key, inner in value.items()}
            case list():
                return [self._substituted(document, (*place, at), inner) for at, inner in enumerate(value)]
            case None if place and place not in NULLABLE:
                self._wrong(document, place, "is left blank", "write a value, or remove the key")
            case str() if place and place[-1] not in SECRET_KEYS:
                try:
                    return substitute(value, self._environment)
                except Unclear as unclear:
                    self._wrong(document, place, unclear.what, unclear.mend)
            case _:
                pass
        return value

    def _settings(self, document: Document, file: GatewayFile, process: ProcessOptions) -> Settings:
        beside = Path(document.file).parent
        pops = self._pops(document, file, beside)
        providers = read_catalogue(catalogue_path(), self._findings)
        networks = file.private_networks
        reader = BackendReader(document, self._findings, providers, self._environment, networks)
        backends = reader.backends(file, tuple(pops))
        pop = self._pop(document, file, process, pops)
        models = reader.models(file, backends, pop)
        rules = self._name_rules(file, beside)
        known_callers = self._callers(document, file, beside, providers)
        policies = self._policies(document, file, beside, providers, backends, pops, known_callers)
        self._notes(document)
        return Settings(
            models=models,
            backends=backends,
            callers=known_callers,
            state=self._state(document, file, process),
            pop=pop,
            listen=self._listen(document, file, process, beside),
            caps=_caps(file),
            deadlines=_deadlines(file),
            drain_s=file.drain,
            trusted_proxies=self._trusted(document, file),
            private_networks=networks,
            workers=self._options.workers or process.workers or 1,
            log_level=process.log_level or "info",
            admin_token=Secret(process.admin_token or ""),
            key_pepper=Secret(process.key_pepper or ""),
            dev=self._options.dev,
            sources=(*self._sources, *reader.sources),
            revision=self._hash.hexdigest()[:12],
            name_rules=rules,
            aliases=self._aliases(file, beside),
            pops=pops,
            policies=policies,
            geoip_db=process.geoip_db or "",
            sinks=_sinks(file, pops.get(pop)),
        )

    def _wrong(self, document: Document, place: Place, what: str, mend: str) -> None:
        self._findings.wrong(document, place, what, mend)

    def _pops(self, document: Document, file: GatewayFile, beside: Path) -> dict[str, Pop]:
        """The POPs by name: of the file that is named, or of pops.yaml beside the configuration."""
        path = beside / (file.pops or "pops.yaml")
        if file.pops is None and not path.is_file():
            return {}
        pops = self._document(path)
        rows = validated(pops, PopsFile, self._findings) if pops is not None else None
        return {
            name: Pop(
                name=name,
                url=row.url.rstrip("/"),
                region=row.region,
                country=row.country,
                location=row.location,
                egress_country=row.egress_country or row.country,
            )
            for name, row in (rows.root if rows is not None else {}).items()
        }

    def _name_rules(self, file: GatewayFile, beside: Path) -> tuple[NameRule, ...]:
        """The rules of the file that is named, else those the program comes with."""
        path = shipped_names() if file.names is None else beside / file.names
        document = self._document(path) if path is not None else None
        found = validated(document, NamesFile, self._findings) if document is not None else None
        return name_rules(document, found, self._findings) if document is not None and found is not None else ()

    def _pop(self, document: Document, file: GatewayFile, process: ProcessOptions, pops: Mapping[str, Pop]) -> str:
        pop = process.pop or file.pop
        if pop and pops and pop not in pops:
            self._wrong(document, ("pop",), f"{pop} isn't a POP", suggestion(pop, list(pops), "POP"))
        return pop

    def _state(self, document: Document, file: GatewayFile, process: ProcessOptions) -> str:
        state = process.state or file.state or ""
        if not state:
            if self._options.dev:
                return "memory"
            self._wrong(document, ("state",), "must be named", "add state: memory")
        elif state != "memory":
            kind = state.partition("://")[0]
            self._wrong(document, ("state",), f"{kind} is not built yet", "use memory")
        return state

    def _aliases(self, file: GatewayFile, beside: Path) -> frozenset[str]:
        """The other gateways whose fields have an effect: none unless a file says so."""
        document = self._document(beside / file.aliases) if file.aliases is not None else None
        found = validated(document, AliasesFile, self._findings) if document is not None else None
        if found is None:
            return frozenset()
        return frozenset(name for name in AliasesFile.model_fields if getattr(found, name))

    def _callers(
        self, document: Document, file: GatewayFile, beside: Path, providers: Collection[str]
    ) -> tuple[Caller, ...]:
        if file.callers is None:
            if not self._options.dev:
                self._wrong(document, ("callers",), "is missing: nobody could call", "add callers: callers.yaml")
            return ()
        callers_document = self._document(beside / file.callers)
        self._callers_document = callers_document
        if callers_document is None:
            return ()
        found = validated(callers_document, CallersFile, self._findings)
        if found is None:
            return ()
        written = any(place[0] == "keys" and len(place) == 2 for place in callers_document.lines if place)
        if not written and not self._options.dev:
            self._wrong(callers_document, ("keys",), "names no key: nobody could call", "add one")
        return callers(callers_document, found, self._findings, providers)

    def _policies(
        self,
        document: Document,
        file: GatewayFile,
        beside: Path,
        providers: Collection[str],
        backends: Mapping[str, Backend],
        pops: Collection[str],
        known_callers: Sequence[Caller],
    ) -> tuple[Policy, ...]:
        paths: list[Path] = []
        for at, pattern in enumerate(file.policies):
            # Path.glob knows neither `..` nor an absolute pattern.
            matches = sorted(glob.glob(str(beside / pattern), recursive=True))  # noqa: PTH207  (see above)
            if not matches:
                # A rule that protects somebody would be gone without a word.
                self._wrong(document, ("policies", at), f"{pattern} matches no file", "remove it, or write a policy")
            paths += [path for path in map(_plain, matches) if not any(path.samefile(other) for other in paths)]
        callers_file = self._callers_document
        known = Known(
            models=_names(document, "models"),
            backends=_names(document, "backends"),
            providers=providers,
            tiers={backend.tier for backend in backends.values()} | {row.tier for row in file.backends.values()},
            regions={row.region for row in file.backends.values()} - {""},
            keys=_names(callers_file, "keys"),
            teams=_names(callers_file, "teams"),
            pops=pops,
            dev=self._options.dev,
        )
        reader = PolicyReader(self._findings, known)
        found = reader.policies([one for path in paths if (one := self._document(path)) is not None])
        self._proofs = reader.proofs
        self._may_name(known_callers, reader.names)
        return found

    def _may_name(self, callers_of: Sequence[Caller], policies: Collection[str]) -> None:
        """What keys may choose must be there to be chosen."""
        for caller in callers_of:
            for at, name in enumerate(caller.may.policies):
                if name not in policies and self._callers_document is not None:
                    place: Place = ("keys", caller.name, "may", "policies", at)
                    mend = suggestion(name, sorted(policies), "policy")
                    self._wrong(self._callers_document, place, f"{name} isn't a policy", mend)

    def _notes(self, document: Document) -> None:
        for place in WITHOUT_EFFECT:
            if place in document.lines:
                self._findings.note(document, place, "has no effect in this version")

    def _trusted(self, document: Document, file: GatewayFile) -> tuple[TrustedProxy, ...]:
        """The proxies whose word is taken; who is named must be somebody whose headers are known."""
        rows = tuple(TrustedProxy(row.from_, row.address, row.country) for row in file.trusted_proxies)
        named = [UNIX, *(known.name for known in KNOWN)]
        for at, row in enumerate(rows):
            if "/" not in row.source and row.source not in named:
                what = f"{row.source} isn't somebody whose proxies are known"
                mend = suggestion(row.source, named, "name")
                self._wrong(document, ("trusted_proxies", at, "from"), what, mend)
        for at in idle(rows):
            what = f"nobody knows where {rows[at].source} calls from, so it has no effect"
            self._findings.note(document, ("trusted_proxies", at), what, "add its network: {from: 192.0.2.0/24}")
        return rows

    def _listen(self, document: Document, file: GatewayFile, process: ProcessOptions, beside: Path) -> Listen:
        row, options, default = file.listen, self._options, Listen()
        host = options.host or process.host or row.host or default.host
        control_host = process.control_host or row.control_host or default.control_host
        listen = Listen(
            host=host,
            port=_first(options.port, process.port, row.port, default.port),
            unix=row.unix,
            tls=self._tls(document, file, beside),
            names=tuple(name.lower() for name in row.names),
            control_host=control_host,
            control_port=_first(options.control_port, process.control_port, row.control_port, default.control_port),
        )
        if listen.port == listen.control_port != 0 and listen.host == listen.control_host:
            self._wrong(document, ("listen", "control_port"), f"{listen.port} is the callers' port too", "take another")
        if options.dev:
            for key, name in (("host", host), ("control_host", control_host)):
                if not is_loopback(name):
                    self._wrong(document, ("listen", key), f"{name} isn't loopback, and --dev is", "use 127.0.0.1")
        return listen

    def _tls(self, document: Document, file: GatewayFile, beside: Path) -> Tls | None:
        row = file.listen.tls
        if row is None:
            return None
        certificate, key = beside / row.cert, beside / row.key
        if not certificate.is_file():
            self._wrong(document, ("listen", "tls", "cert"), f"{certificate} isn't a file", "name the certificate's")
        try:
            private_file(key)
        except Unclear as unclear:
            self._wrong(document, ("listen", "tls", "key"), unclear.what, unclear.mend)
        self._sources += [str(certificate), str(key)]
        return Tls(str(certificate), str(key))


def _names(document: Document | None, section: str) -> list[str]:
    """The names written in a section, the wrong ones too, so that nothing which is written is called unknown."""
    lines = document.lines if document is not None else {}
    return [str(place[1]) for place in lines if len(place) == 2 and place[0] == section]


def _plain(path: str) -> Path:
    """A path without the `..` in it, where that is the same file: beside a link it need not be."""
    plain = Path(os.path.normpath(path))
    return plain if plain.exists() and plain.samefile(path) else Path(path)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _first(*numbers: int | None) -> int:
    return next(number for number in numbers if number is not None)


def _caps(file: GatewayFile) -> Caps:
    row, default = file.caps, Caps()
    return Caps(
        header_bytes=row.headers or default.header_bytes,
        header_fields=row.header_fields or default.header_fields,
        header_field_bytes=row.header or default.header_field_bytes,
        uri_bytes=row.uri or default.uri_bytes,
        json_bytes=row.json_ or default.json_bytes,
        files_bytes=row.files or default.files_bytes,
        answer_bytes=row.answer or default.answer_bytes,
        event_bytes=row.event or default.event_bytes,
        connections=row.connections or default.connections,
        per_address=row.per_address or default.per_address,
    )


def _sinks(file: GatewayFile, here: Pop | None) -> Sinks:
    """Where traces and log lines are kept. Standard output is where this POP is, unless the file says otherwise."""
    traces, log = file.sinks.otlp, file.sinks.access_log
    at_home = here.country if here is not None else ""
    return Sinks(
        otlp=traces.country if traces is not None else "",
        access_log=log.country if log is not None else at_home,
    )


def _deadlines(file: GatewayFile) -> Deadlines:
    row, default = file.deadlines, Deadlines()
    return Deadlines(
        headers_s=row.headers or default.headers_s,
        body_s=row.body or default.body_s,
        body_most_s=row.body_most or default.body_most_s,
        idle_s=row.idle or default.idle_s,
        write_stall_s=row.write_stall or default.write_stall_s,
        tls_s=row.tls or default.tls_s,
    )
