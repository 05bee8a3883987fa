"""The usage journal: finished generations on the local disk, from the end of a response until the database has them.

A folder contains segments: files with one JSON record per line. Each process writes its own segments, and holds an
exclusive `flock` on each while it lives. So another process can tell a living process's segment from a dead one's.

A killed process neither loses nor duplicates a record:

- killed before `append` has written: the client has not seen the end of its response;
- killed after that, before the database has the record: the next start finds the unlocked segment and inserts it;
- killed after the database has it, before the segment is deleted: the next start inserts it again, which changes
  nothing, because the id exists, and spending is counted only for new rows.

- killed while the provider was being asked: there is an intent (`storage.intents`), of which the next start makes a
  record.

A last line without its end was never acknowledged to a client, so it is ignored. A power cut can lose the records of
the last second: `Flusher` moves records to the database (durable when committed) every 100 ms, and syncs the segments
every second while the database is behind.

At most `MAX_PENDING` records are in memory. When the database is down for long, further records are on disk only, and
their segment is read back after the others are stored.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from trunkline.model.money import MAX_PICO, Pico
from trunkline.model.record import GenerationRecord
from trunkline.storage.intents import SUFFIX as INTENTS
from trunkline.storage.intents import IntentFile, owner_of

ROTATE_BYTES: Final = 8 * 2**20
"""Size at which a new segment begins: about ten thousand records, read back in well under a second."""

MAX_PENDING: Final = 50_000
"""Records in memory while the database is behind: about 100 MB, a minute at 800 records per second."""

SUFFIX: Final = ".journal"

Row: TypeAlias = tuple[str, float, str, str, str | None, str, int, int, int, str]
"""A row of the table `generations`, in the order of its columns; the last is the record as JSON."""
CREATED: Final = 1
KEY: Final = 2
COST: Final = 6
DATA: Final = 9
"""Indexes of columns in a row."""

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(GenerationRecord)

PROBE = b"\n" * 4096
"""What `probe` writes and removes: a page, and no record should it stay."""


class Segment:
    """One file of this process, open and locked.

    `rows` are the records that the database does not have yet, by id, as rows of its table. `spilled` counts the
    records that are on disk only, and `spilled_cost` is their cost by key id.
    """

    __slots__ = ("fd", "path", "rows", "size", "spilled", "spilled_cost")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.size = 0
        self.rows: dict[str, Row] = {}
        self.spilled = 0
        self.spilled_cost: dict[str, Pico] = {}


class FileJournal:
    """The journal of one process (port `Journal`). Open it before, and close it after, everything that appends.

    `healthy` is False after a write failed, until one succeeds. `probe` makes such a write without a record.
    """

    def __init__(self, folder: Path, *, rotate_bytes: int = ROTATE_BYTES, max_pending: int = MAX_PENDING) -> None:
        self.folder = folder
        self.healthy = True
        self.pending = 0
        """Records in memory."""
        self.on_pending = _ignore
        """Called when a record arrives and no other is waiting."""
        self._rotate_bytes = rotate_bytes
        self._max_pending = max_pending
        self._segments: list[Segment] = []
        self._current: Segment | None = None
        self.owner = secrets.token_hex(8)
        """The name of this process, which its segments have in theirs."""
        self._torn = False
        self._intents = IntentFile(folder / f"{os.getpid()}-{self.owner}{INTENTS}")
        self._put: list[tuple[Row, bytes]] = []

    def open(self) -> None:
        """Create the folder (mode 0700) and the first segment.

        Raises:
            OSError: they cannot be created.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rotate()

    def close(self) -> None:
        """Close the segments. Empty ones are deleted, the others are for the next start."""
        for segment in self._segments:
            if not segment.rows and not segment.spilled:
                segment.path.unlink(missing_ok=True)
            os.close(segment.fd)
        self._segments.clear()
        self._current = None
        self._intents.close()

    def begin(self, intent: bytes) -> int:
        """As `Journal.begin`."""
        return self._intents.begin(intent)

    def end(self, intent: int) -> None:
        """As `Journal.end`."""
        self._intents.end(intent)

    def append(self, generation: GenerationRecord) -> None:
        """Write *generation*, so that it survives a killed process. A record with the id of a waiting one is dropped.

        Raises:
            OSError: the disk is full or gone. The record stays in memory. The database gets it if this process lives
                until then.
        """
        segment = self._current
        assert segment is not None, "append before open or after close"
        if generation.id in segment.rows:
            return
        data = _encode(generation)
        failure = self._append(segment, [(_row(generation, data), data)])
        if failure is not None:
            raise failure

    def put(self, generation: GenerationRecord) -> None:
        """As `Journal.put`. The id of *generation* must be new."""
        data = _encode(generation)
        self._put.append((_row(generation, data), data))

    def write(self) -> OSError | None:
        """As `Journal.write`. Records that could not be written stay in memory, as with `append`."""
        segment = self._current
        assert segment is not None, "write before open or after close"
        put, self._put = self._put, []
        return self._append(segment, put)

    def probe(self) -> None:
        """Check that records can be written, to be called every second: make room known again after a full disk.

        A journal that failed writes a few bytes and removes them. A segment whose file was deleted is replaced by a new
        one, since what is written to it would be lost at a restart.
        """
        segment = self._current
        if segment is None:
            return
        if not segment.path.exists():
            _log.error("the journal's file %s was deleted; a new one is made", segment.path)
            self.healthy = False
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._rotate()
            except OSError as error:
                _log.error("the journal cannot be written: %s", error.strerror)
                return
        segment = self._current
        if segment is not None and not self.healthy:
            try:
                written = os.write(segment.fd, PROBE)
            except OSError:
                written = 0
            self._torn = not _truncate(segment)
            self.healthy = written == len(PROBE)

    def _append(self, segment: Segment, records: list[tuple[Row, bytes]]) -> OSError | None:
        lines = [data for _, data in records]
        lines.append(b"")
        failure = self._store(segment, b"\n".join(lines))
        idle = not self.pending
        if self.pending + len(records) <= self._max_pending:
            segment.rows.update([(row[0], row) for row, _ in records])
            self.pending += len(records)
        else:
            self._keep_within_bound(segment, records, on_disk=failure is None)
        if idle and self.pending:
            self.on_pending()
        if failure is None and segment.size >= self._rotate_bytes:
            self._try_rotate()
        return failure

    def _keep_within_bound(self, segment: Segment, records: list[tuple[Row, bytes]], *, on_disk: bool) -> None:
        """Keep *records* in memory up to the bound. Of the others, if they are *on_disk*, keep the sum of the cost."""
        for row, _ in records:
            if self.pending < self._max_pending:
                segment.rows[row[0]] = row
                self.pending += 1
            elif on_disk:
                segment.spilled += 1
                spent = segment.spilled_cost
                spent[row[KEY]] = spent.get(row[KEY], 0) + row[COST]

    @property
    def unflushed(self) -> dict[str, Pico]:
        """Cost in pico-dollars, by key id, of the records that are not known to be in the database. Zeros are left out.

        It is computed here, which is rare, and not with every record.
        """
        sums: dict[str, Pico] = {}
        for segment in self._segments:
            for key_id, amount in segment.spilled_cost.items():
                sums[key_id] = sums.get(key_id, 0) + amount
            for row in segment.rows.values():
                sums[row[KEY]] = sums.get(row[KEY], 0) + row[COST]
        return {key_id: amount for key_id, amount in sums.items() if amount}

    def find(self, generation_id: str) -> GenerationRecord | None:
        """Return the record if it is in memory, else None."""
        for segment in self._segments:
            found = segment.rows.get(generation_id)
            if found is not None:
                return _decoder.decode(found[DATA])
        return None

    def of_key(self, key_id: str) -> Iterator[tuple[float, Pico]]:
        """Yield the creation time (Unix seconds) and the cost of each record of the key in memory."""
        return (
            (row[CREATED], row[COST])
            for segment in self._segments
            for row in segment.rows.values()
            if row[KEY] == key_id
        )

    def batch(self, limit: int) -> list[Row]:
        """Return up to *limit* of the oldest records in memory, all of one segment."""
        for segment in self._segments:
            if segment.rows:
                return list(islice(segment.rows.values(), limit))
        return []

    def stored(self, rows: list[Row]) -> None:
        """Forget *rows*, which the database has stored durably. Delete their segment if it has no others."""
        for segment in self._segments:
            if rows[0][0] in segment.rows:
                break
        else:
            return
        for row in rows:
            del segment.rows[row[0]]
        self.pending -= len(rows)
        if segment.spilled:
            if segment is self._current:
                # New records must go to another segment, so that this one can be emptied and read back.
                self._try_rotate()
        elif not segment.rows:
            self._discard(segment)

    def spilled(self) -> Segment | None:
        """Return a segment to read back, or None. None of its records is in memory, and it gets no more.

        Raises:
            OSError: it is the current segment, and no new one can be created.
        """
        for segment in self._segments:
            if segment.spilled and not segment.rows:
                if segment is self._current:
                    self._rotate()
                return segment
        return None

    def recovered(self, segment: Segment) -> None:
        """Delete *segment*, which `spilled` returned and of which the database has every record."""
        segment.spilled_cost.clear()
        segment.spilled = 0
        self._discard(segment)

    def unsynced(self) -> list[int]:
        """Return duplicated file descriptors of segments with unflushed records, and of the intents.

        The caller closes them.
        """
        handles = [os.dup(segment.fd) for segment in self._segments if segment.rows or segment.spilled]
        intents = self._intents.handle()
        return handles if intents is None else [*handles, intents]

    def paths(self) -> frozenset[Path]:
        """Return the paths of this process's segments."""
        return frozenset(segment.path for segment in self._segments)

    def _store(self, segment: Segment, line: bytes) -> OSError | None:
        """Append *line* (or several) to the segment. Return the error, or None."""
        size = len(line)
        if self._torn:
            # An incomplete line of a failed write must not become part of this one.
            line = b"\n" + line
            size += 1
        try:
            written = os.write(segment.fd, line)
            while written < size:
                written += os.write(segment.fd, line[written:])
        except OSError as error:
            self.healthy = False
            self._torn = not _truncate(segment)
            return error
        segment.size += size
        self.healthy, self._torn = True, False
        return None

    def _rotate(self) -> None:
        segment = _new_segment(self.folder, self.owner)
        self._segments.append(segment)
        before, self._current = self._current, segment
        if before is not None and not before.rows and not before.spilled:
            self._discard(before)

    def _try_rotate(self) -> None:
        try:
            self._rotate()
        except OSError as error:
            # The current segment can grow. The next record tries again.
            _log.warning("cannot begin a new journal segment: %s", error.strerror)

    def _discard(self, segment: Segment) -> None:
        """Delete *segment*; if it is the current one, empty it."""
        try:
            if segment is self._current:
                os.ftruncate(segment.fd, 0)
                segment.size, self._torn = 0, False
                return
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            # Records that a later start reads again have known ids.
            _log.warning("cannot clear the journal segment %s: %s", segment.path.name, error.strerror)
            if segment is self._current:
                return
        self._segments.remove(segment)
        os.close(segment.fd)


