"""A server of which nothing is known but that it lists its models as OpenAI does: whether it is there, and no more.

Its list says what may be asked for, not what is loaded: LM Studio lists what it has on disk, LiteLLM what it passes on.
Anything else about its load comes from our own requests.
"""

from typing import Final

from msgspec import Struct
from msgspec.json import Decoder

from gateway.upstream.probes.reading import Answer, Ask, Look, Reading, Site, not_serving, read_json, wrong

PATH: Final = "/v1/models"


class Status(Struct):
    """llama.cpp's router: unloaded, loading, loaded, sleeping, downloading (tools/server/README.md, GET /models)."""

    value: str = ""


class Model(Struct):
    """A row of such a list. `parent` is the model that a LoRA adapter belongs to (vLLM)."""

    id: str
    parent: str | None = None
    aliases: list[str] = []
    status: Status | None = None


class _List(Struct):
    data: list[Model] = []


_decoder: Final = Decoder(_List)


def listed(answer: Answer) -> list[Model] | None:
    """The models of a list; None where there is none to read."""
    if answer.status != 200:
        return None
    try:
        return read_json(_decoder, answer.body).data
    except ValueError:
        return None


class OpenaiModels:
    orca = False

    def __init__(self, site: Site) -> None:
        self._expected = site.models

    def look(self, now: float) -> Look:
        del now
        answer = yield Ask(PATH)
        return not_serving(answer, self._expected) or Reading(alive=True, missing=wrong(PATH, answer))
