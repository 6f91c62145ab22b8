"""A JSON body as a map of raw slices: read what we act on, replace what must change, leave the rest as it was written.

The upstream body is always written from the map, never the original bytes, so no duplicate top-level key crosses.
"""

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder, Encoder

from gateway.errors import BadRequest

# Fields by which a caller could choose where his request, or our key, goes (reliability row D15; CVE-2024-6587).
REFUSED = frozenset(
    (
        "api_base",
        "api_key",
        "base_url",
        "callbacks",
        "custom_llm_provider",
        "extra_headers",
        "model_list",
        "proxy",
        "user_config",
    )
)
MODEL_CHARACTERS = 256

_fields = Decoder(dict[str, Raw])
_string = Decoder(str)
_encode = Encoder().encode


def read_fields(body: bytes) -> dict[str, Raw]:
    """The top-level fields of a JSON object. BadRequest where it isn't one, isn't UTF-8, or nests too deep."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise BadRequest("The request body is not valid UTF-8.", code="invalid_json") from error
    try:
        fields = _fields.decode(body)
    except RecursionError as error:
        raise BadRequest("The request body is nested too deeply.", code="nesting_too_deep") from error
    except ValidationError as error:
        raise BadRequest("The request body must be a JSON object.", code="invalid_type") from error
    except DecodeError as error:
        raise BadRequest("The request body is not valid JSON.", code="invalid_json") from error
    if not REFUSED.isdisjoint(fields):
        name = min(REFUSED.intersection(fields))
        raise BadRequest(f"The field '{name}' is not accepted by this gateway.", code="unsupported_field", param=name)
    return fields


def read_model(fields: dict[str, Raw]) -> str:
    """The model asked for: a short printable string."""
    raw = fields.get("model")
    if raw is None:
        raise BadRequest("The field 'model' is missing.", code="missing_field", param="model")
    try:
        model = _string.decode(raw)
    except DecodeError as error:
        raise BadRequest("The field 'model' must be a string.", code="invalid_type", param="model") from error
    if not model or len(model) > MODEL_CHARACTERS or not model.isprintable():
        raise BadRequest("The field 'model' is not a model's name.", code="invalid_value", param="model")
    return model


def read_flag(fields: dict[str, Raw], name: str) -> bool:
    """A boolean field; absent and null are false, anything else is refused."""
    raw = fields.get(name)
    if raw is None:
        return False
    text = bytes(raw)
    if text == b"true":
        return True
    if text in (b"false", b"null"):
        return False
    raise BadRequest(f"The field '{name}' must be true or false.", code="invalid_type", param=name)


def text_of(value: str) -> Raw:
    """A string as a raw JSON slice."""
    return Raw(_encode(value))


def write_fields(fields: dict[str, Raw]) -> bytes:
    return _encode(fields)
