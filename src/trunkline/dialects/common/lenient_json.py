"""Lenient decoding of JSON from providers: invalid UTF-8, lone surrogates, control characters, values of a wrong type.

Invalid JSON from a client is an error for the client. Invalid JSON from a provider is decoded as far as possible.
"""

import json
import re
from typing import Any

import msgspec

from trunkline.model.errors import UpstreamGarbled, UpstreamTruncated

BOM = b"\xef\xbb\xbf"
"""The UTF-8 byte order mark, which some servers send at the start of a body."""

_any = msgspec.json.Decoder()


def decode_object(data: bytes, *, last: bool) -> dict[str, Any]:
    """Decode the JSON object in *data*. Bytes that are not UTF-8 are replaced; they do not end the stream.

    *last* says that the body ended inside *data*: an incomplete object is then a truncated stream, not a garbled one.
    """
    try:
        body = decode_value(data.removeprefix(BOM))
    except UpstreamGarbled as error:
        if last:
            raise UpstreamTruncated("the provider's stream ended inside an event") from error
        raise
    if not isinstance(body, dict):
        raise UpstreamGarbled("the provider sent JSON that is not an object")
    return body


def decode_value(data: bytes | msgspec.Raw) -> Any:
    """Decode the JSON value in *data*: strictly first, then leniently.

    Raises:
        UpstreamGarbled: *data* is not JSON.
    """
    try:
        return _any.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        found = _lenient(bytes(data))
        if found is None:
            raise UpstreamGarbled("the provider sent what is not JSON") from error
        return found


def _lenient(data: bytes) -> Any:
    """Decode with Python's parser, which accepts lone surrogates and control characters."""
    try:
        text = json.dumps(json.loads(data.decode("utf-8", "replace"), strict=False, parse_constant=_refuse))
        return msgspec.json.decode(_surrogates_replaced(text))
    except (ValueError, RecursionError):
        return None


_SURROGATES = re.compile(r"(\\\\)|(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|\\ud[89a-f][0-9a-f]{2}")
"""An escaped backslash, a surrogate pair, or a lone surrogate."""


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _surrogates_replaced(text: str) -> bytes:
    """Replace the escapes of lone surrogates in *text*, which is ASCII JSON, by U+FFFD. Pairs stay."""
    return _SURROGATES.sub(lambda m: m[1] or m[2] or "\\ufffd", text).encode()


def text(value: Any) -> str:
    """Return *value* if it is a string, else the empty string."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """Return *value* if it is a non-negative integer, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def arguments_text(value: Any) -> str:
    """Return the arguments of a tool call as text. Some providers send a JSON object instead of a string."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
