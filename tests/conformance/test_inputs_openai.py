"""What must not be believed of OpenAI's fields, and of their like in other languages (reliability, section 3-D).

Addresses (rows D13 and D14) have tests of their own; another's files and batches (D18) have no path here.
"""

import orjson
import pytest

from gateway.wire.raw import REFUSED
from tests.conformance.inputs_callers import (
    CHAT,
    CLAUDE,
    COHERE,
    CONVERSE,
    ELSEWHERE,
    EMBEDDINGS,
    GEMINI,
    LANGUAGES,
    RESPONSES,
    Language,
    stage,
)

SPEAKERS = pytest.mark.parametrize("language", [*LANGUAGES, EMBEDDINGS], ids=str)
USER = {"role": "user", "content": "Hi"}
PARTS = {"role": "user", "parts": [{"text": "Hi"}]}
BLOCKS = {"role": "user", "content": [{"text": "Hi"}]}
BIG = "x" * 10_240


# --- D1: the model ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [one for one in (*LANGUAGES, EMBEDDINGS) if one.names_model], ids=str)
@pytest.mark.parametrize(
    ("model", "code", "status"),
    [
        (None, "missing_field", 400),
        ("", "invalid_value", 400),
        (BIG, "invalid_value", 400),
        (7, "invalid_type", 400),
        ("nobody", "model_not_found", 404),
        ("/../m", "model_not_found", 404),
        ("m\r\nx: y", "invalid_value", 400),
    ],
    ids=["none", "empty", "10 KiB", "number", "unknown", "dots", "CRLF"],
)
async def test_d1_a_model_that_is_none(language: Language, model: object, code: str, status: int) -> None:
    async with stage(language) as on:
        await on.refuses(language.ask(model=model), code, "model", status=status)


@pytest.mark.parametrize("language", [GEMINI, CONVERSE], ids=str)
async def test_d1_a_model_in_the_path_that_is_none(language: Language) -> None:
    async with stage(language) as on:
        await on.refuses(language.ask(), "model_not_found", "model", model="nobody", status=404)
        for odd in ("a" * 300, "%0d%0a", "%ff"):
            heard = await on.says(language.ask(), odd)
            assert heard.status == 400
            assert set(heard.json) == language.shape


# --- D3 to D9, D11, D16, D20: what is only carried --------------------------------------------------------------------

CARRIED = [
    (CHAT, [b'"temperature":"hot"', b'"temperature":1e308', b'"temperature":true', b'"temperature":-1']),
    (CHAT, [b'"stop":["a","b","c","d","e"]', b'"stop":""', b'"logit_bias":{"1":1000}', b'"top_logprobs":99']),
    (
        CHAT,
        [b'"response_format":{"type":"unheard of"}', b'"tomorrow":{"a":1.50}', b'"user":"' + b"u" * 1_000_000 + b'"'],
    ),
    (CHAT, [b'"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"f"}}]']),
    (CHAT, [b'"tools":[{"type":"function","function":{"name":"f","parameters":{"$ref":"http://evil/x"}}}]']),
    (
        RESPONSES,
        [b'"temperature":"hot"', b'"text":{"format":{"type":"unheard of"}}', b'"tomorrow":18446744073709551616'],
    ),
    (CLAUDE, [b'"temperature":"hot"', b'"stop_sequences":""', b'"tomorrow":{"a":1.50}', b'"top_k":-1']),
    (GEMINI, [b'"generationConfig":{"temperature":"hot","topK":-1.50}', b'"safetySettings":[{"category":"odd"}]']),
    (CONVERSE, [b'"inferenceConfig":{"temperature":"hot","topP":1.50}', b'"tomorrow":{"a":1.50}']),
    (COHERE, [b'"temperature":"hot"', b'"k":-1', b'"tomorrow":{"a":1.50}', b'"response_format":{"type":"unheard of"}']),
    (EMBEDDINGS, [b'"encoding_format":"junk"', b'"dimensions":-1', b'"tomorrow":{"a":1.50}']),
]


