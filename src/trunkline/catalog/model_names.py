"""Resolution of model names: ids, aliases, `~author/family-latest`, and suffixes that select a routing mode.

Suffixes can be combined. For each suffix, a model with exactly that name takes precedence: on OpenRouter `:free`,
`:extended`, `:thinking` and `:batch` are parts of model names. Where the catalog has no such model, `:free` selects the
model's endpoints that cost nothing, `:thinking` enables reasoning, and `:extended` selects the endpoints with the
largest context window. Source: OpenRouter, "Model variants".
"""

import re
from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from trunkline.model.endpoint import Model

ResolutionStrategy: TypeAlias = Literal["direct", "alias", "latest"]
"""How a name was resolved; the values of `strategy` in `openrouter_metadata`."""
SUFFIXES = ("nitro", "floor", "exacto", "free", "online", "thinking", "extended")
LATEST = "-latest"
_NUMBER = re.compile(r"[0-9]+")


class ResolvedModel(Struct, frozen=True, kw_only=True):
    """A model with the strategy and suffixes of the name that it was requested by."""

    model: Model
    strategy: ResolutionStrategy = "direct"
    suffixes: tuple[str, ...] = ()
    """The suffixes that are not part of the model's own id, in order."""


class ModelNames:
    """The names of *models*. Resolved names are cached, up to `MAX_REMEMBERED`."""

    MAX_REMEMBERED = 4096

    __slots__ = ("_aliases", "_families", "_ids", "_resolved")

    def __init__(self, models: Iterable[Model]) -> None:
        models = tuple(models)
        self._ids = {model.id: model for model in models}
        self._aliases: dict[str, Model] = {}
        for model in models:
            for alias in model.aliases:
                self._aliases.setdefault(alias, model)
        self._families = _newest_by_family(models)
        self._resolved: dict[str, ResolvedModel | None] = {}

    def resolve(self, name: str) -> ResolvedModel | None:
        """The model that *name* stands for; None where there is none."""
        if name in self._resolved:
            return self._resolved[name]
        found = self._resolve_uncached(name)
        if len(self._resolved) < self.MAX_REMEMBERED:
            self._resolved[name] = found
        return found

    def _resolve_uncached(self, name: str) -> ResolvedModel | None:
        model = self._ids.get(name)
        if model is not None:
            return ResolvedModel(model=model)
        model = self._aliases.get(name)
        if model is not None:
            return ResolvedModel(model=model, strategy="alias")
        base, colon, suffix = name.rpartition(":")
        if colon and suffix in SUFFIXES:
            return self._resolve_suffix(base, suffix)
        if name.endswith(LATEST):
            model = self._families.get(name.removeprefix("~").removesuffix(LATEST))
            return None if model is None else ResolvedModel(model=model, strategy="latest")
        return None

    def _resolve_suffix(self, base: str, suffix: str) -> ResolvedModel | None:
        named = self._resolve_uncached(base)
        if named is None:
            return None
        own = self._ids.get(f"{named.model.id}:{suffix}")
        if own is not None:
            return replace(named, model=own)
        return replace(named, suffixes=(*named.suffixes, suffix))


def _newest_by_family(models: Iterable[Model]) -> dict[str, Model]:
    """The newest visible model of each family: `author/` and the beginning of a slug, up to one of its hyphens.

    A model whose own id ends in `-latest` is excluded: it is an alias, and only its provider knows of which model.
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
            if other is None or _release_order(model) > _release_order(other):
                newest[family] = model
    return newest


def _release_order(model: Model) -> tuple[int, tuple[int, ...], str]:
    """Sort key: the release date, then the numbers in the id, compared as versions."""
    return model.created, tuple(int(number) for number in _NUMBER.findall(model.id)), model.id
