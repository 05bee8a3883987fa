"""Fixtures for all tests."""

import gc
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from trunkline.testing.golden import Golden
from trunkline.testing.postgres import Cluster, PostgresMissing, cluster, new_folder
from trunkline.testing.postgres import shared as shared_cluster

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
POSTGRES_FOLDER = "TRUNKLINE_TEST_POSTGRES"
"""Environment variable: the folder of the PostgreSQL cluster that all processes of this test session use."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the folder of the session's PostgreSQL cluster; the processes of pytest-xdist inherit it."""
    if not hasattr(config, "workerinput"):
        os.environ[POSTGRES_FOLDER] = str(new_folder())


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the session's PostgreSQL cluster, if a test started it."""
    if not hasattr(config, "workerinput"):
        Cluster(Path(os.environ.pop(POSTGRES_FOLDER)), 0).remove()


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


@pytest.fixture(scope="session")
def postgres() -> Cluster:
    """The session's PostgreSQL cluster, or a skip where the program is missing."""
    try:
        return shared_cluster(Path(os.environ[POSTGRES_FOLDER]))
    except PostgresMissing as error:
        missing(str(error))


@pytest.fixture
def postgres_url(postgres: Cluster) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres.fresh(os.environ.get("PYTEST_XDIST_WORKER", "main"))


@pytest.fixture
def own_postgres() -> Generator[Cluster]:
    """A PostgreSQL cluster that the test may stop."""
    try:
        with cluster() as own:
            yield own
    except PostgresMissing as error:
        missing(str(error))


def missing(why: str) -> NoReturn:
    """Skip the test for want of a program; fail it where nothing may be skipped."""
    if os.environ.get("TRUNKLINE_REQUIRE_ALL"):
        pytest.fail(why)
    pytest.skip(why)
