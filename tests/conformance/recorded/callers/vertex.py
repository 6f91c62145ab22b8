"""generateContent of Vertex, by `google-genai` as a client of Vertex: recordings are read so."""

from typing import Any

from google.genai import Client

from tests.conformance.recorded.callers.gemini import Gemini, _options


class Vertex(Gemini):
    def client(self, url: str, key: str) -> Any:
        return Client(vertexai=True, api_key=key, http_options=_options(url))


CALLER = Vertex