class AbandonedSegment:
    """A segment of a dead process, locked by us. `claim` makes one."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @property
    def owner(self) -> str:
        """The name of the process that wrote it; empty where an older version did."""
        return owner_of(self.path) if self.path.name.count("-") == 2 else ""

    def finish(self, *, readable: bool) -> None:
        """Delete the segment, or rename it to `.bad` where some of it could not be read. Unlock it in any case.

        Raises:
            OSError: it could not be deleted or renamed.
        """
        try:
            if readable:
                self.path.unlink(missing_ok=True)
            else:
                self.path.rename(self.path.with_name(f"{self.path.name}.bad"))
        finally:
            self.release()

    def release(self) -> None:
        """Unlock the segment without a change, for another try."""
        os.close(self._fd)


def claim(folder: Path, own: frozenset[Path]) -> Iterator[AbandonedSegment]:
    """Yield the segments in *folder* that no living process has locked, except *own*."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path in own:
            continue
        try:
            fd = os.open(path, os.O_RDWR)
        except OSError as error:
            _log.warning("cannot open the journal segment %s: %s", path.name, error.strerror)
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)  # its process lives
            continue
        if os.fstat(fd).st_nlink:
            yield AbandonedSegment(path, fd)
        else:
            os.close(fd)  # another process has replayed and deleted it meanwhile


