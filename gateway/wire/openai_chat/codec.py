"""OpenAI's chat completions as a language of the gateway: requests, answers and streams, both ways.

Whoever else speaks it (DeepSeek, Groq, Mistral, OpenRouter, vLLM and more) has habits of his own; those seen in
recorded traffic or documented are read, and where they are, the comment says whose they are.
"""

from typing import Final

from gateway.wire import openai_error
from gateway.wire.framing import Events
from gateway.wire.ir import Ask
from gateway.wire.losses import Losses
from gateway.wire.openai_chat.answer import read_answer
from gateway.wire.openai_chat.answer_writer import write_answer
from gateway.wire.openai_chat.fields import NAME
from gateway.wire.openai_chat.request import check, read_request
from gateway.wire.openai_chat.request_writer import write_request
from gateway.wire.openai_chat.stream import ChatReader
from gateway.wire.openai_chat.stream_writer import ChatWriter


class OpenAIChatCodec:
    """See Codec. Text completions are no conversation, and not part of it."""

    name: str = NAME
    stream_type: str = "text/event-stream"

    check = staticmethod(check)
    read_request = staticmethod(read_request)
    write_request = staticmethod(write_request)
    read_answer = staticmethod(read_answer)
    write_answer = staticmethod(write_answer)
    read_error = staticmethod(openai_error.read_error)
    write_error = staticmethod(openai_error.write_error)

    def framing(self, most_bytes: int) -> Events:
        return Events(most_bytes)

    def reader(self, losses: Losses) -> ChatReader:
        return ChatReader(losses)

    def writer(self, ask: Ask, losses: Losses) -> ChatWriter:
        return ChatWriter(ask, losses)


CODEC: Final = OpenAIChatCodec()
