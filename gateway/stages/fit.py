"""Leave out the places that can't serve a request: a model without eyes for a picture, a window too small for it."""

from collections.abc import Sequence

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.settings.shape import Target
from gateway.upstream.catalogue import Place
from gateway.wire.addresses import check_addresses
from gateway.wire.needs import Needs


def fit(places: Sequence[Place], needs: Needs) -> tuple[Place, ...]:
    """The places that can, in their order. BadRequest, naming what is missing everywhere, where none can."""
    fitting = tuple(place for place in places if not lacking(place.target, needs))
    if fitting or not places:
        return fitting
    lacks = [lacking(place.target, needs) for place in places]
    missing = min(lacks, key=len)
    if missing == ["context"]:
        raise BadRequest(
            "The request is longer than the context window of every backend of this model.",
            code="context_length_exceeded",
        )
    raise BadRequest(
        f"No backend of this model has what this request needs: {', '.join(missing)}.", code="unsupported_feature"
    )


def shun(places: Sequence[Place], language: str, request: Request) -> tuple[Place, ...]:
    """The places that may be shown this conversation: none that would fetch its addresses from within our network.

    BadRequest where it holds some and no place is left.
    """
    try:
        check_addresses(language, request)
    except BadRequest:
        left = tuple(place for place in places if not place.fetches)
        if not left:
            raise
        return left
    return tuple(places)


def lacking(target: Target, needs: Needs) -> list[str]:
    """What a target doesn't have. One that says nothing of its capabilities or its window is believed to have all."""
    missing = sorted(needs.capabilities.difference(target.capabilities)) if target.capabilities else []
    if target.context_window and needs.tokens > target.context_window:
        missing.append("context")
    return missing
