"""Presets: stored request fields that requests refer to by name. Source: OpenRouter, "Presets"."""

from msgspec import Raw, Struct

from trunkline.model.loss import Loss

Config = dict[str, Raw]
"""The fields of a preset with their values as raw JSON. `trunkline.presets` documents the field names."""


class PresetVersion(Struct, frozen=True, kw_only=True, eq=False):
    """One immutable version of a preset. `created` is Unix seconds."""

    id: str
    preset_id: str
    version: int
    """Counts 1, 2, 3 … within its preset."""
    creator: str
    """The name of the key that created it."""
    created: float
    config: Config
    system: str | None = None


class Preset(Struct, frozen=True, kw_only=True, eq=False):
    """A preset with its newest version. Times are Unix seconds."""

    id: str
    owner: str
    """The id of the key that made it; empty for one that all keys share."""
    slug: str
    created: float
    updated: float
    version: PresetVersion


class PresetUse(Struct, frozen=True, kw_only=True, gc=False):
    """The preset version that a request uses, and its effects beyond the request's own fields."""

    id: str
    slug: str
    version_id: str
    version: int
    cache_enabled: bool | None = None
    """The preset's setting for the response cache; None where it has none."""
    cache_ttl_s: int | None = None
    added_bytes: int = 0
    """The number of bytes that the preset added to the request's body."""
    losses: tuple[Loss, ...] = ()
    """Fields of the preset that the client's dialect cannot express. Paths begin with `preset`."""
