import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    BadRequest,
    DeadlineExceeded,
    Forbidden,
    Overloaded,
    RateLimited,
    Unauthorized,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamDenied,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamSlow,
    UpstreamUnavailableHere,
)
from gateway.wire.openai_error import (
    Words,
    error_frame,
    read_error,
    read_inside,
    read_retry_after,
    read_words,
    type_of,
    write_error,
)

NO_HEADERS: Mapping[bytes, bytes] = {}


def refusal(status: int, message: str = "", **more: object) -> UpstreamError:
    return read_error(status, NO_HEADERS, json.dumps({"error": {"message": message, **more}}).encode())


# --- what a backend's refusal means -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UpstreamRefused),
        (404, UpstreamRefused),
        (409, UpstreamRefused),
        (413, UpstreamRefused),
        (422, UpstreamRefused),
        (401, UpstreamDenied),
        (402, UpstreamDenied),
        (403, UpstreamDenied),
        (408, UpstreamSlow),
        (504, UpstreamSlow),
        (524, UpstreamSlow),
        (429, UpstreamBusy),
        (498, UpstreamBusy),
        (503, UpstreamOverloaded),
        (529, UpstreamOverloaded),
        (307, UpstreamBroken),
        (405, UpstreamBroken),
        (500, UpstreamBroken),
        (502, UpstreamBroken),
        (520, UpstreamBroken),
    ],
)
def test_every_status_has_its_meaning(status: int, kind: type[UpstreamError]) -> None:
    error = read_error(status, NO_HEADERS, b"")
    assert type(error) is kind
    assert error.upstream_status == status


def test_the_callers_own_mistake_is_told_with_its_field_and_its_code() -> None:
    error = refusal(
        400, "Invalid 'messages[3]': not supported by gpt-4o.", code="invalid_value", param="messages[3]", type="x"
    )
    assert (error.message, error.reason, error.param) == (
        "Invalid 'messages[3]': not supported by gpt-4o.",
        "invalid_value",
        "messages[3]",
    )
    assert (error.answer_status, error.try_elsewhere, error.hurts_health) == (400, False, False)


def test_a_refusal_without_words_gets_ours() -> None:
    error = read_error(422, NO_HEADERS, b"<html>")
    assert error.message == "The model's server refused the request."
    assert (error.answer_status, error.reason, error.param) == (422, "invalid_request", None)


@pytest.mark.parametrize("status", [401, 402, 403, 429, 498, 500, 502, 503, 504, 529])
def test_of_all_other_failures_a_caller_reads_our_words_only(status: int) -> None:
    error = refusal(status, "secret words", code="secret_code", param="secret_param")
    assert "secret" not in f"{error.message} {error.reason} {error.param}"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": {"message": "x", "type": "insufficient_quota", "code": "insufficient_quota"}}),
        (429, {"error": {"message": "x", "type": "exceeded_current_quota_error"}}),
        (429, {"error": {"message": "x", "code": "1113"}}),
        (500, {"error": {"message": "x", "code": "billing_hard_limit_reached"}}),
        (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***kg."}),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]),
        (404, {"error": {"message": "Invalid API Key"}}),
    ],
)
def test_what_is_wrong_with_our_account_is_never_the_callers_to_read(status: int, body: object) -> None:
    error = read_error(status, NO_HEADERS, json.dumps(body).encode())
    assert type(error) is UpstreamDenied
    assert error.message == "The upstream refused our account."
    assert (error.answer_status, error.try_elsewhere) == (502, True)


NOT_HERE = "unsupported_country_region_territory"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"error": {"message": "x", "type": "request_forbidden", "param": None, "code": NOT_HERE}}),
        (403, {"code": NOT_HERE, "message": "x", "param": None, "type": "request_forbidden"}),
        (400, {"error": {"message": "x", "code": NOT_HERE}}),
        (400, [{"error": {"code": 400, "message": "User location is not supported for the API use."}}]),
        (400, {"error": {"message": "Gemini API free tier is not available in your country. Please enable billing"}}),
        (400, {"message": "Access to Anthropic models is not allowed from unsupported countries, regions, or"}),
    ],
)
def test_a_country_that_is_not_served_is_this_places_own_and_speaks_against_nobody(status: int, body: object) -> None:
    error = read_error(status, NO_HEADERS, json.dumps(body).encode())
    assert type(error) is UpstreamUnavailableHere
    assert (error.answer_status, error.upstream_status) == (502, status)
    assert (error.try_elsewhere, error.hurts_health) == (True, False)
    assert error.message == "The upstream does not serve this place."


