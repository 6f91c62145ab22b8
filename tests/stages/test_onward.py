"""What goes along to an upstream."""

import pytest

from gateway.errors import BadRequest, LoopDetected
from gateway.stages.onward import hops, passed_on, patience


@pytest.mark.parametrize("asked", [b"", b"0", b"000", b"-1", b"1.5", b"1e3", b"\xb2", b"1234567890"])
def test_a_deadline_is_a_positive_whole_number(asked: bytes) -> None:
    with pytest.raises(BadRequest) as told:
        patience(asked)
    assert told.value.reason == "invalid_header"


@pytest.mark.parametrize("passed", [b"here", b"a,here", b"here,b", b" here ,b", b"a,b,c,d"])
def test_a_request_that_was_here_goes_no_further(passed: bytes) -> None:
    with pytest.raises(LoopDetected):
        hops({b"x-gateway-hop": passed}, "here")


def test_each_gateway_adds_itself() -> None:
    assert hops({b"x-gateway-hop": b"a,b,c"}, "here") == b"x-gateway-hop: a,b,c,here\r\n"
    assert hops({}, "here") == b"x-gateway-hop: here\r\n"


def test_what_a_language_passes_on_goes_along_and_its_flags_have_names() -> None:
    headers = {b"anthropic-version": b"2023-06-01", b"anthropic-beta": b"one, t\xff", b"cookie": b"a=b"}
    lines, flags = passed_on(headers, (b"anthropic-version", b"anthropic-beta", b"openai-beta"))
    assert lines == b"anthropic-version: 2023-06-01\r\nanthropic-beta: one, t\xff\r\n"
    assert flags == ("anthropic-beta.one", "anthropic-beta.t?")
