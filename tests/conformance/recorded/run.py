"""Recorded traffic through a real gateway, heard by official clients: `make conformance`.

    .venv/bin/python -m tests.conformance.recorded.run [--only WORD] [--caller LANGUAGE] [--part answers|requests]

Every recorded answer of a chat is played by a stand-in behind the gateway, and asked for by the official client of each
language that callers speak. What its types hold is compared with what the recorded provider's own client reads of the
recording itself. Every recorded request is read, written in each language and read there again. The last line is one
JSON object; the exit code is 1 where anything failed.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence

from tests.conformance.recorded import corpus
from tests.conformance.recorded.answering import answers
from tests.conformance.recorded.asking import requests
from tests.conformance.recorded.corpus import Recording, Skipped

CALLERS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini", "bedrock_converse", "cohere_chat")
PARTS = {"answers": answers, "requests": requests}


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    if not corpus.CORPUS.is_file():
        sys.stderr.write("no recorded traffic: name it in GATEWAY_WIRE_CORPUS\n")
        return 2
    everything = list(corpus.read())
    recordings = [one for one in everything if isinstance(one, Recording) and options.only in f"{one.row} {one.source}"]
    skipped = Counter(one.why for one in everything if isinstance(one, Skipped))
    total: Counter[str] = Counter()
    for part in [options.part] if options.part else PARTS:
        scores = PARTS[part](recordings, options.caller or CALLERS, skipped)
        total.update(scores.sums())
        for line in scores.told():
            sys.stdout.write(f"{line}\n")
    for why, count in skipped.most_common():
        sys.stdout.write(f"skipped {count}: {why}\n")
    told = {
        "exact": total["exact"],
        "declared_loss": total["declared"],
        "failed": total["failed"],
        "skipped": skipped.total(),
    }
    sys.stdout.write(f"{json.dumps(told)}\n")
    return 1 if total["failed"] else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.conformance.recorded.run")
    parser.add_argument("--only", default="", help="recordings whose provider, language or source has this in it")
    parser.add_argument("--caller", action="append", choices=CALLERS, help="only this language of callers; repeatable")
    parser.add_argument("--part", choices=tuple(PARTS), help="only this part of it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
