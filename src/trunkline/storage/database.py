"""The database of keys, presets and finished generations. SQLite by default, PostgreSQL for more than one replica.

SQLite runs with a write-ahead log, so readers and the one writer do not wait for each other. It runs with
`synchronous=FULL`, so a committed transaction survives a power cut. That costs one `fsync` per commit. Commits are
batches, at most some ten a second (`storage.flusher`), off the event loop. With NORMAL, a record could be missing from
the database after its copy in the journal was deleted.

Every write transaction takes the write lock when it begins (`BEGIN IMMEDIATE`). Otherwise it could fail half-way, when
it changes from reading to writing while another one writes.

A start imports what its database needs and nothing else: the dialect and the driver of the other database, and Alembic
unless an older schema is upgraded, stay out.
"""

import asyncio
import fcntl
import importlib.util
import logging
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from trunkline.model.errors import DatabaseUnavailable
from trunkline.storage.availability import Outage, is_away
from trunkline.storage.tables import METADATA
from trunkline.storage.time_limit import MARGIN_S, TimeLimit

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

HEAD: Final = "0005"
"""Revision of the newest migration, a test compares it with the folder. It is a constant so that a start with an
up-to-date or a new database does not import Alembic, which takes 100 ms or more."""

TIMEOUT_S: Final = 5.0
"""Default of `storage.timeout_s`: seconds for one use of the database."""
OPEN_S: Final = 5.0
"""Seconds for the first use of the database, at a start or in a command."""
MIGRATE_S: Final = 600.0
"""Seconds for an upgrade of the schema, also where another process is at it."""
RETRY_AFTER_S: Final = 5.0
"""Seconds after which a client is told to try again."""

_POSTGRES_LOCK: Final = 0x7472_756E_6B6C
"""Key of the advisory lock under which PostgreSQL is migrated: `trunkl`."""

_COMMON: Final[dict[str, Any]] = {"hide_parameters": True, "max_overflow": 0}
"""Arguments of every engine. The text of an error must not show the values that were to be stored."""

_POOL: Final[dict[str, Any]] = _COMMON | {"pool_size": 4}

_REVISION = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table, as Alembic makes it."""

logger = logging.getLogger(__name__)


class DatabaseUnusable(Exception):
    """The configured database cannot be used. The message is one line and says what to do."""


class DatabaseUnreachable(DatabaseUnusable):
    """The database cannot be used now; the configuration may be right."""


class Database:
    """An open database with the newest schema. `open_database` opens it, and its caller closes it.

    Safe to use from many tasks of one event loop.
    """

    def __init__(self, url: URL, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._limit = TimeLimit()
        self._connections: WeakSet[Any] = WeakSet()
        """Of asyncpg: what is open when the database is closed."""
        self.engine = self._postgresql(url) if url.get_backend_name() == "postgresql" else _sqlite(url, timeout_s)
        self.bulk = _bulk(url, timeout_s)
        """For large batches, written from one thread: with SQLite, each `await` of `write` is a hop to another thread.

        None with PostgreSQL: use `write`.
        """
        self.dialect: str = self.engine.dialect.name
        """`sqlite` or `postgresql`."""
        self.outage = Outage()
        self.writer = self.engine.execution_options(trunkline_begin="BEGIN IMMEDIATE")

    @property
    def failing(self) -> bool:
        """Whether the last use of the database failed."""
        return self.outage.lasts

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Return a connection for reading. Its view of the data does not change while it is open.

        Raises:
            DatabaseUnavailable: as `limit`.
        """
        async with self.limit(), self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """Return a connection in a write transaction: committed when the block ends, rolled back when it raises.

        With SQLite it holds the write lock from its begin.

        Raises:
            DatabaseUnavailable: as `limit`.
        """
        async with self.limit(), self.writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def limit(self, limit_s: float | None = None) -> AsyncGenerator[None]:
        """Bound the time of the block, which uses the database and nothing else, and translate its errors.

        *limit_s* None means `storage.timeout_s`. Blocks can be nested.

        Raises:
            DatabaseUnavailable: the database cannot be reached, or did not do its work in time.
        """
        with self.translated():
            async with self._limit.block(self._timeout_s if limit_s is None else limit_s):
                yield

    @contextmanager
    def translated(self) -> Generator[None]:
        """As `limit`, without a bound."""
        try:
            yield
        except Exception as error:
            if not is_away(error):
                raise
            self.outage.failed()
            message = "the database does not answer at the moment"
            raise DatabaseUnavailable(message, retry_after_s=RETRY_AFTER_S) from error
        self.outage.worked()

    def _postgresql(self, url: URL) -> AsyncEngine:
        from trunkline.storage.asyncpg_connection import connection_class, guard_uses

        def opened(connection: Any) -> None:
            self._connections.add(connection)
            self._limit.guard(connection)

        arguments = {"connection_class": connection_class(opened)}
        engine = create_async_engine(url, connect_args=arguments, pool_timeout=self._timeout_s, **_POOL)
        guard_uses(engine, self._limit.guard)
        return engine

    async def close(self) -> None:
        """Close every connection, in bounded time: one that does not answer is cut."""
        try:
            async with asyncio.timeout(1.0):
                await self.engine.dispose()
        except TimeoutError:
            logger.warning("the connections to the database did not close in time and are cut")
        for connection in tuple(self._connections):
            connection.terminate()
        if self.bulk is not None:
            self.bulk.dispose()


