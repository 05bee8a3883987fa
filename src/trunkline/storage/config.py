"""The configuration's `storage` and `shared_state` blocks."""

from typing import Annotated

from msgspec import Meta, Struct


class StorageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The database of keys and finished generations."""

    url: str = "sqlite:///data/trunkline.db"
    """`sqlite:///relative/path`, `sqlite:////absolute/path`, or `postgresql://user:password@host/name`."""
    timeout_s: Annotated[float, Meta(ge=0.5, le=60)] = 5.0
    """The time limit for one use of the database. A request that needs the database is answered with 503 after it."""

    def __repr__(self) -> str:
        """Without the URL, which may hold a password."""
        return f"StorageSettings(url='{self.url.partition(':')[0]}:…')"


class SharedStateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """State that several replicas share: health, stickiness, cached responses."""

    url: str | None = None
    """`redis://host:6379/0`, `rediss://…` or `valkey://…`; null keeps it in the process, right for one replica.
    It needs `trunkline[redis]`; see [replicas](../guides/replicas.md)."""

    def __repr__(self) -> str:
        """Without the URL, which may hold a password."""
        return f"SharedStateSettings(url={'None' if self.url is None else '…'})"
