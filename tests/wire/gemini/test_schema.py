import json

import pytest

from gateway.errors import BadRequest
from gateway.wire.gemini.fields import raw_of
from gateway.wire.gemini.schema import read_schema


def converted(schema: object) -> object:
    return json.loads(bytes(read_schema(raw_of(schema), "p")))


def test_a_schema_of_google_becomes_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "description": "d",
        "properties": {
            "a_b": {"type": "STRING", "format": "enum", "enum": ["x", "y"], "nullable": True},
            "list": {"type": "ARRAY", "items": {"type": "INTEGER", "minimum": 1}, "min_items": "1", "maxItems": 3},
            "either": {"any_of": [{"type": "STRING"}, {"type": "NUMBER"}, 7], "nullable": True},
            "free": {"type": "OBJECT", "additional_properties": {"type": "BOOLEAN"}, "example": {"k": True}},
            "odd": 7,
            "link": {"ref": "#/$defs/D"},
            "unsaid": {"type": "TYPE_UNSPECIFIED", "nullable": True},
            "null_enum": {"type": "STRING", "enum": ["x", None], "nullable": True, "title": None},
            "several": {"type": ["STRING", "NULL"]},
        },
        "required": ["list"],
        "propertyOrdering": ["list", "a_b", "gone", 7],
        "defs": {"D": {"type": "NULL"}},
    }
    done = converted(schema)
    assert done == {
        "type": "object",
        "description": "d",
        "properties": {
            "list": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 3},
            "a_b": {"type": ["string", "null"], "format": "enum", "enum": ["x", "y", None]},
            "either": {"anyOf": [{"type": "string"}, {"type": "number"}, 7, {"type": "null"}]},
            "free": {"type": "object", "additionalProperties": {"type": "boolean"}, "examples": [{"k": True}]},
            "odd": 7,
            "link": {"$ref": "#/$defs/D"},
            "unsaid": {},
            "null_enum": {"type": ["string", "null"], "enum": ["x", None]},
            "several": {"type": ["STRING", "NULL"]},
        },
        "required": ["list"],
        "$defs": {"D": {"type": "null"}},
    }
    assert isinstance(done, dict)
    assert list(done["properties"])[:2] == ["list", "a_b"]


def test_an_ordering_of_nothing_says_nothing() -> None:
    assert converted({"type": "OBJECT", "propertyOrdering": ["a"]}) == {"type": "object"}


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        read_schema(raw_of([]), "tools[0].parameters")
    assert caught.value.param == "tools[0].parameters"
