import pytest
from hypothesis import given, settings
from msgspec import Raw
from msgspec.json import encode

from gateway.features import Usage
from gateway.wire.anthropic_messages import spending
from gateway.wire.anthropic_messages.spending import Spending
from gateway.wire.losses import Losses
from tests.wire.anthropic_messages.asks import USAGES


def read(*told: object) -> tuple[Usage | None, list[str], str]:
    losses, spent = Losses(), Spending()
    for usage in told:
        spent.add(Raw(encode(usage)), losses)
    return spent.usage(), losses.names(), spent.tier


@pytest.mark.slow
@settings(deadline=None)  # an example takes as long as the machine lets it
@given(USAGES)
def test_what_is_written_is_read_as_it_was(usage: Usage) -> None:
    assert read(spending.write(usage))[0] == usage


def test_input_tokens_are_those_that_no_cache_held() -> None:
    assert spending.write(Usage(100, 7, 60, 30, 5)) == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 60,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 5},
    }


def test_official_clients_get_a_usage_though_none_is_known() -> None:
    assert spending.write(None) == {"input_tokens": 0, "output_tokens": 0}


def test_a_host_that_counts_more_cached_than_all_gives_no_negative_count() -> None:
    assert spending.write(Usage(5, 1, 9))["input_tokens"] == 0


def test_a_later_count_replaces_an_earlier_one_and_is_never_added() -> None:
    begun = {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 4, "service_tier": "priority"}
    assert read(begun, {"input_tokens": 10, "output_tokens": 9}) == (Usage(14, 9, 4), [], "priority")
    assert read(begun, {"output_tokens": 9, "input_tokens": None}) == (Usage(14, 9, 4), [], "priority")


def test_what_was_written_to_a_cache_may_be_told_by_its_time_alone() -> None:
    split = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
    usage, lost, _ = read({"input_tokens": 1, "output_tokens": 1, "cache_creation": split})
    assert usage == Usage(8, 1, 0, 7)
    assert lost == ["cache.ttl"]
    both = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 7, "cache_creation": split}
    assert read(both)[0] == Usage(8, 1, 0, 7)


def test_counts_of_searches_are_a_loss_where_there_were_any() -> None:
    assert read({"input_tokens": 1, "server_tool_use": {"web_search_requests": 0}})[1] == []
    assert read({"input_tokens": 1, "server_tool_use": {"web_search_requests": 2}})[1] == ["server_tool_use"]


@pytest.mark.parametrize(
    "told", [None, "x", {}, {"input_tokens": "7"}, {"input_tokens": -1}, {"input_tokens": 10**10, "output_tokens": 1}]
)
def test_what_is_no_count_is_no_usage(told: object) -> None:
    assert read(told)[0] is None


def test_more_thought_than_said_counts_as_unsaid() -> None:
    assert read({"output_tokens": 3, "output_tokens_details": {"thinking_tokens": 4}})[0] == Usage(0, 3)
