"""One request takes the trial of an endpoint that was down, and all down are asked in turn: plans at exact times."""

import pytest

from trunkline.model.endpoint import Endpoint, Model, Price
from trunkline.model.preferences import NO_PREFERENCES, Preferences, SortBy
from trunkline.routing.endpoint_pool import REFRESH_S, EndpointPool
from trunkline.routing.filters import Criteria, RequestedModel
from trunkline.routing.plan import Plan, make_plan
from trunkline.routing.statistics import DOWN, MAX_CONSECUTIVE_FAILURES, OPEN_FIRST_S, OPEN_HALF_S, TRIAL_S, Statistics

NOW = 1000.0
NAMES = "abc"


class Gateway:
    """Three endpoints at $1, $2 and $3, and what is known of them; a draw of one half has them in this order."""

    def __init__(self) -> None:
        self.statistics = {name: Statistics() for name in NAMES}
        endpoints = tuple(
            Endpoint(
                model="m", provider=name, provider_name=name, upstream_model="m", dialect="chat", tag=name,
                price=Price(prompt=dollars * 10**6, completion=dollars * 10**6),
            )
            for dollars, name in enumerate(NAMES, 1)
        )  # fmt: skip
        self.pool = EndpointPool(Model(id="m", name="m", endpoints=endpoints), lambda one: self.statistics[one.tag])

    def kill(self, names: str, now: float = NOW) -> None:
        for name in names:
            for _ in range(MAX_CONSECUTIVE_FAILURES):
                self.failed(name, now)

    def failed(self, name: str, now: float) -> None:
        self.statistics[name].failed(now)
        self.pool.invalidate()

    def planned(self, now: float, preferences: Preferences = NO_PREFERENCES) -> Plan:
        self.pool.refresh(now)
        return make_plan([RequestedModel(pool=self.pool)], Criteria(preferences=preferences), draw=lambda: 0.5)

    def asked(self, now: float, sort: SortBy | None = None) -> str:
        """Who is tried, in order, by a request that comes at *now*."""
        found = self.planned(now, Preferences(sort=sort))
        if found.trial is not None:
            self.pool.claim_trial(found.trial)
        return "".join(one.tag for one in found.endpoints)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


SORTS = pytest.mark.parametrize("sort", [None, "price", "exacto"])


@SORTS
def test_of_those_that_are_down_the_one_that_failed_longest_ago_is_asked_first(
    gateway: Gateway, sort: SortBy | None
) -> None:
    gateway.kill("c", NOW)
    gateway.kill("a", NOW + 1)
    gateway.kill("b", NOW + 2)
    assert gateway.asked(NOW + 3, sort) == "cab"
    gateway.failed("c", NOW + 3)
    assert gateway.asked(NOW + 3, sort) == "abc"
    gateway.failed("a", NOW + 4)
    assert gateway.asked(NOW + 4, sort) == "bca"


@SORTS
def test_down_endpoints_come_after_one_that_is_up(gateway: Gateway, sort: SortBy | None) -> None:
    gateway.kill("b", NOW)
    gateway.kill("a", NOW + 1)
    assert gateway.asked(NOW + 2, sort) == "cba"


def test_those_with_a_failure_that_are_not_down_are_by_price(gateway: Gateway) -> None:
    gateway.failed("c", NOW)
    gateway.failed("b", NOW + 1)
    assert gateway.asked(NOW + 2) == "abc"


def test_where_they_failed_at_the_same_time_the_order_decides(gateway: Gateway) -> None:
    gateway.kill("cba")
    assert gateway.asked(NOW + 1) == "abc"


@SORTS
def test_one_request_takes_the_trial(gateway: Gateway, sort: SortBy | None) -> None:
    gateway.kill("a")
    over = NOW + OPEN_FIRST_S
    assert [gateway.asked(over, sort) for _ in range(4)] == ["abc", "bca", "bca", "bca"]
    assert gateway.asked(over + TRIAL_S - 0.1, sort) == "bca"


def test_its_failure_opens_the_circuit_for_longer(gateway: Gateway) -> None:
    gateway.kill("a")
    over = NOW + OPEN_FIRST_S
    assert gateway.asked(over) == "abc"
    gateway.failed("a", over + 1)
    again = over + 1 + 2 * OPEN_FIRST_S
    assert [gateway.asked(again - 0.1), gateway.asked(again + REFRESH_S)] == ["bca", "abc"]


def test_its_answer_brings_the_endpoint_back_for_all(gateway: Gateway) -> None:
    gateway.kill("a")
    over = NOW + OPEN_FIRST_S
    gateway.asked(over)
    gateway.statistics["a"].served(over + 2, latency_s=0.5, seconds=2.0)
    assert [gateway.asked(over + 2 + REFRESH_S) for _ in range(3)] == ["abc"] * 3


def test_where_nothing_is_heard_of_it_another_request_takes_the_next(gateway: Gateway) -> None:
    gateway.kill("a")
    over = NOW + OPEN_FIRST_S
    assert gateway.asked(over) == "abc"
    later = over + REFRESH_S + TRIAL_S  # the time of a trial is known to a second
    assert [gateway.asked(later) for _ in range(3)] == ["abc", "bca", "bca"]
    assert gateway.asked(later + TRIAL_S + REFRESH_S) == "bca", "the second is waited for twice as long"
    assert gateway.asked(later + 2 * TRIAL_S + REFRESH_S) == "abc"


def test_one_that_is_only_a_fallback_keeps_its_trial(gateway: Gateway) -> None:
    gateway.kill("b")
    over = NOW + OPEN_FIRST_S
    assert [gateway.asked(over + number) for number in range(3)] == ["abc"] * 3
    assert gateway.statistics["b"].trial_offered


def test_the_trial_of_one_is_not_the_trial_of_another(gateway: Gateway) -> None:
    gateway.kill("ab")
    over = NOW + OPEN_FIRST_S
    assert [gateway.asked(over) for _ in range(3)] == ["abc", "bca", "cab"]


def test_one_on_trial_is_asked_behind_those_that_failed_before_it_began(gateway: Gateway) -> None:
    gateway.kill("a")
    gateway.kill("bc", NOW + 1)
    over = NOW + OPEN_FIRST_S
    assert gateway.asked(over) == "abc"
    assert gateway.asked(over) == "bca", "it failed longest ago, but somebody is asking it"


def test_a_trial_of_one_that_nothing_was_heard_of_for_hours_is_over_too(gateway: Gateway) -> None:
    statistics = gateway.statistics["a"]
    for number in range(24):
        if number % 3:
            statistics.served(NOW, latency_s=None)
        else:
            statistics.failed(NOW)
    assert gateway.asked(NOW + 1) == "bca"
    assert not statistics.troubled, "it is half dead"
    later = NOW + OPEN_HALF_S + 7200
    gateway.pool.refresh(later - 10)
    assert [gateway.asked(later) for _ in range(2)] == ["abc", "bca"]
    gateway.pool.refresh(later + 2)
    assert statistics.vitals.standing == DOWN
    assert gateway.asked(later + REFRESH_S + TRIAL_S) == "abc"
