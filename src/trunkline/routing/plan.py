"""The routing plan: which endpoints can serve a call, and the order in which they are tried.

A plan is a list of models, each with its ordered endpoints. The endpoints of the first model come first; the next model
is a fallback for all of them. With `sort.partition: none` the endpoints of all models form one list. The steps are: the
filters, the order, then changes of the order for one endpoint: cut-offs, resting credentials, sticky conversations.
Pure: the random draw and the state of the conversation are arguments.

Source: OpenRouter, "Model fallbacks", "Provider routing" and "Prompt caching".
"""

from collections.abc import Callable, Sequence
from itertools import groupby

from msgspec import Struct

from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.errors import NoEndpoint
from trunkline.model.preferences import NO_PREFERENCES, Sort
from trunkline.routing.endpoint_pool import Slot
from trunkline.routing.filters import (
    FLEX,
    NO_CRITERIA,
    PRIORITY,
    Criteria,
    Excluded,
    RequestedModel,
    apply_filters,
    price_limits,
)
from trunkline.routing.order import Draw, by_quality, by_sort, by_weighted_draw, meeting_cutoffs_first
from trunkline.routing.statistics import DOWN


class Candidates(Struct, frozen=True, kw_only=True):
    """One model of a plan and its endpoints, in the order in which they are tried."""

    model: Model
    endpoints: tuple[Endpoint, ...]


class Plan(Struct, frozen=True, kw_only=True):
    """The endpoints to try, those `excluded` by filters, and the `sticky` endpoint that a conversation is routed to."""

    candidates: tuple[Candidates, ...]
    excluded: tuple[Excluded, ...] = ()
    sticky: Endpoint | None = None
    trial: Slot | None = None
    """The first endpoint, where its circuit offers a trial: whoever carries out the plan must claim the trial."""

    @property
    def first(self) -> Endpoint:
        """The endpoint that is tried first."""
        return self.candidates[0].endpoints[0]

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All endpoints, in the order in which they are tried."""
        return tuple(endpoint for found in self.candidates for endpoint in found.endpoints)


def make_plan(
    requested: Sequence[RequestedModel],
    criteria: Criteria = NO_CRITERIA,
    *,
    draw: Draw,
    is_resting: Callable[[Endpoint], bool] | None = None,
    previous_endpoint: Callable[[Model], str | None] | None = None,
) -> Plan:
    """The endpoints of the *requested* models that meet *criteria*, in order.

    *is_resting* tells whether every credential for an endpoint rests; None where none does. *previous_endpoint* returns
    the name of the endpoint that served the conversation before, for a model, or None.

    Raises:
        NoEndpoint: no endpoint is left; the error lists the endpoints that each filter excluded.
        InvalidRequest: a maximum price is not a number.
    """
    if criteria is NO_CRITERIA and len(requested) == 1 and previous_endpoint is None and is_resting is None:
        only = requested[0]
        pool = only.pool
        if len(pool.slots) == 1 and not only.free and not pool.tiers:  # nothing to choose
            return Plan(candidates=(Candidates(model=pool.model, endpoints=pool.model.endpoints),))
    most = criteria.preferences.max_price
    limits = [] if most is None else price_limits(most)
    excluded: list[Excluded] = []
    found: list[tuple[RequestedModel, list[Slot]]] = []
    for one in requested:
        left, gone = apply_filters(one, criteria, limits)
        excluded += gone
        if left:
            found.append((one, one.pool.slots_in(left)))
    if not found:
        raise no_endpoint_error([one.pool.model for one in requested], excluded)
    if len(found) > 1 and _partition(criteria) == "none":
        every = [slot for _, slots in found for slot in slots]
        candidates, sticky = _order_slots(found[0][0], every, criteria, draw, is_resting, previous_endpoint)
        groups = [(model, list(slots)) for model, slots in groupby(candidates, key=lambda slot: slot.model)]
    else:
        groups, sticky = [], None
        for one, slots in found:
            arranged, stuck = _order_slots(one, slots, criteria, draw, is_resting, previous_endpoint)
            groups.append((one.pool.model, arranged))
            sticky = sticky or stuck
    if criteria.preferences.allow_fallbacks is False and not criteria.preferences.order:
        groups = [(model, slots[:1]) for model, slots in groups]
    first = groups[0][1][0]
    return Plan(
        candidates=tuple(
            [Candidates(model=model, endpoints=tuple([slot.endpoint for slot in slots])) for model, slots in groups]
        ),
        excluded=tuple(excluded),
        sticky=sticky,
        trial=first if first.statistics.trial_offered else None,
    )


def _partition(criteria: Criteria) -> str | None:
    sort = criteria.preferences.sort
    return sort.partition if isinstance(sort, Sort) else None


def _order_slots(
    requested: RequestedModel,
    slots: list[Slot],
    criteria: Criteria,
    draw: Draw,
    is_resting: Callable[[Endpoint], bool] | None,
    previous_endpoint: Callable[[Model], str | None] | None,
) -> tuple[list[Slot], Endpoint | None]:
    """The ordered *slots*, and the sticky endpoint where stickiness changed the order."""
    preferences = criteria.preferences
    if len(slots) == 1:
        return slots, None
    if preferences is not NO_PREFERENCES and preferences.order:
        listed, rest = _split_by_order(requested, slots, criteria, draw)
        return listed + (_sort(requested, rest, criteria, draw) if rest else []), None
    ordered = _sort(requested, slots, criteria, draw)
    if preferences is not NO_PREFERENCES:
        ordered = meeting_cutoffs_first(
            ordered, preferences.preferred_min_throughput, preferences.preferred_max_latency
        )
    if is_resting is not None:
        ordered = [slot for slot in ordered if not is_resting(slot.endpoint)] + [
            slot for slot in ordered if is_resting(slot.endpoint)
        ]
    sticky = None if previous_endpoint is None else _sticky_slot(ordered, previous_endpoint, is_resting)
    if sticky is None:
        return ordered, None
    return [sticky, *(slot for slot in ordered if slot is not sticky)], sticky.endpoint


def _sticky_slot(
    slots: list[Slot], previous_endpoint: Callable[[Model], str | None], is_resting: Callable[[Endpoint], bool] | None
) -> Slot | None:
    """The conversation's previous endpoint, where it is available and its cache reads are cheaper."""
    names = {name for model in {slot.model for slot in slots} if (name := previous_endpoint(model)) is not None}
    if names:
        for slot in slots:
            if slot.name in names and slot.has_cache_discount and _may_lead(slot, slots[0]):
                return None if is_resting is not None and is_resting(slot.endpoint) else slot
    return None


