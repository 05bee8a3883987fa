"""The port `LeaseStore`: where processes that share a key take parts of its limit from. See `ledger.lease`."""

from collections.abc import Collection
from typing import Protocol

from trunkline.ledger.lease import LeaseAnswer, LeaseRequest


class StoreUnavailable(Exception):
    """The store cannot be used now. The message is a word or two, and contains nothing of the store's address."""


class LeaseStore(Protocol):
    """Grants parts of limits. Every method raises `StoreUnavailable` within seconds where the store does not work."""

    name: str
    """For people: `the shared state` or `the database`."""
    tick_s: float
    """Seconds between two looks at the leases."""
    renew_s: float
    """Age in seconds at which a lease is confirmed."""
    valid_s: float
    """Seconds for which a lease is good after it was confirmed. Before that, the store grants it to nobody else."""
    needs_totals: bool
    """Whether the store knows the spending of databases only from reports, so that each process reports at start."""

    async def sync(self, request: LeaseRequest) -> LeaseAnswer:
        """Store what the process holds, and grant more if *request* wants more."""
        ...

    async def epoch(self) -> str:
        """Return a value that changes when the store has lost its data."""
        ...

    async def release(self, holders: Collection[str], key_ids: Collection[str]) -> None:
        """Forget what *holders*, which are dead or stop, hold of any of *key_ids*."""
        ...

    async def close(self) -> None:
        """Close the connections that are the store's own."""
        ...
