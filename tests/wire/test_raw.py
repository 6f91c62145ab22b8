from functools import cache
from json import dumps, loads
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import decode, encode

from gateway.errors import BadRequest, UpstreamBroken
from gateway.wire import raw


def refused(body: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        raw.read_fields(body)
    return caught.value


def nested(depth: int, opens: bytes = b"[", closes: bytes = b"]") -> bytes:
    """A body that nests so deep, itself included."""
    return b'{"model":"m","x":' + opens * (depth - 1) + b"1" + closes * (depth - 1) + b"}"


def test_fields_are_slices_of_what_was_written() -> None:
    fields = raw.read_fields(b'{ "model" : "m" , "n":  1.50,"x": [ 1, {"a" :null} ] }')
    assert {name: bytes(value) for name, value in fields.items()} == {
        "model": b'"m"',
        "n": b"1.50",
        "x": b'[ 1, {"a" :null} ]',
    }


# --- reliability, rows C1 to C9 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"1", b"true"])
def test_c1_what_is_no_object_is_refused(body: bytes) -> None:
    assert refused(body).reason == "invalid_type"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b'{"model":"m"',
        b'{"model":"m"}x',
        b'{"model":"m"} {}',
        b'{"model":"m",}',
        b'{/* no */"model":"m"}',
        b"{'model':'m'}",
        b'\xef\xbb\xbf{"model":"m"}',
        b'{"model":"m","n":01}',
        b'{"model":"a\nb"}',
        b'{"x":NaN}',
        b'{"x":Infinity}',
    ],
)
def test_c2_and_c3_what_is_no_json_is_refused(body: bytes) -> None:
    assert refused(body).reason == "invalid_json"


@pytest.mark.parametrize(("opens", "closes"), [(b"[", b"]"), (b'{"a":', b"}"), (b'["[",', b"]")])
def test_c4_a_body_may_nest_64_deep_and_no_deeper(opens: bytes, closes: bytes) -> None:
    assert raw.read_fields(nested(63, opens, closes))
    assert raw.read_fields(nested(64, opens, closes))
    for depth in (65, 100, 254, 900, 1100):
        assert refused(nested(depth, opens, closes)).reason == "nesting_too_deep"


def test_c4_brackets_in_strings_and_side_by_side_are_not_deep() -> None:
    assert raw.read_fields(b'{"x":"' + b"[{" * 500 + b'"}')
    assert raw.read_fields(b'{"x":[' + b",".join([b'{"a":[{}],"b":"[[["}'] * 500) + b"]}")
    assert raw.read_fields(b'{"x":[' + b",".join([b'"' + b"[" * 200 + b'"', b"7", b"[]"] * 50) + b"]}")


def test_c4_the_depth_is_looked_for_among_all_that_is_not_deep() -> None:
    message = b'{"role":"user","content":"' + b"{[" * 100 + b'"}'
    deep = b'{"role":"user","content":' + b"[" * 62 + b"]" * 62 + b"}"
    body = b'{"messages":[' + b",".join([message] * 50 + [deep]) + b"]}"
    assert refused(body).reason == "nesting_too_deep"
    assert raw.read_fields(body.replace(b"[" * 62 + b"]" * 62, b"[" * 61 + b"]" * 61))


@pytest.mark.parametrize("opens", [b"[", b'{"a":', b'[{"a":'])
def test_c5_a_hundred_thousand_deep_is_refused_at_once(opens: bytes) -> None:
    body = b'{"x":' + opens * 100_000
    times = []
    for _ in range(5):
        began = process_time()
        assert refused(body).reason == "nesting_too_deep"
        times.append(process_time() - began)
    assert min(times) < 0.005


