"""What must not be believed of a JSON body (reliability, section 3-C), by callers of every language.

One principle: what the gateway acts on, it checks; what it only carries is the backend's to judge, untouched.
"""

import time

import orjson
import pytest

from gateway.errors import BadRequest
from gateway.wire import raw
from tests.conformance.inputs_callers import CHAT, CLAUDE, CONVERSE, EMBEDDINGS, GEMINI, LANGUAGES, Language, stage

SPEAKERS = pytest.mark.parametrize("language", [*LANGUAGES, EMBEDDINGS], ids=str)
NAMED = pytest.mark.parametrize("language", [one for one in (*LANGUAGES, EMBEDDINGS) if one.names_model], ids=str)
IN_PATH = pytest.mark.parametrize("language", [GEMINI, CONVERSE], ids=str)
CHATS = pytest.mark.parametrize("language", LANGUAGES, ids=str)


def dumped(language: Language, **changed: object) -> bytes:
    return orjson.dumps(language.ask(**changed))


def extended(language: Language, text: bytes) -> bytes:
    """A good request and one more field, as written."""
    return dumped(language)[:-1] + b"," + text + b"}"


@SPEAKERS
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"null", "invalid_type"),
        (b"[]", "invalid_type"),
        (b'"x"', "invalid_type"),
        (b"1", "invalid_type"),
    ],
    ids=["empty", "null", "list", "string", "number"],
)
async def test_c1_what_is_no_object(language: Language, body: bytes, code: str) -> None:
    async with stage(language) as on:
        await on.refuses(body, code, None)


@SPEAKERS
@pytest.mark.parametrize("way", ["truncated", "trailing", "comment", "single quotes", "BOM", "trailing comma"])
async def test_c2_what_is_no_json(language: Language, way: str) -> None:
    good = dumped(language)
    bodies = {
        "truncated": good[:-1],
        "trailing": good + b"x",
        "comment": b"/* hi */" + good,
        "single quotes": good.replace(b'"', b"'"),
        "BOM": b"\xef\xbb\xbf" + good,
        "trailing comma": good[:-1] + b",}",
    }
    async with stage(language) as on:
        await on.refuses(bodies[way], "invalid_json", None)


@SPEAKERS
@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
async def test_c3_numbers_that_json_has_not(language: Language, number: bytes) -> None:
    async with stage(language) as on:
        await on.refuses(extended(language, b'"odd":' + number), "invalid_json", None)


@SPEAKERS
@pytest.mark.parametrize("depth", [65, 254, 1024, 100_000])
async def test_c4_c5_what_nests_too_deep(language: Language, depth: int) -> None:
    deep = b'"odd":' + b"[" * (depth - 1) + b"]" * (depth - 1)
    async with stage(language) as on:
        await on.refuses(extended(language, deep), "nesting_too_deep", None)


@SPEAKERS
async def test_c4_what_nests_as_deep_as_it_may_is_carried(language: Language) -> None:
    deep = b'"odd":' + b"[" * 63 + b"]" * 63
    async with stage(language) as on:
        await on.carries(extended(language, deep), deep)


@NAMED
@pytest.mark.parametrize("key", [b'"model"', b'"mod\\u0065l"'])
async def test_c6_a_model_said_twice(language: Language, key: bytes) -> None:
    async with stage(language) as on:
        await on.refuses(extended(language, key + b':"dear"'), "duplicate_field", "model")


LIMITS = [
    (CHAT, b'"max_tokens":5,"max_tokens":50000', "max_tokens"),
    (CHAT, b'"n":1,"n":100', "n"),
    (CHAT, b'"stream":false,"stream":true', "stream"),
    (CHAT, b'"metadata":{},"metadata":{"guardrails":1}', "metadata"),
    (CLAUDE, b'"max_tokens":64000', "max_tokens"),
    (CLAUDE, b'"messages":[]', "messages"),
    (GEMINI, b'"contents":[]', "contents"),
    (GEMINI, b'"generationConfig":{"maxOutputTokens":5,"maxOutputTokens":9}', "generationConfig.maxOutputTokens"),
    (GEMINI, b'"generationConfig":{"maxOutputTokens":5,"max_output_tokens":9}', "generationConfig.maxOutputTokens"),
    (CONVERSE, b'"inferenceConfig":{"maxTokens":5,"maxTokens":9}', "inferenceConfig.maxTokens"),
]


@pytest.mark.parametrize(("language", "text", "param"), LIMITS, ids=str)
async def test_c6_what_is_acted_on_said_twice(language: Language, text: bytes, param: str) -> None:
    code = "invalid_value" if b"max_output_tokens" in text else "duplicate_field"
    async with stage(language) as on:
        await on.refuses(extended(language, text), code, param)


@SPEAKERS
@pytest.mark.parametrize("number", [b"18446744073709551616", b"7" * 5000, b"1e999", b"1.10"], ids=lambda n: n[:20])
async def test_c3_c7_numbers_that_are_only_carried_stay_as_they_were(language: Language, number: bytes) -> None:
    async with stage(language) as on:
        await on.carries(extended(language, b'"odd":' + number), b'"odd":' + number + b"}")


