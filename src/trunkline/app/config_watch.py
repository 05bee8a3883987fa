"""Watch the configuration file, and report a change once its content has settled.

Editors and deployments often truncate a file and write it again. A content counts as settled when it is the same twice,
`SETTLE_S` apart.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from trunkline.settings import DEFAULT_FILE, ConfigError, read_file

SETTLE_S = 0.3

Version = tuple[int, int, int]


class ConfigWatch:
    """Watches one file.

    Args:
        file: the file; None: the default file of the current folder, which may appear later.
        sleep: `asyncio.sleep`, or what a test uses in its place.
    """

    def __init__(self, file: Path | None, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._file = Path(DEFAULT_FILE) if file is None else file
        self._sleep = sleep
        self._version = _version(self._file)

    async def changed(self) -> bool:
        """Whether the file has new content that has settled; True once for each new content.

        A file that is gone, or cannot be read, has not changed: the settings stay as they are.
        """
        version = _version(self._file)
        if version is None or version == self._version:
            return False
        before = _content(self._file)
        await self._sleep(SETTLE_S)
        if before is None or before != _content(self._file):
            return False
        self._version = version
        return True


def _version(file: Path) -> Version | None:
    """A value that changes when *file* changes; None if there is no file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _content(file: Path) -> bytes | None:
    try:
        return read_file(file)
    except ConfigError:
        return None
