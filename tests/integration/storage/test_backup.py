"""Backup and restoration: all rows, whatever the database, and nothing by halves."""

import gzip
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from trunkline.model.record import GenerationRecord
from trunkline.model.usage import Usage
from trunkline.ports import Clock
from trunkline.storage import (
    Database,
    FileJournal,
    Flusher,
    GenerationStore,
    IdempotencyStore,
    KeyRing,
    PresetStore,
    open_database,
)
from trunkline.storage.backup import BackupError, restore_backup, write_backup
from trunkline.storage.database import HEAD
from trunkline.storage.idempotency import Entry, Replay
from trunkline.storage.tables import KEY_SPEND, METADATA

NOW = 1_700_000_000.0
ENTRY = Entry("key", "order-1", "gen-1")


def generation(number: int) -> GenerationRecord:
    return GenerationRecord(
        id=f"gen-{number}",
        created=NOW,
        key_id="k",
        status="completed",
        api_type="chat",
        model="a/m",
        requested="a/m",
        usage=Usage(prompt=10, completion=2),
        cost=3,
        error='"odd" \u2028 ü',
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


async def fill(database: Database, folder: Path, clock: Clock) -> FileJournal:
    """Something in every table, 1200 generations in the database and two more in the journal."""
    await KeyRing(database, clock).create("dev", 5)
    presets = PresetStore(database, clock)
    await presets.put("mine", {}, "Be brief.", "dev", owner="k")
    await presets.put("ours", {}, None, "dev")
    idempotency = IdempotencyStore(database)
    await idempotency.begin(ENTRY, "aa", NOW)
    await idempotency.finish(ENTRY, status=200, content_type="x/y", body=b"\x00\xff{}", now=NOW)
    journal = FileJournal(folder)
    journal.open()
    for number in range(1200):
        journal.append(generation(number))
    await Flusher(database, journal).flush()
    for number in (1200, 1201):
        journal.append(generation(number))
    return journal


async def backup(database: Database, folder: Path) -> bytes:
    file = io.BytesIO()
    counts = await write_backup(database, folder, file, NOW)
    assert (counts["generations"], counts["journal"], counts["keys"], counts["presets"]) == (1200, 2, 1, 2)
    return file.getvalue()


async def rows(database: Database) -> dict[str, list[Any]]:
    async with database.read() as connection:
        return {
            table.name: sorted(map(tuple, (await connection.execute(select(table))).all()), key=repr)
            for table in METADATA.sorted_tables
        }


@pytest.fixture(params=["sqlite", "postgresql"])
async def target(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> AsyncIterator[Database]:
    """A second, empty database, of either kind."""
    second = f"sqlite:///{tmp_path}/second.db"
    if request.param == "postgresql":
        second = request.getfixturevalue("postgres").fresh(f"second_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    database = await open_database(second)
    yield database
    await database.close()


async def test_there_and_back(database: Database, target: Database, folder: Path, tmp_path: Path, clock: Clock) -> None:
    journal = await fill(database, folder, clock)
    file = await backup(database, folder)
    before = await rows(database)
    counts = await restore_backup(target, tmp_path / "other", io.BytesIO(file), force=False)
    assert (counts["generations"], counts["journal"]) == (1200, 2)
    after = await rows(target)
    for name in before.keys() - {"generations", "key_spend"}:
        assert after[name] == before[name], name
    assert len(after["generations"]) == 1202
    assert set(before["generations"]) <= set(after["generations"])
    store = GenerationStore(target, clock)
    assert await store.find("gen-1201") == generation(1201)
    assert await store.spend_by_key() == {"k": 3 * 1202}
    async with target.read() as connection:
        assert await connection.scalar(select(func.sum(KEY_SPEND.c.requests))) == 1202
    replay = await IdempotencyStore(target).begin(Entry("key", "order-1", "gen-9"), "aa", NOW)
    assert isinstance(replay, Replay)
    assert replay.body == b"\x00\xff{}"
    # The backup's own journal is still there; nothing is counted twice when it is flushed into the copy.
    await Flusher(target, journal).flush()
    assert await store.spend_by_key() == {"k": 3 * 1202}
    journal.close()


async def test_what_is_there_is_kept_unless_forced(
    database: Database, target: Database, folder: Path, tmp_path: Path, clock: Clock
) -> None:
    (await fill(database, folder, clock)).close()
    file = await backup(database, folder)
    await KeyRing(target, clock).create("kept")
    other = tmp_path / "other"
    before = await rows(target)
    with pytest.raises(BackupError, match="not empty; --force"):
        await restore_backup(target, other, io.BytesIO(file), force=False)
    assert await rows(target) == before
    await restore_backup(target, other, io.BytesIO(file), force=True)
    ring = KeyRing(target, clock)
    await ring.load()
    assert [key.name for key in ring.list()] == ["dev"]


async def test_records_that_wait_at_the_target_are_set_aside(
    database: Database, target: Database, folder: Path, tmp_path: Path, clock: Clock
) -> None:
    (await fill(database, folder, clock)).close()
    file = await backup(database, folder)
    waiting = FileJournal(tmp_path / "other")
    waiting.open()
    waiting.append(generation(5000))
    with pytest.raises(BackupError, match="a gateway is running"):
        await restore_backup(target, waiting.folder, io.BytesIO(file), force=True)
    waiting.close()
    with pytest.raises(BackupError, match="not empty; --force"):
        await restore_backup(target, waiting.folder, io.BytesIO(file), force=False)
    await restore_backup(target, waiting.folder, io.BytesIO(file), force=True)
    journal = FileJournal(waiting.folder)
    journal.open()
    assert await Flusher(target, journal).replay() == 0
    journal.close()
    assert [path.suffix for path in waiting.folder.iterdir()] == [".replaced"]


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
async def test_a_file_that_was_cut_changes_nothing(
    kept: float, database: Database, folder: Path, tmp_path: Path, clock: Clock
) -> None:
    (await fill(database, folder, clock)).close()
    file = await backup(database, folder)
    before = await rows(database)
    whole = gzip.decompress(file)
    lines = whole.splitlines(keepends=True)
    cut = [
        file[: int(len(file) * kept)],
        gzip.compress(whole[: int(len(whole) * kept)]),
        gzip.compress(b"".join(lines[: max(int(len(lines) * kept), 1)])),
        gzip.compress(b"".join([*lines[:5], *lines[6:]])),
        b"not a backup",
    ]
    for each in cut:
        with pytest.raises(BackupError, match=r"whole backup|something else"):
            await restore_backup(database, tmp_path / "other", io.BytesIO(each), force=True)
        assert await rows(database) == before


async def test_older_and_newer_backups(database: Database, folder: Path, tmp_path: Path, clock: Clock) -> None:
    (await fill(database, folder, clock)).close()
    head, *lines = gzip.decompress(await backup(database, folder)).splitlines(keepends=True)
    fields = msgspec.json.decode(head)

    async def restore(revision: str, tables: Any, rows: list[bytes]) -> None:
        first = msgspec.json.encode({**fields, "revision": revision, "tables": tables}) + b"\n"
        file = io.BytesIO(gzip.compress(b"".join([first, *rows])))
        await restore_backup(database, tmp_path / "other", file, force=True)

    with pytest.raises(BackupError, match="newer"):
        await restore("9999", fields["tables"], lines)
    with pytest.raises(BackupError, match="columns of keys"):
        await restore(HEAD, {**fields["tables"], "keys": [*fields["tables"]["keys"], "x"]}, lines)
    # Before presets had owners.
    at = fields["tables"]["presets"].index("owner")
    tables = {**fields["tables"], "presets": [name for name in fields["tables"]["presets"] if name != "owner"]}
    older: list[bytes] = []
    for line in lines:
        row = msgspec.json.decode(line)
        if isinstance(row, list) and row[0] == "presets":
            del row[1 + at]
        older.append(msgspec.json.encode(row) + b"\n")
    await restore("0003", tables, older)
    presets = PresetStore(database, clock)
    await presets.refresh()
    assert {preset.owner for preset in presets.list()} == {""}
    assert {preset.slug for preset in presets.list()} == {"mine", "ours"}


async def test_another_connection_to_postgresql_is_a_running_gateway(
    postgres_url: str, folder: Path, tmp_path: Path, clock: Clock
) -> None:
    database, gateway = await open_database(postgres_url), await open_database(postgres_url)
    (await fill(database, folder, clock)).close()
    file = await backup(database, folder)
    with pytest.raises(BackupError, match="another process is connected"):
        await restore_backup(database, tmp_path / "other", io.BytesIO(file), force=True)
    await gateway.close()
    await database.close()
