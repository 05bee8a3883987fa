"""The endpoints of one model, indexed for routing when the catalog is built.

Each filter is a set of endpoints, stored as the bits of an integer: one set per name, quantization, parameter and
modality. Applying a filter costs one look-up and one `&`; the excluded endpoints are a `&~` and are listed only on
demand.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf

from trunkline.model.endpoint import Endpoint, Model, Price
from trunkline.routing.statistics import Statistics

PREFERRED_PARAMETERS = ("tools", "structured_outputs", "response_format", "verbosity")
"""Parameters for which endpoints that support them are preferred. Source: OpenRouter, "Provider routing"."""
REFRESH_S = 1.0
"""The maximum age of a pool's vitals; a failure refreshes them at once."""
PROMPT_SHARE = 0.75
"""The share of prompt tokens in a call: three to one, as in OpenRouter's blended price."""
MIN_DRAW_PRICE = 1e3
"""The minimum price for the draw, in pico-dollars per token (a tenth of a cent per million): it bounds the weight of
free endpoints."""
_REQUEST_TOKENS = 1000
"""The number of tokens over which a price per request is spread."""


_SPELLINGS = {"amazon-bedrock": "bedrock", "google-vertex": "vertex", "together": "togetherai"}
SPELLINGS = {**_SPELLINGS, **{other: slug for slug, other in _SPELLINGS.items()}}
"""A provider's slug → its name in other gateways. Source: LLM Router, "Provider fallbacks"."""


def blended_price(price: Price) -> float:
    """The price of a typical call in pico-dollars per token; infinite where unknown."""
    if price.prompt is None or price.completion is None:
        return inf
    return PROMPT_SHARE * price.prompt + (1 - PROMPT_SHARE) * price.completion + price.request / _REQUEST_TOKENS


class Slot:
    """An endpoint of a pool with the values that routing needs. `bit` is its bit in the pool's sets."""

    __slots__ = ("bit", "endpoint", "has_cache_discount", "model", "name", "pool", "price", "statistics", "weight")

    def __init__(self, pool: "EndpointPool", index: int, endpoint: Endpoint, statistics: Statistics) -> None:
        self.bit = 1 << index
        self.pool = pool
        self.model = pool.model
        self.endpoint = endpoint
        self.name = endpoint.name
        self.statistics = statistics
        self.has_cache_discount = has_cache_discount(endpoint)
        self.price = blended_price(endpoint.price)
        self.weight = 0.0 if self.price == inf else max(self.price, MIN_DRAW_PRICE) ** -2
        """The weight in the draw: `1/price²`; 0 where the price is unknown."""


