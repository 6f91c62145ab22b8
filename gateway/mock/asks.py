"""What a caller asked the stand-in for, read from the request's body. As strict as real servers are, no stricter."""

from dataclasses import dataclass

import orjson

OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
}
_CHARACTERS_A_TOKEN = 4
_MOST_CHOICES = 128


class BadAsk(Exception):
    """A request the stand-in refuses, with the words and the status of its refusal."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request for an answer."""

    operation: str
    model: str
    stream: bool = False
    choices: int = 1
    max_tokens: int | None = None
    include_usage: bool = False
    prompt_tokens: int = 1
    inputs: tuple[str, ...] = ()
    dimensions: int | None = None
    base64: bool = False
    tool: str | None = None


def read_ask(operation: str, body: bytes) -> Ask:
    """The request in this body. Raises BadAsk."""
    try:
        fields: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadAsk("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise BadAsk("the body is not a JSON object")
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise BadAsk("model must be a string", param="model")
    if operation == "embeddings":
        inputs = _inputs(fields.get("input"), "input")
        return Ask(
            operation=operation,
            model=model,
            inputs=inputs,
            prompt_tokens=sum(map(tokens_in, inputs)),
            dimensions=_number(fields, "dimensions"),
            base64=fields.get("encoding_format") == "base64",
        )
    stream = fields.get("stream")
    if not isinstance(stream, bool | None):
        raise BadAsk("stream must be a boolean", param="stream")
    options = fields.get("stream_options")
    if operation == "chat":
        prompt_tokens = _message_tokens(fields.get("messages"))
        limit = _number(fields, "max_completion_tokens") or _number(fields, "max_tokens")
    else:
        prompt_tokens = sum(map(tokens_in, _inputs(fields.get("prompt"), "prompt")))
        limit = _number(fields, "max_tokens")
    return Ask(
        operation=operation,
        model=model,
        stream=bool(stream),
        choices=_number(fields, "n", most=_MOST_CHOICES) or 1,
        max_tokens=limit,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        prompt_tokens=prompt_tokens,
        tool=_forced_tool(fields) if operation == "chat" else None,
    )


def tokens_in(text: str) -> int:
    """The stand-in's own count: about four characters a token, at least one."""
    return max(1, (len(text) + _CHARACTERS_A_TOKEN - 1) // _CHARACTERS_A_TOKEN)


def _number(fields: dict[object, object], name: str, most: int = 2**31) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadAsk(f"{name} must be a whole number from 1 to {most}", param=name)
    return value


def _message_tokens(messages: object) -> int:
    if not isinstance(messages, list) or not messages:
        raise BadAsk("messages must be a list with at least one message", param="messages")
    total = 0
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadAsk("every message needs a role", param="messages")
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = [part.get("text") for part in parts if isinstance(part, dict)]
        total += sum(tokens_in(text) for text in texts if isinstance(text, str))
    return max(1, total)


def _inputs(value: object, name: str) -> tuple[str, ...]:
    """Texts or lists of token numbers, one or several, each as one text."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value):
            return tuple(map(str, value))
        if all(isinstance(item, int) for item in value):
            return (" ".join(map(str, value)),)
        if all(isinstance(item, list) and item for item in value):
            return tuple(" ".join(map(str, item)) for item in value)
    raise BadAsk(f"{name} must be a text, a list of texts, or lists of token numbers", param=name)


def _forced_tool(fields: dict[object, object]) -> str | None:
    """The function the caller insists on: the one it names, or its first where any will do."""
    choice = fields.get("tool_choice")
    tools = fields.get("tools")
    if choice == "required" and isinstance(tools, list) and tools:
        choice = tools[0]
    if not isinstance(choice, dict):
        return None
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None
