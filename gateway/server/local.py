"""Answers of our own: which models there are, and whether we are alive."""

from fnmatch import fnmatchcase
from urllib.parse import unquote

from msgspec.json import Encoder

from gateway.errors import UnknownModel
from gateway.exchange import Call
from gateway.pipeline import Runtime

_encode = Encoder().encode
MODELS_CREATED = 0  # OpenAI's field for when a model was made, which a gateway can't know


def models(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    """The models this key may call, in OpenAI's shape."""
    rows = [_row(name) for name in runtime.catalogue.names if _may(call, name)]
    return 200, _encode({"object": "list", "data": rows})


def model(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    """One model; unknown and forbidden ones answer alike."""
    name = unquote(call.path.removeprefix("/v1/models/"))
    if not _may(call, name) or not runtime.catalogue.targets(name):
        raise UnknownModel("The model does not exist or you do not have access to it.", param="model")
    return 200, _encode(_row(name))


def alive(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    del call, runtime
    return 200, b'{"status":"ok"}'


def ready(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    del call
    if runtime.draining():
        return 503, b'{"status":"draining"}'
    return 200, b'{"status":"ready"}'


def nothing(call: Call, runtime: Runtime) -> tuple[int, bytes]:
    """An empty answer, whose headers say everything (OPTIONS)."""
    del call, runtime
    return 200, b""


def _row(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": MODELS_CREATED, "owned_by": "meridian"}


def _may(call: Call, name: str) -> bool:
    caller = call.caller
    return caller is None or not caller.models or any(fnmatchcase(name, glob) for glob in caller.models)
