"""Who is asked: each client with its program, the language it speaks to us, and what its environment needs."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from tests.clients.places import NODE_FOLDER
from tests.real.processes import ROOT

# The official clients, and what people build on them: two environments, since they don't agree on versions.
OFFICIAL, FRAMEWORKS = ROOT / ".venv-clients/bin/python", ROOT / ".venv-agents/bin/python"
_NODE = "node"
# A user's own AWS settings are nobody's here, nor is a machine's.
_AWS = {
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_LITELLM = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


class Client(Struct, frozen=True):
    """`file` is that of its program, `kind` the client among those it has.

    `key_in` is a variable that takes our key, `trust_in` one for the certificate of who comes over TLS.
    """

    name: str
    runs: Path | str
    file: str
    kind: str
    language: str
    environment: Mapping[str, str] = {}
    key_in: str = ""
    trust_in: str = ""

    def command(self, *arguments: str) -> Sequence[str]:
        if isinstance(self.runs, Path):
            return [str(self.runs), "-W", "ignore", "-m", f"tests.clients.python.{self.file}", self.kind, *arguments]
        node = shutil.which(self.runs)
        assert node is not None, "there is no node"
        return [node, str(NODE_FOLDER / f"{self.file}.mjs"), self.kind, *arguments]


CLIENTS = (
    Client("openai (chat)", OFFICIAL, "openai_chat", "chat", "openai_chat"),
    Client("openai (responses)", OFFICIAL, "openai_responses", "responses", "openai_responses"),
    Client("openai (Azure)", OFFICIAL, "azure_openai", "azure", "openai_chat"),
    Client("anthropic", OFFICIAL, "anthropic_messages", "messages", "anthropic_messages"),
    Client("google-genai", OFFICIAL, "gemini", "generate", "gemini"),
    Client("boto3 (signed)", OFFICIAL, "bedrock_converse", "keys", "bedrock_converse", _AWS),
    Client(
        "boto3 (token)",
        OFFICIAL,
        "bedrock_converse",
        "token",
        "bedrock_converse",
        _AWS,
        "AWS_BEARER_TOKEN_BEDROCK",
        "AWS_CA_BUNDLE",
    ),
    Client("cohere", OFFICIAL, "cohere_chat", "chat", "cohere_chat"),
    Client("litellm (openai)", FRAMEWORKS, "litellm_chat", "openai", "openai_chat", _LITELLM),
    Client("litellm (anthropic)", FRAMEWORKS, "litellm_chat", "anthropic", "anthropic_messages", _LITELLM),
    Client("langchain-openai (chat)", FRAMEWORKS, "langchain_models", "openai", "openai_chat"),
    Client("langchain-openai (responses)", FRAMEWORKS, "langchain_models", "responses", "openai_responses"),
    Client("langchain-anthropic", FRAMEWORKS, "langchain_models", "anthropic", "anthropic_messages"),
    Client("pydantic-ai (chat)", FRAMEWORKS, "pydantic_agents", "openai", "openai_chat"),
    Client("pydantic-ai (responses)", FRAMEWORKS, "pydantic_agents", "responses", "openai_responses"),
    Client("pydantic-ai (anthropic)", FRAMEWORKS, "pydantic_agents", "anthropic", "anthropic_messages"),
    Client("openai-agents (responses)", FRAMEWORKS, "openai_agents", "responses", "openai_responses"),
    Client("openai-agents (chat)", FRAMEWORKS, "openai_agents", "chat", "openai_chat"),
    Client("Node openai (chat)", _NODE, "openai", "chat", "openai_chat"),
    Client("Node openai (responses)", _NODE, "openai", "responses", "openai_responses"),
    Client("Node @anthropic-ai/sdk", _NODE, "anthropic", "messages", "anthropic_messages"),
    Client("Node @google/genai", _NODE, "genai", "generate", "gemini"),
    Client("Node ai (openai chat)", _NODE, "ai", "chat", "openai_chat"),
    Client("Node ai (openai responses)", _NODE, "ai", "responses", "openai_responses"),
    Client("Node ai (anthropic)", _NODE, "ai", "anthropic", "anthropic_messages"),
)
