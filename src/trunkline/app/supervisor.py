"""Supervision of background tasks: one that fails is logged, counted and started again.

A task that ended in silence would leave its work undone until the next restart of the process: revoked keys would go on
working, for example. So every background task of the gateway runs under one `Supervisor`.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from trunkline.model.errors import TrunklineError

FIRST_PAUSE_S: Final = 0.25
"""Seconds before the first restart; each further one doubles them."""
MAX_PAUSE_S: Final = 5.0
"""Longest pause in seconds."""
STEADY_S: Final = 10.0
"""Seconds after which a restarted task that reports no round counts as healthy."""
STOP_S: Final = 2.0
"""Seconds for cancelled tasks to end."""

logger = logging.getLogger(__name__)


class _Supervised:
    """The state of one task."""

    __slots__ = ("failed_at", "max_pause_s", "pause_s", "restarts", "rounds", "told")

    def __init__(self, max_pause_s: float, *, rounds: bool) -> None:
        self.max_pause_s = max_pause_s
        self.rounds = rounds
        """Whether it reports each round that worked."""
        self.restarts = 0
        self.pause_s = FIRST_PAUSE_S
        self.failed_at: float | None = None
        """When it failed last, on the loop's clock; None while it is healthy."""
        self.told = ""
        """The error that was logged last."""


class Supervisor:
    """Runs background tasks until `stop`."""

    def __init__(self) -> None:
        self._states: dict[str, _Supervised] = {}
        self._rounds: list[asyncio.Task[None]] = []

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> "asyncio.Task[None]":
        """Run *work*, which ends only if its owner wants it to; its owner may cancel the task instead."""
        return self._spawn(name, work, _Supervised(MAX_PAUSE_S, rounds=False))

    def every(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        interval_s: Callable[[], float],
        *,
        at_once: bool = False,
        max_pause_s: float = MAX_PAUSE_S,
    ) -> None:
        """Run *work* again and again, *interval_s* seconds after it ended; the first time *at_once* or after them.

        After a failure it runs again after a pause of up to *max_pause_s*, never longer than *interval_s*.
        """
        waits = not at_once

        async def rounds() -> None:
            nonlocal waits
            while True:
                if waits:
                    await asyncio.sleep(interval_s())
                waits = False
                await work()
                self._healthy(name)
                waits = True

        self._rounds.append(self._spawn(name, rounds, _Supervised(min(interval_s(), max_pause_s), rounds=True)))

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the tasks that failed last time."""
        now = asyncio.get_running_loop().time()
        return tuple(
            name
            for name, state in self._states.items()
            if state.failed_at is not None and (state.rounds or now - state.failed_at < STEADY_S)
        )

    def restarts(self) -> dict[str, int]:
        """How often each task was restarted, by name."""
        return {name: state.restarts for name, state in self._states.items()}

    async def stop(self) -> None:
        """End the tasks of `every`, for up to `STOP_S`. Those of `spawn` are ended by their owners."""
        for task in self._rounds:
            task.cancel()
        if self._rounds:
            _, left = await asyncio.wait(self._rounds, timeout=STOP_S)
            for task in left:
                logger.error("the task %s does not end", task.get_name())
        self._rounds.clear()

    def _spawn(
        self, name: str, work: Callable[[], Coroutine[Any, Any, None]], state: _Supervised
    ) -> "asyncio.Task[None]":
        self._states[name] = state
        return asyncio.create_task(self._supervise(name, work), name=name)

    async def _supervise(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        state, loop = self._states[name], asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                await work()
            except asyncio.CancelledError as error:
                # A library can raise it without that anybody has cancelled this task.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                failure: BaseException = error
            except Exception as error:  # noqa: BLE001 - whatever it is, the task must go on
                failure = error
            else:
                return
            if not state.rounds and loop.time() - begun >= STEADY_S:
                self._healthy(name)
            state.restarts += 1
            state.failed_at = loop.time()
            _log(name, state, failure)
            del failure
            await asyncio.sleep(min(state.pause_s, state.max_pause_s))
            state.pause_s = min(2 * state.pause_s, state.max_pause_s)

    def _healthy(self, name: str) -> None:
        state = self._states[name]
        if state.failed_at is not None:
            logger.warning("the task %s works again", name)
            state.failed_at, state.pause_s, state.told = None, FIRST_PAUSE_S, ""


def _log(name: str, state: _Supervised, failure: BaseException) -> None:
    """Log *failure* once as long as it stays the same. Its own text could contain secrets, unless it is our error."""
    what = f"{type(failure).__name__}: {failure}" if isinstance(failure, TrunklineError) else type(failure).__name__
    if what == state.told:
        return
    state.told = what
    if isinstance(failure, TrunklineError):
        logger.warning("the task %s failed and is started again: %s", name, what)
        return
    frames = traceback.extract_tb(failure.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
    logger.error("the task %s failed and is started again: %s at %s", name, what, where)
