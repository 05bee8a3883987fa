"""A configuration file that is being written is not taken for a new one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.app.config_watch import ConfigWatch

WHOLE = b"keys: [{name: a, secret: sk-fake}]\n"


class Sleeps:
    """What happens to the file while the watch waits for it to settle."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] = lambda: None

    async def __call__(self, seconds: float) -> None:
        assert seconds == pytest.approx(0.3)
        self.meanwhile()


async def test_a_settled_change_is_reported_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(WHOLE)
    watch = ConfigWatch(file, Sleeps())
    assert not await watch.changed()
    file.write_bytes(WHOLE + b"# more\n")
    assert await watch.changed()
    assert not await watch.changed()


@pytest.mark.parametrize("partial", [b"", WHOLE[:9]])
async def test_a_file_that_changes_meanwhile_is_left_until_it_settles(tmp_path: Path, partial: bytes) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(WHOLE)
    sleeps = Sleeps()
    watch = ConfigWatch(file, sleeps)
    file.write_bytes(partial)
    sleeps.meanwhile = lambda: file.write_bytes(WHOLE + b"# more\n")
    assert not await watch.changed()
    sleeps.meanwhile = lambda: None
    assert await watch.changed()


async def test_a_file_that_goes_has_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(WHOLE)
    sleeps = Sleeps()
    watch = ConfigWatch(file, sleeps)
    file.write_bytes(WHOLE + b"# more\n")
    sleeps.meanwhile = file.unlink
    assert not await watch.changed()
    assert not await watch.changed()


async def test_the_default_file_may_appear_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    watch = ConfigWatch(None, Sleeps())
    assert not await watch.changed()
    (tmp_path / "trunkline.yaml").write_bytes(WHOLE)
    assert await watch.changed()
