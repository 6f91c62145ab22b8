"""Configured models as places: which serve a name, in which order, and what is written to them."""

from collections.abc import Mapping

import pytest

from gateway.settings.catalogue import CHECKOUT, read_catalogue
from gateway.settings.findings import Findings
from gateway.settings.shape import Auth, Backend, NameRule, Price, Provider, Secret, Settings, Target, Timeouts
from gateway.upstream.catalogue import SPELLED_MOST, Catalogue, Place, lend

PATHS = {"chat": "/v1/chat/completions", "embeddings": "/v1/embeddings"}
PROVIDER = Provider(name="p", speaks="openai_chat", paths=PATHS)
KEY = "sk-very-secret-0123456789"


def backend(name: str = "b", *urls: str, provider: Provider = PROVIDER, key: str = "") -> Backend:
    return Backend(name=name, provider=provider, base_urls=urls or ("http://127.0.0.1:8000",), api_key=Secret(key))


def catalogue(models: Mapping[str, tuple[Target, ...]]) -> Catalogue:
    backends = {target.backend.name: target.backend for targets in models.values() for target in targets}
    return Catalogue(Settings(models=dict(models), backends=backends, callers=(), state="memory"))


def places(models: Mapping[str, tuple[Target, ...]], model: str, operation: str = "chat") -> tuple[Place, ...]:
    return catalogue(models).plan(model, operation, "openai_chat").places


def only(place_of: Backend, model: str = "m", operation: str = "chat") -> Place:
    (place,) = places({"m": (Target(place_of, model),)}, "m", operation)
    return place


def test_a_place_knows_where_and_what_to_write() -> None:
    place = only(backend("vllm", "http://127.0.0.1:8000"), "meta/llama")
    assert (place.name, place.model, bytes(place.model_json)) == ("vllm", "meta/llama", b'"meta/llama"')
    assert place.origin.authority == "127.0.0.1:8000"
    assert place.head == (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:8000\r\nuser-agent: meridian-gateway\r\n"
        b"accept-encoding: identity\r\ncontent-type: application/json\r\n"
    )


def test_every_request_is_a_post_that_takes_no_compression() -> None:
    """A HEAD answer with a length would swallow the next one, and a compressed one could be a bomb."""
    for operation in PATHS:
        head = only(backend(), operation=operation).head
        assert head.startswith(b"POST ")
        assert b"\r\naccept-encoding: identity\r\n" in head


def test_places_are_in_the_order_of_the_configuration_and_order_comes_first() -> None:
    targets = tuple(Target(backend(name), "m", order=order) for name, order in [("a", 1), ("b", 0), ("c", 1), ("d", 0)])
    assert [place.name for place in places({"m": targets}, "m")] == ["b", "d", "a", "c"]


def test_only_places_that_have_the_operation_are_planned() -> None:
    chats = backend("chats", provider=Provider(name="q", speaks="openai_chat", paths={"chat": "/chat"}))
    models = {"m": (Target(chats, "m"), Target(backend("all"), "m"))}
    assert [place.name for place in places(models, "m", "embeddings")] == ["all"]
    assert places(models, "m", "images") == ()


def test_a_plan_takes_as_long_as_its_most_patient_target() -> None:
    targets = (Target(backend("a"), "m", Timeouts(total_s=5.0)), Target(backend("b"), "m", Timeouts(total_s=9.0)))
    served = catalogue({"m": targets})
    assert served.plan("m", "chat", "openai_chat").total_s == 9.0
    assert served.plan("other", "chat", "openai_chat").total_s == 0.0


def test_a_plan_is_made_once() -> None:
    served = catalogue({"m": (Target(backend(), "m"),), "g-*": (Target(backend(), "*"),)})
    for model in ("m", "g-1"):
        assert served.plan(model, "chat", "openai_chat") is served.plan(model, "chat", "openai_chat")


