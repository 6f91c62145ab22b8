"""The tree of errors: every kind has its facts, and every language has words for it."""

import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest

from gateway import errors, wire
from gateway.errors import (
    BadRequest,
    CallerError,
    ConfigProblem,
    ConfigUnusable,
    GatewayError,
    GatewayFault,
    UpstreamBusy,
    UpstreamError,
    UpstreamRefused,
)
from gateway.wire import Wire

ROOTS = (CallerError, UpstreamError, GatewayFault)
OPENAI_TYPES = {
    "invalid_request_error",
    "permission_error",
    "rate_limit_error",
    "server_error",
    "service_unavailable_error",
}


def kinds() -> list[type[GatewayError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GatewayError)]


def languages() -> Iterator[tuple[str, Wire]]:
    """Every file of gateway/wire that ends in a language; the others are parts of one."""
    for module in iter_modules(wire.__path__):
        if hasattr(import_module(f"gateway.wire.{module.name}"), "WIRE"):
            yield module.name, wire.load(module.name)


LANGUAGES = dict(languages())


def test_the_languages_are_found() -> None:
    assert {"openai_chat", "openai_embeddings", "opaque"} <= LANGUAGES.keys()
    assert wire.load("openai_chat") is LANGUAGES["openai_chat"]
    with pytest.raises(ModuleNotFoundError):
        wire.load("klingon")


def test_blame_comes_first() -> None:
    for kind in kinds():
        if kind is not GatewayError:
            assert sum(issubclass(kind, root) for root in ROOTS) == 1, kind


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_has_a_status_and_a_code(kind: type[GatewayError]) -> None:
    assert 400 <= kind.status < 600
    assert kind.code.replace("_", "").isalpha()
    assert kind.code.islower()


@pytest.mark.parametrize("kind", kinds())
def test_the_status_says_whose_fault_it_is(kind: type[GatewayError]) -> None:
    if issubclass(kind, CallerError):
        # These two statuses are of the 500s and speak of the request all the same.
        assert kind.status < 500 or kind.status in (505, 508)
        assert not kind.try_elsewhere
        assert not kind.hurts_health
    elif not issubclass(kind, UpstreamRefused | UpstreamBusy):
        assert kind.status >= 500


def test_only_an_upstreams_failure_is_tried_elsewhere_or_speaks_against_a_place() -> None:
    for kind in kinds():
        if kind.try_elsewhere or kind.hurts_health:
            assert issubclass(kind, UpstreamError), kind


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("kind", kinds())
def test_every_kind_can_be_said_in_every_language(kind: type[GatewayError], name: str) -> None:
    language = LANGUAGES[name]
    error = kind("What happened.", param="model")
    said = json.loads(language.write_error(error, "req_1"))
    assert "What happened." in json.dumps(said)
    assert kind.code in json.dumps(said) or "openai" not in name


@pytest.mark.parametrize("name", [name for name in LANGUAGES if name.startswith(("openai", "opaque"))])
@pytest.mark.parametrize("kind", kinds())
def test_every_kind_has_an_openai_type(kind: type[GatewayError], name: str) -> None:
    inner = json.loads(LANGUAGES[name].write_error(kind("What happened."), "req_1"))["error"]
    assert inner.keys() == {"message", "type", "param", "code"}
    assert inner["type"] in OPENAI_TYPES
    assert inner["code"] == kind.code
    caller = issubclass(kind, CallerError | UpstreamRefused)
    assert (inner["type"] in {"invalid_request_error", "permission_error", "rate_limit_error"}) is (
        caller or kind is UpstreamBusy
    )


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_status_of_a_backend_means_something_in_every_language(name: str) -> None:
    for status in range(300, 600):
        error = LANGUAGES[name].read_error(status, {}, b"")
        # Cohere's 498 is a refusal; with everybody else it is a full house.
        assert error.upstream_status == status or (name, status) == ("cohere_chat", 498)
        assert 400 <= error.answer_status < 600
        # Our own account's troubles are never the caller's.
        assert error.answer_status not in (401, 402, 403)


def test_an_error_carries_what_it_was_given() -> None:
    error = BadRequest("No.", code="missing_field", param="model", retry_after_s=2.0, headers=(("allow", "GET"),))
    assert str(error) == error.message == "No."
    assert (error.reason, error.param, error.retry_after_s) == ("missing_field", "model", 2.0)
    assert error.headers == (("allow", "GET"),)
    assert error.answer_status == 400
    assert BadRequest("No.").reason == "invalid_request"


def test_a_backends_refusal_keeps_its_status() -> None:
    assert UpstreamRefused("No.", upstream_status=422).answer_status == 422
    assert UpstreamRefused("No.").answer_status == 400
    error = UpstreamError("No.", target="groq/eu", upstream_status=500)
    assert (error.target, error.answer_status) == ("groq/eu", 502)


def test_a_problem_with_the_configuration_says_where_and_how_to_mend_it() -> None:
    problem = ConfigProblem("gateway.yaml", 7, "pop", "is not known", "name a row of pops.yaml")
    assert str(problem) == "gateway.yaml:7: pop: is not known; name a row of pops.yaml"
    assert str(ConfigProblem("a.yaml", 1, "k", "is wrong")) == "a.yaml:1: k: is wrong"
    unusable = ConfigUnusable([problem, problem])
    assert unusable.problems == [problem, problem]
    assert str(unusable).count("\n") == 1
