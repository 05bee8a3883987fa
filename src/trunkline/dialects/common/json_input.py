"""Validation of client JSON that all dialects share. Source: docs/reference/reliability.md, C4."""

import re
from typing import Any, TypeVar

import msgspec

from trunkline.model.errors import InvalidRequest

T = TypeVar("T")
Envelope = dict[str, msgspec.Raw]

_raw_decoder = msgspec.json.Decoder(Envelope)
MAX_FIELDS = 1024
"""Limit of the fields at the top level. The dialects define fewer than a hundred."""

_LETTER = b"\\u00"
_ESCAPED = re.compile(rb"\\u00[67]")
"""A lower-case letter written as an escape. Only a client that hides a key does that."""
_MISSING = re.compile(r"object (missing required|contains unknown) field (\S+)$")
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at (?:the `key` in )?`\$\.?(?P<path>.*)`)?$", re.DOTALL)


def envelope(body: bytes, once: tuple[bytes, ...]) -> Envelope:
    """Decode the top level of the JSON object *body*; values stay raw bytes. The last of duplicate keys counts.

    *once* names the keys (with quotes) that must not be duplicated at the top level: two parsers that disagree on which
    one counts could be exploited.

    Raises:
        InvalidRequest: not UTF-8, not JSON, not an object, nested too deeply, or one of *once* twice.
    """
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8: byte {error.start}") from error
    try:
        found = _raw_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise invalid(error) from error
    if len(found) > MAX_FIELDS:
        raise InvalidRequest(f"the body has more than {MAX_FIELDS} fields")
    if len(body) == 1 + 4 * len(found) + sum(map(len, found)) + sum(map(len, found.values())):
        return found  # compact, and as long as its decoded fields: there is no duplicate key
    hidden = _LETTER in body and _ESCAPED.search(body) is not None
    for key in once:
        if (hidden or body.count(key) > 1) and _times(body, key) > 1:
            name = key.strip(b'"').decode()
            raise InvalidRequest(f"{name}: given twice", param=name)
    return found


def typed(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Decode *body* into the decoder's type and translate the errors.

    Raises:
        InvalidRequest: `param` is the field's path, as `messages[0].content`.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError, OverflowError) as error:
        raise invalid(error) from error


def invalid(error: Exception) -> InvalidRequest:
    """Translate a decoder's error into an `InvalidRequest` whose `param` is the field's path."""
    if isinstance(error, RecursionError):
        return InvalidRequest("the body is nested too deeply")
    match = _PLACE.match(str(error))
    what, path = (match["what"], match["path"]) if match else (str(error), None)
    what = what.replace("`", "")
    if not isinstance(error, msgspec.ValidationError):
        return InvalidRequest(f"the body is not valid JSON: {what}")
    what = what[:1].lower() + what[1:]
    if (field := _MISSING.match(what)) is not None:
        path = f"{path}.{field[2]}" if path else field[2]
        return InvalidRequest(f"{path}: {'missing' if field[1][0] == 'm' else 'unknown field'}", param=path)
    if not path:
        return InvalidRequest(f"the body: {what}")
    return InvalidRequest(f"{path}: {what}", param=path)


def _times(body: bytes, key: bytes) -> int:
    """Count the occurrences of *key* at the top level of *body*, which is valid JSON."""
    depth = times = 0
    for match in re.finditer(rb'"(?:[^"\\]|\\.)*"\s*(:?)|[\[{]|[\]}]', body):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and match[1] and _spelled(token) == key:
            times += 1
    return times


def _spelled(token: bytes) -> bytes:
    """Return the key of *token* (`"key" :`) with its quotes and with escapes decoded."""
    key = token[: token.rindex(b'"') + 1]
    return msgspec.json.encode(msgspec.json.decode(key)) if b"\\" in key else key


def printable(text: str, limit: int = 100) -> str:
    """Return *text* for a message or a log line: control characters escaped, cut to *limit* characters."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return cut if cut.isprintable() else cut.encode("unicode_escape").decode("ascii")


def as_json(value: Any) -> bytes:
    """Encode *value* as compact JSON."""
    return msgspec.json.encode(value)
