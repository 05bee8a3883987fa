"""The usage journal: finished generations on the local disk, from the end of an answer until the database has them.

A directory holds segments, files of one JSON record per line. Each process writes segments of its own, and holds an
exclusive `flock` on each as long as it lives, which is how another process knows a living sibling's from a dead one's.

Why a killed process neither loses nor doubles a record:

- killed before `append` wrote: the client has not seen the end of its answer;
- killed after it, before the database has the record: the next start finds the segment without a lock and inserts it;
- killed after the database has it, before the segment is given up: the next start inserts it again, which does
  nothing, because records are told apart by their id, and spending is counted for rows really inserted.

A line that was cut short by the kill was never acknowledged; it is left out. A power cut can cost what was written
within the last second: `Flusher` moves records to the database (durable when committed) every 100 ms and syncs the
segments every second while the database is behind.

In memory are at most `MAX_PENDING` records. Beyond those, when the database is down for long, records are on disk
alone, and their segment is read back once the others are stored.
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

ROTATE_BYTES: Final = 8 * 2**20
"""Size at which a segment gets a successor; some ten thousand records, read back in well under a second."""

MAX_PENDING: Final = 50_000
"""Records kept in memory while the database is behind: about 100 MB, and a minute of 800 a second."""

SUFFIX: Final = ".journal"

Row: TypeAlias = tuple[str, float, str, str, str | None, str, int, int, int, str]
"""A row of the table `generations`, in the order of its columns; the last is the record as JSON."""
CREATED: Final = 1
KEY: Final = 2
COST: Final = 6
DATA: Final = 9
"""Where in a row those are."""

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(GenerationRecord)


class Segment:
    """One file of this process, open and locked.

    `rows` are its records that the database does not have, by id, as it will get them; `spilled` counts those that are
    on disk alone, and `spilled_cost` is what they cost by key id.
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
    """The journal of one process (port `Journal`). Opened before and closed after everything that appends.

    `healthy` is False after a write failed, until one succeeds.
    """

    def __init__(self, folder: Path, *, rotate_bytes: int = ROTATE_BYTES, max_pending: int = MAX_PENDING) -> None:
        self.folder = folder
        self.healthy = True
        self.pending = 0
        """Records in memory."""
        self.on_pending = _nothing
        """Called when a record arrives and none was waiting."""
        self._rotate_bytes = rotate_bytes
        self._max_pending = max_pending
        self._segments: list[Segment] = []
        self._current: Segment | None = None
        self._torn = False
        self._put: list[tuple[Row, bytes]] = []

    def open(self) -> None:
        """Make the folder (0700) and the first segment.

        Raises:
            OSError: they cannot be made.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rotate()

    def close(self) -> None:
        """Let the segments go: empty ones are deleted, the others left to the next start."""
        for segment in self._segments:
            if not segment.rows and not segment.spilled:
                segment.path.unlink(missing_ok=True)
            os.close(segment.fd)
        self._segments.clear()
        self._current = None

    def append(self, generation: GenerationRecord) -> None:
        """Make *generation* survive a killed process. A second record with a pending one's id is dropped.

        Raises:
            OSError: the disk is full or gone. The record is kept in memory and goes to the database all the same, as
                long as this process lives.
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
        """As `Journal.put`. Its id is new."""
        data = _encode(generation)
        self._put.append((_row(generation, data), data))

    def write(self) -> OSError | None:
        """As `Journal.write`. What could not be written is kept in memory, as `append` does."""
        segment = self._current
        assert segment is not None, "write before open or after close"
        put, self._put = self._put, []
        return self._append(segment, put)

    def _append(self, segment: Segment, records: list[tuple[Row, bytes]]) -> OSError | None:
        lines = [data for _, data in records]
        lines.append(b"")
        failure = self._store(segment, b"\n".join(lines))
        idle = not self.pending
        if self.pending + len(records) <= self._max_pending:
            segment.rows.update([(row[0], row) for row, _ in records])
            self.pending += len(records)
        else:
            self._keep_some(segment, records, on_disk=failure is None)
        if idle and self.pending:
            self.on_pending()
        if failure is None and segment.size >= self._rotate_bytes:
            self._rotate_or_go_on()
        return failure

    def _keep_some(self, segment: Segment, records: list[tuple[Row, bytes]], *, on_disk: bool) -> None:
        """Keep as many of *records* in memory as may be there; of the others, *on_disk*, what they cost."""
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
        """What records not known to be in the database cost, by key id, in pico-dollars; keys with none are left out.

        Summed up when asked, which is seldom: not with every record.
        """
        sums: dict[str, Pico] = {}
        for segment in self._segments:
            for key_id, amount in segment.spilled_cost.items():
                sums[key_id] = sums.get(key_id, 0) + amount
            for row in segment.rows.values():
                sums[row[KEY]] = sums.get(row[KEY], 0) + row[COST]
        return {key_id: amount for key_id, amount in sums.items() if amount}

    def find(self, generation_id: str) -> GenerationRecord | None:
        """The record among those in memory, or None."""
        for segment in self._segments:
            found = segment.rows.get(generation_id)
            if found is not None:
                return _decoder.decode(found[DATA])
        return None

    def of_key(self, key_id: str) -> Iterator[tuple[float, Pico]]:
        """When each of the key's records in memory was created, and what it cost."""
        return (
            (row[CREATED], row[COST])
            for segment in self._segments
            for row in segment.rows.values()
            if row[KEY] == key_id
        )

    def batch(self, limit: int) -> list[Row]:
        """Up to *limit* of the oldest records in memory, all of one segment; none when there are none."""
        for segment in self._segments:
            if segment.rows:
                return list(islice(segment.rows.values(), limit))
        return []

    def stored(self, rows: list[Row]) -> None:
        """The database has *rows*, durably: forget them, and give up the segments of which nothing is left."""
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
                # Others than this one take what comes, so that it is drained and read back.
                self._rotate_or_go_on()
        elif not segment.rows:
            self._give_up(segment)

    def spilled(self) -> Segment | None:
        """A segment that has to be read back, nothing of it in memory and nothing to come; None where there is none.

        Raises:
            OSError: the current one is to be read, and no other can take its place.
        """
        for segment in self._segments:
            if segment.spilled and not segment.rows:
                if segment is self._current:
                    self._rotate()
                return segment
        return None

    def recovered(self, segment: Segment) -> None:
        """The database has everything of *segment*, which `spilled` named."""
        segment.spilled_cost.clear()
        segment.spilled = 0
        self._give_up(segment)

    def unsynced(self) -> list[int]:
        """File descriptors of the segments that hold what the database does not, doubled: the caller closes them."""
        return [os.dup(segment.fd) for segment in self._segments if segment.rows or segment.spilled]

    def paths(self) -> frozenset[Path]:
        """The segments of this process."""
        return frozenset(segment.path for segment in self._segments)

    def _store(self, segment: Segment, line: bytes) -> OSError | None:
        """Write *line*, or several, at the end of the segment; None, or why it could not be."""
        size = len(line)
        if self._torn:
            # What an earlier failure left of a line must not take this one with it.
            line = b"\n" + line
            size += 1
        try:
            written = os.write(segment.fd, line)
            while written < size:
                written += os.write(segment.fd, line[written:])
        except OSError as error:
            self.healthy = False
            self._torn = not _cut(segment)
            return error
        segment.size += size
        self.healthy, self._torn = True, False
        return None

    def _rotate(self) -> None:
        segment = _new_segment(self.folder)
        self._segments.append(segment)
        before, self._current = self._current, segment
        if before is not None and not before.rows and not before.spilled:
            self._give_up(before)

    def _rotate_or_go_on(self) -> None:
        try:
            self._rotate()
        except OSError as error:
            # A long segment is as good as two; it is tried again at the next record.
            _log.warning("cannot begin a new journal segment: %s", error.strerror)

    def _give_up(self, segment: Segment) -> None:
        """Empty *segment*, or delete it where another took its place."""
        try:
            if segment is self._current:
                os.ftruncate(segment.fd, 0)
                segment.size, self._torn = 0, False
                return
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            # Records that are read again are known by their ids.
            _log.warning("cannot clear the journal segment %s: %s", segment.path.name, error.strerror)
            if segment is self._current:
                return
        self._segments.remove(segment)
        os.close(segment.fd)


