"""Bodies of `GET /models`, `GET /models/{author}/{slug}/endpoints` and `GET /providers`. Pure.

Source: OpenRouter's `Model`, `PublicEndpoint`, `ListEndpointsResponse` and the body of `/providers`, read 2026-11-21.
Prices are strings, in USD per token, request or image: `"0"` is free and `"-1"` unknown, as OpenRouter writes it where
the price depends on the endpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from msgspec import Struct

from trunkline.catalog.catalog import Catalog
from trunkline.model.endpoint import Endpoint, Model, Price
from trunkline.model.money import Pico, to_usd

UNKNOWN_PRICE = "-1"

PUBLIC_PARAMETERS = (
    "temperature", "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "max_tokens", "max_completion_tokens", "logit_bias", "logprobs", "top_logprobs", "prediction", "seed",
    "response_format", "structured_outputs", "stop", "tools", "tool_choice", "parallel_tool_calls",
    "include_reasoning", "reasoning", "reasoning_effort", "web_search_options", "verbosity",
)  # fmt: skip
"""OpenRouter's `Parameter`, a closed set; in this order."""
INPUT_MODALITIES = ("text", "image", "file", "audio", "video")
OUTPUT_MODALITIES = ("text", "image", "embeddings", "audio", "video", "rerank", "speech", "transcription")
TOKENIZERS = (
    ("gpt", "GPT"), ("claude", "Claude"), ("gemini", "Gemini"), ("gemma", "Gemma"), ("grok", "Grok"),
    ("command", "Cohere"), ("qwen3", "Qwen3"), ("qwen", "Qwen"), ("deepseek", "DeepSeek"), ("mistral", "Mistral"),
    ("mixtral", "Mistral"), ("llama-4", "Llama4"), ("llama-3", "Llama3"), ("llama-2", "Llama2"), ("nova", "Nova"),
)  # fmt: skip
"""A substring of a model's slug and the tokenizer family that it indicates; the first match wins."""


class Percentiles(Protocol):
    """Percentiles over the last half hour."""

    @property
    def p50(self) -> float:
        """The median."""
        ...

    @property
    def p75(self) -> float:
        """75 % of the values are at least as good."""
        ...

    @property
    def p90(self) -> float:
        """90 % of the values are at least as good."""
        ...

    @property
    def p99(self) -> float:
        """99 % of the values are at least as good."""
        ...


class EndpointStats(Struct, frozen=True, kw_only=True):
    """Measurements of an endpoint; None where there are too few.

    Latency is in seconds (the list shows milliseconds), throughput in tokens per second, uptime in per cent.
    """

    latency: Percentiles | None = None
    throughput: Percentiles | None = None
    uptime_5m: float | None = None
    uptime_30m: float | None = None
    uptime_1d: float | None = None
    status: int = 0


TEXT_ONLY = frozenset({"text"})
"""The input modalities of an endpoint that states none."""
ENDPOINT_STATUS = (0, -2, -5)
"""The status by standing (stable, unstable, down). OpenRouter's `EndpointStatus` is 0 or one of five negative numbers
whose meanings are not documented: lower is worse."""
NO_STATS = EndpointStats()
StatsSource = Callable[[Endpoint], EndpointStats]


def model_list(
    entries: Sequence[dict[str, Any]], *, total: int, next_page: str | None, has_more: bool
) -> dict[str, Any]:
    """The body of `GET /models`, for clients of OpenRouter, OpenAI and Anthropic at once.

    Args:
        entries: `model_object`s of one page.
        total: the number of entries on all pages.
        next_page: the link to the next page, or None.
        has_more: whether there are more entries in the direction that was asked for.
    """
    return {
        "object": "list",
        "data": entries,
        "total_count": total,
        "links": {"next": next_page},
        "has_more": has_more,
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
    }


