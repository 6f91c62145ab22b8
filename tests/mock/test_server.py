import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
import pytest
from openai import AsyncOpenAI

from gateway.clock import HandClock
from gateway.mock.options import MockOptions
from gateway.mock.server import MockServer
from tests.doubles.mock_caller import Caller, chat, hear, request

MESSAGES = [{"role": "user", "content": "hi"}]


@asynccontextmanager
async def client_of(server: MockServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="sk-test", max_retries=0) as client:
        yield client


@asynccontextmanager
async def talking(*faults: str, tokens: int = 8) -> AsyncIterator[AsyncOpenAI]:
    options = MockOptions(tokens=tokens, place="Oslo", faults=faults)
    async with MockServer(options) as server, client_of(server) as client:
        yield client


async def streamed(client: AsyncOpenAI, **more: object) -> list[openai.types.chat.ChatCompletionChunk]:
    stream = await client.chat.completions.create(  # type: ignore[call-overload]  # the fields are free here
        model="mock-model", messages=MESSAGES, stream=True, **more
    )
    return [chunk async for chunk in stream]


async def test_the_official_client_gets_a_whole_answer() -> None:
    async with talking() as client:
        answer = await client.chat.completions.create(
            model="mock-model", messages=[{"role": "user", "content": "hi"}], max_tokens=6
        )
    assert answer.choices[0].message.content == "This is the stand-in model mock-model"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


async def test_the_official_client_hears_a_stream_to_its_end() -> None:
    async with talking() as client:
        chunks = await streamed(client, stream_options={"include_usage": True})
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "This is the stand-in model mock-model in Oslo;"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 8


async def test_the_official_client_gets_choices_tools_completions_embeddings_and_models() -> None:
    async with talking() as client:
        choices = await streamed(client, n=2)
        assert {chunk.choices[0].index for chunk in choices} == {0, 1}
        tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
        called = await streamed(client, tools=[tool], tool_choice="required")
        assert called[0].choices[0].delta.tool_calls is not None
        text = await client.completions.create(model="mock-model", prompt="a", max_tokens=2)
        assert text.choices[0].text == "This is"
        vectors = await client.embeddings.create(model="mock-model", input=["a", "b"])
        assert [len(row.embedding) for row in vectors.data] == [64, 64]
        assert [model.id async for model in client.models.list()] == ["mock-model"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429=1", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("401", openai.AuthenticationError),
        ("404", openai.NotFoundError),
        ("reset=0", openai.APIConnectionError),
        ("refuse", openai.APIConnectionError),
        ("error_first", openai.APIError),
        ("error_mid=3", openai.APIError),
        ("malformed=2", ValueError),
        ("bad_utf8=2", UnicodeDecodeError),
    ],
)
async def test_the_official_client_raises_for_what_it_can_notice(fault: str, error: type[Exception]) -> None:
    async with talking(fault) as client:
        with pytest.raises(error):
            await streamed(client)


@pytest.mark.parametrize(("fault", "chunks"), [("cut=3", 3), ("no_done", 10), ("json_to_stream", 0), ("html", 0)])
async def test_the_official_client_takes_a_broken_stream_for_a_whole_one(fault: str, chunks: int) -> None:
    # This is why a gateway has to look for the terminal event itself.
    async with talking(fault) as client:
        assert len(await streamed(client)) == chunks


async def test_a_closed_listener_refuses_and_an_open_stream_goes_on() -> None:
    async with MockServer(MockOptions(slots=2)) as server, Caller(server) as caller:
        caller.send(request(chat(max_tokens=3), fault="ttft=30ms"))
        await server.until(lambda ledger: ledger.request_count == 1)
        server.close_listener()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert (await caller.answer()).events[-1] == b"[DONE]"


async def test_a_killed_server_resets_everybody_and_comes_back_on_its_port() -> None:
    async with MockServer(MockOptions(tpot_s=60.0)) as server:
        url = server.url
        async with Caller(server) as caller:
            caller.send(request(chat()))
            await server.until(lambda ledger: ledger.tokens_sent == 1)
            server.kill()
            assert (await caller.ends()).ending == "rst"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert (server.ledger.left, server.running) == (0, 0)
        await server.listen()
        assert server.url == url
        assert (await hear(server, chat(stream=False), fault="tpot=0")).status == 200


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with MockServer() as first:
        with pytest.raises(OSError, match=str(first.port)):
            await MockServer(MockOptions(port=first.port)).start()


async def test_stopping_leaves_no_connection_and_no_slot() -> None:
    server = MockServer(MockOptions(ttft_s=60.0))
    async with server, Caller(server) as caller:
        caller.send(request(chat()))
        await server.until(lambda _: server.running == 1)
        await server.stop()
        assert (server.open_connections, server.running, server.waiting) == (0, 0, 0)


async def test_time_is_the_clock_that_was_handed_in() -> None:
    clock = HandClock(wall=1_800_000_000.0)
    async with MockServer(MockOptions(cold_s=8.0), clock=clock) as server:
        assert (await hear(server, chat(stream=False))).status == 503
        clock.advance(8.0)
        answer = await hear(server, chat(stream=False))
    assert (answer.status, answer.json["created"]) == (200, 1_800_000_008)


async def test_an_ipv6_address_is_bracketed_in_the_url() -> None:
    assert MockServer(MockOptions(host="::1", port=1)).url == "http://[::1]:1"


async def test_metrics_follow_the_requests() -> None:
    async with MockServer(MockOptions(slots=1, models=("m",), loras=("red",))) as server, Caller(server) as caller:
        caller.send(request(chat(model="red"), fault="stall"))
        await server.until(lambda _: server.running == 1)
        async with Caller(server) as second:
            second.send(request(chat(model="m")))
            await server.until(lambda _: server.waiting == 1)
            page = (await hear(server, None, path="/metrics", method="GET")).body.decode()
            assert 'vllm:num_requests_running{engine="0",model_name="m"} 1.0' in page
            assert 'vllm:num_requests_waiting{engine="0",model_name="m"} 1.0' in page
            assert 'running_lora_adapters="red",waiting_lora_adapters=""' in page
            await caller.close()
            assert (await second.answer()).whole
        page = (await hear(server, None, path="/metrics", method="GET")).body.decode()
    assert 'finished_reason="stop"} 1.0' in page
    assert 'finished_reason="abort"} 1.0' in page
    assert 'vllm:generation_tokens_total{engine="0",model_name="m"} 16.0' in page
    assert 'vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 1.0' in page
