"""Write `src/trunkline/catalog/prices.json` from the installed package `genai-prices`: `make prices`.

The file has one model a line, so that a new version shows what changed. To take a newer version of the package, run
`make lock ARGS='--upgrade-package genai-prices'`, `make test` and then `make prices`.
"""

import datetime
import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from genai_prices.data import providers
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
)

CATALOG = Path(__file__).resolve().parent.parent / "src" / "trunkline" / "catalog"
RATES = (
    "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "output_reasoning_mtok",
    "input_audio_mtok", "cache_audio_read_mtok", "input_video_mtok", "output_audio_mtok", "output_image_mtok",
    "requests_kcount", "web_searches_kcount",
)  # fmt: skip
"""The rates that we use."""
NOT_COUNTED = ("output_citation_mtok", "output_video_mtok", "input_image_mtok", "cache_image_read_mtok")
"""Rates for something that is not counted in a usage: the cost of a model that has one is not known."""
OTHER = (
    "audio_hours", "input_audio_hours", "input_mchars", "input_document_kpages", "input_annotated_document_kpages",
    "storage_searches_kcount", "input_text_messages_kcount",
)  # fmt: skip
"""Rates of other kinds of models, and of tools that chat requests cannot use."""


def match(clause: Any) -> dict[str, Any]:
    """A condition on a model's name."""
    match clause:
        case ClauseOr(or_=clauses):
            return {"any": [match(one) for one in clauses]}
        case ClauseAnd(and_=clauses):
            return {"all": [match(one) for one in clauses]}
        case ClauseRegex(regex=pattern):
            return {"regex": pattern}
        case ClauseEquals() | ClauseStartsWith() | ClauseEndsWith() | ClauseContains():
            return {name: text.lower() for name, text in vars(clause).items()}
        case _:
            raise TypeError(f"a condition of a kind that is not known: {clause!r}")


def rates(price: ModelPrice) -> dict[str, Any]:
    """USD per million tokens and per thousand, with tiers by the length of the prompt."""
    there = {name: value for name, value in vars(price).items() if value is not None}
    unknown = there.keys() - {*RATES, *NOT_COUNTED, *OTHER}
    if unknown:
        raise TypeError(f"rates of kinds that are not known: {sorted(unknown)}")
    found = {name: there[name] for name in RATES if name in there}
    said: dict[str, Any] = {
        name: str(value.base if isinstance(value, TieredPrices) else value) for name, value in found.items()
    }
    tiers: dict[int, dict[str, str]] = {}
    for name, value in found.items():
        for tier in value.tiers if isinstance(value, TieredPrices) else ():
            tiers.setdefault(tier.start, {})[name] = str(tier.price)
    if tiers:
        said["tiers"] = [{"above": above, "rates": tiers[above]} for above in sorted(tiers)]
    if there.keys() & set(NOT_COUNTED):
        said["incomplete"] = True
    return said


def conditional(price: ConditionalPrice) -> dict[str, Any]:
    """A price and the time in which it applies."""
    said: dict[str, Any] = {"rates": rates(price.prices)}
    constraint = price.constraint
    if isinstance(constraint, StartDateConstraint):
        said["start_date"] = constraint.start_date.isoformat()
    elif constraint is not None:
        said |= {"start_time": utc(constraint.start_time), "end_time": utc(constraint.end_time)}
    return said


def utc(time: datetime.time) -> str:
    """A time of day in UTC."""
    day = datetime.datetime.combine(datetime.date(1970, 1, 1), time, time.tzinfo or datetime.UTC)
    return day.astimezone(datetime.UTC).time().isoformat()


def model(info: ModelInfo) -> dict[str, Any]:
    """A model with its prices."""
    prices = [ConditionalPrice(prices=info.prices)] if isinstance(info.prices, ModelPrice) else info.prices
    said: dict[str, Any] = {"id": info.id, "match": match(info.match), "context": info.context_window}
    said["prices"] = [conditional(one) for one in prices]
    return {name: value for name, value in said.items() if value is not None}


def table() -> str:
    """The content of the file."""
    package = distribution("genai-prices")
    head = {
        "source": f"genai-prices {package.version}, https://github.com/pydantic/genai-prices",
        "license": "MIT, see prices.LICENSE",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    parts = []
    for provider in sorted(providers, key=lambda one: one.id):
        lines = ",\n".join(f"    {json.dumps(model(info), ensure_ascii=False)}" for info in provider.models)
        fallback = json.dumps(provider.fallback_model_providers or [])
        parts.append(f'  {json.dumps(provider.id)}: {{"fallback": {fallback}, "models": [\n{lines}\n  ]}}')
    return json.dumps(head, indent=1)[:-2] + ',\n "providers": {\n' + ",\n".join(parts) + "\n }\n}\n"


def licence() -> str:
    """The package's licence, whose notice has to go with the data."""
    (file,) = [one for one in distribution("genai-prices").files or () if one.name == "LICENSE"]
    return file.read_text()


if __name__ == "__main__":
    (CATALOG / "prices.json").write_text(table(), "utf-8")
    (CATALOG / "prices.LICENSE").write_text(licence(), "utf-8")
    print("wrote src/trunkline/catalog/prices.json and prices.LICENSE")
