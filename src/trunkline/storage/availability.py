"""Whether an error of a database means that the database is away, and for how long it has been."""

import asyncio
from typing import Final

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    PendingRollbackError,
    ProgrammingError,
    ResourceClosedError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

_OURS: Final = (IntegrityError, DataError, ProgrammingError, NotSupportedError)
"""Errors of a statement or its values: the database works."""
_AWAY: Final = (DBAPIError, PoolTimeout, PendingRollbackError, ResourceClosedError, OSError, TimeoutError)
_DRIVERS: Final = frozenset({"asyncpg", "sqlite3"})
"""Packages whose errors SQLAlchemy does not always wrap, while it opens or checks a connection."""
_REFUSED: Final = (DataError, OverflowError, UnicodeError)
"""Errors for values that the database will never accept, of SQLite's drivers."""
_DATA_EXCEPTION: Final = "22"
"""The class of such errors in the SQL standard. Source: PostgreSQL, "PostgreSQL Error Codes"."""


def is_refusal(error: BaseException) -> bool:
    """Whether the database will never accept the values for which it raised *error*."""
    if isinstance(error, _REFUSED):
        return True
    if not isinstance(error, DBAPIError):
        return False
    # asyncpg's own check of a value is a ValueError, the server's has a code; SQLAlchemy has no class for either.
    code: str | None = getattr(error.orig, "sqlstate", None)
    return code[:2] == _DATA_EXCEPTION if code else isinstance(getattr(error.orig, "__cause__", None), ValueError)


def is_away(error: BaseException) -> bool:
    """Whether *error* means that the database cannot be used now: unreachable, silent, locked, out of space."""
    if isinstance(error, _OURS) or is_refusal(error):
        return False
    if isinstance(error, _AWAY):
        return True
    raw = type(error)
    return raw.__module__.partition(".")[0] in _DRIVERS and raw.__name__ not in {kind.__name__ for kind in _OURS}


def error_name(error: BaseException) -> str:
    """The class name of *error*, or of the driver's error behind it. Its text could contain stored values."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return type(error).__name__


class Outage:
    """When the database was last away. Times are the event loop's."""

    def __init__(self) -> None:
        self.lasts = False
        """Whether the last use of the database failed."""
        self._began = self._ended = float("-inf")

    def failed(self) -> None:
        """Note a use that failed."""
        if not self.lasts:
            self.lasts = True
            self._began = asyncio.get_running_loop().time()

    def worked(self) -> None:
        """Note a use that worked."""
        if self.lasts:
            self.lasts = False
            self._ended = asyncio.get_running_loop().time()

    def age_s(self, within_s: float) -> float:
        """Seconds since the last outage began, if it lasts or ended less than *within_s* seconds ago; otherwise 0."""
        if not self.lasts and self._ended == float("-inf"):
            return 0.0
        now = asyncio.get_running_loop().time()
        return now - self._began if self.lasts or now - self._ended < within_s else 0.0
