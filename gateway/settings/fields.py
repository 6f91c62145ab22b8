"""The kinds of value the configuration is made of, each with its rule, its mend and its JSON Schema."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.settings.countries import ANYWHERE, country, jurisdiction
from gateway.settings.places import private_network
from gateway.settings.scalars import Unclear, plain
from gateway.settings.substitution import FromEnvironment
from gateway.settings.units import seconds, size
from gateway.settings.words import is_model, is_name

T = TypeVar("T")

UNCLEAR = "unclear"
SHORTEST_S = 0.001
HOURS = 24
MOST_CARBON = 5000
HOUR_S = 3600.0
DAY_S = 86400.0
DAY_MINUTES = 24 * 60
MOST_TIMES = 100.0
# Headers that hold a key: a policy that matched on one would have to write it down.
CREDENTIALS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "api-key", "x-api-key", "x-goog-api-key", "x-gateway-key"}
)

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RETENTION = re.compile(r"[1-9][0-9]{0,3}d")
_STATES = frozenset({"redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"})
_HOST_AND_PORT = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_WORD = re.compile(r"[a-z][a-z0-9-]{0,62}")
_HASH = re.compile(r"[0-9a-f]{64}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_TIMES = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,4})?)x")
_NAME_PART = re.compile(r"[!-~]{1,64}")


class Row(BaseModel):
    """A mapping of known keys: nothing is converted, nothing unknown is let by, and no input is shown in errors."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False, populate_by_name=False
    )


def rule(read: Callable[[str], T], example: str) -> BeforeValidator:
    """A field read from text by a function that raises Unclear."""

    def checked(value: object) -> T:
        if not isinstance(value, str):
            raise _error(Unclear(f"must be text, not {kind_of(value)}", f"write {example}"))
        try:
            return read(value)
        except Unclear as unclear:
            raise _error(unclear) from unclear

    return BeforeValidator(checked)


def _error(unclear: Unclear) -> PydanticCustomError:
    return PydanticCustomError(UNCLEAR, "{what}; {mend}", {"what": unclear.what, "mend": unclear.mend})


def as_list(value: object) -> object:
    """One text for a list of one."""
    return [value] if isinstance(value, str) else value


def kind_of(value: object) -> str:
    """What a value is, in the words of somebody who writes YAML."""
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return type(value).__name__


def _number(value: object) -> object:
    """Text from the environment read as the number it may be; anything else as it is."""
    if isinstance(value, FromEnvironment):
        try:
            return plain(value)
        except Unclear as unclear:
            raise _error(unclear) from unclear
    return value


