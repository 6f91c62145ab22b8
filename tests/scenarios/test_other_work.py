"""The same promises for what is no chat: completions, embeddings, and languages that are only passed on."""

import asyncio

import openai
import orjson
import pytest

from tests.doubles.inside import KEY
from tests.scenarios.cast import MODEL, RawProvider, chunk, plays, scene

EMBEDDINGS = "/v1/embeddings"
MODERATIONS = "/v1/moderations"
VERDICT = b'{"id":"modr-1","results":[{"flagged":false}]}'
SPEECH_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n"


def verdict(kind: bytes = b"application/json", body: bytes = VERDICT) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("500", "upstream_invalid_response"),
        ("error_first", "upstream_error"),
        ("error_object", "upstream_error"),
        ("malformed=0", "upstream_invalid_response"),
        ("html", "upstream_invalid_response"),
        ("reset=100", "upstream_disconnected"),
        ("fin=100", "upstream_disconnected"),
    ],
)
async def test_embeddings_come_from_the_next_provider(fault: str, outcome: str) -> None:
    async with scene(fault, "") as on:
        heard = await on.caller_hears(path=EMBEDDINGS, input=["one", "two"], messages=None, stream=None)
        assert on.tries() == [("first", outcome), ("second", "answered")]
        assert on.exchange.operation == "embeddings"
        assert on.exchange.usage is not None
        assert (on.exchange.usage.input_tokens, on.exchange.usage.output_tokens) == (2, 0)
        row = on.gateway.health.row("second")
        assert (row.ttft_s, row.tpot_s) == (0.0, 0.0)
        await on.at_rest()
    assert heard.status == 200
    data = heard.json["data"]
    assert isinstance(data, list)
    assert len(data) == 2


async def test_the_official_client_embeds() -> None:
    async with (
        scene("", "") as on,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"{on.gateway.url}/v1", max_retries=0) as client,
    ):
        answer = await client.embeddings.create(model=MODEL, input=["one", "two"])
        assert len(answer.data) == 2
        assert sum(part * part for part in answer.data[0].embedding) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("stream", [True, False])
async def test_completions_come_from_the_next_provider(stream: bool) -> None:
    async with scene("cut=0" if stream else "malformed=0", "") as on:
        heard = await on.caller_hears(path="/v1/completions", prompt="hi", messages=None, stream=stream)
        assert [outcome for _, outcome in on.tries()][1] == "answered"
        assert on.exchange.usage is not None
        assert on.exchange.usage.output_tokens == 16
    assert heard.status == 200
    assert (heard.events[-1] == b"[DONE]") if stream else heard.json["choices"]


@pytest.mark.parametrize("body", [VERDICT, b"", b"\x00\xff" * 1000])
async def test_what_is_only_passed_on_crosses_byte_for_byte(body: bytes) -> None:
    async with RawProvider(plays(verdict(b"application/octet-stream", body))) as provider, scene(provider) as on:
        heard = await on.caller_hears(path=MODERATIONS, input="hi", messages=None, stream=None)
        assert on.exchange.usage is None
        assert on.exchange.complete
    assert heard.body == body
    assert heard.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("answer", [verdict(b"text/html", b"<html>"), verdict(body=b'{"error":{"message":"no"}}')])
async def test_what_is_no_answer_is_the_next_providers_work_here_too(answer: bytes) -> None:
    async with RawProvider(plays(answer)) as broken, RawProvider(plays(verdict())) as well, scene(broken, well) as on:
        heard = await on.caller_hears(path=MODERATIONS, input="hi", messages=None, stream=None)
        assert [outcome for _, outcome in on.tries()][1] == "answered"
    assert heard.body == VERDICT


async def test_an_unknown_stream_ends_as_it_does() -> None:
    pieces = plays(SPEECH_HEAD, chunk(b"\xff\xfb" * 500), chunk(b"\x00" * 10), b"0\r\n\r\n")
    async with RawProvider(pieces) as provider, scene(provider) as on:
        heard = await on.caller_hears(path=MODERATIONS, input="hi", stream=True, messages=None)
        assert on.exchange.outcome == "answered"
        assert on.exchange.bytes_out == 1010
        await on.at_rest()
    assert heard.whole
    assert heard.body == b"\xff\xfb" * 500 + b"\x00" * 10
    assert heard.headers["content-type"] == "audio/mpeg"


async def test_an_unknown_stream_that_breaks_has_no_last_chunk() -> None:
    """Nothing can be said in a language we don't know, so the missing end says it."""
    async with RawProvider(plays(SPEECH_HEAD, chunk(b"\xff\xfb" * 500), keep=False)) as provider, scene(provider) as on:
        heard = await on.caller_hears(path=MODERATIONS, input="hi", stream=True, messages=None)
        assert on.exchange.outcome == "upstream_truncated"
    assert heard.status == 200
    assert not heard.whole
    assert heard.wire.endswith(b"\xff\xfb\r\n")


async def test_models_are_listed_while_an_answer_runs() -> None:
    async def slowly(provider: RawProvider, body: bytes, writer: asyncio.StreamWriter) -> None:
        del body
        await provider.go.wait()
        writer.write(verdict())

    async with RawProvider(slowly) as provider, scene(provider) as on, on.line() as waiting, on.line() as other:
        ask = orjson.dumps({"model": MODEL, "input": "hi"})
        head = f"host: x\r\nauthorization: Bearer {KEY}\r\n".encode()
        length = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ask)
        waiting.send(b"POST /v1/moderations HTTP/1.1\r\n" + head + length + ask)
        await provider.asked.wait()
        other.send(b"GET /v1/models HTTP/1.1\r\n" + head + b"\r\n")
        listed = (await other.answer()).json["data"]
        assert isinstance(listed, list)
        assert [row["id"] for row in listed] == [MODEL]
        provider.go.set()
        assert (await waiting.answer()).body == VERDICT