@pytest.mark.parametrize(
    ("language", "text"), [(language, text) for language, texts in CARRIED for text in texts], ids=lambda x: str(x)[:60]
)
async def test_what_is_only_carried_is_the_backends_to_judge(language: Language, text: bytes) -> None:
    async with stage(language) as on:
        await on.carries(orjson.dumps(language.ask())[:-1] + b"," + text + b"}", text)


@pytest.mark.parametrize("given", [b"[]", b"[[-1]]", b"[" + b",".join([b"1"] * 100_000) + b"]"], ids=lambda g: g[:8])
async def test_d17_what_is_to_be_embedded_is_carried(given: bytes) -> None:
    async with stage(EMBEDDINGS) as on:
        await on.carries(b'{"model":"m","input":' + given + b"}", b'"input":' + given + b"}")


async def test_d16_what_another_language_has_not_is_a_loss() -> None:
    for language in LANGUAGES:
        async with stage(language) as on:
            sent, changed = await on.translates(language.ask(tomorrow={"a": 1}))
            assert "tomorrow" not in sent
            assert "tomorrow" in changed


# --- D2, D12: the conversation ----------------------------------------------------------------------------------------

CALL = {"type": "function", "id": "c1", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "1"}
USES = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}

CONVERSATIONS: list[tuple[Language, object, str, str]] = [
    (CHAT, [], "invalid_value", "messages"),
    (CHAT, None, "missing_field", "messages"),
    (CHAT, "Hi", "invalid_type", "messages"),
    (CHAT, [USER, None], "invalid_type", "messages[1]"),
    (CHAT, [USER, USER, {"role": "wizard", "content": "Hi"}], "invalid_value", "messages[2].role"),
    (CHAT, [USER, {"content": "Hi"}], "missing_field", "messages[1].role"),
    (CHAT, [{"role": "user"}], "missing_field", "messages[0].content"),
    (CHAT, [USER, RESULT], "untranslatable", "messages[1].tool_call_id"),
    (CHAT, [USER, {**CALLS, "tool_calls": [CALL, CALL]}, RESULT], "untranslatable", "messages[1].tool_calls[1].id"),
    (RESPONSES, [], "invalid_value", "input"),
    (RESPONSES, None, "missing_field", "input"),
    (RESPONSES, 7, "invalid_type", "input"),
    (RESPONSES, [{"role": "wizard", "content": "Hi"}], "invalid_value", "input[0].role"),
    (RESPONSES, [{"role": "user"}], "missing_field", "input[0].content"),
    (RESPONSES, [{"type": "function_call_output", "call_id": "c"}], "untranslatable", "input[0].call_id"),
    (GEMINI, None, "missing_field", "contents"),
    (GEMINI, 7, "invalid_type", "contents"),
    (GEMINI, [{"role": "wizard", "parts": [{"text": "Hi"}]}], "invalid_value", "contents[0].role"),
    (CONVERSE, None, "missing_field", "messages"),
    (CONVERSE, [], "invalid_value", "messages"),
    (CONVERSE, [BLOCKS, {**BLOCKS, "role": "wizard"}], "invalid_value", "messages[1].role"),
    (CONVERSE, [{"role": "user"}], "missing_field", "messages[0].content"),
    (
        CONVERSE,
        [{"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": []}}]}],
        "untranslatable",
        "messages[0].content[0]",
    ),
    (COHERE, None, "missing_field", "messages"),
    (COHERE, [], "invalid_value", "messages"),
    (COHERE, "Hi", "invalid_type", "messages"),
    (COHERE, [USER, {"role": "wizard", "content": "Hi"}], "invalid_value", "messages[1].role"),
    (COHERE, [USER, RESULT], "untranslatable", "messages[1].tool_call_id"),
]
# Which of them are refused though the body would only be carried: Cohere's check looks for a list, Gemini's for files.
ALWAYS = [row for row in CONVERSATIONS if row[0] is COHERE][:3] + [
    row for row in CONVERSATIONS if row[:2] == (GEMINI, 7)
]


def conversation(language: Language, said: object) -> dict[str, object]:
    name = next(iter(language.fields))
    return language.ask(**{name: said})


