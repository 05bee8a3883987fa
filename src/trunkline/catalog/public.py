"""The catalog as clients see it: `GET /models`, `GET /models/{author}/{slug}/endpoints`, `GET /providers`. Pure.

Source: OpenRouter's `Model`, `PublicEndpoint`, `ListEndpointsResponse` and the body of `/providers`, read 2026-11-21.
Prices are text, in USD per token, request or image: `"0"` is free and `"-1"` not known, as OpenRouter writes where the
price depends on where a request ends up.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from trunkline.catalog.models import Catalog
from trunkline.model.endpoint import Endpoint, Model, Price
from trunkline.model.money import Pico, to_usd

UNKNOWN_PRICE = "-1"

PUBLIC_PARAMETERS = (
    "temperature", "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "max_tokens", "max_completion_tokens", "logit_bias", "logprobs", "top_logprobs", "prediction", "seed",
    "response_format", "structured_outputs", "stop", "tools", "tool_choice", "parallel_tool_calls",
    "include_reasoning", "reasoning", "reasoning_effort", "web_search_options", "verbosity",
)  # fmt: skip
"""OpenRouter's `Parameter`, closed; in this order."""
INPUTS = ("text", "image", "file", "audio", "video")
OUTPUTS = ("text", "image", "embeddings", "audio", "video", "rerank", "speech", "transcription")
FAMILIES = (
    ("gpt", "GPT"), ("claude", "Claude"), ("gemini", "Gemini"), ("gemma", "Gemma"), ("grok", "Grok"),
    ("command", "Cohere"), ("qwen3", "Qwen3"), ("qwen", "Qwen"), ("deepseek", "DeepSeek"), ("mistral", "Mistral"),
    ("mixtral", "Mistral"), ("llama-4", "Llama4"), ("llama-3", "Llama3"), ("llama-2", "Llama2"), ("nova", "Nova"),
)  # fmt: skip
"""A part of a model's slug and the tokenizer family it tells of; the first that fits."""


class Percentiles(Protocol):
    """Of the last half hour."""

    @property
    def p50(self) -> float:
        """The median."""
        ...

    @property
    def p75(self) -> float:
        """Three quarters are as good."""
        ...

    @property
    def p90(self) -> float:
        """Nine in ten are as good."""
        ...

    @property
    def p99(self) -> float:
        """All but one in a hundred are as good."""
        ...


class EndpointStats(Struct, frozen=True, kw_only=True):
    """What has been measured of an endpoint; None where too little has.

    Latency is in seconds (the list says milliseconds), throughput in tokens per second, uptime in per cent.
    """

    latency: Percentiles | None = None
    throughput: Percentiles | None = None
    uptime_5m: float | None = None
    uptime_30m: float | None = None
    uptime_1d: float | None = None
    status: int = 0


TEXT = frozenset({"text"})
"""What an endpoint accepts of which nobody said more."""
STATUS = (0, -2, -5)
"""By standing (stable, unstable, down). OpenRouter's `EndpointStatus` is 0 or one of five negative numbers, whose
meanings it does not tell: lower is worse."""
NO_STATS = EndpointStats()
Stats = Callable[[Endpoint], EndpointStats]


def model_list(models: Iterable[Model], *, base: str = "/api/v1") -> dict[str, Any]:
    """The body of `GET /models`, all of *models* on one page."""
    data = [model_object(model, base=base) for model in models if not model.hidden]
    return {"data": data, "total_count": len(data), "links": {"next": None}}


def model_object(model: Model, *, base: str = "/api/v1") -> dict[str, Any]:
    """One entry of `GET /models`. Price and limits are those of the first endpoint, as OpenRouter's "top provider"."""
    top = model.endpoints[0] if model.endpoints else None
    return {
        "id": model.id,
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
        "supported_parameters": _in_order(PUBLIC_PARAMETERS, *(endpoint.parameters for endpoint in model.endpoints)),
        "default_parameters": None,
        "supported_voices": None,
        "links": {"details": f"{base}/models/{model.id}/endpoints"},
    }


def architecture(model: Model) -> dict[str, Any]:
    """What goes in and comes out, over all endpoints."""
    goes_in = _in_order(INPUTS, *(endpoint.input or TEXT for endpoint in model.endpoints))
    comes_out = _in_order(OUTPUTS, *(endpoint.output for endpoint in model.endpoints))
    slug = model.id.partition("/")[2].lower()
    return {
        "modality": f"{'+'.join(goes_in)}->{'+'.join(comes_out)}",
        "input_modalities": goes_in,
        "output_modalities": comes_out,
        "tokenizer": next((family for mark, family in FAMILIES if mark in slug), "Other"),
        "instruct_type": None,
    }


def pricing(price: Price) -> dict[str, str]:
    """A price as text, in USD per token, request and image. Cache prices only where they are known."""
    body = {
        "prompt": amount(price.prompt),
        "completion": amount(price.completion),
        "request": amount(price.request),
        "image": amount(price.image),
    }
    if price.cache_read is not None:
        body["input_cache_read"] = amount(price.cache_read)
    if price.cache_write is not None:
        body["input_cache_write"] = amount(price.cache_write)
    return body


def amount(pico: Pico | None) -> str:
    """USD as text without exponent or needless zeros."""
    if pico is None:
        return UNKNOWN_PRICE
    return format(to_usd(pico).normalize(), "f") if pico else "0"


def endpoints_object(model: Model, stats: Stats | None = None) -> dict[str, Any]:
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


def endpoint_object(model: Model, endpoint: Endpoint, stats: Stats | None = None) -> dict[str, Any]:
    """One endpoint of a model. A context length must be a number: 0 where none is known."""
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
        "supported_parameters": _in_order(PUBLIC_PARAMETERS, endpoint.parameters),
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
        "supports_tool_choice": dict.fromkeys(("none", "auto", "required", "function"), _takes_tools(endpoint)),
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


def _takes_tools(endpoint: Endpoint) -> bool:
    return "tool_choice" in endpoint.parameters


def _in_order(order: tuple[str, ...], *sets: frozenset[str]) -> list[str]:
    """What is in any of *sets*, as *order* has it."""
    return [word for word in order if any(word in one for one in sets)]


def _percentiles(measured: Percentiles | None, unit: float) -> Mapping[str, float] | None:
    if measured is None:
        return None
    return {name: round(getattr(measured, name) * unit, 2) for name in ("p50", "p75", "p90", "p99")}
