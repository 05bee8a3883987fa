"""Statistics of an endpoint: windows that end, percentiles that are close, memory that does not grow, the circuit."""

import sys
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.routing.statistics import DOWN, STABLE, UNSTABLE, Statistics

NOW = 50_000.0


def failing(times: int, now: float = NOW) -> Statistics:
    statistics = Statistics()
    for _ in range(times):
        statistics.failed(now)
    return statistics


def serve(statistics: Statistics, times: int, now: float = NOW, **said: Any) -> None:
    said.setdefault("latency_s", None)
    for _ in range(times):
        statistics.served(now, **said)


def standing(statistics: Statistics, now: float) -> int:
    return statistics.refresh(now).standing


def test_initial_vitals() -> None:
    vitals = Statistics().refresh(NOW)
    assert (vitals.standing, vitals.latency, vitals.throughput, vitals.tool_success) == (STABLE, None, None, None)
    uptime = Statistics().uptime(NOW)
    assert (uptime.last_5m, uptime.last_30m, uptime.last_1d) == (None, None, None)
    assert Statistics().half_hour(NOW) == (None, None)


# Windows


@pytest.mark.parametrize(("age", "found"), [(0, UNSTABLE), (10, UNSTABLE), (24, UNSTABLE), (31, STABLE), (300, STABLE)])
def test_failure_makes_unstable_for_half_a_minute(age: float, found: int) -> None:
    assert standing(failing(1), NOW + age) == found


@pytest.mark.parametrize(("served", "found"), [(0, UNSTABLE), (18, UNSTABLE), (19, STABLE), (100, STABLE)])
def test_five_percent_failures_are_stable(served: int, found: int) -> None:
    statistics = failing(1)
    serve(statistics, served)
    assert standing(statistics, NOW + 1) == found


@pytest.mark.parametrize(("age", "known"), [(0, True), (269, True), (301, False), (5000, False)])
def test_latency_and_throughput_cover_five_minutes(age: float, known: bool) -> None:
    statistics = Statistics()
    serve(statistics, 3, latency_s=0.5, tokens=100, seconds=2.0)
    vitals = statistics.refresh(NOW + age)
    assert (vitals.latency is not None) == known
    assert (vitals.throughput is not None) == known


@pytest.mark.parametrize(("age", "known"), [(0, True), (1769, True), (1831, False)])
def test_public_percentiles_cover_half_an_hour(age: float, known: bool) -> None:
    statistics = Statistics()
    serve(statistics, 100, latency_s=0.5, tokens=100, seconds=2.0)
    latency, throughput = statistics.half_hour(NOW + age)
    assert (latency is not None) == known
    assert (throughput is not None) == known
    assert (statistics.uptime(NOW + age).last_30m == 100.0) == known
    assert statistics.refresh(NOW + age).requests == (100 if known else 0)


@pytest.mark.parametrize(("age", "known"), [(0, True), (84_000, True), (88_201, False)])
def test_uptime_covers_a_day(age: float, known: bool) -> None:
    statistics = Statistics()
    serve(statistics, 99)
    statistics.failed(NOW)
    assert statistics.uptime(NOW + age).last_1d == (99.0 if known else None)


@pytest.mark.parametrize(("age", "known"), [(0, 200), (5_400, 200), (9_001, 0)])
def test_tool_success_covers_two_hours(age: float, known: int) -> None:
    statistics = Statistics()
    serve(statistics, 150, tools=True)
    serve(statistics, 50, tools=False)
    vitals = statistics.refresh(NOW + age)
    assert vitals.tool_requests == known
    assert vitals.tool_success == (0.75 if known else None)


def test_uptime_needs_a_hundred_attempts_without_429s() -> None:
    statistics = Statistics()
    serve(statistics, 99)
    for _ in range(50):
        statistics.limited(NOW)
    assert statistics.uptime(NOW).last_5m is None
    statistics.failed(NOW)
    assert statistics.uptime(NOW).last_5m == 99.0


def test_reused_slot_is_cleared() -> None:
    statistics = Statistics()
    serve(statistics, 5, latency_s=9.0)
    later = NOW + 61 * 30.0  # a turn of the ring
    serve(statistics, 1, later, latency_s=1.0)
    found = statistics.refresh(later).latency
    assert found is not None
    assert found.p99 < 1.1


# Percentiles


