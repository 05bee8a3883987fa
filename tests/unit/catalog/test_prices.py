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

from trunkline.catalog.prices import UNKNOWN, Facts, look_up, price_list
from trunkline.model.endpoint import Price
from trunkline.model.money import from_usd

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


def expected(model: Any, now: float) -> Facts:
    """What the package says of *model*."""
    if model is None:
        return UNKNOWN
    prices = model.get_prices(datetime.fromtimestamp(now, UTC))

    def rate(of: str) -> int | None:
        value = getattr(prices, of, None)
        value = getattr(value, "base", value)
        return from_usd(value.scaleb(-6)) if isinstance(value, Decimal) else None

    prompt, completion = rate("input_mtok"), rate("output_mtok")
    if prompt is None or completion is None:
        return Facts(context_length=model.context_window)
    requests = prices.requests_kcount
    price = Price(
        prompt=prompt,
        completion=completion,
        cache_read=rate("cache_read_mtok"),
        cache_write=rate("cache_write_mtok"),
        request=from_usd(requests / 1000) if isinstance(requests, Decimal) else 0,
        source="genai-prices",
    )
    return Facts(price=price, context_length=model.context_window)


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


def test_the_list_is_of_the_version_that_is_locked() -> None:
    listed = price_list()
    assert listed.source.startswith(f"genai-prices {version('genai-prices')}, "), "run `make prices`"
    assert sorted(listed.providers) == sorted(PROVIDERS)
    assert sum(len(one.models) for one in listed.providers.values()) == sum(len(one.models) for one in data.providers)


def test_its_licence_goes_with_it() -> None:
    assert "The MIT License" in files("trunkline.catalog").joinpath("prices.LICENSE").read_text()


def test_an_unknown_source() -> None:
    assert look_up(None, "gpt-4o", 0) is look_up("no-such", "gpt-4o", 0) is UNKNOWN
