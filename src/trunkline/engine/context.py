"""What is known of one request beside its body."""

from msgspec import Struct

from trunkline.dialects.interfaces import Call, Client
from trunkline.model.key import Key
from trunkline.model.preset import PresetUse


class RequestHeaders(Struct, frozen=True, kw_only=True, gc=False):
    """What the headers of a request say that we look at."""

    digest: str | None = None
    """Hex SHA-256 of the key they show; None where they show none."""
    session_id: str | None = None
    http_referer: str | None = None
    app_title: str | None = None
    user_agent: str | None = None
    metadata: bool = False
    """Whether the answer is to carry `openrouter_metadata`."""
    betas: tuple[str, ...] = ()
    """Names in `anthropic-beta`."""
    compressed: bool = False
    """The body is."""
    waits: bool = False
    """The answer may have to wait for something: another request's, or a cache."""


NO_HEADERS = RequestHeaders()


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
    """The client's word for the conversation, in the body or a header."""
    headers: RequestHeaders = NO_HEADERS
