"""The providers of `compatible.toml`."""

import tomllib
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct

from trunkline.dialects.base import Quirks
from trunkline.providers.base import ListPrices


class Compatible(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file; its head says what each key is."""

    name: str
    base_url: str
    source: str
    checked: date
    env: str | None = None
    aka: tuple[str, ...] = ()
    author: str = ""
    strip: str = ""
    skip: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    list_prices: ListPrices = "none"
    price_source: str | None = None
    quirks: Quirks = Quirks()

    @property
    def has_list(self) -> bool:
        """Whether the provider can be asked for its models."""
        return not self.models


@cache
def compatible() -> dict[str, Compatible]:
    """The providers by slug, in the order of the file."""
    text = files("trunkline.providers").joinpath("compatible.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Compatible])