@pytest.mark.parametrize(
    ("pattern", "model", "sent"),
    [
        ("openai/*", "openai/gpt-4o", "gpt-4o"),
        ("*", "anything/at:all", "anything/at:all"),
        ("*-preview", "o9-preview", "o9"),
        ("eu/*:free", "eu/llama:free", "llama"),
        ("openai/*", "openai/", ""),
    ],
)
def test_a_star_serves_what_the_globs_star_matched(pattern: str, model: str, sent: str) -> None:
    (place,) = places({pattern: (Target(backend(), "*"),)}, model)
    assert place.model == sent


def test_a_glob_may_name_one_model_for_all() -> None:
    (place,) = places({"gpt-*": (Target(backend(), "llama"),)}, "gpt-4o")
    assert place.model == "llama"


@pytest.mark.parametrize("model", ["openai", "OPENAI/x", "xopenai/y", ""])
def test_a_name_outside_every_glob_is_served_by_nothing(model: str) -> None:
    assert places({"openai/*": (Target(backend(), "*"),)}, model) == ()


def test_a_name_wins_over_a_glob_and_the_first_glob_over_the_next() -> None:
    models = {
        "a-*": (Target(backend("first"), "*"),),
        "a-b*": (Target(backend("second"), "*"),),
        "a-bc": (Target(backend("exact"), "m"),),
    }
    assert [place.name for place in places(models, "a-bc")] == ["exact"]
    assert [place.name for place in places(models, "a-bd")] == ["first"]


def test_globs_are_not_listed() -> None:
    assert catalogue({"m": (Target(backend(), "m"),), "g-*": (Target(backend(), "*"),)}).names == ["m"]


def test_names_callers_make_up_are_not_kept_for_ever() -> None:
    served = catalogue({"g-*": (Target(backend(), "*"),)})
    for number in range(2 * SPELLED_MOST + 10):
        served.plan(f"g-{number}", "chat", "openai_chat")
        served.plan(f"unheard-{number}", "chat", "openai_chat")
    assert len(served._spelled) + len(served._plans) <= SPELLED_MOST


@pytest.mark.parametrize(
    ("url", "path", "line"),
    [
        ("http://127.0.0.1:8000/", "/v1/chat", b"POST /v1/chat HTTP/1.1"),
        ("https://api.example/v1", "/chat", b"POST /v1/chat HTTP/1.1"),
        (
            "https://r.example/openai",
            "/deployments/{model}/chat/completions?api-version=2024-10-21",
            b"POST /openai/deployments/meta%2Fllama%3Fx%3D1%20%C3%A9/chat/completions?api-version=2024-10-21 HTTP/1.1",
        ),
    ],
)
def test_a_path_follows_its_base_url_and_holds_the_model_as_one_segment(url: str, path: str, line: bytes) -> None:
    provider = Provider(name="q", speaks="openai_chat", paths={"chat": path})
    place = only(backend("b", url, provider=provider), "meta/llama?x=1 é")
    assert place.head.partition(b"\r\n")[0] == line


def test_a_name_can_not_leave_its_line() -> None:
    provider = Provider(name="q", speaks="openai_chat", paths={"chat": "/{model}/chat"})
    place = only(backend("b", provider=provider), "m HTTP/1.1\r\nx-evil: 1\r\n/../..")
    assert place.head.count(b"\r\n") == only(backend()).head.count(b"\r\n")
    assert b"x-evil: 1" not in place.head


def test_several_base_urls_are_several_paths_to_one_place() -> None:
    place = only(backend("b", "http://127.0.0.1:1/a", "https://b.example/v2"))
    assert place.head.startswith(b"POST /a/v1/chat/completions ")
    (other,) = place.others
    assert other.head.startswith(b"POST /v2/v1/chat/completions HTTP/1.1\r\nhost: b.example\r\n")
    assert (other.target, other.others, other.origin.secure) == (place.target, (), True)


