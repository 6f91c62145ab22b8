"""Amazon Bedrock's Converse: messages of blocks, streamed in AWS's binary framing; the model stands in the path."""

from typing import Final

from gateway.wire import Pattern
from gateway.wire.bedrock_converse.codec import CODEC
from gateway.wire.bedrock_converse.error import error_headers
from gateway.wire.native import Native

WIRE: Final = Native(
    CODEC,
    paths={},
    patterns=(
        Pattern("/model/", "/converse", "converse", False),
        Pattern("/model/", "/converse-stream", "converse", True),
    ),
    passes=(),
    error_headers=error_headers,
)
