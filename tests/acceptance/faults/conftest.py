"""A gateway with short limits, checked afterwards for what a test left behind: no task, no
connection, no call, and no reference cycle that holds anything of one."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from faults_wire import Gateway
from leftovers import Leftovers

from trunkline.testing.gateway import RunningGateway, running_gateway, settings_for

TIMEOUTS = {
    "connect_s": 1.0,
    "first_byte_s": 0.5,
    "first_content_s": 0.8,
    "idle_s": 0.6,
    "content_idle_s": 0.8,
    "total_s": 8.0,
    "pool_wait_s": 0.5,
}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """`async with gateway({"a": url}) as running:`; at its end nothing may be left: no task, connection or call."""

    numbers = itertools.count()

    @contextlib.asynccontextmanager
    async def make(
        providers: dict[str, str] | None = None, *, timeouts: dict[str, float] | None = None, **more: Any
    ) -> AsyncGenerator[RunningGateway]:
        ssl_context = more.pop("ssl_context", None)
        settings = settings_for(providers or {}, timeouts={**TIMEOUTS, **(timeouts or {})}, **more)
        before = asyncio.all_tasks()
        folder = tmp_path / f"gateway-{next(numbers)}"
        folder.mkdir()
        async with running_gateway(settings, folder=folder, ssl_context=ssl_context) as running:
            own = asyncio.all_tasks()
            with Leftovers() as left:
                yield running
                await _settled(running, own)
                left.check_cycles()
        assert not ours(asyncio.all_tasks() - before), "tasks are left"

    return make


def ours(tasks: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Those of the gateway; not those of the tests and of what they talk with."""
    return [task for task in tasks if "/src/trunkline/" in (path := _file(task)) and "/testing/" not in path]


def _file(task: asyncio.Task[Any]) -> str:
    code = getattr(task.get_coro(), "cr_code", None)
    return "" if code is None else str(code.co_filename)


async def _settled(running: RunningGateway, tasks: set[asyncio.Task[Any]]) -> None:
    """Wait until nothing is under way, which must be soon after the test has closed its connections."""

    def left() -> list[object]:
        mine = ours(asyncio.all_tasks() - tasks)
        calls = running.network.active
        in_flight = running.app.state.metrics.in_flight
        return [*mine, *running.connections, *calls, *([f"{in_flight} in flight"] if in_flight else [])]

    async with asyncio.timeout(5):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                while left():  # noqa: ASYNC110 - nobody would set an event
                    await asyncio.sleep(0.02)
        assert not left(), "something is left"
    open_, idle = running.network.connections_open, running.network.connections_idle
    assert open_ == idle, f"{open_ - idle} connections to providers are left"
