"""The official clients, the gateway, and a real language model behind it."""

import openai
import orjson
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.real.asking import client
from tests.real.conftest import SMOLLM
from tests.real.gateways import Gateway
from tests.real.llamas import Llama
from tests.real.node_client import one_of_each

pytestmark = pytest.mark.real

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
EIGHT = {"ignore_eos": True}
WIDTH = 576


@pytest.fixture(autouse=True)
def _served(llamas: tuple[Llama, Llama]) -> None:
    """Both servers are up."""


async def test_the_models_are_listed(gateway: Gateway) -> None:
    async with client(gateway.url) as asks:
        assert [model.id async for model in asks.models.list()] == [SMOLLM]


async def test_a_whole_chat_comes_back_with_its_usage_and_where_it_was_answered(gateway: Gateway) -> None:
    async with client(gateway.url) as asks:
        raw = await asks.chat.completions.with_raw_response.create(
            model=SMOLLM, messages=HELLO, max_tokens=8, extra_body=EIGHT
        )
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    assert raw.headers["x-gateway-backend"] == "first"
    assert raw.headers["x-gateway-attempts"] == "1"
    line = gateway.of(raw.headers["x-request-id"])
    assert (line.outcome, line.output_tokens) == ("answered", 8)


async def test_a_stream_says_what_the_whole_chat_says(gateway: Gateway) -> None:
    async with client(gateway.url) as asks:
        whole = await asks.chat.completions.create(
            model=SMOLLM, messages=HELLO, max_tokens=8, temperature=0, extra_body=EIGHT
        )
        pieces = [
            chunk.choices[0].delta.content or ""
            async for chunk in await asks.chat.completions.create(
                model=SMOLLM, messages=HELLO, max_tokens=8, temperature=0, stream=True, extra_body=EIGHT
            )
        ]
    assert len(pieces) > 2
    assert "".join(pieces) == whole.choices[0].message.content


async def test_a_streams_usage_is_metered_and_shown_only_to_who_asked(gateway: Gateway) -> None:
    async with client(gateway.url) as asks:
        raw = await asks.chat.completions.with_raw_response.create(
            model=SMOLLM, messages=HELLO, max_tokens=8, stream=True, extra_body=EIGHT
        )
        unasked = [chunk async for chunk in raw.parse()]
        asked = [
            chunk
            async for chunk in await asks.chat.completions.create(
                model=SMOLLM,
                messages=HELLO,
                max_tokens=8,
                stream=True,
                stream_options={"include_usage": True},
                extra_body=EIGHT,
            )
        ]
    assert all(chunk.choices for chunk in unasked)
    assert gateway.of(raw.headers["x-request-id"]).output_tokens == 8
    assert asked[-1].choices == []
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens == 8


async def test_a_text_completion_comes_whole_and_streamed(gateway: Gateway) -> None:
    async with client(gateway.url) as asks:
        whole = await asks.completions.create(
            model=SMOLLM, prompt="Once upon", max_tokens=8, temperature=0, extra_body=EIGHT
        )
        streamed = [
            chunk.choices[0]
            async for chunk in await asks.completions.create(
                model=SMOLLM, prompt="Once upon", max_tokens=8, temperature=0, stream=True, extra_body=EIGHT
            )
        ]
    assert "".join(choice.text for choice in streamed) == whole.choices[0].text
    assert streamed[-1].finish_reason == whole.choices[0].finish_reason == "length"


async def test_embeddings_are_the_same_as_numbers_and_as_base64(gateway: Gateway) -> None:
    words = ["the cat sat", "on the mat"]
    async with client(gateway.url) as asks:
        packed = await asks.embeddings.create(model=SMOLLM, input=words)  # the client asks for base64 by itself
        plain = await asks.embeddings.create(model=SMOLLM, input=words, encoding_format="float")
    assert [len(one.embedding) for one in packed.data] == [WIDTH, WIDTH]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-5)
    assert packed.data[0].embedding != packed.data[1].embedding


async def test_a_schema_reaches_the_model_and_binds_it(gateway: Gateway) -> None:
    schema = {
        "type": "object",
        "properties": {"yes": {"type": "boolean"}},
        "required": ["yes"],
        "additionalProperties": False,
    }
    async with client(gateway.url) as asks:
        answer = await asks.chat.completions.create(
            model=SMOLLM,
            messages=HELLO,
            max_tokens=32,
            response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
        )
    told = orjson.loads(answer.choices[0].message.content or "")
    assert list(told) == ["yes"]
    assert isinstance(told["yes"], bool)


async def test_a_prompt_that_is_too_long_is_refused_by_the_model_server_once(gateway: Gateway) -> None:
    async with client(gateway.url) as asks:
        with pytest.raises(openai.BadRequestError) as refused:
            await asks.chat.completions.create(model=SMOLLM, messages=[{"role": "user", "content": "again " * 3000}])
    assert "context" in refused.value.message
    assert refused.value.request_id is not None
    assert [one.backend for one in gateway.of(refused.value.request_id).attempts] == ["first"]


async def test_an_unknown_model_and_a_wrong_key_are_the_clients_own_exceptions(gateway: Gateway) -> None:
    async with client(gateway.url) as asks, client(gateway.url, "sk-gw-not-a-key") as stranger:
        with pytest.raises(openai.NotFoundError) as unknown:
            await asks.chat.completions.create(model="nobody-serves-this", messages=HELLO)
        with pytest.raises(openai.AuthenticationError) as denied:
            await stranger.chat.completions.create(model=SMOLLM, messages=HELLO)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert denied.value.code == "invalid_api_key"


async def test_the_node_client_gets_all_of_it(gateway: Gateway) -> None:
    seen = await one_of_each(gateway.url, SMOLLM)
    text = seen.pop("chat"), seen.pop("stream"), seen.pop("completion")
    for one in text:
        assert isinstance(one, dict)
        assert one["text"]
        assert one["finish"] == "length"
        assert one.get("usage", 8) == 8
    assert seen == {
        "models": [SMOLLM],
        "runner": {"finish": "length"},
        "embeddings": [WIDTH, WIDTH],
        "unknown": {"name": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"},
        "denied": {"name": "AuthenticationError", "status": 401, "code": "invalid_api_key"},
    }
