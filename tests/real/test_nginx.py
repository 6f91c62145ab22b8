"""nginx before and behind the gateway, as it is where gateways run."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.real.asking import WHOLE_LENGTH, Caller, client
from tests.real.gateways import Gateway, backend
from tests.real.llamas import MODEL, Llama
from tests.real.nginxes import Nginx

pytestmark = pytest.mark.real

CEILING_S = 60.0
LONG = 100
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


class Road:
    """Caller, nginx, gateway, and then nginx and the first model server, or the second without nginx."""

    def __init__(self, stack: ExitStack, folder: pytest.TempPathFactory, pair: tuple[Llama, Llama]) -> None:
        assert NGINX is not None
        first, second = pair
        behind = Nginx(NGINX, folder.mktemp("behind"), first.port)
        stack.callback(behind.close)
        self.gateway = Gateway(
            folder.mktemp("between"),
            {
                "first": backend("llamacpp", f"http://127.0.0.1:{behind.port}"),
                "second": backend("llamacpp", second.url),
            },
            {
                "smollm2": [
                    {"backend": name, "model": MODEL, "order": at} for at, name in enumerate(("first", "second"))
                ]
            },
        )
        stack.callback(self.gateway.close)
        before = Nginx(NGINX, folder.mktemp("before"), self.gateway.port)
        stack.callback(before.close)
        self.url = f"http://127.0.0.1:{before.port}/v1"


@pytest.fixture
def road(_road: Road, llamas: tuple[Llama, Llama]) -> Road:
    del llamas  # alive
    _road.gateway.forget()
    return _road


@pytest.fixture(scope="module")
def _road(_pair: tuple[Llama, Llama], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    if NGINX is None:
        pytest.skip("there is no nginx")
    with ExitStack() as stack:
        yield Road(stack, tmp_path_factory, _pair)


async def test_a_stream_comes_through_both_while_it_is_made(road: Road, llamas: tuple[Llama, Llama]) -> None:
    async with client(road.url) as openai:
        stream = await openai.completions.create(
            model="smollm2", prompt="Once upon", max_tokens=LONG, stream=True, extra_body=WHOLE_LENGTH
        )
        first = await anext(aiter(stream))
        # Held back anywhere, its first piece would come with its last.
        assert llamas[0].busy() == 1
        rest = [chunk async for chunk in stream]
    assert first.choices[0].text
    assert len(rest) > LONG / 2
    assert rest[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("kind", ["stream", "chat", "completion", "embeddings"])
async def test_when_the_server_behind_nginx_is_dead_its_page_is_not_the_answer(
    kind: str, road: Road, llamas: tuple[Llama, Llama]
) -> None:
    llamas[0].kill()
    async with client(road.url) as openai:
        ending = await Caller(openai, "smollm2").call(kind, "Say hello.")  # type: ignore[arg-type]  # pytest hands over a str
    assert (ending.outcome, ending.backend) == ("whole", "second")
    tries = road.gateway.of(ending.request_id).attempts
    assert [(one.backend, one.outcome) for one in tries] == [
        ("first", "upstream_invalid_response"),
        ("second", "answered"),
    ]


async def test_when_the_server_behind_nginx_dies_in_a_stream_its_caller_gets_an_error(
    road: Road, llamas: tuple[Llama, Llama]
) -> None:
    begun = asyncio.Event()
    async with client(road.url) as openai:
        caller = Caller(openai, "smollm2", begun.set)
        async with asyncio.TaskGroup() as group, asyncio.timeout(CEILING_S):
            calling = group.create_task(caller.call("stream", "Say hello."))
            await begun.wait()
            assert caller.midway == 1
            llamas[0].kill()
    ending = calling.result()
    assert ending.outcome == "broken"
    assert ending.error in {"upstream_disconnected", "upstream_truncated"}
