import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import decode

from gateway.features import Usage
from gateway.wire.openai_usage import MOST_TOKENS, Spent, read_usage, spent_in


def read(text: str) -> Usage | None:
    return read_usage(decode(text, type=Spent))


def test_the_counts_are_openais() -> None:
    usage = read(
        '{"prompt_tokens": 364, "completion_tokens": 40, "total_tokens": 404,'
        ' "prompt_tokens_details": {"cached_tokens": 128, "audio_tokens": 0},'
        ' "completion_tokens_details": {"reasoning_tokens": 16, "audio_tokens": 0}}'
    )
    assert usage == Usage(input_tokens=364, output_tokens=40, cached_tokens=128, reasoning_tokens=16)


@pytest.mark.parametrize(
    ("host", "text", "usage"),
    [
        ("deepseek", '{"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 8}', Usage(9, 2, 8)),
        ("mistral", '{"prompt_tokens": 9, "completion_tokens": 2, "num_cached_tokens": 7}', Usage(9, 2, 7)),
        ("moonshot", '{"prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 6}', Usage(9, 2, 6)),
        (
            "openrouter",
            '{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":5}}',
            Usage(9, 2, 4, 5),
        ),
        (
            "anthropic behind another",
            '{"prompt_tokens": 9, "completion_tokens": 2, "cache_creation_input_tokens": 3}',
            Usage(9, 2, 0, 3),
        ),
        (
            "xai counts thinking beside the answer",
            '{"prompt_tokens":12,"completion_tokens":1,"total_tokens":399,"completion_tokens_details":{"reasoning_tokens":386}}',
            Usage(12, 387, reasoning_tokens=386),
        ),
        (
            "gemini counts thinking in the total only",
            '{"prompt_tokens": 20, "completion_tokens": 151, "total_tokens": 553}',
            Usage(20, 533, reasoning_tokens=382),
        ),
        ("gemini while it thinks", '{"prompt_tokens": 20, "total_tokens": 50}', Usage(20, 30, reasoning_tokens=30)),
        ("openai images", '{"input_tokens": 50, "output_tokens": 60, "total_tokens": 110}', Usage(50, 60)),
        ("voyage", '{"total_tokens": 3}', Usage(3)),
        ("embeddings", '{"prompt_tokens": 5, "total_tokens": 5}', Usage(5)),
        ("only the output", '{"completion_tokens": 5}', Usage(0, 5)),
        ("hugging face", '{"prompt_tokens": 4, "completion_tokens": 2, "prompt_tokens_details": null}', Usage(4, 2)),
    ],
)
def test_every_hosts_words_are_understood(host: str, text: str, usage: Usage) -> None:
    assert read(text) == usage, host


def test_a_total_that_nothing_explains_is_left_alone() -> None:
    text = (
        '{"prompt_tokens":5,"completion_tokens":5,"total_tokens":90,"completion_tokens_details":{"reasoning_tokens":3}}'
    )
    assert read(text) == Usage(5, 5, reasoning_tokens=3)


def test_a_written_zero_is_zero_and_nothing_is_nothing() -> None:
    assert read('{"prompt_tokens": 0, "completion_tokens": 0}') == Usage(0, 0)
    assert read("{}") is None
    assert read('{"prompt_tokens": null}') is None


@pytest.mark.parametrize("count", [-1, MOST_TOKENS + 1, 10**12, 10**40])
def test_what_no_model_can_have_used_is_no_usage(count: int) -> None:
    assert read(f'{{"prompt_tokens": {count}, "completion_tokens": 1}}') is None
    assert read(f'{{"prompt_tokens": 1, "completion_tokens": {count}}}') is None
    assert read(f'{{"prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": {count}}}') is None


def test_counts_of_other_types_are_read_where_they_are_whole_numbers() -> None:
    spent = spent_in(
        {
            "prompt_tokens": 7.0,
            "completion_tokens": "3",
            "total_tokens": True,
            "cached_tokens": 1.5,
            "prompt_tokens_details": {"cached_tokens": 2.0, "cache_write_tokens": None},
            "completion_tokens_details": "none",
        }
    )
    assert spent is not None
    assert read_usage(spent) == Usage(7, 0, 2)


@pytest.mark.parametrize("value", [None, [], "usage", 7])
def test_what_is_no_object_tells_no_usage(value: object) -> None:
    assert spent_in(value) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(Spent.__struct_fields__), inner),
    max_leaves=8,
)


@given(value=st.dictionaries(st.sampled_from(Spent.__struct_fields__), JSON))
def test_any_usage_is_read_or_left_and_never_below_zero(value: dict[str, object]) -> None:
    spent = spent_in(value)
    assert spent is not None
    usage = read_usage(spent)
    assert usage is None or min(usage.input_tokens, usage.output_tokens, usage.cached_tokens) >= 0


@given(prompt=st.integers(0, 10**6), completion=st.integers(0, 10**6))
def test_what_openai_counts_is_what_is_counted(prompt: int, completion: int) -> None:
    assert read_usage(Spent(prompt, completion, prompt + completion)) == Usage(prompt, completion)
