"""Closing of the parts of a gateway in bounded time: a database or a server that hangs must not keep the process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

PART_S: Final = 10.0
"""Seconds for one part where no deadline is set."""
_LEAST_S: Final = 0.2
"""Seconds that a part gets after the deadline too, and for which a cancelled one is waited for."""

logger = logging.getLogger(__name__)


class Closing:
    """Closes parts one after another. `deadline` is a time of the event loop's clock, set when closing begins."""

    def __init__(self) -> None:
        self.deadline: float | None = None

    async def close(self, name: str, close: Callable[[], Awaitable[None]]) -> None:
        """Await *close*, which closes the part *name*, until it is done or the time is over."""

        async def work() -> None:
            await close()

        left = PART_S if self.deadline is None else self.deadline - asyncio.get_running_loop().time()
        task = asyncio.create_task(work(), name=f"close {name}")
        done, _ = await asyncio.wait({task}, timeout=max(left, _LEAST_S))
        if not done:
            logger.warning("%s did not close in time", name)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=_LEAST_S)
        if done and not task.cancelled():
            task.result()