def test_c5_what_costs_too_much_to_look_through_is_refused() -> None:
    deep = b"[" * 40 + b'"' + b"[" * 1024 * 1024 + b'"' + b"]" * 40
    wide = b"[" + b",".join([b"[[]]"] * 150_000) + b"]"
    for body in (deep, wide):
        assert refused(b'{"x":' + body + b"}").reason == "nesting_too_deep"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"model":"cheap","mod\\u0065l":"dear"}', "model"),
        (b'{"mod\\u0065l":"cheap","n":2,"model":"dear"}', "model"),
        (b'{"model":"cheap","model":"cheap"}', "model"),
        (b'{"n": 1, "n": 2, "x": [1]}', "n"),
        (b'{"n": 12, "n": 1, "x": [1]}', "n"),
        (b'{"n": 12, "n": 1}', "n"),
        (b'{"x": "a", "n": 1, "x": "a"}', "x"),
        (b'{"x": "a", "n": 1, "x": "a", "n": 1}', "x"),
        ('{"é":1,"é":2}'.encode(), "é"),
    ],
)
def test_c6_a_field_that_comes_twice_is_refused(body: bytes, name: str) -> None:
    error = refused(body)
    assert (error.reason, error.param) == ("duplicate_field", name)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b" { } ",
        b'{"x":1}',
        b'\n{ "x" : 1 ,\t"y":[ 1, 2 ] }\r\n',
        b'{"x":{"y":1,"z":1},"y":"\\"y\\":1","a\\"b\\\\":2,"":3}',
        b'{"x":{"y":1,"y":1}}',
        '{"é": "é", "\\u00e8": "e"}'.encode(),
    ],
)
def test_c6_what_comes_once_is_taken_however_it_is_spaced(body: bytes) -> None:
    assert loads(raw.write_fields(raw.read_fields(body))) == loads(body)


fields_of_json = st.dictionaries(st.text(max_size=4), st.integers() | st.text() | st.lists(st.text()), max_size=5)


@given(fields_of_json, st.sampled_from([None, 1, 4]), st.booleans(), st.data())
def test_c6_a_field_is_found_twice_where_it_is_there_twice(
    fields: dict[str, object], indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    body = dumps(fields, indent=indent, ensure_ascii=ascii_only).encode()
    raw.check_once(body, raw.read_object(Raw(body)))
    if fields:
        name = data.draw(st.sampled_from(sorted(fields)))
        value = data.draw(st.sampled_from([fields[name], 1, "a"]))
        more = body.rstrip()[:-1] + b"," + dumps({name: value}, ensure_ascii=ascii_only).encode()[1:]
        with pytest.raises(BadRequest) as error:
            raw.check_once(more, raw.read_object(Raw(more)), "inside.")
        assert error.value.param == f"inside.{name}"


@pytest.mark.parametrize("number", [b"18446744073709551616", b"1" * 5000, b"1e999", b"-0", b"1.10", b"1E5"])
def test_c7_numbers_cross_as_they_were_written(number: bytes) -> None:
    body = b'{"seed":' + number + b"}"
    assert raw.write_fields(raw.read_fields(body)) == body


@pytest.mark.parametrize("body", [b'{"x":"\\ud800"}', b'{"\\ud800":1}', b'{"x":"\xff"}', '{"x":"é"}'.encode("utf-16")])
def test_c8_what_is_no_text_is_refused(body: bytes) -> None:
    assert refused(body).reason == "invalid_json"


TURN = {"role": "user"}


@pytest.mark.parametrize("name", ["messages", "input", "contents", "tools"])
def test_c10_too_many_items_are_refused(name: str) -> None:
    error = refused(encode({name: [TURN] * (raw.MOST_ITEMS + 1)}))
    assert (error.reason, error.param) == ("invalid_value", name)
    raw.read_fields(encode({name: [TURN] * raw.MOST_ITEMS}))
    raw.read_fields(encode({name: [{"x": [TURN] * raw.MOST_ITEMS}]}))
    raw.read_fields(encode({name: {"x": [TURN] * (raw.MOST_ITEMS + 1)}}))
    raw.read_fields(encode({name: "{" * (raw.MOST_ITEMS * 20)}))


def test_c10_too_many_fields_are_refused() -> None:
    body = encode({f"k{n}": 1 for n in range(raw.MOST_FIELDS + 1)})
    assert refused(body).reason == "too_many_fields"


@cache
def keys(many: int, between: bytes = b":") -> bytes:
    return b"{%b}" % b",".join(b'"k%d"%b1' % (n, between) for n in range(many))


PLACES = [
    b"%b",
    b'{"model":"m","metadata":%b}',
    b'{"model":"m","messages":[{"role":"user","content":"\\"","x":%b}]}',
    b'{"model":"m","tools":[{"type":"function","function":{"parameters":%b}}]}',
]


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("between", [b":", b"\n:"])
def test_c10_a_million_keys_are_refused_before_anything_is_read(place: bytes, between: bytes) -> None:
    # Who read it would say that it is no JSON: its end is missing.
    body = (place % keys(1_000_000, between))[:-1]
    began = process_time()
    assert refused(body).reason == "too_many_fields"
    assert process_time() - began < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES[1:])
