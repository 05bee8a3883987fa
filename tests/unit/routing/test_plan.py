"""Plans: what removes, what sorts, and what is said when nothing is left."""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace
from routing_help import planned, wanted_of

from trunkline.model.endpoint import DataPolicy, Endpoint, Model, Price
from trunkline.model.errors import InvalidRequest, NoEndpoint
from trunkline.model.policy import Policy
from trunkline.model.preferences import NO_PREFERENCES, MaxPrice, Preferences
from trunkline.routing import filters
from trunkline.routing.order import Draw
from trunkline.routing.plan import make_plan


def endpoint(provider: str, tag: str = "", **more: Any) -> Endpoint:
    return Endpoint(
        model="acme/small",
        provider=provider,
        provider_name=provider.title() + " Inc",
        upstream_model="small-1",
        dialect="chat",
        tag=tag or provider,
        **more,
    )


def price(prompt: int | None, completion: int | None = 0, request: int = 0, image: int = 0) -> Price:
    return Price(prompt=prompt, completion=completion, request=request, image=image)


GOOD = DataPolicy(training=False, zdr=True)
A = endpoint("acme", "acme/fp8", quantization="fp8", price=price(1_000_000, 2_000_000), data_policy=GOOD)
B = endpoint("beta", quantization="bf16", price=price(2_000_000, 4_000_000), data_policy=DataPolicy(training=True))
C = endpoint("core", price=price(None, None))
D = endpoint("acme", "acme/slow", price=price(0, 0, request=10**12, image=5 * 10**11), data_policy=GOOD)
ALL = (A, B, C, D)


def model(*endpoints: Endpoint, id: str = "acme/small") -> Model:  # noqa: A002
    return Model(id=id, name=id, endpoints=endpoints)


def names(wanted: Preferences, *endpoints: Endpoint) -> str:
    (candidates,) = planned([model(*(endpoints or ALL))], wanted)
    return "".join("ABCD"[ALL.index(found)] for found in candidates.endpoints)


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (Preferences(), "ABCD"),
        (Preferences(only=["acme"]), "AD"),
        (Preferences(only=["ACME"]), "AD"),
        (Preferences(only=["acme/fp8"]), "A"),
        (Preferences(only=["Acme Inc", "core"]), "ACD"),
        (Preferences(ignore=["acme"]), "BC"),
        (Preferences(ignore=["acme/slow"]), "ABC"),
        (Preferences(ignore=[]), "ABCD"),
        (Preferences(order=["core", "beta"]), "CBAD"),
        (Preferences(order=["acme"]), "ADBC"),
        (Preferences(order=["acme/slow", "acme"]), "DABC"),
        (Preferences(order=["nobody"]), "ABCD"),
        (Preferences(order=["core", "acme"], allow_fallbacks=False), "CAD"),
        (Preferences(allow_fallbacks=False), "A"),
        (Preferences(allow_fallbacks=True, order=[]), "ABCD"),
        (Preferences(zdr=True), "AD"),
        (Preferences(zdr=False), "ABCD"),
        (Preferences(data_collection="deny"), "AD"),
        (Preferences(data_collection="allow"), "ABCD"),
        (Preferences(quantizations=["fp8"]), "A"),
        (Preferences(quantizations=["fp8", "unknown"]), "ACD"),
        (Preferences(max_price=MaxPrice(prompt=1)), "AD"),
        (Preferences(max_price=MaxPrice(prompt="1.0", completion=1)), "D"),
        (Preferences(max_price=MaxPrice(completion=4)), "ABD"),
        (Preferences(max_price=MaxPrice(request=0.5)), "ABC"),
        (Preferences(max_price=MaxPrice(request=1)), "ABCD"),
        (Preferences(max_price=MaxPrice(image=0)), "ABC"),
        (Preferences(max_price=MaxPrice()), "ABCD"),
        (Preferences(only=["acme"], ignore=["acme/fp8"], order=["acme"]), "D"),
    ],
)
def test_remaining_endpoints_in_order(wanted: Preferences, left: str) -> None:
    assert names(wanted) == left


@pytest.mark.parametrize(
    ("wanted", "message", "excluded"),
    [
        (Preferences(only=["x"]), "4 removed by only (Acme Inc, Beta Inc, Core Inc)", ["allowed_providers"]),
        (Preferences(order=["x"], allow_fallbacks=False), "4 removed by order", ["allowed_providers"]),
        (
            Preferences(zdr=True, ignore=["acme"]),
            "2 removed by ignore (Acme Inc), 2 removed by zdr (Beta Inc, Core Inc)",
            ["allowed_providers", "data_policy:zdr"],
        ),
        (
            Preferences(data_collection="deny", max_price=MaxPrice(prompt=-1)),
            "4 removed by max_price (Acme Inc, Beta Inc, Core Inc)",
            ["max_price"],
        ),
        (Preferences(quantizations=["int4"]), "4 removed by quantizations", ["quantization"]),
    ],
)
def test_error_names_the_filters_when_nothing_is_left(wanted: Preferences, message: str, excluded: list[str]) -> None:
    with pytest.raises(NoEndpoint) as caught:
        planned([model(*ALL)], wanted)
    error = caught.value
    assert error.message.startswith("No endpoints found for acme/small: ")
    assert message in error.message
    assert error.availability is not None
    assert error.availability["code"] == "constraint_filtered"
    assert error.availability["requested_models"] == ["acme/small"]
    assert error.availability["excluded_by"] == excluded


