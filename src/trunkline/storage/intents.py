"""Intents: which requests are under way, so that a killed process leaves a record of each.

A file beside the segments of the journal, mapped into memory: one slot for each request under way. An intent is written
into a free slot before its request is sent, and its slot is freed when the journal has the request's record. Both are
stores into memory. The kernel has them, and keeps them when the process is killed. The file is as large as the most
requests that were under way at once. Its blocks are allocated beforehand, so that a full disk is an error here and not
a signal at a store.

The next start reads the files of dead processes (`Flusher.replay`). An intent whose id has a record is settled; of
each other one it makes a record with the status `interrupted`.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from trunkline.model.intent import Intent

SUFFIX: Final = ".intents"
SLOT: Final = 2048
"""Bytes of a slot: one byte that is 1 where it is taken, two for the length, and the intent as JSON."""
MOST: Final = SLOT - 3
FIRST: Final = 256
"""Slots of a new file."""

_decoder = msgspec.json.Decoder(Intent)


class IntentFile:
    """The intents of one process. The file is made with the first one."""

    __slots__ = ("_fd", "_free", "_map", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._map: mmap.mmap | None = None
        self._free: list[int] = []

    def begin(self, intent: bytes) -> int:
        """Store *intent*; return its slot.

        Raises:
            OSError: the disk is full or not available.
            ValueError: it is longer than `MOST`.
        """
        size = len(intent)
        if size > MOST:
            raise ValueError(f"an intent of {size} bytes")
        if not self._free:
            self._grow()
        slot = self._free.pop()
        at, slots = slot * SLOT, self._map
        assert slots is not None
        slots[at + 1 : at + 3 + size] = size.to_bytes(2, "little") + intent
        slots[at] = 1
        return slot

    def end(self, slot: int) -> None:
        """Free *slot*: the journal has the record."""
        assert self._map is not None
        self._map[slot * SLOT] = 0
        self._free.append(slot)

    def handle(self) -> int | None:
        """Return a duplicated file descriptor to sync, or None. The caller closes it."""
        return None if self._fd < 0 else os.dup(self._fd)

    def close(self) -> None:
        """Close the file, and delete it where nothing is under way."""
        if self._map is None:
            return
        if len(self._free) == len(self._map) // SLOT:
            self._path.unlink(missing_ok=True)
        self._map.close()
        os.close(self._fd)
        self._map, self._fd = None, -1
        self._free.clear()

    def _grow(self) -> None:
        if self._fd < 0:
            self._fd = _create(self._path)
        before = 0 if self._map is None else len(self._map)
        size = 2 * before or FIRST * SLOT
        os.posix_fallocate(self._fd, 0, size)
        grown = mmap.mmap(self._fd, size)
        if self._map is not None:
            self._map.close()
        self._map = grown
        self._free += range(size // SLOT - 1, before // SLOT - 1, -1)


def _create(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


class AbandonedIntents:
    """The intents of a dead process, locked by us. `claim_intents` makes one."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @property
    def owner(self) -> str:
        """The name of the process that wrote them."""
        return owner_of(self.path)

    def read(self) -> list[Intent]:
        """Return the intents of requests that were under way. One that cannot be read is left out."""
        data = self.path.read_bytes()
        found: list[Intent] = []
        for at in range(0, len(data) - SLOT + 1, SLOT):
            if data[at] == 1:
                size = int.from_bytes(data[at + 1 : at + 3], "little")
                try:
                    found.append(_decoder.decode(data[at + 3 : at + 3 + size]))
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue
        return found

    def finish(self) -> None:
        """Delete the file, and unlock it.

        Raises:
            OSError: it could not be deleted.
        """
        try:
            self.path.unlink(missing_ok=True)
        finally:
            self.release()

    def release(self) -> None:
        """Unlock the file without a change, for another try."""
        os.close(self._fd)


def owner_of(path: Path) -> str:
    """Return the name of the process in the name of its file; empty where there is none."""
    parts = path.name.split(".")[0].split("-")
    return parts[1] if len(parts) > 1 else ""


def claim_intents(folder: Path) -> Iterator[AbandonedIntents]:
    """Yield the files of dead processes whose segments are all in the database.

    Where another process is still reading segments of the same dead one, that process takes the intents afterwards.
    """
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            fd = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)  # its process lives
            continue
        if os.fstat(fd).st_nlink and not any(folder.glob(f"*-{owner_of(path)}-*.journal")):
            yield AbandonedIntents(path, fd)
        else:
            os.close(fd)
