"""A provider, ready to be called."""

from typing import Literal

from msgspec import Struct

from trunkline.dialects.interfaces import Quirks
from trunkline.model.endpoint import DataPolicy
from trunkline.providers.google_accounts import GoogleAccount

ListPrices = Literal["none", "per_token", "per_million"]
Auth = Literal["header", "sigv4", "google"]
"""How a credential proves itself: as it is, in a header; by a signature on every request (AWS); by an access token that
it is exchanged for now and then (Google)."""

AUTH_HEADERS: dict[str, tuple[str, str]] = {"messages": ("x-api-key", ""), "gemini": ("x-goog-api-key", "")}
"""The header that carries a key in a dialect that has its own, and what stands before the key in it."""
BEARER = ("authorization", "Bearer ")
DIALECT_HEADERS: dict[str, tuple[tuple[str, str], ...]] = {"messages": (("anthropic-version", "2023-06-01"),)}
"""What every request of a dialect says, whoever serves it."""
DIALECT_INDEPENDENT_QUIRKS = ("schema", "keep", "bills_after_cancel", "reasoning_format")
"""Quirks of a provider that are the same in whatever dialect it is asked."""


class Credential(Struct, frozen=True, kw_only=True):
    """What we show a provider. `id` tells credentials of a provider apart in logs and metrics, never the secret.

    `secret` is a key that goes into a header as it is; with `auth` `sigv4` it is the secret access key; with `google`
    it is empty, and `account` says who signs.
    """

    id: str
    secret: str
    auth: Auth = "header"
    access_key_id: str = ""
    session_token: str = ""
    account: GoogleAccount | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        account = () if self.account is None else self.account.secrets
        return tuple(one for one in (self.secret, self.session_token, *account) if one)

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Credential(id={self.id!r})"


class Provider(Struct, frozen=True, kw_only=True, eq=False):
    """One provider of the configuration or of the environment.

    `base_url` has no slash at its end (`https://api.acme.example/v1`). `auth_header` is the lower-case name of the
    header that carries a key and `auth_scheme` what stands before it (`"Bearer "`, or nothing). `credentials` are used
    in turn; none at all sends no header (a local server). `discover` asks the provider for its model list.
    """

    slug: str
    name: str
    base_url: str
    dialect: str
    also: dict[str, str] = {}
    """Further dialects that it speaks, each with its base URL: a client of one of them is relayed. Of the quirks only
    `EVERYWHERE` holds in them: the others are about the spelling of the main one."""
    credentials: tuple[Credential, ...] = ()
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer "
    also_auth: dict[str, tuple[str, str]] = {}
    """The header and what stands before the key, for further dialects in which they are others."""
    region: str = ""
    """Where it is, for signatures: `us-east-1`."""
    headers: tuple[tuple[str, str], ...] = ()
    quirks: Quirks = Quirks()
    data_policy: DataPolicy = DataPolicy()
    discover: bool = False
    model_list_urls: tuple[str, ...] | None = None
    """The addresses of its model list; None is `/models` below the base URL."""
    credentials_rest: bool = True
    """Whether a credential rests after a 429 or a refusal; not where one caller could provoke it for all others."""
    max_connections: int = 1000
    author: str = ""
    """What stands before the slash in the id of a discovered model that has none; empty is the slug."""
    model_id_prefix: str = ""
    """The beginning of the upstream's model ids that says nothing: `models/`."""
    skip_models: tuple[str, ...] = ()
    """Patterns (`fnmatch`) of upstream model ids that are not for chat, where the list does not say so itself."""
    known_models: tuple[str, ...] = ()
    """Upstream model ids that can be had where the provider has no list to ask for."""
    list_prices: ListPrices = "none"
    """What the prices of its model list are in, as far as it has any: USD per token or per million tokens."""
    price_source: str | None = None
    """Its id in `genai-prices`; None where that has none, or the address is not the provider's own."""

    def dialect_for(self, client: str) -> tuple[str, str]:
        """The dialect to ask in for a client that speaks *client*, the same where it can be, and its base URL."""
        url = None if client == self.dialect else self.also.get(client)
        return (self.dialect, self.base_url) if url is None else (client, url)

    def quirks_for(self, dialect: str) -> Quirks:
        """How its spelling of *dialect* departs from it."""
        if dialect == self.dialect:
            return self.quirks
        return Quirks(**{name: getattr(self.quirks, name) for name in DIALECT_INDEPENDENT_QUIRKS})

    def request_headers(self, dialect: str) -> tuple[tuple[str, str], ...]:
        """The headers of every request in *dialect* but those of a credential: the configuration's word goes first."""
        said = {name for name, _ in self.headers}
        return (*self.headers, *(field for field in DIALECT_HEADERS.get(dialect, ()) if field[0] not in said))

    def key_header(self, key: str, dialect: str) -> tuple[str, str]:
        """The header that carries *key* in *dialect*."""
        header, scheme = self.also_auth.get(dialect, (self.auth_header, self.auth_scheme))
        return header, scheme + key

    def __repr__(self) -> str:
        """Without headers, which may hold secrets."""
        return f"Provider(slug={self.slug!r}, base_url={self.base_url!r}, credentials={len(self.credentials)})"


DEMO = Provider(
    slug="demo",
    name="Demo",
    base_url="demo://demo",
    dialect="chat",
    known_models=("echo",),
    credentials_rest=False,
    quirks=Quirks(keep=("demo",)),
)
"""Answers by itself, always there: see `demo/echo` in the README."""
