"""Cache marks, in both of their spellings. Sources: wire-common §10, openrouter-semantics §14."""

from collections.abc import Iterable
from typing import Any, Literal

from trunkline.model.request import CacheMark

Spelling = Literal["cache_control", "prompt_cache_breakpoint"]
KINDS: dict[Spelling, tuple[str, str]] = {
    "cache_control": ("type", "ephemeral"),
    "prompt_cache_breakpoint": ("mode", "explicit"),
}
"""A spelling → the field that each mark of it has, and its value."""

TTLS = ("5m", "1h", "30m", "12h")
NEAREST: dict[tuple[Spelling, str], str] = {
    ("cache_control", "30m"): "5m",
    ("cache_control", "12h"): "1h",
    ("prompt_cache_breakpoint", "5m"): "30m",
    ("prompt_cache_breakpoint", "1h"): "30m",
}
"""A time to keep that the spelling does not know → the nearest one that it does."""


def decode(fields: dict[str, Any], spellings: Iterable[Spelling] = KINDS) -> CacheMark | None:
    """The mark among *fields*, which goes where it says nothing else; None where there is none.

    The first of *spellings* that is there counts. What has more to say than a mark can, nulls among it, also stays
    where it is, so that it comes back as it was.
    """
    for spelling in spellings:
        found = fields.get(spelling)
        if not isinstance(found, dict):
            continue
        key, word = KINDS[spelling]
        ttl = found.get("ttl")
        if found.get(key) != word:
            continue
        mark = CacheMark(ttl=ttl if ttl in TTLS else None, spelling=spelling)
        if encode_mark(mark) == found:
            del fields[spelling]
        return mark
    return None


def encode_mark(mark: CacheMark, spelling: Spelling | None = None) -> dict[str, Any]:
    """The object of *mark*, in its own spelling or in another."""
    spelling = spelling or mark.spelling
    key, word = KINDS[spelling]
    if mark.ttl is None:
        return {key: word}
    return {key: word, "ttl": NEAREST.get((spelling, mark.ttl), mark.ttl)}


def encode(mark: CacheMark | None) -> dict[str, Any]:
    """The field that *mark* is, in its own spelling."""
    return {} if mark is None else {mark.spelling: encode_mark(mark)}