def test_c10_keys_of_all_objects_are_counted_and_no_more_than_they_are(place: bytes) -> None:
    inside = (place % b"{}").count(b'":')
    raw.read_fields(place % keys(raw.MOST_KEYS - inside))
    assert refused(place % keys(raw.MOST_KEYS + 1 - inside)).reason == "too_many_fields"


@pytest.mark.parametrize(
    "words",
    [
        b'\\":' * 400_000,  # somebody's JSON inside of a string
        b"12:30:45 {a: b}, " * 100_000,
        b'","'.join([b"a:b"] * 250_000),
    ],
)
def test_c10_what_strings_hold_are_no_keys(words: bytes) -> None:
    assert list(raw.read_fields(b'{"model":"m","input":["%b"]}' % words)) == ["model", "input"]


@given(st.lists(st.sampled_from([b'"', b"\\", b":", b"{", b"a", b" "]), max_size=30).map(b"".join))
def test_c10_a_string_that_never_ends_is_no_loop(text: bytes) -> None:
    body = b'{"a":"%b' % (text * 40_000)
    assert refused(body).reason in ("invalid_json", "too_many_fields", "duplicate_field")


# --- fields we act on -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(raw.REFUSED))
def test_d15_a_field_that_would_move_a_request_is_refused(name: str) -> None:
    error = refused(encode({"model": "m", name: None}))
    assert (error.reason, error.param) == ("unsupported_field", name)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"metadata":{"a":"b","guardrails":["x"]}}', "metadata.guardrails"),
        (b'{"metadata":{"guardr\\u0061ils":1}}', "metadata.guardrails"),
        (b'{"cache":{"namespace":"other"}}', "cache.namespace"),
    ],
)
def test_d15_inner_fields_that_would_are_refused(body: bytes, param: str) -> None:
    assert refused(body).param == param


@pytest.mark.parametrize("body", [b'{"metadata":{"a":"b"}}', b'{"metadata":null,"cache":[1]}', b'{"cache":{"ttl":1}}'])
def test_d15_others_of_their_kind_pass(body: bytes) -> None:
    assert raw.write_fields(raw.read_fields(body)) == body


def model(text: bytes) -> str:
    return raw.read_model(raw.read_fields(b'{"model":' + text + b"}"))


