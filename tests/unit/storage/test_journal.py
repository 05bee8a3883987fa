"""The journal alone: files, failures, memory."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.model.record import GenerationRecord
from trunkline.model.usage import Usage
from trunkline.storage.journal import FileJournal, claim, read_rows

Write = Callable[[int, bytes], int]


def generation(number: int, **fields: object) -> GenerationRecord:
    given = {"id": f"gen-{number}", "created": 1.7e9, "key_id": "k", "status": "completed", "api_type": "chat"}
    return GenerationRecord(**(given | {"model": "a/m", "requested": "a/m", "cost": 3} | fields))  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> FileJournal:
    journal = FileJournal(tmp_path / "journal")
    journal.open()
    return journal


def on_disk(folder: Path) -> list[str]:
    return [row[0] for path in sorted(folder.glob("*.journal")) for rows, _ in read_rows(path, 100) for row in rows]


def failing_at(nth: int, error: int, monkeypatch: pytest.MonkeyPatch, *, partial: int = 0) -> None:
    """Let the *nth* write from now fail, after *partial* bytes."""
    real, calls = os.write, 0

    def write(fd: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == nth and partial:
            return real(fd, data[:partial])
        if calls == nth + bool(partial):
            raise OSError(error, os.strerror(error))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)


def test_one_write_per_record(journal: FileJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    real = os.write

    def write(fd: int, data: bytes) -> int:
        written.append(bytes(data))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    journal.append(generation(1))
    journal.append(generation(2))
    assert [line.count(b"\n") for line in written] == [1, 1]
    assert on_disk(journal.folder) == ["gen-1", "gen-2"]
    assert journal.find("gen-2") == generation(2)
    assert journal.find("gen-3") is None


def test_private(journal: FileJournal) -> None:
    assert journal.folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in journal.folder.iterdir()] == [0o600]


def test_short_write_is_finished(journal: FileJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    journal.append(generation(1))
    monkeypatch.undo()
    journal.append(generation(2))
    assert on_disk(journal.folder) == ["gen-1", "gen-2"]


@pytest.mark.parametrize("partial", [0, 20])
@pytest.mark.parametrize("can_cut", [True, False])
def test_full_disk(journal: FileJournal, monkeypatch: pytest.MonkeyPatch, partial: int, can_cut: bool) -> None:
    failing_at(2, errno.ENOSPC, monkeypatch, partial=partial)
    if not can_cut:
        monkeypatch.setattr(os, "ftruncate", _no_space)
    journal.append(generation(1))
    with pytest.raises(OSError, match="No space left"):
        journal.append(generation(2))
    assert bool(journal.healthy) is False
    assert journal.find("gen-2") == generation(2), "kept in memory"
    journal.append(generation(3))
    assert bool(journal.healthy), "again"
    assert on_disk(journal.folder) == ["gen-1", "gen-3"]
    assert [row[0] for row in journal.batch(10)] == ["gen-1", "gen-2", "gen-3"]


@pytest.mark.parametrize("partial", [0, 20])
def test_room_is_noticed_without_a_record(journal: FileJournal, monkeypatch: pytest.MonkeyPatch, partial: int) -> None:
    journal.append(generation(1))
    with monkeypatch.context() as full:
        failing_at(1, errno.ENOSPC, full, partial=partial)
        with pytest.raises(OSError, match="No space left"):
            journal.append(generation(2))
        full.setattr(os, "write", _no_space)
        journal.probe()
        assert bool(journal.healthy) is False
        full.setattr(os, "write", lambda fd, data: 100)  # room for a part of the probe
        journal.probe()
        assert bool(journal.healthy) is False
    journal.probe()
    assert bool(journal.healthy)
    assert on_disk(journal.folder) == ["gen-1"]
    assert sum(path.read_bytes().count(b"\n\n") for path in journal.folder.iterdir()) == 0, "the probe is removed"
    journal.append(generation(3))
    assert on_disk(journal.folder) == ["gen-1", "gen-3"]


def test_a_healthy_journal_is_not_written_to(journal: FileJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", _no_space)
    journal.probe()
    assert journal.healthy


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_deleted_file_is_replaced(journal: FileJournal, what: str) -> None:
    journal.append(generation(1))
    for path in journal.folder.iterdir():
        path.unlink()
    if what == "folder":
        journal.folder.rmdir()
    journal.probe()
    assert journal.healthy
    journal.append(generation(2))
    assert on_disk(journal.folder) == ["gen-2"]
    kept = journal.batch(10)
    journal.stored(kept)
    assert [row[0] for row in (*kept, *journal.batch(10))] == ["gen-1", "gen-2"], "the database still gets both"


@pytest.mark.parametrize("partial", [0, 20, 200])
def test_what_is_put_is_written_at_once(journal: FileJournal, monkeypatch: pytest.MonkeyPatch, partial: int) -> None:
    woken: list[bool] = []
    journal.on_pending = lambda: woken.append(True)
    failing_at(2, errno.ENOSPC, monkeypatch, partial=partial)
    journal.put(generation(1))
    journal.put(generation(2))
    assert (on_disk(journal.folder), journal.pending) == ([], 0)
    assert journal.write() is None
    assert (on_disk(journal.folder), journal.pending, woken) == (["gen-1", "gen-2"], 2, [True])
    journal.put(generation(3))
    journal.put(generation(4))
    failure = journal.write()
    assert failure is not None
    assert failure.errno == errno.ENOSPC
    assert on_disk(journal.folder) == ["gen-1", "gen-2"], "none or all"
    assert [row[0] for row in journal.batch(10)] == ["gen-1", "gen-2", "gen-3", "gen-4"], "kept in memory"
    journal.append(generation(5))
    assert on_disk(journal.folder) == ["gen-1", "gen-2", "gen-5"]


def _no_space(*_: object) -> None:
    raise OSError(errno.EIO, "no")


def test_segments_go_when_stored(journal: FileJournal) -> None:
    journal.append(generation(1))
    journal.append(generation(2))
    rows = journal.batch(10)
    assert journal.unflushed == {"k": 6}
    journal.stored(rows[:1])
    assert len(on_disk(journal.folder)) == 2
    journal.append(generation(3))
    journal.stored(journal.batch(10))
    assert (on_disk(journal.folder), journal.pending, journal.unflushed) == ([], 0, {})
    journal.append(generation(4))
    assert on_disk(journal.folder) == ["gen-4"]


def test_rotation(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, rotate_bytes=1000)
    journal.open()
    for number in range(50):
        journal.append(generation(number))
    files = list(tmp_path.glob("*.journal"))
    assert len(files) > 5
    assert all(path.stat().st_size < 1500 for path in files)
    numbers: list[str] = []
    while rows := journal.batch(7):
        numbers += [row[0] for row in rows]
        journal.stored(rows)
    assert numbers == [f"gen-{number}" for number in range(50)]
    assert len(list(tmp_path.glob("*.journal"))) == 1
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_rotation_that_fails_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = FileJournal(tmp_path, rotate_bytes=100)
    journal.open()
    monkeypatch.setattr(os, "open", _no_space)
    for number in range(5):
        journal.append(generation(number))
    monkeypatch.undo()
    assert len(on_disk(tmp_path)) == 5


def test_memory_is_bounded(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, max_pending=3)
    journal.open()
    for number in range(10):
        journal.append(generation(number))
    assert journal.pending == 3
    assert journal.unflushed == {"k": 30}
    assert len(on_disk(tmp_path)) == 10
    assert journal.spilled() is None, "three are still in memory"
    journal.stored(journal.batch(10))
    segment = journal.spilled()
    assert segment is not None
    journal.append(generation(10))
    journal.recovered(segment)
    assert journal.unflushed == {"k": 3}
    assert on_disk(tmp_path) == ["gen-10"]


def test_a_segment_with_nothing_in_memory_is_read_back_too(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, max_pending=1, rotate_bytes=1)
    journal.open()
    journal.append(generation(0))
    journal._rotate_bytes = 10**6  # pyright: ignore[reportPrivateUsage]
    journal.append(generation(1))
    journal.stored(journal.batch(1))
    segment = journal.spilled()
    assert segment is not None
    journal.recovered(segment)
    assert (journal.spilled(), journal.unflushed, on_disk(tmp_path)) == (None, {}, [])


def test_the_same_record_twice(journal: FileJournal) -> None:
    journal.append(generation(1))
    journal.append(generation(1))
    assert (journal.pending, journal.unflushed) == (1, {"k": 3})


def test_hostile_text_and_numbers(journal: FileJournal) -> None:
    usage = Usage(prompt=2**62, upstream_cost=2**70, extra={"x\ud800": ["\ud800", 10**40]})
    journal.append(generation(1, model="\ud800\0x", usage=usage, user="a\nb\ud800"))
    found = journal.find("gen-1")
    assert found is not None
    assert found.user == "a\nb?"
    assert found.usage.extra == {"x?": ["?", 10**40]}
    assert on_disk(journal.folder) == ["gen-1"]
    assert journal.batch(1)[0][3] == "?x"


def test_a_living_siblings_segment_is_not_touched(journal: FileJournal) -> None:
    journal.append(generation(1))
    assert list(claim(journal.folder, frozenset())) == []
    journal.close()
    (left,) = claim(journal.folder, frozenset())
    assert list(claim(journal.folder, frozenset())) == [], "nor one that is being read"
    left.finish(readable=True)
    assert list(journal.folder.iterdir()) == []


def test_a_torn_last_line_and_garbage(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    journal.open()
    journal.append(generation(1))
    journal.append(generation(2))
    journal.close()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for end in range(len(whole) - 1):
        path.write_bytes(whole[:end])
        ((rows, unreadable),) = read_rows(path, 10)
        # A line of which only the end is missing is whole.
        assert len(rows) == (end >= whole.index(b"\n"))
        assert unreadable == 0
    path.write_bytes(b"\xff\x00garbage\n" + whole)
    ((rows, unreadable),) = read_rows(path, 10)
    assert (len(rows), unreadable) == (2, 1)
