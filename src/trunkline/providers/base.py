"""A provider, ready to be called."""

from typing import Literal

from msgspec import Struct

from trunkline.dialects.base import Quirks
from trunkline.model.endpoint import DataPolicy

ListPrices = Literal["none", "per_token", "per_million"]


class Credential(Struct, frozen=True, kw_only=True):
    """What we show a provider. `id` tells credentials of a provider apart in logs and metrics, never the secret."""

    id: str
    secret: str

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Credential(id={self.id!r})"


class Provider(Struct, frozen=True, kw_only=True, eq=False):
    """One provider of the configuration or of the environment.

    `base_url` has no slash at its end (`https://api.acme.example/v1`). `auth_header` is the lower-case name of the
    header that carries the credential and `auth_scheme` what stands before it (`"Bearer "`, or nothing). `credentials`
    are used in turn; none at all sends no header (a local server). `discover` asks the provider for its model list.
    """

    slug: str
    name: str
    base_url: str
    dialect: str
    also: dict[str, str] = {}
    """Further dialects that it speaks, each with its base URL: a client of one of them is relayed."""
    credentials: tuple[Credential, ...] = ()
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer "
    headers: tuple[tuple[str, str], ...] = ()
    quirks: Quirks = Quirks()
    data_policy: DataPolicy = DataPolicy()
    discover: bool = False
    rests: bool = True
    """Whether a credential rests after a 429 or a refusal; not where one caller could provoke it for all others."""
    max_connections: int = 1000
    author: str = ""
    """What stands before the slash in the id of a discovered model that has none; empty is the slug."""
    strip: str = ""
    """The beginning of the upstream's model ids that says nothing: `models/`."""
    skip: tuple[str, ...] = ()
    """Patterns (`fnmatch`) of upstream model ids that are not for chat, where the list does not say so itself."""
    known: tuple[str, ...] = ()
    """Upstream model ids that can be had where the provider has no list to ask for."""
    list_prices: ListPrices = "none"
    """What the prices of its model list are in, as far as it has any: USD per token or per million tokens."""
    price_source: str | None = None
    """Its id in `genai-prices`; None where that has none, or the address is not the provider's own."""

    def speaks(self, client: str) -> tuple[str, str]:
        """The dialect to ask in for a client that speaks *client*, the same where it can be, and its base URL."""
        url = self.also.get(client)
        return (self.dialect, self.base_url) if url is None else (client, url)

    def __repr__(self) -> str:
        """Without headers, which may hold secrets."""
        return f"Provider(slug={self.slug!r}, base_url={self.base_url!r}, credentials={len(self.credentials)})"


DEMO = Provider(slug="demo", name="Demo", base_url="demo://demo", dialect="chat", known=("echo",), rests=False)
"""Answers by itself, always there: see `demo/echo` in the README."""