@pytest.mark.parametrize(("language", "said", "code", "param"), CONVERSATIONS, ids=str)
async def test_d2_d12_a_conversation_that_must_be_understood(
    language: Language, said: object, code: str, param: str
) -> None:
    async with stage(language) as on:
        await on.refuses(conversation(language, said), code, param, model=ELSEWHERE)


@pytest.mark.parametrize(("language", "said", "code", "param"), CONVERSATIONS, ids=str)
async def test_d2_d12_a_conversation_that_is_only_carried(
    language: Language, said: object, code: str, param: str
) -> None:
    async with stage(language) as on:
        if (language, said, code, param) in ALWAYS:
            await on.refuses(conversation(language, said), code, param)
        else:
            await on.carries(conversation(language, said), b"" if said is None else orjson.dumps(said))


# --- D4 to D7: what is acted on ---------------------------------------------------------------------------------------

COUNTS = [
    (CHAT, "max_tokens", "max_tokens"),
    (CHAT, "max_completion_tokens", "max_completion_tokens"),
    (RESPONSES, "max_output_tokens", "max_output_tokens"),
    (CLAUDE, "max_tokens", "max_tokens"),
    (GEMINI, "maxOutputTokens", "generationConfig.maxOutputTokens"),
    (CONVERSE, "maxTokens", "inferenceConfig.maxTokens"),
    (COHERE, "max_tokens", "max_tokens"),
]


@pytest.mark.parametrize(
    ("value", "code"), [(0, "value"), (-1, "value"), (1.5, "type"), (2**31, "value"), (True, "type")]
)
@pytest.mark.parametrize(("language", "name", "param"), COUNTS, ids=str)
async def test_d4_a_limit_that_is_none(language: Language, name: str, param: str, value: object, code: str) -> None:
    outer, dot, _inner = param.partition(".")
    async with stage(language) as on:
        await on.refuses(language.ask(**({outer: {name: value}} if dot else {name: value})), f"invalid_{code}", param)


async def test_d4_two_limits_that_differ() -> None:
    async with stage(CHAT) as on:
        await on.refuses(CHAT.ask(max_tokens=5, max_completion_tokens=6), "invalid_value", "max_tokens")


@pytest.mark.parametrize("count", [0, 129, 10**9])
async def test_d5_a_number_of_answers_that_is_none(count: int) -> None:
    async with stage(CHAT) as on:
        await on.refuses(CHAT.ask(n=count), "invalid_value", "n")
    async with stage(GEMINI) as on:
        config = {"candidateCount": count}
        await on.refuses(GEMINI.ask(generationConfig=config), "invalid_value", "generationConfig.candidateCount")


async def test_d5_more_answers_than_one_where_there_is_but_one() -> None:
    async with stage(CHAT) as on:
        await on.refuses(CHAT.ask(n=2), "unsupported_feature", "n", model=ELSEWHERE)


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one.names_model], ids=str)
@pytest.mark.parametrize("flag", ["true", 1, 0, []])
async def test_d6_a_stream_that_is_no_flag(language: Language, flag: object) -> None:
    async with stage(language) as on:
        await on.refuses(language.ask(stream=flag), "invalid_type", "stream")


async def test_d7_options_of_a_stream() -> None:
    async with stage(CHAT) as on:
        options = {"include_usage": True}
        await on.refuses(CHAT.ask(stream_options=options), "invalid_value", "stream_options")
        options = {"include_usage": "yes"}  # type: ignore[dict-item]  # what is refused
        await on.refuses(CHAT.ask(stream=True, stream_options=options), "invalid_type", "stream_options")


# --- D10: tools where they must be understood -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tools", "code", "param"),
    [
        ([{"type": "function", "function": {"name": "f"}}] * 2, "invalid_value", "tools"),
        ([{"type": "function"}], "missing_field", "tools[0].function"),
        (
            [{"type": "function", "function": {"name": "f", "parameters": 7}}],
            "invalid_type",
            "tools[0].function.parameters",
        ),
        ([7], "invalid_type", "tools[0]"),
        (7, "invalid_type", "tools"),
    ],
)
async def test_d10_tools_that_must_be_understood(tools: object, code: str, param: str) -> None:
    async with stage(CHAT) as on:
        await on.refuses(CHAT.ask(tools=tools), code, param, model=ELSEWHERE)


