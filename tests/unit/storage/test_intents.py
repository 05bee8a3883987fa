"""The file of intents alone."""

import errno
import os
from pathlib import Path

import msgspec
import pytest

from trunkline.model.endpoint import Price
from trunkline.model.intent import Intent
from trunkline.storage.intents import FIRST, MOST, SLOT, SUFFIX, AbandonedIntents, IntentFile, claim_intents


def intent(number: int) -> Intent:
    return Intent(
        id=f"gen-{number}",
        created=1.7e9,
        key_id="k",
        api_type="chat",
        streamed=False,
        model="a/m",
        provider="Acme",
        endpoint="acme",
        price=Price(prompt=1, completion=2),
        tokens=5,
        bound=10,
        output=7,
    )


def encoded(number: int) -> bytes:
    return msgspec.json.encode(intent(number))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"12-abcdef{SUFFIX}"


def under_way(path: Path) -> list[str]:
    return [found.id for found in AbandonedIntents(path, os.open(path, os.O_RDONLY)).read()]


def test_what_is_begun_and_not_ended_is_found(path: Path) -> None:
    file = IntentFile(path)
    slots = [file.begin(encoded(number)) for number in range(4)]
    assert len(set(slots)) == 4
    file.end(slots[1])
    assert under_way(path) == ["gen-0", "gen-2", "gen-3"]
    assert AbandonedIntents(path, os.open(path, os.O_RDONLY)).read()[0] == intent(0)
    assert file.begin(encoded(9)) == slots[1], "a slot is used again"
    assert under_way(path) == ["gen-0", "gen-9", "gen-2", "gen-3"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_grows_with_the_requests_at_once_and_no_further(path: Path) -> None:
    file = IntentFile(path)
    assert not path.exists(), "nothing was under way yet"
    for round_ in range(3):
        slots = [file.begin(encoded(number)) for number in range(FIRST + 1)]
        assert path.stat().st_size == 2 * FIRST * SLOT, round_
        assert set(under_way(path)) == {f"gen-{number}" for number in range(FIRST + 1)}
        for slot in slots:
            file.end(slot)
    assert under_way(path) == []


def test_a_full_disk_is_an_error_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = IntentFile(path)
    monkeypatch.setattr(os, "posix_fallocate", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            file.begin(encoded(1))
    monkeypatch.undo()
    slot = file.begin(encoded(1))
    assert under_way(path) == ["gen-1"]
    file.end(slot)


def test_it_is_deleted_where_nothing_is_under_way(path: Path) -> None:
    IntentFile(path).close()
    file = IntentFile(path)
    file.end(file.begin(encoded(1)))
    file.close()
    file.close()
    assert not path.exists()
    file = IntentFile(path)
    file.begin(encoded(1))
    file.close()
    assert under_way(path) == ["gen-1"]


def test_a_living_process_is_left_alone_and_so_is_one_whose_segments_are_being_read(path: Path) -> None:
    file = IntentFile(path)
    file.begin(encoded(1))
    assert list(claim_intents(path.parent)) == []
    file.close()
    segment = path.parent / "12-abcdef-01234567.journal"
    segment.touch()
    assert list(claim_intents(path.parent)) == []
    segment.unlink()
    (claimed,) = claim_intents(path.parent)
    assert claimed.owner == "abcdef"
    assert list(claim_intents(path.parent)) == [], "it is locked"
    claimed.release()
    (claimed,) = claim_intents(path.parent)
    claimed.finish()
    assert not path.exists()


def test_a_slot_that_cannot_be_read_is_left_out(path: Path) -> None:
    file = IntentFile(path)
    file.begin(b'{"id":"torn')
    file.begin(encoded(1))
    file.begin(b"\xff")
    assert under_way(path) == ["gen-1"]
    with pytest.raises(ValueError, match="an intent of"):
        file.begin(b"x" * (MOST + 1))
