"""The verdict on requests, with two languages that are made up for it."""

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.features import Request
from gateway.wire import Addressed
from gateway.wire.ir import Ask, Media, Text, Turn
from gateway.wire.losses import Losses
from tests.conformance.recorded import asking
from tests.conformance.recorded.corpus import Recording
from tests.conformance.recorded.verdict import Allowed, Verdict

TABLE = Allowed(answers={}, requests={"plain": {"top_k": "why", "images": "why"}}, implied={}, usage={})


class Plain:
    """A language of one text and numbers. It leaves out what `spares` names, tells what `tells` names, and adds."""

    patterns: tuple[object, ...] = ()

    def __init__(
        self,
        *,
        spares: tuple[str, ...] = (),
        tells: tuple[str, ...] = (),
        refuses: str = "",
        adds: tuple[str, ...] = (),
    ) -> None:
        self.spares = spares
        self.tells = tells
        self.refuses = refuses
        self.adds = adds

    def read_request(self, given: Any, addressed: Addressed | None = None) -> Any:
        del addressed
        if isinstance(given, bytes):
            return Request({name: Raw(json.dumps(value).encode()) for name, value in json.loads(given).items()}, "m")
        told = {name: json.loads(bytes(value)) for name, value in given.fields.items()}
        if "stored" in told:
            raise BadRequest("Stored.", code="unsupported_feature", param="stored")
        if "odd" in told:
            raise BadRequest("Odd.", code="invalid_type", param="odd")
        said = told.pop("text", "")
        seen = told.pop("seen", None)
        blocks: list[Any] = [Text(said)] + ([Media("image", data=seen)] if seen else [])
        most = told.pop("max_tokens", None)
        numbers = {name: Raw(b"%d" % told[name]) for name in told}
        return Ask("plain", "m", [Turn("user", blocks)], max_tokens=most, sampling=numbers)

    def write_request(self, ask: Ask, model: str, losses: Losses) -> dict[str, Raw]:
        del model
        if self.refuses:
            losses.refused(self.refuses)
        for word in self.tells:
            losses.dropped(word)
        fields = {**ask.sampling, **dict.fromkeys(self.adds, Raw(b"1"))}
        for block in ask.messages[0].content:
            if isinstance(block, Text):
                fields["text"] = Raw(json.dumps(block.text).encode())
            elif isinstance(block, Media):
                fields["seen"] = Raw(json.dumps(block.data).encode())
        return {name: value for name, value in fields.items() if name not in self.spares}


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> dict[str, Plain]:
    """The languages there are."""
    languages = {"plain": Plain(), "other": Plain()}
    monkeypatch.setattr(asking, "codec", languages.__getitem__)
    monkeypatch.setattr(asking, "load", languages.__getitem__)
    return languages


def recording(body: object, *, status: int = 200, language: str = "other") -> Recording:
    asked = json.dumps(body).encode()
    return Recording(0, "s", "p", language, language, False, status, "", b"", "/x", "", asked)


def verdict(body: object) -> Verdict:
    one = recording(body)
    return asking.cross(one, asking.read(one), "plain", TABLE)


def test_a_request_that_comes_back_as_it_was_is_exact(spoken: dict[str, Plain]) -> None:
    assert spoken
    assert verdict({"text": "hi", "top_k": 3}) == Verdict("exact")


def test_a_told_loss_that_the_table_has_is_declared(spoken: dict[str, Plain]) -> None:
    spoken["plain"] = Plain(spares=("top_k",), tells=("top_k",))
    assert verdict({"text": "hi", "top_k": 3}) == Verdict("declared", ("top_k",))


def test_an_untold_loss_is_silent(spoken: dict[str, Plain]) -> None:
    spoken["plain"] = Plain(spares=("top_k",))
    assert verdict({"text": "hi", "top_k": 3}) == Verdict("failed", ("silent: top_k: 3 became None",))


def test_a_loss_that_the_table_has_not_is_a_failure(spoken: dict[str, Plain]) -> None:
    spoken["plain"] = Plain(spares=("seed",), tells=("seed",))
    assert verdict({"text": "hi", "seed": 3}) == Verdict("failed", ("not in the table: seed",))


def test_what_nobody_asked_for_is_a_failure_unless_the_language_must_be_told(spoken: dict[str, Plain]) -> None:
    spoken["plain"] = Plain(adds=("seed",))
    assert verdict({"text": "hi"}) == Verdict("failed", ("added: seed",))
    spoken["plain"] = Plain(adds=("max_tokens",))
    assert verdict({"text": "hi"}) == Verdict("exact")


def test_text_is_never_lost_whatever_is_told(spoken: dict[str, Plain]) -> None:
    spoken["plain"] = Plain(spares=("text",), tells=("text", "said"))
    assert verdict({"text": "hi"}).outcome == "failed"


def test_a_request_may_be_refused_where_the_table_has_it(spoken: dict[str, Plain]) -> None:
    spoken["plain"] = Plain(refuses="images")
    assert verdict({"text": "hi", "seen": "eA=="}) == Verdict("declared", ("images (refused)",))
    spoken["plain"] = Plain(refuses="n")
    assert verdict({"text": "hi"}) == Verdict("failed", ("refused and not in the table: n",))


@pytest.mark.parametrize(
    ("body", "status", "proves"),
    [({"odd": 1}, 200, True), ({"odd": 1}, 400, False), ({"stored": 1}, 200, False)],
)
def test_a_request_that_was_refused_when_it_was_recorded_or_asks_for_stored_things_proves_nothing(
    spoken: dict[str, Plain], body: object, status: int, *, proves: bool
) -> None:
    assert spoken
    with pytest.raises(asking.Unreadable) as caught:
        asking.read(recording(body, status=status))
    assert caught.value.proves is proves


def test_what_no_caller_speaks_is_not_read() -> None:
    with pytest.raises(asking.Unreadable, match="no caller speaks bedrock_invoke"):
        asking.read(recording({}, language="bedrock_invoke"))


def test_every_request_is_counted_once_a_language_or_skipped(spoken: dict[str, Plain]) -> None:
    spoken["plain"] = Plain(spares=("top_k",))
    skipped: Counter[str] = Counter()
    given = [recording({"text": "a"}), recording({"top_k": 1}), recording({"stored": 1}), recording({"odd": 1})]
    scores = asking.requests([*given, recording("no object")], ["plain", "other"], skipped)
    assert scores.sums() == {"exact": 3, "failed": 5}
    assert skipped.total() == 1


def test_a_language_that_fails_fails_its_own_column(spoken: dict[str, Plain], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(spoken, "plain", SimpleNamespace())
    scores = asking.requests([recording({"text": "a"})], ["plain", "other"], Counter())
    assert any("AttributeError" in line for line in scores.told())
    assert scores.sums() == {"exact": 1, "failed": 1}


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/gemini-3.0-flash:generateContent", "gemini-3.0-flash"),
        ("/v1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent", "g"),
        ("/model/us.anthropic.claude%3A0/converse", "us.anthropic.claude:0"),
        ("/model/amazon.nova-v1:0/converse-stream", "amazon.nova-v1:0"),
    ],
)
def test_a_model_in_the_path_is_found_there(path: str, model: str, spoken: dict[str, Plain]) -> None:
    spoken["other"].patterns = ("in the path",)
    one = Recording(0, "s", "p", "other", "other", False, 200, "", b"", path, "a=b", b"{}")
    found = asking._address(one)
    assert (found.model, found.stream, found.query) == (model, "stream" in path.lower(), "a=b")
