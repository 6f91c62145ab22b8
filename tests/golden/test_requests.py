"""Whole requests, and what each language makes of them: files to read side by side.

requests/<inbound>/<case>.json             what a caller sends
requests/<inbound>/<case>.<outbound>.json  what a host of that language gets, and what it doesn't get
"""

from pathlib import Path

import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import UnsupportedFeature
from gateway.wire import PLAIN, Addressed, load
from gateway.wire.bridge import CONVERSATIONS, between
from gateway.wire.dialect import Dialect
from tests.golden.laid_out import lay_out
from tests.golden.same import same

HERE = Path(__file__).parent / "requests"
CASES = sorted(path for path in HERE.glob("*/*.json") if path.suffixes == [".json"])
# What each host is asked for: much of a request depends on what its model knows.
MODELS = {
    "openai_chat": "their-model",
    "openai_responses": "gpt-5.2",
    "anthropic_messages": "claude-sonnet-4-6",
    "gemini": "gemini-3-pro-preview",
    "bedrock_converse": "global.anthropic.claude-sonnet-4-6",
    "bedrock_invoke": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere_chat": "command-a-reasoning-08-2025",
    "ollama": "qwen3:8b",
    "tgi": "tgi",
    "triton_generate": "ensemble",
}
IN_PATH = {
    "gemini": Addressed("gemini-3-pro-preview", stream=True, query="alt=sse"),
    "bedrock_converse": Addressed("anthropic.claude-sonnet-4-5-20250929-v1:0", stream=True),
}
# A host that speaks the caller's language nearly.
NEARLY = Dialect(
    drop=("logit_bias", "not_there"),
    rename={"max_completion_tokens": "max_tokens"},
    set={"safe_prompt": "true", "user": '"gateway"'},
    cap={"n": 1, "top_logprobs": 1},
)


@pytest.mark.parametrize("outbound", CONVERSATIONS)
@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_request_becomes_what_it_did(path: Path, outbound: str, update_golden: bool) -> None:
    inbound = path.parent.name
    wire = load(inbound) if inbound == outbound else between(inbound, outbound)
    dialect = NEARLY if inbound == outbound == "openai_chat" else Dialect()
    request = wire.read_request(path.read_bytes(), IN_PATH.get(inbound, PLAIN))
    try:
        body, losses = wire.write_request(request, Raw(encode(MODELS[outbound])), dialect, ask_usage=True)
        written = b'{"lost":%b,"body":%b}' % (encode(losses), body)
    except UnsupportedFeature as refusal:
        written = encode({"refused": refusal.param})
    same(path.with_suffix(f".{outbound}.json"), lay_out(written), update=update_golden)


def test_every_language_that_callers_speak_says_all_it_can() -> None:
    full = {path.parent.name for path in CASES if path.stem == "full"}
    assert full == {
        "openai_chat",
        "openai_responses",
        "anthropic_messages",
        "gemini",
        "bedrock_converse",
        "cohere_chat",
    }
