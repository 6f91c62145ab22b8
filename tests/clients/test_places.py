import pytest

from gateway.settings.load import providers
from gateway.wire.bridge import CONVERSATIONS
from tests.clients.places import PLACES, Place

# Nobody has made a stand-in for these.
WITHOUT = {"tgi", "triton_generate"}


def test_there_is_a_place_for_every_language_of_backends() -> None:
    assert {place.language for place in PLACES} == CONVERSATIONS.keys() - WITHOUT


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.language)
def test_who_comes_across_meets_that_language_and_no_other(place: Place) -> None:
    paths = providers()[place.provider].paths
    spoken = [language for language, operation in CONVERSATIONS.items() if operation in paths]
    assert spoken == [place.language]
