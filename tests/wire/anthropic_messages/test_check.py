import pytest
from msgspec import Raw
from msgspec.json import encode

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire import raw
from gateway.wire.anthropic_messages.check import check
from tests.wire.anthropic_messages.asks import request

USER = {"role": "user", "content": "Hi"}
WHOLE = {"model": "m", "max_tokens": 5, "messages": [USER]}


def refused(body: object, *, counts: bool = False) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as error:
        check(body if isinstance(body, Request) else request(body), counts=counts)
    return error.value.reason, error.value.param


def test_an_ordinary_request_passes() -> None:
    check(request(WHOLE))
    check(request({**WHOLE, "tomorrow": {"file_id": 1}, "container": None, "thread": None}))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "invalid_value"),
        (-1, "invalid_value"),
        (2**31, "invalid_value"),
        (10**30, "invalid_value"),
        (1.5, "invalid_type"),
        ("5", "invalid_type"),
        (True, "invalid_type"),
        (None, "missing_field"),
    ],
)
def test_the_limit_is_a_count_of_tokens(value: object, code: str) -> None:
    assert refused({**WHOLE, "max_tokens": value}) == (code, "max_tokens")


def test_only_a_count_may_be_without_a_limit() -> None:
    body = {"model": "m", "messages": [USER]}
    assert refused(body) == ("missing_field", "max_tokens")
    check(request(body), counts=True)
    assert refused({**body, "max_tokens": 0}, counts=True) == ("invalid_value", "max_tokens")


@pytest.mark.parametrize(
    ("messages", "code", "param"),
    [
        (None, "missing_field", "messages"),
        ("Hi", "invalid_type", "messages"),
        ([], "invalid_value", "messages"),
        ([USER, None], "invalid_type", "messages[1]"),
        ([USER, {"content": "Hi"}], "missing_field", "messages[1].role"),
        ([USER, {"role": 7}], "invalid_type", "messages[1].role"),
        ([USER, {"role": "tool", "content": "Hi"}], "invalid_value", "messages[1].role"),
    ],
)
def test_messages_are_a_list_of_known_speakers(messages: object, code: str, param: str) -> None:
    assert refused({**WHOLE, "messages": messages}) == (code, param)


def test_messages_must_be_there() -> None:
    assert refused({"model": "m", "max_tokens": 5}) == ("missing_field", "messages")


def test_half_a_surrogate_pair_is_refused() -> None:
    body = rb'{"model":"m","max_tokens":5,"messages":[{"role":"us\ud800er"}]}'
    fields = {**raw.read_fields(body.replace(rb"\ud800", b"")), "messages": Raw(rb'[{"role":"us\ud800er"}]')}
    assert refused(Request(fields, "m")) == ("invalid_json", "messages")


FILE = {"type": "file", "file_id": "file_1"}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ([{"type": "text", "text": "x"}, {"type": "image", "source": FILE}], "content[1]"),
        ([{"type": "container_upload", "file_id": "file_1"}], "content[0]"),
        ([{"type": "tool_result", "content": [{"type": "document", "source": FILE}]}], "content[0].content[0]"),
        (
            [{"type": "document", "source": {"type": "content", "content": ["x", {"type": "image", "source": FILE}]}}],
            "content[0].source.content[1]",
        ),
    ],
)
def test_stored_files_are_refused_wherever_they_stand(content: object, where: str) -> None:
    body = {**WHOLE, "messages": [USER, {"role": "user", "content": content}]}
    assert refused(body) == ("unsupported_feature", f"messages[1].{where}")


@pytest.mark.parametrize("name", [b"file\\u005fid", b"\\u0066ile_id", b"fi\\u006Ce_id"])
def test_a_file_is_found_under_an_escaped_name(name: bytes) -> None:
    body = encode({**WHOLE, "messages": [{"role": "user", "content": [{"type": "image", "source": FILE}]}]})
    fields = raw.read_fields(body.replace(b"file_id", name))
    assert refused(Request(fields, "m")) == ("unsupported_feature", "messages[0].content[0]")


def test_a_name_said_twice_hides_no_file() -> None:
    said = b'[{"role":"user","content":[{"type":"image","source":{"file_id":"a"},"source":{"type":"url"}}]}]'
    fields = {**raw.read_fields(encode(WHOLE)), "messages": Raw(said)}
    assert refused(Request(fields, "m")) == ("invalid_json", "messages")


ADVISOR = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-8"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize("spelt", [b'"model"', b'"mod\\u0065l"'])
def test_a_tool_with_a_model_of_its_own_is_refused(spelt: bytes) -> None:
    tools = encode([SEARCH, ADVISOR]).replace(b'"model"', spelt)
    fields = {**raw.read_fields(encode(WHOLE)), "tools": Raw(tools)}
    assert refused(Request(fields, "m")) == ("unsupported_feature", "tools[1].model")
    assert refused(Request(fields, "m"), counts=True) == ("unsupported_feature", "tools[1].model")


def test_a_tool_whose_model_is_said_twice_is_refused() -> None:
    tools = Raw(b'[{"type":"advisor_20260301","model":"claude-opus-4-8","model":null}]')
    assert refused(Request({**raw.read_fields(encode(WHOLE)), "tools": tools}, "m")) == ("invalid_json", "tools")


@pytest.mark.parametrize(
    "tools",
    [
        [SEARCH, {**ADVISOR, "model": None}],
        [{"name": "rent", "input_schema": {"type": "object", "properties": {"model": {"type": "string"}}}}],
        [{"type": "custom", "name": "rent", "model": "T"}],
        ["model"],
        {"model": "T"},
    ],
)
def test_what_only_looks_like_a_model_of_its_own_passes(tools: object) -> None:
    check(request({**WHOLE, "tools": tools}))


def test_what_only_looks_like_a_file_passes() -> None:
    call = {"type": "tool_use", "id": "a", "name": "open", "input": {"file_id": "file_1"}}
    check(request({**WHOLE, "messages": [USER, {"role": "assistant", "content": [call]}]}))
    check(request({**WHOLE, "messages": [{"role": "user", "content": '{"file_id": "file_1"}'}]}))
    check(Request(raw.read_fields(encode(WHOLE).replace(b"Hi", b"\\u00e9 \\u001b \\u0066")), "m"))


@pytest.mark.parametrize(
    ("field", "value", "code", "param"),
    [
        ("container", "container_1", "unsupported_feature", "container"),
        ("container", {"id": "container_1"}, "unsupported_feature", "container"),
        ("container", {"skills": [{"type": "custom", "skill_id": "s"}]}, "unsupported_feature", "container.skills"),
        ("container", 7, "invalid_type", "container"),
        (
            "thread",
            {"type": "continue", "previous_message_id": "m"},
            "unsupported_feature",
            "thread.previous_message_id",
        ),
        ("thread", 7, "invalid_type", "thread"),
    ],
)
def test_what_is_stored_elsewhere_is_refused(field: str, value: object, code: str, param: str) -> None:
    assert refused({**WHOLE, field: value}) == (code, param)


def test_a_container_with_anthropics_own_skills_and_a_new_thread_pass() -> None:
    skills = {"skills": [{"type": "anthropic", "skill_id": "pptx"}]}
    check(request({**WHOLE, "container": skills, "thread": {"type": "create"}}))
    check(request({**WHOLE, "container": {}}))