def _may_lead(slot: Slot, first: Slot) -> bool:
    """Whether stickiness may move *slot* before *first*: not where it is down, nor before a requested tier."""
    led = first.endpoint.service_tier in (None, "default") or first.endpoint.service_tier == slot.endpoint.service_tier
    return led and slot.statistics.vitals.standing != DOWN


def _split_by_order(
    requested: RequestedModel, slots: list[Slot], criteria: Criteria, draw: Draw
) -> tuple[list[Slot], list[Slot]]:
    """Those that `order` names, in its order, and the rest. Endpoints of one name are sorted by the criteria."""
    listed: list[Slot] = []
    for name in criteria.preferences.order or ():
        if not slots:
            break
        bits = {id(pool): pool.by_names((name,)) for pool in {slot.pool for slot in slots}}
        named = [slot for slot in slots if slot.bit & bits[id(slot.pool)]]
        if named:
            listed += _sort(requested, named, criteria, draw) if len(named) > 1 else named
            slots = [slot for slot in slots if slot not in named]
    return listed, slots


def _sort(requested: RequestedModel, slots: list[Slot], criteria: Criteria, draw: Draw) -> list[Slot]:
    """Sort by the requested tier first, then by `_sort_by_preference`."""
    tier = criteria.requirements.tier
    if tier in (PRIORITY, FLEX):
        own = [slot for slot in slots if slot.endpoint.service_tier == tier]
        if own:
            rest = [slot for slot in slots if slot.endpoint.service_tier != tier]
            own = by_sort(own, "throughput" if tier == PRIORITY else "price", draw)
            return own + (_sort_by_preference(requested, rest, criteria, draw) if rest else [])
    return _sort_by_preference(requested, slots, criteria, draw)


def _sort_by_preference(requested: RequestedModel, slots: list[Slot], criteria: Criteria, draw: Draw) -> list[Slot]:
    """Sort by the request's sort, the suffix's or the default sort; else by quality for tools; else by the draw."""
    preference = criteria.preferences.sort
    sort = preference.by if isinstance(preference, Sort) else preference
    chosen = sort or requested.sort or criteria.default_sort
    if chosen is not None:
        return by_sort(slots, chosen, draw)
    if criteria.requirements.tools:
        return by_quality(slots, draw)
    return by_weighted_draw(slots, draw)


def excluded_endpoints(removed: Sequence[Excluded]) -> list[dict[str, str]]:
    """Every excluded endpoint with the name of the filter."""
    return [
        {"provider": endpoint.provider_name, "model": endpoint.model, "tag": endpoint.tag, "filter": one.filter}
        for one in removed
        for endpoint in one.endpoints
    ]


_CODES = {"zdr": "data_policy:zdr", "data_collection": "data_policy:training", "only": "allowed_providers",
          "ignore": "allowed_providers", "order": "allowed_providers", "quantizations": "quantization",
          "max_tokens": "context_length", "regions": "data_region"}  # fmt: skip
"""A filter → its word in `availability.excluded_by`; by default the filter's name."""
_PRIVACY = frozenset({"zdr", "data_collection"})


def no_endpoint_error(models: Sequence[Model], excluded: Sequence[Excluded]) -> NoEndpoint:
    """The error that lists each filter and the providers that it excluded."""
    ids = [model.id for model in models]
    by_filter: dict[str, list[Endpoint]] = {}
    for one in excluded:
        by_filter.setdefault(one.filter, []).extend(one.endpoints)
    summary = ", ".join(
        f"{len(gone)} removed by {name} ({', '.join(sorted({endpoint.provider_name for endpoint in gone}))})"
        for name, gone in by_filter.items()
    )
    names = [name.rpartition(" ")[2] for name in by_filter]
    code, status, kind = "constraint_filtered" if by_filter else "no_endpoints", 404, None
    if names and _PRIVACY.issuperset(names):
        code = "privacy_restricted"
    elif names and set(names) == {"regions"}:
        code, status, kind = "region_restricted", 403, "permission_denied"
    elif names == ["free"]:
        code = "free_variant_ended"
    providers = sorted({endpoint.provider_name for endpoints in by_filter.values() for endpoint in endpoints})
    availability = {
        "code": code,
        "retryable": False,
        "requested_models": ids,
        "affected_providers": providers,
        "excluded_by": list(dict.fromkeys(_CODES.get(name, name) for name in names)),
        "docs_url": "",
    }
    if code == "free_variant_ended":
        availability["fallback_models"] = ids
    error = NoEndpoint(
        f"No endpoints found for {', '.join(ids)}: {summary or 'none is configured'}",
        error_type=kind,
        filtered=excluded_endpoints(excluded),
        availability=availability,
    )
    error.http_status = status
    return error
