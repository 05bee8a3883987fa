"""The provider and its credentials, ready to be called."""

from typing import Literal

from msgspec import Struct

from trunkline.dialects.interfaces import Quirks
from trunkline.model.endpoint import DataPolicy
from trunkline.providers.google_accounts import GoogleAccount

ListPrices = Literal["none", "per_token", "per_million"]
Auth = Literal["header", "sigv4", "google"]
"""How a credential authenticates a request: `header` sends the key in a header, `sigv4` signs every request (AWS),
`google` exchanges the credential for an access token (Google)."""

AUTH_HEADERS: dict[str, tuple[str, str]] = {"messages": ("x-api-key", ""), "gemini": ("x-goog-api-key", "")}
"""The header that carries a key in a dialect with its own header, and the prefix of its value."""
BEARER = ("authorization", "Bearer ")
DIALECT_HEADERS: dict[str, tuple[tuple[str, str], ...]] = {"messages": (("anthropic-version", "2023-06-01"),)}
"""Headers of every request in a dialect, whoever serves it."""
DIALECT_INDEPENDENT_QUIRKS = ("schema", "keep", "bills_after_cancel", "reasoning_format")
"""Quirks of a provider that apply in all of its dialects."""


class Credential(Struct, frozen=True, kw_only=True):
    """A credential for a provider. `id` identifies it in logs and metrics.

    `secret` is a key that is sent in a header. With `auth` `sigv4` it is the secret access key. With `google` it is
    empty and `account` signs.
    """

    id: str
    secret: str
    auth: Auth = "header"
    access_key_id: str = ""
    session_token: str = ""
    account: GoogleAccount | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """All values that must never be shown."""
        account = () if self.account is None else self.account.secrets
        return tuple(one for one in (self.secret, self.session_token, *account) if one)

    def __repr__(self) -> str:
        """Omits the secret."""
        return f"Credential(id={self.id!r})"


class Provider(Struct, frozen=True, kw_only=True, eq=False):
    """One provider of the configuration or of the environment.

    `base_url` has no trailing slash (`https://api.acme.example/v1`). `auth_header` is the lower-case name of the header
    that carries a key, and `auth_scheme` the prefix of its value (`"Bearer "`, or empty). `credentials` are used in
    turn; without any, no authentication header is sent (a local server). `discover` fetches the provider's model list.
    """

    slug: str
    name: str
    base_url: str
    dialect: str
    also: dict[str, str] = {}
    """Further dialects that it supports, each with its base URL. A client of one of them is relayed. Only the quirks in
    `DIALECT_INDEPENDENT_QUIRKS` apply in them; the others concern the spelling of the main dialect."""
    credentials: tuple[Credential, ...] = ()
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer "
    also_auth: dict[str, tuple[str, str]] = {}
    """The key header and value prefix for further dialects where they differ."""
    region: str = ""
    """The region for signatures: `us-east-1`."""
    headers: tuple[tuple[str, str], ...] = ()
    quirks: Quirks = Quirks()
    data_policy: DataPolicy = DataPolicy()
    discover: bool = False
    model_list_urls: tuple[str, ...] | None = None
    """The URLs of its model list. None means `/models` below the base URL."""
    credentials_rest: bool = True
    """Whether a credential rests after a 429 or a refusal. False where one caller could trigger it for all others."""
    rate_limit_scope: Literal["model", "credential"] = "model"
    """What a 429 is about: one model of a credential, or all of its models."""
    max_connections: int = 1000
    author: str = ""
    """The author in the id of a listed model whose id has none; empty means the slug."""
    model_id_prefix: str = ""
    """The prefix that is removed from the upstream's model ids: `models/`."""
    skip_models: tuple[str, ...] = ()
    """Patterns (`fnmatch`) of upstream model ids that are not for chat, where the list does not say so."""
    known_models: tuple[str, ...] = ()
    """Upstream model ids that are available where the provider has no model list."""
    list_prices: ListPrices = "none"
    """The unit of prices in its model list: USD per token or per million tokens."""
    price_source: str | None = None
    """Its id in `genai-prices`; None where it has none."""

    def dialect_for(self, client: str) -> tuple[str, str]:
        """The dialect and base URL for a client of dialect *client*.

        The dialect is the client's where the provider supports it, else the provider's main one.
        """
        url = None if client == self.dialect else self.also.get(client)
        return (self.dialect, self.base_url) if url is None else (client, url)

    def quirks_for(self, dialect: str) -> Quirks:
        """The quirks that apply in *dialect*."""
        if dialect == self.dialect:
            return self.quirks
        return Quirks(**{name: getattr(self.quirks, name) for name in DIALECT_INDEPENDENT_QUIRKS})

    def request_headers(self, dialect: str) -> tuple[tuple[str, str], ...]:
        """The headers of every request in *dialect*, without credentials. Configured headers override the dialect's."""
        said = {name for name, _ in self.headers}
        return (*self.headers, *(field for field in DIALECT_HEADERS.get(dialect, ()) if field[0] not in said))

    def key_header(self, key: str, dialect: str) -> tuple[str, str]:
        """The header that carries *key* in *dialect*."""
        header, scheme = self.also_auth.get(dialect, (self.auth_header, self.auth_scheme))
        return header, scheme + key

    def __repr__(self) -> str:
        """Omits headers, which may contain secrets."""
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
"""The built-in provider of `demo/echo`; it is always present and generates its responses locally."""
