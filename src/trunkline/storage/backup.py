"""Backup of a database into a file, and restoration from it, for both databases.

The file is gzipped lines of JSON: a head, one line per row (table and values in the order of the head's columns), the
records of the journal that the database did not have yet, and an end with the number of lines before it. A file without
its end is refused. The rows are read in one transaction, so they are of one moment, whatever a running gateway writes,
and with SQLite they include what is in the write-ahead log. A backup of SQLite can be restored into PostgreSQL and the
other way round.
"""

import base64
import fcntl
import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import msgspec
from sqlalchemy import LargeBinary, Table, delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from trunkline.storage.database import HEAD, Database
from trunkline.storage.insertion import Inserter
from trunkline.storage.journal import DATA, SUFFIX, Row, parse_row, read_rows
from trunkline.storage.tables import METADATA

FORMAT: Final = "trunkline-backup"
VERSION: Final = 1
LIMIT_S: Final = 24 * 3600.0
"""Seconds for a backup or a restoration; the database's usual limit is for requests."""
_ROWS: Final = 500
"""Rows that are read or written at once."""
_JOURNAL: Final = "journal"
_MISSING: Final[dict[tuple[str, str], Any]] = {("presets", "owner"): ""}
"""The values of columns that older backups lack, by table and column."""

_encoder = msgspec.json.Encoder()


class BackupError(Exception):
    """A backup cannot be made or restored. The message is one line and says why."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: what the file is, the revision of its schema, and the columns of each table."""

    format: str
    version: int
    revision: str
    created: float
    """Unix seconds."""
    tables: dict[str, list[str]]


class End(msgspec.Struct, frozen=True):
    """The last line: the number of lines before it."""

    lines: int


async def write_backup(database: Database, journal: Path, file: IO[bytes], now: float) -> dict[str, int]:
    """Write the database, and the records in the folder *journal*, to *file*. Return the number of rows by table.

    Raises:
        DatabaseUnavailable: the database is away.
        OSError: *file* or the journal cannot be written or read.
    """
    # Before the database is read: a record that the flusher moves meanwhile is in both, and none is in neither.
    waiting = list(_journal_rows(journal))
    tables = {str(table.name): [str(name) for name in table.c.keys()] for table in METADATA.sorted_tables}  # noqa: SIM118
    head = Head(format=FORMAT, version=VERSION, revision=HEAD, created=now, tables=tables)
    counts: dict[str, int] = {}
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, filename="") as out:
        _put(out, head)
        async with database.limit(LIMIT_S), database.engine.connect() as connection:
            if database.dialect == "postgresql":
                await connection.execution_options(isolation_level="REPEATABLE READ")
            for table in METADATA.sorted_tables:
                name = str(table.name)  # SQLAlchemy has a type of its own for it
                counts[name] = 0
                found = await connection.stream(select(table))
                async for rows in found.partitions(_ROWS):
                    for row in rows:
                        _put(out, (name, *row))  # bytes become Base64
                    counts[name] += len(rows)
        for record in waiting:
            _put(out, (_JOURNAL, record[DATA]))
        counts[_JOURNAL] = len(waiting)
        _put(out, End(1 + sum(counts.values())))
    return counts


