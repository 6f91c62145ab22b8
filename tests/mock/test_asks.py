import orjson
import pytest

from gateway.mock.asks import Ask, BadAsk, read_ask, tokens_in


def chat(**fields: object) -> Ask:
    usual = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    return read_ask("chat", orjson.dumps({**usual, **fields}))


def test_a_chat_is_read() -> None:
    ask = chat(stream=True, max_tokens=5, n=2, stream_options={"include_usage": True})
    assert ask == Ask(operation="chat", model="m", stream=True, max_tokens=5, choices=2, include_usage=True)


def test_the_newer_limit_wins() -> None:
    assert chat(max_tokens=5, max_completion_tokens=7).max_tokens == 7


def test_a_null_is_the_same_as_nothing() -> None:
    assert chat(max_tokens=None, stream=None, n=None) == chat()


def test_prompts_are_counted_in_all_their_shapes() -> None:
    parts = [{"type": "text", "text": "a" * 8}, {"type": "image_url", "image_url": {"url": "data:"}}]
    messages = [{"role": "system", "content": "a" * 9}, {"role": "user", "content": parts}, {"role": "user"}]
    assert chat(messages=messages).prompt_tokens == 5
    assert tokens_in("") == 1


@pytest.mark.parametrize(
    ("given", "texts"), [("a", ("a",)), (["a", "b"], ("a", "b")), ([1, 2], ("1 2",)), ([[1], [2, 3]], ("1", "2 3"))]
)
def test_embedding_inputs_are_read_in_all_their_shapes(given: object, texts: tuple[str, ...]) -> None:
    body = {"model": "m", "input": given, "dimensions": 3, "encoding_format": "base64"}
    ask = read_ask("embeddings", orjson.dumps(body))
    assert (ask.inputs, ask.dimensions, ask.base64) == (texts, 3, True)


def test_a_completion_counts_its_prompt() -> None:
    ask = read_ask("completions", orjson.dumps({"model": "m", "prompt": ["a" * 8, "b"], "max_tokens": 3}))
    assert (ask.prompt_tokens, ask.max_tokens) == (3, 3)


def test_a_tool_the_caller_insists_on_is_used() -> None:
    tools = [{"type": "function", "function": {"name": "first"}}]
    assert chat(tools=tools, tool_choice="required").tool == "first"
    assert chat(tools=tools, tool_choice={"type": "function", "function": {"name": "named"}}).tool == "named"
    assert chat(tools=tools, tool_choice="auto").tool is None
    assert chat(tools=tools, tool_choice={"type": "function"}).tool is None


@pytest.mark.parametrize(
    ("operation", "body", "param"),
    [
        ("chat", b"{", None),
        ("chat", b"[]", None),
        ("chat", b"{}", "model"),
        ("chat", b'{"model":""}', "model"),
        ("chat", b'{"model":"m"}', "messages"),
        ("chat", b'{"model":"m","messages":[]}', "messages"),
        ("chat", b'{"model":"m","messages":["hi"]}', "messages"),
        ("chat", b'{"model":"m","messages":[{"role":"user","content":"a"}],"stream":"yes"}', "stream"),
        ("chat", b'{"model":"m","messages":[{"role":"user","content":"a"}],"n":0}', "n"),
        ("chat", b'{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":true}', "max_tokens"),
        ("chat", b'{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":-1}', "max_tokens"),
        ("completions", b'{"model":"m"}', "prompt"),
        ("embeddings", b'{"model":"m","input":[]}', "input"),
        ("embeddings", b'{"model":"m","input":[1,"a"]}', "input"),
    ],
)
def test_nonsense_is_refused_with_the_field_it_is_in(operation: str, body: bytes, param: str | None) -> None:
    with pytest.raises(BadAsk) as refusal:
        read_ask(operation, body)
    assert (refusal.value.status, refusal.value.param) == (400, param)
