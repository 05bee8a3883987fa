"""The first answer of each idempotency key: who gets to make it, and for how long it is kept."""

import asyncio

import pytest
from sqlalchemy import event

from trunkline.storage import Database, IdempotencyStore, open_database
from trunkline.storage.idempotency import KEPT_S, LEASE_S, Entry, Fresh, Mismatch, Replay, Running

NOW = 1_700_000_000.0
ENTRY = Entry("key", "order-1", "gen-1")
AGAIN = Entry("key", "order-1", "gen-2")
HASH = "aa"
ANSWER = Replay(status=200, content_type="application/json", generation_id="gen-1", body=b"\x00{}")


@pytest.fixture
def store(database: Database) -> IdempotencyStore:
    return IdempotencyStore(database)


async def done(store: IdempotencyStore, entry: Entry = ENTRY, now: float = NOW) -> None:
    await store.finish(entry, status=ANSWER.status, content_type=ANSWER.content_type, body=ANSWER.body, now=now)


async def test_fresh_then_running_then_replay(store: IdempotencyStore) -> None:
    assert await store.begin(ENTRY, HASH, NOW) == Fresh()
    assert await store.begin(AGAIN, HASH, NOW + 1) == Running(NOW)
    assert await store.begin(AGAIN, "bb", NOW + 1) == Mismatch()
    await done(store, now=NOW + 2)
    for later in (2, KEPT_S + 1):
        assert await store.begin(AGAIN, HASH, NOW + later) == ANSWER
        assert await store.begin(AGAIN, "bb", NOW + later) == Mismatch()
    assert await store.begin(AGAIN, "bb", NOW + 2 + KEPT_S) == Fresh()


@pytest.mark.parametrize("other", [Entry("key 2", "order-1", "gen-2"), Entry("key", "order-2", "gen-2")])
async def test_others_are_independent(store: IdempotencyStore, other: Entry) -> None:
    assert await store.begin(ENTRY, HASH, NOW) == Fresh()
    await done(store)
    assert await store.begin(other, "bb", NOW) == Fresh()


async def test_what_is_dropped_is_free(store: IdempotencyStore) -> None:
    assert await store.begin(ENTRY, HASH, NOW) == Fresh()
    await store.drop(ENTRY)
    assert await store.begin(AGAIN, "bb", NOW) == Fresh()


async def test_of_many_at_once_one_is_first(url: str, store: IdempotencyStore) -> None:
    database = await open_database(url)
    sibling = IdempotencyStore(database)
    entries = [Entry("key", "order-1", f"gen-{number}") for number in range(20)]
    found = await asyncio.gather(
        *((store, sibling)[number % 2].begin(entry, HASH, NOW) for number, entry in enumerate(entries))
    )
    await database.close()
    assert sorted(map(repr, found)) == sorted(map(repr, [Fresh()] + [Running(NOW)] * 19))


async def test_another_process_waits_for_the_lease_and_no_longer(url: str, store: IdempotencyStore) -> None:
    database = await open_database(url)
    sibling = IdempotencyStore(database)
    assert await store.begin(ENTRY, HASH, NOW) == Fresh()
    assert await sibling.begin(AGAIN, HASH, NOW + LEASE_S - 1) == Running(NOW)
    await store.renew(NOW + LEASE_S - 1)
    assert await sibling.begin(AGAIN, HASH, NOW + LEASE_S) == Running(NOW)
    assert await sibling.begin(AGAIN, HASH, NOW + 2 * LEASE_S) == Fresh()
    # The first wakes up: the key is not its own any more.
    await store.renew(NOW + 100 * LEASE_S)
    await done(store)
    await store.drop(ENTRY)
    assert await sibling.begin(ENTRY, HASH, NOW + 2 * LEASE_S) == Running(NOW + 2 * LEASE_S)
    await done(sibling, AGAIN)
    found = await store.begin(ENTRY, HASH, NOW + 2 * LEASE_S)
    await database.close()
    assert isinstance(found, Replay)
    assert found.generation_id == "gen-2"


async def test_within_one_process_a_lease_that_was_not_renewed_gives_nothing_away(store: IdempotencyStore) -> None:
    assert await store.begin(ENTRY, HASH, NOW) == Fresh()
    assert await store.begin(AGAIN, HASH, NOW + 10 * LEASE_S) == Running(NOW)


async def test_renewing_nothing_asks_nothing(database: Database, store: IdempotencyStore) -> None:
    await store.begin(ENTRY, HASH, NOW)
    await done(store)
    statements: list[str] = []
    event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    await store.renew(NOW)
    assert statements == []


async def test_sweep(store: IdempotencyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.storage.idempotency._SWEPT", 3)
    for number in range(7):
        entry = Entry("key", f"order-{number}", f"gen-{number}")
        await store.begin(entry, HASH, NOW)
        await done(store, entry, now=NOW + number)
    assert await store.sweep(NOW + KEPT_S - 1) == 0
    assert await store.sweep(NOW + KEPT_S + 5) == 6
    assert isinstance(await store.begin(Entry("key", "order-6", "gen-9"), HASH, NOW), Replay)
    assert await store.begin(Entry("key", "order-5", "gen-9"), HASH, NOW) == Fresh()


async def test_what_is_kept_survives_a_restart(url: str, store: IdempotencyStore) -> None:
    await store.begin(ENTRY, HASH, NOW)
    await done(store)
    database = await open_database(url)
    assert await IdempotencyStore(database).begin(AGAIN, HASH, NOW) == ANSWER
    await database.close()
