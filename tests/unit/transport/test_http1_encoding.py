"""Content-Encoding: every kind, every slicing, and those that lie."""

import asyncio
import gzip
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache, partial

import brotli  # type: ignore[import-untyped] # it has no types
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from upstream_kit import pair, pumped, request, until

from trunkline.model.errors import UpstreamGarbled, UpstreamTruncated
from trunkline.testing.scripted import Close, Hang, Replay, Send, Status, sliced
from trunkline.transport.content_encoding import DECODERS, PIECE, Decoder, decoder_for
from trunkline.transport.http1 import Limits


def raw_deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-15)
    return encoder.compress(data) + encoder.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", partial(brotli.compress, quality=4)),
    "zstd": ("zstd", zstandard.compress),
    "two": ("gzip, br", lambda data: brotli.compress(gzip.compress(data), quality=4)),
    "identity": ("identity", bytes),
}
EACH = pytest.mark.parametrize("name", ENCODERS)
COMPRESSED = pytest.mark.parametrize("name", [name for name in ENCODERS if name != "identity"])
TEXT = b"".join(b"data: %d \xf0\x9f\x8c\x8d\n\n" % (i * i) for i in range(3000))
MEGABYTES = 70


def decoder(name: str, free_bytes: int = 1 << 26, max_ratio: int = 200, max_bytes: int = 1 << 30) -> Decoder:
    found = decoder_for(ENCODERS[name][0], free_bytes=free_bytes, max_ratio=max_ratio, max_bytes=max_bytes)
    assert found is not None
    return found


def decoded(made: Decoder, pieces: list[bytes]) -> bytes:
    out: list[bytes] = []
    for piece in pieces:
        made.feed(piece)
        while got := made.read():
            out.append(got)
    made.close()
    return b"".join(out)


def test_every_decoder_is_tested() -> None:
    assert {label.lower() for label, _ in ENCODERS.values()} >= set(DECODERS)


@COMPRESSED
@settings(max_examples=10, deadline=None)
@given(data=st.binary(max_size=2000) | st.just(TEXT), cuts=st.sets(st.integers(0, 30_000), max_size=20))
def test_any_slicing(name: str, data: bytes, cuts: set[int]) -> None:
    wire = ENCODERS[name][1](data)
    assert decoded(decoder(name), sliced(wire, tuple(cuts))) == data


@COMPRESSED
def test_one_byte_at_a_time(name: str) -> None:
    wire = ENCODERS[name][1](TEXT)
    assert decoded(decoder(name), [wire[i : i + 1] for i in range(len(wire))]) == TEXT


@COMPRESSED
def test_cut_anywhere_is_truncated(name: str) -> None:
    wire = ENCODERS[name][1](TEXT[:3000])
    for end in range(1, len(wire)):
        with pytest.raises(UpstreamTruncated):
            decoded(decoder(name), [wire[:end]])


