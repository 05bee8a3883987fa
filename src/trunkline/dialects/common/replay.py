"""An answer that was given before, given again: what the dialects' `replay` share.

Everything is as it was but the id, the time, the usage, which is zero, and `openrouter_metadata`, which is left out.
What stays is not decoded: values pass as their bytes. What is given again was written by us, so its frames have LF
line ends and one line of data. Source: openrouter-semantics §15.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from trunkline.dialects.common.sse import parse_block

Fields = dict[str, Any]
"""An object's top level, values as their bytes."""

_COLON = 0x3A
_fields = msgspec.json.Decoder(dict[str, Raw])
_any = msgspec.json.Decoder()
_json = msgspec.json.Encoder()


def decode_fields(data: bytes | Raw) -> Fields:
    """The top level of the object in *data*.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return dict(_fields.decode(data))


def encode_fields(fields: Fields) -> bytes:
    """*fields* as JSON."""
    return _json.encode(fields)


def zero_usage(usage: Raw) -> Any:
    """*usage* with zero for every number. Its words stay: they say which, not how much."""
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
    """*fields* with *ours* where they stood, usage that says zero, and no metadata."""
    fields.update({key: value for key, value in ours.items() if key in fields})
    if "usage" in fields:
        fields["usage"] = zero_usage(fields["usage"])
    fields.pop("openrouter_metadata", None)
    return fields


def map_frames(body: bytes, one: Callable[[bytes], bytes]) -> bytes:
    """The stream *body* with *one* applied to each of its frames (without their blank lines); comments are left out."""
    out = [one(block) for block in body.split(b"\n\n") if block and block[0] != _COLON]
    return b"\n\n".join([*out, b""])


def map_data(block: bytes, change: Callable[[Fields], Fields]) -> bytes:
    """*block* with *change* applied to its data; a block without data is given back as it is.

    Raises:
        msgspec.DecodeError: its data is no object.
    """
    found = parse_block(block)
    if found is None:
        return block
    data = b"data: " + encode_fields(change(decode_fields(found.data)))
    return b"event: %s\n%s" % (found.event.encode(), data) if found.event else data
