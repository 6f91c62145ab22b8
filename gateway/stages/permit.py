"""Which models a key may call; what it may not call doesn't exist for it."""

from fnmatch import fnmatchcase

from gateway.errors import BadRequest, CallerError, Forbidden, UnknownModel
from gateway.settings.shape import Caller
from gateway.upstream.catalogue import Catalogue


def permit(caller: Caller | None, model: str, asked: str = "") -> None:
    """A key with a list of models may call those, however it `asked` for them; whether another exists is not told."""
    if may_call(caller, model):
        return
    if may_call(caller, asked or model):
        # It would be his, had anything that name; that it is another spelling of something else is not told either.
        raise unknown_model()
    raise Forbidden("This API key may not use this model.", param="model")


def may_call(caller: Caller | None, model: str) -> bool:
    """Whether a key's list holds a configured name; without a list it holds all."""
    return caller is None or not caller.models or any(fnmatchcase(model, glob) for glob in caller.models)


def unserved(catalogue: Catalogue, model: str) -> CallerError:
    """What it means that nobody serves this model for this operation."""
    if catalogue.find(model) is not None:
        return BadRequest("This model does not serve this operation.", code="unsupported_operation", param="model")
    return unknown_model()


def unknown_model() -> UnknownModel:
    return UnknownModel("The model does not exist or you do not have access to it.", param="model")
