"""Google's `Schema`, a subset of OpenAPI 3.0, as the JSON Schema everybody else speaks.

The way back isn't needed: `parametersJsonSchema` and `responseJsonSchema` take JSON Schema as it is. The v1beta API and
Vertex have them, and on 5 November 2025 Google announced JSON Schema for every Gemini model it still supports
("Improving Structured Outputs in the Gemini API").
"""

from typing import Final

from msgspec import DecodeError, Raw
from msgspec.json import Decoder

from gateway.wire.gemini.fields import camel, raw_of, wrong_type

_NAMES: Final = {"defs": "$defs", "ref": "$ref"}
# Counts are int64, which protobuf writes as strings.
_COUNTS: Final = frozenset(("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"))
_NONE: Final = "TYPE_UNSPECIFIED"

Schema = dict[str, object]

_read: Final = Decoder(dict[str, object]).decode


def read_schema(raw: Raw, param: str) -> Raw:
    """A Schema as JSON Schema. BadRequest where it is no object."""
    try:
        schema = _read(raw)
    except DecodeError as error:
        raise wrong_type(param, "an object") from error
    return raw_of(_convert(schema))


def _convert(schema: Schema) -> Schema:
    said = {camel(name): value for name, value in schema.items() if value is not None}
    nullable = said.pop("nullable", None) is True
    order = said.pop("propertyOrdering", None)
    if "example" in said:
        said["examples"] = [said.pop("example")]
    done: Schema = {}
    for name, value in said.items():
        if name == "type":
            if value != _NONE:
                done[name] = value.lower() if isinstance(value, str) else value
        elif name in _COUNTS and isinstance(value, str) and value.isdecimal():
            done[name] = int(value)
        else:
            done[_NAMES.get(name, name)] = _inner(name, value)
    properties = done.get("properties")
    if isinstance(properties, dict) and isinstance(order, list):
        first = {name: properties[name] for name in order if isinstance(name, str) and name in properties}
        done["properties"] = first | properties
    return _or_null(done) if nullable else done


def _inner(name: str, value: object) -> object:
    if name in ("items", "additionalProperties") and isinstance(value, dict):
        return _convert(value)
    if name in ("properties", "defs") and isinstance(value, dict):
        return {key: _convert(inner) if isinstance(inner, dict) else inner for key, inner in value.items()}
    if name == "anyOf" and isinstance(value, list):
        return [_convert(inner) if isinstance(inner, dict) else inner for inner in value]
    return value


def _or_null(schema: Schema) -> Schema:
    """The schema, and null as well."""
    kind, either, choices = schema.get("type"), schema.get("anyOf"), schema.get("enum")
    if kind is not None:
        schema["type"] = [kind, "null"]
        if isinstance(choices, list) and None not in choices:
            schema["enum"] = [*choices, None]
    elif isinstance(either, list):
        schema["anyOf"] = [*either, {"type": "null"}]
    return schema
