"""API keys of the gateway's clients."""

from msgspec import Struct

from trunkline.model.money import Pico
from trunkline.model.policy import Policy


class Key(Struct, frozen=True, kw_only=True):
    """A key without its secret.

    `id` is the lower-case hex SHA-256 of the secret, which OpenRouter calls the key's hash. The secret is shown once
    and not stored. `limit` is the maximum total spending of the key in pico-dollars; None means no limit. `declared`
    marks a key of the configuration file, which commands cannot revoke. Times are Unix seconds; `expires` None means
    never.
    """

    id: str
    name: str
    label: str
    """The first and last characters of the secret, to tell keys apart: `sk-tl-v1-0a1b…9f3e`."""
    limit: Pico | None = None
    disabled: bool = False
    created: float = 0.0
    expires: float | None = None
    declared: bool = False
    policy: Policy | None = None
    """Restricts which endpoints may serve its requests; None where the operator set no policy."""


ANONYMOUS = Key(id="anonymous", name="anonymous", label="anonymous", declared=True)
"""The key of requests without a valid key where `auth.required` is false."""
