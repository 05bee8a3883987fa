"""Replay of a cached response: the parts that all dialects share.

The id, the time and the usage are replaced (usage is zero), and `openrouter_metadata` is removed. All other values are
copied as bytes, without decoding. The gateway wrote the cached response itself, so its frames have LF line ends and one
data line. Source: OpenRouter, "Response caching".
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from trunkline.dialects.common.sse import parse_block

Fields = dict[str, Any]
"""The top level of an object; values are raw JSON."""

_COLON = 0x3A
_fields = msgspec.json.Decoder(dict[str, Raw])
_any = msgspec.json.Decoder()
_json = msgspec.json.Encoder()


def decode_fields(data: bytes | Raw) -> Fields:
    """Decode the top level of the object in *data*.

    Raises:
        msgspec.DecodeError: *data* is not an object.
    """
    return dict(_fields.decode(data))


def encode_fields(fields: Fields) -> bytes:
    """Encode *fields* as JSON."""
    return _json.encode(fields)


def zero_usage(usage: Raw) -> Any:
    """Return *usage* with every number set to zero. Strings stay."""
    said = _zero(_any.decode(usage))
    if isinstance(said, dict):
        said.pop("estimated", None)
    return said


def _zero(value: Any) -> Any:
    match value:
        case dict():
            return {key: _zero(inner) for key, inner in value.items()}
        case list():
            return [_zero(inner) for inner in value]
        case bool():
            return value
        case int() | float():
            return type(value)()
        case _:
            return value


def replace_fields(fields: Fields, **ours: Any) -> Fields:
    """Replace the *ours* that are present in *fields*, set usage to zero, and remove the metadata."""
    fields.update({key: value for key, value in ours.items() if key in fields})
    if "usage" in fields:
        fields["usage"] = zero_usage(fields["usage"])
    fields.pop("openrouter_metadata", None)
    return fields


def map_frames(body: bytes, one: Callable[[bytes], bytes]) -> bytes:
    """Apply *one* to each frame of the stream *body*, passed without its blank line. Comments are dropped."""
    out = [one(block) for block in body.split(b"\n\n") if block and block[0] != _COLON]
    return b"\n\n".join([*out, b""])


def map_data(block: bytes, change: Callable[[Fields], Fields]) -> bytes:
    """Apply *change* to the data of *block*. A block without data is returned unchanged.

    Raises:
        msgspec.DecodeError: the data is not an object.
    """
    found = parse_block(block)
    if found is None:
        return block
    data = b"data: " + encode_fields(change(decode_fields(found.data)))
    return b"event: %s\n%s" % (found.event.encode(), data) if found.event else data
