"""What an endpoint has done lately: outcomes, time to the first token, throughput, validity of tool calls.

Rolling windows from 30 seconds to a day, in constant memory: rings of slots that are used
again, with counters in each, and for the two distributions a histogram of logarithmic buckets (5 % wide, so a
percentile is within 2.5 % of the truth) in those of the half hour. Adding costs a few additions; sums are made when
`vitals` is asked for, at most once a second.

A **circuit** stands beside them: five failures in a row, or more than half of the last twenty, open it for 5 seconds,
doubling to 60; when that is over, or a probe says that the provider answers again, the endpoint is tried again, as if
nothing had been. Sources: openrouter-semantics §5.2, §5.3; reliability §3.

Times are monotonic seconds and handed in. What another replica saw is added by the same methods.
"""

from collections.abc import Iterator
from math import exp, floor, log
from typing import Literal, TypeAlias

from msgspec import Struct

Outcome: TypeAlias = Literal["served", "failed", "limited"]
"""Of an attempt: an answer; a fault of the provider's; a 429, which is counted apart."""

STABLE_S = 30.0
"""The window in which an outage makes an endpoint unstable."""
UNSTABLE_SHARE = 0.05
"""Failures of all attempts in that window, above which it is: what OpenRouter calls degraded."""
TOOLS_S = 7200.0
"""The window in which tool calls are counted."""
DOWN_SHARE = 0.20
"""Of failures in five minutes, from which on an endpoint is for fallbacks only."""
DOWN_LEAST = 20
"""Attempts in five minutes that make that a finding."""
OPEN_FIRST_S, OPEN_MOST_S = 5.0, 60.0
"""How long the circuit stays open: the first time, and at most."""
IN_A_ROW = 5
LAST = 20
"""Failures in a row, and attempts of which more than half failed, that open it."""

STABLE, UNSTABLE, DOWN = 0, 1, 2
"""Standings: to be used; with failures in the last half minute; for fallbacks only."""

_BASE = log(1.05)
_LEAST = 1e-3
"""Below this a millisecond, or a token in a quarter of an hour, all is one bucket."""


class Percentiles(Struct, frozen=True, kw_only=True):
    """p90 of latency: 90 % are as fast or faster. p90 of throughput: 90 % are as fast or faster, so it is the lower."""

    p50: float
    p75: float
    p90: float
    p99: float


class Vitals(Struct, frozen=True, kw_only=True):
    """How an endpoint stands now, for routing: of five minutes where nothing else is said.

    Latency is seconds to the first token, throughput tokens per second; None where there is no data.
    """

    standing: int = STABLE
    latency: Percentiles | None = None
    throughput: Percentiles | None = None
    requests: int = 0
    """Answers and failures of the last half hour."""
    tool_requests: int = 0
    """Answers that called tools and were looked at, of the last two hours."""
    tool_success: float | None = None
    """The share of them in which every call was valid."""


class Uptime(Struct, frozen=True, kw_only=True):
    """Per cent of attempts that were served; None where there were too few to say."""

    last_5m: float | None
    last_30m: float | None
    last_1d: float | None


UNKNOWN = Vitals()
LEAST_FOR_UPTIME = 100
"""Attempts. Source: openrouter-semantics §5.2."""


