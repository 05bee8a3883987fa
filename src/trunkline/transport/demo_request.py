"""The requests that the built-in provider `demo` reads."""

from typing import Annotated, Any

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0, le=600)]
Count = Annotated[int, Meta(ge=0, le=100_000)]


class DemoOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The object `demo` of a request: how the demo provider responds."""

    delay_s: Seconds = 0.0
    """Seconds before the response's head."""
    interval_s: Seconds = 0.0
    """Seconds between two events of a stream."""
    events: Count | None = None
    """Number of pieces of text, the message repeated or cut; None: one for each word."""
    error: Annotated[int, Meta(ge=400, le=599)] | None = None
    """Respond with this status and an error body instead."""
    retry_after_s: Count | None = None
    """Value of `Retry-After`, sent with `error`."""
    error_after: Count | None = None
    """Send an error inside the stream after so many pieces."""
    cut_after: Count | None = None
    """Break the stream off after so many pieces, without an end."""
    reasoning: str | None = None
    """Text of the reasoning that comes before the content."""
    tool_call: bool = False
    """Call the request's first tool. `tool_choice` can require a call too."""
    arguments: dict[str, Any] = {}
    """Arguments of that call."""


class DemoMessage(Struct):
    """A message of the request."""

    role: str
    content: str | list[dict[str, Any]] | None = None


class DemoRequest(Struct):
    """The parts of a chat request that the demo provider uses."""

    messages: list[DemoMessage]
    model: str = ""
    stream: bool | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: Any = None
    demo: DemoOptions = DemoOptions()