def test_usage_is_asked_for_where_the_provider_has_to_be_asked() -> None:
    for stream_usage, ask in [("options", True), ("always", False), ("never", False)]:
        provider = Provider(name="q", speaks="openai_chat", paths=PATHS, stream_usage=stream_usage)
        assert only(backend("b", provider=provider)).ask_usage is ask


@pytest.mark.parametrize(
    ("auth", "line"),
    [
        (Auth("bearer"), b"\r\nauthorization: Bearer sk-very-secret-0123456789\r\n"),
        (Auth("header", header="api-key"), b"\r\napi-key: sk-very-secret-0123456789\r\n"),
    ],
)
def test_the_key_is_sent_and_never_shown(auth: Auth, line: bytes) -> None:
    provider = Provider(name="q", speaks="openai_chat", paths=PATHS, auth=auth)
    keyed = backend("b", "http://127.0.0.1:1", "http://127.0.0.1:2", provider=provider, key=KEY)
    place = only(keyed)
    assert place.head.endswith(line.removeprefix(b"\r\n"))
    assert line in place.head
    for shown in (repr(place), str(place), f"{place}", repr([place, place.others]), repr(place.target)):
        assert "sk-very" not in shown
        assert "secret-0123" not in shown


def test_a_key_that_can_not_be_sent_is_found_when_the_catalogue_is_made() -> None:
    provider = Provider(name="q", speaks="openai_chat", paths=PATHS, auth=Auth("bearer"))
    with pytest.raises(ValueError, match="one line"):
        catalogue({"m": (Target(backend("b", provider=provider, key="a\nb"), "m"),)})


def test_a_line_that_a_caller_of_its_language_left_out_is_assumed() -> None:
    said, beta = b"anthropic-version: 2024-01-01\r\n", b"anthropic-beta: x\r\n"
    claude = Provider(
        name="c",
        speaks="anthropic_messages",
        paths={"messages": "/v1/messages"},
        crossing={"Anthropic-Version": "2023-06-01"},
    )
    models = {"m": (Target(backend(provider=claude), "m"),)}
    (native,) = catalogue(models).plan("m", "messages", "anthropic_messages").places
    assert native.passed(said) == said
    assert native.passed(beta) == beta + b"anthropic-version: 2023-06-01\r\n"
    assert b"anthropic-version" not in native.head.lower()
    (crossing,) = catalogue(models).plan("m", "chat", "openai_chat").places
    assert crossing.passed(said) == b""
    assert b"anthropic-version: 2023-06-01\r\n" in crossing.head.lower()
    assert only(backend()).passed(beta) == beta


def test_every_row_of_the_provider_catalogue_makes_places() -> None:
    findings = Findings()
    rows = read_catalogue(CHECKOUT, findings)
    assert len(rows) > 30
    for provider in rows.values():
        url = provider.url.replace("{", "").replace("}", "") or "http://127.0.0.1:8000"
        for operation, path in provider.paths.items():
            place = only(backend("b", url, provider=provider, key=KEY), "some-model", operation)
            line = place.head.partition(b"\r\n")[0].decode()
            assert line.startswith("POST /"), provider.name
            assert line.endswith(" HTTP/1.1")
            assert "{model}" not in line
            assert line.split(" ")[1].endswith(path.replace("{model}", "some-model"))


SERVED = {
    "m": (Target(backend("first"), "own-m"), Target(backend("second"), "own-n", order=1)),
    "g-*": (Target(backend("third"), "*"),),
}