def read_rows(path: Path, limit: int) -> Iterator[tuple[list[Row], int]]:
    """Yield the records of a segment, up to *limit* at a time, with the number of lines so far that are not records.

    A last line without its end is not counted: the kill cut it, and no client saw it acknowledged.
    """
    rows: list[Row] = []
    unreadable = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                rows.append(parse_row(line.rstrip(b"\n")))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                unreadable += line.endswith(b"\n") and line != b"\n"
            if len(rows) >= limit:
                yield rows, unreadable
                rows = []
    yield rows, unreadable


def parse_row(data: bytes) -> Row:
    """Return the row of a record, given as JSON.

    Raises:
        MsgspecError, UnicodeDecodeError: *data* is not a record.
    """
    return _row(_decoder.decode(data), data)


def journal_folder(url: str) -> Path:
    """The folder of the usage journal: beside a database file, otherwise `data/journal`."""
    _, slashes, path = url.partition(":///")
    return (Path(path).parent if slashes and path and url.startswith("sqlite") else Path("data")) / "journal"


def _new_segment(folder: Path, owner: str) -> Segment:
    """Create a segment and lock it."""
    while True:
        path = folder / f"{os.getpid()}-{owner}-{secrets.token_hex(4)}{SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)  # before we had the lock, a starting process took the file for an abandoned one
            continue
        if os.fstat(fd).st_nlink:
            try:
                _sync_folder(folder)
            except OSError:
                os.close(fd)
                raise
            return Segment(path, fd)
        os.close(fd)


