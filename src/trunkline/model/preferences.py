"""The `provider` object of a request: the caller's routing preferences.

Source: OpenRouter's OpenAPI document, `ProviderPreferences`; it is closed.
"""

from typing import Any, Literal

from msgspec import Struct

Quantization = Literal[
    "int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown"
]
SortBy = Literal["price", "throughput", "latency", "exacto"]


class Sort(Struct, frozen=True, kw_only=True):
    """`sort` in its object form."""

    by: SortBy | None = None
    partition: Literal["model", "none"] | None = None


class MaxPrice(Struct, frozen=True, kw_only=True):
    """Maximum prices: USD per million tokens, per image, per audio unit, per request; a string or a number."""

    prompt: float | str | None = None
    completion: float | str | None = None
    image: float | str | None = None
    audio: float | str | None = None
    request: float | str | None = None


class Percentiles(Struct, frozen=True, kw_only=True):
    """Cut-offs per percentile; all of them must hold."""

    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p99: float | None = None


class Preferences(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Routing preferences as the caller sent them. None means not sent."""

    order: list[str] | None = None
    only: list[str] | None = None
    """An empty list is treated as not sent."""
    ignore: list[str] | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    enforce_distillable_text: bool | None = None
    quantizations: list[Quantization] | None = None
    sort: SortBy | Sort | None = None
    max_price: MaxPrice | None = None
    preferred_min_throughput: float | Percentiles | None = None
    preferred_max_latency: float | Percentiles | None = None
    options: dict[str, dict[str, Any]] | None = None


NO_PREFERENCES = Preferences()
