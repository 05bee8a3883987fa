"""What is known of a request when it is sent to a provider, for the case that the gateway is killed."""

from msgspec import Struct

from trunkline.model.endpoint import Price


class Intent(Struct, frozen=True, kw_only=True, gc=False):
    """One request under way. `id`, `created` and `key_id` are those of its record."""

    id: str
    created: float
    key_id: str
    api_type: str
    streamed: bool
    model: str
    provider: str
    endpoint: str
    price: Price
    tokens: int
    """The estimate of the input, in tokens."""
    bound: int
    """At least the tokens of the input."""
    output: int
    """The most output tokens; 0 where nothing bounds them."""
    parent_id: str | None = None
    purpose: str | None = None
