"""The whole of it over a corpus of a few lines, with a real gateway and real clients."""

import json
from pathlib import Path

import pytest

from tests.conformance.recorded import corpus
from tests.conformance.recorded.jobs import CLIENTS
from tests.conformance.recorded.run import main
from tests.conformance.recorded.scripted import SCRIPTS

needs_clients = pytest.mark.skipif(not CLIENTS.exists(), reason="`make conformance` sets up the official clients")
CHAT = "https://a.example/v1/chat/completions"
NATIVE = ("chat whole", "chat streamed", "chat refused", "chat broken")


def line(script: str, url: str = CHAT) -> str:
    one = SCRIPTS[script]
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": one.stream}
    return json.dumps(
        {
            "source": f"{script}#0",
            "provider": "openai",
            "operation": "chat.completions",
            "stream": one.stream,
            "request": {"method": "POST", "url": url, "body": json.dumps(asked)},
            "response": {"status": one.status, "content_type": one.content_type, "body": one.answer.decode()},
        }
    )


@pytest.mark.slow
@needs_clients
def test_a_small_corpus_is_proven_and_summed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "small.jsonl"
    there.write_text("\n".join([*map(line, NATIVE), line("chat whole", "https://a.example/v1/embeddings")]))
    monkeypatch.setattr(corpus, "CORPUS", there)
    assert main(["--caller", "openai_chat", "--part", "answers"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert json.loads(told[-1]) == {"exact": 4, "declared_loss": 0, "failed": 0, "skipped": 1}
    assert told[-2] == "skipped 1: no chat: chat.completions"


def test_without_a_corpus_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(corpus, "CORPUS", tmp_path / "none")
    assert main([]) == 2
    assert capsys.readouterr().out == ""