@pytest.mark.parametrize("wanted", [NO_PREFERENCES, Preferences()])
def test_a_model_that_nobody_serves(wanted: Preferences) -> None:
    with pytest.raises(NoEndpoint, match="none is configured") as caught:
        planned([model()], wanted)
    assert caught.value.availability is not None
    assert caught.value.availability["code"] == "no_endpoints"


@pytest.mark.parametrize("given_", ["cheap", "nan", "inf", ""])
def test_max_price_that_is_not_a_number(given_: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        planned([model(*ALL)], Preferences(max_price=MaxPrice(completion=given_)))
    assert caught.value.param == "provider.max_price.completion"


def test_the_next_model_is_a_fallback_for_all_endpoints_of_the_first() -> None:
    large = model(replace(B, model="acme/large"), id="acme/large")
    small = model(*ALL)
    assert [found.model.id for found in planned([small, large])] == ["acme/small", "acme/large"]
    assert [found.model.id for found in planned([small, large], Preferences(only=["beta"]))] == [
        "acme/small",
        "acme/large",
    ]
    assert [found.model.id for found in planned([small, large], Preferences(only=["core"]))] == ["acme/small"]
    assert [found.model.id for found in planned([model(), large])] == ["acme/large"]


def test_without_preferences_the_configured_order_is_used() -> None:
    (candidates,) = planned([model(*ALL)])
    assert candidates.endpoints is not None
    assert candidates.endpoints == ALL


ENDPOINTS = st.builds(
    lambda provider, tag, quantization, prompt, training, zdr: endpoint(
        provider,
        f"{provider}/{tag}",
        quantization=quantization,
        price=price(prompt, 0),
        data_policy=DataPolicy(training=training, zdr=zdr),
    ),
    st.sampled_from(["acme", "beta", "core"]),
    st.sampled_from(["x", "y"]),
    st.sampled_from(["fp8", "unknown"]),
    st.none() | st.integers(0, 3 * 10**6),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
)
NAMES = st.none() | st.lists(st.sampled_from(["acme", "beta", "Core Inc", "acme/x", "nobody"]), max_size=3)
WANTED = st.builds(
    Preferences,
    order=NAMES,
    only=NAMES,
    ignore=NAMES,
    zdr=st.none() | st.booleans(),
    data_collection=st.sampled_from([None, "allow", "deny"]),
    quantizations=st.sampled_from([None, ["fp8"], ["unknown", "fp8"]]),
    max_price=st.none() | st.builds(MaxPrice, prompt=st.floats(0, 3)),
)


@given(endpoints=st.lists(ENDPOINTS, max_size=5), wanted=WANTED)
def test_a_plan_is_a_permutation_of_what_passed(endpoints: list[Endpoint], wanted: Preferences) -> None:
    one, wishes = wanted_of(model(*endpoints)), filters.Criteria(preferences=wanted)
    every = list(filters._required_filters(one, wishes, filters.price_limits(wanted.max_price)))
    passed = [slot.endpoint for slot in one.pool if all(slot.bit & passing for _, passing in every)]
    if not passed:
        with pytest.raises(NoEndpoint):
            planned([model(*endpoints)], wanted)
        return
    (candidates,) = planned([model(*endpoints)], wanted)
    if wanted.allow_fallbacks is False and not wanted.order:
        assert candidates.endpoints[0] in passed
        assert len(candidates.endpoints) == 1
    else:
        assert sorted(map(id, candidates.endpoints)) == sorted(map(id, passed))


@given(endpoints=st.lists(ENDPOINTS, min_size=1, max_size=4), wanted=WANTED)
def test_the_order_of_the_filters_does_not_matter(endpoints: list[Endpoint], wanted: Preferences) -> None:
    found: set[tuple[int, ...]] = set()
    made = filters._required_filters
    one, wishes = wanted_of(model(*endpoints)), filters.Criteria(preferences=wanted)
    for order in list(permutations(made(one, wishes, filters.price_limits(wanted.max_price))))[:24]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(filters, "_required_filters", lambda *_, order=order: list(order))
            try:
                found.add(tuple(id(one) for one in planned([model(*endpoints)], wanted)[0].endpoints))
            except NoEndpoint:
                found.add(())
    assert len(found) == 1


DRAWS = st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8)