@pytest.mark.parametrize(
    ("asked", "model", "names"),
    [
        ("m", "m", ["first", "second"]),
        ("own-m", "m", ["first", "second"]),
        ("second/own-n", "m", ["second"]),
        ("m-latest", "m", ["first", "second"]),
        ("g-1", "g-1", ["third"]),
        ("g-1[1m]", "g-1", ["third"]),
        ("nobody", "nobody", []),
        ("nobody-latest", "nobody-latest", []),
    ],
)
def test_a_plan_says_which_configured_name_was_meant(asked: str, model: str, names: list[str]) -> None:
    backends = {target.backend.name: target.backend for targets in SERVED.values() for target in targets}
    rules = (NameRule(ends="[1m]"), NameRule(ends="-latest"))
    served = Catalogue(Settings(models=SERVED, backends=backends, callers=(), state="memory", name_rules=rules))
    plan = served.plan(asked, "chat", "openai_chat")
    assert (plan.model, [place.name for place in plan.places]) == (model, names)
    found = served.find(asked)
    assert (found.name if found is not None else asked) == model


def test_a_name_whose_targets_are_all_elsewhere_is_served_by_nothing() -> None:
    assert catalogue({"m": ()}).find("m") is None


def test_other_spellings_are_not_kept_for_ever() -> None:
    settings = Settings(models=SERVED, backends={}, callers=(), state="memory", name_rules=(NameRule(ends="-####"),))
    served = Catalogue(settings)
    for number in range(1000, 1000 + 2 * SPELLED_MOST):
        assert served.plan(f"m-{number}", "chat", "openai_chat").model == "m"
    assert len(served._spelled) + len(served._plans) <= SPELLED_MOST


def test_a_key_that_is_lent_goes_to_its_provider_alone_and_is_never_kept_or_shown() -> None:
    auth = Auth("header", header="x-api-key")
    theirs = Provider(name="theirs", speaks="openai_chat", paths=PATHS, auth=auth)
    ours = Provider(name="ours", speaks="openai_chat", paths=PATHS, auth=Auth("bearer"))
    paid = Target(
        backend("one", "http://127.0.0.1:1", "http://127.0.0.1:2", provider=theirs, key=KEY), "m", price=Price(1.0)
    )
    served = catalogue({"m": (paid, Target(backend("two", provider=ours, key=KEY), "m"))})
    plan = served.plan("m", "chat", "openai_chat")
    lent, other = lend(plan.places, "chat", "openai_chat", {"theirs": Secret("sk-lent-9876543210")})
    for place in (lent, *lent.others):
        for head in (place.head, place.stream_head):
            assert b"\r\nx-api-key: sk-lent-9876543210\r\n" in head
            assert KEY.encode() not in head
    assert (lent.lent, lent.name, lent.origin, len(lent.others)) == (True, "one", plan.places[0].origin, 1)
    assert lent.target.price == Price()
    assert other is plan.places[1]
    assert served.plan("m", "chat", "openai_chat") is plan
    assert b"sk-lent" not in plan.places[0].head
    assert "sk-lent" not in repr(lent) + repr(lent.target)


def test_a_key_that_can_not_be_sent_is_not_lent() -> None:
    bearer = Provider(name="p", speaks="openai_chat", paths=PATHS, auth=Auth("bearer"))
    one = places({"m": (Target(backend("b", provider=bearer), "m"),)}, "m")
    with pytest.raises(ValueError, match="one line"):
        lend(one, "chat", "openai_chat", {"p": Secret("a\r\nb")})


# --- load reports -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probe", "tier", "asks"),
    [("vllm", "self_hosted", True), ("triton", "edge", True), ("vllm", "external", False), ("sglang", "", False)],
)
def test_servers_of_ones_own_that_can_are_asked_for_their_load(probe: str, tier: str, asks: bool) -> None:
    paths = {"chat": "/chat", "chat_stream": "/chat-stream"}
    one = Provider(name="p", speaks="openai_chat", paths=paths, probe=probe)
    place = only(Backend(name="b", provider=one, base_urls=("http://10.1.0.7", "http://10.1.0.8"), tier=tier))
    line = b"\r\nendpoint-load-metrics-format: text\r\n"
    assert place.reports is place.others[0].reports is asks
    assert place.head.endswith(line) is place.others[0].head.endswith(line) is asks
    assert line not in place.stream_head