@given(
    values=st.lists(st.floats(0.002, 500), min_size=1, max_size=60),
    level=st.sampled_from([("p50", 50), ("p75", 75), ("p90", 90), ("p99", 99)]),
)
def test_percentiles_are_within_five_percent(values: list[float], level: tuple[str, int]) -> None:
    statistics = Statistics()
    for value in values:
        statistics.served(NOW, latency_s=value, tokens=1_000_000, seconds=1_000_000 / value)
    vitals = statistics.refresh(NOW)
    name, percent = level
    place = max(-(-percent * len(values) // 100), 1) - 1
    assert getattr(vitals.latency, name) == pytest.approx(sorted(values)[place], rel=0.05)
    assert getattr(vitals.throughput, name) == pytest.approx(sorted(values, reverse=True)[place], rel=0.05)


def test_percentiles_of_many() -> None:
    draw, statistics = Random(5), Statistics()
    values = [draw.lognormvariate(0, 1) for _ in range(20_000)]
    for number, value in enumerate(values):
        statistics.served(NOW + number * 0.012, latency_s=value)
    found = statistics.refresh(NOW + 240).latency
    assert found is not None
    values.sort()
    for said, place in ((found.p50, 10_000), (found.p75, 15_000), (found.p90, 18_000), (found.p99, 19_800)):
        assert said == pytest.approx(values[place - 1], rel=0.05)


def test_one_token_or_zero_time_has_no_throughput() -> None:
    statistics = Statistics()
    statistics.served(NOW, latency_s=0.1, tokens=1, seconds=1.0)
    statistics.served(NOW, latency_s=0.0, tokens=5, seconds=0.0)
    vitals = statistics.refresh(NOW)
    assert vitals.throughput is None
    assert vitals.latency is not None


# Memory


def held(thing: Any, seen: set[int]) -> int:
    """The bytes of *thing* and of all that it holds."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    return sys.getsizeof(thing) + sum(held(one, seen) for one in inside(thing))


def inside(thing: Any) -> Iterator[Any]:
    if isinstance(thing, dict):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, (list, tuple)):
        yield from thing
    for name in getattr(type(thing), "__slots__", ()):
        yield getattr(thing, name)


def test_memory_does_not_grow_with_calls_or_time() -> None:
    draw, statistics = Random(2), Statistics()

    def work(begin: float, calls: int, seconds: float) -> None:
        for number in range(calls):
            now = begin + seconds * number / calls
            statistics.served(now, latency_s=draw.uniform(0.1, 10), tokens=50, seconds=draw.uniform(1, 50), tools=True)
            if number % 7 == 0:
                statistics.failed(now)

    work(NOW, 20_000, 3600.0)
    before = held(statistics, set())
    work(NOW + 3600, 40_000, 7200.0)
    assert held(statistics, set()) < before * 1.1
    assert before < 1_000_000


# The circuit


def test_five_consecutive_failures_open_the_circuit_for_five_seconds() -> None:
    assert standing(failing(4), NOW) == UNSTABLE
    statistics = failing(5)
    assert standing(statistics, NOW) == DOWN
    assert standing(statistics, NOW + 4.9) == DOWN
    assert standing(statistics, NOW + 5) == STABLE, "it is tried"


def test_success_resets_consecutive_failures() -> None:
    statistics = failing(4)
    serve(statistics, 1)
    statistics.failed(NOW)
    assert standing(statistics, NOW) == UNSTABLE


def test_fewer_than_twenty_attempts_do_not_open_the_circuit_by_share() -> None:
    statistics = Statistics()
    for _ in range(6):
        statistics.failed(NOW)
        statistics.failed(NOW)
        serve(statistics, 1)
    assert statistics.open_until < NOW


def test_429s_do_not_open_the_circuit() -> None:
    statistics = Statistics()
    for _ in range(50):
        statistics.limited(NOW)
    assert standing(statistics, NOW) == STABLE
    assert not statistics.troubled


def test_open_time_doubles_up_to_a_minute() -> None:
    statistics, now = failing(5), NOW
    lengths = []
    for _ in range(7):
        lengths.append(statistics.open_until - now)
        now = statistics.open_until
        assert standing(statistics, now) == STABLE
        statistics.failed(now)
    assert lengths == [5, 10, 20, 40, 60, 60, 60]


def test_failures_of_earlier_calls_do_not_extend_the_open_time() -> None:
    statistics = failing(5)
    statistics.failed(NOW + 1)
    statistics.failed(NOW + 4)
    assert statistics.open_until == NOW + 5
    statistics.failed(NOW + 5)
    assert statistics.open_until == NOW + 15, "of the first try"


def test_success_after_the_open_time_closes_the_circuit() -> None:
    statistics = failing(5)
    serve(statistics, 1, NOW + 6)
    assert standing(statistics, NOW + 6) == STABLE, "what failed before is forgiven"
    for _ in range(4):
        statistics.failed(NOW + 7)
    assert statistics.open_until == NOW + 5
    statistics.failed(NOW + 7)
    assert statistics.open_until == NOW + 12, "five seconds again, not ten"


def test_success_of_an_earlier_call_does_not_close_the_circuit() -> None:
    statistics = failing(5)
    serve(statistics, 1, NOW + 1)
    assert standing(statistics, NOW + 2) == DOWN


def test_failure_after_a_probe_reopens_the_circuit_for_longer() -> None:
    statistics = failing(5)
    statistics.recovered(NOW + 1)
    statistics.failed(NOW + 2)
    assert statistics.open_until == NOW + 12


def test_failure_after_a_probe_without_open_circuit_makes_unstable() -> None:
    statistics = failing(1)
    statistics.recovered(NOW + 1)
    statistics.failed(NOW + 10)
    assert standing(statistics, NOW + 10) == UNSTABLE


def test_cleared_failures_count_for_uptime() -> None:
    statistics = failing(4)
    serve(statistics, 96)
    statistics.recovered(NOW + 1)
    assert statistics.uptime(NOW + 1).last_5m == 96.0


def test_successful_probe_ends_the_open_time_and_offers_a_trial() -> None:
    statistics = Statistics()
    for _ in range(5):
        statistics.failed(NOW)
    assert standing(statistics, NOW + 1) == DOWN
    statistics.recovered(NOW + 2)
    assert standing(statistics, NOW + 2) == STABLE
    statistics.failed(NOW + 2.5)
    assert standing(statistics, NOW + 3) == DOWN, "it was wrong"
    statistics.recovered(NOW + 4)
    assert standing(statistics, NOW + 4) == DOWN, "and is not believed again so soon"


def test_probe_does_not_help_partial_failures() -> None:
    statistics = Statistics()
    for number in range(24):
        if number % 4:
            statistics.served(NOW + number / 10, latency_s=None)
        else:
            statistics.failed(NOW + number / 10)
    assert standing(statistics, NOW + 3) == DOWN
    statistics.recovered(NOW + 4)
    assert standing(statistics, NOW + 4) == DOWN
