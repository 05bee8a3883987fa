"""The deadlines of calls and idle connections: one timer for all of them.

A call only records *that* bytes came, the tick records when it saw that. So every limit is late by up to two ticks,
never early. What the tick knows of a call is kept here; a call that ends before the first tick has no such record.
"""

import asyncio
from collections.abc import Mapping, Sequence, Sized
from typing import Final, Protocol

from msgspec import Struct

from trunkline.model.errors import UpstreamTimeout
from trunkline.ports import Clock
from trunkline.transport.pool import Pooled
from trunkline.transport.response import AWAITING_HEAD, DRAINING, CallConnection, Http1Response

TICK_S: Final = 0.1
"""Seconds between two checks while there are calls."""
IDLE_TICK_S: Final = 1.0
"""Seconds between two checks while there are only idle connections."""


class CallTimes(Struct, gc=False):
    """What the ticks know of one call. Times are monotonic seconds."""

    begun: float
    phase: int = -1
    """The call's phase at the last tick; -1 before the first."""
    since: float = 0.0
    """The last progress, or the begin of the phase."""
    unsent: int = -1
    """Bytes of the request that waited to be sent at the last tick; -1 before the first."""


class TickedPool(Protocol):
    """A pool, as the tick uses it."""

    @property
    def waiters(self) -> Sized:
        """Those that wait for a connection."""
        ...

    @property
    def idle(self) -> Sequence[Pooled]:
        """Connections that wait to be used again."""
        ...

    def expire(self, now: float) -> None:
        """As `Pool.expire`."""
        ...


class Deadlines:
    """Ends calls whose time limit has passed, expires waiters of pools and closes idle connections.

    `calls` are the calls under way, with their times; None until the first tick that sees them.
    """

    __slots__ = ("_clock", "_drain_s", "_keepalive_s", "_pools", "_sweep_at", "_timer", "calls", "frequent")

    def __init__(self, clock: Clock, pools: Mapping[str, TickedPool], *, keepalive_s: float, drain_s: float) -> None:
        """No timer runs before `tick_frequently`.

        Args:
            clock: for every limit.
            pools: the pools by origin; read at each tick.
            keepalive_s: seconds that a connection may be idle.
            drain_s: seconds for reading the rest of a released body.
        """
        self._clock = clock
        self._pools = pools
        self._keepalive_s = keepalive_s
        self._drain_s = drain_s
        self._sweep_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.calls: dict[Http1Response, CallTimes | None] = {}
        self.frequent = False
        """The next tick is at most `TICK_S` away."""

    def tick_frequently(self) -> None:
        """Check every `TICK_S` from now on: a call begins, or a caller waits for a connection."""
        if self._timer is not None:
            self._timer.cancel()
        self.frequent = True
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def set_begin(self, call: Http1Response, begun: float) -> None:
        """Count the time of *call* from *begun* (monotonic seconds): it waited for its connection."""
        self.calls[call] = CallTimes(begun)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = self._clock.monotonic()
        for call in list(self.calls):
            self._check(call, now)
        waiting = 0
        for pool in self._pools.values():
            if pool.waiters:
                pool.expire(now)
                waiting += len(pool.waiters)
        if now >= self._sweep_at:
            self._sweep(now)
        self.frequent = bool(self.calls or waiting)
        if self.frequent:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        elif any(pool.idle for pool in self._pools.values()):
            pause_s = max(TICK_S, min(IDLE_TICK_S, self._keepalive_s / 4))
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._tick)
        else:
            self._timer = None

    def _check(self, call: Http1Response, now: float) -> None:
        """End *call* if one of its time limits has passed."""
        connection, timeouts = call.connection, call.request.timeouts
        if connection is None or call not in self.calls:  # it ended in this tick
            return
        times = self.calls[call]
        if times is None:
            times = self.calls[call] = CallTimes(now)
        if times.phase != call.phase:
            times.phase, times.since = call.phase, now
        if call.phase == DRAINING:
            if now - times.since >= self._drain_s:
                connection.drop()
        elif now - times.begun >= timeouts.total_s:
            call.fail(UpstreamTimeout(f"not at its end within {timeouts.total_s:g} s", maybe_billed=True))
        elif call.phase == AWAITING_HEAD:
            _check_head(call, connection, times, now)
        elif call.active or call.is_held():
            times.since = now
        elif now - times.since >= timeouts.idle_s:
            call.fail(UpstreamTimeout(f"no byte for {timeouts.idle_s:g} s", maybe_billed=True))
        call.active = False

    def _sweep(self, now: float) -> None:
        """Close the connections that have been idle for too long."""
        self._sweep_at = now + min(IDLE_TICK_S, self._keepalive_s / 4)
        for pool in self._pools.values():
            for connection in list(pool.idle):
                if connection.idle_since < 0:
                    connection.idle_since = now
                elif now - connection.idle_since >= self._keepalive_s:
                    connection.drop()


def _check_head(call: Http1Response, connection: CallConnection, times: CallTimes, now: float) -> None:
    """End *call*, which has no response yet, if the upload has stalled or the head is late."""
    timeouts = call.request.timeouts
    if times.unsent:
        unsent = connection.unsent_bytes()
        if unsent == 0 or unsent < times.unsent or times.unsent < 0:
            times.since = now
        times.unsent = unsent
        if unsent and now - times.since >= timeouts.idle_s:
            call.fail(UpstreamTimeout(f"the request was not taken for {timeouts.idle_s:g} s"))
    elif now - times.since >= timeouts.first_byte_s:
        call.fail(UpstreamTimeout(f"no answer within {timeouts.first_byte_s:g} s", maybe_billed=True))
