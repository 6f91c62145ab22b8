"""generateContent, from Gemini and from Vertex."""

from dataclasses import replace

from tests.conformance.recorded.claims import Claims, Used
from tests.conformance.recorded.scripted.script import ALL, PAGE, SEAL, refused, sse, whole

_GEMINI_USAGE = {
    "promptTokenCount": 8,
    "toolUsePromptTokenCount": 2,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 2,
    "cachedContentTokenCount": 4,
    "totalTokenCount": 17,
}
# Its call is signed, its thought is not.
_SAID = replace(ALL, seals=[], loose_seals=[SEAL])
_GROUNDED = {"groundingChunks": [{"web": {"uri": PAGE, "title": "A"}}]}


def _gemini(*parts: object, **candidate: object) -> dict[str, object]:
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "index": 0, **candidate}], "modelVersion": "m", "responseId": "i"}


_PARTS = (
    {"text": "Look outside.", "thought": True},
    {"text": "It rains."},
    {"functionCall": {"name": "look", "args": {"at": "sky"}}, "thoughtSignature": SEAL},
)
SCRIPTS = {
    "gemini whole": whole(
        "gemini",
        {**_gemini(*_PARTS, finishReason="STOP", groundingMetadata=_GROUNDED), "usageMetadata": _GEMINI_USAGE},
        _SAID,
    ),
    "vertex whole": whole(
        "vertex",
        {**_gemini(*_PARTS, finishReason="STOP", groundingMetadata=_GROUNDED), "usageMetadata": _GEMINI_USAGE},
        _SAID,
    ),
    "gemini streamed": sse(
        "gemini",
        [
            _gemini(_PARTS[0], {"text": "It "}),
            _gemini({"text": "rains."}, groundingMetadata=_GROUNDED),
            {**_gemini(_PARTS[2], finishReason="STOP"), "usageMetadata": _GEMINI_USAGE},
        ],
        _SAID,
    ),
    "gemini blocked": whole(
        "gemini",
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8}},
        Claims(finish="filter", usage=Used(8)),
    ),
    "gemini with logprobs and code": whole(
        "gemini",
        _gemini(
            {"executableCode": {"language": "PYTHON", "code": "1"}},
            {"text": "1"},
            finishReason="MAX_TOKENS",
            logprobsResult={"chosenCandidates": [{"token": "1", "logProbability": -0.5, "tokenId": 1}]},
        ),
        Claims(text="1", others=["executable_code"], logprobs=[["1", -0.5]], finish="length"),
    ),
    "gemini refused": refused(
        "gemini", 404, {"error": {"code": 404, "message": "No such model.", "status": "NOT_FOUND"}}, "ClientError"
    ),
}
