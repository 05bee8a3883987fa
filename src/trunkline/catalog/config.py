"""The configuration's `models` block."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from trunkline.model.endpoint import Price, PriceTier
from trunkline.model.money import from_usd
from trunkline.model.preferences import Quantization

Modality = Literal["text", "image", "file", "audio", "video"]
Parameter = Literal[
    "temperature", "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "max_tokens", "max_completion_tokens", "logit_bias", "logprobs", "top_logprobs", "prediction", "seed",
    "response_format", "structured_outputs", "stop", "tools", "tool_choice", "parallel_tool_calls",
    "include_reasoning", "reasoning", "reasoning_effort", "web_search_options", "verbosity",
    "n", "user", "modalities", "audio", "image_config", "metadata", "service_tier", "prompt_cache_key",
]  # fmt: skip
"""Request fields that an endpoint may or may not support. Source: OpenRouter's `Parameter`, followed by further fields
of a chat request."""

MAX_PER_MILLION = 100_000
"""The maximum price in USD per million tokens (ten cents a token), some hundred times the most expensive known model. A
higher value indicates a wrong unit."""
MAX_PER_REQUEST = 1000
"""The maximum price in USD per request or image. A higher value indicates a wrong unit."""


def usd_range(most: int) -> Meta:
    """The range 0 to *most* for a `Decimal`.

    msgspec checks ranges of ints and floats only; `settings` checks this one.
    """
    return Meta(extra={"ge": 0, "le": most}, extra_json_schema={"minimum": 0, "maximum": most})


PerMillion = Annotated[Decimal, usd_range(MAX_PER_MILLION)]
PerRequest = Annotated[Decimal, usd_range(MAX_PER_REQUEST)]
Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class PriceTierSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of requests with longer prompts, in USD per million tokens. One not given is that of the tier below."""

    above: Tokens
    """The tier applies where the prompt has more tokens than this; all tokens of the request are then charged by it."""
    prompt: PerMillion | None = None
    """Input tokens."""
    completion: PerMillion | None = None
    """Output tokens."""
    cache_read: PerMillion | None = None
    """Input tokens read from a cache."""
    cache_write: PerMillion | None = None
    """Input tokens written to a cache."""
    cache_write_1h: PerMillion | None = None
    """Input tokens written to a cache for an hour."""
    reasoning: PerMillion | None = None
    """Reasoning tokens."""
    audio: PerMillion | None = None
    """Input tokens of audio."""
    audio_cache_read: PerMillion | None = None
    """Input tokens of audio read from a cache."""
    video: PerMillion | None = None
    """Input tokens of video."""
    audio_completion: PerMillion | None = None
    """Output tokens of audio."""
    image_completion: PerMillion | None = None
    """Output tokens of images."""


class PriceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an endpoint costs, in USD. Zero means free. At most six decimals, so that sums are exact."""

    prompt: PerMillion
    """Per million input tokens."""
    completion: PerMillion
    """Per million output tokens, reasoning included unless it has a price of its own."""
    cache_read: PerMillion | None = None
    """Per million input tokens read from a cache; default as `prompt`."""
    cache_write: PerMillion | None = None
    """Per million input tokens written to a cache; default as `prompt`."""
    cache_write_1h: PerMillion | None = None
    """Per million input tokens written to a cache for an hour; default as `cache_write`."""
    reasoning: PerMillion | None = None
    """Per million reasoning tokens; default as `completion`."""
    audio: PerMillion | None = None
    """Per million input tokens of audio. Without it, the cost of a request with audio is not known."""
    audio_cache_read: PerMillion | None = None
    """Per million input tokens of audio read from a cache; default as `audio`."""
    video: PerMillion | None = None
    """Per million input tokens of video. Without it, the cost of a request with video is not known."""
    audio_completion: PerMillion | None = None
    """Per million output tokens of audio. Without it, the cost of an answer with audio is not known."""
    image_completion: PerMillion | None = None
    """Per million output tokens of images. Without it, the cost of an answer with images is not known."""
    request: PerRequest = Decimal(0)
    """Per request."""
    image: PerRequest = Decimal(0)
    """Per input image."""
    search: PerRequest | None = None
    """Per web search that the provider makes. Without it, the cost of a request with searches is not known."""
    tiers: tuple[PriceTierSettings, ...] = ()
    """Prices of requests with longer prompts, by ascending `above`."""

    def to_price(self) -> Price:
        """Convert to pico-dollars per token, request, image and search, exactly."""
        base = Price(
            request=from_usd(self.request),
            image=from_usd(self.image),
            search=None if self.search is None else from_usd(self.search),
            source="configuration",
        )
        base = price = replace(base, **_token_prices(self))
        tiers: list[PriceTier] = []
        for tier in self.tiers:
            price = replace(price, **_token_prices(tier))
            tiers.append(PriceTier(above=tier.above, price=price))
        return replace(base, tiers=tuple(tiers)) if tiers else base


_TOKEN_PRICES = tuple(name for name in PriceTierSettings.__struct_fields__ if name != "above")


def _token_prices(settings: PriceSettings | PriceTierSettings) -> dict[str, int]:
    """The prices that *settings* give, as fields of `Price`."""
    return {name: _per_token(value) for name in _TOKEN_PRICES if (value := getattr(settings, name)) is not None}


def _per_token(per_million: Decimal) -> int:
    return from_usd(per_million.scaleb(-6))


class EndpointSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One endpoint of the model: a provider that serves it."""

    provider: str
    """The slug of a provider."""
    upstream_model: Annotated[str, Meta(min_length=1, max_length=256)]
    """The provider's name of the model."""
    tag: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """Identifies the endpoint among those of the model: the provider's slug, or the slug with a suffix (`acme/fp8`).
    Default: the slug."""
    quantization: Quantization = "unknown"
    """The precision of the weights."""
    context_length: Tokens | None = None
    """Tokens of prompt and response together; default the model's."""
    max_output: Tokens | None = None
    """The maximum length of a response, in tokens; default unlimited."""
    price: PriceSettings | None = None
    """What it costs; default the price in the provider's model list or in `genai-prices`."""
    parameters: tuple[Parameter, ...] | None = None
    """The request fields it supports; default all fields of the dialect."""
    input: tuple[Modality, ...] | None = None
    """The modalities that prompts may contain. Requests with other modalities are routed elsewhere. Default: no
    modality is excluded, and model lists show `text`."""
    output: tuple[Modality, ...] = ("text",)
    """The modalities that responses may contain."""
    region: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """The region where prompts are processed (`eu`), for keys that are bound to regions; default the provider's."""
    service_tier: Literal["priority", "flex"] | None = None
    """The service tier of this endpoint. Only requests that ask for the tier use it, and it is sent to the provider.
    Default: the provider's standard tier."""


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model, under the id that clients ask for: `author/slug`."""

    endpoints: Annotated[tuple[EndpointSettings, ...], Meta(min_length=1)]
    """The model's endpoints. Their order decides between endpoints that are otherwise equal."""
    name: Annotated[str, Meta(min_length=1)] | None = None
    """The display name; default the id."""
    context_length: Tokens | None = None
    """Tokens of prompt and response together."""
    aliases: tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...] = ()
    """Further ids under which clients can request it."""
    description: str = ""
    """A sentence for the model list."""
    created: Annotated[int, Meta(ge=0)] = 0
    """Release time in Unix seconds. `…-latest` is the newest model; among models with 0 it is the one with the highest
    version."""
    distillable: bool | None = None
    """Whether the author allows training other models on its output, for requests with `enforce_distillable_text`."""
    hidden: bool = False
    """Exclude it from lists and from `…-latest`. Clients can still request it by its id."""
