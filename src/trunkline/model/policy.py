"""What an operator says about who may serve requests: for all of them, or for those of one key."""

from fnmatch import fnmatchcase

from msgspec import Struct


class Policy(Struct, frozen=True, kw_only=True):
    """A ceiling: what a request asks for narrows it and never widens it. Source: openrouter-semantics §4 (1, 2).

    Names are lower case: tags, provider slugs or display names. None is no limit. `models` are ids or patterns with
    `*` (`acme/*`).
    """

    whose: str
    """`account` or `key`: what errors call it."""
    only: frozenset[str] | None = None
    ignore: frozenset[str] = frozenset()
    regions: frozenset[str] | None = None
    models: tuple[str, ...] | None = None
    zdr: bool = False
    """Endpoints alone that keep nothing."""
    private: bool = False
    """Endpoints alone that do not train on prompts."""

    def admits(self, model: str) -> bool:
        """Whether the model with this id may be used."""
        return self.models is None or any(fnmatchcase(model, pattern) for pattern in self.models)
