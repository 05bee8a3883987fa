"""The providers in `compatible.toml`."""

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

from trunkline.dialects.interfaces import Quirks
from trunkline.providers import google_accounts
from trunkline.providers.provider import AUTH_HEADERS, BEARER, Auth, ListPrices

Dialect = Literal["chat", "responses", "messages", "gemini", "converse"]
Place = Literal["region", "project", "resource"]
"""The placeholders of an address."""

PLACE_VALUE = re.compile(r"[a-z0-9](?:[a-z0-9.:-]{0,61}[a-z0-9])?", re.ASCII)
"""The valid values of a placeholder: a region, a project id (old ones contain a domain), a resource name."""
_PLACE_PATTERNS = {
    "region": r"[a-z0-9-]+",
    "project": r"[a-z0-9.:-]+",
    "resource": r"[a-z0-9-]+",
    "vertex": r"(?:[a-z0-9-]+-)?aiplatform(?:\.[a-z]+\.rep)?\.googleapis\.com",
}


class Compatible(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file. The comment at the head of the file documents each key."""

    name: str
    base_url: str
    source: str
    checked: date
    dialect: Dialect = "chat"
    also: dict[Dialect, str] = {}
    auth: Auth = "header"
    auth_header: str | None = None
    also_auth: dict[Dialect, str] = {}
    env: str | None = None
    places: dict[Place, tuple[str, ...]] = {}
    region: str | None = None
    aka: tuple[str, ...] = ()
    author: str = ""
    strip: str = ""
    skip: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    lists: tuple[str, ...] = ("{base_url}/models",)
    list_prices: ListPrices = "none"
    rate_limit_scope: Literal["model", "credential"] = "model"
    price_source: str | None = None
    quirks: Quirks = Quirks()

    @property
    def has_list(self) -> bool:
        """Whether the provider has a model list that can be fetched."""
        return bool(self.lists) and not self.models

    @property
    def is_local(self) -> bool:
        """Whether it is a program that anybody can run. Its facts then hold at any address."""
        return self.base_url.startswith("http://")

    def key_header(self) -> tuple[str, str]:
        """The header that carries a key, and the prefix of its value."""
        if self.auth_header is not None:
            return self.auth_header, "Bearer " if self.auth_header == "authorization" else ""
        return BEARER if self.auth != "header" else AUTH_HEADERS.get(self.dialect, BEARER)

    def fill_template(self, template: str, places: Mapping[str, str], base_url: str = "") -> str:
        """An address with *places* filled in; `{vertex}` is the host of the region."""
        vertex = google_accounts.vertex_host(places["region"]) if "region" in places else ""
        return template.format_map({**places, "vertex": vertex, "base_url": base_url})

    def is_own_address(self, url: str) -> bool:
        """Whether *url* is the provider's own address, with any placeholder values."""
        pieces = re.split(r"\{(\w+)\}", self.base_url)
        pattern = "".join(
            _PLACE_PATTERNS[piece] if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)
        )
        return re.fullmatch(pattern, url.rstrip("/")) is not None


@cache
def compatible() -> dict[str, Compatible]:
    """The providers by slug, in the order of the file."""
    text = files("trunkline.providers").joinpath("compatible.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Compatible])
