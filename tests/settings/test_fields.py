from typing import Annotated, cast, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.settings import fields
from gateway.settings.fields import Row, kind_of
from gateway.settings.substitution import FromEnvironment


def read(kind: object, value: object) -> object:
    """A value read as a field of that kind: what comes of it, or what is said."""
    adapter: TypeAdapter[object] = TypeAdapter(cast("type[object]", kind), config=Row.model_config)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        return error.errors(include_url=False)[0]["msg"]


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (fields.Patience, "80ms", 0.08),
        (fields.Patience, "1h", 3600.0),
        (fields.Patience, 10, "10 has no unit; a duration carries one: write 10s"),
        (fields.Patience, 1.5, "1.5 has no unit; a duration carries one: write 1.5s"),
        (fields.Patience, True, "must be text, not true or false; write 10s"),
        (fields.Patience, "0s", "0s is out of range; write 1ms to 1h"),
        (fields.Patience, "1000000s", "1000000s is out of range; write 1ms to 1h"),
        (fields.DrainTime, "0s", 0.0),
        (fields.DrainTime, "2d", "2d is out of range; write 0ms to 1d"),
        (fields.Size, "32MiB", 32 << 20),
        (fields.Size, 4096, "4096 has no unit; a size carries one: write 4096B"),
        (fields.Size, "0B", "0B is out of range; write 1B to 1024GiB"),
        (fields.Size, "0.5B", "0.5B is out of range; write 1B to 1024GiB"),
        (fields.Country, "NO", "NO"),
        (fields.Country, False, "must be text, not true or false; write a country's code, such as DE"),
        (fields.Country, ["DE"], "must be text, not a list; write a country's code, such as DE"),
        (fields.Jurisdiction, "EEA", "EEA"),
        (fields.ProcessingPlace, "anywhere", "anywhere"),
        (fields.ProcessingPlace, "uk", "uk isn't an ISO 3166-1 code; write GB (United Kingdom)"),
        (fields.Name, "eu-central", "eu-central"),
        (fields.Name, "a b", "isn't a name; use letters, digits, dot, dash and underscore, at most 63"),
        (fields.Model, "openai/*", "openai/*"),
        (fields.Model, "a b", "isn't a model's name; use letters, digits and . _ : / @ + -, and * in a glob"),
        (fields.Part, "my-resource", "my-resource"),
        (fields.Part, "a/b", "can't stand in a URL; use letters, digits, dot, dash and underscore"),
        (fields.Host, "::1", "::1"),
        (fields.Host, "a b", "isn't a host or an address; write 127.0.0.1, 0.0.0.0, ::1 or a name"),
        (fields.Port, 8080, 8080),
        (fields.Port, FromEnvironment("8080"), 8080),
        (fields.Port, "8080", "Input should be a valid integer"),
        (fields.Port, True, "Input should be a valid integer"),
        (fields.Port, 65536, "Input should be less than or equal to 65535"),
        (fields.Count, FromEnvironment("010"), '010 is an octal number to some readers; write 10, or "010" for text'),
        (fields.RetentionMost, "none", 0),
        (fields.RetentionMost, "30d", 30),
        (fields.RetentionMost, "unknown", "unknown is never allowed; write none, or the most days such as 30d"),
        (fields.RetentionMost, "0d", "isn't a time that content is kept; write none, unknown, or days such as 30d"),
        (fields.Minute, "00:00", 0),
        (fields.Minute, "23:59", 1439),
        (fields.Minute, "24:00", 1440),
        (fields.Minute, "24:01", 'isn\'t a time of the day; write "22:00", in quotes'),
        (fields.Minute, 22, 'must be text, not a number; write a time in quotes, such as "22:00"'),
        (fields.Zone, "Europe/Berlin", "Europe/Berlin"),
        (fields.Zone, "../etc", "isn't a time zone; write one such as Europe/Berlin, or UTC"),
        (fields.Times, "1.5x", 1.5),
        (fields.Times, "1x", "isn't a multiple; write 1.5x, for one and a half times as much"),
        (fields.Times, "101x", "isn't a multiple; write 1.5x, for one and a half times as much"),
        (fields.HedgeAfter, "p95", "p95"),
        (fields.HedgeAfter, "150ms", 0.15),
        (fields.HedgeAfter, "p50", "isn't a duration; write 10s, 80ms, 5m, 1h or 30d"),
        (fields.MatchedHeader, "x-department", "x-department"),
        (fields.MatchedHeader, "x-api-key", "holds a key, which has no place in a file; match on keys or teams"),
        (fields.StickyTime, "31d", "31d is out of range; write 1s to 30d"),
        (fields.Texts, "a", ("a",)),
        (fields.Texts, ["a", "b"], ("a", "b")),
        (fields.Texts, [], "Tuple should have at least 1 item after validation, not 0"),
        (fields.Count, 0, "Input should be greater than or equal to 1"),
        (fields.Amount, 1, 1.0),
        (fields.Amount, FromEnvironment("2.5"), 2.5),
        (fields.Amount, -1, "Input should be greater than or equal to 0"),
        (fields.Amount, float("nan"), "Input should be a finite number"),
        (fields.Amount, float("inf"), "Input should be a finite number"),
        (fields.Share, 1.1, "Input should be less than or equal to 1"),
        (fields.Limit, "100/min ", "Input should be a valid integer"),
        (fields.Limit, 0, 0),
        (fields.Limit, -1, "Input should be greater than or equal to 0"),
        (fields.Retention, "none", "none"),
        (fields.Retention, "30d", "30d"),
        (fields.Retention, "30", "isn't a time that content is kept; write none, unknown, or days such as 30d"),
        (fields.Moment, "2027-01-01", 1798761600.0),
        (fields.Moment, "2027-01-01T01:00:00+01:00", 1798761600.0),
        (fields.Moment, "2027-01-01T00:00:00Z", 1798761600.0),
        (fields.Moment, "2027-01-01T00:00:00", 'a time without its offset; write "2027-01-01T00:00:00Z" for UTC'),
        (fields.Moment, "tomorrow", 'isn\'t a date; write "2027-01-01" or "2027-01-01T12:00:00Z"'),
        (fields.Moment, 20270101, 'must be text, not a number; write a date in quotes, such as "2027-01-01"'),
        (fields.KeyHash, "AB" * 32, "ab" * 32),
        (
            fields.KeyHash,
            "ab",
            "isn't a hash; write the 64 hex digits of its SHA-256 (HMAC-SHA-256 where there is a pepper)",
        ),
        (
            fields.KeyHash,
            "sk-gw-secret",
            "is a key, not its hash; write its SHA-256 in hex (HMAC-SHA-256 where there is a pepper)",
        ),
        (fields.ProxySource, "10.0.3.0/24", "10.0.3.0/24"),
        (fields.ProxySource, "10.0.3.4", "10.0.3.4/32"),
        (fields.ProxySource, "cloudflare", "cloudflare"),
        (
            fields.ProxySource,
            "10.0.3.0/33",
            "isn't a network; write address/length without host bits, such as 10.0.3.0/24",
        ),
        (fields.ProxySource, "0.0.0.0/0", "0.0.0.0/0 is everybody; name the proxies' own network"),
        (fields.HeaderName, "x-forwarded-for", "x-forwarded-for"),
        (
            fields.HeaderName,
            "X-Forwarded-For",
            "isn't a header's name; write it in lower case, such as x-forwarded-for",
        ),
        (fields.PrivateNetwork, "10.0.0.0/8", "10.0.0.0/8"),
        (fields.Carbon, 380, 380.0),
        (fields.Carbon, [1.0] * 24, (1.0,) * 24),
        (fields.Carbon, {"file": "grid.csv"}, "grid.csv"),
        (fields.Carbon, FromEnvironment("12"), 12.0),
        (fields.Carbon, [1.0], "1 numbers; write one, or 24 of them, one an hour"),
        (fields.Carbon, -1, "isn't a carbon intensity; write grams per kWh, 0 to 5000"),
        (fields.Carbon, True, "isn't a carbon intensity; write grams per kWh, 0 to 5000"),
        (fields.Carbon, "much", "isn't a carbon intensity; write grams per kWh, 0 to 5000"),
        (fields.Carbon, {"file": 1}, "isn't a carbon intensity; write grams per kWh, 0 to 5000"),
        (fields.Many[fields.Name], ["a", "b"], ("a", "b")),
        (fields.Many[fields.Name], [], ()),
        (fields.Many[fields.Name], "ab", "Input should be a valid tuple"),
        (fields.Many[fields.Port], ["1"], "Input should be a valid integer"),
        (fields.Some[fields.Name], [], "Tuple should have at least 1 item after validation, not 0"),
    ],
)
def test_a_field_is_what_it_says_or_is_refused_with_its_mend(kind: object, value: object, found: object) -> None:
    assert read(kind, value) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("memory", "memory"),
        ("embedded", "embedded"),
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("rediss://cache", "rediss://cache"),
        ("redis+sentinel://a:26379,b:26379/main", "redis+sentinel://a:26379,b:26379/main"),
        ("redis+cluster://[::1]:6379", "redis+cluster://[::1]:6379"),
        (FromEnvironment("redis://:s3cret@cache:6379"), "redis://:s3cret@cache:6379"),
        ("redis://:s3cret@cache:6379", "holds a password; write ${REDIS_URL} and set REDIS_URL"),
        (FromEnvironment("redis://:s3c@ret@cache"), "has two @; escape the one in its password as %40"),
        (
            FromEnvironment("redis://:s3c/ret@cache"),
            "isn't a URL; write redis://host:6379/0; in a password @ : / are %40 %3A %2F",
        ),
        ("redis://", "isn't a URL; write redis://host:6379/0; in a password @ : / are %40 %3A %2F"),
        ("postgres://x", "isn't a kind of state; write memory, embedded, or a redis:// URL"),
        ("Memory", "isn't a kind of state; write memory, embedded, or a redis:// URL"),
    ],
)
def test_state_is_named_and_its_password_never_shown(text: str, found: str) -> None:
    assert read(fields.State, text) == found
    if found != text:
        assert "s3c" not in found


def test_a_value_is_named_in_the_words_of_yaml() -> None:
    values: list[object] = [None, True, 1, 1.5, "x", [], {}]
    assert {kind_of(value) for value in values} == {"empty", "true or false", "a number", "text", "a list", "a mapping"}
    assert kind_of(b"") == "bytes"


def test_every_field_has_a_json_schema() -> None:
    kinds = [cast("type[object]", kind) for kind in vars(fields).values() if get_origin(kind) is Annotated]
    assert len(kinds) > 20
    for kind in kinds:
        if not getattr(kind, "__parameters__", ()):
            assert TypeAdapter(kind).json_schema()