def order_of(endpoints: Sequence[Endpoint], wanted: Preferences, draw: Draw, sort: str | None = None) -> list[int]:
    """The plan, as the endpoints' ids; empty where nobody is left."""
    wishes = filters.Criteria(preferences=wanted, default_sort=sort)
    try:
        return [id(one) for one in make_plan([wanted_of(model(*endpoints))], wishes, draw=draw).endpoints]
    except NoEndpoint:
        return []


@given(
    endpoints=st.lists(ENDPOINTS, max_size=5), other=ENDPOINTS, at=st.integers(0, 5), wanted=WANTED, draws=DRAWS,
    sort=st.sampled_from([None, "price", "throughput", "latency", "exacto", "configured"]),
)  # fmt: skip
def test_one_that_is_filtered_out_changes_nothing(
    endpoints: list[Endpoint], other: Endpoint, at: int, wanted: Preferences, draws: list[float], sort: str | None
) -> None:
    alone = order_of([other], wanted, lambda: 0.5)
    assume(not alone)
    before = order_of(endpoints, wanted, iter(draws).__next__, sort)
    after = order_of([*endpoints[:at], other, *endpoints[at:]], wanted, iter(draws).__next__, sort)
    assert after == before


@given(endpoints=st.lists(ENDPOINTS, max_size=5), wanted=WANTED, draws=DRAWS)
def test_draw_orders_and_excludes_none(endpoints: list[Endpoint], wanted: Preferences, draws: list[float]) -> None:
    wanted = replace(wanted, allow_fallbacks=None)
    found, other = order_of(endpoints, wanted, iter(draws).__next__), order_of(endpoints, wanted, lambda: 0.5)
    assert sorted(found) == sorted(other)
    assert len(set(found)) == len(found)


@given(endpoints=st.lists(ENDPOINTS, max_size=5), wanted=WANTED)
def test_the_draw_is_asked_once_for_each_that_has_a_price(endpoints: list[Endpoint], wanted: Preferences) -> None:
    asked: list[None] = []

    def draw() -> float:
        asked.append(None)
        return 0.5

    wanted = replace(wanted, order=None, allow_fallbacks=None)
    left = set(order_of(endpoints, wanted, draw))
    priced = [one for one in endpoints if id(one) in left and one.price.is_known]
    assert len(asked) == (len(priced) if len(left) > 1 else 0)


@given(endpoints=st.lists(ENDPOINTS, min_size=1, max_size=5), wanted=WANTED, ignored=NAMES)
def test_a_further_preference_only_narrows(
    endpoints: list[Endpoint], wanted: Preferences, ignored: list[str] | None
) -> None:
    wanted = replace(wanted, allow_fallbacks=None)
    narrower = replace(wanted, ignore=[*(wanted.ignore or ()), *(ignored or ())], zdr=True)
    assert set(order_of(endpoints, narrower, lambda: 0.5)) <= set(order_of(endpoints, wanted, lambda: 0.5))


@given(endpoints=st.lists(ENDPOINTS, min_size=1, max_size=5), only=NAMES, ignore=NAMES, wanted=WANTED)
def test_preferences_cannot_bypass_a_policy(
    endpoints: list[Endpoint], only: list[str] | None, ignore: list[str] | None, wanted: Preferences
) -> None:
    lower = [None if names is None else frozenset(name.lower() for name in names) for names in (only, ignore)]
    policy = Policy(scope="key", only=lower[0], ignore=lower[1] or frozenset(), zdr=True)
    wishes = filters.Criteria(preferences=wanted, policies=(policy,))
    one = wanted_of(model(*endpoints))
    left, _ = filters.apply_filters(one, wishes, filters.price_limits(wanted.max_price))
    for slot in one.pool.slots_in(left):
        names = {slot.endpoint.tag, slot.endpoint.provider, slot.endpoint.provider_name.lower()}
        assert policy.only is None or names & policy.only
        assert not names & policy.ignore
        assert slot.endpoint.data_policy.zdr


@given(endpoints=st.lists(ENDPOINTS, min_size=1, max_size=5), wanted=WANTED)
def test_excluded_and_remaining_are_all_endpoints(endpoints: list[Endpoint], wanted: Preferences) -> None:
    one = wanted_of(model(*endpoints))
    left, removed = filters.apply_filters(
        one, filters.Criteria(preferences=wanted), filters.price_limits(wanted.max_price)
    )
    sets = [left, *(gone.bits for gone in removed)]
    assert sum(sets) == one.pool.all
    assert all(not first & second for first, second in combinations(sets, 2))


def test_a_free_variant_that_has_ended_names_the_one_that_is_paid() -> None:
    with pytest.raises(NoEndpoint) as caught:
        make_plan([replace(wanted_of(model(A, B)), free=True)], draw=lambda: 0.5)
    assert caught.value.availability is not None
    assert caught.value.availability["code"] == "free_variant_ended"
    assert caught.value.availability["fallback_models"] == ["acme/small"]


def test_extended_of_a_model_that_nobody_serves() -> None:
    with pytest.raises(NoEndpoint, match="none is configured"):
        make_plan([replace(wanted_of(model()), extended=True)], draw=lambda: 0.5)