def _span(shortest_s: float, longest_s: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        found = seconds(text)
        if not shortest_s <= found <= longest_s:
            raise Unclear(f"{text} is out of range", f"write {_said(shortest_s)} to {_said(longest_s)}")
        return found

    return read


def _said(span_s: float) -> str:
    for unit, factor in (("d", DAY_S), ("h", HOUR_S), ("s", 1.0)):
        if span_s >= factor:
            return f"{span_s / factor:g}{unit}"
    return f"{span_s * 1000:g}ms"


def _sized(text: str) -> int:
    found = size(text)
    if not 1 <= found <= 1024**4:
        raise Unclear(f"{text} is out of range", "write 1B to 1024GiB")
    return found


def _seconds_or_number(value: object) -> object:
    # A number alone is the likeliest slip, so its mend names the very text to write.
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise _error(Unclear(f"{value:g} has no unit", f"a duration carries one: write {value:g}s"))
    return value


def _size_or_number(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        raise _error(Unclear(f"{value} has no unit", f"a size carries one: write {value}B"))
    return value


def _matching(pattern: re.Pattern[str], what: str, mend: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise Unclear(what, mend)
        return text

    return read


def _name(text: str) -> str:
    if not is_name(text):
        raise Unclear("isn't a name", "use letters, digits, dot, dash and underscore, at most 63")
    return text


def _retention(text: str) -> str:
    if text not in {"none", "unknown"} and not _RETENTION.fullmatch(text):
        raise Unclear("isn't a time that content is kept", "write none, unknown, or days such as 30d")
    return text


def _retention_most(text: str) -> int:
    """The most days that content may be kept."""
    if text == "unknown":
        raise Unclear("unknown is never allowed", "write none, or the most days such as 30d")
    return 0 if _retention(text) == "none" else int(text[:-1])


def _minute(text: str) -> int:
    """A time of the day as its minute; 24:00 is the day's end."""
    found = _CLOCK.fullmatch(text)
    if text == "24:00":
        return DAY_MINUTES
    if found is None:
        raise Unclear("isn't a time of the day", 'write "22:00", in quotes')
    return int(found[1]) * 60 + int(found[2])


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        close = get_close_matches(text, sorted(available_timezones()), n=1, cutoff=0.6)
        mend = f"did you mean {close[0]}?" if close else "write one such as Europe/Berlin, or UTC"
        raise Unclear("isn't a time zone", mend) from error
    return text


def _times(text: str) -> float:
    found = _TIMES.fullmatch(text)
    if found is None or not 1 < float(found[1]) <= MOST_TIMES:
        raise Unclear("isn't a multiple", "write 1.5x, for one and a half times as much")
    return float(found[1])


def _hedge_after(text: str) -> str | float:
    """A quantile of the time to the first token, or seconds."""
    return text if text in {"p95", "p99"} else _span(SHORTEST_S, HOUR_S)(text)


def _matched_header(text: str) -> str:
    if _header(text) in CREDENTIALS:
        raise Unclear("holds a key, which has no place in a file", "match on keys or teams")
    return text


def _moment(text: str) -> float:
    """Seconds since 1970 of a date (its midnight in UTC) or of a date with time and offset."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unclear("isn't a date", 'write "2027-01-01" or "2027-01-01T12:00:00Z"') from error
    if found.tzinfo is None:
        if "T" in text or " " in text:
            raise Unclear("a time without its offset", f'write "{text}Z" for UTC')
        found = found.replace(tzinfo=UTC)
    return found.timestamp()


def _hash(text: str) -> str:
    if text.startswith("sk-"):
        raise Unclear("is a key, not its hash", "write its SHA-256 in hex (HMAC-SHA-256 where there is a pepper)")
    if not _HASH.fullmatch(text.lower()):
        raise Unclear("isn't a hash", "write the 64 hex digits of its SHA-256 (HMAC-SHA-256 where there is a pepper)")
    return text.lower()


def _model(text: str) -> str:
    if not is_model(text):
        raise Unclear("isn't a model's name", "use letters, digits and . _ : / @ + -, and * in a glob")
    return text


def _place_or_anywhere(text: str) -> str:
    return text if text == ANYWHERE else jurisdiction(text)


def _state(text: str) -> str:
    """Where shared memory is; a password must come from the environment, and is never shown."""
    if text in {"embedded", "memory"}:
        return text
    scheme = text.partition("://")[0]
    if "://" not in text or scheme not in _STATES:
        raise Unclear("isn't a kind of state", "write memory, embedded, or a redis:// URL")
    # Taken apart by hand: a sentinel's or a cluster's URL names several hosts.
    place = text.partition("://")[2].partition("/")[0].partition("?")[0]
    login, _, hosts = place.rpartition("@")
    if "@" in login:
        raise Unclear("has two @", "escape the one in its password as %40")
    if not all(_HOST_AND_PORT.fullmatch(host) for host in hosts.split(",")):
        raise Unclear("isn't a URL", "write redis://host:6379/0; in a password @ : / are %40 %3A %2F")
    password = login.partition(":")[2]
    if password and not isinstance(text, FromEnvironment):
        raise Unclear("holds a password", "write ${REDIS_URL} and set REDIS_URL")
    return text


def _carbon(value: object) -> float | tuple[float, ...] | str:
    """A number, 24 of them (one an hour), or the name of the file that has them."""
    value = _number(value)
    if isinstance(value, dict) and set(value) == {"file"} and isinstance(value["file"], str):
        return value["file"]
    values = value if isinstance(value, list) else [value]
    numbers = tuple(float(n) for n in values if isinstance(n, int | float) and not isinstance(n, bool))
    if len(numbers) != len(values) or not all(0 <= number <= MOST_CARBON for number in numbers):
        raise _error(Unclear("isn't a carbon intensity", f"write grams per kWh, 0 to {MOST_CARBON}"))
    if not isinstance(value, list):
        return numbers[0]
    if len(numbers) != HOURS:
        raise _error(Unclear(f"{len(numbers)} numbers", f"write one, or {HOURS} of them, one an hour"))
    return numbers


def _proxy(text: str) -> str:
    """A network of proxies, or the name of somebody who runs them."""
    if _WORD.fullmatch(text):
        return text
    try:
        network = ip_network(text)
    except ValueError as error:
        raise Unclear("isn't a network", "write address/length without host bits, such as 10.0.3.0/24") from error
    if network.prefixlen == 0:
        raise Unclear(f"{text} is everybody", "name the proxies' own network")
    return str(network)


def _header(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise Unclear("isn't a header's name", "write it in lower case, such as x-forwarded-for")
    return text


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", text):
        raise Unclear("isn't a host or an address", "write 127.0.0.1, 0.0.0.0, ::1 or a name")
    return text


def _text_schema(description: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": description, "examples": [example]})


def _duration(shortest_s: float, longest_s: float, example: str) -> tuple[BeforeValidator, BeforeValidator]:
    # pydantic runs the last one first.
    return rule(_span(shortest_s, longest_s), example), BeforeValidator(_seconds_or_number)


_SPAN_SCHEMA = _text_schema("a duration with its unit: ms, s, m, h, d", "10s")

_CARBON_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "array", "items": {"type": "number"}, "minItems": HOURS, "maxItems": HOURS},
            {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]},
        ]
    }
)

# Lists become tuples; their items stay strict.
Many = Annotated[tuple[T, ...], Strict(False)]
Some = Annotated[tuple[T, ...], Strict(False), Field(min_length=1)]

Name = Annotated[str, rule(_name, "a name")]
Model = Annotated[str, rule(_model, "a model's name")]
NamePart = Annotated[
    str,
    rule(_matching(_NAME_PART, "can't stand in a name", "use up to 64 ASCII characters, # for a digit"), '"-latest"'),
]
Part = Annotated[
    str, rule(_matching(_PART, "can't stand in a URL", "use letters, digits, dot, dash and underscore"), "a name")
]
Text = Annotated[str, Field(min_length=1, max_length=4096)]
Texts = Annotated[
    Some[Text],
    BeforeValidator(as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Secretive = Annotated[
    str, Field(min_length=1, max_length=4096), _text_schema("${NAME} or file:/path", "${OPENAI_API_KEY}")
]
HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e](?:[\x20-\x7e]{0,510}[\x21-\x7e])?$")]
Country = Annotated[str, rule(country, "a country's code, such as DE"), _text_schema("ISO 3166-1 alpha-2", "DE")]
Jurisdiction = Annotated[str, rule(jurisdiction, "DE or EU"), _text_schema("a country's code, EU, EEA or EFTA", "EU")]
ProcessingPlace = Annotated[str, rule(_place_or_anywhere, "DE, EU or anywhere")]
Patience = Annotated[float, *_duration(SHORTEST_S, HOUR_S, "10s"), _SPAN_SCHEMA]
StickyTime = Annotated[float, *_duration(1.0, 30 * DAY_S, "1h"), _SPAN_SCHEMA]
DrainTime = Annotated[float, *_duration(0.0, DAY_S, "600s"), _SPAN_SCHEMA]
Size = Annotated[
    int, rule(_sized, "32MiB"), BeforeValidator(_size_or_number), _text_schema("a size with its unit", "32MiB")
]
Host = Annotated[str, rule(_host, "127.0.0.1")]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_number)]
Count = Annotated[int, Field(ge=1, le=10**9), BeforeValidator(_number)]
Limit = Annotated[int, Field(ge=0, le=10**12), BeforeValidator(_number)]
Amount = Annotated[float, Field(ge=0, le=10**9), BeforeValidator(_number)]
Positive = Annotated[float, Field(gt=0, le=10**12), BeforeValidator(_number)]
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_number)]
Portion = Annotated[float, Field(gt=0, le=1), BeforeValidator(_number)]
Percent = Annotated[float, Field(gt=0, le=100), BeforeValidator(_number)]
Rank = Annotated[int, Field(ge=-1000, le=1000), BeforeValidator(_number)]
Retention = Annotated[str, rule(_retention, "none, unknown or 30d")]
RetentionMost = Annotated[
    int, rule(_retention_most, "none, or 30d"), _text_schema("none, or the most days content is kept", "30d")
]
Minute = Annotated[int, rule(_minute, 'a time in quotes, such as "22:00"'), _text_schema("a time of the day", "22:00")]
Zone = Annotated[str, rule(_zone, "Europe/Berlin"), _text_schema("a time zone of the IANA database", "Europe/Berlin")]
Times = Annotated[float, rule(_times, "1.5x"), _text_schema("how many times as much", "1.5x")]
HedgeAfter = Annotated[
    str | float,
    rule(_hedge_after, "p95 or 150ms"),
    BeforeValidator(_seconds_or_number),
    _text_schema("p95, p99, or a duration", "p95"),
]
MatchedHeader = Annotated[str, rule(_matched_header, "x-department")]
Moment = Annotated[float, rule(_moment, 'a date in quotes, such as "2027-01-01"')]
KeyHash = Annotated[str, rule(_hash, "64 hex digits in quotes")]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
ProxySource = Annotated[str, rule(_proxy, "10.0.3.0/24")]
HeaderName = Annotated[str, rule(_header, "x-forwarded-for")]
PrivateNetwork = Annotated[str, rule(private_network, "10.1.0.0/16"), _text_schema("a private network", "10.1.0.0/16")]
State = Annotated[str, rule(_state, "memory"), _text_schema("memory, embedded, or a redis URL", "memory")]
Carbon = Annotated[float | tuple[float, ...] | str, PlainValidator(_carbon), _CARBON_SCHEMA]
Capability = Literal["tools", "vision", "audio", "documents", "json_schema", "thinking", "logprobs"]
Hardware = Literal["gpu", "asic", "fpga", "npu", "cpu"]
Priority = Literal["high", "normal", "low"]
