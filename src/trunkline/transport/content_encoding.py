"""Content-Encoding removed, piece by piece. Source: RFC 9110 §8.4, RFC 9659 (zstd windows); reliability U34.

A decoder is fed and then pulled: `feed` only keeps the bytes, each `read` gives at most about `PIECE` bytes of what
they mean. So a body that decodes to a thousand times its size makes no memory grow, and whoever pulls can stop at any
piece.
"""

import zlib
from collections.abc import Callable
from typing import Protocol, cast

import brotli  # type: ignore[import-untyped] # `_Brotli` is what we use of it
import zstandard

from trunkline.model.errors import UpstreamGarbled, UpstreamTruncated

PIECE = 65536
"""Bytes that one `read` aims at."""
ZSTD_SLICE = 256
"""zstd has no bound on its output, so it gets this much at once: 64 blocks of 128 kB at the very worst, 8 MB."""
ZSTD_WINDOW = 8 << 20
"""Bytes; larger windows are refused. Source: RFC 9659."""
MAX_STACKED = 2
"""Encodings over one another. One is what exists; two is what a misconfigured cache makes."""


class Decoder(Protocol):
    """One encoding, undone."""

    def feed(self, data: bytes) -> None:
        """Keep *data* for `read`."""
        ...

    def read(self) -> bytes:
        """The next piece; empty where more input is needed.

        Raises:
            UpstreamGarbled: the bytes are not of this encoding.
        """
        ...

    def close(self) -> None:
        """The body has ended.

        Raises:
            UpstreamTruncated: the encoding has not.
        """
        ...


class _Brotli(Protocol):
    """What we use of `brotli.Decompressor`, which has no types."""

    def process(self, data: bytes, output_buffer_limit: int = ...) -> bytes: ...
    def can_accept_more_data(self) -> bool: ...
    def is_finished(self) -> bool: ...


class _Zlib(Protocol):
    """What we use of zlib's decompressor, which has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Zstd(Protocol):
    """What we use of zstandard's decompressor, whose type is there for checkers only."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


_brotli = cast("Callable[[], _Brotli]", brotli.Decompressor)
_BrotliError = cast("type[Exception]", brotli.error)


def _wrong(name: str, error: Exception | None = None) -> UpstreamGarbled:
    failure = UpstreamGarbled(f"the body is not {name}, though its header says so")
    failure.__cause__ = error
    return failure


class GzipDecoder:
    """gzip: one member or several."""

    __slots__ = ("_full", "_inflate", "_pending")
    _name = "gzip"

    def __init__(self) -> None:
        self._pending = b""
        self._full = False
        self._inflate: _Zlib | None = None

    def feed(self, data: bytes) -> None:
        """As `Decoder.feed`."""
        self._pending += data

    def read(self) -> bytes:
        """As `Decoder.read`."""
        while self._pending or self._full:
            inflate = self._inflate
            if inflate is None:
                inflate = self._inflate = self._begin(self._pending)
                if inflate is None:
                    return b""
            try:
                piece = inflate.decompress(self._pending, PIECE)
            except zlib.error as error:
                raise _wrong(self._name, error) from error
            self._pending = inflate.unconsumed_tail
            # zlib may hold output of input that it has taken already: one more call, even with nothing, gives it.
            self._full = len(piece) == PIECE and not inflate.eof
            if inflate.eof:
                self._pending = self._after(inflate)
            if piece:
                return piece
        return b""

    def close(self) -> None:
        """As `Decoder.close`."""
        if self._pending or (self._inflate is not None and not self._inflate.eof):
            raise UpstreamTruncated(f"the {self._name} body ended early")

    def _begin(self, data: bytes) -> _Zlib | None:
        """A decompressor for a body that begins with *data*; None where that is too little to tell."""
        return zlib.decompressobj(wbits=31)

    def _after(self, inflate: _Zlib) -> bytes:
        """What is left for the next member."""
        if inflate.unused_data:
            self._inflate = None
        return inflate.unused_data


class DeflateDecoder(GzipDecoder):
    """deflate: with zlib's wrapper, as the standard says, or raw, as some servers send it."""

    __slots__ = ()
    _name = "deflate"

    def _begin(self, data: bytes) -> _Zlib | None:
        if len(data) < 2:
            return None
        # RFC 1950 §2.2: method 8, and the first two bytes a multiple of 31.
        wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        return zlib.decompressobj(wbits=15 if wrapped else -15)

    def _after(self, inflate: _Zlib) -> bytes:
        if inflate.unused_data:
            raise _wrong(self._name)
        return b""


