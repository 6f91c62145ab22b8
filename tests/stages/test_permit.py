"""Which models a key may call."""

import pytest
from msgspec.structs import replace

from gateway.errors import Forbidden, UnknownModel
from gateway.stages.permit import may_call, permit, unserved
from gateway.upstream.catalogue import Catalogue
from tests.doubles.inside import CALLER, backend, settings_for


@pytest.mark.parametrize("model", ["llama-3", "gpt-4"])
def test_a_key_may_call_what_its_list_holds(model: str) -> None:
    permit(replace(CALLER, models=("llama-*", "gpt-4")), model)


@pytest.mark.parametrize("model", ["gpt-4o", "Llama-3", "xllama-3", ""])
def test_a_key_may_call_nothing_else(model: str) -> None:
    with pytest.raises(Forbidden):
        permit(replace(CALLER, models=("llama-*", "gpt-4")), model)


@pytest.mark.parametrize("asked", ["gpt-4o", "other-spelling"])
def test_another_spelling_opens_nothing(asked: str) -> None:
    with pytest.raises(Forbidden):
        permit(replace(CALLER, models=("llama-*", "gpt-4")), "gpt-4o", asked)


def test_a_spelling_that_would_be_his_does_not_tell_what_it_leads_to() -> None:
    with pytest.raises(UnknownModel):
        permit(replace(CALLER, models=("llama-*",)), "secret", "llama-secret-own-id")
    permit(replace(CALLER, models=("llama-*",)), "llama-1", "own-id")


def test_a_key_without_a_list_may_call_anything() -> None:
    permit(CALLER, "anything")
    permit(None, "anything")
    assert may_call(None, "anything")


def test_whether_a_model_is_there_decides_what_is_said_of_it() -> None:
    catalogue = Catalogue(settings_for({"story": [backend("one", "http://10.1.0.7")]}))
    assert isinstance(unserved(catalogue, "nobodys"), UnknownModel)
    assert unserved(catalogue, "story").reason == "unsupported_operation"
