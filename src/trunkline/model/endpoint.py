"""Models, endpoints and prices: what can be had, where, for how much."""

from msgspec import Struct, field

from trunkline.model.money import Pico


class Price(Struct, frozen=True, kw_only=True):
    """Prices in pico-dollars, ready to multiply: per token, per request, per image.

    A price in USD per million tokens times 1e6 is its pico-dollars per token. None where it is not known: zero is the
    word for free. `cache_read` None bills cache reads as prompt; `cache_write` likewise; `cache_write_1h` None bills as
    `cache_write`.
    """

    prompt: Pico | None = None
    completion: Pico | None = None
    cache_read: Pico | None = None
    cache_write: Pico | None = None
    cache_write_1h: Pico | None = None
    request: Pico = 0
    image: Pico = 0
    source: str = "unknown"
    """Who said so: `configuration`, `provider`, `genai-prices`, `unknown`."""

    @property
    def known(self) -> bool:
        """Whether tokens can be priced at all."""
        return self.prompt is not None and self.completion is not None


class DataPolicy(Struct, frozen=True, kw_only=True):
    """What a provider does with prompts. None means it is not known."""

    training: bool | None = None
    retention_days: int | None = None
    zdr: bool | None = None


class Endpoint(Struct, frozen=True, kw_only=True, eq=False):
    """One model at one provider, with its price and limits. Two endpoints are the same when they are the same object.

    `provider` is the slug (`acme`), `provider_name` what clients see (`Acme`), `tag` the slug and an optional suffix
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
    """What prompts may hold; None where nobody said, so that nothing is ruled out."""
    output: frozenset[str] = frozenset({"text"})
    data_policy: DataPolicy = DataPolicy()
    region: str | None = None
    """Where prompts are processed (`eu`, `us-east5`); None where nobody said."""
    service_tier: str | None = None
    """`priority` or `flex` where it serves that tier alone; None for the usual one."""

    @property
    def name(self) -> str:
        """Tells it from every other endpoint, on every replica: what statistics and stickiness are kept under."""
        return f"{self.model}@{self.tag}:{self.upstream_model}"


class Model(Struct, frozen=True, kw_only=True, eq=False):
    """`author/slug` and where it can be had, in the order of the configuration."""

    id: str
    name: str
    endpoints: tuple[Endpoint, ...]
    created: int = 0
    """Unix seconds; when the model was released, or 0 where unknown."""
    description: str = ""
    context_length: int | None = None
    aliases: tuple[str, ...] = field(default_factory=tuple)
    distillable: bool | None = None
    """Whether its author lets other models be trained on its text; None where nobody said."""
    hidden: bool = False
    """Left out of lists and of `…-latest`; it can be asked for by its id."""
