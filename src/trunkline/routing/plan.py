"""Which endpoints may serve a call, and in which order they are tried.

A plan is a list of models, each with its endpoints in order: those of the first model come first, the next model is a
fallback for all of them; with `sort.partition: none` the endpoints of all models are one list. First the filters, then
the order, then what moves an endpoint for a reason of its own: cut-offs, a credential that rests, a conversation that
was somewhere before. Pure: the draw and what is known of a conversation are handed in.

Source: openrouter-semantics §3–§6.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

from msgspec import Struct

from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.errors import NoEndpoint
from trunkline.model.preferences import NO_PREFERENCES, Sort
from trunkline.routing.filters import FLEX, PLAIN, PRIORITY, Removed, Wanted, Wishes, ceilings, narrow
from trunkline.routing.order import Draw, by_quality, by_sort, drawn, fast_first
from trunkline.routing.pool import Slot
from trunkline.routing.statistics import DOWN


class Candidates(Struct, frozen=True, kw_only=True):
    """One model of a plan, and its endpoints in the order in which they are tried."""

    model: Model
    endpoints: tuple[Endpoint, ...]


class Plan(Struct, frozen=True, kw_only=True):
    """What is tried, and what is not: `removed` by the filters, in their order, `sticky` where a conversation led."""

    candidates: tuple[Candidates, ...]
    removed: tuple[Removed, ...] = ()
    sticky: Endpoint | None = None
    trial: Slot | None = None
    """The first, where it is down and a trial of it is on offer: whoever carries the plan out is to take it."""

    @property
    def first(self) -> Endpoint:
        """What is tried first."""
        return self.candidates[0].endpoints[0]

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All that is tried, in order."""
        return tuple(endpoint for found in self.candidates for endpoint in found.endpoints)


def plan(
    wanted: Sequence[Wanted],
    wishes: Wishes = PLAIN,
    *,
    draw: Draw,
    rests: Callable[[Endpoint], bool] | None = None,
    before: Callable[[Model], str | None] | None = None,
) -> Plan:
    """The endpoints of *wanted* that *wishes* allow, in order.

    *rests* tells whether every credential for an endpoint rests, None where none does. *before* gives the name of the
    endpoint where the conversation was, of a model.

    Raises:
        NoEndpoint: none is left; it says which filter took which.
        InvalidRequest: a price that is no number.
    """
    if wishes is PLAIN and len(wanted) == 1 and before is None and rests is None:
        only = wanted[0]
        pool = only.pool
        if len(pool.slots) == 1 and not only.free and not pool.tiers:  # nothing to choose
            return Plan(candidates=(Candidates(model=pool.model, endpoints=pool.model.endpoints),))
    most = wishes.preferences.max_price
    prices = [] if most is None else ceilings(most)
    removed: list[Removed] = []
    found: list[tuple[Wanted, list[Slot]]] = []
    for one in wanted:
        left, gone = narrow(one, wishes, prices)
        removed += gone
        if left:
            found.append((one, one.pool.of(left)))
    if not found:
        raise nothing_left([one.pool.model for one in wanted], removed)
    if len(found) > 1 and _partition(wishes) == "none":
        every = [slot for _, slots in found for slot in slots]
        candidates, sticky = _arranged(found[0][0], every, wishes, draw, rests, before)
        groups = [(model, list(slots)) for model, slots in groupby(candidates, key=lambda slot: slot.model)]
    else:
        groups, sticky = [], None
        for one, slots in found:
            arranged, stuck = _arranged(one, slots, wishes, draw, rests, before)
            groups.append((one.pool.model, arranged))
            sticky = sticky or stuck
    if wishes.preferences.allow_fallbacks is False and not wishes.preferences.order:
        groups = [(model, slots[:1]) for model, slots in groups]
    first = groups[0][1][0]
    return Plan(
        candidates=tuple(
            [Candidates(model=model, endpoints=tuple([slot.endpoint for slot in slots])) for model, slots in groups]
        ),
        removed=tuple(removed),
        sticky=sticky,
        trial=first if first.statistics.offered else None,
    )


def _partition(wishes: Wishes) -> str | None:
    sort = wishes.preferences.sort
    return sort.partition if isinstance(sort, Sort) else None


def _arranged(
    wanted: Wanted,
    slots: list[Slot],
    wishes: Wishes,
    draw: Draw,
    rests: Callable[[Endpoint], bool] | None,
    before: Callable[[Model], str | None] | None,
) -> tuple[list[Slot], Endpoint | None]:
    """*slots* in order, and where the conversation was, if that moved one to the front."""
    said = wishes.preferences
    if len(slots) == 1:
        return slots, None
    if said is not NO_PREFERENCES and said.order:
        listed, rest = _listed(wanted, slots, wishes, draw)
        return listed + (_sorted(wanted, rest, wishes, draw) if rest else []), None
    arranged = _sorted(wanted, slots, wishes, draw)
    if said is not NO_PREFERENCES:
        arranged = fast_first(arranged, said.preferred_min_throughput, said.preferred_max_latency)
    if rests is not None:
        arranged = [slot for slot in arranged if not rests(slot.endpoint)] + [
            slot for slot in arranged if rests(slot.endpoint)
        ]
    stuck = None if before is None else _stuck(arranged, before, rests)
    if stuck is None:
        return arranged, None
    return [stuck, *(slot for slot in arranged if slot is not stuck)], stuck.endpoint


