"""The configuration's `providers` block, and what becomes of it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from trunkline.dialects.base import Quirks
from trunkline.model.endpoint import DataPolicy
from trunkline.providers.base import Credential, Provider
from trunkline.providers.compatible import compatible

Dialect = Literal["chat", "responses", "messages", "gemini", "converse"]
SUPPORTED = ("chat",)
"""The dialects that providers can be reached in so far."""


class CredentialSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of ours at a provider."""

    api_key: str
    """The key, best as `${VARIABLE}`."""

    def __repr__(self) -> str:
        """Without the secret."""
        return "CredentialSettings(…)"


class DataPolicySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the provider does with prompts, as far as you know. Requests that ask for a policy go where it holds."""

    training: bool | None = None
    """Whether it trains on prompts."""
    retention_days: Annotated[int, Meta(ge=0)] | None = None
    """How long it keeps prompts, in days."""
    zdr: bool | None = None
    """Whether it keeps nothing at all (zero data retention)."""


class ProviderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider. For those of [the list](providers.md) the slug and a credential are enough."""

    name: Annotated[str, Meta(min_length=1)] | None = None
    """What clients see; default the provider's usual name, or the slug."""
    base_url: str | None = None
    """Where its API is, such as `https://api.acme.example/v1`; default that of the list."""
    dialect: Dialect = "chat"
    """The wire format it speaks. So far: `chat`."""
    credentials: tuple[CredentialSettings, ...] = ()
    """Keys that are used in turn; one that is limited or refused rests. None for a server that wants none; for a
    provider of the list, default its environment variable."""
    auth_header: Annotated[str, Meta(min_length=1)] = "authorization"
    """The header that carries the key."""
    auth_scheme: str = "Bearer"
    """What stands before the key in that header; empty for nothing."""
    headers: dict[str, str] = {}
    """Headers sent with every request."""
    data_policy: DataPolicySettings = DataPolicySettings()
    """What it does with prompts."""
    models: Literal["listed", "discover"] | None = None
    """`listed`: only the models under `models:`; `discover`: what the provider's own list names, too. Default:
    `discover` for a provider of the list of which no model is configured, else `listed`."""
    quirks: Quirks | None = None
    """How its spelling of the dialect departs from it; default those of the list."""
    max_connections: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """Connections to it at one time, for each worker; further requests wait for one."""

    def __repr__(self) -> str:
        """Without credentials and headers."""
        return f"ProviderSettings(base_url={self.base_url!r}, dialect={self.dialect!r})"


def prepare(slug: str, settings: ProviderSettings, environ: Mapping[str, str], *, listed: bool) -> Provider:
    """The provider that *settings* describe; *listed* says whether a model of it is configured.

    What `compatible.toml` knows fills the gaps. Its facts about the provider's own address (the key variable, the price
    source, the model list) hold only while the address is that one: a key is bound to its host.
    """
    known = compatible().get(slug)
    own = known is not None and settings.base_url in (None, known.base_url)
    facts = known if known is not None and own else None
    base_url = settings.base_url or (known.base_url if known else "")
    default = "discover" if facts and not listed else "listed"
    secrets = [credential.api_key for credential in settings.credentials]
    if not secrets and facts and facts.env and environ.get(facts.env):
        secrets = [environ[facts.env]]
    scheme = settings.auth_scheme.strip()
    return Provider(
        slug=slug,
        name=settings.name or (known.name if known else slug),
        base_url=base_url.rstrip("/"),
        dialect=settings.dialect,
        credentials=tuple(Credential(id=f"{slug}#{i}", secret=secret) for i, secret in enumerate(secrets, 1)),
        auth_header=settings.auth_header.lower(),
        auth_scheme=f"{scheme} " if scheme else "",
        headers=tuple((name.lower(), value) for name, value in settings.headers.items()),
        quirks=settings.quirks or (known.quirks if known else Quirks()),
        data_policy=DataPolicy(
            training=settings.data_policy.training,
            retention_days=settings.data_policy.retention_days,
            zdr=settings.data_policy.zdr,
        ),
        discover=(settings.models or default) == "discover",
        max_connections=settings.max_connections,
        author=known.author if known else "",
        strip=known.strip if known else "",
        skip=known.skip if known else (),
        known=facts.models if facts else (),
        list_prices=known.list_prices if known else "per_token",
        price_source=facts.price_source if facts else None,
    )


def from_environment(environ: Mapping[str, str]) -> dict[str, Provider]:
    """The providers whose key variable is set and not empty, by slug, each asked for its models."""
    return {
        slug: prepare(slug, ProviderSettings(), environ, listed=False)
        for slug, entry in compatible().items()
        if entry.env and environ.get(entry.env, "").strip()
    }


def ollama(environ: Mapping[str, str]) -> Provider:
    """An Ollama where `OLLAMA_HOST` says, or at its usual place; whether it is there is for `catalog.refresh.probe`.

    The variable's forms, after Ollama's own reading: `host`, `host:port`, `:port`, `scheme://host:port`. The address
    to listen on, `0.0.0.0`, is no address to connect to.
    """
    said = environ.get("OLLAMA_HOST", "").strip().strip("\"'").rstrip("/")
    scheme, mark, rest = said.partition("://")
    if not mark:
        scheme, rest = "", said
    host, port = _split(rest.partition("/")[0])
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    if not (port.isascii() and port.isdigit()):
        port = {"http": "80", "https": "443"}.get(scheme, "11434")
    base_url = f"{scheme or 'http'}://{f'[{host}]' if ':' in host else host}:{port}/v1"
    own = base_url == compatible()["ollama"].base_url
    return prepare("ollama", ProviderSettings(base_url=None if own else base_url, models="discover"), {}, listed=False)


def _split(netloc: str) -> tuple[str, str]:
    """Host without brackets and port, each as far as it is there."""
    if netloc.startswith("["):
        host, _, rest = netloc[1:].partition("]")
        return host, rest.removeprefix(":")
    if netloc.count(":") > 1:
        return netloc, ""
    host, _, port = netloc.partition(":")
    return host, port
