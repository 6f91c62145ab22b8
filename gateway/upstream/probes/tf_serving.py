"""TensorFlow Serving: which versions of each configured model are there. Its batching queue has no gauge.

Source: tensorflow_serving/g3doc/api_rest.md, Model status API; the states are those of apis/get_model_status.proto.
"""

from typing import Final
from urllib.parse import quote

from msgspec import Struct
from msgspec.json import Decoder

from gateway.upstream.probes.reading import DEAD, Answer, Ask, Look, Reading, Site, read_json

# A server with more models than this is asked about the first of them; the others are taken as served.
MODELS_MOST: Final = 16
_COMING: Final = frozenset({"START", "LOADING"})


class _Version(Struct):
    state: str = ""


class _Status(Struct):
    model_version_status: list[_Version] = []


_decoder: Final = Decoder(_Status)


class TfServing:
    orca = False

    def __init__(self, site: Site) -> None:
        self._models = site.models

    def look(self, now: float) -> Look:
        del now
        ready, coming = set(self._models[MODELS_MOST:]), set()
        missing: set[str] = set()
        answered = False
        for model in self._models[:MODELS_MOST] or ("",):
            path = f"/v1/models/{quote(model)}"
            answer = yield Ask(path)
            if not answer.alive:
                if not answered:
                    return DEAD
                return Reading(alive=True)  # it went away half-way: what was heard before is no whole picture
            answered = True
            states = _states(answer)
            if "AVAILABLE" in states:
                ready.add(model)
            elif states & _COMING:
                coming.add(model)
            elif answer.status not in (200, 404):
                missing.add(f"{path} {answer.status}")
        known = bool(self._models) and not missing
        return Reading(
            alive=True,
            loading=known and not ready and bool(coming),
            models=frozenset(ready) if known else None,
            loadable=frozenset(coming),
            missing=frozenset(missing),
        )


def _states(answer: Answer) -> frozenset[str]:
    if answer.status != 200:
        return frozenset()
    try:
        return frozenset(version.state for version in read_json(_decoder, answer.body).model_version_status)
    except ValueError:
        return frozenset()