def _stuck(
    slots: list[Slot], before: Callable[[Model], str | None], rests: Callable[[Endpoint], bool] | None
) -> Slot | None:
    """Where the conversation was, if it can be served there now and its cache is cheaper there."""
    names = {name for model in {slot.model for slot in slots} if (name := before(model)) is not None}
    if names:
        for slot in slots:
            if slot.name in names and slot.caching and _may_lead(slot, slots[0]):
                return None if rests is not None and rests(slot.endpoint) else slot
    return None


def _may_lead(slot: Slot, first: Slot) -> bool:
    """Whether a conversation may bring *slot* before the *first*: not one that is down, nor before a tier asked for."""
    led = first.endpoint.service_tier in (None, "default") or first.endpoint.service_tier == slot.endpoint.service_tier
    return led and slot.statistics.vitals.standing != DOWN


def _listed(wanted: Wanted, slots: list[Slot], wishes: Wishes, draw: Draw) -> tuple[list[Slot], list[Slot]]:
    """Those that `order` names, as it names them, and the rest; those of one name as if it named none."""
    listed: list[Slot] = []
    for name in wishes.preferences.order or ():
        if not slots:
            break
        bits = {id(pool): pool.named((name,)) for pool in {slot.pool for slot in slots}}
        named = [slot for slot in slots if slot.bit & bits[id(slot.pool)]]
        if named:
            listed += _sorted(wanted, named, wishes, draw) if len(named) > 1 else named
            slots = [slot for slot in slots if slot not in named]
    return listed, slots


def _sorted(wanted: Wanted, slots: list[Slot], wishes: Wishes, draw: Draw) -> list[Slot]:
    """By what the request, the model's suffix or the operator says, else by quality for tools, else by the draw."""
    tier = wishes.demand.tier
    if tier in (PRIORITY, FLEX):
        own = [slot for slot in slots if slot.endpoint.service_tier == tier]
        if own:
            rest = [slot for slot in slots if slot.endpoint.service_tier != tier]
            own = by_sort(own, "throughput" if tier == PRIORITY else "price", draw)
            return own + (_by_request(wanted, rest, wishes, draw) if rest else [])
    return _by_request(wanted, slots, wishes, draw)


def _by_request(wanted: Wanted, slots: list[Slot], wishes: Wishes, draw: Draw) -> list[Slot]:
    said = wishes.preferences.sort
    sort = said.by if isinstance(said, Sort) else said
    chosen = sort or wanted.sort or wishes.default_sort
    if chosen is not None:
        return by_sort(slots, chosen, draw)
    if wishes.demand.tools:
        return by_quality(slots, draw)
    return drawn(slots, draw)


def filtered(removed: Sequence[Removed]) -> list[dict[str, str]]:
    """Every endpoint that was left out, with the filter that did it."""
    return [
        {"provider": endpoint.provider_name, "model": endpoint.model, "tag": endpoint.tag, "filter": one.name}
        for one in removed
        for endpoint in one.endpoints
    ]


_CODES = {"zdr": "data_policy:zdr", "data_collection": "data_policy:training", "only": "allowed_providers",
          "ignore": "allowed_providers", "order": "allowed_providers", "quantizations": "quantization",
          "max_tokens": "context_length", "regions": "data_region"}  # fmt: skip
"""A filter → its word in `availability.excluded_by`; where it is not here, its own name."""
_PRIVACY = frozenset({"zdr", "data_collection"})


def nothing_left(models: Sequence[Model], removed: Sequence[Removed]) -> NoEndpoint:
    """The error that names each filter and the providers that it took."""
    ids = [model.id for model in models]
    taken: dict[str, list[Endpoint]] = {}
    for one in removed:
        taken.setdefault(one.name, []).extend(one.endpoints)
    told = ", ".join(
        f"{len(gone)} removed by {name} ({', '.join(sorted({endpoint.provider_name for endpoint in gone}))})"
        for name, gone in taken.items()
    )
    names = [name.rpartition(" ")[2] for name in taken]
    code, status, kind = "constraint_filtered" if taken else "no_endpoints", 404, None
    if names and _PRIVACY.issuperset(names):
        code = "privacy_restricted"
    elif names and set(names) == {"regions"}:
        code, status, kind = "region_restricted", 403, "permission_denied"
    elif names == ["free"]:
        code = "free_variant_ended"
    providers = sorted({endpoint.provider_name for gone in taken.values() for endpoint in gone})
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
        f"No endpoints found for {', '.join(ids)}: {told or 'none is configured'}",
        error_type=kind,
        filtered=filtered(removed),
        availability=availability,
    )
    error.http_status = status
    return error