@COMPRESSED
def test_what_is_flushed_is_decoded_at_once(name: str) -> None:
    made = decoder(name)
    if name == "two":
        pytest.skip("its halves are tested")
    encoders = {
        "gzip": zlib.compressobj(wbits=31),
        "x-gzip": zlib.compressobj(wbits=31),
        "deflate": zlib.compressobj(),
        "raw deflate": zlib.compressobj(wbits=-15),
    }
    if name == "br":
        brotlis = brotli.Compressor()
        made.feed(brotlis.process(b"data: 1\n\n") + brotlis.flush())
    elif name == "zstd":
        zstds = zstandard.ZstdCompressor().compressobj()
        made.feed(zstds.compress(b"data: 1\n\n") + zstds.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    else:
        made.feed(encoders[name].compress(b"data: 1\n\n") + encoders[name].flush(zlib.Z_SYNC_FLUSH))
    assert made.read() == b"data: 1\n\n"


@pytest.mark.parametrize(("name", "join"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_several_members(name: str, join: Callable[[bytes], bytes]) -> None:
    wire = join(b"one ") + join(b"two ") + join(b"three")
    assert decoded(decoder(name), [wire]) == b"one two three"
    assert decoded(decoder(name), [wire[i : i + 1] for i in range(len(wire))]) == b"one two three"


@COMPRESSED
def test_a_wrong_label(name: str) -> None:
    with pytest.raises(UpstreamGarbled):
        decoded(decoder(name), [b'{"error": "this is what it is"}' * 10])


@COMPRESSED
def test_rest_after_the_end(name: str) -> None:
    with pytest.raises(UpstreamGarbled):
        decoded(decoder(name), [ENCODERS[name][1](TEXT) + b'{"error": 1}'])


@cache
def zeros(name: str) -> bytes:
    """A bomb: `MEGABYTES` of nothing."""
    piece, size = bytes(1 << 20), MEGABYTES << 20
    if name == "br":
        encoder = brotli.Compressor(quality=2)
        return b"".join(encoder.process(piece) for _ in range(MEGABYTES)) + bytes(encoder.finish())
    if name == "zstd":
        return zstandard.ZstdCompressor().compress(bytes(size))
    if name == "two":
        return bytes(brotli.compress(zeros("gzip"), quality=2))
    packer = zlib.compressobj(wbits={"deflate": 15, "raw deflate": -15}.get(name, 31))
    return b"".join(packer.compress(piece) for _ in range(MEGABYTES)) + packer.flush()


@COMPRESSED
def test_bombs_are_defused_and_never_grow(name: str) -> None:
    made, wire, got = decoder(name), zeros(name), 0
    made.feed(wire)
    most = 9 << 20 if name == "zstd" else 2 * PIECE

    def explode() -> None:
        nonlocal got
        while piece := made.read():
            assert len(piece) <= most
            got += len(piece)

    with pytest.raises(UpstreamGarbled, match="more than 200 times"):
        explode()
    assert got <= 64 << 20


def test_a_high_ratio_is_right_for_small_bodies_and_size_for_low_ratios() -> None:
    small = gzip.compress(bytes(1 << 20))
    assert len(decoded(decoder("gzip"), [small])) == 1 << 20
    stored = gzip.compress(bytes(5000), 0)
    assert decoded(decoder("gzip", free_bytes=10), [stored]) == bytes(5000)
    with pytest.raises(UpstreamGarbled, match="than 4000 bytes"):
        decoded(decoder("gzip", max_bytes=4000), [stored])


def test_windows_of_zstd_are_bounded() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(UpstreamGarbled):
        decoded(decoder("zstd"), [packer.compress(TEXT) + packer.flush()])


def test_zstd_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UpstreamGarbled, match=r"pip install 'trunkline\[zstd\]'"):
        decoder("zstd")


async def test_a_zstd_body_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes with the head, and the connection is closed."""
    wire = zstandard.compress(TEXT)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    async with pair(Status(200, {"content-encoding": "zstd"}, wire)) as (ours, upstream):
        with pytest.raises(UpstreamGarbled, match="zstd"):
            await ours.send(request(upstream.origin))
        await until(lambda: upstream.open == 0)


def test_libraries_of_encodings_are_imported_when_needed() -> None:
    code = "import sys, trunkline.app; print([name for name in ('brotli', 'zstandard') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("label", ["gzip, gzip, gzip", "rot13", "gzip, rot13", "*"])
def test_labels_that_are_not_supported(label: str) -> None:
    with pytest.raises(UpstreamGarbled):
        decoder_for(label, free_bytes=1, max_ratio=1, max_bytes=1)


@pytest.mark.parametrize("label", ["", "identity", " Identity , identity"])
def test_identity_is_nothing(label: str) -> None:
    assert decoder_for(label, free_bytes=1, max_ratio=1, max_bytes=1) is None


# The same through the transport.


@EACH
@pytest.mark.parametrize("late", [False, True], ids=["pumped", "buffered"])
async def test_over_the_wire(name: str, late: bool) -> None:
    label, encode = ENCODERS[name]
    wire = encode(TEXT)
    answer = Replay(wire, cuts=range(0, len(wire), 3000), pause_s=0.001, headers={"content-encoding": label})
    async with pair(answer) as (ours, upstream):
        for _ in range(2):
            response = await ours.send(request(upstream.origin))
            if late:
                await until(lambda: not ours.active)
            assert b"".join(await pumped(response)) == TEXT
        assert upstream.accepted == 1


async def test_two_lines_are_one_list() -> None:
    wire = brotli.compress(gzip.compress(TEXT))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nContent-Encoding: br\r\ncontent-length: %d\r\n\r\n" % len(
        wire
    )
    async with pair(Send(head + wire)) as (ours, upstream):
        assert await (await ours.send(request(upstream.origin))).read(100_000) == TEXT


@COMPRESSED
async def test_a_compressed_body_that_ends_early(name: str) -> None:
    label, encode = ENCODERS[name]
    wire = encode(TEXT)[:-9]
    async with pair(Status(200, {"content-encoding": label}, wire)) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        with pytest.raises(UpstreamTruncated):
            await response.read(1_000_000)


async def test_a_compressed_body_without_a_byte() -> None:
    async with pair(Status(200, {"content-encoding": "br"})) as (ours, upstream):
        assert await (await ours.send(request(upstream.origin))).read(0) == b""


async def test_a_wrong_label_on_the_wire() -> None:
    async with pair([Replay(b'{"a": 1}', headers={"content-encoding": "gzip"}, end=False), Hang()]) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        with pytest.raises(UpstreamGarbled):
            await response.read(100)
        await until(lambda: upstream.open == 0)


async def test_a_compressed_body_to_the_end_of_the_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: zstd\r\n\r\n"
    async with pair([Send(head + zstandard.compress(TEXT)), Close()]) as (ours, upstream):
        assert await (await ours.send(request(upstream.origin))).read(100_000) == TEXT


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
async def test_a_bomb_while_the_client_is_slow(name: str) -> None:
    """What a paused client did not ask for is not decoded, and the loop turns while the rest is."""
    answer = Status(200, {"content-encoding": name}, zeros(name))
    async with pair(answer, limits=Limits(max_ratio=1_000_000)) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        got = turns = 0

        def pausing(chunk: bytes) -> None:
            nonlocal got
            got += len(chunk)
            response.pause()

        pump = asyncio.ensure_future(response.pump(pausing))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(5):
            await asyncio.sleep(0.02)
            held = got
            await asyncio.sleep(0.02)
            assert got == held
            response.resume()
        assert got <= 6 * (9 << 20 if name == "zstd" else 2 * PIECE)
        response._on_chunk = lambda chunk: None
        response.resume()
        while not pump.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > (3 if name == "zstd" else MEGABYTES / 2)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000, "kB"
        await pump


async def test_abort_and_release_while_decoding() -> None:
    answer = Status(200, {"content-encoding": "gzip"}, zeros("gzip"))
    async with pair(answer, limits=Limits(max_ratio=1_000_000)) as (ours, upstream):
        for end in ("abort", "release"):
            response = await ours.send(request(upstream.origin))
            calls = 0

            def stop(chunk: bytes, response: object = response, end: str = end) -> None:
                nonlocal calls
                calls += 1
                if calls == 20:
                    getattr(response, end)()

            if end == "abort":
                with pytest.raises(UpstreamTruncated):
                    await response.pump(stop)
            else:
                await response.pump(stop)
            await asyncio.sleep(0.05)
            assert calls == 20