LIMIT_FIELDS = [
    (CHAT, b'"max_tokens":%b', "max_tokens"),
    (CHAT, b'"max_completion_tokens":%b', "max_completion_tokens"),
    (CHAT, b'"n":%b', "n"),
    (LANGUAGES[1], b'"max_output_tokens":%b', "max_output_tokens"),
    (GEMINI, b'"generationConfig":{"maxOutputTokens":%b}', "generationConfig.maxOutputTokens"),
    (GEMINI, b'"generationConfig":{"candidateCount":%b}', "generationConfig.candidateCount"),
    (CONVERSE, b'"inferenceConfig":{"maxTokens":%b}', "inferenceConfig.maxTokens"),
    (LANGUAGES[5], b'"max_tokens":%b', "max_tokens"),
]


@pytest.mark.parametrize("number", [b"18446744073709551616", b"7" * 5000, b"1e999"], ids=lambda n: n[:20])
@pytest.mark.parametrize(("language", "text", "param"), LIMIT_FIELDS, ids=str)
async def test_c7_numbers_that_are_acted_on(language: Language, text: bytes, param: str, number: bytes) -> None:
    async with stage(language) as on:
        heard = await on.says(extended(language, text % number))
        [exchange] = on.inside.settled
        assert (heard.status, on.native.requests) == (400, [])
        assert exchange.error is not None
        assert exchange.error.reason in ("invalid_type", "invalid_value")
        assert exchange.error.param == param
        on.language.check_shape(heard, exchange)


@SPEAKERS
@pytest.mark.parametrize("way", ["lone surrogate", "in a name", "invalid UTF-8", "UTF-16"])
async def test_c8_what_is_no_text(language: Language, way: str) -> None:
    bodies = {
        "lone surrogate": extended(language, b'"odd":"\\ud800"'),
        "in a name": extended(language, b'"\\udc00":1'),
        "invalid UTF-8": extended(language, b'"odd":"\xff"'),
        "UTF-16": dumped(language).decode().encode("utf-16"),
    }
    async with stage(language) as on:
        await on.refuses(bodies[way], "invalid_json", None)


@NAMED
@pytest.mark.parametrize("model", ["m\0", "m\n", "\x1b[31mm", "m\u202e", ""], ids=repr)
async def test_c9_c12_d1_what_is_no_models_name(language: Language, model: str) -> None:
    async with stage(language) as on:
        await on.refuses(language.ask(model=model), "invalid_value", "model")


@IN_PATH
@pytest.mark.parametrize("model", ["%1b[31mm", "m%0d%0ax", "m%C2%A0"])
async def test_c9_c12_d1_what_is_no_models_name_in_a_path(language: Language, model: str) -> None:
    async with stage(language) as on:
        heard = await on.says(dumped(language), model)
        [exchange] = on.inside.settled
        assert (heard.status, on.native.requests) == (400, [])
        assert exchange.error is not None
        assert exchange.error.param == "model"
        on.language.check_shape(heard, exchange)


@SPEAKERS
async def test_c9_c11_c12_what_is_odd_but_text_is_carried(language: Language) -> None:
    odd = b'"__proto__":{"constructor":"{{7*7}} ${jndi:ldap://x} %s%n \\u0000 \\n \\u001b[31m"},"__class__":1'
    async with stage(language) as on:
        await on.carries(extended(language, odd), odd)


@CHATS
async def test_c9_c11_a_prompt_crosses_with_all_its_characters(language: Language) -> None:
    odd = "{{7*7}} ${jndi:ldap://x} %s%n \0 \n \x1b[31m __proto__"
    async with stage(language) as on:
        body = dumped(language).replace(b'"Hi"', orjson.dumps(odd))
        sent, changed = await on.translates(body)
        assert orjson.dumps(odd) in orjson.dumps(sent)
        assert changed == []


@SPEAKERS
async def test_c10_too_many_fields(language: Language) -> None:
    async with stage(language) as on:
        await on.refuses(language.ask(**{f"k{n}": 1 for n in range(10_001)}), "too_many_fields", None)


MANY = [
    (CHAT, "messages"),
    (LANGUAGES[1], "input"),
    (CLAUDE, "messages"),
    (GEMINI, "contents"),
    (CONVERSE, "messages"),
    (LANGUAGES[5], "messages"),
    *((language, "tools") for language in LANGUAGES if language is not CONVERSE),
]


@pytest.mark.parametrize(("language", "name"), MANY, ids=str)
async def test_c10_d10_too_many_turns_or_tools(language: Language, name: str) -> None:
    turns = language.fields.get(name, [{"type": "function"}])
    assert isinstance(turns, list)
    async with stage(language) as on:
        await on.refuses(language.ask(**{name: turns * (raw.MOST_ITEMS + 1)}), "invalid_value", name)


@SPEAKERS
async def test_c10_a_body_above_the_cap(language: Language) -> None:
    async with stage(language) as on:
        heard = await on.says(extended(language, b'"odd":"' + b"x" * (4 * 1024 * 1024) + b'"'))
        assert heard.status == 413
        assert set(heard.json) == language.shape
        assert on.native.requests == []


def test_c10_what_is_far_too_large_is_found_at_once() -> None:
    """In this process's own time: others may keep it waiting."""
    wide = b'{"model":"m",' + b",".join(b'"%d":1' % n for n in range(1_000_000)) + b"}"
    for body in (wide, b'{"messages":[' + b",".join([b"{}"] * 1_000_000) + b"]}"):
        times = []
        for _ in range(3):
            began = time.process_time()
            with pytest.raises(BadRequest):
                raw.read_fields(body)
            times.append(time.process_time() - began)
        assert min(times) < 1.0
