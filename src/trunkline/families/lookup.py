"""The family of a model, by the model's name."""

import re
from functools import lru_cache

from trunkline.families import claude, deepseek, gemini, gpt, grok, kimi, mistral, nova, others, qwen
from trunkline.families.traits import Family

FAMILIES: tuple[Family, ...] = (
    *claude.FAMILY,
    *nova.FAMILY,
    *gpt.FAMILY,
    *kimi.FAMILY,
    *qwen.FAMILY,
    *mistral.FAMILY,
    *deepseek.FAMILY,
    *grok.FAMILY,
    *others.FAMILY,
    *gemini.FAMILY,
)
"""All rows. The first whose pattern is found in a name counts."""
UNKNOWN = Family(pattern="", source="")
"""Stands for a model that no row describes."""
MAX_NAME = 256
"""Characters of a name that are looked at; providers choose names too, and the cache keeps them."""

_ROWS = tuple((re.compile(family.pattern), family) for family in FAMILIES)


def family_of(*names: str) -> Family:
    """The family of the model that has *names*: of the first name that a row describes, else `UNKNOWN`.

    A model has several names: the provider's, which can be an ARN that names no model, and the gateway's.
    """
    for name in names:
        found = _search(name[:MAX_NAME])
        if found is not None:
            return found
    return UNKNOWN


@lru_cache(maxsize=1024)
def _search(name: str) -> Family | None:
    lower = name.lower()
    return next((family for pattern, family in _ROWS if pattern.search(lower) is not None), None)
