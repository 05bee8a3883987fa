"""The draw, over 20,000 of them: shares are checked with a chi-square test, from a seed, so that it is no gamble."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from routing_help import wanted_of

from trunkline.model.endpoint import Endpoint, Model, Price
from trunkline.routing.endpoint_pool import MIN_DRAW_PRICE, EndpointPool
from trunkline.routing.order import by_weighted_draw
from trunkline.routing.plan import make_plan
from trunkline.routing.statistics import UNSTABLE, Statistics, Vitals

DRAWS = 20_000
CRITICAL = {1: 10.828, 2: 13.816, 3: 16.266, 4: 18.467}
"""Degrees of freedom → what chi-square exceeds once in a thousand times."""
NAMES = "abcde"


def model(prices: Sequence[float | None]) -> Model:
    """An endpoint for each price, in dollars a million; None where it is not known."""
    endpoints = tuple(
        Endpoint(
            model="m", provider=name, provider_name=name, upstream_model="m", dialect="chat", tag=name,
            price=Price() if price is None else Price(prompt=int(price * 10**6), completion=int(price * 10**6)),
        )
        for name, price in zip(NAMES, prices, strict=False)
    )  # fmt: skip
    return Model(id="m", name="m", endpoints=endpoints)


def orders(prices: Sequence[float | None], *, unstable: str = "", seed: int = 7) -> Counter[str]:
    """How often each order came."""
    troubled = Statistics()
    troubled.vitals = Vitals(standing=UNSTABLE)
    pool = EndpointPool(model(prices), lambda endpoint: troubled if endpoint.tag in unstable else Statistics())
    draw = Random(seed).random
    return Counter("".join(slot.endpoint.tag for slot in by_weighted_draw(pool.slots, draw)) for _ in range(DRAWS))


def firsts(found: Counter[str], place: int = 0) -> Counter[str]:
    counted: Counter[str] = Counter()
    for order, times in found.items():
        counted[order[place]] += times
    return counted


def assert_shares(found: Counter[str], weights: dict[str, float]) -> None:
    """That *found* is as often as *weights* say."""
    total, whole = sum(found.values()), sum(weights.values())
    assert set(found) <= set(weights)
    expected = {name: total * weight / whole for name, weight in weights.items()}
    chi_square = sum((found[name] - most) ** 2 / most for name, most in expected.items())
    assert chi_square < CRITICAL[len(weights) - 1], (found, expected)


def test_two_endpoints_one_to_three_are_nine_to_one() -> None:
    assert_shares(firsts(orders([1, 3])), {"a": 9, "b": 1})


def test_a_third_in_trouble_changes_nothing_for_them_and_is_never_first() -> None:
    found = orders([1, 2, 3], unstable="b")
    assert_shares(firsts(found), {"a": 9, "c": 1})
    assert set(firsts(found, 2)) == {"b"}


@pytest.mark.parametrize("prices", [[1, 2], [1, 2, 4], [0.5, 0.7, 0.9, 1.1], [5, 4, 3, 2, 1]])
def test_the_first_is_drawn_by_the_square_of_its_price(prices: list[float]) -> None:
    assert_shares(firsts(orders(prices)), {name: price**-2 for name, price in zip(NAMES, prices, strict=False)})


def test_the_second_is_drawn_from_the_rest_by_the_same_weights() -> None:
    found = orders([1, 2, 3])
    after = Counter({order[1:]: times for order, times in found.items() if order[0] == "a"})
    assert_shares(after, {"bc": 1 / 4, "cb": 1 / 9})


def test_equal_prices_have_equal_shares() -> None:
    found = orders([2, 2, 2, 2])
    for place in range(4):
        assert_shares(firsts(found, place), dict.fromkeys("abcd", 1))


def test_configured_order_does_not_affect_the_draw() -> None:
    assert_shares(firsts(orders([3, 1])), {"a": 1, "b": 9})


def test_free_endpoints_share_what_is_drawn_and_the_others_are_fallbacks() -> None:
    found = orders([0, 0, 1])
    assert_shares(firsts(found), {"a": 1, "b": 1, "c": (MIN_DRAW_PRICE / 10**6) ** 2})
    assert firsts(found)["c"] < DRAWS / 1000


def test_nearly_free_is_as_good_as_free() -> None:
    assert_shares(firsts(orders([0, 0.0005])), {"a": 1, "b": 1})


def test_a_price_that_is_not_known_is_never_before_one_that_is() -> None:
    assert set(orders([None, 100, None])) == {"bac"}


def test_all_in_trouble_are_by_price() -> None:
    assert set(orders([3, 1, 2], unstable="abc")) == {"bca"}


def test_the_same_seed_is_the_same_order() -> None:
    assert orders([1, 2, 3], seed=1) == orders([1, 2, 3], seed=1)
    assert orders([1, 2, 3], seed=1) != orders([1, 2, 3], seed=2)


def test_a_plan_is_such_a_draw() -> None:
    wanted, draw = wanted_of(model([1, 3])), Random(3).random
    assert_shares(Counter(make_plan([wanted], draw=draw).first.tag for _ in range(DRAWS)), {"a": 9, "b": 1})
