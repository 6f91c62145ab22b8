import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.settings import found as module
from gateway.settings.found import (
    LOCAL_SERVERS,
    Found,
    FoundServer,
    LocalServer,
    fetch,
    find,
    find_keys,
    find_servers,
    is_sign,
    model_names,
    payload,
)
from gateway.settings.load import providers
from gateway.settings.shape import Auth, Provider

KINDS = {kind.title: kind for kind in LOCAL_SERVERS}


def models(owner: str, *names: str) -> object:
    return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": owner} for name in names]}


# What each kind of server answers, cut down to what is looked at and a little beside it.
ANSWERS: dict[str, dict[str, object]] = {
    "Ollama": {"/api/version": {"version": "0.12.6"}, "/v1/models": models("library", "llama3.2:1b")},
    "vLLM": {"/v1/models": models("vllm", "meta-llama/Llama-3.1-8B")},
    "Triton": {"/v2": {"name": "triton", "version": "2.50.0", "extensions": []}},
    "Triton's OpenAI front end": {"/v1/models": models("Triton Inference Server", "llama")},
    "llama.cpp": {"/v1/models": models("llamacpp", "smollm2-135m")},
    "LM Studio": {
        "/api/v0/models": {"data": [{"id": "qwen", "compatibility_type": "gguf", "publisher": "x"}]},
        "/v1/models": models("organization_owner", "qwen"),
    },
}


@asynccontextmanager
async def serving(answers: Mapping[str, object | bytes]) -> AsyncIterator[int]:
    """A server on loopback that answers JSON, or bytes as they are; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = answers.get(head.split(b" ")[1].decode())
        match found:
            case None:
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}")
            case bytes():
                writer.write(found)
            case _:
                body = msgspec.json.encode(found)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("title", ANSWERS)
async def test_each_kind_of_server_is_known_by_what_it_says(title: str) -> None:
    async with serving(ANSWERS[title]) as port:
        kinds = [replace(kind, port=port) for kind in LOCAL_SERVERS]
        (found,) = await find_servers((), kinds)
    kind = KINDS[title]
    names = model_names(ANSWERS[title].get("/v1/models"))
    assert found == FoundServer(title, f"http://127.0.0.1:{port}", kind.provider, names if kind.provider else ())
    assert bool(found.models) is (title != "Triton")


async def test_vllm_and_triton_on_the_same_port_are_told_apart() -> None:
    assert KINDS["vLLM"].port == KINDS["Triton"].port
    for title in ("vLLM", "Triton"):
        async with serving(ANSWERS[title]) as port:
            kinds = [replace(KINDS[one], port=port) for one in ("vLLM", "Triton")]
            assert [one.title for one in await find_servers((), kinds)] == [title]


async def test_our_own_ports_are_never_asked() -> None:
    asked = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await find_servers((port,), [replace(kind, port=port) for kind in LOCAL_SERVERS]) == ()
        assert asked == []


async def test_a_gateway_or_any_other_server_is_not_taken_for_one() -> None:
    answers = {"/v1/models": models("meridian", "mock/any"), "/api/version": {"version": 1}, "/v2": {"name": "x"}}
    async with serving(answers) as port:
        assert await find_servers((), [replace(kind, port=port) for kind in LOCAL_SERVERS]) == ()


def test_every_kind_with_a_row_names_one_that_is_there() -> None:
    rows = providers()
    assert all(kind.provider in rows for kind in LOCAL_SERVERS if kind.provider)
    assert {kind.port for kind in LOCAL_SERVERS} == {11434, 8000, 9000, 8080, 1234}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.1 200 OK\r\n\r\n\xff",
        b"HTTP/1.1 302 Found\r\nlocation: http://x\r\n\r\n{}",
        b'HTTP/1.1 401 Unauthorized\r\n\r\n{"version": "1"}',
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"version": "' + b"x" * 600_000 + b'"}',
    ],
    ids=["nothing", "ssh", "html", "deep", "not UTF-8", "elsewhere", "locked", "endless"],
)
async def test_whatever_else_answers_is_nothing(answer: bytes) -> None:
    async with serving({"/v1/models": answer}) as port:
        assert await fetch(port, "/v1/models") is None


async def test_nobody_there_is_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert await fetch(taken.getsockname()[1], "/v1/models") is None


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.02)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with asyncio.timeout(0.2):
            assert await fetch(silent.getsockname()[1], "/v1/models") is None


def test_names_that_can_be_no_model_are_left_out() -> None:
    assert model_names(models("x", "a", "b c", "d*", "", "e:1b")) == ("a", "e:1b")
    assert len(model_names(models("x", *(f"m{n}" for n in range(1000))))) == 100
    strange: list[object] = [None, [], {"data": 1}, {"data": [1, {"id": 2}, {}]}, "x"]
    assert [model_names(answer) for answer in strange] == [()] * 5


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "name", "id"]), inner),
        max_leaves=8,
    )
)
def test_no_answer_whatsoever_breaks_the_look(answer: object) -> None:
    for kind in LOCAL_SERVERS:
        is_sign(answer, kind)
    model_names(answer)


@given(st.binary(max_size=100))
def test_no_bytes_whatsoever_break_the_look(data: bytes) -> None:
    payload(data)
    payload(b"HTTP/1.1 200 OK\r\n\r\n" + data)


def provider(name: str, secret: str, url: str = "https://x.example") -> Provider:
    return Provider(name, "openai_chat", url, auth=Auth("bearer", secret))


def test_a_provider_whose_key_is_set_is_found() -> None:
    rows = {
        "a": provider("a", "A_KEY"),
        "b": provider("b", "B_KEY"),
        "empty": provider("empty", "E_KEY"),
        "server": provider("server", "A_KEY", ""),
        "azure": provider("azure", "A_KEY", "https://{resource}.example"),
        "keyless": provider("keyless", ""),
    }
    keys, unusable = find_keys({"A_KEY": "sk-a", "E_KEY": "", "": "x"}, rows)
    assert [(key.provider, key.variable, key.key.reveal()) for key in keys] == [("a", "A_KEY", "sk-a")]
    assert unusable == ()


def test_a_variable_that_holds_no_key_is_named_and_its_value_is_not() -> None:
    keys, unusable = find_keys({"A_KEY": "two words"}, {"a": provider("a", "A_KEY"), "b": provider("b", "A_KEY")})
    assert (keys, unusable) == ((), ("A_KEY",))


async def test_everything_found_comes_together() -> None:
    async with serving(ANSWERS["vLLM"]) as port:
        kinds = [LocalServer("x", port, "/v1/models", ("data", 0, "owned_by"), "vllm", "vllm")]
        found = await find({"A_KEY": "sk-a"}, {"a": provider("a", "A_KEY")}, (), kinds)
    assert isinstance(found, Found)
    assert [key.provider for key in found.keys] == ["a"]
    assert [server.models for server in found.servers] == [("meta-llama/Llama-3.1-8B",)]
    assert "sk-a" not in repr(found)
