"""Rows of callers.yaml as callers: each key with what its team and itself may do."""

from collections.abc import Collection

from gateway.routing.geo import countries
from gateway.routing.policy import Choice, Require
from gateway.settings.findings import Findings, is_blank, suggestion
from gateway.settings.models import CallersFile, ChoiceRow, TeamRow
from gateway.settings.shape import Caller, May
from gateway.settings.yaml import Document, Place

# They protect something, so a file that relies on them is refused until they do.
UNENFORCED = ("limits", "budget")
WITHOUT_EFFECT = ("organisation", "home")


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
        check_choice(document, ("teams", name, "providers"), team.providers, findings, providers, "provider")
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
        found.append(
            Caller(
                name=name,
                team=row.team,
                digest=bytes.fromhex(row.hash),
                models=its_team.models or (),
                expires_at=row.expires,
                may=May(row.may.policies, row.may.priority, row.may.plan, row.may.byok, row.may.complexity),
                tags=dict(its_team.tags),
                priority=its_team.priority,
                require=require(its_team),
            )
        )
    return tuple(found)


def require(team: TeamRow) -> Require:
    """What holds for a team's requests, whatever policies say."""
    return Require(
        jurisdictions=countries(team.jurisdictions) if team.jurisdictions else None, providers=choice(team.providers)
    )


def choice(row: ChoiceRow | None) -> Choice:
    """The names a row allows; all of them where there is none."""
    if row is None:
        return Choice()
    return Choice(frozenset(row.only) if row.only else None, frozenset(row.not_ or ()))


def check_choice(
    document: Document, place: Place, row: ChoiceRow | None, findings: Findings, known: Collection[str], what: str
) -> None:
    """Findings where a row names nothing, or somebody nobody knows; nothing is said where nobody is known."""
    if row is None:
        return
    if is_blank(document, place):
        findings.wrong(document, place, "is empty", "write only: […] or not: […], or remove the key")
    for key, names in (("only", row.only), ("not", row.not_)):
        for at, name in enumerate(names or ()):
            if known and name not in known:
                mend = suggestion(name, list(known), what)
                article = "an" if what[0] in "aeiou" else "a"
                findings.wrong(document, (*place, key, at), f"{name} isn't {article} {what}", mend)
