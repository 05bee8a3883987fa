"""Decoding of Content-Encoding, in pieces.

Source: RFC 9110 §8.4, RFC 9659 (zstd windows); docs/reference/reliability.md, U34.

`feed` only stores bytes; each `read` decodes about `PIECE` bytes. So a body that decodes to a thousand times its size
does not fill the memory, and the caller can stop after any piece.

We ask providers for no encoding (`accept-encoding: identity`). Some encode all the same. The libraries for brotli and
zstd are imported by the first response that needs them.
"""

import zlib
from collections.abc import Callable
from typing import Any, Protocol, cast

from trunkline.model.errors import UpstreamGarbled, UpstreamTruncated

PIECE = 65536
"""Bytes that one `read` returns, about."""
ZSTD_SLICE = 256
"""Bytes given to zstd at a time, since its output has no bound: at worst they are 64 blocks of 128 kB, 8 MB."""
ZSTD_WINDOW = 8 << 20
"""Bytes; larger windows are refused. Source: RFC 9659."""
MAX_STACKED = 2
"""Encodings of one body, applied one after another. Two happen where a cache is misconfigured."""


class Decoder(Protocol):
    """Decodes one encoding."""

    def feed(self, data: bytes) -> None:
        """Store *data* for `read`."""
        ...

    def read(self) -> bytes:
        """Return the next piece; empty where more input is needed.

        Raises:
            UpstreamGarbled: the bytes are not in this encoding.
        """
        ...

    def close(self) -> None:
        """Check that the encoding ends where the body has ended.

        Raises:
            UpstreamTruncated: it does not.
        """
        ...


class _Brotli(Protocol):
    """The part of `brotli.Decompressor` that we use. The package has no types."""

    def process(self, data: bytes, output_buffer_limit: int = ...) -> bytes: ...
    def can_accept_more_data(self) -> bool: ...
    def is_finished(self) -> bool: ...


class _Zlib(Protocol):
    """The part of zlib's decompressor that we use. Its type has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class _Zstd(Protocol):
    """The part of zstandard's decompressor that we use. Its type exists for type checkers only."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _garbled(name: str, error: Exception | None = None) -> UpstreamGarbled:
    failure = UpstreamGarbled(f"the body is not {name}, though its header says so")
    failure.__cause__ = error
    return failure


class GzipDecoder:
    """gzip, of one member or several."""

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
                inflate = self._inflate = self._decompressor(self._pending)
                if inflate is None:
                    return b""
            try:
                piece = inflate.decompress(self._pending, PIECE)
            except zlib.error as error:
                raise _garbled(self._name, error) from error
            self._pending = inflate.unconsumed_tail
            # zlib may have more output for input that it has consumed. The next call returns it, even without input.
            self._full = len(piece) == PIECE and not inflate.eof
            if inflate.eof:
                self._pending = self._next_member(inflate)
            if piece:
                return piece
        return b""

    def close(self) -> None:
        """As `Decoder.close`."""
        if self._pending or (self._inflate is not None and not self._inflate.eof):
            raise UpstreamTruncated(f"the {self._name} body ended early")

    def _decompressor(self, data: bytes) -> _Zlib | None:
        """Return a decompressor for a body that begins with *data*; None where *data* is too short to choose one."""
        return zlib.decompressobj(wbits=31)

    def _next_member(self, inflate: _Zlib) -> bytes:
        """Return the bytes after the member that *inflate* has decoded."""
        if inflate.unused_data:
            self._inflate = None
        return inflate.unused_data


class DeflateDecoder(GzipDecoder):
    """deflate, with zlib's wrapper as in the standard, or raw as some servers send it."""

    __slots__ = ()
    _name = "deflate"

    def _decompressor(self, data: bytes) -> _Zlib | None:
        if len(data) < 2:
            return None
        # RFC 1950 §2.2: method 8, and the first two bytes a multiple of 31.
        wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        return zlib.decompressobj(wbits=15 if wrapped else -15)

    def _next_member(self, inflate: _Zlib) -> bytes:
        if inflate.unused_data:
            raise _garbled(self._name)
        return b""


class BrotliDecoder:
    """br."""

    __slots__ = ("_brotli", "_error", "_more", "_pending", "_used")

    def __init__(self) -> None:
        self._pending = b""
        self._more = False
        self._used = False
        import brotli  # type: ignore[import-untyped]

        self._brotli: _Brotli = brotli.Decompressor()
        self._error = cast("type[Exception]", brotli.error)

    def feed(self, data: bytes) -> None:
        """As `Decoder.feed`."""
        self._pending += data

    def read(self) -> bytes:
        """As `Decoder.read`."""
        decoder = self._brotli
        try:
            # Output for consumed input comes first. The library does not tell whether there is any.
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
        except self._error as error:
            raise _garbled("br", error) from error

    def close(self) -> None:
        """As `Decoder.close`."""
        if self._used and not self._brotli.is_finished():
            raise UpstreamTruncated("the br body ended early")


class ZstdDecoder:
    """zstd, of one frame or several."""

    __slots__ = ("_inside", "_library", "_offset", "_pending", "_zstd")

    def __init__(self) -> None:
        """A decoder.

        Raises:
            UpstreamGarbled: the library is not installed.
        """
        try:
            import zstandard
        except ImportError:
            raise UpstreamGarbled(
                "the body is encoded as zstd, which needs a library: pip install 'trunkline[zstd]'"
            ) from None
        self._library: Any = zstandard
        self._pending = b""
        self._offset = 0
        self._inside = False
        self._zstd: _Zstd = self._frame()

    def feed(self, data: bytes) -> None:
        """As `Decoder.feed`."""
        self._pending = self._pending[self._offset :] + data
        self._offset = 0

    def read(self) -> bytes:
        """As `Decoder.read`. One piece is the output of several slices."""
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
        except self._library.ZstdError as error:
            raise _garbled("zstd", error) from error
        return b"".join(pieces)

    def close(self) -> None:
        """As `Decoder.close`."""
        if self._inside:
            raise UpstreamTruncated("the zstd body ended early")

    def _frame(self) -> _Zstd:
        decompressor: _Zstd = self._library.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
        return decompressor


class StackedDecoder:
    """Decodes two encodings: first *outer*, which was applied last, then *inner*."""

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
    """Bounds the output of *decoder*.

    More than *max_bytes* are an error, and more than *free_bytes* that are also more than *max_ratio* times the input.
    """

    __slots__ = ("_decoded", "_decoder", "_fed", "_free_bytes", "_max_bytes", "_max_ratio")

    def __init__(self, decoder: Decoder, *, max_bytes: int, free_bytes: int, max_ratio: int) -> None:
        self._decoder = decoder
        self._max_bytes = max_bytes
        self._free_bytes = free_bytes
        self._max_ratio = max_ratio
        self._fed = self._decoded = 0

    def feed(self, data: bytes) -> None:
        """As `Decoder.feed`."""
        self._fed += len(data)
        self._decoder.feed(data)

    def read(self) -> bytes:
        """As `Decoder.read`."""
        piece = self._decoder.read()
        self._decoded += len(piece)
        if self._decoded > self._max_bytes:
            raise UpstreamGarbled(f"the body decodes to more than {self._max_bytes} bytes")
        if self._decoded > self._free_bytes and self._decoded > self._max_ratio * self._fed:
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
    """Return a decoder for *content_encoding*, the header's value; None where the body is not encoded.

    Raises:
        UpstreamGarbled: an encoding is not supported or needs a library that is not installed, or there are more than
            `MAX_STACKED`.
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