class _Histogram:
    """Counts in logarithmic buckets."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, value: float) -> None:
        bucket = floor(log(max(value, _LEAST)) / _BASE)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1


class _Slot:
    """What happened in one stretch of time. `number` tells which one."""

    __slots__ = ("failed", "latency", "limited", "number", "served", "throughput", "tools_bad", "tools_good")

    def __init__(self) -> None:
        self.number = -1
        self.clear(-1)

    def clear(self, number: int) -> None:
        self.number = number
        self.served = self.failed = self.limited = self.tools_good = self.tools_bad = 0
        self.latency: _Histogram | None = None
        self.throughput: _Histogram | None = None


class _Ring:
    """Slots of *width* seconds; the oldest is used again."""

    __slots__ = ("_slots", "_width")

    def __init__(self, width: float, slots: int) -> None:
        self._width = width
        self._slots = tuple(_Slot() for _ in range(slots))

    def at(self, now: float) -> _Slot:
        number = int(now / self._width)
        slot = self._slots[number % len(self._slots)]
        if slot.number != number:
            slot.clear(number)
        return slot

    def clear(self) -> None:
        """Forget all."""
        for slot in self._slots:
            slot.clear(-1)

    def last(self, now: float, seconds: float) -> Iterator[_Slot]:
        """The slots of the last *seconds*, the one under way among them."""
        number = int(now / self._width)
        oldest = number - int(seconds / self._width)
        return (slot for slot in self._slots if oldest < slot.number <= number)


class Statistics:
    """Of one endpoint."""

    __slots__ = (
        "_day",
        "_half_hour",
        "_moment",
        "_opened",
        "_row",
        "_since",
        "_talks",
        "changed",
        "open_until",
        "vitals",
    )

    def __init__(self) -> None:
        self._moment = _Ring(5.0, 7)
        self._half_hour = _Ring(30.0, 61)
        self._day = _Ring(1800.0, 49)
        self._row = 0
        self._talks: list[bool] = []
        """The last attempts, oldest first: whether each was served."""
        self._opened = 0
        self._since = float("-inf")
        """Failures before this are forgiven."""
        self.open_until = float("-inf")
        self.vitals = UNKNOWN
        self.changed = False
        """Whether something came since `vitals` was made."""

    def served(
        self, now: float, *, latency_s: float | None, tokens: int = 0, seconds: float = 0.0, tools: bool | None = None
    ) -> None:
        """An answer: its first token came after *latency_s*, its *tokens* in *seconds* in all.

        *tools* tells whether all of its tool calls were valid; None where it had none or nobody looked.
        """
        slot = self._count(now, "served")
        if latency_s is not None:
            slot.latency = slot.latency or _Histogram()
            slot.latency.add(latency_s)
        if tokens > 1 and seconds > 0:
            slot.throughput = slot.throughput or _Histogram()
            slot.throughput.add(tokens / seconds)
        if tools is not None:
            day = self._day.at(now)
            if tools:
                day.tools_good += 1
            else:
                day.tools_bad += 1
        self._row = 0
        if self._opened and now >= self.open_until:
            self._opened = 0
            self._talks.clear()
            self._forgive(now)
        self._talk(True)

    def failed(self, now: float) -> None:
        """A failure of the provider's."""
        self._count(now, "failed")
        self._row += 1
        self._talk(False)
        if now < self.open_until:
            return  # of a call that began before
        bad = self._talks.count(False)
        if self._row >= IN_A_ROW or self._opened or (len(self._talks) >= LAST and bad * 2 > LAST):
            self.open_until = now + min(OPEN_FIRST_S * 2**self._opened, OPEN_MOST_S)
            self._opened = min(self._opened + 1, 10)

    def limited(self, now: float) -> None:
        """A 429."""
        self._count(now, "limited")

    def recovered(self, now: float) -> None:
        """A probe was answered: the next request may try, and what failed before is forgiven."""
        if self.open_until > now:
            self.open_until = now
        self._forgive(now)
        self._row = 0
        self.changed = True

    @property
    def troubled(self) -> bool:
        """Whether it is in a state that a probe could end."""
        return self.vitals.standing != STABLE

    def refresh(self, now: float) -> Vitals:
        """`vitals`, as of *now*."""
        recent = list(self._half_hour.last(now, 300.0))
        latency = _percentiles([slot.latency for slot in recent], rising=True)
        throughput = _percentiles([slot.throughput for slot in recent], rising=False)
        half_hour = self._half_hour.last(now, 1800.0)
        hours = list(self._day.last(now, TOOLS_S))
        good, bad = sum(slot.tools_good for slot in hours), sum(slot.tools_bad for slot in hours)
        self.vitals = Vitals(
            standing=self._standing(now),
            latency=latency,
            throughput=throughput,
            requests=sum(slot.served + slot.failed for slot in half_hour),
            tool_requests=good + bad,
            tool_success=good / (good + bad) if good + bad else None,
        )
        self.changed = False
        return self.vitals

    def uptime(self, now: float) -> Uptime:
        """For the public list."""
        return Uptime(
            last_5m=_share(self._half_hour.last(now, 300.0)),
            last_30m=_share(self._half_hour.last(now, 1800.0)),
            last_1d=_share(self._day.last(now, 86400.0)),
        )

    def half_hour(self, now: float) -> tuple[Percentiles | None, Percentiles | None]:
        """Latency and throughput of the last half hour, for the public list."""
        slots = list(self._half_hour.last(now, 1800.0))
        return (
            _percentiles([slot.latency for slot in slots], rising=True),
            _percentiles([slot.throughput for slot in slots], rising=False),
        )

    def _forgive(self, now: float) -> None:
        """What failed before is no trouble any more; uptime remembers it."""
        self._since = now
        self._moment.clear()

    def _standing(self, now: float) -> int:
        if now < self.open_until:
            return DOWN
        if self._opened:
            return STABLE  # the circuit's time is over: it is tried
        failed, total = _failed(self._half_hour.last(now, min(300.0, now - self._since)))
        if total >= DOWN_LEAST and failed > DOWN_SHARE * total:
            return DOWN
        failed, total = _failed(self._moment.last(now, STABLE_S))
        return UNSTABLE if failed > UNSTABLE_SHARE * total else STABLE

    def _count(self, now: float, outcome: Outcome) -> _Slot:
        """Count it in every ring; the half hour's slot."""
        slots = (self._moment.at(now), self._day.at(now), self._half_hour.at(now))
        for slot in slots:
            if outcome == "served":
                slot.served += 1
            elif outcome == "failed":
                slot.failed += 1
            else:
                slot.limited += 1
        self.changed = True
        return slots[2]

    def _talk(self, served: bool) -> None:
        self._talks.append(served)
        if len(self._talks) > LAST:
            del self._talks[0]


def _failed(slots: Iterator[_Slot]) -> tuple[int, int]:
    """Failures, and attempts that were no 429."""
    failed = total = 0
    for slot in slots:
        failed += slot.failed
        total += slot.failed + slot.served
    return failed, total


def _share(slots: Iterator[_Slot]) -> float | None:
    failed, total = _failed(slots)
    return None if total < LEAST_FOR_UPTIME else round(100.0 * (total - failed) / total, 2)


def _percentiles(histograms: list[_Histogram | None], *, rising: bool) -> Percentiles | None:
    """Of all *histograms* together; *rising*: a higher percentile is a higher value."""
    counts: dict[int, int] = {}
    for histogram in histograms:
        if histogram is not None:
            for bucket, count in histogram.counts.items():
                counts[bucket] = counts.get(bucket, 0) + count
    total = sum(counts.values())
    if not total:
        return None
    ordered = sorted(counts.items(), reverse=not rising)
    found: list[float] = []
    wanted = iter((0.5, 0.75, 0.9, 0.99))
    share, seen = next(wanted), 0
    for bucket, count in ordered:
        seen += count
        while seen >= share * total:
            found.append(exp((bucket + 0.5) * _BASE))
            following = next(wanted, None)
            if following is None:
                p50, p75, p90, p99 = found
                return Percentiles(p50=p50, p75=p75, p90=p90, p99=p99)
            share = following
    raise AssertionError("the last bucket reaches every share")
