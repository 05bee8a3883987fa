"""The configuration's `models` block."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from trunkline.model.endpoint import Price
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
"""Request fields that an endpoint may or may not take. Source: OpenRouter's `Parameter`, and below it what a chat
request may also hold."""

MAX_PER_MILLION = 100_000
"""USD per million tokens, ten cents a token: some hundred times the dearest model known; above it, a unit is wrong."""
MAX_EACH = 1000
"""USD per request or image; above it, a unit is wrong."""


def usd(most: int) -> Meta:
    """From 0 to *most*, for a `Decimal`: msgspec knows bounds of ints and floats alone, so `settings` reads these."""
    return Meta(extra={"ge": 0, "le": most}, extra_json_schema={"minimum": 0, "maximum": most})


PerMillion = Annotated[Decimal, usd(MAX_PER_MILLION)]
Each = Annotated[Decimal, usd(MAX_EACH)]
Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class PriceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an endpoint costs, in USD. Zero is the word for free. At most six decimals, so that sums are exact."""

    prompt: PerMillion
    """Per million input tokens."""
    completion: PerMillion
    """Per million output tokens, reasoning among them."""
    cache_read: PerMillion | None = None
    """Per million input tokens read from a cache; default as `prompt`."""
    cache_write: PerMillion | None = None
    """Per million input tokens written to a cache; default as `prompt`."""
    cache_write_1h: PerMillion | None = None
    """Per million input tokens written to a cache for an hour; default as `cache_write`."""
    request: Each = Decimal(0)
    """Per request."""
    image: Each = Decimal(0)
    """Per input image."""

    def price(self) -> Price:
        """In pico-dollars per token, request and image, exactly."""
        return Price(
            prompt=_per_token(self.prompt),
            completion=_per_token(self.completion),
            cache_read=None if self.cache_read is None else _per_token(self.cache_read),
            cache_write=None if self.cache_write is None else _per_token(self.cache_write),
            cache_write_1h=None if self.cache_write_1h is None else _per_token(self.cache_write_1h),
            request=from_usd(self.request),
            image=from_usd(self.image),
            source="configuration",
        )


def _per_token(per_million: Decimal) -> int:
    return from_usd(per_million.scaleb(-6))


class EndpointSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place where the model can be had."""

    provider: str
    """The slug of a provider."""
    upstream_model: Annotated[str, Meta(min_length=1, max_length=256)]
    """What the provider calls the model."""
    tag: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """Tells the model's endpoints apart: the provider's slug, or that and a suffix (`acme/fp8`). Default: the slug."""
    quantization: Quantization = "unknown"
    """The precision of the weights."""
    context_length: Tokens | None = None
    """Tokens of prompt and answer together; default the model's."""
    max_output: Tokens | None = None
    """The longest answer, in tokens; default unlimited."""
    price: PriceSettings | None = None
    """What it costs; default what the provider's own list or `genai-prices` says."""
    parameters: tuple[Parameter, ...] | None = None
    """The request fields it takes; default all that the dialect has."""
    input: tuple[Modality, ...] | None = None
    """What prompts may hold: where it is said, requests with anything else go elsewhere. Default: nothing is ruled
    out, and lists say `text`."""
    output: tuple[Modality, ...] = ("text",)
    """What answers may hold."""
    region: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """Where prompts are processed (`eu`), for keys that are bound to regions; default the provider's."""
    service_tier: Literal["priority", "flex"] | None = None
    """The service tier that it serves, which requests have to ask for; it is what the provider is told. Default none:
    the usual one."""


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model, under the id that clients ask for: `author/slug`."""

    endpoints: Annotated[tuple[EndpointSettings, ...], Meta(min_length=1)]
    """Where it can be had, in the order of preference between equals."""
    name: Annotated[str, Meta(min_length=1)] | None = None
    """What people call it; default the id."""
    context_length: Tokens | None = None
    """Tokens of prompt and answer together."""
    aliases: tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...] = ()
    """Further ids under which clients may ask for it."""
    description: str = ""
    """A sentence for the model list."""
    created: Annotated[int, Meta(ge=0)] = 0
    """When it was released, in Unix seconds: `…-latest` is the newest, and where this is 0, the highest version."""
    distillable: bool | None = None
    """Whether its author lets other models be trained on its text, for requests with `enforce_distillable_text`."""
    hidden: bool = False
    """Leave it out of lists and of `…-latest`; it can be asked for by its id."""