class Abandoned:
    """A segment of a process that is gone, locked by us while we read it. `claim` makes one."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    def finish(self, *, readable: bool) -> None:
        """Delete the segment, or keep it aside as `.bad` where not all of it could be read; let it go.

        Raises:
            OSError: it could not be; it is let go as it is.
        """
        try:
            if readable:
                self.path.unlink(missing_ok=True)
            else:
                self.path.rename(self.path.with_name(f"{self.path.name}.bad"))
        finally:
            self.release()

    def release(self) -> None:
        """Let the segment go as it is, for another try."""
        os.close(self._fd)


def claim(folder: Path, own: frozenset[Path]) -> Iterator[Abandoned]:
    """The segments in *folder* that no living process holds, except *own*."""
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
            os.close(fd)  # its owner lives
            continue
        if os.fstat(fd).st_nlink:
            yield Abandoned(path, fd)
        else:
            os.close(fd)  # a sibling was faster and is done with it


def read_rows(path: Path, limit: int) -> Iterator[tuple[list[Row], int]]:
    """The records of a segment, up to *limit* at a time, each time with the number of lines so far that are none.

    The last line is not counted where it has no end: it was torn by the kill and never acknowledged.
    """
    rows: list[Row] = []
    unreadable = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                rows.append(_row(_decoder.decode(line), line.rstrip(b"\n")))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                unreadable += line.endswith(b"\n") and line != b"\n"
            if len(rows) >= limit:
                yield rows, unreadable
                rows = []
    yield rows, unreadable


def _new_segment(folder: Path) -> Segment:
    """Make a file that nobody has, and lock it."""
    while True:
        path = folder / f"{os.getpid()}-{secrets.token_hex(8)}{SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)  # a sibling that starts took it, in the instant before the lock, for an abandoned one
            continue
        if os.fstat(fd).st_nlink:
            try:
                _sync_folder(folder)
            except OSError:
                os.close(fd)
                raise
            return Segment(path, fd)
        os.close(fd)


def _cut(segment: Segment) -> bool:
    """Take away what a failed write left of a line; whether that worked."""
    try:
        os.ftruncate(segment.fd, segment.size)
    except OSError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make the names in *folder* survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _encode(generation: GenerationRecord) -> bytes:
    try:
        return _encoder.encode(generation)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError):
        # A lone surrogate in a client's header or a provider's field must not cost the record.
        return _encoder.encode(msgspec.convert(_plain(msgspec.to_builtins(generation)), GenerationRecord))


def _plain(value: object) -> object:
    """*value* with what UTF-8 cannot say replaced by question marks."""
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case dict():
            return {_plain(name): _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


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
    """*value*, which may be a client's, as both databases take it."""
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "").encode(errors="replace").decode()


def _nothing() -> None:
    """Nobody waits."""
