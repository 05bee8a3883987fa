"""Helpers for the fields of request objects: decode raw values, take known fields out, keep the rest."""

from typing import Any

import msgspec

from trunkline.dialects.common.json_input import invalid

_any = msgspec.json.Decoder()


def value(given: Any) -> Any:
    """Decode *given* if it is raw JSON; return it unchanged otherwise.

    Raises:
        InvalidRequest: it holds a number or a string that JSON allows and Python cannot represent.
    """
    if not isinstance(given, msgspec.Raw):
        return given
    try:
        return _any.decode(given)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise invalid(error) from error


class Taker:
    """Removes named fields from an object. An explicit null stays in the object, so that it is written back."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __call__(self, key: str) -> Any:
        """Remove the field *key* and return its value; return None if it is missing or null."""
        found = self._fields.get(key)
        if found is not None:
            del self._fields[key]
        return found


def some(**fields: Any) -> dict[str, Any]:
    """Return the *fields* that are not None."""
    return {key: value for key, value in fields.items() if value is not None}


def within(body: dict[str, Any], extra: dict[str, Any], key: str) -> dict[str, Any]:
    """Add *extra* to *body* and return it. The entry *key* of *extra* is merged into the object `body[key]`."""
    for name, value in extra.items():
        if name == key and isinstance(value, dict) and isinstance(body.get(key), dict):
            body[key] = {**body[key], **value}
        else:
            body[name] = value
    return body