def test_d1_a_model_is_a_short_printable_string() -> None:
    assert model(b'"meta-llama/Llama-3.1-8B"') == "meta-llama/Llama-3.1-8B"
    assert model('"modèle"'.encode()) == "modèle"
    assert model(encode("x" * 256)) == "x" * 256


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'""', "invalid_value"),
        (b"null", "invalid_type"),
        (b"7", "invalid_type"),
        (b'["m"]', "invalid_type"),
        (b'"a\\u0000b"', "invalid_value"),
        (b'"a\\r\\nb"', "invalid_value"),
        (b'"a\\u001b[31m"', "invalid_value"),
        (encode("x" * 257), "invalid_value"),
    ],
)
def test_d1_anything_else_is_none(text: bytes, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        model(text)
    assert (caught.value.reason, caught.value.param) == (code, "model")


def test_more_models_than_are_remembered_are_read() -> None:
    names = [f"model-{n}" for n in range(3000)] * 2
    assert [raw.read_model({"model": raw.text_of(name)}) for name in names] == names


def test_d1_a_missing_model_is_said_to_be_missing() -> None:
    with pytest.raises(BadRequest) as caught:
        raw.read_model({})
    assert (caught.value.reason, caught.value.param) == ("missing_field", "model")


@pytest.mark.parametrize(("text", "flag"), [(b"true", True), (b"false", False), (b"null", False)])
def test_d6_a_flag_is_true_or_false(text: bytes, flag: bool) -> None:
    assert raw.read_flag({"stream": Raw(text)}, "stream") is flag
    assert raw.read_flag({}, "stream") is False


@pytest.mark.parametrize("text", [b'"true"', b"1", b"0", b"[]", b"{}"])
def test_d6_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        raw.read_flag({"stream": Raw(text)}, "stream")
    assert (caught.value.reason, caught.value.param) == ("invalid_type", "stream")


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_an_answer_is_json_in_utf8(content_type: str) -> None:
    raw.check_answer(content_type, '{"a":"é"}'.encode())


@pytest.mark.parametrize("content_type", ["", "text/html", "text/event-stream", "text/plain"])
def test_an_answer_of_another_type_is_broken(content_type: str) -> None:
    with pytest.raises(UpstreamBroken):
        raw.check_answer(content_type, b"{}")


def test_an_answer_in_another_encoding_is_broken() -> None:
    with pytest.raises(UpstreamBroken):
        raw.check_answer("application/json", b'{"a":"\xe9"}')


# --- laws -------------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


@given(value=JSON)
def test_what_is_read_is_written_again(value: object) -> None:
    body = encode({"value": value, "other": [value]})
    assert raw.write_fields(raw.read_fields(body)) == body


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def deep_body(way: bytes) -> bytes:
    """A body as deep as this is long: each byte says what stands at its level, the way down and beside it."""
    text = b'"[{"'
    for step in way:
        beside = [(b"{}", b"[[]]", b'"[["', b"1")[step >> 1 & 3]] * (step >> 3 & 3)
        text = b"[" + b",".join([text, *beside]) + b"]" if step & 1 else b'{"a":' + text + b"}"
    return b'{"x":' + text + b"}"


@given(way=st.binary(min_size=58, max_size=66))
def test_the_depth_is_what_it_is(way: bytes) -> None:
    body = deep_body(way)
    deep = depth_of(decode(body)) > raw.MOST_DEPTH
    if deep:
        assert refused(body).reason == "nesting_too_deep"
    else:
        assert raw.read_fields(body)


@given(body=st.binary(max_size=100))
def test_no_bytes_do_more_than_be_refused(body: bytes) -> None:
    try:
        fields = raw.read_fields(body)
    except BadRequest:
        return
    assert isinstance(fields, dict)


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"7", 7), (b"-0.5", -0.5), (b"18446744073709551616", 2**64), (b"1e999", None), (b'"7"', None), (b"true", None)],
)
def test_a_number_is_read_where_there_is_one(text: bytes, number: float | None) -> None:
    assert raw.read_number(Raw(text)) == number


def test_a_string_becomes_a_slice_and_a_slice_an_object() -> None:
    assert bytes(raw.text_of('a"é')) == '"a\\"é"'.encode()
    assert {name: bytes(value) for name, value in raw.read_object(Raw(b'{"a": 1.0}')).items()} == {"a": b"1.0"}
