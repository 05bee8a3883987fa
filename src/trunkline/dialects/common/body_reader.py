"""One JSON body of a provider, collected in slices until it is whole."""

from collections.abc import Iterator

from trunkline.model.errors import UpstreamGarbled
from trunkline.model.events import Event

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Of one JSON answer; several images in base64 fit."""


class WholeBody:
    """One body, in any slices, until it is whole."""

    __slots__ = ("_chunks", "_size")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0

    def keep(self, chunk: bytes) -> None:
        """Take a slice in.

        Raises:
            UpstreamGarbled: the body is longer than the bound.
        """
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            raise UpstreamGarbled(f"the provider's answer is longer than {MAX_BODY_BYTES} bytes")
        self._chunks.append(chunk)

    def whole(self) -> bytes:
        """All of it."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


class BodyReader(WholeBody):
    """Half of a `Decoder` of one JSON body: `feed` only keeps it, and everything comes from `close`."""

    __slots__ = ()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Keeps *chunk*."""
        self.keep(chunk)
        return iter(())
