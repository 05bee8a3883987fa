"""Opening databases, and their schema."""

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, insert, select, text

from trunkline.ports import Clock
from trunkline.storage import Database, DatabaseUnusable, PresetStore, migrations, open_database
from trunkline.storage.database import HEAD, create_schema, migrate
from trunkline.storage.tables import COUNTERS, METADATA


async def test_sqlite_is_set_up(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a b%.db"
    database = await open_database(f"sqlite:///{path}")
    async with database.read() as connection:
        pragmas = {
            name: await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    await database.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 4500, "foreign_keys": 1}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def differences(connection: Connection) -> object:
    """What the schema has other than the tables that are declared."""
    return compare_metadata(MigrationContext.configure(connection), METADATA)


async def test_the_tables_are_what_is_declared(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_schema_that_migrations_make_is_the_declared_one(url: str) -> None:
    database = await open_database(url)
    async with database.write() as connection:
        await connection.run_sync(METADATA.drop_all)
        await connection.execute(text("DROP TABLE alembic_version"))
        await connection.run_sync(migrate)
        assert await connection.run_sync(differences) == []
    await database.close()


def test_a_new_schema_is_what_migrations_make() -> None:
    """To the word, in SQLite; and the tables that are declared are the ones that migrations make."""
    schemas: list[set[str]] = []
    for make in (create_schema, migrate):
        engine = create_engine("sqlite://")
        with engine.begin() as connection:
            make(connection)
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
            schemas.append(set(connection.scalars(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))))
            assert connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
        engine.dispose()
    assert schemas[0] == schemas[1]


async def test_an_older_schema_is_upgraded(url: str) -> None:
    database = await open_database(url)
    async with database.write() as connection:
        for name in ("presets", "preset_versions", "key_budget_leases"):
            await connection.execute(text(f"DROP TABLE {name}"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
        await connection.execute(insert(COUNTERS).values(name="kept", value=1))
    await database.close()
    database = await open_database(url)
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
        assert await connection.scalar(text("SELECT count(*) FROM presets")) == 0
        assert await connection.scalar(select(COUNTERS.c.value).where(COUNTERS.c.name == "kept")) == 1
    await database.close()


async def test_presets_that_exist_become_shared(url: str, clock: Clock) -> None:
    database = await open_database(url)
    made = await PresetStore(database, clock).put("mine", {}, "Be brief.", "dev")
    async with database.write() as connection:
        await connection.execute(text("DROP INDEX presets_by_owner"))
        await connection.execute(text("ALTER TABLE presets DROP COLUMN owner"))
        await connection.execute(text("CREATE UNIQUE INDEX presets_by_slug ON presets (slug)"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    await database.close()
    database = await open_database(url)
    store = PresetStore(database, clock)
    await store.refresh()
    for key in ("one", "two"):
        found = store.find("mine", key)
        assert found is not None
        assert (found.id, found.owner, found.version.system) == (made.id, "", "Be brief.")
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


@pytest.mark.parametrize("starts", [1, 2], ids=["new", "up to date"])
async def test_a_start_with_sqlite_imports_nothing_of_other_databases(tmp_path: Path, starts: int) -> None:
    url = f"sqlite:///{tmp_path}/one.db"
    for _ in range(starts - 1):
        await (await open_database(url)).close()
    code = (
        "import asyncio, sys, trunkline.app\n"
        "from trunkline.storage import open_database\n"
        "async def main():\n    await (await open_database(sys.argv[1])).close()\n"
        "asyncio.run(main())\n"
        "names = ('alembic', 'mako', 'asyncpg', 'redis', 'sqlalchemy.dialects.postgresql')\n"
        "sys.exit(','.join(name for name in names if name in sys.modules))"
    )
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", code, url, stderr=asyncio.subprocess.PIPE)
    _, found = await started.communicate()
    assert found.decode().strip() == ""


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_opening_again_keeps_what_is_there(url: str) -> None:
    for count in range(3):
        database = await open_database(url)
        async with database.write() as connection:
            await connection.execute(insert(COUNTERS).values(name=str(count), value=1))
            assert len((await connection.execute(select(COUNTERS))).all()) == count + 1
        await database.close()


async def test_many_processes_open_at_once(url: str) -> None:
    code = (
        "import asyncio, sys\n"
        "from trunkline.storage import open_database\n"
        "async def main():\n    await (await open_database(sys.argv[1])).close()\n"
        "asyncio.run(main())"
    )
    started = [await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", code, url) for _ in range(4)]
    assert [await process.wait() for process in started] == [0, 0, 0, 0]


async def test_a_newer_schema_is_refused(url: str) -> None:
    database = await open_database(url)
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(DatabaseUnusable, match="newer Trunkline"):
        await open_database(url)


async def test_no_database_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatabaseUnusable, match=r"cannot write the database file .*file/x\.db"):
        await open_database(f"sqlite:///{tmp_path}/file/x.db")
    with pytest.raises(DatabaseUnusable, match="Is a directory"):
        await open_database(f"sqlite:///{tmp_path}")
    (tmp_path / "file").write_text("not a database, and long enough to be seen as such" * 50)
    with pytest.raises(DatabaseUnusable, match="file is not a database"):
        await open_database(f"sqlite:///{tmp_path}/file")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("mysql://root:hunter2@host/x", "'mysql' is neither"),
        ("hunter2", "not a database URL"),
    ],
)
async def test_urls_that_are_none(url: str, says: str) -> None:
    with pytest.raises(DatabaseUnusable, match=says) as caught:
        await open_database(url)
    assert "hunter2" not in str(caught.value)


async def test_postgres_without_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DatabaseUnusable, match=r"pip install 'trunkline\[postgres\]'"):
        await open_database("postgresql://u:hunter2@host/db")
