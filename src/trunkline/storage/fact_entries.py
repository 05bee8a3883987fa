"""Entries of the log of facts: their JSON, their ids, and what the age of a fact changes."""

import msgspec
from msgspec import Raw, Struct

from trunkline.model.replica_events import CredentialRested, ReplicaEvent, StickyRouteSet


class Entry(Struct, frozen=True, array_like=True):
    """The facts that one replica saw. `number` counts its entries, of both streams together."""

    replica: str
    number: int
    facts: Raw


class UnsentEntry(Struct, frozen=True):
    """An entry to append: its facts, each with the monotonic time when it was published."""

    stream: str
    number: int
    facts: list[tuple[float, ReplicaEvent]]


def is_long_lived(fact: ReplicaEvent) -> bool:
    """Return whether *fact* has a duration of its own."""
    return isinstance(fact, StickyRouteSet | CredentialRested)


def aged(fact: ReplicaEvent, age_s: float) -> ReplicaEvent | None:
    """Return *fact* as it is at the age of *age_s* seconds; None where its duration is over."""
    if not isinstance(fact, StickyRouteSet | CredentialRested):
        return fact
    remaining_s = round(fact.seconds - age_s, 3)
    return msgspec.structs.replace(fact, seconds=remaining_s) if remaining_s > 0 else None


def id_at(unix_s: float) -> str:
    """Return the first id of a moment."""
    return f"{max(0, int(unix_s * 1000))}-0"


def seconds_of(id_: str) -> float:
    """Return the Unix seconds of an id."""
    return int(id_.partition("-")[0]) / 1000
