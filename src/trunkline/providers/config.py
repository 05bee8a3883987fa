"""Settings: the configuration's `providers` block. `providers.build` converts it."""

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from trunkline.dialects.interfaces import Quirks
from trunkline.providers.compatible import Dialect
from trunkline.providers.provider import Auth

SUPPORTED_DIALECTS: tuple[str, ...] = get_args(Dialect)
"""The dialects that providers can be called in."""


class CredentialSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One credential for the provider: an `api_key`, or the fields that the provider's `auth` requires."""

    api_key: str | None = None
    """The key, preferably as `${VARIABLE}`."""
    access_key_id: str | None = None
    """With `auth: sigv4`: the id of an AWS access key; default `AWS_ACCESS_KEY_ID`."""
    secret_access_key: str | None = None
    """The access key itself; default `AWS_SECRET_ACCESS_KEY`."""
    session_token: str | None = None
    """The token of temporary credentials; default `AWS_SESSION_TOKEN`."""
    service_account: str | None = None
    """With `auth: google`: the path of a service account's JSON file, or the JSON itself; default the file that
    `GOOGLE_APPLICATION_CREDENTIALS` names. The file written by `gcloud auth application-default login` is accepted
    too."""

    def __repr__(self) -> str:
        """Without the secret."""
        return "CredentialSettings(…)"


class DataPolicySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the provider does with prompts. Requests that require a policy use endpoints that satisfy it."""

    training: bool | None = None
    """Whether it trains on prompts."""
    retention_days: Annotated[int, Meta(ge=0)] | None = None
    """How long it keeps prompts, in days."""
    zdr: bool | None = None
    """Whether it stores nothing (zero data retention)."""


class ProviderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider. For those of [the list](providers.md), the slug and a credential are sufficient."""

    name: Annotated[str, Meta(min_length=1)] | None = None
    """The display name; default the provider's usual name, or the slug."""
    base_url: str | None = None
    """The address of its API, such as `https://api.acme.example/v1`; default that of the list."""
    dialect: Dialect | None = None
    """The wire format of requests to it; default that of the list, or `chat`."""
    also: dict[Dialect, str] | None = None
    """Further wire formats that it supports, each with its base URL: `{responses: https://api.acme.example/v1}`.
    Clients of one of them are relayed instead of translated; default those of the list, at the list's address. Of
    `quirks`, only `schema`, `keep`, `bills_after_cancel` and `reasoning_format` apply in them."""
    auth: Auth | None = None
    """How a credential authenticates a request: `header` sends the key in a header; `sigv4` signs every request (AWS);
    `google` sends an access token of a service account. Default that of the list, or `header`."""
    region: str | None = None
    """The region in the address (Amazon Bedrock, Vertex) and in signatures; default `AWS_REGION` or
    `GOOGLE_CLOUD_LOCATION`, and `global` for Vertex."""
    project: str | None = None
    """The Google Cloud project of Vertex; default `GOOGLE_CLOUD_PROJECT`, or the service account's."""
    resource: str | None = None
    """The name of the Azure OpenAI resource; default `AZURE_OPENAI_RESOURCE`."""
    credentials: tuple[CredentialSettings, ...] = ()
    """Credentials that are used in turn; one that is rate-limited or refused rests. None for a server without
    authentication; for a provider of the list, default its environment variable."""
    auth_header: Annotated[str, Meta(min_length=1)] | None = None
    """The header that carries the key; default that of the list, or the dialect's own: `x-api-key` for messages,
    `x-goog-api-key` for gemini, else `authorization`."""
    auth_scheme: str | None = None
    """The prefix of the header's value; empty for none. Default `Bearer` in `authorization`."""
    headers: dict[str, str] = {}
    """Headers sent with every request."""
    data_policy: DataPolicySettings = DataPolicySettings()
    """What it does with prompts."""
    models: Literal["listed", "discover"] | None = None
    """`listed`: only the models under `models:`; `discover`: also those in the provider's model list. Default:
    `discover` for a provider of the list without configured models, else `listed`."""
    quirks: Quirks | None = None
    """How it deviates from the dialect; default those of the list."""
    rate_limit_scope: Literal["model", "credential"] | None = None
    """What a 429 is about. `model`: that model of that credential rests, its other models are used. `credential`: the
    credential rests for all models. Default that of the list, or `model`."""
    max_connections: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """The maximum number of simultaneous connections to it, per worker; further requests wait for a free one."""

    def __repr__(self) -> str:
        """Without credentials and headers."""
        return f"ProviderSettings(base_url={self.base_url!r}, dialect={self.dialect!r})"
