"""The catalogue of providers: config/providers.yaml in a checkout, its copy inside the package in a wheel."""

from pathlib import Path

import msgspec
from pydantic import ValidationError

from gateway.settings.findings import Findings
from gateway.settings.models import ProviderRow, ProvidersFile
from gateway.settings.shape import Auth, Provider
from gateway.settings.yaml import read_file
from gateway.wire.dialect import Dialect

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent / "config" / "providers.yaml"
WHEEL = PACKAGE / "catalogue" / "providers.yaml"


def catalogue_path() -> Path:
    """Where the catalogue is; the wheel's copy wins, since a checkout has none."""
    return WHEEL if WHEEL.is_file() else CHECKOUT


def read_catalogue(path: Path, findings: Findings) -> dict[str, Provider]:
    """Every provider by its name; empty, with problems, where the file can't be read."""
    document, problems = read_file(path)
    for problem in problems:
        findings.add(problem)
    if document is None:
        return {}
    try:
        rows = ProvidersFile.model_validate(document.value).root
    except ValidationError as error:
        findings.invalid(document, ProvidersFile, error)
        return {}
    for name, row in rows.items():
        if row.auth.scheme == "header" and not row.auth.header:
            findings.wrong(document, (name, "auth"), "names no header", "add header: x-api-key")
    return {name: provider(name, row) for name, row in rows.items()}


def provider(name: str, row: ProviderRow) -> Provider:
    """The frozen form of a row; values that a dialect sets become JSON texts."""
    dialect = Dialect(
        drop=row.dialect.drop,
        rename=dict(row.dialect.rename),
        set={field: msgspec.json.encode(value).decode() for field, value in row.dialect.set.items()},
        cap=dict(row.dialect.cap),
    )
    auth = Auth(row.auth.scheme, row.auth.secret, row.auth.header, row.auth.optional)
    return Provider(
        name=name,
        speaks=row.speaks,
        url=row.url.rstrip("/"),
        paths=dict(row.paths),
        auth=auth,
        dialect=dialect,
        stream_usage=row.stream_usage,
        regions=row.regions,
        country=row.country or "",
        unavailable_from=row.unavailable_from,
        probe=row.probe,
        price_id=row.price_id,
        docs=row.docs,
        crossing=dict(row.crossing),
        fetches_urls=row.fetches_urls,
        prefill=row.prefill,
    )