async def open_database(url: str, timeout_s: float = TIMEOUT_S, *, create: bool = True) -> Database:
    """Open the database *url*, and upgrade the schema.

    Args:
        url: `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user:password@host/name`.
        timeout_s: seconds for one use of the database.
        create: create the file and its folder where they are missing.

    Raises:
        DatabaseUnusable: *url* is not such a URL, or the driver is not installed.
        DatabaseUnreachable: the database cannot be reached or written.
    """
    parsed = _parse(url)
    if not create and parsed.get_backend_name() == "sqlite" and not await asyncio.to_thread(_exists, parsed):
        raise DatabaseUnreachable(f"there is no database file {parsed.database}")
    # At level DEBUG, aiosqlite logs the arguments of its calls, which contain our rows.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    async with _opening_lock(parsed):
        database = Database(parsed, timeout_s)
        try:
            await _upgrade(database)
        except BaseException as error:
            await database.close()
            if isinstance(error, (DatabaseUnavailable, DBAPIError)):
                shown = parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=True)
                why = f"it did not answer within {OPEN_S:g} s" if _is_timeout(error) else reason(error)
                raise DatabaseUnreachable(f"cannot use the database {shown}: {why}") from error
            raise
    return database


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error.__cause__, TimeoutError)


def _exists(url: URL) -> bool:
    return Path(url.database or "").exists()


def reason(error: BaseException) -> str:
    """Why the database cannot be used, in one line: what the driver says."""
    cause = error.__cause__ if isinstance(error, DatabaseUnavailable) and error.__cause__ is not None else error
    if isinstance(cause, DBAPIError):
        cause = getattr(cause.orig, "__cause__", None) or cause.orig or cause
    if isinstance(cause, TimeoutError):
        return "it did not answer in time"
    return " ".join(str(cause).split()) or type(cause).__name__


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The URL may contain a password.
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


def _sqlite(url: URL, timeout_s: float) -> AsyncEngine:
    engine = create_async_engine(url, connect_args=_sqlite_args(timeout_s), pool_timeout=timeout_s, **_POOL)
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _bulk(url: URL, timeout_s: float) -> Engine | None:
    if url.get_backend_name() != "sqlite":
        return None
    engine = create_engine(url.set(drivername="sqlite"), connect_args=_sqlite_args(timeout_s), pool_size=1, **_COMMON)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _begin)
    return engine.execution_options(trunkline_begin="BEGIN IMMEDIATE")


def _sqlite_args(timeout_s: float) -> dict[str, Any]:
    # SQLite waits for another process's write, and says that it is locked before the time of the use is over. With
    # isolation_level None the driver begins no transactions. `_begin` does.
    return {"timeout": max(timeout_s - 2 * MARGIN_S, timeout_s / 4), "isolation_level": None}


def _on_connect(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # stored in the file: only the first connection has work to do
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    # 16 MB instead of 4: pages that every batch changes are copied to the database a quarter as often.
    cursor.execute("PRAGMA wal_autocheckpoint=4000")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("trunkline_begin", "BEGIN"))


async def _upgrade(database: Database) -> None:
    """Bring the schema to revision `HEAD`."""
    async with database.limit(OPEN_S), database.engine.connect() as connection:
        revision = await connection.run_sync(_revision)
    if revision != HEAD:
        async with database.limit(MIGRATE_S), database.writer.begin() as connection:
            await connection.run_sync(_create_or_migrate)


def _revision(connection: Connection) -> str | None:
    """Return the schema's revision; None where there is no schema yet."""
    if not connection.dialect.has_table(connection, _REVISION.name):
        return None
    return connection.scalar(select(_REVISION.c.version_num))


def _create_or_migrate(connection: Connection) -> None:
    """Create the schema, or upgrade it, in the caller's transaction: a killed process leaves the old schema."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
    if not connection.dialect.has_table(connection, _REVISION.name):
        create_schema(connection)
    elif _revision(connection) != HEAD:  # another process may have upgraded it before we had the lock
        migrate(connection)


def create_schema(connection: Connection) -> None:
    """Create the newest schema in an empty database. It is what `migrate` makes; a test compares the two."""
    METADATA.create_all(connection, checkfirst=False)
    _REVISION.metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(_REVISION).values(version_num=HEAD))


def migrate(connection: Connection) -> None:
    """Run the missing migrations in the caller's transaction.

    Raises:
        DatabaseUnusable: the schema's revision is not known.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseUnusable(f"the database was written by a newer Trunkline: {error}") from error


@asynccontextmanager
async def _opening_lock(url: URL) -> AsyncGenerator[None]:
    """Hold the lock file of a SQLite database, so that one of several starting processes creates the schema.

    SQLite's own lock is not enough: switching the write-ahead log on does not wait for it.

    Raises:
        DatabaseUnreachable: the folder or the file cannot be created or written.
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
    """Create the folder and the file of the database at *path* where missing. Return the locked lock's descriptor."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # We create the file for its mode: it contains who spent how much.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DatabaseUnreachable(f"cannot write the database file {path}: {error.strerror}") from error
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def upsert(dialect: str, into: Table) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT into *into* that can define what a conflict does.

    *dialect* is `Database.dialect`. Both databases have the same syntax, and SQLAlchemy has no common type for it.
    """
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(into)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(into)
