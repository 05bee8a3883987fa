"""Responses stored for their `Idempotency-Key`: of the requests with one key, one is carried out.

An entry begins in the state `running`, with a lease that its process renews. A process that dies renews nothing, so its
entries are free again within `LEASE_S`. Within one process the lease does not matter, because the process knows which
requests run. An entry in the state `done` keeps the response for `KEPT_S`. Every change of an entry names the
generation that began it, so a request that has lost its lease changes nothing.

Source: Stripe, "Idempotent requests"; docs/reference/reliability.md, C12.
"""

from typing import Any, Final

from msgspec import Struct
from sqlalchemy import and_, delete, select, tuple_, update

from trunkline.storage.database import Database, upsert
from trunkline.storage.tables import IDEMPOTENCY

KEPT_S: Final = 24 * 3600.0
"""Seconds for which a response is replayed. Source: Stripe, "Idempotent requests"."""
LEASE_S: Final = 20.0
"""Seconds for which an entry outlives its process. Two renewals may fail, each after the 5 s of a silent database."""
RENEW_S: Final = 5.0
"""Seconds between two renewals of leases."""
_SWEPT: Final = 200
"""Rows that one transaction deletes. Each may contain megabytes, and no other transaction writes meanwhile."""


class Fresh(Struct, frozen=True):
    """No other request has the key. The caller carries its request out, then calls `finish` or `drop`."""


class Running(Struct, frozen=True):
    """The first request with the key is running since `created` (Unix seconds)."""

    created: float


class Mismatch(Struct, frozen=True):
    """The key was used with another request."""


class Replay(Struct, frozen=True, kw_only=True):
    """The response to the first request."""

    status: int
    content_type: str
    generation_id: str
    body: bytes


class Entry(Struct, frozen=True):
    """Names an entry: the API key `key_id`, its idempotency key `idem_key`, the generation that began it."""

    key_id: str
    idem_key: str
    generation_id: str


class IdempotencyStore:
    """The table `idempotency`. Times handed in are Unix seconds. Methods raise `DatabaseUnavailable`.

    Where the database was away, leases could not be renewed. So for `RENEW_S` after its return, a lease counts as ended
    only if it had ended when the database went away: those that run get the time to renew.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: dict[tuple[str, str], tuple[Entry, str, float]] = {}
        """Requests of this process, by API key and idempotency key: entry, hash of the body, time of the begin."""

    async def begin(self, entry: Entry, body_hash: str, now: float) -> Fresh | Running | Replay | Mismatch:
        """Create *entry*, or return the state of the existing one.

        Of several callers at the same time, in any processes, one gets `Fresh`.
        """
        name = (entry.key_id, entry.idem_key)
        own = self._running.get(name)
        if own is not None:
            return Running(own[2]) if own[1] == body_hash else Mismatch()
        found = await self._begin(entry, body_hash, now)
        if isinstance(found, Fresh):
            self._running[name] = (entry, body_hash, now)
        return found

    async def _begin(self, entry: Entry, body_hash: str, now: float) -> Fresh | Running | Replay | Mismatch:
        values: dict[str, Any] = {
            "body_hash": body_hash,
            "state": "running",
            "status": None,
            "content_type": None,
            "generation_id": entry.generation_id,
            "body": None,
            "created": now,
            "expires": now + LEASE_S,
        }
        ended = now - self._database.outage.age_s(RENEW_S)
        statement = (
            upsert(self._database.dialect, IDEMPOTENCY)
            .values(key_id=entry.key_id, idem_key=entry.idem_key, **values)
            .on_conflict_do_update(
                index_elements=["key_id", "idem_key"], set_=values, where=IDEMPOTENCY.c.expires <= ended
            )
            .returning(IDEMPOTENCY.c.generation_id)
        )
        async with self._database.write() as connection:
            if await connection.scalar(statement) is not None:
                return Fresh()
            row = (await connection.execute(select(IDEMPOTENCY).where(_matches(entry)))).mappings().one()
        if row["body_hash"] != body_hash:
            return Mismatch()
        if row["state"] == "running":
            return Running(row["created"])
        return Replay(
            status=row["status"],
            content_type=row["content_type"],
            generation_id=row["generation_id"],
            body=row["body"],
        )

    async def finish(self, entry: Entry, *, status: int, content_type: str, body: bytes, now: float) -> None:
        """Store the response of *entry* for `KEPT_S`; nothing where another request has the key by now."""
        done = {"state": "done", "status": status, "content_type": content_type, "body": body, "expires": now + KEPT_S}
        try:
            async with self._database.write() as connection:
                await connection.execute(update(IDEMPOTENCY).where(_runs(entry)).values(done))
        finally:
            self._forget(entry)

    async def drop(self, entry: Entry) -> None:
        """Delete *entry*. The next request with its key is carried out."""
        try:
            async with self._database.write() as connection:
                await connection.execute(delete(IDEMPOTENCY).where(_runs(entry)))
        finally:
            self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        """Remove *entry* from the running ones."""
        name = (entry.key_id, entry.idem_key)
        own = self._running.get(name)
        if own is not None and own[0] == entry:
            del self._running[name]

    async def renew(self, now: float) -> None:
        """Renew the leases of the requests that run in this process. Call it every `RENEW_S`."""
        running = [entry for entry, _, _ in self._running.values()]
        if not running:
            return
        async with self._database.write() as connection:
            for entry in running:
                await connection.execute(update(IDEMPOTENCY).where(_runs(entry)).values(expires=now + LEASE_S))

    async def sweep(self, now: float) -> int:
        """Delete expired entries. Return their number."""
        count = 0
        name = tuple_(IDEMPOTENCY.c.key_id, IDEMPOTENCY.c.idem_key)
        old = select(IDEMPOTENCY.c.key_id, IDEMPOTENCY.c.idem_key).where(IDEMPOTENCY.c.expires <= now).limit(_SWEPT)
        while True:
            async with self._database.write() as connection:
                deleted = (await connection.execute(delete(IDEMPOTENCY).where(name.in_(old)))).rowcount
            count += deleted
            if deleted < _SWEPT:
                return count


def _matches(entry: Entry) -> Any:
    return and_(IDEMPOTENCY.c.key_id == entry.key_id, IDEMPOTENCY.c.idem_key == entry.idem_key)


def _runs(entry: Entry) -> Any:
    """Match the row while it belongs to *entry* and runs."""
    own = IDEMPOTENCY.c.generation_id == entry.generation_id
    return and_(_matches(entry), own, IDEMPOTENCY.c.state == "running")