class BrotliDecoder:
    """br."""

    __slots__ = ("_brotli", "_more", "_pending", "_used")

    def __init__(self) -> None:
        self._pending = b""
        self._more = False
        self._used = False
        self._brotli = _brotli()

    def feed(self, data: bytes) -> None:
        """As `Decoder.feed`."""
        self._pending += data

    def read(self) -> bytes:
        """As `Decoder.read`."""
        decoder = self._brotli
        try:
            # What it has taken but not given yet comes first, and it does not say whether there is any.
            if self._more or not decoder.can_accept_more_data():
                piece = decoder.process(b"", output_buffer_limit=PIECE)
                self._more = bool(piece) and not decoder.is_finished()
                if piece:
                    return piece
            if not self._pending:
                return b""
            data, self._pending, self._used = self._pending, b"", True
            piece = decoder.process(data, output_buffer_limit=PIECE)
            self._more = not decoder.is_finished()
            return piece
        except _BrotliError as error:
            raise _wrong("br", error) from error

    def close(self) -> None:
        """As `Decoder.close`."""
        if self._used and not self._brotli.is_finished():
            raise UpstreamTruncated("the br body ended early")


class ZstdDecoder:
    """zstd: one frame or several."""

    __slots__ = ("_inside", "_offset", "_pending", "_zstd")

    def __init__(self) -> None:
        self._pending = b""
        self._offset = 0
        self._inside = False
        self._zstd: _Zstd = self._frame()

    def feed(self, data: bytes) -> None:
        """As `Decoder.feed`."""
        self._pending = self._pending[self._offset :] + data
        self._offset = 0

    def read(self) -> bytes:
        """As `Decoder.read`. Several slices make up one piece."""
        pieces: list[bytes] = []
        size = 0
        try:
            while size < PIECE and self._offset < len(self._pending):
                if self._zstd.eof:
                    self._zstd = self._frame()
                end = self._offset + ZSTD_SLICE
                piece = self._zstd.decompress(self._pending[self._offset : end])
                self._offset = min(end, len(self._pending)) - len(self._zstd.unused_data)
                self._inside = not self._zstd.eof
                pieces.append(piece)
                size += len(piece)
        except zstandard.ZstdError as error:
            raise _wrong("zstd", error) from error
        return b"".join(pieces)

    def close(self) -> None:
        """As `Decoder.close`."""
        if self._inside:
            raise UpstreamTruncated("the zstd body ended early")

    @staticmethod
    def _frame() -> _Zstd:
        return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()


class StackedDecoder:
    """Two encodings, *outer* applied last and so undone first."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, outer: Decoder, inner: Decoder) -> None:
        self._outer = outer
        self._inner = inner

    def feed(self, data: bytes) -> None:
        """As `Decoder.feed`."""
        self._outer.feed(data)

    def read(self) -> bytes:
        """As `Decoder.read`."""
        while True:
            piece = self._inner.read()
            if piece:
                return piece
            middle = self._outer.read()
            if not middle:
                return b""
            self._inner.feed(middle)

    def close(self) -> None:
        """As `Decoder.close`."""
        self._outer.close()
        self._inner.close()


class GuardedDecoder:
    """*decoder*, until it gives more than *max_bytes*, or *free_bytes* and *max_ratio* times what it was fed."""

    __slots__ = ("_decoder", "_fed", "_free_bytes", "_given", "_max_bytes", "_max_ratio")

    def __init__(self, decoder: Decoder, *, max_bytes: int, free_bytes: int, max_ratio: int) -> None:
        self._decoder = decoder
        self._max_bytes = max_bytes
        self._free_bytes = free_bytes
        self._max_ratio = max_ratio
        self._fed = self._given = 0

    def feed(self, data: bytes) -> None:
        """As `Decoder.feed`."""
        self._fed += len(data)
        self._decoder.feed(data)

    def read(self) -> bytes:
        """As `Decoder.read`."""
        piece = self._decoder.read()
        self._given += len(piece)
        if self._given > self._max_bytes:
            raise UpstreamGarbled(f"the body decodes to more than {self._max_bytes} bytes")
        if self._given > self._free_bytes and self._given > self._max_ratio * self._fed:
            raise UpstreamGarbled(f"the body decodes to more than {self._max_ratio} times its size")
        return piece

    def close(self) -> None:
        """As `Decoder.close`."""
        self._decoder.close()


DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": GzipDecoder,
    "x-gzip": GzipDecoder,
    "deflate": DeflateDecoder,
    "br": BrotliDecoder,
    "zstd": ZstdDecoder,
}


def decoder_for(content_encoding: str, *, max_bytes: int, free_bytes: int, max_ratio: int) -> Decoder | None:
    """What undoes *content_encoding*, a header's value; None where there is nothing to undo.

    Raises:
        UpstreamGarbled: an encoding that we did not ask for and do not know, or too many of them.
    """
    names = [name for item in content_encoding.lower().split(",") if (name := item.strip()) not in ("", "identity")]
    if not names:
        return None
    if len(names) > MAX_STACKED or not all(name in DECODERS for name in names):
        raise UpstreamGarbled("the body has a content-encoding that is not supported")
    decoder = DECODERS[names[0]]()
    for name in names[1:]:
        decoder = StackedDecoder(DECODERS[name](), decoder)
    return GuardedDecoder(decoder, max_bytes=max_bytes, free_bytes=free_bytes, max_ratio=max_ratio)