async def test_d10_a_schema_is_never_resolved_nor_run() -> None:
    schema = {"$ref": "http://169.254.169.254/", "pattern": "(a+)+$", "properties": {"a": {"$ref": "#"}}}
    async with stage(CHAT) as on:
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        sent, _ = await on.translates(CHAT.ask(tools=[tool]))
        assert sent["tools"] == [{"name": "f", "input_schema": {"type": "object", **schema}}]


async def test_d10_a_schema_that_nests_too_deep() -> None:
    schema = b'{"items":' * 300 + b"1" + b"}" * 300
    body = orjson.dumps(CHAT.ask(tools=[{"type": "function", "function": {"name": "f", "parameters": "@"}}]))
    async with stage(CHAT) as on:
        await on.refuses(body.replace(b'"@"', schema), "nesting_too_deep", None)


# --- D15, D18, D19: what is never taken -------------------------------------------------------------------------------


@SPEAKERS
@pytest.mark.parametrize("name", sorted(REFUSED))
async def test_d15_where_a_request_goes_is_not_for_a_body_to_say(language: Language, name: str) -> None:
    async with stage(language) as on:
        await on.refuses(language.ask(**{name: "http://evil"}), "unsupported_field", name)
        await on.refuses(language.ask(**{name: "http://evil"}), "unsupported_field", name, model=ELSEWHERE)
        spelt = orjson.dumps(language.ask(odd=1)).replace(b'"odd"', b'"\\u%04x%b"' % (ord(name[0]), name[1:].encode()))
        await on.refuses(spelt, "unsupported_field", name)


@SPEAKERS
@pytest.mark.parametrize(("outer", "inner"), [("metadata", "guardrails"), ("cache", "namespace")])
async def test_d15_nor_what_stands_in_another_field(language: Language, outer: str, inner: str) -> None:
    async with stage(language) as on:
        await on.refuses(language.ask(**{outer: {inner: ["none"]}}), "unsupported_field", f"{outer}.{inner}")


def holding(part: dict[str, object]) -> dict[str, object]:
    """A user's message with this part."""
    return {"role": "user", "content": [part]}


FILE: dict[str, object] = {"file_id": "file-1"}
UPLOADED = {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}
STORED: list[tuple[Language, dict[str, object], str]] = [
    (CHAT, {"messages": [holding({"type": "file", "file": FILE})]}, "messages[0].content[0]"),
    (RESPONSES, {"previous_response_id": "resp_1"}, "previous_response_id"),
    (RESPONSES, {"conversation": "conv_1"}, "conversation"),
    (RESPONSES, {"conversation": {"id": "conv_1"}}, "conversation"),
    (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "prompt"),
    (RESPONSES, {"background": True}, "background"),
    (RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
    (RESPONSES, {"input": [holding({"type": "input_file", **FILE})]}, "input[0].content"),
    (RESPONSES, {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0]"),
    (
        CLAUDE,
        {"messages": [holding({"type": "document", "source": {"type": "file", **FILE}})]},
        "messages[0].content[0]",
    ),
    (CLAUDE, {"container": "container_1"}, "container"),
    (GEMINI, {"cachedContent": "cachedContents/1"}, "cachedContent"),
    (GEMINI, {"cached_content": "cachedContents/1"}, "cachedContent"),
    (GEMINI, {"tools": [{"fileSearch": {"fileSearchStoreNames": ["a"]}}]}, "tools[0].fileSearch"),
    (GEMINI, {"contents": [{"role": "user", "parts": [{"fileData": UPLOADED}]}]}, "contents"),
]


@pytest.mark.parametrize(("language", "fields", "param"), STORED, ids=str)
async def test_d18_d19_what_is_stored_under_our_account(
    language: Language, fields: dict[str, object], param: str
) -> None:
    async with stage(language) as on:
        await on.refuses(language.ask(**fields), "unsupported_feature", param)
        await on.refuses(language.ask(**fields), "unsupported_feature", param, model=ELSEWHERE)
