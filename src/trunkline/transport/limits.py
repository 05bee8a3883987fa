"""Bounds on what a provider may send."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on a provider's responses. All are in bytes unless the field says otherwise."""

    max_head_bytes: int = 65536
    """Status line and headers, informational responses included; and a run of bytes that is neither head nor body."""
    max_headers: int = 128
    """Number of headers and trailers of one response."""
    max_body_bytes: int = 1 << 30
    """A body, both as received and as decoded."""
    free_decoded_bytes: int = 64 << 20
    """A body may decode to this size at any ratio. Source: docs/reference/reliability.md, U34."""
    max_ratio: int = 200
    """Largest ratio of decoded to received bytes beyond `free_decoded_bytes`."""
    unread_bytes: int = 256 << 10
    """Body that nobody has asked for yet. Reading stops above it. Source: docs/reference/reliability.md, C8."""
    drain_bytes: int = 65536
    """Body that is read after `Response.release` to keep the connection."""
    drain_s: float = 1.0
    """Seconds for that reading."""
