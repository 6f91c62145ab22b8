"""The command `gateway`. A command imports only what it needs, since it must start fast.

Exit codes: 0 fine, 1 found something wrong, 2 wrong usage, 78 configuration unusable.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from gateway.settings.options import ServeOptions

FOUND_WRONG = 1
WRONG_USAGE = 2
MOST_WORKERS = 256


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; argparse itself ends wrong usage with 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser(words).parse_args(words)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our lines has left; at exit Python would flush into the same pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FOUND_WRONG
    return code


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "serve":
            return _serve(arguments)
        case "check":
            return _check(arguments)
        case "worker":
            return _worker(arguments)
        case "mock":
            from gateway.mock import cli_mock

            return cli_mock.run(arguments)
    return WRONG_USAGE


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway", description="One endpoint for every model, in the best place.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the gateway")
    serve.add_argument("--config", metavar="FILE", help="gateway.yaml (GATEWAY_CONFIG)")
    serve.add_argument("--dev", action="store_true", help="on a laptop: stand-in servers, one made key, loopback only")
    serve.add_argument("--host", help="where callers connect (default 127.0.0.1)")
    serve.add_argument("--port", type=_port, help="the port of callers (default 8080)")
    serve.add_argument("--control-port", type=_port, help="the port of health, metrics and admin (default 8081)")
    serve.add_argument("--workers", type=_workers, help="worker processes (default 1)")

    check = commands.add_parser("check", help="validate the configuration")
    check.add_argument("--config", metavar="FILE", help="gateway.yaml (GATEWAY_CONFIG)")
    check.add_argument("--dev", action="store_true", help="as `serve --dev` would read it")
    check.add_argument("--schema", action="store_true", help="print the JSON Schema of gateway.yaml")
    check.add_argument("--diff", metavar="OTHER", help="print what changes when OTHER is served instead")

    mock = commands.add_parser("mock", help="run a stand-in model server")
    if words and words[0] == "mock":
        from gateway.mock import cli_mock

        cli_mock.add_arguments(mock)

    # Started by the supervisor only, so help doesn't name it.
    worker = commands.add_parser("worker")
    worker.add_argument("--channel", type=int, required=True, metavar="FD")
    worker.add_argument("--listen", type=int, nargs="+", required=True, metavar="FD")
    worker.add_argument("--slots", required=True, metavar="FILE")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a whole number from 0 (any free one) to 65535")
    return int(text)


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MOST_WORKERS}")
    return int(text)


def _serve(arguments: argparse.Namespace) -> int:
    from gateway.supervisor import run

    options = ServeOptions(
        config=arguments.config,
        dev=arguments.dev,
        host=arguments.host,
        port=arguments.port,
        control_port=arguments.control_port,
        workers=arguments.workers,
    )
    return run(options)


def _check(arguments: argparse.Namespace) -> int:
    from gateway.settings import check

    if arguments.schema:
        print(check.schema())
        return 0
    lines, code = check.check(arguments.config, arguments.diff, dev=arguments.dev)
    for line in lines:
        print(line)
    return code


def _worker(arguments: argparse.Namespace) -> int:
    from gateway.app import run_worker

    return run_worker(arguments.channel, arguments.listen, arguments.slots)
