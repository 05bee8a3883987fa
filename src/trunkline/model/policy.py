"""The operator's policy: which endpoints may serve requests, for all keys or for one key."""

from fnmatch import fnmatchcase

from msgspec import Struct


class Policy(Struct, frozen=True, kw_only=True):
    """An upper bound.

    The preferences of a request can narrow it but not widen it. Names are lower case: tags, provider slugs or display
    names. `models` are ids or patterns with `*` (`acme/*`). None means no limit. Source: OpenRouter, "Provider
    routing".
    """

    scope: str
    """`account` or `key`: the prefix of the filter's name in errors."""
    only: frozenset[str] | None = None
    ignore: frozenset[str] = frozenset()
    regions: frozenset[str] | None = None
    models: tuple[str, ...] | None = None
    zdr: bool = False
    """Only endpoints with zero data retention."""
    private: bool = False
    """Only endpoints that do not train on prompts."""

    def allows_model(self, model: str) -> bool:
        """Whether the policy allows the model with this id."""
        return self.models is None or any(fnmatchcase(model, pattern) for pattern in self.models)
