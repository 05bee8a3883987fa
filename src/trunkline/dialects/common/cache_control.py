"""Cache marks in both spellings: decode and encode. Source: OpenRouter, "Prompt caching"."""

from collections.abc import Iterable
from typing import Any, Literal

from trunkline.model.request import CacheMark

Spelling = Literal["cache_control", "prompt_cache_breakpoint"]
KINDS: dict[Spelling, tuple[str, str]] = {
    "cache_control": ("type", "ephemeral"),
    "prompt_cache_breakpoint": ("mode", "explicit"),
}
"""Spelling → the field that every mark of that spelling has, and its value."""

TTLS = ("5m", "1h", "30m", "12h")
NEAREST: dict[tuple[Spelling, str], str] = {
    ("cache_control", "30m"): "5m",
    ("cache_control", "12h"): "1h",
    ("prompt_cache_breakpoint", "5m"): "30m",
    ("prompt_cache_breakpoint", "1h"): "30m",
}
"""(spelling, TTL that it does not support) → the nearest TTL that it supports."""


def decode(fields: dict[str, Any], spellings: Iterable[Spelling] = KINDS) -> CacheMark | None:
    """Return the cache mark in *fields*, or None. The first of *spellings* that is present counts.

    The mark is removed from *fields*, unless it has fields that `CacheMark` cannot represent, such as nulls: then it
    also stays, so that it is written back unchanged.
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
    """Encode *mark* as the object of its own spelling, or of *spelling*."""
    spelling = spelling or mark.spelling
    key, word = KINDS[spelling]
    if mark.ttl is None:
        return {key: word}
    return {key: word, "ttl": NEAREST.get((spelling, mark.ttl), mark.ttl)}


def encode(mark: CacheMark | None) -> dict[str, Any]:
    """Encode *mark* as a field with its own spelling; return no field for None."""
    return {} if mark is None else {mark.spelling: encode_mark(mark)}
