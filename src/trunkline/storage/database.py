"""The database: where keys and finished generations are kept. SQLite by default, PostgreSQL for more than one replica.

SQLite runs with a write-ahead log, so readers and the one writer do not wait for each other, and with
`synchronous=FULL`: what was committed survives a power cut. That costs one `fsync` per commit, and commits are batches,
at most some ten a second (`storage.flusher`), off the event loop. With NORMAL, a record could be gone from the
database after its copy in the journal was given up.

Every write takes the write lock when it begins (`BEGIN IMMEDIATE`), so that it never fails half-way because a reader
became a writer too late.
"""

import asyncio
import fcntl
import importlib.util
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, column, create_engine, event, select, table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

HEAD: Final = "0003"
"""The newest migration; a test compares it with the folder. Known here so that a start without work need not import
Alembic, which takes 150 ms."""

BUSY_TIMEOUT_S: Final = 5.0
"""How long SQLite waits for another process's write before it says `database is locked`."""

_POSTGRES_LOCK: Final = 0x7472_756E_6B6C
"""Key of the advisory lock under which PostgreSQL is migrated: `trunkl`."""

_COMMON: Final[dict[str, Any]] = {"hide_parameters": True, "max_overflow": 0}
"""Of every engine. An error's text must not show what was to be stored."""

_VERSION = table("alembic_version", column("version_num"))


class DatabaseUnusable(Exception):
    """The database of the configuration cannot be used as it is. The message is one line and names what to do."""


class Database:
    """An open database, its schema the newest. Made by `open_database`; closed by whoever opened it.

    Safe to use from many tasks of one event loop.
    """

    def __init__(self, engine: AsyncEngine, bulk: Engine | None) -> None:
        self.engine = engine
        self.bulk = bulk
        """For writing much at once from a thread, where an `await` is a hop into one: SQLite's. None: use `write`."""
        self.dialect: str = engine.dialect.name
        """`sqlite` or `postgresql`."""
        self._writer = engine.execution_options(trunkline_begin="BEGIN IMMEDIATE")

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection to select with; what it sees does not change while it is open."""
        return self.engine.connect()

    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction, alone from its begin; committed when the block ends, rolled back when it raises."""
        return self._writer.begin()

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        if self.bulk is not None:
            self.bulk.dispose()


async def open_database(url: str) -> Database:
    """Open what *url* names, making the file and its folder where they are missing, and bring its schema up to date.

    *url* is `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user:password@host/name`.

    Raises:
        DatabaseUnusable: not such a URL, not to be reached, not writable, or the driver is not installed.
    """
    parsed = _parse(url)
    # At DEBUG, aiosqlite logs the arguments of its calls, which are our rows.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    async with _alone(parsed):
        database = Database(_engine(parsed), _bulk(parsed))
        try:
            await _prepare(database)
        except BaseException as error:
            await database.close()
            if isinstance(error, (DBAPIError, OSError)):
                reason = str(error.orig if isinstance(error, DBAPIError) else error)
                shown = parsed.render_as_string(hide_password=True)
                raise DatabaseUnusable(f"cannot use the database {shown}: {reason}") from error
            raise
    return database


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The text may hold a password.
        raise DatabaseUnusable("storage.url is not a database URL, such as sqlite:///data/trunkline.db") from None
    if parsed.drivername in ("sqlite", "sqlite+aiosqlite"):
        if not parsed.database or parsed.database == ":memory:":
            raise DatabaseUnusable("storage.url must name a file, such as sqlite:///data/trunkline.db")
        return parsed.set(drivername="sqlite+aiosqlite")
    if parsed.drivername in ("postgresql", "postgres", "postgresql+asyncpg"):
        if importlib.util.find_spec("asyncpg") is None:
            raise DatabaseUnusable("PostgreSQL needs a driver: pip install 'trunkline[postgres]'")
        return parsed.set(drivername="postgresql+asyncpg")
    raise DatabaseUnusable(f"storage.url: {parsed.drivername!r} is neither sqlite nor postgresql")


def _engine(url: URL) -> AsyncEngine:
    common: dict[str, Any] = _COMMON | {"pool_size": 4, "pool_timeout": BUSY_TIMEOUT_S}
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_pre_ping=True, **common)
    engine = create_async_engine(url, connect_args=_sqlite_args(), **common)
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _bulk(url: URL) -> Engine | None:
    if url.get_backend_name() != "sqlite":
        return None
    engine = create_engine(url.set(drivername="sqlite"), connect_args=_sqlite_args(), pool_size=1, **_COMMON)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _begin)
    return engine.execution_options(trunkline_begin="BEGIN IMMEDIATE")


def _sqlite_args() -> dict[str, Any]:
    # isolation_level None: the driver begins no transaction of its own, `_begin` does.
    return {"timeout": BUSY_TIMEOUT_S, "isolation_level": None}


def _on_connect(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # stays with the file: work for the first connection only
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    # 16 MB: pages that change with every batch, the ends of indexes, are copied to the database a quarter as often.
    cursor.execute("PRAGMA wal_autocheckpoint=4000")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("trunkline_begin", "BEGIN"))


async def _prepare(database: Database) -> None:
    """Bring the schema up to date."""
    async with database.read() as connection:
        version = await connection.run_sync(_version)
    if version != HEAD:
        async with database.write() as connection:
            await connection.run_sync(_migrate)


def _version(connection: Connection) -> str | None:
    """The schema's revision, None where there is no schema yet."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.scalar(select(_VERSION.c.version_num))


def _migrate(connection: Connection) -> None:
    """Run the steps that are missing, all in the caller's transaction: a killed upgrade leaves the old schema."""
    # Only the first start and an upgrade need these.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseUnusable(f"the database was written by a newer Trunkline: {error}") from error


@asynccontextmanager
async def _alone(url: URL) -> AsyncGenerator[None]:
    """Hold a SQLite database's lock file, so that of processes that start at once one makes the schema.

    SQLite's own lock does not do: switching the write-ahead log on does not wait for it.

    Raises:
        DatabaseUnusable: the folder or the file cannot be made or written.
    """
    if url.get_backend_name() != "sqlite":
        yield
        return
    path = Path(url.database or "")
    lock = await asyncio.to_thread(_lock_file, path)
    try:
        yield
    finally:
        os.close(lock)


def _lock_file(path: Path) -> int:
    """Make the folder and the file of the database at *path* where missing; the lock's file descriptor, locked."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The file is made by us for its mode: it holds what was spent, by whom.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DatabaseUnusable(f"cannot write the database file {path}: {error.strerror}") from error
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def upsert(dialect: str, into: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT into *into* that may say what a conflict does: *dialect* is `Database.dialect`.

    Both databases take the same words, and SQLAlchemy has no common type for them.
    """
    return postgresql.insert(into) if dialect == "postgresql" else sqlite.insert(into)
