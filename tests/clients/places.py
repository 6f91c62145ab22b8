"""The places behind the gateway: one for each language that backends speak, all of them the same stand-in."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from tests.real.gateways import Gateway, backend
from tests.real.processes import Program

NODE_FOLDER = Path(__file__).parent / "node"
_KEY = "STAND_IN_KEY"


class Place(Struct, frozen=True):
    """A language, a provider's row that speaks no other to who comes across, and what to ask there.

    `below` goes between the stand-in's address and the row's paths. `lacks` says what the stand-in hasn't as the real
    ones have it (streams, thoughts, usage), so that it isn't asked about, and how that is.
    """

    language: str
    provider: str
    model: str
    below: str = ""
    lacks: dict[str, str] = {}


PLACES = (
    Place("openai_chat", "anyscale", "gpt-5-mini"),
    Place("openai_responses", "perplexity", "gpt-5-mini"),
    Place("anthropic_messages", "anthropic", "claude-sonnet-4-5"),
    Place("gemini", "gemini", "gemini-2.5-flash", below="/v1beta"),
    Place("bedrock_converse", "bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    Place(
        "bedrock_invoke",
        "bedrock_claude",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        lacks={"streams": "aimock sends the chunks of InvokeModelWithResponseStream without their base64"},
    ),
    Place(
        "cohere_chat",
        "cohere",
        "command-a-reasoning-08-2025",
        lacks={"thoughts": "aimock says Cohere's thoughts as text"},
    ),
    Place(
        "ollama",
        "ollama_native",
        "qwen3",
        lacks={
            "thoughts": "aimock says Ollama's thoughts in a field Ollama hasn't",
            "usage": "aimock's Ollama counts nothing",
        },
    ),
)
# The name Claude Code asks for when it is told none.
CLAUDE_CODES = "claude-opus-4-8"
CLAUDE_CODES_PLACE = "gemini"


def asked(family: str, place: Place) -> str:
    """The name by which a client asks for a place: clients judge a model by the beginning of its name."""
    return f"{family}-via-{place.language}"


class StandIn:
    """aimock with its script, at work from the constructor on."""

    def __init__(self) -> None:
        node = shutil.which("node")
        assert node is not None, "there is no node"
        assert (NODE_FOLDER / "node_modules").is_dir(), "make setup-clients has not run"
        self.program = Program([node, str(NODE_FOLDER / "backend.mjs")])
        self.port = int(self.program.says(r"^listening on (\d+)")[1])


def gateway(folder: Path, stand_in: StandIn) -> Gateway:
    """A gateway with all of these places behind it."""
    origin = f"http://127.0.0.1:{stand_in.port}"
    backends = {
        _named(place): backend(place.provider, f"{origin}{place.below}", api_key=f"${{{_KEY}}}") for place in PLACES
    }
    models = {asked("*", place): [_target(place)] for place in PLACES}
    models[CLAUDE_CODES] = [_target(place) for place in PLACES if place.language == CLAUDE_CODES_PLACE]
    return Gateway(folder, backends, models, {_KEY: "stand-in-key"})


def _named(place: Place) -> str:
    return place.language.replace("_", "-")


def _target(place: Place) -> Mapping[str, object]:
    return {"backend": _named(place), "model": place.model}
