"""Rows of callers.yaml as callers: each key with what its team and itself may do."""

from collections.abc import Collection

from gateway.settings.findings import Findings, suggestion
from gateway.settings.models import CallersFile
from gateway.settings.shape import Caller, May
from gateway.settings.yaml import Document, Place

# They protect something, so a file that relies on them is refused until they do.
UNENFORCED = ("jurisdictions", "providers", "limits", "budget")
WITHOUT_EFFECT = ("organisation", "home", "tags", "priority")


def callers(
    document: Document, file: CallersFile, findings: Findings, providers: Collection[str]
) -> tuple[Caller, ...]:
    """Every key as its caller; findings where a team or a provider is unknown or two keys are one."""
    for name, team in file.teams.items():
        for key in team.model_fields_set:
            place: Place = ("teams", name, key)
            if key in UNENFORCED:
                findings.wrong(document, place, "is not enforced by this version", "leave it out until it is")
            elif key in WITHOUT_EFFECT:
                findings.note(document, place, "has no effect in this version")
    seen: dict[str, str] = {}
    found = []
    for name, row in file.keys.items():
        place = ("keys", name)
        if row.hash in seen:
            findings.wrong(document, (*place, "hash"), f"is the hash of {seen[row.hash]} too", "make a key of its own")
        seen.setdefault(row.hash, name)
        for at, brought in enumerate(row.may.byok):
            if providers and brought not in providers:
                mend = suggestion(brought, list(providers), "provider")
                findings.wrong(document, (*place, "may", "byok", at), f"{brought} isn't a provider", mend)
        its_team = file.teams.get(row.team)
        if its_team is None:
            mend = suggestion(row.team, list(file.teams), "team")
            findings.wrong(document, (*place, "team"), f"{row.team} isn't a team", mend)
            continue
        may = May(row.may.policies, row.may.priority, row.may.plan, row.may.byok)
        found.append(Caller(name, row.team, bytes.fromhex(row.hash), its_team.models or (), row.expires, may))
    return tuple(found)
