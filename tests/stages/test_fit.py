import pytest
from msgspec.structs import replace

from gateway.errors import BadRequest
from gateway.stages.fit import fit
from gateway.upstream.catalogue import Place
from gateway.wire.needs import Needs
from tests.stages.test_trial import PLACE

PICTURE = Needs(frozenset({"vision"}))


def able(*capabilities: str, window: int = 0) -> Place:
    return replace(PLACE, target=replace(PLACE.target, capabilities=capabilities, context_window=window))


def test_a_place_that_says_nothing_of_itself_is_believed_to_have_all() -> None:
    assert fit([able()], Needs(frozenset({"vision", "tools"}), 10**9)) == (able(),)


def test_a_picture_never_goes_where_it_does_not_work() -> None:
    blind, seeing = able("tools"), able("tools", "vision")
    assert fit([blind, seeing], PICTURE) == (seeing,)


def test_a_long_request_goes_to_the_larger_window() -> None:
    small, large = able(window=8192), able(window=131_072)
    assert fit([small, large], Needs(tokens=9000)) == (large,)
    assert fit([small, large], Needs(tokens=8192)) == (small, large)


def test_where_nobody_can_the_caller_is_told_what_is_missing() -> None:
    with pytest.raises(BadRequest, match=r"needs: vision\.") as refused:
        fit([able("tools"), able("documents")], PICTURE)
    assert refused.value.reason == "unsupported_feature"


def test_a_request_too_long_for_everyone_is_told_so_in_the_words_clients_know() -> None:
    with pytest.raises(BadRequest) as refused:
        fit([able(window=10)], Needs(tokens=11))
    assert refused.value.reason == "context_length_exceeded"


def test_no_places_stay_none() -> None:
    assert fit([], PICTURE) == ()
