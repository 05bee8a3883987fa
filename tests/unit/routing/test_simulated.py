"""The standing of an endpoint, and an hour of simulated troubles (docs/routing-simulation.md)."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from trunkline.routing.statistics import (
    DOWN,
    MAX_CONSECUTIVE_FAILURES,
    MIN_ATTEMPTS,
    OPEN_FIRST_S,
    OPEN_HALF_S,
    STABLE,
    STABLE_S,
    TRIAL_MAX_S,
    TRIAL_S,
    UNSTABLE,
    WRONG_PROBE_S,
    Statistics,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def simulate() -> Any:
    spec = importlib.util.spec_from_file_location("trunkline_tools_simulate", ROOT / "tools" / "simulate.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look names up
    spec.loader.exec_module(module)
    return module


def served(statistics: Statistics, now: float, seconds: float = 1.0) -> None:
    statistics.served(now, latency_s=0.5, tokens=10, seconds=seconds)


def standing(statistics: Statistics, now: float) -> int:
    return statistics.refresh(now).standing


def offer(statistics: Statistics, now: float) -> tuple[int, bool]:
    """The standing, and whether a trial is on offer."""
    return standing(statistics, now), statistics.trial_offered


def dead(now: float = 1000.0) -> tuple[Statistics, float]:
    """One that has just failed altogether, and when its circuit closes."""
    statistics = Statistics()
    for _ in range(MAX_CONSECUTIVE_FAILURES):
        statistics.failed(now)
    assert standing(statistics, now) == DOWN
    return statistics, now + OPEN_FIRST_S


def half_dead(now: float = 1000.0) -> tuple[Statistics, float]:
    """One that has answered three calls of four, and when it is tried again."""
    statistics = Statistics()
    while standing(statistics, now) != DOWN:
        for _ in range(3):
            served(statistics, now)
        statistics.failed(now)
        now += 1.0
        assert now < 1000.0 + MIN_ATTEMPTS, "it is noticed"
    return statistics, now - 1.0 + OPEN_HALF_S


def test_claimed_trial_keeps_other_requests_away() -> None:
    statistics, over = dead()
    assert offer(statistics, over - 0.1) == (DOWN, False)
    assert offer(statistics, over) == (STABLE, True)
    statistics.claim_trial(over)
    assert offer(statistics, over) == (DOWN, False)
    assert offer(statistics, over + 4.0) == (DOWN, False)
    served(statistics, over + 4.0)
    assert offer(statistics, over + 4.0) == (STABLE, False)
    assert not statistics.tripped


def test_unclaimed_trial_stays_offered() -> None:
    statistics, over = dead()
    assert [offer(statistics, over + after) for after in (0, 1, 100, 5000)] == [(STABLE, True)] * 4


@pytest.mark.parametrize("failed", [True, False])
def test_what_comes_of_one_that_asked_it_as_a_fallback_ends_the_offer(failed: bool) -> None:
    statistics, over = dead()
    assert offer(statistics, over) == (STABLE, True)
    if failed:
        statistics.failed(over)
    else:
        served(statistics, over, seconds=0.0)
    assert offer(statistics, over) == (DOWN if failed else STABLE, False)


def test_a_trial_of_which_nothing_is_heard_is_waited_for_twice_as_long_each_time_up_to_a_minute() -> None:
    statistics, now = dead()
    waits = []
    for _ in range(6):
        assert standing(statistics, now) == STABLE
        statistics.claim_trial(now)
        began = now
        while standing(statistics, now) == DOWN:
            now += 0.5
        waits.append(now - began)
    assert waits == [TRIAL_S, 10, 20, 40, TRIAL_MAX_S, TRIAL_MAX_S]


def test_after_a_failed_trial_the_next_one_is_waited_for_as_long_as_a_first() -> None:
    statistics, over = dead()
    standing(statistics, over)
    statistics.claim_trial(over)
    statistics.failed(over + 1.0)
    assert offer(statistics, over + 1.0) == (DOWN, False)
    again = over + 1.0 + 2 * OPEN_FIRST_S
    assert standing(statistics, again - 0.1) == DOWN
    assert standing(statistics, again) == STABLE
    statistics.claim_trial(again)
    assert standing(statistics, again + TRIAL_S - 0.1) == DOWN
    assert standing(statistics, again + TRIAL_S) == STABLE


def test_trial_with_a_429_is_undecided() -> None:
    statistics, over = dead()
    standing(statistics, over)
    statistics.claim_trial(over)
    statistics.limited(over + 0.5)
    assert offer(statistics, over + 0.5) == (STABLE, True)


def test_the_last_failure_or_trial_is_when_it_was_asked() -> None:
    statistics, over = dead(1000.0)
    assert statistics.last_tried_at == 1000.0
    statistics.failed(990.0)  # told late by another replica
    assert statistics.last_tried_at == 1000.0
    standing(statistics, over)
    assert statistics.last_tried_at == 1000.0
    statistics.claim_trial(over)
    assert statistics.last_tried_at == over
    statistics.failed(over + 7.0)
    assert statistics.last_tried_at == over + 7.0


def test_a_failed_trial_doubles_the_time_up_to_a_minute() -> None:
    statistics, over = dead()
    waits = []
    for _ in range(6):
        assert standing(statistics, over) == STABLE
        statistics.failed(over)
        waits.append(statistics.open_until - over)
        over = statistics.open_until
    assert waits == [10, 20, 40, 60, 60, 60]


def test_success_of_an_earlier_call_does_not_decide_a_trial() -> None:
    statistics, over = dead()
    assert standing(statistics, over) == STABLE
    statistics.claim_trial(over)
    served(statistics, over + 2.0, seconds=60.0)
    assert standing(statistics, over + 2.0) == DOWN
    served(statistics, over + 3.0, seconds=1.5)
    assert standing(statistics, over + 3.0) == STABLE


def test_closed_circuit_is_judged_by_new_attempts() -> None:
    statistics, over = dead()
    served(statistics, over + 1.0, seconds=0.5)
    assert standing(statistics, over + 1.0) == STABLE
    statistics.failed(over + 2.0)
    assert standing(statistics, over + 2.0) == UNSTABLE
    assert standing(statistics, over + 2.0 + STABLE_S + 5.0) == STABLE


def test_a_probe_begins_a_trial() -> None:
    statistics, over = dead()
    assert statistics.troubled
    statistics.recovered(over - 3.0)
    assert standing(statistics, over - 3.0) == STABLE
    served(statistics, over - 2.0, seconds=0.5)
    assert not statistics.troubled


def test_probes_are_ignored_after_a_wrong_one() -> None:
    statistics, over = dead()
    statistics.recovered(over - 3.0)
    statistics.failed(over - 2.0)
    statistics.recovered(over - 1.0)
    assert standing(statistics, over - 1.0) == DOWN
    statistics.failed(over - 2.0 + 10.0)
    statistics.recovered(over - 2.0 + WRONG_PROBE_S)
    assert standing(statistics, over - 2.0 + WRONG_PROBE_S) == STABLE


def test_partially_failing_endpoint_opens_and_ignores_probes() -> None:
    statistics, over = half_dead()
    assert not statistics.troubled
    statistics.recovered(over - 10.0)
    assert standing(statistics, over - 10.0) == DOWN
    assert standing(statistics, over) == STABLE


def test_fewer_attempts_suffice_for_a_suspect() -> None:
    statistics, over = half_dead()
    served(statistics, over + 1.0)
    assert standing(statistics, over + 1.0) == STABLE
    for _ in range(3):
        served(statistics, over + 2.0)
        statistics.failed(over + 2.0)
    assert standing(statistics, over + 2.0) == DOWN


def test_single_failure_among_successes_changes_nothing() -> None:
    statistics = Statistics()
    for second in range(30):
        served(statistics, 1000.0 + second)
    statistics.failed(1030.0)
    assert standing(statistics, 1030.0) == STABLE


def test_vitals_age_without_new_attempts() -> None:
    statistics = Statistics()
    served(statistics, 1000.0)
    assert statistics.refresh(1001.0) is statistics.refresh(1002.0)
    assert statistics.refresh(1400.0).latency is None
    assert statistics.refresh(1400.0).requests == 1
    assert statistics.refresh(3000.0).requests == 0


@pytest.mark.parametrize("policy", ["draw", "price"])
def test_an_hour_with_four_times_the_usual_troubles(simulate: Any, policy: str) -> None:
    """Without the two disasters of a day, which in an hour would be twenty-four times too many."""
    result = simulate.Run(simulate.World(3, 1, 4, disasters=False), policy).live()
    assert result.requests > 5_000
    assert len(result.recoveries) >= 5
    assert result.success >= 0.999
    assert result.recovery(1.0) <= 60
    # The draw uses dearer endpoints by design: see below for what its law alone costs.
    assert result.cost_ratio <= {"draw": 1.65, "price": 1.10}[policy]


def test_after_a_blackout_all_are_back_within_a_minute(simulate: Any) -> None:
    result = simulate.Run(simulate.World(1, 0.25, 0), "draw").live()
    assert result.in_blackout > 50
    assert len(result.recoveries) >= 12
    assert result.recovery(1.0) <= 60


def test_without_trouble_the_draw_costs_what_its_law_says(simulate: Any) -> None:
    world = simulate.World(3, 1, 4)
    calm = world.calm()
    assert (calm.troubles, calm.changes) == ([], world.changes)
    assert list(calm.requests()) == list(world.requests())
    result = simulate.Run(calm, "draw").live()
    assert 1.4 < result.law_ratio < 1.6
    assert result.cost_ratio / result.law_ratio == pytest.approx(1, abs=0.03)


def test_trouble_makes_the_draw_dearer_by_less_than_a_tenth_of_what_its_law_says(simulate: Any) -> None:
    result = simulate.Run(simulate.World(3, 1, 4, disasters=False), "draw").live()
    assert result.cost_ratio / result.law_ratio < 1.10


def test_the_law_is_the_mean_of_the_draw(simulate: Any) -> None:
    slots = simulate.Run(simulate.World(1, 0.1), "draw").router.pools[simulate.MODEL].slots
    one, other = slots[0], slots[-1]
    share = one.weight / (one.weight + other.weight)
    assert simulate.expectation([10, 90], [one, other]) == pytest.approx(10 * share + 90 * (1 - share))
    assert simulate.expectation([7, 7, 7], slots[:3]) == pytest.approx(7)


def test_failures_are_counted_by_moment(simulate: Any) -> None:
    world = simulate.World(1, 24)
    blackout = world.seconds * 0.75
    assert [world.moment(blackout + after) for after in (-1, 0, 119, 120)] == [
        "any other time", "blackout", "blackout", "any other time",
    ]  # fmt: skip
    assert {*world.moments, "any other time"} == set(simulate.MOMENTS)
    result = simulate.Run(simulate.World(1, 0.25, 0), "price").live()
    figures = result.figures()
    assert sum(figures[f"failed: {moment}"] for moment in simulate.MOMENTS) == figures["failed while one was up"] > 0


def test_the_tables_have_their_places_on_the_page(simulate: Any) -> None:
    figures = simulate.Run(simulate.World(7, 0.05, 0, disasters=False), "draw").live().figures()
    found = {name: dict.fromkeys(simulate.POLICIES, figures) for name in ("day", "calm")}
    page = (ROOT / "docs" / "routing-simulation.md").read_text("utf-8")
    made = simulate.sections(found, found)
    assert set(made) == {"figures", "cost", "before"}
    filled = simulate.filled(page, made)
    assert all(text in filled for text in made.values())
    assert simulate.filled(filled, made) == filled
    with pytest.raises(ValueError, match="0 places for figures"):
        simulate.filled("", made)


def test_the_same_seed_is_the_same_day(simulate: Any) -> None:
    first, again = (simulate.Run(simulate.World(7, 0.05, 20), "draw").live().figures() for _ in range(2))
    assert first == again


def test_the_plot_is_an_svg_that_names_every_endpoint(simulate: Any) -> None:
    world = simulate.World(7, 0.5, 20)
    results = simulate.live(world)
    root = ElementTree.fromstring(simulate.Plot(world, results).draw())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    said = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {site.name for site in simulate.SITES} <= said
