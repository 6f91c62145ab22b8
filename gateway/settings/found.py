"""What `--dev` finds on this machine: provider keys in the environment, and model servers on their usual ports.

Everything found is only ever used under its own name. A local server is asked once, on loopback, and must say itself
what it is.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import DecodeError, Struct
from msgspec.json import decode

from gateway.settings.scalars import Unclear
from gateway.settings.shape import Provider, Secret
from gateway.settings.substitution import secret
from gateway.settings.words import is_model

LOOPBACK = "127.0.0.1"
PATIENCE_S = 0.4
MOST_ANSWER_BYTES = 512 * 1024
MOST_MODELS = 100
MODELS_PATH = "/v1/models"


class LocalServer(Struct, frozen=True):
    """A kind of server: where it usually is, and what in its answer tells it from the others.

    `sign` leads into the JSON answer to `says` ("" is any text). `provider` is its row in the catalogue, "" where we
    can't speak to it.
    """

    title: str
    port: int
    path: str
    sign: tuple[str | int, ...]
    says: str
    provider: str


OWNER = ("data", 0, "owned_by")

# Ports: each project's documentation. Owners: what each writes into its list of models.
LOCAL_SERVERS = (
    LocalServer("Ollama", 11434, "/api/version", ("version",), "", "ollama"),
    LocalServer("vLLM", 8000, MODELS_PATH, OWNER, "vllm", "vllm"),
    LocalServer("Triton", 8000, "/v2", ("name",), "triton", ""),
    LocalServer("Triton's OpenAI front end", 9000, MODELS_PATH, OWNER, "Triton Inference Server", "triton_openai"),
    LocalServer("llama.cpp", 8080, MODELS_PATH, OWNER, "llamacpp", "llamacpp"),
    LocalServer("LM Studio", 1234, "/api/v0/models", ("data", 0, "compatibility_type"), "", "lmstudio"),
)


class FoundServer(Struct, frozen=True):
    """A server that said what it is; `provider` is "" where it was only seen."""

    title: str
    url: str
    provider: str
    models: tuple[str, ...] = ()


class FoundKey(Struct, frozen=True):
    """A provider whose key is in the environment, so that it may be spent."""

    provider: str
    variable: str
    key: Secret


class Found(Struct, frozen=True):
    """Everything found. `unusable` names variables whose value can't be a key."""

    keys: tuple[FoundKey, ...] = ()
    servers: tuple[FoundServer, ...] = ()
    unusable: tuple[str, ...] = ()


async def find(
    environment: Mapping[str, str],
    providers: Mapping[str, Provider],
    own_ports: Sequence[int],
    kinds: Sequence[LocalServer] = LOCAL_SERVERS,
) -> Found:
    """Look once. Ask this before our own ports open, so that we never find ourselves."""
    keys, unusable = find_keys(environment, providers)
    return Found(keys, await find_servers(own_ports, kinds), unusable)


def find_keys(
    environment: Mapping[str, str], providers: Mapping[str, Provider]
) -> tuple[tuple[FoundKey, ...], tuple[str, ...]]:
    """Providers with an address of their own whose usual variable is set, and variables that hold no key."""
    found, unusable = [], []
    for name, provider in providers.items():
        variable = provider.auth.secret
        if not variable or not environment.get(variable) or not provider.url or "{" in provider.url:
            continue
        try:
            key, _ = secret(f"${{{variable}}}", environment, Path())
        except Unclear:
            unusable.append(variable)
        else:
            found.append(FoundKey(name, variable, key))
    return tuple(found), tuple(dict.fromkeys(unusable))


async def find_servers(
    own_ports: Sequence[int], kinds: Sequence[LocalServer] = LOCAL_SERVERS
) -> tuple[FoundServer, ...]:
    """The local servers that identify themselves, all asked at the same time."""
    asked = [kind for kind in kinds if kind.port not in own_ports]
    answers = await asyncio.gather(*(_ask(kind) for kind in asked))
    return tuple(answer for answer in answers if answer is not None)


async def _ask(kind: LocalServer) -> FoundServer | None:
    answer = await fetch(kind.port, kind.path)
    if not is_sign(answer, kind):
        return None
    if not kind.provider:
        return FoundServer(kind.title, f"http://{LOOPBACK}:{kind.port}", "")
    listed = answer if kind.path == MODELS_PATH else await fetch(kind.port, MODELS_PATH)
    return FoundServer(kind.title, f"http://{LOOPBACK}:{kind.port}", kind.provider, model_names(listed))


def is_sign(answer: object, kind: LocalServer) -> bool:
    """Whether an answer says that it comes from such a server."""
    found = answer
    for step in kind.sign:
        if isinstance(found, dict) and isinstance(step, str):
            found = found.get(step)
        elif isinstance(found, list) and isinstance(step, int) and step < len(found):
            found = found[step]
        else:
            return False
    return isinstance(found, str) and bool(found) and (not kind.says or found == kind.says)


def model_names(answer: object) -> tuple[str, ...]:
    """The names in a list of models in OpenAI's shape; those that can't be a model's name here are left out."""
    rows = answer.get("data") if isinstance(answer, dict) else None
    names = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(name for name in names[:MOST_MODELS] if isinstance(name, str) and is_model(name) and "*" not in name)


async def fetch(port: int, path: str) -> object:
    """The JSON answer to a GET on loopback; None for anything else, and after PATIENCE_S."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                # HTTP/1.0, so that the answer isn't chunked and ends with the connection.
                writer.write(
                    f"GET {path} HTTP/1.0\r\nhost: {LOOPBACK}:{port}\r\naccept: application/json\r\n\r\n".encode()
                )
                data = await _all(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    return payload(data)


async def _all(reader: asyncio.StreamReader) -> bytes:
    data = b""
    while len(data) <= MOST_ANSWER_BYTES and (more := await reader.read(65536)):
        data += more
    return data


def payload(data: bytes) -> object:
    """The JSON body of a whole 200 answer; None for anything else."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator or len(data) > MOST_ANSWER_BYTES or head.split(b"\r\n", 1)[0].split(b" ")[1:2] != [b"200"]:
        return None
    try:
        answer: object = decode(body)
    except (DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return answer
