"""The official client at the end of a stream that exists already."""

import httpx2
from openai import OpenAI
from openai.types.responses import ParsedResponse, Response, ResponseStreamEvent
from pydantic import TypeAdapter

_EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def client(body: bytes, media_type: str) -> OpenAI:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": media_type}, content=body, request=request)

    return OpenAI(
        api_key="k", base_url="http://x/v1", http_client=httpx2.Client(transport=httpx2.MockTransport(answer))
    )


def fold(body: bytes) -> ParsedResponse[None]:
    """What the client's own helper makes of a stream."""
    with client(body, "text/event-stream") as openai, openai.responses.stream(model="m", input="hi") as stream:
        return stream.get_final_response()


def events(body: bytes) -> list[ResponseStreamEvent]:
    """The events one by one, each held strictly to its type."""
    with client(body, "text/event-stream") as openai:
        found = list(openai.responses.create(model="m", input="hi", stream=True))
    for event in found:
        _EVENT.validate_python(event.to_dict(warnings=False), strict=True)
    return found


def whole(body: bytes) -> Response:
    """A whole answer, held strictly to its type."""
    with client(body, "application/json") as openai:
        found = openai.responses.create(model="m", input="hi")
    Response.model_validate(found.to_dict(warnings=False), strict=True)
    return found
