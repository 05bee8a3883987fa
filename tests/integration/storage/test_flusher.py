"""From the journal to the database, each generation once, whatever happens in between."""

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event, func, select

from trunkline.ledger import Budgets
from trunkline.ledger.config import InterruptedPolicy
from trunkline.model.endpoint import Price
from trunkline.model.errors import DatabaseUnavailable
from trunkline.model.intent import Intent
from trunkline.model.key import Key
from trunkline.model.record import GenerationRecord
from trunkline.model.usage import Usage
from trunkline.ports import Clock
from trunkline.storage import Database, FileJournal, Flusher, GenerationStore, open_database
from trunkline.storage.tables import GENERATIONS, KEY_SPEND


def generation(number: int, *, key_id: str = "k", created: float = 1.7e9, cost: int = 3) -> GenerationRecord:
    return GenerationRecord(
        id=f"gen-{number}",
        created=created,
        key_id=key_id,
        status="completed",
        api_type="chat",
        model="a/m",
        requested="a/m",
        provider="Acme",
        usage=Usage(prompt=10, completion=2),
        cost=cost,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def opened(folder: Path, **bounds: int) -> FileJournal:
    journal = FileJournal(folder, **bounds)
    journal.open()
    return journal


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def rows(database: Database) -> list[str]:
    async with database.read() as connection:
        return list(await connection.scalars(select(GENERATIONS.c.id).order_by(GENERATIONS.c.id)))


_SUMS = ("cost_pico", "prompt_tokens", "completion_tokens")


async def spent(database: Database) -> tuple[int, ...]:
    """Cost, requests, prompt and completion tokens by the sums; checked against the rows
    (docs/reference/reliability.md, M11)."""
    async with database.read() as connection:
        sums = (await connection.execute(select(*map(func.sum, KEY_SPEND.c[_SUMS])))).mappings().one()
        true = (await connection.execute(select(*map(func.sum, GENERATIONS.c[_SUMS])))).mappings().one()
        requests = await connection.scalar(select(func.sum(KEY_SPEND.c.requests)))
        count = await connection.scalar(select(func.count()).select_from(GENERATIONS))
    assert (*sums.values(), requests or 0) == (*true.values(), count)
    cost, prompt, completion = (int(value or 0) for value in sums.values())
    return (cost, int(requests or 0), prompt, completion)


def failing(database: Database, when: Callable[[str], bool], error: Exception) -> Callable[[], None]:
    """Let statements for which *when* says so fail, until the result is called."""

    def before(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if when(statement):
            raise error

    engine = database.bulk or database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", before)
    return lambda: event.remove(engine, "before_cursor_execute", before)


async def test_in_the_database_within_moments(database: Database, folder: Path, clock: Clock) -> None:
    journal = opened(folder)
    flusher = Flusher(database, journal)
    store = GenerationStore(database, clock, journal=journal, flusher=flusher)
    await flusher.start()
    for number in range(137):
        journal.append(generation(number))
        assert await store.find(f"gen-{number}") == generation(number)
    await until(lambda: not journal.pending)
    assert await store.count() == 137
    assert await store.find("gen-77") == generation(77)
    assert await store.find("gen-137") is None
    assert await spent(database) == (3 * 137, 137, 1370, 274)
    assert all(path.stat().st_size == 0 for path in files(folder))
    await flusher.stop()
    journal.close()
    assert files(folder) == []


async def test_stop_flushes(database: Database, folder: Path) -> None:
    journal = opened(folder, max_pending=50)
    flusher = Flusher(database, journal, interval_s=60)
    await flusher.start()
    for number in range(120):
        journal.append(generation(number))
    await flusher.stop()
    assert len(await rows(database)) == 120
    journal.close()
    assert files(folder) == []


async def test_killed_after_the_write(database: Database, folder: Path) -> None:
    journal = opened(folder)
    for number in range(5):
        journal.append(generation(number))
    _kill(journal)
    assert await Flusher(database, opened(folder)).replay() == 5
    assert await Flusher(database, opened(folder)).replay() == 0
    assert await spent(database) == (15, 5, 50, 10)


async def test_a_dead_process_is_known_by_its_segments(database: Database, folder: Path) -> None:
    dead = opened(folder)
    dead.append(generation(1))
    _kill(dead)
    living = opened(folder)
    flusher = Flusher(database, living)
    (folder / "12-0123456789abcdef.journal").touch()  # as older versions named them
    await flusher.replay()
    assert flusher.dead == {dead.owner}
    assert living.owner != dead.owner


async def test_killed_between_flush_and_truncation(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(folder)
    for number in range(5):
        journal.append(generation(number))
    monkeypatch.setattr(FileJournal, "stored", _stop_here)
    with pytest.raises(KeyboardInterrupt):
        await Flusher(database, journal).flush()
    monkeypatch.undo()
    _kill(journal)
    other = opened(folder)
    other.append(generation(5))
    flusher = Flusher(database, other)
    assert await flusher.replay() == 0
    assert await flusher.flush() == 1
    assert await spent(database) == (18, 6, 60, 12)


def _stop_here(*_: object) -> None:
    raise KeyboardInterrupt


def _kill(journal: FileJournal) -> None:
    """What the kernel does with a killed process's files."""
    for segment in journal._segments:  # pyright: ignore[reportPrivateUsage]
        os.close(segment.fd)
    journal._intents.close()  # pyright: ignore[reportPrivateUsage]


async def test_a_batch_that_is_partly_there_adds_the_rest(database: Database, folder: Path) -> None:
    first, second = opened(folder), opened(folder)
    for number in range(3):
        first.append(generation(number))
    for number in range(1, 6):
        second.append(generation(number))
    assert await Flusher(database, first).flush() == 3
    assert await Flusher(database, second).flush() == 3
    assert await spent(database) == (18, 6, 60, 12)


async def test_two_live_processes_keep_apart(database: Database, folder: Path) -> None:
    one, two = opened(folder), opened(folder)
    one.append(generation(1))
    two.append(generation(2))
    assert await Flusher(database, one).replay() == 0
    assert await Flusher(database, one).flush() == 1
    assert await rows(database) == ["gen-1"]
    assert await Flusher(database, two).flush() == 1


CHILD = """
import sys
from pathlib import Path
from trunkline.storage.journal import FileJournal
from trunkline.model.record import GenerationRecord
journal = FileJournal(Path(sys.argv[1]), rotate_bytes=20_000)
journal.open()
number = 0
while True:
    name = f"{sys.argv[2]}-{number}"
    journal.append(GenerationRecord(id=name, created=1.7e9, key_id="k", status="completed", api_type="chat",
                                    model="a/m", requested="a/m", cost=3, error="x" * (number % 900)))
    sys.stdout.write(name + "\\n")
    sys.stdout.flush()
    number += 1
"""


async def test_sigkill_at_any_moment(database: Database, folder: Path) -> None:
    acknowledged: set[str] = set()
    for turn in range(6):
        child = subprocess.Popen([sys.executable, "-c", CHILD, folder, str(turn)], stdout=subprocess.PIPE)  # noqa: ASYNC220
        assert child.stdout is not None
        with child.stdout:
            lines = [child.stdout.readline()]
            time.sleep(0.003 * turn)  # noqa: ASYNC251
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
        child.wait()
        acknowledged |= {line.decode().strip() for line in lines if line.endswith(b"\n")}
        if turn % 2:
            await Flusher(database, opened(folder)).replay()
    await Flusher(database, opened(folder)).replay()
    found = await rows(database)
    assert len(found) == len(set(found))
    assert acknowledged <= set(found)
    assert len(found) - len(acknowledged) <= 6, "at most one per kill was written and not acknowledged"
    assert (await spent(database))[:2] == (3 * len(found), len(found))


async def test_rotation_under_load(database: Database, folder: Path) -> None:
    journal = opened(folder, rotate_bytes=10_000, max_pending=200)
    flusher = Flusher(database, journal, interval_s=0.005)
    await flusher.start()
    for number in range(3000):
        journal.append(generation(number))
        if number % 25 == 0:
            await asyncio.sleep(0)
    await until(lambda: not journal.unflushed)
    assert len(await rows(database)) == 3000
    await flusher.stop()
    journal.close()
    assert files(folder) == []
    assert await spent(database) == (9000, 3000, 30000, 6000)


async def test_a_database_that_is_down_comes_back(
    database: Database, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened(folder)
    flusher = Flusher(database, journal, interval_s=0.01)
    heal = failing(database, lambda text: text.startswith("INSERT"), sqlite3.OperationalError("disk I/O error"))
    await flusher.start()
    journal.append(generation(1))
    await until(lambda: flusher.failing)
    for number in range(2, 8):
        journal.append(generation(number))
    heal()
    await until(lambda: not journal.pending)
    await asyncio.sleep(0)
    assert not flusher.failing
    await flusher.stop()
    assert len(await rows(database)) == 7
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.WARNING]
    assert "gen-" not in caplog.text


async def test_the_journal_is_synced_while_the_database_is_down(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.storage.flusher.SYNC_S", 0.02)
    journal = opened(folder)
    flusher = Flusher(database, journal, interval_s=0.01)
    heal = failing(database, lambda text: text.startswith("INSERT"), sqlite3.OperationalError("no"))
    await flusher.start()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    journal.append(generation(1))
    (path,) = files(folder)
    await until(lambda: synced)
    assert synced[0] == path.stat().st_size > 0
    heal()
    await flusher.stop()
    count = len(synced)
    await asyncio.sleep(0.05)
    assert len(synced) == count
    assert len(await rows(database)) == 1


async def test_every_statement_fails_once(database: Database, folder: Path) -> None:
    """A failure at the nth write of a batch leaves nothing of it behind, and the next try everything."""
    for nth in range(1, 20):
        journal = opened(folder)
        for number in range(113):  # statements of 50, 10 and 1
            journal.append(generation(nth * 1000 + number))
        count = 0

        def when(_text: str, nth: int = nth) -> bool:
            nonlocal count
            count += 1
            return count == nth

        heal = failing(database, when, sqlite3.OperationalError("no"))
        flusher = Flusher(database, journal)
        try:
            await flusher.flush()
        except DatabaseUnavailable:
            assert len(await rows(database)) == (nth - 1) * 113
            await flusher.flush()
        else:
            assert nth > 5, "all statements have had their turn"
            heal()
            return
        heal()
        assert len(await rows(database)) == nth * 113
        await spent(database)
        journal.close()
    raise AssertionError("not all statements were reached")


async def test_locked_by_another_process(tmp_path: Path, folder: Path) -> None:
    """PostgreSQL locks rows only."""
    url = f"sqlite:///{tmp_path}/one.db"
    database = await open_database(url, timeout_s=0.1)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal = opened(folder)
    journal.append(generation(1))
    with pytest.raises(DatabaseUnavailable) as caught:
        await Flusher(database, journal).flush()
    assert "locked" in str(caught.value.__cause__)
    assert journal.pending == 1
    other.execute("ROLLBACK")
    other.close()
    assert await Flusher(database, journal).flush() == 1
    await database.close()


async def test_a_row_that_is_refused_holds_up_nothing(
    database: Database, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened(folder)
    journal.append(generation(1))
    journal.append(generation(2, cost=-(2**63) - 1))
    journal.append(generation(3))
    assert await Flusher(database, journal).flush() == 2
    assert await rows(database) == ["gen-1", "gen-3"]
    assert '"gen-2"' in (folder / "refused.bad").read_text()
    assert "gen-2" in caplog.text


async def test_garbage_is_kept_aside(database: Database, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = opened(folder)
    journal.append(generation(1))
    journal.close()
    (path,) = files(folder)
    path.write_bytes(b'{"secret": 1}\n' + path.read_bytes() + b'{"id":"torn')
    flusher = Flusher(database, opened(folder))
    assert await flusher.replay() == 1
    assert await flusher.replay() == 0
    assert path.with_name(path.name + ".bad").exists()
    assert "1 lines are no records" in caplog.text
    assert "secret" not in caplog.text


async def test_sums_do_not_overflow(database: Database, folder: Path, clock: Clock) -> None:
    most = 2**63 - 1
    journal = opened(folder)
    flusher = Flusher(database, journal)
    for number in range(4):
        journal.append(generation(number, cost=most, created=1.7e9 + 86400 * (number // 2)))
        await flusher.flush()
    store = GenerationStore(database, clock)
    assert await store.spend_by_key() == {"k": 2 * most}, "the most for each of two days"
    assert (await store.spend("k")).total == 2 * most


async def test_spend_by_period(database: Database, folder: Path, clock: Clock) -> None:
    day = 86400.0
    now = clock.now()  # a Tuesday, the 14th
    journal = opened(folder)
    flusher = Flusher(database, journal)
    store = GenerationStore(database, clock, journal=journal, flusher=flusher)
    for number, ago in enumerate((0, day, 2 * day, 13 * day, 14 * day)):
        journal.append(generation(number, created=now - ago, cost=10**number))
    journal.append(generation(9, key_id="other", cost=7))
    for _ in range(2):
        spend = await store.spend("k")
        assert (spend.daily, spend.weekly, spend.monthly, spend.total) == (1, 11, 1111, 11111)
        await flusher.flush()
    assert await store.spend_by_key() == {"k": 11111, "other": 7}
    assert await store.spend_by_key(["k", "new"]) == {"k": 11111, "new": 0}


async def test_budgets_learn_what_all_spent(database: Database, folder: Path, clock: Clock) -> None:
    key, budgets = Key(id="k", name="k", label="…", limit=100), Budgets()
    mine, theirs = opened(folder), opened(folder)
    flusher = Flusher(database, mine)
    store = GenerationStore(database, clock, journal=mine, flusher=flusher)
    for number in range(3):
        budgets.reserve(key, 5).settle(3)
        mine.append(generation(number))
    theirs.append(generation(10, cost=50))
    await Flusher(database, theirs).flush()
    await store.refresh(budgets)
    assert budgets.spent("k") == 59
    await flusher.flush()
    await store.refresh(budgets, ["k"])
    assert budgets.spent("k") == 59


async def test_a_siblings_generation_is_waited_for(database: Database, folder: Path, clock: Clock) -> None:
    journal = opened(folder)
    flusher = Flusher(database, journal)
    store = GenerationStore(database, clock, siblings=True)
    journal.append(generation(1))
    looking = asyncio.create_task(store.find("gen-1"))
    await asyncio.sleep(0.1)
    await flusher.flush()
    assert await looking == generation(1)


def intent(number: int) -> bytes:
    price = Price(prompt=2, completion=5, request=1)
    return msgspec.json.encode(
        Intent(
            id=f"gen-{number}",
            created=1.7e9,
            key_id="k",
            api_type="chat",
            streamed=False,
            model="a/m",
            provider="Acme",
            endpoint="acme",
            price=price,
            tokens=10,
            bound=20,
            output=3,
        )
    )


@pytest.mark.parametrize(("policy", "cost"), [("estimate", 21), ("reserve", 56), ("free", 0)])
async def test_a_request_under_way_at_a_kill_leaves_one_record(
    database: Database, folder: Path, policy: InterruptedPolicy, cost: int
) -> None:
    dead = opened(folder)
    slots = [dead.begin(intent(number)) for number in range(4)]
    dead.append(generation(0))
    dead.end(slots[0])
    dead.append(generation(1))  # killed before its slot was freed
    dead.append(generation(5))
    _kill(dead)
    flusher = Flusher(database, opened(folder), interrupted=policy)
    assert await flusher.replay() == 5
    assert await flusher.replay() == 0
    assert await rows(database) == ["gen-0", "gen-1", "gen-2", "gen-3", "gen-5"]
    assert (await spent(database))[:2] == (9 + 2 * cost, 5)
    async with database.read() as connection:
        query = select(GENERATIONS.c.id).where(GENERATIONS.c.status == "interrupted").order_by(GENERATIONS.c.id)
        assert list(await connection.scalars(query)) == ["gen-2", "gen-3"]
    assert flusher.dead == {dead.owner}
    assert not [path for path in files(folder) if path.suffix == ".intents"]


async def test_intents_wait_where_the_database_fails(database: Database, folder: Path) -> None:
    dead = opened(folder)
    dead.begin(intent(1))
    _kill(dead)
    restored = failing(database, lambda statement: "generations" in statement, sqlite3.OperationalError("no"))
    with pytest.raises(DatabaseUnavailable):
        await Flusher(database, opened(folder)).replay()
    restored()
    assert await Flusher(database, opened(folder)).replay() == 1