def model_object(model: Model, *, base: str = "/api/v1") -> dict[str, Any]:
    """One entry of `GET /models`. Price and limits are those of the first endpoint, OpenRouter's "top provider".

    `object` and `owned_by` are OpenAI's, `type`, `display_name` and `created_at` Anthropic's.
    """
    top = model.endpoints[0] if model.endpoints else None
    return {
        "id": model.id,
        "object": "model",
        "owned_by": model.id.partition("/")[0],
        "type": "model",
        "display_name": model.name,
        "created_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "canonical_slug": model.id,
        "name": model.name,
        "created": model.created,
        "description": model.description,
        "context_length": model.context_length or (top.context_length if top else None),
        "architecture": architecture(model),
        "pricing": pricing(top.price if top else Price()),
        "top_provider": {
            "context_length": top.context_length if top else None,
            "max_completion_tokens": top.max_output if top else None,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _ordered_union(
            PUBLIC_PARAMETERS, *(endpoint.parameters for endpoint in model.endpoints)
        ),
        "default_parameters": None,
        "supported_voices": None,
        "links": {"details": f"{base}/models/{model.id}/endpoints"},
    }


def architecture(model: Model) -> dict[str, Any]:
    """Input and output modalities over all endpoints, and the tokenizer family."""
    goes_in = _ordered_union(INPUT_MODALITIES, *(endpoint.input or TEXT_ONLY for endpoint in model.endpoints))
    comes_out = _ordered_union(OUTPUT_MODALITIES, *(endpoint.output for endpoint in model.endpoints))
    slug = model.id.partition("/")[2].lower()
    return {
        "modality": f"{'+'.join(goes_in)}->{'+'.join(comes_out)}",
        "input_modalities": goes_in,
        "output_modalities": comes_out,
        "tokenizer": next((family for mark, family in TOKENIZERS if mark in slug), "Other"),
        "instruct_type": None,
    }


_FURTHER_PRICES = {
    "web_search": "search",
    "internal_reasoning": "reasoning",
    "audio": "audio",
    "input_audio_cache": "audio_cache_read",
    "audio_output": "audio_completion",
    "image_output": "image_completion",
}
"""Names in OpenRouter's `PublicPricing` → fields of `Price`."""


def pricing(price: Price) -> dict[str, str]:
    """A price as strings, in USD per token, request and image. Further prices are present only where known."""
    body = {
        "prompt": usd_text(price.prompt),
        "completion": usd_text(price.completion),
        "request": usd_text(price.request),
        "image": usd_text(price.image),
    }
    if price.cache_read is not None:
        body["input_cache_read"] = usd_text(price.cache_read)
    if price.cache_write is not None:
        body["input_cache_write"] = usd_text(price.cache_write)
    for name, field in _FURTHER_PRICES.items():
        amount: Pico | None = getattr(price, field)
        if amount is not None:
            body[name] = usd_text(amount)
    return body


def usd_text(pico: Pico | None) -> str:
    """USD as a decimal string without exponent or trailing zeros; `"-1"` for None."""
    if pico is None:
        return UNKNOWN_PRICE
    return format(to_usd(pico).normalize(), "f") if pico else "0"


def endpoints_object(model: Model, stats: StatsSource | None = None) -> dict[str, Any]:
    """The body of `GET /models/{author}/{slug}/endpoints`."""
    return {
        "data": {
            "id": model.id,
            "name": model.name,
            "created": model.created,
            "description": model.description,
            "architecture": architecture(model),
            "endpoints": [endpoint_object(model, endpoint, stats) for endpoint in model.endpoints],
        }
    }


def endpoint_object(model: Model, endpoint: Endpoint, stats: StatsSource | None = None) -> dict[str, Any]:
    """One endpoint of a model. The context length must be a number: 0 where unknown."""
    measured = stats(endpoint) if stats else NO_STATS
    return {
        "name": f"{endpoint.provider_name} | {endpoint.model}",
        "model_id": model.id,
        "model_name": model.name,
        "context_length": endpoint.context_length or model.context_length or 0,
        "pricing": pricing(endpoint.price),
        "provider_name": endpoint.provider_name,
        "tag": endpoint.tag,
        "quantization": endpoint.quantization,
        "max_completion_tokens": endpoint.max_output,
        "max_prompt_tokens": None,
        "supported_parameters": _ordered_union(PUBLIC_PARAMETERS, endpoint.parameters),
        "status": measured.status,
        "uptime_last_5m": measured.uptime_5m,
        "uptime_last_30m": measured.uptime_30m,
        "uptime_last_1d": measured.uptime_1d,
        "supports_implicit_caching": endpoint.price.cache_read is not None,
        "latency_last_30m": _percentiles(measured.latency, 1000.0),
        "throughput_last_30m": _percentiles(measured.throughput, 1.0),
        "native_tools": {},
        "service_tier": None,
        "supports_diarization": False,
        "supports_tool_choice": dict.fromkeys(
            ("none", "auto", "required", "function"), _supports_tool_choice(endpoint)
        ),
    }


def provider_list(catalog: Catalog) -> dict[str, Any]:
    """The body of `GET /providers`."""
    return {
        "data": [
            {
                "name": provider.name,
                "slug": provider.slug,
                "privacy_policy_url": None,
                "terms_of_service_url": None,
                "status_page_url": None,
            }
            for provider in catalog.providers.values()
        ]
    }


def _supports_tool_choice(endpoint: Endpoint) -> bool:
    return "tool_choice" in endpoint.parameters


def _ordered_union(order: tuple[str, ...], *sets: frozenset[str]) -> list[str]:
    """The elements of any of *sets*, in the order of *order*."""
    return [word for word in order if any(word in one for one in sets)]


def _percentiles(measured: Percentiles | None, unit: float) -> Mapping[str, float] | None:
    if measured is None:
        return None
    return {name: round(getattr(measured, name) * unit, 2) for name in ("p50", "p75", "p90", "p99")}
