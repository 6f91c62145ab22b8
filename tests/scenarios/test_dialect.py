"""What a backend takes otherwise: edited on its way, and said to whoever sent it."""

import orjson

from gateway.mock.options import MockOptions
from gateway.settings.shape import Auth, Provider
from gateway.wire.dialect import Dialect
from tests.doubles.inside import KEY, PATHS
from tests.scenarios.cast import Scene, asked, scene

KEEPING = MockOptions(keep_bodies=True)
DIALECT = Dialect(
    drop=("logit_bias", "user"),
    rename={"max_tokens": "max_completion_tokens"},
    set={"parallel_tool_calls": "false"},
    cap={"temperature": 1.0, "n": 2},
)
EDITING = Provider(name="editing", speaks="openai_chat", paths=PATHS, dialect=DIALECT)
SILENT = Provider(name="silent", speaks="openai_chat", paths=PATHS, dialect=DIALECT, stream_usage="never")


def sent(on: Scene) -> dict[str, object]:
    """The body as it arrived upstream."""
    body = on.first.ledger.last.body
    assert body is not None
    fields: dict[str, object] = orjson.loads(body)
    return fields


async def test_the_declared_edits_are_made_and_declared() -> None:
    async with scene("", provider=EDITING, options=KEEPING) as on:
        heard = await on.caller_hears(
            stream=False,
            logit_bias={"50256": -100},
            user="somebody",
            max_tokens=3,
            parallel_tool_calls=True,
            temperature=1.7,
            n=1,
            metadata={"team": "tests"},
        )
        fields = sent(on)
    assert fields == {
        "model": "mock-model",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
        "max_completion_tokens": 3,
        "parallel_tool_calls": False,
        "temperature": 1,
        "n": 1,
        "metadata": {"team": "tests"},
    }
    dropped = heard.headers["x-gateway-dropped"].split(", ")
    assert sorted(dropped) == ["logit_bias", "max_tokens", "parallel_tool_calls", "temperature", "user"]
    assert on.exchange.changed == tuple(dropped)


async def test_what_needs_no_edit_is_not_declared() -> None:
    async with scene("", provider=EDITING, options=KEEPING) as on:
        heard = await on.caller_hears(temperature=0.5, parallel_tool_calls=False)
        fields = sent(on)
    assert "x-gateway-dropped" not in heard.headers
    assert fields["temperature"] == 0.5
    assert fields["parallel_tool_calls"] is False
    assert fields["stream_options"] == {"include_usage": True}


async def test_a_backend_that_knows_no_usage_option_is_not_asked_for_it() -> None:
    async with scene("", provider=SILENT, options=KEEPING) as on:
        await on.caller_hears()
        assert "stream_options" not in sent(on)
        assert on.exchange.usage is not None
        assert on.exchange.usage.estimated


async def test_each_attempt_speaks_its_own_backends_dialect() -> None:
    """What is declared is what the answering backend lost, not what the failed one would have."""
    async with scene("500", "", provider=EDITING, options=KEEPING) as on:
        heard = await on.caller_hears(user="somebody")
        second = on.second.ledger.last.body
    assert heard.headers["x-gateway-dropped"] == "user"
    assert second is not None
    assert "user" not in orjson.loads(second)


async def test_what_the_caller_wrote_crosses_as_he_wrote_it() -> None:
    """Numbers, escapes and unknown fields are nobody's to rewrite; only the model is."""
    body = (
        b'{"model":"story","messages":[{"role":"user","content":"\\u00e9 \\ud83d\\ude00"}],'
        b'"seed":12345678901234567890,"top_p":1.0e0,"x_unknown":{"a":[1,2.50]},"stream":false}'
    )
    async with scene("", options=KEEPING) as on, on.line() as line:
        line.send(
            asked().partition(b"content-length")[0]
            + b"content-length: %d\r\nauthorization: Bearer %b\r\n" % (len(body), KEY.encode())
        )
        line.send(b"content-type: application/json\r\n\r\n" + body)
        assert (await line.answer()).status == 200
        arrived = on.first.ledger.last.body
    assert arrived == body.replace(b'"story"', b'"mock-model"')


async def test_the_callers_key_and_cookies_stay_here() -> None:
    bearer = Provider(name="keyed", speaks="openai_chat", paths=PATHS, auth=Auth(scheme="bearer"))
    noise = {
        "cookie": "session=1",
        "x-forwarded-for": "192.0.2.9",
        "x-stainless-os": "Linux",
        "openai-organization": "org-1",
        "openai-beta": "assistants=v2",
        "baggage": "a=b",
        "te": "trailers",
        "accept-encoding": "gzip, br",
        "x-secret": "mine",
    }
    async with scene("", provider=bearer, options=KEEPING, key="upstream-key") as on:
        await on.caller_hears(headers=noise)
        headers = on.first.ledger.last.headers
    assert set(headers) == {
        *("host", "user-agent", "accept-encoding", "content-type", "content-length", "authorization"),
        *("x-request-id", "x-gateway-hop", "openai-beta"),
    }
    assert headers["accept-encoding"] == "identity"
    assert headers["authorization"].startswith("sha256:")
    assert on.first.ledger.last.authorization is not None


async def test_nothing_but_the_type_of_an_answers_headers_reaches_the_caller() -> None:
    async with scene(["headers=3", "header_bytes=50"]) as on:
        heard = await on.caller_hears(stream=False)
    assert set(heard.headers) == {
        *("content-type", "cache-control", "content-length", "connection", "x-request-id", "server-timing"),
        *("x-gateway-region", "x-gateway-model", "x-gateway-attempts", "x-gateway-backend", "x-gateway-reason"),
    }
