"""Ollama: which models are in memory and which on disk. It has no metrics: our own requests tell how busy it is.

A model leaves memory five minutes after its last request (keep_alive), so what is loaded is asked for each time.
Source: docs/api.md, List Running Models and List Local Models.
"""

from typing import Final

from msgspec import Struct
from msgspec.json import Decoder

from gateway.upstream.probes.reading import Answer, Ask, Look, Reading, Site, not_serving, read_json, wrong

LOADED: Final = "/api/ps"
ON_DISK: Final = "/api/tags"
ON_DISK_EVERY: Final = 10
_LATEST: Final = ":latest"


class _Model(Struct):
    """A row of either list. With a remote host it isn't computed here at all but in Ollama's cloud."""

    name: str
    remote_host: str = ""
    remote_model: str = ""


class _List(Struct):
    models: list[_Model] | None = None


_decoder: Final = Decoder(_List)


class Ollama:
    orca = False

    def __init__(self, site: Site) -> None:
        self._expected = site.models
        self._looks = 0
        self._on_disk: frozenset[str] | None = None

    def look(self, now: float) -> Look:
        del now
        answer = yield Ask(LOADED)
        ended = not_serving(answer, self._expected)
        if ended is not None:
            self._looks = 0
            return ended
        loaded = _names(answer)
        if self._looks % ON_DISK_EVERY == 0:
            there = yield Ask(ON_DISK)
            self._on_disk = _names(there) if there.status else self._on_disk
        self._looks += 1
        missing = wrong(LOADED, answer)
        if loaded is None or self._on_disk is None:
            # Half of the truth would make a model that is merely on disk one that isn't there.
            return Reading(alive=True, missing=missing)
        return Reading(alive=True, models=loaded, loadable=self._on_disk - loaded, missing=missing)


def _names(answer: Answer) -> frozenset[str] | None:
    """The models of a list under all the names they answer to; None where there is no list to read.

    Those of Ollama's cloud are left out: a request for one would leave the place this backend is configured to be at.
    """
    if answer.status != 200:
        return None
    try:
        rows = read_json(_decoder, answer.body).models or []
    except ValueError:
        return None
    names = {row.name for row in rows if not row.remote_host and not row.remote_model}
    return frozenset(names | {name.removesuffix(_LATEST) for name in names})
