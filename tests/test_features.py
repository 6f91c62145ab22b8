import pytest
from msgspec import Raw

from gateway.features import Request, Usage, Whole


def test_usage_is_nothing_until_something_was_used() -> None:
    assert Usage() == Usage(0, 0, 0, 0, 0, estimated=False)


def test_what_was_used_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Usage(1).input_tokens = 2  # type: ignore[misc]  # that it can't be done is the claim
    with pytest.raises(AttributeError):
        Whole().finish = "stop"  # type: ignore[misc]  # likewise


def test_a_request_is_not_streamed_and_asks_for_no_usage_unless_it_says_so() -> None:
    request = Request({"model": Raw(b'"m"')}, "m")
    assert (request.stream, request.wants_usage) == (False, False)
    assert Whole() == Whole(None, "")
