"""The fields of a request's objects, taken out one by one until those are left that we have no words for."""

from typing import Any

import msgspec

from trunkline.dialects.common.json_input import invalid

_any = msgspec.json.Decoder()


def value(given: Any) -> Any:
    """*given*, which may be bytes that have not been looked into, as Python's.

    Raises:
        InvalidRequest: a number or a string in it that JSON allows and nobody can hold.
    """
    if not isinstance(given, msgspec.Raw):
        return given
    try:
        return _any.decode(given)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise invalid(error) from error


class Taker:
    """Takes named fields out of an object; an explicit null stays there, and so comes back as it was."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __call__(self, key: str) -> Any:
        """The value of *key*, which is then gone; None where it is missing or null."""
        found = self._fields.get(key)
        if found is not None:
            del self._fields[key]
        return found


def some(**fields: Any) -> dict[str, Any]:
    """Those of *fields* that are not None."""
    return {key: value for key, value in fields.items() if value is not None}


def within(body: dict[str, Any], extra: dict[str, Any], key: str) -> dict[str, Any]:
    """*body* with *extra* put back, of which the entry *key* goes inside the object of that name."""
    for name, value in extra.items():
        if name == key and isinstance(value, dict) and isinstance(body.get(key), dict):
            body[key] = {**body[key], **value}
        else:
            body[name] = value
    return body
