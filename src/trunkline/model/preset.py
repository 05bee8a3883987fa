"""Presets: what requests may leave out because it is kept here under a name. Source: openrouter-semantics §9."""

from msgspec import Raw, Struct

from trunkline.model.loss import Loss

Config = dict[str, Raw]
"""A preset's fields, values as their bytes; `trunkline.presets` says under which names."""


class PresetVersion(Struct, frozen=True, kw_only=True, eq=False):
    """One version of a preset; it never changes. `created` is Unix seconds."""

    id: str
    preset_id: str
    version: int
    """Counts 1, 2, 3 … within its preset."""
    creator: str
    """The name of the key that made it."""
    created: float
    config: Config
    system: str | None = None


class Preset(Struct, frozen=True, kw_only=True, eq=False):
    """A preset as requests see it: with its newest version. Times are Unix seconds."""

    id: str
    slug: str
    created: float
    updated: float
    version: PresetVersion


class PresetUse(Struct, frozen=True, kw_only=True, gc=False):
    """Which preset a request was made with, and what that means beyond the request's own fields."""

    id: str
    slug: str
    version_id: str
    version: int
    cache_enabled: bool | None = None
    """What the preset says of keeping answers; None: nothing."""
    cache_ttl_s: int | None = None
    grown: int = 0
    """Bytes by which the preset made the request's body longer."""
    losses: tuple[Loss, ...] = ()
    """What of the preset the client's dialect could not say; paths begin with `preset`."""
