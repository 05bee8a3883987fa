"""The configuration's `providers` block. What becomes of it is in `providers.build`."""

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from trunkline.dialects.interfaces import Quirks
from trunkline.providers.compatible import Dialect
from trunkline.providers.provider import Auth

SUPPORTED_DIALECTS: tuple[str, ...] = get_args(Dialect)
"""The dialects that providers can be reached in."""


class CredentialSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of ours at a provider: an `api_key`, or what the provider's `auth` wants in its place."""

    api_key: str | None = None
    """The key, best as `${VARIABLE}`."""
    access_key_id: str | None = None
    """With `auth: sigv4`: the id of an AWS access key; default `AWS_ACCESS_KEY_ID`."""
    secret_access_key: str | None = None
    """The access key itself; default `AWS_SECRET_ACCESS_KEY`."""
    session_token: str | None = None
    """The token of temporary credentials; default `AWS_SESSION_TOKEN`."""
    service_account: str | None = None
    """With `auth: google`: the path of a service account's JSON file, or the JSON itself; default the file that
    `GOOGLE_APPLICATION_CREDENTIALS` names. What `gcloud auth application-default login` wrote will do, too."""

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
    dialect: Dialect | None = None
    """The wire format it is asked in; default that of the list, or `chat`."""
    also: dict[Dialect, str] | None = None
    """Further wire formats it speaks, each with its base URL: `{responses: https://api.acme.example/v1}`. Clients of
    one of them are relayed instead of translated; default those of the list, at the list's address. Of `quirks` only
    `schema`, `keep`, `bills_after_cancel` and `reasoning_format` hold in them."""
    auth: Auth | None = None
    """How a credential proves itself: `header`, the key as it is; `sigv4`, a signature on every request (AWS);
    `google`, an access token of a service account. Default that of the list, or `header`."""
    region: str | None = None
    """For an address with a region in it (Amazon Bedrock, Vertex), and for signatures; default `AWS_REGION` or
    `GOOGLE_CLOUD_LOCATION`, and `global` for Vertex."""
    project: str | None = None
    """The Google Cloud project that Vertex bills; default `GOOGLE_CLOUD_PROJECT`, or that of the service account."""
    resource: str | None = None
    """The name of the Azure OpenAI resource; default `AZURE_OPENAI_RESOURCE`."""
    credentials: tuple[CredentialSettings, ...] = ()
    """Keys that are used in turn; one that is limited or refused rests. None for a server that wants none; for a
    provider of the list, default its environment variable."""
    auth_header: Annotated[str, Meta(min_length=1)] | None = None
    """The header that carries the key; default that of the list, or the dialect's own: `x-api-key` for messages,
    `x-goog-api-key` for gemini, else `authorization`."""
    auth_scheme: str | None = None
    """What stands before the key in that header; empty for nothing. Default `Bearer` in `authorization`."""
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
