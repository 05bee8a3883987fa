"""What `genai-prices` knows, for models of which neither the configuration nor the provider says a price.

Importing it takes some 200 ms, so nothing here does before a price is asked for: a start where every price is known
stays fast. Its prices may depend on the date and on the length of the prompt; ours are flat, so the price of the day of
loading and of the first tier is taken, and where a tier makes long prompts dearer the cost of those comes out too low.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from trunkline.model.endpoint import Price
from trunkline.model.money import from_usd


class Facts(Struct, frozen=True, kw_only=True, eq=False):
    """What is known of a model of a provider."""

    price: Price | None = None
    context_length: int | None = None


UNKNOWN = Facts()


def look_up(source: str | None, upstream_model: str, now: float) -> Facts:
    """What `genai-prices` says of *upstream_model* at its provider *source*, at *now* (Unix seconds)."""
    if source is None:
        return UNKNOWN
    # Not at the top: see the head of this module.
    from genai_prices.data import providers

    provider = next((one for one in providers if one.id == source), None)
    model = provider.find_model(upstream_model, all_providers=providers) if provider else None
    if model is None:
        return UNKNOWN
    return Facts(price=_price(model.get_prices(datetime.fromtimestamp(now, UTC))), context_length=model.context_window)


def _price(said: Any) -> Price | None:
    prompt, completion = _per_token(said, "input_mtok"), _per_token(said, "output_mtok")
    if prompt is None or completion is None:
        return None
    requests = getattr(said, "requests_kcount", None)
    return Price(
        prompt=prompt,
        completion=completion,
        cache_read=_per_token(said, "cache_read_mtok"),
        cache_write=_per_token(said, "cache_write_mtok"),
        request=from_usd(requests / 1000) if isinstance(requests, Decimal) else 0,
        source="genai-prices",
    )


def _per_token(said: Any, name: str) -> int | None:
    """Pico-dollars per token of a price in USD per million, the first tier where there are several."""
    value = getattr(said, name, None)
    value = getattr(value, "base", value)
    return from_usd(value.scaleb(-6)) if isinstance(value, Decimal) else None