def test_a_country_that_is_not_served_may_be_told_inside_a_200() -> None:
    assert type(read_inside(json.dumps({"code": NOT_HERE}).encode())) is UpstreamUnavailableHere


def test_what_a_caller_wrote_makes_no_country_unserved() -> None:
    echo = "Invalid value 'User location is not supported for the API use.' of messages[0]"
    assert type(refusal(400, echo)) is UpstreamRefused


def test_a_wait_that_is_asked_for_is_kept() -> None:
    error = read_error(429, {b"retry-after": b"20"}, b"")
    assert error.retry_after_s == 20.0
    assert read_error(503, {b"retry-after-ms": b"50", b"retry-after": b"20"}, b"").retry_after_s == 0.05


@pytest.mark.parametrize(
    "value", [b"", b"soon", b"-1", b"1e9", b"1" * 10, b"Wed, 21 Oct 2026 07:28:00 GMT", b"1 2", b"NaN"]
)
def test_a_wait_that_is_no_number_of_seconds_is_none(value: bytes) -> None:
    assert read_retry_after({b"retry-after": value}) is None


def test_a_wait_may_have_a_fraction() -> None:
    assert read_retry_after({b"retry-after": b"1.5"}) == 1.5


@pytest.mark.parametrize(
    ("until", "now", "seconds"),
    [
        (b"Sun, 22 Nov 2026 13:01:30 GMT", b"Sun, 22 Nov 2026 13:00:00 GMT", 90.0),
        (b"Sun, 22 Nov 2026 12:59:00 GMT", b"Sun, 22 Nov 2026 13:00:00 GMT", 0.0),
        (b"Sun, 22 Nov 2026 13:01:30 GMT", b"", None),
        (b"Sunday, 22-Nov-26 13:01:30 GMT", b"Sun, 22 Nov 2026 13:00:00 GMT", None),
        (b"Sun, 99 Nov 2026 13:01:30 GMT", b"Sun, 22 Nov 2026 13:00:00 GMT", None),
        (b"\xff\xff", b"Sun, 22 Nov 2026 13:00:00 GMT", None),
    ],
    ids=["later", "already past", "an answer without a date", "an old form", "no date", "no text"],
)
def test_a_date_to_wait_for_counts_from_the_answers_own(until: bytes, now: bytes, seconds: float | None) -> None:
    assert read_retry_after({b"retry-after": until, b"date": now}) == seconds


@pytest.mark.parametrize(
    ("told", "kind", "reason"),
    [
        ({"code": 429, "message": "x"}, UpstreamBusy, "rate_limit_exceeded"),
        ({"code": "rate_limit_exceeded"}, UpstreamBusy, "rate_limit_exceeded"),
        ({"type": "overloaded_error"}, UpstreamOverloaded, "overloaded"),
        ({"code": 503}, UpstreamOverloaded, "overloaded"),
        ({"code": 402}, UpstreamDenied, "upstream_denied"),
        ({"type": "insufficient_quota"}, UpstreamDenied, "upstream_denied"),
        ({"code": 524}, UpstreamSlow, "upstream_timeout"),
        ({"code": 400, "message": "too long"}, UpstreamBroken, "upstream_error"),
        ("boom", UpstreamBroken, "upstream_error"),
        ({}, UpstreamBroken, "upstream_error"),
        ([], UpstreamBroken, "upstream_error"),
    ],
)
def test_an_error_inside_a_200_goes_to_the_next_place_and_says_nothing(
    told: object, kind: type[UpstreamError], reason: str
) -> None:
    error = read_inside(json.dumps(told).encode())
    assert type(error) is kind
    assert (error.reason, error.try_elsewhere, error.param) == (reason, True, None)
    assert "x" not in error.message.split()


