"""Models, their endpoints, and the price and limits of each endpoint."""

from msgspec import Struct, field

from trunkline.model.money import Pico


class Price(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prices in pico-dollars: per token, and per request, image and search.

    A price in USD per million tokens times 1e6 is the price in pico-dollars per token. None means unknown; 0 means
    free. `ledger.cost` says what tokens without a price of their own cost, and when the cost is then unknown.
    """

    prompt: Pico | None = None
    completion: Pico | None = None
    cache_read: Pico | None = None
    cache_write: Pico | None = None
    cache_write_1h: Pico | None = None
    reasoning: Pico | None = None
    """Of reasoning tokens; None: as `completion`."""
    audio: Pico | None = None
    """Of audio in the input."""
    audio_cache_read: Pico | None = None
    video: Pico | None = None
    """Of video in the input."""
    audio_completion: Pico | None = None
    image_completion: Pico | None = None
    """Of images in the output."""
    request: Pico = 0
    image: Pico = 0
    """Per image in the input."""
    search: Pico | None = None
    """Per web search that the provider makes."""
    tiers: "tuple[PriceTier, ...]" = ()
    """Prices of longer prompts, by length."""
    incomplete: bool = False
    """The provider charges for something that is not counted, so no cost is known."""
    source: str = "unknown"
    """Where the price comes from: `configuration`, `provider`, `genai-prices` or `unknown`."""

    @property
    def is_known(self) -> bool:
        """Whether both token prices are known."""
        return self.prompt is not None and self.completion is not None

    def for_prompt(self, tokens: int) -> "Price":
        """The prices of a request with so many tokens of input: all of its tokens are charged by one tier."""
        for tier in reversed(self.tiers):
            if tokens > tier.above:
                return tier.price
        return self


class PriceTier(Struct, frozen=True, kw_only=True):
    """The prices of prompts with more than `above` tokens; complete, and without tiers of their own."""

    above: int
    price: Price


class DataPolicy(Struct, frozen=True, kw_only=True):
    """What a provider does with prompts. None means unknown."""

    training: bool | None = None
    retention_days: int | None = None
    zdr: bool | None = None


class Endpoint(Struct, frozen=True, kw_only=True, eq=False):
    """One model at one provider, with its price and limits. Endpoints are compared by identity.

    `provider` is the slug (`acme`), `provider_name` the display name (`Acme`), `tag` the slug with an optional suffix
    (`acme/fp8`). Token limits are None where unknown.
    """

    model: str
    provider: str
    provider_name: str
    upstream_model: str
    dialect: str
    tag: str
    context_length: int | None = None
    max_output: int | None = None
    quantization: str = "unknown"
    price: Price = Price()
    parameters: frozenset[str] = frozenset()
    input: frozenset[str] | None = None
    """The modalities that prompts may contain. None means unknown: no modality is excluded."""
    output: frozenset[str] = frozenset({"text"})
    data_policy: DataPolicy = DataPolicy()
    region: str | None = None
    """The region where prompts are processed (`eu`, `us-east5`). None means unknown."""
    service_tier: str | None = None
    """`priority` or `flex` where the endpoint serves only that tier; None for the default tier."""

    @property
    def name(self) -> str:
        """Identifies the endpoint on every replica. Statistics and sticky routes are stored under this name."""
        return f"{self.model}@{self.tag}:{self.upstream_model}"


class Model(Struct, frozen=True, kw_only=True, eq=False):
    """A model (`author/slug`) and its endpoints, in the order of the configuration."""

    id: str
    name: str
    endpoints: tuple[Endpoint, ...]
    created: int = 0
    """Release time in Unix seconds; 0 where unknown."""
    description: str = ""
    context_length: int | None = None
    aliases: tuple[str, ...] = field(default_factory=tuple)
    distillable: bool | None = None
    """Whether the author allows training other models on its output. None means unknown."""
    hidden: bool = False
    """Excluded from lists and from `…-latest`. Requests can still name it by its id."""
