"""`gateway mock`: a stand-in model server from the command line."""

import argparse
import asyncio
import signal
import sys

from gateway.mock.faults import FAULTS, parse_faults
from gateway.mock.options import SPEAKS, MockOptions, seconds_of
from gateway.mock.server import MockServer

EXIT_FINE = 0
EXIT_USAGE = 2
EXIT_UNUSABLE = 78


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything `gateway mock` takes."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _fault_help()
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=int, default=0, help="0 takes a free one (default)")
    add("--speaks", choices=SPEAKS, default="openai_chat", help="language it answers in (default %(default)s)")
    add("--model", action="append", metavar="M", help="model it serves, repeatable (default mock-model)")
    add("--ttft", type=_duration, default=0.08, metavar="80ms", help="time to the first token (default 80ms)")
    add("--tpot", "--pace", type=_duration, default=0.01, metavar="10ms", help="time per further token (default 10ms)")
    add("--slots", type=int, default=8, help="requests worked on at once, the others queue (default %(default)s)")
    add("--cold", type=_duration, default=0.0, metavar="8s", help="answer 503 for this long after the start")
    add("--tokens", type=int, default=16, help="length of an answer without max_tokens (default %(default)s)")
    add("--kv-blocks", type=int, default=4096, help="KV blocks of 16 tokens (default %(default)s)")
    add("--lora", action="append", default=[], metavar="NAME", help="adapter it serves, repeatable")
    add("--place", default="", metavar="TEXT", help="where it says it is")
    add(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="SPEC",
        help="what goes wrong, repeatable; see below",
    )
    add("--events", type=int, default=0, help="every stream is this many events of --event-bytes")
    add("--event-bytes", type=int, default=250, help="size of each of them (default %(default)s)")
    add("--keep-bodies", action="store_true", help="keep request bodies and headers in the ledger")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. 0 then; 2 for options that cannot be; 78 if the port cannot be had."""
    try:
        options = MockOptions(
            host=args.host,
            port=args.port,
            speaks=args.speaks,
            models=tuple(args.model or ("mock-model",)),
            loras=tuple(args.lora),
            place=args.place,
            ttft_s=args.ttft,
            tpot_s=args.tpot,
            tokens=args.tokens,
            slots=args.slots,
            cold_s=args.cold,
            kv_blocks=args.kv_blocks,
            faults=tuple(args.fault),
            events=args.events,
            event_bytes=args.event_bytes,
            keep_bodies=args.keep_bodies,
        )
    except ValueError as error:
        print(f"gateway mock: {error}", file=sys.stderr)
        return EXIT_USAGE
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(options))


async def _serve(options: MockOptions) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = MockServer(options)
    try:
        await server.start()
    except OSError as error:
        print(
            f"gateway mock: cannot listen on {options.host}:{options.port} (--port): {error.strerror}", file=sys.stderr
        )
        return EXIT_UNUSABLE
    try:
        print(f"listening on {server.url}", flush=True)
        await stopped.wait()
    finally:
        await server.stop()
    return EXIT_FINE


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  it is not there on every platform
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return factory


def _duration(text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _fault(text: str) -> str:
    try:
        parse_faults(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _fault_help() -> str:
    lines = [f"  {name:22} {takes.value}: {words}" for name, (takes, words) in FAULTS.items()]
    return "\n".join(
        (
            "faults (--fault, header x-mock-fault, POST /mock/fault), as name[=value][*first N requests]:",
            "  400 to 599             a whole number or nothing: this error status; 429=5 adds Retry-After: 5",
            *lines,
        )
    )
