"""A database of its own for each test, of every kind that the stores run on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trunkline.storage import Database, open_database

KINDS = ("sqlite", "postgresql")
"""A kind is a branch of `url`."""


class Clock:
    def __init__(self) -> None:
        self.time = 1_700_000_000.0  # Tuesday, 14 November 2023, 22:13:20 UTC

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/data/trunkline.db"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await open_database(url)
    yield database
    await database.close()
