"""Order of the endpoints that passed the filters. Source: OpenRouter, "Provider routing".

Every order is a sort by a key; Python's sort keeps the configured order of equal keys. The weighted draw is a sort too:
an endpoint with weight w gets the key -ln(1-u)/w for a uniform u, which is equivalent to weighted drawing without
replacement (Efraimidis and Spirakis, 2006).
"""

from collections.abc import Callable, Sequence
from math import inf, log
from operator import itemgetter
from statistics import median
from typing import TypeAlias

from trunkline.model.preferences import Percentiles as Cutoffs
from trunkline.routing.endpoint_pool import Slot
from trunkline.routing.statistics import DOWN, STABLE, Percentiles

Draw: TypeAlias = Callable[[], float]
"""A uniform random number from 0 (inclusive) to 1 (exclusive)."""

_first = itemgetter(0)

MIN_PROVIDERS = 4
"""The minimum number of providers with data for a comparison of their statistics. Source: OpenRouter, "Auto Exacto"."""
MIN_REQUESTS, MIN_TOOL_REQUESTS = 100, 200
"""The minimum number of requests for sufficient data."""
MAD_TO_SIGMA = 1.4826
"""Converts the median absolute deviation to a standard deviation of a normal distribution."""
MIN_SPREAD = 0.05
"""The minimum spread as a share of the median: the resolution of the histograms."""


def by_weighted_draw(slots: Sequence[Slot], draw: Draw) -> list[Slot]:
    """The default order: stable endpoints by a draw with weight 1/price², then the others by price.

    Endpoints of unknown price follow the drawn ones in the configured order. Endpoints that are down come last, ordered
    by `_down_last`.
    """
    if len(slots) == 1:
        return list(slots)
    keyed: list[tuple[float, Slot]] = []
    troubled: list[Slot] = []
    for slot in slots:
        if slot.statistics.vitals.standing != STABLE:
            troubled.append(slot)
        else:
            keyed.append((-log(1.0 - draw()) / slot.weight if slot.weight else inf, slot))
    keyed.sort(key=_first)
    found = [slot for _, slot in keyed]
    if troubled:
        found += _down_last(sorted(troubled, key=_price)) if len(troubled) > 1 else troubled
    return found


def _price(slot: Slot) -> float:
    return slot.price


def _throughput(slot: Slot) -> float:
    measured = slot.statistics.vitals.throughput
    return inf if measured is None else -measured.p50


def _latency(slot: Slot) -> float:
    measured = slot.statistics.vitals.latency
    return inf if measured is None else measured.p50


KEYS: dict[str, Callable[[Slot], float]] = {"price": _price, "throughput": _throughput, "latency": _latency}
"""`sort` → the sort key, ascending; endpoints without data come last. `exacto` is `by_quality`."""


def by_sort(slots: Sequence[Slot], sort: str, draw: Draw) -> list[Slot]:
    """Sort by *sort*; endpoints that are down come last, ordered by `_down_last`."""
    if sort == "exacto":
        return by_quality(slots, draw)
    if sort == "configured":
        found = list(slots)
    else:
        found = sorted(slots, key=KEYS[sort])
    return _down_last(found)


def _down_last(slots: list[Slot]) -> list[Slot]:
    """Move endpoints that are down to the end.

    The one whose last attempt is oldest comes first among them, because it is the likeliest to be back.
    """
    down = [slot for slot in slots if slot.statistics.vitals.standing == DOWN]
    if not down:
        return slots
    down.sort(key=_last_tried)
    return [slot for slot in slots if slot.statistics.vitals.standing != DOWN] + down


def _last_tried(slot: Slot) -> float:
    return slot.statistics.last_tried_at


def by_quality(slots: Sequence[Slot], draw: Draw) -> list[Slot]:
    """Endpoints of good quality first, then those with too little data, then those with a poor quality signal.

    The default order applies within each group.
    """
    ranks = _cached_ranks(slots)
    present = sorted({ranks[slot] for slot in slots})
    if len(present) == 1:
        return by_weighted_draw(slots, draw)
    found: list[Slot] = []
    for rank in present:
        found += by_weighted_draw([slot for slot in slots if ranks[slot] == rank], draw)
    return _down_last(found)


def _cached_ranks(slots: Sequence[Slot]) -> dict[Slot, int]:
    """The quality rank of each endpoint among all endpoints of its model; cached until the next refresh."""
    found: dict[Slot, int] = {}
    for pool in {slot.pool for slot in slots}:
        if pool.ranks is None:
            pool.ranks = quality_ranks(pool.slots)
        found = {**found, **pool.ranks} if found else pool.ranks
    return found


def quality_ranks(slots: Sequence[Slot]) -> dict[Slot, int]:
    """Ranks: 0 good, 1 too little data, 2 throughput or tool call success below the others'.

    A signal counts where at least four providers have data. OpenRouter's benchmarks are not available here.
    """
    ranks = dict.fromkeys(slots, 0)
    speeds = {slot: found.p50 for slot in slots if (found := slot.statistics.vitals.throughput) is not None}
    successes = {slot: share for slot in slots if (share := slot.statistics.vitals.tool_success) is not None}
    judged = False
    for signal, deviations in ((speeds, 1.5), (successes, 2.0)):
        if len({slot.endpoint.provider for slot in signal}) < MIN_PROVIDERS:
            continue
        judged = True
        least = _outlier_threshold(list(signal.values()), deviations)
        for slot, value in signal.items():
            if value < least and _has_enough_data(slot, tools=signal is successes):
                ranks[slot] = 2
    if not judged:
        return ranks
    tools = bool(successes)
    for slot in slots:
        if not ranks[slot] and not (
            _has_enough_data(slot, tools=False) and (not tools or _has_enough_data(slot, tools=True))
        ):
            ranks[slot] = 1
    return ranks


def _has_enough_data(slot: Slot, *, tools: bool) -> bool:
    vitals = slot.statistics.vitals
    return vitals.tool_requests >= MIN_TOOL_REQUESTS if tools else vitals.requests >= MIN_REQUESTS


def _outlier_threshold(values: list[float], deviations: float) -> float:
    middle = median(values)
    spread = MAD_TO_SIGMA * median(abs(value - middle) for value in values)
    return middle - deviations * max(spread, MIN_SPREAD * middle)


def meeting_cutoffs_first(
    slots: list[Slot], throughput: float | Cutoffs | None, latency: float | Cutoffs | None
) -> list[Slot]:
    """Move endpoints that miss a cut-off, have no data or are down to the end."""
    cutoffs = [
        (name, level, most)
        for name, given in (("throughput", throughput), ("latency", latency))
        for level, most in _percentile_cutoffs(given)
    ]
    if not cutoffs:
        return slots
    fast = slots
    for cutoff in cutoffs:
        fast = [slot for slot in fast if _meets(slot, *cutoff)]
    return _down_last(sorted(slots, key=set(fast).__contains__, reverse=True))


def _percentile_cutoffs(given: float | Cutoffs | None) -> list[tuple[str, float]]:
    if given is None:
        return []
    if not isinstance(given, Cutoffs):
        return [("p50", float(given))]
    return [(level, said) for level in ("p50", "p75", "p90", "p99") if (said := getattr(given, level)) is not None]


def _meets(slot: Slot, name: str, level: str, cutoff: float) -> bool:
    measured: Percentiles | None = getattr(slot.statistics.vitals, name)
    if measured is None:
        return False
    value: float = getattr(measured, level)
    return value >= cutoff if name == "throughput" else value <= cutoff
