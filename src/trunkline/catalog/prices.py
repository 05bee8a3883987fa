"""The price list of the package: prices and context lengths that neither the configuration nor the provider gives.

`prices.json` is made from the package `genai-prices` by `make prices`; it names its version and date. It is read when
the first price is looked up. A price may depend on the date, on the time of day, and on the length of the prompt. Ours
are flat: the list has the lowest tier, and the price at the time of the look-up is taken. The cost of prompts that fall
into a higher tier is therefore too low.
"""

import datetime
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct

from trunkline.model.endpoint import Price
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
    """USD per million tokens, and per thousand requests."""

    input_mtok: Decimal | None = None
    output_mtok: Decimal | None = None
    cache_read_mtok: Decimal | None = None
    cache_write_mtok: Decimal | None = None
    requests_kcount: Decimal | None = None


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


def _price(rates: Rates) -> Price | None:
    prompt, completion = _per_token(rates.input_mtok), _per_token(rates.output_mtok)
    if prompt is None or completion is None:
        return None
    return Price(
        prompt=prompt,
        completion=completion,
        cache_read=_per_token(rates.cache_read_mtok),
        cache_write=_per_token(rates.cache_write_mtok),
        request=0 if rates.requests_kcount is None else from_usd(rates.requests_kcount / 1000),
        source="genai-prices",
    )


def _per_token(usd_per_million: Decimal | None) -> Pico | None:
    return None if usd_per_million is None else from_usd(usd_per_million.scaleb(-6))
