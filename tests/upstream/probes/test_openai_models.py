import pytest

from gateway.upstream.probes.openai_models import Model, OpenaiModels, listed
from gateway.upstream.probes.reading import DEAD, Reading, Site
from tests.upstream.probes.looking import Told, answer, look, named, while_loading


def test_a_list_has_names_and_perhaps_parents() -> None:
    rows = listed(answer('{"object":"list","data":[{"id":"a"},{"id":"b","parent":"a","created":1}]}'))
    assert rows == [Model("a"), Model("b", "a")]


@pytest.mark.parametrize("told", [0, 401, 500, "", "[]", '{"data":[{}]}'])
def test_what_is_no_list_is_none(told: Told) -> None:
    assert listed(answer(told)) is None


def test_such_a_server_is_alive_or_not_and_more_is_not_known() -> None:
    assert look(OpenaiModels(Site()), {"/v1/models": '{"data":[{"id":"a"}]}'}) == Reading(alive=True)
    assert look(OpenaiModels(Site()), {"/v1/models": 401}) == Reading(
        alive=True, missing=frozenset(named("/v1/models 401"))
    )
    assert look(OpenaiModels(Site()), {"/v1/models": 0}) is DEAD
    assert while_loading(OpenaiModels(Site(("m",)))).loading
