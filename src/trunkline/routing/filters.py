"""Filters: exclude endpoints, in the order in which errors report them. Source: OpenRouter, "Provider routing".

A filter is a name and the set of endpoints that pass it. The sets are independent, so the order determines only which
filter an endpoint is reported under. A preferred filter (`_preferred_filters`) comes last and never excludes the last
endpoint.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from math import floor
from typing import TypeAlias

from msgspec import Struct

from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import InvalidRequest
from trunkline.model.policy import Policy
from trunkline.model.preferences import NO_PREFERENCES, MaxPrice, Preferences
from trunkline.routing.endpoint_pool import PREFERRED_PARAMETERS, EndpointPool
from trunkline.routing.requirements import NO_REQUIREMENTS, Requirements

CERTAIN_SHARE = 0.8
"""The share of an estimated prompt length that is certain. A prompt that exceeds the context by less is left to the
provider to refuse."""
PRIORITY, FLEX = "priority", "flex"

FilterResult: TypeAlias = tuple[str, int]
"""A filter's name and the set of endpoints that pass it."""


class RequestedModel(Struct, frozen=True, kw_only=True):
    """One model that a request names, with the effects of its suffixes.

    `sort` is that of `:nitro`, `:floor` or `:exacto`, `suffix_tier` the service tier of that suffix. `free`: only
    endpoints that cost nothing.
    """

    pool: EndpointPool
    sort: str | None = None
    suffix_tier: str | None = None
    free: bool = False
    extended: bool = False
    """Only endpoints with the largest context window."""


class Criteria(Struct, frozen=True, kw_only=True):
    """The routing criteria of a request that apply to all of its models.

    `is_expressible` tells whether an endpoint supports the whole request, for `require_parameters`; it is called last
    and only where that is set. `policies` are the operator's. `default_sort` applies to requests without a sort.
    """

    preferences: Preferences = NO_PREFERENCES
    requirements: Requirements = NO_REQUIREMENTS
    policies: Sequence[Policy] = ()
    default_sort: str | None = None
    is_expressible: Callable[[Endpoint], bool] = lambda _: True


NO_CRITERIA = Criteria()
"""The request has no criteria."""


