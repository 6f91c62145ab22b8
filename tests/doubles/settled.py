"""Exchanges as settle sees them: finished, with plausible times, to be varied by a test."""

from collections.abc import Mapping

from gateway.exchange import Attempt, Call, Exchange
from gateway.features import Usage
from gateway.settings.shape import Backend, Caller, Provider, Settings, Sinks, Target

PROVIDER = Provider(name="vllm", speaks="openai_chat")
FRANKFURT = Backend(
    name="vllm-fra-1",
    provider=PROVIDER,
    base_urls=("http://10.1.0.7:8000",),
    region="eu-central",
    country="DE",
    processes_in=("DE",),
)
TARGET = Target(backend=FRANKFURT, model="meta/Llama-3.1-8B")
CALLER = Caller(name="clinic-web", team="clinic", digest=b"")
ARRIVED_WALL = 1_700_000_000.25


class Counting:
    """A counter that is read."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float) -> None:
        self.value += amount


def settings(*models: str, log_level: str = "info", sinks: Sinks = Sinks()) -> Settings:  # noqa: B008  (frozen)
    names = models or ("llama-3.1-8b",)
    return Settings(
        models=dict.fromkeys(names, (TARGET,)),
        backends={FRANKFURT.name: FRANKFURT},
        callers=(CALLER,),
        state="memory",
        log_level=log_level,
        sinks=sinks,
    )


def settled(
    *,
    stream: bool = True,
    model: str = "llama-3.1-8b",
    headers: Mapping[bytes, bytes] | None = None,
    body: bytes = b"",
    query: str = "",
) -> Exchange:
    """A request that arrived at 100.0 s, went out at 100.0002, had its first token at 100.08 and ended at 100.9."""
    call = Call(
        method="POST",
        path="/v1/chat/completions",
        query=query,
        headers=dict(headers or {}),
        body=body,
        request_id="req-1",
        caller=CALLER,
        arrived=100.0,
        arrived_wall=ARRIVED_WALL,
    )
    exchange = Exchange(call, 100.0)
    exchange.operation = "chat"
    exchange.model = model
    exchange.stream = stream
    exchange.target = TARGET
    exchange.status = 200
    exchange.attempts = [
        Attempt(
            TARGET,
            started=100.0001,
            sent=100.0002,
            headers=100.05 if stream else 100.89,
            first_content=100.08 if stream else 0.0,
            ended=100.89,
            status=200,
            outcome="answered",
            reused=True,
        )
    ]
    exchange.usage = Usage(input_tokens=123, output_tokens=45, cached_tokens=7)
    exchange.first_content = 100.0801 if stream else 0.0
    exchange.ended = 100.9
    exchange.finish = "stop"
    exchange.cost_usd = 0.000123
    exchange.bytes_in = 400
    exchange.bytes_out = 770
    exchange.complete = True
    exchange.own_s = exchange.overhead_s(exchange.ended)
    return exchange
