"""Statistics of an endpoint (outcomes, latency, throughput, validity of tool calls) and its circuit breaker.

Rolling windows from 30 seconds to one day use constant memory: ring buffers of reusable slots with counters. The half
hour's slots also have two histograms with logarithmic buckets (5 % wide, so a percentile is exact to 2.5 %). Adding a
value costs a few additions; sums are computed when `vitals` is refreshed, at most once a second.

The **circuit** opens for 5 seconds, doubling to 60, after five consecutive failures or where more than half of the last
twenty attempts failed; and for 30 seconds each time where more than a fifth failed in half a minute or in five minutes.
When that time is over, or a recovery probe succeeds, a **trial** is offered: one request claims it, and other requests
avoid the endpoint until its outcome is known. Since a call to a dead endpoint can take long to fail, the next trial is
offered after 5 seconds, then 10, doubling to 60. A success closes the circuit and clears the recent failures; a failure
opens it again. A probe is weak evidence: a model list may be served where inference fails. It therefore does not help
an endpoint that fails some calls, and after a wrong probe further ones are ignored for a while.
Sources: OpenRouter, "Provider routing" and "Auto Exacto"; docs/reference/routing.md, "Health";
docs/routing-simulation.md.

Times are monotonic seconds and are passed in. Events of other replicas are added by the same methods.
"""

from collections.abc import Iterator
from math import exp, floor, log
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

STABLE_S = 30.0
"""The window in which failures make an endpoint unstable."""
UNSTABLE_SHARE = 0.05
"""The share of failed attempts in that window above which it is unstable; OpenRouter's "degraded"."""
TOOLS_S = 7200.0
"""The window of tool call counts."""
DOWN_SHARE = 0.20
"""The share of failures in `STABLE_S` or `DOWN_S` above which the circuit opens."""
DOWN_S = 300.0
MIN_ATTEMPTS, MIN_ATTEMPTS_SUSPECT = 20, 5
"""The minimum number of attempts for that: in general, and within `DOWN_S` after the circuit opened for that reason."""
OPEN_FIRST_S, OPEN_MAX_S = 5.0, 60.0
"""The first and the maximum open time of the circuit."""
OPEN_HALF_S = 30.0
"""The open time for an endpoint that fails only some calls."""
TRIAL_S, TRIAL_MAX_S = 5.0, 60.0
"""The first and the maximum time before another trial is offered while one has no outcome."""
WRONG_PROBE_S = 15.0
"""The time for which probes are ignored after a wrong one."""
SHORTEST_SLOT_S = 5.0
"""The shortest slot."""
BATCH_SIZE = 64
"""The number of responses that are counted in one batch; counting them one by one costs twice as much."""
MAX_CONSECUTIVE_FAILURES = 5
OUTCOME_WINDOW = 20
"""The number of consecutive failures that opens the circuit, and of attempts of which more than half must fail."""

STABLE, UNSTABLE, DOWN = 0, 1, 2
"""Standings: usable; failures in the last half minute; only for fallbacks."""

_BASE = log(1.05)
_LEAST = 1e-3
"""Smaller values (a millisecond, or a token in a quarter of an hour) share one bucket."""


class Percentiles(Struct, frozen=True, kw_only=True):
    """p90 of latency: 90 % are as fast or faster. p90 of throughput: 90 % are as fast or faster, so it is lower."""

    p50: float
    p75: float
    p90: float
    p99: float


class Vitals(Struct, frozen=True, kw_only=True):
    """The current state of an endpoint for routing, over five minutes unless stated otherwise.

    Latency is seconds to the first token, throughput tokens per second; None where there is no data.
    """

    standing: int = STABLE
    latency: Percentiles | None = None
    throughput: Percentiles | None = None
    requests: int = 0
    """Successes and failures of the last half hour."""
    tool_requests: int = 0
    """Responses of the last two hours whose tool calls were checked."""
    tool_success: float | None = None
    """The share of them in which every call was valid; None where there are none."""


class Uptime(Struct, frozen=True, kw_only=True):
    """Percentage of successful attempts; None where there were too few."""

    last_5m: float | None
    last_30m: float | None
    last_1d: float | None


UNKNOWN = Vitals()
MIN_ATTEMPTS_FOR_UPTIME = 100
"""The minimum number of attempts. Source: OpenRouter, "Provider routing" (load balancing)."""


