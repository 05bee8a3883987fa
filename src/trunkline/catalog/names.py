"""What a name of a model stands for: an id, an alias, `~author/family-latest`, and suffixes that say how to route it.

Suffixes may stand one behind the other. Of each, a model of that very name comes first: `:free`, `:extended`,
`:thinking` and `:batch` are names of models of their own on OpenRouter. Where the catalog has no such model, `:free`
is the model's endpoints that cost nothing, `:thinking` the model with reasoning on, `:extended` its endpoints with the
largest window. Source: openrouter-semantics §2.
"""

import re
from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from trunkline.model.endpoint import Model

How: TypeAlias = Literal["direct", "alias", "latest"]
"""How a name led to its model: as `strategy` in `openrouter_metadata` has it."""
SUFFIXES = ("nitro", "floor", "exacto", "free", "online", "thinking", "extended")
LATEST = "-latest"
_NUMBER = re.compile(r"[0-9]+")


class Named(Struct, frozen=True, kw_only=True):
    """A model and what its name says beside it."""

    model: Model
    how: How = "direct"
    suffixes: tuple[str, ...] = ()
    """Those that are no part of the model's own id, in order."""


class Names:
    """All names of *models*. What was asked for once is remembered, up to `MOST` names."""

    MOST = 4096

    __slots__ = ("_aliases", "_families", "_ids", "_known")

    def __init__(self, models: Iterable[Model]) -> None:
        models = tuple(models)
        self._ids = {model.id: model for model in models}
        self._aliases: dict[str, Model] = {}
        for model in models:
            for alias in model.aliases:
                self._aliases.setdefault(alias, model)
        self._families = _families(models)
        self._known: dict[str, Named | None] = {}

    def find(self, name: str) -> Named | None:
        """What *name* stands for; None where it stands for nothing."""
        if name in self._known:
            return self._known[name]
        found = self._look(name)
        if len(self._known) < self.MOST:
            self._known[name] = found
        return found

    def _look(self, name: str) -> Named | None:
        model = self._ids.get(name)
        if model is not None:
            return Named(model=model)
        model = self._aliases.get(name)
        if model is not None:
            return Named(model=model, how="alias")
        base, colon, suffix = name.rpartition(":")
        if colon and suffix in SUFFIXES:
            return self._suffixed(base, suffix)
        if name.endswith(LATEST):
            model = self._families.get(name.removeprefix("~").removesuffix(LATEST))
            return None if model is None else Named(model=model, how="latest")
        return None

    def _suffixed(self, base: str, suffix: str) -> Named | None:
        named = self._look(base)
        if named is None:
            return None
        own = self._ids.get(f"{named.model.id}:{suffix}")
        if own is not None:
            return replace(named, model=own)
        return replace(named, suffixes=(*named.suffixes, suffix))


def _families(models: Iterable[Model]) -> dict[str, Model]:
    """The newest visible model of each family: `author/` and a slug's beginning, up to one of its hyphens.

    What is called `…-latest` itself is none: it is another name of one of them, which one only its provider knows.
    """
    newest: dict[str, Model] = {}
    for model in models:
        author, _, slug = model.id.partition("/")
        if model.hidden or ":" in slug or slug.endswith(LATEST):
            continue
        words = slug.split("-")
        for end in range(1, len(words) + 1):
            family = f"{author}/{'-'.join(words[:end])}"
            other = newest.get(family)
            if other is None or _age(model) > _age(other):
                newest[family] = model
    return newest


def _age(model: Model) -> tuple[int, tuple[int, ...], str]:
    """By date of release, then by the numbers in the name, as versions are compared."""
    return model.created, tuple(int(number) for number in _NUMBER.findall(model.id)), model.id
