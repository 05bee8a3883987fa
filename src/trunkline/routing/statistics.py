"""What an endpoint has done lately: outcomes, time to the first token, throughput, validity of tool calls.

Rolling windows from 30 seconds to a day, in constant memory: rings of slots that are used
again, with counters in each, and for the two distributions a histogram of logarithmic buckets (5 % wide, so a
percentile is within 2.5 % of the truth) in those of the half hour. Adding costs a few additions; sums are made when
`vitals` is asked for, at most once a second.

A **circuit** stands beside them: five failures in a row, or more than half of the last twenty, open it for 5 seconds,
doubling to 60; more than a fifth of half a minute or of five minutes, for 30 seconds each time. When that is over, or a
probe says that the provider answers again, a **trial** is on offer: one request takes it, and the others keep away
until it is known what came of that. As calls to a dead endpoint may take long to fail, the next one does not wait for
ever: 5 seconds, then 10, doubling to 60. An answer closes the circuit and what was before is forgiven; a failure opens
it again. A probe says little: the list of models may be answered where nothing else is. So it does not help an endpoint
that answers some calls and not others, and where it was wrong it is not believed for a while.
Sources: openrouter-semantics §5.2, §5.3; reliability §3; docs/routing-simulation.md.

Times are monotonic seconds and handed in. What another replica saw is added by the same methods.
"""

from collections.abc import Iterator
from math import exp, floor, log
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

STABLE_S = 30.0
"""The window in which an outage makes an endpoint unstable."""
UNSTABLE_SHARE = 0.05
"""Failures of all attempts in that window, above which it is: what OpenRouter calls degraded."""
TOOLS_S = 7200.0
"""The window in which tool calls are counted."""
DOWN_SHARE = 0.20
"""Of failures in `STABLE_S` or `DOWN_S`, above which an endpoint is for fallbacks only."""
DOWN_S = 300.0
DOWN_LEAST, SUSPECT_LEAST = 20, 5
"""Attempts that make that a finding; of one that it was found of in the last `DOWN_S`."""
OPEN_FIRST_S, OPEN_MOST_S = 5.0, 60.0
"""How long the circuit stays open: the first time, and at most."""
OPEN_HALF_S = 30.0
"""How long for an endpoint that answers some calls and not others."""
TRIAL_S, TRIAL_MOST_S = 5.0, 60.0
"""How long what comes of a trial is waited for before another request may take one: the first time, and at most."""
DOUBT_S = 15.0
"""How long probes are not believed, after one that was wrong."""
MOMENT_S = 5.0
"""The shortest slot."""
TOGETHER = 64
"""Answers that are counted at once: one by one it costs twice as much."""
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

    def number(self, now: float) -> int:
        return int(now / self._width)

    def at(self, now: float) -> _Slot:
        number = self.number(now)
        slot = self._slots[number % len(self._slots)]
        if slot.number != number:
            slot.clear(number)
        return slot

    def last(self, now: float, seconds: float) -> Iterator[_Slot]:
        """The slots of the last *seconds*, the one under way among them."""
        number = self.number(now)
        oldest = number - int(seconds / self._width)
        return (slot for slot in self._slots if oldest < slot.number <= number)

    def clear(self) -> None:
        """Forget all of it."""
        for slot in self._slots:
            slot.clear(-1)