async def restore_backup(database: Database, journal: Path, file: IO[bytes], *, force: bool) -> dict[str, int]:
    """Replace the content of *database* by that of *file*, in one transaction. Return the number of rows by table.

    Records that wait in the folder *journal* would be added to it at the next start, so they are set aside.

    Raises:
        BackupError: a gateway runs; the database or the journal has something in it, without *force*; *file* is not a
            whole backup, or of a newer version.
        DatabaseUnavailable: the database is away.
    """
    if _is_running(journal):
        raise BackupError("a gateway is running on this machine: stop it first")
    left = _left(journal)
    counts: dict[str, int] = {}
    async with database.limit(LIMIT_S), database.writer.begin() as connection:
        if database.dialect == "postgresql" and await _others(connection):
            raise BackupError("another process is connected to the database: stop every gateway first")
        if not force and (left or await _has_rows(connection)):
            raise BackupError("the database is not empty; --force replaces what is in it")
        for table in reversed(METADATA.sorted_tables):
            await connection.execute(delete(table))
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as lines:
                counts = await _restore(connection, database, lines)
        except (EOFError, gzip.BadGzipFile, zlib.error, msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            raise BackupError("the file is not a whole backup of Trunkline") from error
    for path in left:
        path.rename(path.with_name(f"{path.name}.replaced"))
    return counts


async def _restore(connection: AsyncConnection, database: Database, lines: Any) -> dict[str, int]:
    """Insert what *lines*, of a backup's file, have; the number of rows by table."""
    head = msgspec.json.decode(lines.readline(), type=Head)
    if head.format != FORMAT or head.version != VERSION or head.revision > HEAD:
        raise BackupError("the backup was made by a newer Trunkline, or by something else")
    columns = {name: _columns(METADATA.tables[name], found) for name, found in head.tables.items()}
    counts = dict.fromkeys([*head.tables, _JOURNAL], 0)
    batch: list[Any] = []
    name = ""
    inserter = Inserter(database)

    async def store() -> None:
        if batch and name == _JOURNAL:
            await inserter.insert_within(connection, [parse_row(data.encode()) for (data,) in batch])
        elif batch:
            table = METADATA.tables[name]
            values = [{key: fill(row) for key, fill in columns[name].items()} for row in batch]
            await connection.execute(insert(table), values)
        counts[name or _JOURNAL] += len(batch)
        batch.clear()

    for line in lines:
        found = msgspec.json.decode(line)
        if isinstance(found, dict):
            await store()
            if msgspec.convert(found, End).lines != 1 + sum(counts.values()) or lines.read(1):
                raise BackupError("the file is not a whole backup of Trunkline")
            return counts
        if found[0] != name or len(batch) >= _ROWS:
            await store()
            name = found[0]
        batch.append(found[1:])
    raise BackupError("the file is not a whole backup of Trunkline: its end is missing")


def _columns(table: Table, names: list[str]) -> dict[str, Any]:
    """For each column of *table*, the function that takes its value from a row with the columns *names*."""
    if set(names) - set(table.c.keys()):
        raise BackupError(f"the backup has columns of {table.name} that this version does not know")

    def fill(name: str) -> Any:
        if name not in names:
            value = _MISSING[table.name, name]
            return lambda _row: value
        at = names.index(name)
        if isinstance(table.c[name].type, LargeBinary):
            return lambda row: None if row[at] is None else base64.b64decode(row[at])
        return lambda row: row[at]

    return {name: fill(name) for name in list(table.c.keys())}


def _journal_rows(folder: Path) -> Iterator[Row]:
    """Yield the whole records of every segment in *folder*, of living processes too."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            for rows, _ in read_rows(path, _ROWS):
                yield from rows
        except FileNotFoundError:
            continue  # its records are in the database by now


def _is_running(journal: Path) -> bool:
    """Whether a living process holds a segment in the folder *journal*."""
    for path in journal.glob(f"*{SUFFIX}"):
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def _left(journal: Path) -> list[Path]:
    """Return the segments in the folder *journal* that are not empty."""
    return [path for path in journal.glob(f"*{SUFFIX}") if path.stat().st_size]


async def _others(connection: AsyncConnection) -> bool:
    """Whether somebody else is connected to PostgreSQL's database."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    return bool(await connection.scalar(text(query)))


async def _has_rows(connection: AsyncConnection) -> bool:
    for table in METADATA.sorted_tables:
        if await connection.scalar(select(func.count()).select_from(table)):
            return True
    return False


def _put(out: gzip.GzipFile, line: Any) -> None:
    out.write(_encoder.encode(line) + b"\n")
