"""Fixtures for all tests."""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from trunkline.testing.golden import Golden

# Nothing here is timed: the machine that runs the tests has other work too. What is tried is the same each time, so
# that a failure is of the change that shows it; `make fuzz` looks further.
EXPLORE = bool(os.environ.get("TRUNKLINE_EXPLORE"))
settings.register_profile(
    "trunkline", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=not EXPLORE
)
settings.load_profile("trunkline")

REPOSITORY = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TRUNKLINE_SHARED") or REPOSITORY.parent / "shared")
"""Captured provider traffic and the specifications: beside the repository, and no part of it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")


def pytest_collection_finish() -> None:
    """What was collected stays to the end: thousands of tests that no full garbage collection need look through."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(update=bool(request.config.getoption("--update-golden")))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("fixtures/upstream")`: a path under ../shared, or a skip, even where nothing else may be skipped."""

    def find(path: str) -> Path:
        found = SHARED / path
        if not found.exists():
            pytest.skip(f"{found} is not there: shared data is not part of the repository")
        return found

    return find
