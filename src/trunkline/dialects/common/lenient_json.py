"""JSON from providers, read as it comes: one body in slices, bytes that are not UTF-8, words of the wrong kind.

A client that sends nonsense is told so; a provider that does is understood as far as it can be.
"""

import json
import re
from typing import Any

import msgspec

from trunkline.model.errors import UpstreamGarbled, UpstreamTruncated

BOM = b"\xef\xbb\xbf"
"""The byte order mark, which some servers put before UTF-8."""

_any = msgspec.json.Decoder()


def decode_object(data: bytes, *, last: bool) -> dict[str, Any]:
    """The JSON object in *data*; bytes that are not UTF-8 are replaced: a wrong letter is no reason to end a stream.

    *last* says that the body ended inside this piece, so that half an object is a truncated stream and not a garbled
    one.
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
    """The JSON value in *data*, leniently where it must be.

    Raises:
        UpstreamGarbled: it is not JSON.
    """
    try:
        return _any.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        found = _lenient(bytes(data))
        if found is None:
            raise UpstreamGarbled("the provider sent what is not JSON") from error
        return found


def _lenient(data: bytes) -> Any:
    """Python's own parser takes what strict ones refuse and providers send: lone surrogates, control characters."""
    try:
        text = json.dumps(json.loads(data.decode("utf-8", "replace"), strict=False, parse_constant=_refuse))
        return msgspec.json.decode(_surrogates_replaced(text))
    except (ValueError, RecursionError):
        return None


_SURROGATES = re.compile(r"(\\\\)|(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|\\ud[89a-f][0-9a-f]{2}")
"""An escaped backslash, a pair, or half of one."""


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _surrogates_replaced(text: str) -> bytes:
    """*text* is ASCII JSON; a lone surrogate's escape becomes the replacement character's, a pair stays."""
    return _SURROGATES.sub(lambda m: m[1] or m[2] or "\\ufffd", text).encode()


def text(value: Any) -> str:
    """*value* where it is a string, else nothing."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """*value* where it is a whole number from 0 on, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def arguments_text(value: Any) -> str:
    """A call's arguments as text: as given, or as JSON where the provider sent an object."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