# --- the words of an error body ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "body", "words"),
    [
        (
            "openai",
            {"error": {"message": "no", "type": "invalid_request_error", "param": "n", "code": "bad"}},
            Words("no", "n", "bad", "invalid_request_error"),
        ),
        (
            "vllm before 0.10",
            {"object": "error", "message": "no", "type": "BadRequestError", "param": None, "code": 400},
            Words("no", kind="BadRequestError", status=400),
        ),
        ("tgi", {"error": "no", "error_type": "validation"}, Words("no")),
        ("xai", {"code": "Client specified an invalid argument", "error": "no"}, Words("no")),
        ("gemini", [{"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}}], Words("no", status=404)),
        ("bedrock, cohere", {"id": "7", "message": "no"}, Words("no")),
        ("cloudflare", {"success": False, "errors": [{"message": "no", "code": 5007}]}, Words("no")),
        ("nvidia nim", {"type": "urn:x", "title": "Bad", "status": 400, "detail": "no"}, Words("no", status=400)),
        (
            "mistral",
            {"object": "error", "message": {"detail": [{"loc": ["body", "n"], "msg": "no"}, {"msg": "more"}]}},
            Words("body.n: no; more"),
        ),
        ("fastapi", {"detail": [{"type": "missing", "loc": ["body", 0], "msg": "no"}]}, Words("body.0: no")),
        ("nothing said", {"error": {"message": None, "type": 5, "param": [], "code": {}}}, Words()),
        ("nothing at all", [], Words()),
        ("a number", 7, Words()),
    ],
)
def test_every_hosts_error_body_is_understood(host: str, body: object, words: Words) -> None:
    assert read_words(json.dumps(body).encode()) == words, host


@pytest.mark.parametrize(
    "body", [b"", b"<html>no</html>", b"\xff", b"[" * 100_000, b'{"error":' * 900 + b"1" + b"}" * 900]
)
def test_what_is_no_error_body_has_no_words(body: bytes) -> None:
    assert read_words(body) == Words()


@pytest.mark.parametrize("word", ["sk-abcdef123456", "a b", "x" * 129, "10.0.0.1", "", 5, None, "é"])
def test_a_field_or_a_code_that_is_no_word_is_left_out(word: object) -> None:
    words = read_words(json.dumps({"error": {"message": "m", "param": word, "code": word, "type": word}}).encode())
    assert (words.param, words.code, words.kind) == ("", "", "")


def test_words_are_masked_and_capped() -> None:
    words = read_words(json.dumps({"error": {"message": "see https://a.example " + "x " * 5000}}).encode())
    assert words.message.startswith("see [url] x x")
    assert len(words.message) == 2048


@given(body=st.binary(max_size=60) | st.text(max_size=30).map(lambda text: json.dumps({"error": text}).encode()))
def test_any_body_means_something(body: bytes) -> None:
    assert read_error(400, NO_HEADERS, body).message
    assert read_inside(body).message


# --- how we say ours --------------------------------------------------------------------------------------------------


def test_an_error_body_is_openais() -> None:
    error = BadRequest("The field 'model' is missing.", code="missing_field", param="model")
    assert write_error(error, "req_1") == (
        b'{"error":{"message":"The field \'model\' is missing.","type":"invalid_request_error","param":"model",'
        b'"code":"missing_field"}}'
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unauthorized("x"), "invalid_request_error"),
        (Forbidden("x"), "permission_error"),
        (RateLimited("x"), "rate_limit_error"),
        (UpstreamBusy("x"), "rate_limit_error"),
        (UpstreamOverloaded("x"), "service_unavailable_error"),
        (Overloaded("x"), "service_unavailable_error"),
        (UpstreamDenied("x"), "server_error"),
        (UpstreamSlow("x"), "server_error"),
        (DeadlineExceeded("x"), "server_error"),
        (UpstreamRefused("x"), "invalid_request_error"),
    ],
)
def test_the_type_is_the_nearest_ancestors(error: UpstreamError, kind: str) -> None:
    assert type_of(error) == kind


def test_a_frame_ends_a_stream_without_done() -> None:
    frame = error_frame(UpstreamSlow("Too slow."), "id-1", 5, "m", "chat.completion.chunk")
    assert frame == (
        b'data: {"id":"id-1","object":"chat.completion.chunk","created":5,"model":"m",'
        b'"choices":[{"index":0,"delta":{},"finish_reason":"error"}],'
        b'"error":{"message":"Too slow.","type":"server_error","param":null,"code":"upstream_timeout"}}\n\n'
    )
