"""What a conversation is known by."""

import pytest
from msgspec.structs import replace

from gateway.exchange import Call
from gateway.features import Request
from gateway.routing.policy import Rules, Split, Sticky
from gateway.stages.conversation import keys_of, prefix_of, session_of
from gateway.wire import Endpoint, load
from tests.doubles.inside import CALLER
from tests.stages.kept import call

CHAT = Endpoint("chat", "openai_chat")
BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]%b}'


def asked(more: bytes = b"", headers: dict[bytes, bytes] | None = None) -> tuple[Call, Request]:
    told = call(body=BODY % more, headers=headers)
    told.endpoint = CHAT
    return told, load("openai_chat").read_request(told.body)


@pytest.mark.parametrize(
    "rules", [Rules(affinity=Sticky("session")), Rules(split=(Split("canary", "b", 5.0),))], ids=["affinity", "split"]
)
def test_a_conversation_is_known_where_a_policy_asks_for_it(rules: Rules) -> None:
    told, request = asked(headers={b"x-gateway-session": b"one"})
    assert keys_of(told, request, rules)[0] == session_of(told, request) != 0
    assert keys_of(told, request, Rules()) == (0, 0)


def test_a_conversation_without_a_name_is_known_by_how_it_begins() -> None:
    told, request = asked()
    session, prefix = keys_of(told, request, Rules(affinity=Sticky("session")))
    assert session == prefix == prefix_of(told, request) != 0


def test_the_most_explicit_name_of_a_conversation_counts() -> None:
    more = b',"prompt_cache_key":"key","metadata":{"user_id":"user"}'
    header, request = asked(more, {b"x-gateway-session": b"one"})
    key, same = asked(more)
    user, other = asked(b',"metadata":{"user_id":"user"}')
    named = [session_of(header, request), session_of(key, same), session_of(user, other)]
    assert 0 not in named
    assert len(set(named)) == 3
    nobody, unnamed = asked(b',"metadata":{"trace":"1"}')
    assert session_of(nobody, unnamed) == 0


def test_names_of_two_teams_never_meet() -> None:
    told, request = asked(headers={b"x-gateway-session": b"one"})
    mine, began = session_of(told, request), prefix_of(told, request)
    told.caller = replace(CALLER, team="others")
    assert session_of(told, request) != mine
    assert prefix_of(told, request) != began


def test_what_comes_after_the_beginning_makes_no_difference_to_it() -> None:
    long = b'"hi"' + b'},{"role":"user","content":"' + b"x" * 4096 + b'"'
    one, first = asked()
    one.body = one.body.replace(b'"hi"', long)
    other, second = asked()
    other.body = other.body.replace(b'"hi"', long.replace(b'x"', b'y"'))
    first, second = (load("openai_chat").read_request(told.body) for told in (one, other))
    assert prefix_of(one, first) == prefix_of(other, second)


def test_work_that_is_no_conversation_has_no_beginning() -> None:
    told = call(body=b'{"model":"m","input":"x"}')
    told.endpoint = Endpoint("embeddings", "openai_embeddings")
    assert prefix_of(told, load("openai_embeddings").read_request(told.body)) == 0
    told.endpoint = None
    assert prefix_of(told, Request({}, "m")) == 0
