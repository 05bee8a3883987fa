"""First answers, kept for their `Idempotency-Key`: of requests with one key, one does the work.

An entry begins as `running`, with a lease that its process renews. A process that dies renews nothing, so its entries
are free again within `LEASE_S`. Within one process the lease does not matter: what runs is known. An entry that
is `done` holds the answer for `KEPT_S`. Who writes an entry names the generation that it was begun with, so one
whose lease was lost changes nothing.

Source: reliability §1 (Stripe), §6, C12.
"""

from typing import Any, Final

from msgspec import Struct
from sqlalchemy import and_, delete, select, tuple_, update

from trunkline.storage.database import Database, upsert
from trunkline.storage.tables import IDEMPOTENCY

KEPT_S: Final = 24 * 3600.0
"""How long an answer is replayed. Source: Stripe, "Idempotent requests"."""
LEASE_S: Final = 20.0
"""How long an entry outlives the process that runs it. Two renewals may fail, each after the 5 s of a busy database."""
RENEW_S: Final = 5.0
"""How often leases are renewed."""
_SWEPT: Final = 200
"""Rows deleted by one transaction: each may hold megabytes, and nobody else writes meanwhile."""


class Fresh(Struct, frozen=True):
    """Nobody has: do the work, then `finish` or `drop` it."""


class Running(Struct, frozen=True):
    """The first request is under way, since *created* (Unix seconds)."""

    created: float


class Mismatch(Struct, frozen=True):
    """The key stands for another request."""


class Replay(Struct, frozen=True, kw_only=True):
    """The first answer."""

    status: int
    content_type: str
    generation_id: str
    body: bytes


class Entry(Struct, frozen=True):
    """Which answer: of the API key `key_id` under `idem_key`, begun by generation `generation_id`."""

    key_id: str
    idem_key: str
    generation_id: str


class IdempotencyStore:
    """The table `idempotency`. Times handed in are Unix seconds; methods raise what SQLAlchemy raises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: dict[tuple[str, str], tuple[Entry, str, float]] = {}
        """What this process runs: the entry, its body's hash and when it began."""

    async def begin(self, entry: Entry, body_hash: str, now: float) -> Fresh | Running | Replay | Mismatch:
        """Take *entry*, or say what is there. Of callers at once, in whatever process, one gets `Fresh`."""
        name = (entry.key_id, entry.idem_key)
        mine = self._running.get(name)
        if mine is not None:
            return Running(mine[2]) if mine[1] == body_hash else Mismatch()
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
        taken = (
            upsert(self._database.dialect, IDEMPOTENCY)
            .values(key_id=entry.key_id, idem_key=entry.idem_key, **values)
            .on_conflict_do_update(
                index_elements=["key_id", "idem_key"], set_=values, where=IDEMPOTENCY.c.expires <= now
            )
            .returning(IDEMPOTENCY.c.generation_id)
        )
        async with self._database.write() as connection:
            if await connection.scalar(taken) is not None:
                return Fresh()
            row = (await connection.execute(select(IDEMPOTENCY).where(_of(entry)))).mappings().one()
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
        """Keep the answer of *entry* for `KEPT_S`, or, where another one holds the key by now, nothing."""
        done = {"state": "done", "status": status, "content_type": content_type, "body": body, "expires": now + KEPT_S}
        try:
            async with self._database.write() as connection:
                await connection.execute(update(IDEMPOTENCY).where(_held(entry)).values(done))
        finally:
            self._forget(entry)

    async def drop(self, entry: Entry) -> None:
        """Forget *entry*: the next request with its key does the work."""
        try:
            async with self._database.write() as connection:
                await connection.execute(delete(IDEMPOTENCY).where(_held(entry)))
        finally:
            self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        """*entry* does not run here, or no longer."""
        name = (entry.key_id, entry.idem_key)
        mine = self._running.get(name)
        if mine is not None and mine[0] == entry:
            del self._running[name]

    async def renew(self, now: float) -> None:
        """Renew the leases of what runs here. Call it every `RENEW_S`."""
        running = [entry for entry, _, _ in self._running.values()]
        if not running:
            return
        async with self._database.write() as connection:
            for entry in running:
                await connection.execute(update(IDEMPOTENCY).where(_held(entry)).values(expires=now + LEASE_S))

    async def sweep(self, now: float) -> int:
        """Delete what has expired; the number of entries."""
        count = 0
        name = tuple_(IDEMPOTENCY.c.key_id, IDEMPOTENCY.c.idem_key)
        old = select(IDEMPOTENCY.c.key_id, IDEMPOTENCY.c.idem_key).where(IDEMPOTENCY.c.expires <= now).limit(_SWEPT)
        while True:
            async with self._database.write() as connection:
                deleted = (await connection.execute(delete(IDEMPOTENCY).where(name.in_(old)))).rowcount
            count += deleted
            if deleted < _SWEPT:
                return count


def _of(entry: Entry) -> Any:
    return and_(IDEMPOTENCY.c.key_id == entry.key_id, IDEMPOTENCY.c.idem_key == entry.idem_key)


def _held(entry: Entry) -> Any:
    """The row, as long as it is still *entry*'s."""
    mine = IDEMPOTENCY.c.generation_id == entry.generation_id
    return and_(_of(entry), mine, IDEMPOTENCY.c.state == "running")
