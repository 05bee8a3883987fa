"""The price list of the package says what `genai-prices` says, from which it is made."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import pytest
from msgspec.structs import replace

from trunkline.catalog.prices import UNKNOWN, Facts, look_up, price_list
from trunkline.ledger import cost
from trunkline.model.endpoint import Price, PriceTier
from trunkline.model.money import from_usd
from trunkline.model.usage import Usage

types = pytest.importorskip("genai_prices.types")
data = pytest.importorskip("genai_prices.data")

PROVIDERS: list[str] = [provider.id for provider in data.providers]
TIMES = [
    datetime(2024, 1, 1, tzinfo=UTC).timestamp(),
    *(datetime(2026, 11, 30, hour, 30, tzinfo=UTC).timestamp() for hour in (0, 1, 4, 8, 12, 16, 20)),
]
NAMES = [
    "",
    "no-such-model",
    "GPT-4o",
    "gpt-4o-20241399",
    "models/gemini-2.5-flash",
    "anthropic/claude-sonnet-4-5:free",
]


@cache
def theirs(source: str) -> Any:
    return next(one for one in data.providers if one.id == source)


NOT_COUNTED = ("output_citation_mtok", "output_video_mtok", "input_image_mtok", "cache_image_read_mtok")
RATES = {
    "prompt": "input_mtok",
    "completion": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio": "input_audio_mtok",
    "audio_cache_read": "cache_audio_read_mtok",
    "video": "input_video_mtok",
    "audio_completion": "output_audio_mtok",
    "image_completion": "output_image_mtok",
}


def expected(model: Any, now: float) -> Facts:
    """What the package says of *model*."""
    if model is None:
        return UNKNOWN
    prices = model.get_prices(datetime.fromtimestamp(now, UTC))

    def rate(of: str, tokens: int) -> int | None:
        value: Any = getattr(prices, of, None)
        if value is not None and not isinstance(value, Decimal):
            value = next((tier.price for tier in reversed(value.tiers) if tokens > tier.start), value.base)
        return from_usd(value.scaleb(-6)) if isinstance(value, Decimal) else None

    def price(tokens: int) -> Price:
        found = {name: rate(of, tokens) for name, of in RATES.items()}
        if found["audio"] is not None and found["video"] is None:
            found["video"] = found["prompt"]
        requests, searches = prices.requests_kcount, prices.web_searches_kcount
        common = Price(
            request=from_usd(requests / 1000) if isinstance(requests, Decimal) else 0,
            search=from_usd(searches / 1000) if isinstance(searches, Decimal) else None,
            incomplete=any(getattr(prices, name, None) is not None for name in NOT_COUNTED),
            source="genai-prices",
        )
        return replace(common, **found)

    base = price(0)
    if not base.is_known:
        return Facts(context_length=model.context_window)
    starts = {tier.start for of in RATES.values() for tier in getattr(getattr(prices, of, None), "tiers", ())}
    tiers = tuple(PriceTier(above=start, price=price(start + 1)) for start in sorted(starts))
    return Facts(price=replace(base, tiers=tiers), context_length=model.context_window)


def words(clause: Any) -> Iterator[str]:
    """Texts that a condition is likely to match."""
    for value in vars(clause).values():
        for one in value if isinstance(value, list) else ():
            yield from words(one)
        if isinstance(value, str):
            yield re.sub(r"[\\^$?()\[\]*+|]", "", value)


def names(source: str) -> set[str]:
    """Names of all models that can be had of *source*, and variants of some."""
    own = {one for model in theirs(source).models for one in (model.id, *words(model.match))}
    compact = {re.sub(r"-(20\d\d)-(\d\d)-(\d\d)", r"-\1\2\3", name) for name in own}
    others = {model.id for one in theirs(source).fallback_model_providers or [] for model in theirs(one).models}
    variants = {variant for name in sorted(own)[::10] for variant in (name.upper(), f"x{name}", f"{name}-20251211")}
    return own | compact | others | variants | set(NAMES)


@pytest.mark.parametrize("source", PROVIDERS)
def test_every_model_has_the_price_of_the_package(source: str) -> None:
    for name in sorted(names(source)):
        model = theirs(source).find_model(name, all_providers=data.providers)
        for now in TIMES if model is not None and isinstance(model.prices, list) else TIMES[-1:]:
            ours, said = look_up(source, name, now), expected(model, now)
            assert (ours.price, ours.context_length) == (said.price, said.context_length), (name, now)


USAGES = [
    Usage(prompt=1000, completion=500),
    Usage(prompt=100_000, cached=60_000, completion=50),
    Usage(prompt=272_000, cached=1, completion=50),
    Usage(prompt=272_001, cached=200_000, completion=50),
    Usage(prompt=900_000, cached=100_000, cache_write=300_000, completion=7),
]


@pytest.mark.parametrize("source", PROVIDERS)
def test_costs_are_those_of_the_package(source: str) -> None:
    """At every length of the prompt, within a pico-dollar a token: text, with reads and writes of a cache."""
    now = TIMES[-1]
    for model in theirs(source).models:
        price = look_up(source, model.id, now).price
        found = theirs(source).find_model(model.id, all_providers=data.providers)
        if price is None or found is None:
            continue
        prices = found.get_prices(datetime.fromtimestamp(now, UTC))
        for usage in USAGES:
            if usage.cache_write and prices.cache_write_mtok is None:
                continue
            given = types.Usage(
                input_tokens=usage.prompt,
                cache_read_tokens=usage.cached or 0,
                cache_write_tokens=usage.cache_write or 0,
                output_tokens=usage.completion,
            )
            theirs_total = prices.calc_price(given)["total_price"]
            ours = cost(usage, price)
            assert ours.known == (not price.incomplete)
            assert abs(ours.total - from_usd(theirs_total)) <= usage.prompt, (model.id, usage)


def test_the_list_is_of_the_version_that_is_locked() -> None:
    listed = price_list()
    assert listed.source.startswith(f"genai-prices {version('genai-prices')}, "), "run `make prices`"
    assert sorted(listed.providers) == sorted(PROVIDERS)
    assert sum(len(one.models) for one in listed.providers.values()) == sum(len(one.models) for one in data.providers)


def test_its_licence_goes_with_it() -> None:
    assert "The MIT License" in files("trunkline.catalog").joinpath("prices.LICENSE").read_text()


def test_an_unknown_source() -> None:
    assert look_up(None, "gpt-4o", 0) is look_up("no-such", "gpt-4o", 0) is UNKNOWN
