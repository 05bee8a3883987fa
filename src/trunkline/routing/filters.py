"""What rules endpoints out, in the order in which errors tell of it. Source: openrouter-semantics §4.

A filter is a name and the set of those it lets pass. Sets are independent of each other, so their order decides only
which filter an endpoint is counted under. A *preference* (`_soft`) comes last and never takes the last one.
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
from trunkline.routing.demand import NOTHING, Demand
from trunkline.routing.pool import SOFT, Pool

SURE = 0.8
"""Of an estimate of a prompt's tokens: what is too long by less than its error is left to the provider to say."""
PRIORITY, FLEX = "priority", "flex"

Passing: TypeAlias = tuple[str, int]
"""A filter's name and the set of those that pass."""


class Wanted(Struct, frozen=True, kw_only=True):
    """One model that a request names, and what the suffixes of the name say.

    `sort` is that of `:nitro`, `:floor` or `:exacto`; `admits` the service tier that comes with it. `free`: endpoints
    alone that cost nothing.
    """

    pool: Pool
    sort: str | None = None
    admits: str | None = None
    free: bool = False
    extended: bool = False
    """Endpoints alone with the largest window."""


class Wishes(Struct, frozen=True, kw_only=True):
    """What a request says about who may serve it, whatever its model.

    `says_all` tells whether an endpoint takes all of the request, for `require_parameters`; it is asked last, and only
    where that is set. `policies` are the operator's. `default_sort` is for requests that name none.
    """

    preferences: Preferences = NO_PREFERENCES
    demand: Demand = NOTHING
    policies: Sequence[Policy] = ()
    default_sort: str | None = None
    says_all: Callable[[Endpoint], bool] = lambda _: True


PLAIN = Wishes()
"""Nothing is asked for."""


class Removed(Struct, frozen=True):
    """The endpoints of *pool*, as a set, that a filter took."""

    name: str
    pool: Pool
    bits: int

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Which they are."""
        return tuple(slot.endpoint for slot in self.pool.of(self.bits))


class Ceiling(Struct, frozen=True):
    """A component of a price and the most it may be, in pico-dollars a token, request or image."""

    component: str
    most: int


def ceilings(given: MaxPrice | None) -> list[Ceiling]:
    """`max_price` in our units: USD per million tokens against pico-dollars per token, a factor of a million.

    No endpoint has a price for audio but that of its tokens, so `audio` is looked at and rules nobody out.

    Raises:
        InvalidRequest: a price that is no number.
    """
    found: list[Ceiling] = []
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
            found.append(Ceiling(component, most))
    return found


def narrow(wanted: Wanted, wishes: Wishes, prices: Sequence[Ceiling]) -> tuple[int, list[Removed]]:
    """The endpoints that pass every filter, and what each filter took of those before it left."""
    pool = wanted.pool
    left = pool.all
    removed: list[Removed] = []
    for name, passing in _hard(wanted, wishes, prices):
        gone = left & ~passing
        if gone:
            removed.append(Removed(name, pool, gone))
            left &= passing
    if left and wishes.preferences.require_parameters:
        passing = sum(slot.bit for slot in pool.of(left) if wishes.says_all(slot.endpoint))
        gone = left & ~passing
        if gone:
            removed.append(Removed("require_parameters", pool, gone))
            left = passing
    for name, passing in _soft(pool, wishes.demand):
        gone = left & ~passing
        if gone and gone != left:
            removed.append(Removed(name, pool, gone))
            left &= passing
    return left, removed


def _hard(wanted: Wanted, wishes: Wishes, prices: Sequence[Ceiling]) -> Iterator[Passing]:
    pool = wanted.pool
    if wanted.free:
        yield "free", pool.free
    if wanted.extended:
        most = max((slot.endpoint.context_length or 0 for slot in pool.slots), default=0)
        yield "extended", pool.where(lambda one: (one.context_length or 0) == most)
    for policy in wishes.policies:
        yield from _of_policy(pool, policy)
    said = wishes.preferences
    if said is not NO_PREFERENCES:
        if said.only:  # an empty list says nothing, as no list does
            yield "only", pool.named(said.only)
        if said.ignore:
            yield "ignore", ~pool.named(said.ignore)
        if said.order and said.allow_fallbacks is False:
            yield "order", pool.named(said.order)
    if pool.tiers:
        yield "service_tier", _admitted(wanted, wishes)
    demand = wishes.demand
    if demand is not NOTHING:
        yield from _of_demand(pool, demand)
    if said is not NO_PREFERENCES:
        yield from _of_preferences(pool, said, prices)


def _of_policy(pool: Pool, policy: Policy) -> Iterator[Passing]:
    whose = policy.whose
    if policy.regions is not None:
        yield f"{whose} regions", pool.any_of(pool.regions, policy.regions)
    if not policy.admits(pool.model.id):
        yield f"{whose} models", 0
    if policy.only is not None:
        yield f"{whose} only", pool.owned(policy.only)
    if policy.ignore:
        yield f"{whose} ignore", ~pool.owned(policy.ignore)
    if policy.private:
        yield f"{whose} data_collection", pool.private
    if policy.zdr:
        yield f"{whose} zdr", pool.zdr


def _admitted(wanted: Wanted, wishes: Wishes) -> int:
    """The endpoints of the service tiers that the request may be served in. Source: openrouter-semantics §2.1, §8."""
    pool, said, tier = wanted.pool, wishes.preferences, wishes.demand.tier
    by_tag = pool.named((*(said.only or ()), *(said.order or ()))) & ~pool.untiered
    if tier == FLEX and pool.tiers.get(FLEX):
        return pool.tiers[FLEX]
    admitted = pool.untiered | by_tag
    if tier == PRIORITY:
        admitted |= pool.tiers.get(PRIORITY, 0)
    if wanted.admits and tier != "default" and not said.order:
        admitted |= pool.tiers.get(wanted.admits, 0)
    return admitted


def _of_demand(pool: Pool, demand: Demand) -> Iterator[Passing]:
    output = demand.output or 0
    prompt = int(demand.tokens * SURE)
    if prompt + output > pool.least_window:
        yield "context_length", pool.where(lambda one: prompt + output <= (one.context_length or prompt + output))
    if output > pool.least_output:
        yield "max_tokens", pool.where(lambda one: output <= (one.max_output or output))
    for modality in sorted(demand.inputs):
        yield "input_modalities", pool.accepts(modality)
    for modality in sorted(demand.outputs):
        yield "output_modalities", pool.outputs.get(modality, 0)


def _of_preferences(pool: Pool, said: Preferences, prices: Sequence[Ceiling]) -> Iterator[Passing]:
    if said.quantizations:
        yield "quantizations", pool.any_of(pool.quantizations, said.quantizations)
    for ceiling in prices:
        yield "max_price", _below(pool, ceiling)
    if said.data_collection == "deny":
        yield "data_collection", pool.private
    if said.zdr:
        yield "zdr", pool.zdr
    if said.enforce_distillable_text and pool.model.distillable is not True:
        yield "enforce_distillable_text", 0


def _below(pool: Pool, ceiling: Ceiling) -> int:
    component, most, found = ceiling.component, ceiling.most, 0
    for slot in pool.slots:
        price = getattr(slot.endpoint.price, component)
        if price is not None and price <= most:
            found |= slot.bit
    return found


def _soft(pool: Pool, demand: Demand) -> Iterator[Passing]:
    if pool.unlimited == pool.all or not demand.parameters:
        return
    for parameter in SOFT:
        if parameter in demand.parameters:
            yield parameter, pool.takes(parameter)
