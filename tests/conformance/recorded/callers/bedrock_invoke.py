"""Claude by Bedrock's InvokeModel, by `anthropic`: recordings are read so; no caller of ours speaks it."""

from typing import Any

import anthropic

from tests.conformance.recorded.callers import TIMEOUT_S
from tests.conformance.recorded.callers.anthropic_messages import AnthropicMessages


class BedrockInvoke(AnthropicMessages):
    def client(self, url: str, key: str) -> Any:
        return anthropic.AnthropicBedrock(
            base_url=url,
            aws_access_key=key,
            aws_secret_key=key,
            aws_region="us-east-1",
            max_retries=0,
            timeout=TIMEOUT_S,
        )


CALLER = BedrockInvoke