def _truncate(segment: Segment) -> bool:
    """Remove the incomplete line of a failed write. Return whether that worked."""
    try:
        os.ftruncate(segment.fd, segment.size)
    except OSError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Sync *folder*, so that the names of its files survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _encode(generation: GenerationRecord) -> bytes:
    try:
        return _encoder.encode(generation)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError):
        # A lone surrogate in a client's header or a provider's field must not prevent the record.
        return _encoder.encode(msgspec.convert(_encodable(msgspec.to_builtins(generation)), GenerationRecord))


def _encodable(value: object) -> object:
    """Return *value* with characters that UTF-8 cannot encode replaced by question marks."""
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case dict():
            return {_encodable(name): _encodable(item) for name, item in value.items()}
        case list() | tuple():
            return [_encodable(item) for item in value]
        case _:
            return value


def row_of(generation: GenerationRecord) -> Row:
    """Return *generation* as a row of its table."""
    return _row(generation, _encode(generation))


def _row(generation: GenerationRecord, data: bytes) -> Row:
    usage = generation.usage
    return (
        generation.id,
        generation.created,
        generation.key_id,
        _column(generation.model),
        generation.provider,
        generation.status,
        min(generation.cost, MAX_PICO),
        min(usage.prompt, MAX_PICO),
        min(usage.completion, MAX_PICO),
        data.decode(),
    )


def _column(value: str) -> str:
    """Return *value*, which may come from a client, as text that both databases accept."""
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "").encode(errors="replace").decode()


def _ignore() -> None:
    """Ignore the event."""