class EndpointPool:
    """The endpoints of *model*; *statistics* returns the statistics of each."""

    def __init__(self, model: Model, statistics: Callable[[Endpoint], Statistics]) -> None:
        self.model = model
        self.slots = tuple(
            Slot(self, index, endpoint, statistics(endpoint)) for index, endpoint in enumerate(model.endpoints)
        )
        self.all = (1 << len(self.slots)) - 1
        self.tiers: dict[str, int] = self._group_by(_special_tiers)
        """By service tier. Endpoints without a special tier are in `untiered`."""
        self.untiered = self.all & ~self._union(self.tiers.values())
        self.owners = _with_other_spellings(
            self._group_by(lambda one: {one.provider.lower(), one.provider_name.lower()})
        )
        """By the provider's slug and display name, endpoints of service tiers included."""
        self.names = self._group_by_name()
        self.quantizations = self._group_by(_quantizations)
        self.regions = self._group_by(lambda one: (one.region.lower(),) if one.region else ())
        self.zdr = self.matching(lambda one: one.data_policy.zdr is True)
        self.no_training = self.matching(lambda one: one.data_policy.training is False)
        """Endpoints that are known not to train on prompts."""
        self.parameters = self._group_by(lambda one: one.parameters)
        self.any_parameters = self.matching(lambda one: not one.parameters)
        """Endpoints that do not list parameters: they support all."""
        self.inputs = self._group_by(lambda one: one.input or ())
        self.any_input = self.matching(lambda one: one.input is None)
        self.outputs = self._group_by(lambda one: one.output)
        self.all_support_preferred = all(self.supporting(name) == self.all for name in PREFERRED_PARAMETERS)
        self.free = self.matching(lambda one: _is_free(one.price))
        self.smallest_context = min((one.context_length or inf for one in model.endpoints), default=inf)
        self.smallest_max_output = min((one.max_output or inf for one in model.endpoints), default=inf)
        self.has_cache_discount = any(slot.has_cache_discount for slot in self.slots)
        """Whether sticky routing can save cost."""
        self.ranks: dict[Slot, int] | None = None
        """The quality ranks of `order.quality_ranks`; None where they must be computed."""
        self._fresh_until = -inf

    def matching(self, true_of: Callable[[Endpoint], bool]) -> int:
        """The endpoints for which *true_of* is true, as a set."""
        return sum(slot.bit for slot in self.slots if true_of(slot.endpoint))

    def _group_by(self, words: Callable[[Endpoint], Iterable[str]]) -> dict[str, int]:
        found: dict[str, int] = {}
        for slot in self.slots:
            for word in words(slot.endpoint):
                found[word] = found.get(word, 0) | slot.bit
        return found

    @staticmethod
    def _union(sets: Iterable[int]) -> int:
        union = 0
        for one in sets:
            union |= one
        return union

    def _group_by_name(self) -> dict[str, int]:
        """Sets by lower-case name: a tag, or a provider's slug or display name without its service tiers' endpoints."""
        names = self._group_by(
            lambda one: () if _special_tiers(one) else (one.provider.lower(), one.provider_name.lower())
        )
        for slot in self.slots:
            tag = slot.endpoint.tag.lower()
            names[tag] = names.get(tag, 0) | slot.bit
        return _with_other_spellings(names)

    def by_names(self, names: Iterable[str]) -> int:
        """The endpoints that any of *names* matches, as a set."""
        found = 0
        for name in names:
            found |= self.names.get(name, 0) or self.names.get(name.lower(), 0)
        return found

    def by_policy_names(self, names: Iterable[str]) -> int:
        """As `by_names`, for the lower-case names of a policy.

        A provider's name also matches its service tiers' endpoints.

        A policy restricts who receives prompts, which does not depend on the tier.
        """
        found = 0
        for name in names:
            found |= self.names.get(name, 0) | self.owners.get(name, 0)
        return found

    def slots_in(self, bits: int) -> list[Slot]:
        """The slots of a set, in the order of the configuration."""
        if bits == self.all:
            return list(self.slots)
        return [slot for slot in self.slots if slot.bit & bits]

    @staticmethod
    def any_of(sets: Mapping[str, int], words: Iterable[str]) -> int:
        """The union of the sets under *words*."""
        found = 0
        for word in words:
            found |= sets.get(word, 0)
        return found

    def supporting(self, parameter: str) -> int:
        """The endpoints that support *parameter*, as a set."""
        return self.parameters.get(parameter, 0) | self.any_parameters

    def accepting(self, modality: str) -> int:
        """The endpoints whose prompts can contain *modality*, as a set."""
        return self.inputs.get(modality, 0) | self.any_input

    def refresh(self, now: float) -> None:
        """Update the endpoints' vitals to *now* where they are old or were invalidated."""
        if now < self._fresh_until:
            return
        self._fresh_until = now + REFRESH_S
        self.ranks = None
        for slot in self.slots:
            statistics = slot.statistics
            vitals = statistics.vitals
            if statistics.changed or statistics.tripped or vitals.requests or vitals.tool_requests:
                statistics.refresh(now)

    def claim_trial(self, slot: Slot) -> None:
        """Claim the trial of *slot* for a request."""
        slot.statistics.claim_trial(self._fresh_until)
        self.invalidate()

    def invalidate(self) -> None:
        """Force the next `refresh` to update the vitals."""
        self._fresh_until = -inf

    def __iter__(self) -> Iterator[Slot]:
        return iter(self.slots)


def _with_other_spellings(names: dict[str, int]) -> dict[str, int]:
    """*names* with the other spellings of slugs and tags; existing names take precedence."""
    found = dict(names)
    for name, bits in names.items():
        slug, slash, suffix = name.partition("/")
        if slug in SPELLINGS:
            found.setdefault(SPELLINGS[slug] + slash + suffix, bits)
    return found


def _is_free(price: Price) -> bool:
    return price.prompt == 0 and price.completion == 0 and not price.request and not price.image


def _special_tiers(endpoint: Endpoint) -> tuple[str, ...]:
    """The endpoint's service tier; empty for the default tier."""
    tier = endpoint.service_tier
    return () if tier is None or tier == "default" else (tier,)


_COVERS = {"mxfp4": ("fp4",), "nvfp4": ("fp4",), "mxfp8": ("fp8",)}
"""A quantization → the wider terms that include it. Source: OpenRouter, "Provider routing" (quantization)."""


def _quantizations(endpoint: Endpoint) -> tuple[str, ...]:
    return (endpoint.quantization, *_COVERS.get(endpoint.quantization, ()))


def has_cache_discount(endpoint: Endpoint) -> bool:
    """Whether reading from the prompt cache is cheaper than sending the prompt.

    Source: OpenRouter, "Prompt caching" (sticky routing).
    """
    price = endpoint.price
    return price.cache_read is not None and price.prompt is not None and price.cache_read < price.prompt
