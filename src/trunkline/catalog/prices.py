"""The price list of the package: prices and context lengths that neither the configuration nor the provider gives.

`prices.json` is made from the package `genai-prices` by `make prices`; it names its version and date. It is read when
the first price is looked up. A price may depend on the date and on the time of day: the price at the time of the
look-up is taken. It may also depend on the length of the prompt (tiers).
"""

import datetime
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from trunkline.model.endpoint import Price, PriceTier
from trunkline.model.money import Pico, from_usd


class Facts(Struct, frozen=True, kw_only=True, eq=False):
    """What is known of a model of a provider."""

    price: Price | None = None
    context_length: int | None = None


UNKNOWN = Facts()


class Match(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition on a model's name in lower case. One field is set."""

    equals: str | None = None
    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None
    regex: str | None = None
    any: "tuple[Match, ...] | None" = None
    all: "tuple[Match, ...] | None" = None


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """USD per million tokens, and per thousand requests and searches."""

    input_mtok: Decimal | None = None
    output_mtok: Decimal | None = None
    cache_read_mtok: Decimal | None = None
    cache_write_mtok: Decimal | None = None
    cache_write_1h_mtok: Decimal | None = None
    output_reasoning_mtok: Decimal | None = None
    input_audio_mtok: Decimal | None = None
    cache_audio_read_mtok: Decimal | None = None
    input_video_mtok: Decimal | None = None
    output_audio_mtok: Decimal | None = None
    output_image_mtok: Decimal | None = None
    requests_kcount: Decimal | None = None
    web_searches_kcount: Decimal | None = None
    tiers: "tuple[TierRates, ...]" = ()
    incomplete: bool = False
    """There are rates for something that we do not count."""


class TierRates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rates of prompts with more than `above` tokens, as far as they differ from those of the tier below."""

    above: int
    rates: Rates


class ConditionalRates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates, and when they apply: from a date on, or in a part of each day (UTC)."""

    rates: Rates
    start_date: datetime.date | None = None
    start_time: datetime.time | None = None
    end_time: datetime.time | None = None


class ListedModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model. Of its prices, the last that applies is taken."""

    id: str
    match: Match
    prices: tuple[ConditionalRates, ...]
    context: int | None = None


class ListedProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's models; `fallback` names the providers whose models it serves too."""

    models: tuple[ListedModel, ...]
    fallback: tuple[str, ...] = ()


class PriceList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file `prices.json`."""

    source: str
    license: str
    date: datetime.date
    providers: dict[str, ListedProvider]


@cache
def price_list() -> PriceList:
    """Read `prices.json`."""
    data = files("trunkline.catalog").joinpath("prices.json").read_bytes()
    return msgspec.json.decode(data, type=PriceList)


def look_up(source: str | None, upstream_model: str, now: float) -> Facts:
    """Return what the list has for *upstream_model* of its provider *source*, at *now* (Unix seconds)."""
    if source is None:
        return UNKNOWN
    model = _find(source, upstream_model.lower())
    if model is None:
        return UNKNOWN
    return Facts(
        price=_price(_rates(model, datetime.datetime.fromtimestamp(now, datetime.UTC))), context_length=model.context
    )


def _find(source: str, name: str) -> ListedModel | None:
    """The model that *name* stands for; if there is none, the one that it stands for with its date in dashes."""
    dashed = _with_dashes(name)
    for spelling in (name,) if dashed == name else (name, dashed):
        for model in _models(source):
            if _matches(model.match, spelling):
                return model
    return None


def _models(source: str) -> Iterator[ListedModel]:
    """The models of a provider, then those of the providers whose models it serves too."""
    providers = price_list().providers
    provider = providers.get(source)
    if provider is not None:
        yield from provider.models
        for other in provider.fallback:
            if other in providers:
                yield from providers[other].models


def _matches(match: Match, name: str) -> bool:
    return (
        match.equals == name
        or (match.starts_with is not None and name.startswith(match.starts_with))
        or (match.ends_with is not None and name.endswith(match.ends_with))
        or (match.contains is not None and match.contains in name)
        or (match.any is not None and any(_matches(one, name) for one in match.any))
        or (match.all is not None and all(_matches(one, name) for one in match.all))
        or (match.regex is not None and re.search(match.regex, name) is not None)
    )


_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def _with_dashes(name: str) -> str:
    """*name* with a date such as `-20251211` written as `-2025-12-11`."""

    def dashed(match: re.Match[str]) -> str:
        try:
            return f"-{datetime.date(*map(int, match.groups())).isoformat()}"
        except ValueError:
            return match[0]

    return _COMPACT_DATE.sub(dashed, name)


def _rates(model: ListedModel, now: datetime.datetime) -> Rates:
    """The last rates that apply; if none do, the first."""
    return next((one.rates for one in reversed(model.prices) if _applies(one, now)), model.prices[0].rates)


def _applies(one: ConditionalRates, now: datetime.datetime) -> bool:
    if one.start_date is not None:
        return now.date() >= one.start_date
    if one.start_time is None or one.end_time is None:
        return True
    time = now.time()
    if one.end_time < one.start_time:  # over midnight
        return time >= one.start_time or time < one.end_time
    return one.start_time <= time < one.end_time


_FIELDS: dict[str, str] = {
    "input_mtok": "prompt",
    "output_mtok": "completion",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio",
    "cache_audio_read_mtok": "audio_cache_read",
    "input_video_mtok": "video",
    "output_audio_mtok": "audio_completion",
    "output_image_mtok": "image_completion",
}
"""A rate per million tokens → the field of `Price`."""


def _price(rates: Rates) -> Price | None:
    if rates.input_mtok is None or rates.output_mtok is None:
        return None
    price = Price(
        request=_per_one(rates.requests_kcount) or 0,
        search=_per_one(rates.web_searches_kcount),
        incomplete=rates.incomplete,
        source="genai-prices",
    )
    price = replace(price, **_token_prices(rates))
    # Where audio has a price of its own, all other input has the prompt's.
    video_as_prompt = price.audio is not None and price.video is None
    if video_as_prompt:
        price = replace(price, video=price.prompt)
    tiers, above = [], price
    for tier in rates.tiers:
        above = replace(above, **_token_prices(tier.rates))
        if video_as_prompt:
            above = replace(above, video=above.prompt)
        tiers.append(PriceTier(above=tier.above, price=above))
    return replace(price, tiers=tuple(tiers)) if tiers else price


def _token_prices(rates: Rates) -> dict[str, Pico]:
    """The rates per token that there are, as fields of `Price`."""
    return {
        field: from_usd(rate.scaleb(-6))
        for name, field in _FIELDS.items()
        if (rate := getattr(rates, name)) is not None
    }


def _per_one(usd_per_thousand: Decimal | None) -> Pico | None:
    return None if usd_per_thousand is None else from_usd(usd_per_thousand.scaleb(-3))