class _Histogram:
    """Counts in logarithmic buckets."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, value: float) -> None:
        bucket = floor(log(max(value, _LEAST)) / _BASE)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1


class _Slot:
    """Counters of one time interval, identified by `number`."""

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
    """A ring buffer of slots of *width* seconds; the oldest slot is reused."""

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
        """The slots of the last *seconds*, including the current one."""
        number = self.number(now)
        oldest = number - int(seconds / self._width)
        return (slot for slot in self._slots if oldest < slot.number <= number)

    def clear(self) -> None:
        """Clear all slots."""
        for slot in self._slots:
            slot.clear(-1)


class Statistics:
    """Statistics and circuit breaker of one endpoint."""

    __slots__ = (
        "_consecutive_failures",
        "_day",
        "_failed_by_share",
        "_five_minutes",
        "_half_hour",
        "_half_minute",
        "_last_outcomes",
        "_opened",
        "_probed",
        "_probes_ignored_until",
        "_suspect_until",
        "_trial_until",
        "_trials",
        "_uncounted",
        "_vitals_slot",
        "changed",
        "last_tried_at",
        "open_until",
        "trial_offered",
        "vitals",
    )

    def __init__(self) -> None:
        self._uncounted: list[tuple[float, float | None, int, float, bool | None]] = []
        """Responses that are not counted yet, as passed to `served`."""
        self._half_minute = _Ring(SHORTEST_SLOT_S, 7)
        self._five_minutes = _Ring(30.0, 11)
        """`_half_minute` and `_five_minutes` determine the standing only. They are cleared when the circuit closes."""
        self._half_hour = _Ring(30.0, 61)
        self._day = _Ring(1800.0, 49)
        self._vitals_slot = -1
        """The half-hour slot in which `vitals` was computed."""
        self._consecutive_failures = 0
        self._last_outcomes: list[bool] = []
        """The last attempts, oldest first: True where successful."""
        self._opened = 0
        """How often the circuit was opened since it was last closed."""
        self._failed_by_share = False
        """The circuit is open because of a share of failures."""
        self._suspect_until = float("-inf")
        self._trials = 0
        """The number of trials since the circuit was opened."""
        self._trial_until = float("-inf")
        self._probed = False
        """A recovery probe led to the current trial."""
        self._probes_ignored_until = float("-inf")
        self.open_until = float("-inf")
        self.last_tried_at = float("-inf")
        """The time of the last failure or trial. Of several endpoints that are down, the one with the oldest is tried
        first."""
        self.trial_offered = False
        """Whether a trial is offered, as of the last `refresh`. The request that uses it must call `claim_trial`."""
        self.vitals = UNKNOWN
        self.changed = False
        """Whether anything was added since `vitals` was computed."""

    def served(
        self, now: float, *, latency_s: float | None, tokens: int = 0, seconds: float = 0.0, tools: bool | None = None
    ) -> None:
        """Record a success: its first token came after *latency_s*, its *tokens* took *seconds* in total.

        *tools* tells whether all of its tool calls were valid; None where there were none or they were not checked.
        """
        self._uncounted.append((now, latency_s, tokens, seconds, tools))
        self.changed = True
        if self._opened or self._consecutive_failures or len(self._uncounted) >= BATCH_SIZE:
            self._count_pending()

    def _count_pending(self) -> None:
        """Count the waiting responses. Without failures they can be counted later in a batch."""
        if not self._uncounted:
            return
        answers, self._uncounted = self._uncounted, []
        number: int | None = None
        slots = self._at(answers[0][0])
        for now, latency_s, tokens, seconds, tools in answers:
            if int(now / SHORTEST_SLOT_S) != number:  # the slots of all rings are multiples of it
                number, slots = int(now / SHORTEST_SLOT_S), self._at(now)
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
            if self._opened and now - seconds >= self.open_until:  # otherwise the call began before the circuit opened
                self._opened, self._failed_by_share, self._probed, self.trial_offered = 0, False, False, False
                self._last_outcomes.clear()
                self._half_minute.clear()
                self._five_minutes.clear()
                number = None
        self._consecutive_failures = 0
        self._last_outcomes = (self._last_outcomes + [True] * len(answers))[-OUTCOME_WINDOW:]

    def failed(self, now: float) -> None:
        """Record a failure of the provider."""
        self._count(now, "failed")
        self._consecutive_failures += 1
        self._add_outcome(False)
        self.last_tried_at = max(self.last_tried_at, now)
        if now < self.open_until:
            return  # the call began before the circuit opened
        if self._opened:
            if self._probed:
                self._probes_ignored_until = now + WRONG_PROBE_S
            self._open(now)
        elif self._consecutive_failures >= MAX_CONSECUTIVE_FAILURES or (
            len(self._last_outcomes) >= OUTCOME_WINDOW and self._last_outcomes.count(False) * 2 > OUTCOME_WINDOW
        ):
            self._open(now)
        elif self._exceeds_failure_share(now):
            self._failed_by_share = True
            self._suspect_until = now + DOWN_S
            self._open(now)

    def limited(self, now: float) -> None:
        """Record a 429. It is not a failure and does not decide a trial: the next request may claim one."""
        self._count(now, "limited")
        self._trial_until = float("-inf")

    def recovered(self, now: float) -> None:
        """Record a successful probe: an endpoint that failed every call may be tried now."""
        if now < self.open_until and not self._failed_by_share and now >= self._probes_ignored_until:
            self.open_until = now
            self._probed = True
            self.changed = True

    def claim_trial(self, now: float) -> None:
        """Claim the trial for a request. Other requests avoid the endpoint until its outcome or a time-out."""
        self._trial_until = now + min(TRIAL_S * 2.0**self._trials, TRIAL_MAX_S)
        self._trials = min(self._trials + 1, 10)
        self.last_tried_at = max(self.last_tried_at, now)
        self.trial_offered = False

    @property
    def tripped(self) -> bool:
        """Whether the circuit was opened and not closed since, so that its standing changes with time alone."""
        return self._opened > 0

    @property
    def troubled(self) -> bool:
        """Whether a recovery probe can change its state."""
        return self._opened > 0 and not self._failed_by_share

    def refresh(self, now: float) -> Vitals:
        """Update `vitals` to *now* and return them."""
        self._count_pending()
        number = self._half_hour.number(now)
        if not self.changed and number == self._vitals_slot:
            standing = self._standing(now)
            if standing != self.vitals.standing:
                self.vitals = replace(self.vitals, standing=standing)
            return self.vitals
        self._vitals_slot = number
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
        """Uptime for the public list."""
        self._count_pending()
        return Uptime(
            last_5m=_share(self._half_hour.last(now, 300.0)),
            last_30m=_share(self._half_hour.last(now, 1800.0)),
            last_1d=_share(self._day.last(now, 86400.0)),
        )

    def half_hour(self, now: float) -> tuple[Percentiles | None, Percentiles | None]:
        """Latency and throughput of the last half hour, for the public list."""
        self._count_pending()
        slots = list(self._half_hour.last(now, 1800.0))
        return (
            _percentiles([slot.latency for slot in slots], rising=True),
            _percentiles([slot.throughput for slot in slots], rising=False),
        )

    def _standing(self, now: float) -> int:
        if now < self.open_until:
            return DOWN
        if self._opened:
            self.trial_offered = now >= self._trial_until
            return STABLE if self.trial_offered else DOWN
        served, failed = _sums(self._half_minute.last(now, STABLE_S))
        return UNSTABLE if failed and failed > UNSTABLE_SHARE * (served + failed) else STABLE

    def _open(self, now: float) -> None:
        self.open_until = now + (
            OPEN_HALF_S if self._failed_by_share else min(OPEN_FIRST_S * 2**self._opened, OPEN_MAX_S)
        )
        self._opened = min(self._opened + 1, 10)
        self._trials, self._trial_until = 0, float("-inf")
        self._probed = self.trial_offered = False

    def _exceeds_failure_share(self, now: float) -> bool:
        least = MIN_ATTEMPTS_SUSPECT if now < self._suspect_until else MIN_ATTEMPTS
        for ring, seconds in ((self._half_minute, STABLE_S), (self._five_minutes, DOWN_S)):
            served, failed = _sums(ring.last(now, seconds))
            if served + failed >= least and failed > DOWN_SHARE * (served + failed):
                return True
        return False

    def _at(self, now: float) -> "tuple[_Slot, _Slot, _Slot, _Slot]":
        return self._half_minute.at(now), self._five_minutes.at(now), self._day.at(now), self._half_hour.at(now)

    def _count(self, now: float, outcome: Literal["failed", "limited"]) -> None:
        """Count a failure or a 429 in every ring."""
        self._count_pending()
        for slot in self._at(now):
            if outcome == "failed":
                slot.failed += 1
            else:
                slot.limited += 1
        self.changed = True

    def _add_outcome(self, served: bool) -> None:
        self._last_outcomes.append(served)
        if len(self._last_outcomes) > OUTCOME_WINDOW:
            del self._last_outcomes[0]


def _sums(slots: Iterator[_Slot]) -> tuple[int, int]:
    """Numbers of successes and failures."""
    served = failed = 0
    for slot in slots:
        served += slot.served
        failed += slot.failed
    return served, failed


def _share(slots: Iterator[_Slot]) -> float | None:
    served, failed = _sums(slots)
    total = served + failed
    return None if total < MIN_ATTEMPTS_FOR_UPTIME else round(100.0 * served / total, 2)


def _percentiles(histograms: list[_Histogram | None], *, rising: bool) -> Percentiles | None:
    """Percentiles of all *histograms* together. *rising*: a higher percentile is a higher value."""
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