class Statistics:
    """Of one endpoint."""

    __slots__ = (
        "_answers",
        "_believe_from",
        "_day",
        "_half",
        "_half_hour",
        "_measured",
        "_moment",
        "_opened",
        "_probed",
        "_recent",
        "_row",
        "_suspect_until",
        "_talks",
        "_trial_until",
        "_trials",
        "asked_at",
        "changed",
        "offered",
        "open_until",
        "vitals",
    )

    def __init__(self) -> None:
        self._answers: list[tuple[float, float | None, int, float, bool | None]] = []
        """Those that are not counted yet, as `served` was told of them."""
        self._moment = _Ring(MOMENT_S, 7)
        self._recent = _Ring(30.0, 11)
        """These two are for the standing alone, and emptied when the endpoint is forgiven."""
        self._half_hour = _Ring(30.0, 61)
        self._day = _Ring(1800.0, 49)
        self._measured = -1
        """The slot of the half hour in which `vitals` was made."""
        self._row = 0
        self._talks: list[bool] = []
        """The last attempts, oldest first: whether each was served."""
        self._opened = 0
        """How often the circuit was opened since it was closed."""
        self._half = False
        """It is open for a share of failures, not for failures alone."""
        self._suspect_until = float("-inf")
        self._trials = 0
        """How many were taken since the circuit was opened."""
        self._trial_until = float("-inf")
        self._probed = False
        """The trial is a probe's doing."""
        self._believe_from = float("-inf")
        self.open_until = float("-inf")
        self.asked_at = float("-inf")
        """The last failure, or the last trial: of those that are down, the one of which that is longest ago is the
        likeliest to be back."""
        self.offered = False
        """A trial, as of the last `refresh`: who goes there is to `take` it."""
        self.vitals = UNKNOWN
        self.changed = False
        """Whether something came since `vitals` was made."""

    def served(
        self, now: float, *, latency_s: float | None, tokens: int = 0, seconds: float = 0.0, tools: bool | None = None
    ) -> None:
        """An answer: its first token came after *latency_s*, its *tokens* in *seconds* in all.

        *tools* tells whether all of its tool calls were valid; None where it had none or nobody looked.
        """
        self._answers.append((now, latency_s, tokens, seconds, tools))
        self.changed = True
        if self._opened or self._row or len(self._answers) >= TOGETHER:
            self._count_answers()

    def _count_answers(self) -> None:
        """Count the answers that wait for it. Where there is no trouble nobody needs to know of one at once."""
        if not self._answers:
            return
        answers, self._answers = self._answers, []
        number: int | None = None
        slots = self._at(answers[0][0])
        for now, latency_s, tokens, seconds, tools in answers:
            if int(now / MOMENT_S) != number:  # a slot of any ring is a whole number of these
                number, slots = int(now / MOMENT_S), self._at(now)
            for slot in slots:
                slot.served += 1
            *_, day, half_hour = slots
            if latency_s is not None:
                half_hour.latency = half_hour.latency or _Histogram()
                half_hour.latency.add(latency_s)
            if tokens > 1 and seconds > 0:
                half_hour.throughput = half_hour.throughput or _Histogram()
                half_hour.throughput.add(tokens / seconds)
            if tools is not None:
                if tools:
                    day.tools_good += 1
                else:
                    day.tools_bad += 1
            if self._opened and now - seconds >= self.open_until:  # else of a call that began before
                self._opened, self._half, self._probed, self.offered = 0, False, False, False
                self._talks.clear()
                self._moment.clear()
                self._recent.clear()
                number = None
        self._row = 0
        self._talks = (self._talks + [True] * len(answers))[-LAST:]

    def failed(self, now: float) -> None:
        """A failure of the provider's."""
        self._count(now, "failed")
        self._row += 1
        self._talk(False)
        self.asked_at = max(self.asked_at, now)
        if now < self.open_until:
            return  # of a call that began before
        if self._opened:
            if self._probed:
                self._believe_from = now + DOUBT_S
            self._open(now)
        elif self._row >= IN_A_ROW or (len(self._talks) >= LAST and self._talks.count(False) * 2 > LAST):
            self._open(now)
        elif self._half_dead(now):
            self._half = True
            self._suspect_until = now + DOWN_S
            self._open(now)

    def limited(self, now: float) -> None:
        """A 429: no failure, and nothing that a trial was for; the next request may take one."""
        self._count(now, "limited")
        self._trial_until = float("-inf")

    def recovered(self, now: float) -> None:
        """A probe was answered: an endpoint that failed altogether may be tried now."""
        if now < self.open_until and not self._half and now >= self._believe_from:
            self.open_until = now
            self._probed = True
            self.changed = True

    def take(self, now: float) -> None:
        """A request goes there to see if it is back; the others keep away until that is known or has taken too long."""
        self._trial_until = now + min(TRIAL_S * 2.0**self._trials, TRIAL_MOST_S)
        self._trials = min(self._trials + 1, 10)
        self.asked_at = max(self.asked_at, now)
        self.offered = False

    @property
    def tripped(self) -> bool:
        """Whether its circuit was opened and no answer has closed it, so that its standing changes with time alone."""
        return self._opened > 0

    @property
    def troubled(self) -> bool:
        """Whether it is in a state that a probe could end."""
        return self._opened > 0 and not self._half

    def refresh(self, now: float) -> Vitals:
        """`vitals`, as of *now*."""
        self._count_answers()
        number = self._half_hour.number(now)
        if not self.changed and number == self._measured:
            standing = self._standing(now)
            if standing != self.vitals.standing:
                self.vitals = replace(self.vitals, standing=standing)
            return self.vitals
        self._measured = number
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
        self._count_answers()
        return Uptime(
            last_5m=_share(self._half_hour.last(now, 300.0)),
            last_30m=_share(self._half_hour.last(now, 1800.0)),
            last_1d=_share(self._day.last(now, 86400.0)),
        )

    def half_hour(self, now: float) -> tuple[Percentiles | None, Percentiles | None]:
        """Latency and throughput of the last half hour, for the public list."""
        self._count_answers()
        slots = list(self._half_hour.last(now, 1800.0))
        return (
            _percentiles([slot.latency for slot in slots], rising=True),
            _percentiles([slot.throughput for slot in slots], rising=False),
        )

    def _standing(self, now: float) -> int:
        if now < self.open_until:
            return DOWN
        if self._opened:
            self.offered = now >= self._trial_until
            return STABLE if self.offered else DOWN
        served, failed = _sums(self._moment.last(now, STABLE_S))
        return UNSTABLE if failed and failed > UNSTABLE_SHARE * (served + failed) else STABLE

    def _open(self, now: float) -> None:
        self.open_until = now + (OPEN_HALF_S if self._half else min(OPEN_FIRST_S * 2**self._opened, OPEN_MOST_S))
        self._opened = min(self._opened + 1, 10)
        self._trials, self._trial_until = 0, float("-inf")
        self._probed = self.offered = False

    def _half_dead(self, now: float) -> bool:
        least = SUSPECT_LEAST if now < self._suspect_until else DOWN_LEAST
        for ring, seconds in ((self._moment, STABLE_S), (self._recent, DOWN_S)):
            served, failed = _sums(ring.last(now, seconds))
            if served + failed >= least and failed > DOWN_SHARE * (served + failed):
                return True
        return False

    def _at(self, now: float) -> "tuple[_Slot, _Slot, _Slot, _Slot]":
        return self._moment.at(now), self._recent.at(now), self._day.at(now), self._half_hour.at(now)

    def _count(self, now: float, outcome: Literal["failed", "limited"]) -> None:
        """Count it in every ring."""
        self._count_answers()
        for slot in self._at(now):
            if outcome == "failed":
                slot.failed += 1
            else:
                slot.limited += 1
        self.changed = True

    def _talk(self, served: bool) -> None:
        self._talks.append(served)
        if len(self._talks) > LAST:
            del self._talks[0]


def _sums(slots: Iterator[_Slot]) -> tuple[int, int]:
    """Served and failed."""
    served = failed = 0
    for slot in slots:
        served += slot.served
        failed += slot.failed
    return served, failed


def _share(slots: Iterator[_Slot]) -> float | None:
    served, failed = _sums(slots)
    total = served + failed
    return None if total < LEAST_FOR_UPTIME else round(100.0 * served / total, 2)


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
