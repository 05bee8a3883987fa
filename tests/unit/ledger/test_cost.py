"""Usage × price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.ledger import billable, cost, worst_case
from trunkline.model.endpoint import Price
from trunkline.model.money import MAX_PICO, from_usd
from trunkline.model.usage import FREE, Cost, Usage

PRICE = Price(prompt=250_000, completion=2_000_000, cache_read=25_000, cache_write=312_500, request=7)
ANY = st.integers(-(2**70), 2**70)
TOKENS = st.integers(0, 10**7)
PRICES = st.builds(
    Price,
    prompt=st.integers(0, 10**9),
    completion=st.integers(0, 10**9),
    cache_read=st.none() | st.integers(0, 10**9),
    cache_write=st.none() | st.integers(0, 10**9),
    request=st.integers(0, 10**12),
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    plain, cached, written = draw(TOKENS), draw(TOKENS), draw(TOKENS)
    return Usage(prompt=plain + cached + written, cached=cached, cache_write=written, completion=draw(TOKENS))


def plus(a: Usage, b: Usage) -> Usage:
    return Usage(
        prompt=a.prompt + b.prompt,
        completion=a.completion + b.completion,
        cached=(a.cached or 0) + (b.cached or 0),
        cache_write=(a.cache_write or 0) + (b.cache_write or 0),
    )


def test_each_kind_of_token_has_its_price() -> None:
    usage = Usage(prompt=1000, cached=600, cache_write=100, completion=50)
    assert cost(usage, PRICE) == Cost(
        prompt=300 * 250_000 + 600 * 25_000 + 100 * 312_500,
        completion=50 * 2_000_000,
        request=7,
        total=300 * 250_000 + 600 * 25_000 + 100 * 312_500 + 50 * 2_000_000 + 7,
    )


def test_unknown_cache_prices_default_to_prompt() -> None:
    usage = Usage(prompt=1000, cached=600, cache_write=100)
    assert cost(usage, Price(prompt=3, completion=5)).total == 3000
    assert cost(usage, Price(prompt=3, completion=5, cache_read=0, cache_write=0)).total == 900


def test_reasoning_apart_is_billed_as_output() -> None:
    assert cost(Usage(completion=10, reasoning=90, reasoning_apart=True), Price(prompt=0, completion=2)).total == 200
    assert cost(Usage(completion=100, reasoning=90), Price(prompt=0, completion=2)).total == 200


def test_cached_tokens_are_cut_to_the_prompt() -> None:
    price = Price(prompt=100, completion=0, cache_read=10, cache_write=1000)
    assert cost(Usage(prompt=10, cached=50, cache_write=50), price).total == 100
    assert cost(Usage(prompt=10, cached=4, cache_write=50), price).total == 4 * 10 + 6 * 1000


def test_unknown_price_uses_reported_cost() -> None:
    half = Price(prompt=1)
    assert cost(Usage(prompt=5, upstream_cost=77), half) == Cost(total=77, upstream=77)
    assert cost(Usage(prompt=5), half) == Cost(known=False)
    assert cost(Usage(prompt=5, upstream_cost=77), Price(prompt=1, completion=1)) == Cost(
        total=5, prompt=5, upstream=77
    )


def test_uncharged_cost_is_zero_and_known() -> None:
    assert cost(Usage(prompt=5), PRICE, charged=False) == FREE
    assert cost(Usage(prompt=5, upstream_cost=9), Price(), charged=False) == Cost(upstream=9)


@pytest.mark.parametrize(
    ("completion", "finish_reason", "charged"),
    [
        (0, None, False),
        (0, "", False),
        (0, "stop", True),
        (1, None, True),
        (1, "length", True),
        (0, "error", False),
        (1, "error", False),
    ],
)
def test_zero_completion_insurance(completion: int, finish_reason: str | None, charged: bool) -> None:
    assert billable(Usage(prompt=9, completion=completion), finish_reason) is charged


def test_reasoning_apart_is_output_for_the_insurance() -> None:
    assert billable(Usage(reasoning=4, reasoning_apart=True), None)


@given(usages(), usages(), PRICES)
def test_cost_is_additive_over_usage(a: Usage, b: Usage, price: Price) -> None:
    assert cost(plus(a, b), price).total == cost(a, price).total + cost(b, price).total - price.request


@given(usages(), usages(), PRICES)
def test_more_usage_never_costs_less(a: Usage, b: Usage, price: Price) -> None:
    assert cost(plus(a, b), price).total >= cost(a, price).total


@given(
    st.builds(
        Usage,
        prompt=ANY,
        completion=ANY,
        cached=st.none() | ANY,
        cache_write=st.none() | ANY,
        reasoning=st.none() | ANY,
        reasoning_apart=st.booleans(),
        upstream_cost=st.none() | ANY,
    ),
    st.builds(Price, prompt=st.none() | ANY, completion=st.none() | ANY, cache_read=st.none() | ANY, request=ANY),
    st.booleans(),
)
def test_cost_is_bounded_for_any_numbers(usage: Usage, price: Price, charged: bool) -> None:
    result = cost(usage, price, charged=charged)
    for amount in (result.total, result.prompt, result.completion, result.request, result.upstream or 0):
        assert 0 <= amount <= MAX_PICO
    assert 0 <= worst_case(usage.prompt, usage.completion, price) <= MAX_PICO


@given(usages(), st.integers(0, 1000), st.integers(0, 1000), PRICES)
def test_worst_case_is_an_upper_bound(usage: Usage, more_prompt: int, more_output: int, price: Price) -> None:
    bound = worst_case(usage.prompt + more_prompt, usage.completion + more_output, price)
    assert cost(usage, price).total <= bound


def test_worst_case_without_max_output() -> None:
    assert worst_case(1000, None, PRICE) == 1000 * 312_500 + 7
    assert worst_case(1000, 1000, Price(prompt=3)) == 0


def test_a_known_bill() -> None:
    """0.25 USD per million prompt tokens, 2 USD per million of output: 1 M and 0.5 M cost 1.25 USD."""
    price = Price(prompt=from_usd("0.25") // 10**6, completion=from_usd(2) // 10**6)
    assert cost(Usage(prompt=10**6, completion=500_000), price).total == from_usd("1.25")


def test_usage_outside_the_totals_is_billed() -> None:
    price = Price(prompt=2, completion=3, cache_read=1, request=5)
    usage = Usage(prompt=10, completion=10, outside=Usage(prompt=100, completion=100, cached=40))
    found = cost(usage, price)
    assert (found.prompt, found.completion, found.request) == (20 + 120 + 40, 330, 5)
    assert found.total == found.prompt + found.completion + found.request
    assert found.known


def test_the_price_of_another_model_is_not_known() -> None:
    usage = Usage(prompt=10, completion=10, other_model=True)
    found = cost(usage, Price(prompt=2, completion=3))
    assert (found.total, found.known) == (50, False)
