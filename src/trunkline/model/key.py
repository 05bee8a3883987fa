"""Keys: what a client shows us."""

from msgspec import Struct

from trunkline.model.money import Pico
from trunkline.model.policy import Policy


class Key(Struct, frozen=True, kw_only=True):
    """A key without its secret.

    `id` is the lower-case hex SHA-256 of the secret, which OpenRouter calls the key's hash; the secret itself is shown
    once and kept nowhere. `limit` is a ceiling on what the key may ever spend, in pico-dollars; None is no ceiling.
    `declared` marks a key of the configuration file, which commands cannot revoke. Times are Unix seconds.
    """

    id: str
    name: str
    label: str
    """The secret's beginning and end, to tell keys apart: `sk-tl-v1-0a1b…9f3e`."""
    limit: Pico | None = None
    disabled: bool = False
    created: float = 0.0
    expires: float | None = None
    declared: bool = False
    policy: Policy | None = None
    """Who may serve its requests, where the operator said so."""


ANONYMOUS = Key(id="anonymous", name="anonymous", label="anonymous", declared=True)
"""Who asks where `auth.required` is false and no key is shown."""
