"""Asking a second endpoint where the first is slow to begin. Who begins first answers; the other is broken off."""

import asyncio
from collections.abc import Awaitable, Callable

from trunkline.model.errors import stripped
from trunkline.ports import Response


async def race(
    first: Awaitable[Response], after_s: float, second: Callable[[], Awaitable[Response] | None]
) -> tuple[Response, bool, bool]:
    """The answer of *first*, or that of *second*, which is called for if the first has not begun after *after_s*.

    An answer with a status other than 200 does not win against a call that is still under way. *second* may have none
    to ask, and gives None. Returns the answer, whether the second one was asked, and whether the answer is its.

    Raises:
        TrunklineError: of the first, where neither has an answer.
    """
    calls = [asyncio.ensure_future(first)]
    won: asyncio.Future[Response] | None = None
    try:
        await asyncio.wait(calls, timeout=after_s)
        if not calls[0].done():
            other = second()
            if other is not None:
                calls.append(asyncio.ensure_future(other))
        pending = set(calls)
        while pending and won is None:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            won = next((call for call in calls if _begun(call)), None)
        won = won or next((call for call in calls if _answered(call)), calls[0])
        return won.result(), len(calls) > 1, won is not calls[0]
    finally:
        for call in calls:
            if call is not won:
                _leave(call)


def _answered(call: "asyncio.Future[Response]") -> bool:
    return call.done() and not call.cancelled() and call.exception() is None


def _begun(call: "asyncio.Future[Response]") -> bool:
    return _answered(call) and call.result().status == 200


def _leave(call: "asyncio.Future[Response]") -> None:
    """Nobody waits for *call* any more."""
    if not call.done():
        call.cancel()
    elif call.cancelled():
        return
    elif (error := call.exception()) is not None:
        stripped(error)
    else:
        call.result().abort()
