from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.masking import MESSAGE_BYTES, mask

KEYS = [
    "sk-proj-abcDEF1234567890abcDEF1234567890",
    "sk-ant-api03-" + "aB3" * 31 + "-x1y2z3AA",
    "sk-or-v1-" + "0123456789abcdef" * 4,
    "sk-ab***********cdef",
    "na***ys",
    "gsk_" + "a1B2" * 13,
    "xai-" + "a1B2" * 20,
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "nvapi-" + "Ab-1_" * 12,
    "pplx-" + "a1b2c3d4" * 6,
    "csk-" + "k3j4h5" * 8,
    "r8_" + "Q1w2E3r4" * 4,
    "AKIAIOSFODNN7EXAMPLE",
    "ya29.a0AfH6SMBx-1234567890_abcdefgh",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJVadQssw5c",
    "github_pat_11ABCDEFG0123456789_abcdefghijklmnop",
    "d41d8cd98f00b204e9800998ecf8427e",
    "d41d8cd98f00b204e9800998ecf8427e.AbCdEf0123456789",
    "Zk3vQ8mT1xR6yB9nW4pL7sD2",
    "550e8400-e29b-41d4-a716-446655440000",
    "org-AbCdEfGhIjKlMnOpQrStUvWx",
    "x" * 64,
]
PLACES = [
    "https://platform.openai.com/account/api-keys",
    "http://10.1.0.7:8000/v1/models?key=1",
    "redis://:secret1@cache:6379/0",
    "api.openai.com",
    "my-resource.openai.azure.com:443",
    "vllm.ml.svc.cluster.local:8000",
    "10.1.0.7:8000",
    "192.168.0.1",
    "localhost:11434",
    "localhost",
    "gpu-node-7:8000",
    "fd00:0:0:1::7",
    "::1",
]
WORDS = [
    "meta-llama/Llama-3.1-8B-Instruct",
    "nvidia/Llama-3_3-Nemotron-Super-49B-v1_5-FP8-instruct",
    "accounts/fireworks/models/llama-v3p1-405b-instruct",
    "Qwen3-235B-A22B-Instruct-2507-FP8",
    "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
    "gpt-4o-mini-2024-07-18",
    "llama3.2:3b-instruct-q4_K_M",
    "Qwen2VLForConditionalGeneration",
    "messages.0.content.1.image_url.url",
    "messages[2].role",
    "tools.function.parameters",
    "response_format.json_schema.strict",
    "GenerateContentRequestGenerationConfigThinkingConfig",
    "call_FB5D9ag6c8OPeDc5kzmkvXVL",
    "chatcmpl-C1KMEUDb1vVwsROQUCZTgG6A6vtWo",
    "sk-learn",
    "max_tokens: 100000",
    "12:30:45",
    "2024-10-22",
    "1e-5",
    "max_completion_tokens",
    "'temperature'",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("said", ["Not good: {}.", "{}", "'{}' is wrong", "token={},", "密钥{}无效", '{{"key":"{}"}}'])
def test_no_key_survives(said: str, key: str) -> None:
    masked = mask(said.format(key))
    assert "[key]" in masked
    for part in (key, key[:12], key[-12:]):
        assert len(part) < 7 or part not in masked


@pytest.mark.parametrize("key", ["abc123", "hunter2!", "tok-99"])
@pytest.mark.parametrize(
    "said", ["Authorization: Bearer {}", "bearer {}", "api_key={}", 'password: "{}"', "api key provided: {}"]
)
def test_a_short_key_does_not_survive_where_the_words_say_what_it_is(said: str, key: str) -> None:
    masked = mask(said.format(key))
    assert "[key]" in masked
    assert key.strip("!") not in masked


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("said", ["Cannot reach {}", "see {} .", "({})", '"{}"'])
def test_no_url_and_no_host_survives(said: str, place: str) -> None:
    masked = mask(said.format(place))
    assert "[url]" in masked or "[host]" in masked
    assert place not in masked
    assert "openai" not in masked


@pytest.mark.parametrize("word", WORDS)
def test_models_and_fields_and_values_survive(word: str) -> None:
    said = f"The request has {word} which is not supported, see {word}, '{word}'."
    assert mask(said) == said


def test_the_words_around_a_key_survive() -> None:
    assert mask("Incorrect API key provided: sk-ab12***cd34. Find yours at https://a.example/keys") == (
        "Incorrect API key provided: [key] Find yours at [url]"
    )


def test_what_does_not_print_becomes_a_space() -> None:
    assert mask("one\r\ntwo\x1b[31m\x00") == "one  two [31m "


def test_at_most_two_kibibytes_are_kept_and_no_character_is_halved() -> None:
    assert mask("word " * 1000) == ("word " * 1000)[:MESSAGE_BYTES]
    assert mask("é " * 4000).encode() == ("é " * 4000).encode()[:MESSAGE_BYTES]


def test_a_key_at_the_place_where_reading_ends_is_not_cut_in_two() -> None:
    # Masks make the text shorter, so the end of what was read may be what is shown last.
    long = "https://a.example/" + "x" * 4000 + " "
    assert mask(long + "sk-abcdef123456" * 20) == "[url] "


HOSTILE = (
    *("a.", "a-", "a", ":", "a:", "1.", "://", "a://", "sk-", "*", "bearer ", "eyJ", "eyJaaaaaaaaa.", "aA1"),
    *("api key: ", "0123abcd-", "0:", "a.com", "[", "x ", "é", "\n"),
)


@pytest.mark.parametrize("part", HOSTILE)
def test_no_words_are_slow_to_mask(part: str) -> None:
    text = part * (64 * 1024 // len(part))
    spaced = (part * 40 + " ") * 200
    began = process_time()
    mask(text)
    mask(spaced)
    assert process_time() - began < 0.5


@given(text=st.text(max_size=200))
def test_any_text_can_be_masked_and_masking_again_changes_nothing_more(text: str) -> None:
    once = mask(text)
    assert len(once.encode()) <= MESSAGE_BYTES
    assert mask(once) == once
