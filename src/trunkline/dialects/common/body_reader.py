"""Buffer for a provider's JSON body that arrives in chunks."""

from collections.abc import Iterator

from trunkline.model.errors import UpstreamGarbled
from trunkline.model.events import Event

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Limit of one JSON body. Several base64 images fit in it."""


class WholeBody:
    """Collects the chunks of one body."""

    __slots__ = ("_chunks", "_size")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0

    def keep(self, chunk: bytes) -> None:
        """Add a chunk.

        Raises:
            UpstreamGarbled: the body exceeds the limit.
        """
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            raise UpstreamGarbled(f"the provider's answer is longer than {MAX_BODY_BYTES} bytes")
        self._chunks.append(chunk)

    def whole(self) -> bytes:
        """Return the whole body."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


class BodyReader(WholeBody):
    """Base of the decoders of JSON bodies: `feed` stores the chunk, and `close` of the subclass returns all events."""

    __slots__ = ()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Store *chunk* and return no events."""
        self.keep(chunk)
        return iter(())
