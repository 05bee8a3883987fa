"""What is known of one request beside its body."""

from msgspec import Struct

from trunkline.dialects.base import Call, Client
from trunkline.model.key import Key
from trunkline.model.preset import PresetUse


class Context(Struct, kw_only=True, gc=False):
    """One accepted request. `created` is Unix seconds, `begun` monotonic seconds; `id` is the generation's."""

    id: str
    created: float
    begun: float
    key: Key
    client: Client
    call: Call
    preset: PresetUse | None = None
    """Merged into the call already."""
    session_id: str | None = None
    http_referer: str | None = None
    app_title: str | None = None
    user_agent: str | None = None
    metadata: bool = False
    """Whether the answer is to carry `openrouter_metadata`."""