class Excluded(Struct, frozen=True):
    """The endpoints of *pool*, as a bit set, that a filter excluded."""

    filter: str
    pool: EndpointPool
    bits: int

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The excluded endpoints."""
        return tuple(slot.endpoint for slot in self.pool.slots_in(self.bits))


class PriceLimit(Struct, frozen=True):
    """A component of a price and its maximum, in pico-dollars per token, request or image."""

    component: str
    maximum: int


def price_limits(given: MaxPrice | None) -> list[PriceLimit]:
    """Convert `max_price` from USD per million tokens to pico-dollars per token, a factor of a million.

    `audio` is checked for validity and excludes no endpoint: few of them have a price for audio.

    Raises:
        InvalidRequest: a price is not a number.
    """
    found: list[PriceLimit] = []
    for component in () if given is None else ("prompt", "completion", "request", "image", "audio"):
        said = getattr(given, component)
        if said is None:
            continue
        try:
            most = floor(Decimal(str(said)) * (10**12 if component in ("request", "image") else 10**6))
        except (ArithmeticError, ValueError) as error:
            field = f"provider.max_price.{component}"
            raise InvalidRequest(f"{field}: not a number", param=field) from error
        if component != "audio":
            found.append(PriceLimit(component, most))
    return found


def apply_filters(
    requested: RequestedModel, criteria: Criteria, limits: Sequence[PriceLimit]
) -> tuple[int, list[Excluded]]:
    """The endpoints that pass every filter, and the endpoints that each filter excluded."""
    pool = requested.pool
    remaining = pool.all
    removed: list[Excluded] = []
    for name, passing in _required_filters(requested, criteria, limits):
        excluded = remaining & ~passing
        if excluded:
            removed.append(Excluded(name, pool, excluded))
            remaining &= passing
    if remaining and criteria.preferences.require_parameters:
        passing = sum(slot.bit for slot in pool.slots_in(remaining) if criteria.is_expressible(slot.endpoint))
        excluded = remaining & ~passing
        if excluded:
            removed.append(Excluded("require_parameters", pool, excluded))
            remaining = passing
    for name, passing in _preferred_filters(pool, criteria.requirements):
        excluded = remaining & ~passing
        if excluded and excluded != remaining:
            removed.append(Excluded(name, pool, excluded))
            remaining &= passing
    return remaining, removed


def _required_filters(
    requested: RequestedModel, criteria: Criteria, limits: Sequence[PriceLimit]
) -> Iterator[FilterResult]:
    pool = requested.pool
    if requested.free:
        yield "free", pool.free
    if requested.extended:
        most = max((slot.endpoint.context_length or 0 for slot in pool.slots), default=0)
        yield "extended", pool.matching(lambda one: (one.context_length or 0) == most)
    for policy in criteria.policies:
        yield from _policy_filters(pool, policy)
    preferences = criteria.preferences
    if preferences is not NO_PREFERENCES:
        if preferences.only:  # an empty list is treated as not sent
            yield "only", pool.by_names(preferences.only)
        if preferences.ignore:
            yield "ignore", ~pool.by_names(preferences.ignore)
        if preferences.order and preferences.allow_fallbacks is False:
            yield "order", pool.by_names(preferences.order)
    if pool.tiers:
        yield "service_tier", _allowed_tiers(requested, criteria)
    requirements = criteria.requirements
    if requirements is not NO_REQUIREMENTS:
        yield from _requirement_filters(pool, requirements)
    if preferences is not NO_PREFERENCES:
        yield from _preference_filters(pool, preferences, limits)


def _policy_filters(pool: EndpointPool, policy: Policy) -> Iterator[FilterResult]:
    scope = policy.scope
    if policy.regions is not None:
        yield f"{scope} regions", pool.any_of(pool.regions, policy.regions)
    if not policy.allows_model(pool.model.id):
        yield f"{scope} models", 0
    if policy.only is not None:
        yield f"{scope} only", pool.by_policy_names(policy.only)
    if policy.ignore:
        yield f"{scope} ignore", ~pool.by_policy_names(policy.ignore)
    if policy.private:
        yield f"{scope} data_collection", pool.no_training
    if policy.zdr:
        yield f"{scope} zdr", pool.zdr


def _allowed_tiers(requested: RequestedModel, criteria: Criteria) -> int:
    """The endpoints whose service tier the request may use.

    Source: OpenRouter, "Model variants" and "Service tiers".
    """
    pool, said, tier = requested.pool, criteria.preferences, criteria.requirements.tier
    by_tag = pool.by_names((*(said.only or ()), *(said.order or ()))) & ~pool.untiered
    if tier == FLEX and pool.tiers.get(FLEX):
        return pool.tiers[FLEX]
    allowed = pool.untiered | by_tag
    if tier == PRIORITY:
        allowed |= pool.tiers.get(PRIORITY, 0)
    if requested.suffix_tier and tier != "default" and not said.order:
        allowed |= pool.tiers.get(requested.suffix_tier, 0)
    return allowed


def _requirement_filters(pool: EndpointPool, requirements: Requirements) -> Iterator[FilterResult]:
    output = requirements.max_output or 0
    prompt = int(requirements.prompt_tokens * CERTAIN_SHARE)
    if prompt + output > pool.smallest_context:
        yield "context_length", pool.matching(lambda one: prompt + output <= (one.context_length or prompt + output))
    if output > pool.smallest_max_output:
        yield "max_tokens", pool.matching(lambda one: output <= (one.max_output or output))
    for modality in sorted(requirements.inputs):
        yield "input_modalities", pool.accepting(modality)
    for modality in sorted(requirements.outputs):
        yield "output_modalities", pool.outputs.get(modality, 0)


def _preference_filters(
    pool: EndpointPool, preferences: Preferences, limits: Sequence[PriceLimit]
) -> Iterator[FilterResult]:
    if preferences.quantizations:
        yield "quantizations", pool.any_of(pool.quantizations, preferences.quantizations)
    for ceiling in limits:
        yield "max_price", _within_price(pool, ceiling)
    if preferences.data_collection == "deny":
        yield "data_collection", pool.no_training
    if preferences.zdr:
        yield "zdr", pool.zdr
    if preferences.enforce_distillable_text and pool.model.distillable is not True:
        yield "enforce_distillable_text", 0


def _within_price(pool: EndpointPool, ceiling: PriceLimit) -> int:
    component, most, found = ceiling.component, ceiling.maximum, 0
    for slot in pool.slots:
        price = getattr(slot.endpoint.price, component)
        if price is not None and price <= most:
            found |= slot.bit
    return found


def _preferred_filters(pool: EndpointPool, requirements: Requirements) -> Iterator[FilterResult]:
    if pool.any_parameters == pool.all or not requirements.parameters:
        return
    for parameter in PREFERRED_PARAMETERS:
        if parameter in requirements.parameters:
            yield parameter, pool.supporting(parameter)
