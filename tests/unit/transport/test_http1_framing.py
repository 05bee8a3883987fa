"""Where an answer ends, however it is framed and sliced."""

import asyncio
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upstream_kit import HEAD, pair, pumped, request, until

from trunkline.model.errors import UpstreamGarbled, UpstreamTruncated, UpstreamUnreachable
from trunkline.testing.scripted import (
    Close,
    HalfClose,
    Hang,
    Json,
    Pause,
    ReadHead,
    ReadRequest,
    Replay,
    Rst,
    Script,
    Send,
    Sse,
    Status,
)
from trunkline.transport.limits import Limits

TEXT = "data: héllo 🌍\n\ndata: [DONE]\n\n".encode()
OK = b"HTTP/1.1 200 OK\r\n"
WITH_LENGTH = OK + b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(TEXT), TEXT)
CHUNKED = (
    OK
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x;a=b\r\n%s\r\n" % (len(TEXT[i : i + 5]), TEXT[i : i + 5]) for i in range(0, len(TEXT), 5))
    + b"0\r\nx-trailer: 1\r\n\r\n"
)
TO_THE_END = OK + b"content-type: text/plain\r\n\r\n" + TEXT
INFORMED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + WITH_LENGTH


async def test_the_request_on_the_wire_is_what_was_given() -> None:
    async with pair(Status(200)) as (ours, upstream):
        await (await ours.send(request(upstream.origin, b"abc"))).read(10)
        await (await ours.send(request(upstream.origin, b"", b"GET /models HTTP/1.1\r\nhost: h\r\n"))).read(10)
        await (await ours.send(request(upstream.origin, b""))).read(10)
    post, get, empty = upstream.seen
    assert (post.method, post.path, post.body) == ("POST", "/v1/things", b"abc")
    assert post.headers == {"host": "upstream", "content-length": "3"}
    assert get.headers == {"host": "h"}
    assert empty.headers["content-length"] == "0"
    assert ours.requests_sent == 3


@pytest.mark.parametrize("wire", [WITH_LENGTH, CHUNKED, TO_THE_END, INFORMED], ids=["length", "chunked", "eof", "1xx"])
@settings(max_examples=12, deadline=None)
@given(cuts=st.sets(st.integers(0, 300), max_size=12))
async def test_however_it_is_sliced_the_body_is_the_same(wire: bytes, cuts: set[int]) -> None:
    async with pair([Send(wire, tuple(cuts)), *([Close()] if wire is TO_THE_END else [])]) as (ours, upstream):
        for _ in range(2):
            response = await ours.send(request(upstream.origin))
            assert response.status == 200
            assert b"".join(await pumped(response)) == TEXT


async def test_one_byte_at_a_time() -> None:
    async with pair(Send(CHUNKED, range(len(CHUNKED)), 0.0005)) as (ours, upstream):
        pieces = await pumped(await ours.send(request(upstream.origin)))
    assert b"".join(pieces) == TEXT
    assert len(pieces) > 1


async def test_chunks_that_arrive_together_are_handed_on_together() -> None:
    async with pair(Send(CHUNKED)) as (ours, upstream):
        assert await pumped(await ours.send(request(upstream.origin))) == [TEXT]


async def test_headers() -> None:
    answer = Status(200, {"Content-Type": "text/plain", "X-Empty": "", "Set-Cookie": "a=b", "x-A": "1", "X-a": "2"})
    async with pair(answer) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        await response.read(0)
    assert dict(response.headers) == {"content-length": "0", "content-type": "text/plain", "x-empty": "", "x-a": "2"}
    assert response.headers.get("set-cookie") is None
    assert "x-a" in response.headers
    assert "2" not in repr(response.headers)


async def test_a_connection_is_used_again() -> None:
    async with pair([Sse(TEXT, cuts=[3])]) as (ours, upstream):
        for _ in range(3):
            assert await (await ours.send(request(upstream.origin))).read(100) == TEXT
            assert ours.connections_idle == 1
        assert upstream.accepted == 1
        assert ours.reused == 2
        assert ours.connections_open == 1


@pytest.mark.parametrize(
    "wire",
    [
        OK + b"connection: close\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        OK + b"content-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n",
        OK + b"content-length: 2\r\n\r\nhi!",
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n0\r\n\r\n",
    ],
    ids=["close", "1.0", "second answer", "rest", "rest after chunks"],
)
async def test_a_connection_is_not_used_again(wire: bytes) -> None:
    async with pair(Send(wire)) as (ours, upstream):
        for _ in range(2):
            assert await (await ours.send(request(upstream.origin))).read(100) == b"hi"
            assert ours.connections_idle == 0
        assert upstream.accepted == 2


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body(status: int) -> None:
    wire = b"HTTP/1.1 %d No\r\ncontent-length: 5\r\n\r\n" % status
    async with pair(Send(wire)) as (ours, upstream):
        for _ in range(2):
            response = await ours.send(request(upstream.origin, total_s=1))
            assert (response.status, await response.read(0)) == (status, b"")


async def test_trailers_do_not_reach_the_next_answer() -> None:
    async with pair(Send(CHUNKED), Send(WITH_LENGTH)) as (ours, upstream):
        await (await ours.send(request(upstream.origin))).read(100)
        response = await ours.send(request(upstream.origin))
        assert await response.read(100) == TEXT
        assert "x-trailer" not in response.headers
        assert upstream.accepted == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x03\x00\x02\x02\x50",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nhi",
        OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"transfer-encoding: gzip\r\n\r\nhi",
        OK + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"".join(b"h%d: v\r\n" % i for i in range(129)) + b"content-length: 0\r\n\r\n",
        OK + b"x: " + b"y" * 66000 + b"\r\ncontent-length: 0\r\n\r\n",
        OK + b"x: " + b"y" * 200_000,
        b"HTTP/1.1 103 Early\r\n\r\n" * 5000,
        OK + b"content-encoding: rot13\r\ncontent-length: 2\r\n\r\nhi",
    ],
    ids=lambda wire: repr(wire[:60]),
)
async def test_heads_that_are_refused(wire: bytes) -> None:
    async with pair([Send(wire), Hang()]) as (ours, upstream):
        with pytest.raises(UpstreamGarbled):
            await ours.send(request(upstream.origin, total_s=2))
        assert not ours.active
        await until(lambda: upstream.open == 0)


@pytest.mark.parametrize(
    "wire",
    [
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: " + b"y" * 200_000,
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n5;" + b"y" * 200_000,
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + b"x: y\r\n" * 200 + b"\r\n",
    ],
    ids=["no chunk", "endless trailer", "endless extension", "many trailers"],
)
@pytest.mark.parametrize("cuts", [(), (60,)])
async def test_bodies_that_go_wrong_give_what_was_right(wire: bytes, cuts: tuple[int, ...]) -> None:
    async with pair([Send(wire, cuts, 0.01), Hang()]) as (ours, upstream):
        response = await ours.send(request(upstream.origin, total_s=2))
        pieces: list[bytes] = []
        with pytest.raises(UpstreamGarbled):
            await response.pump(pieces.append)
        assert b"".join(pieces) == b"hi"


@pytest.mark.parametrize("ending", [Close(), Rst()], ids=["fin", "rst"])
@pytest.mark.parametrize(
    "wire", [WITH_LENGTH[:-1], CHUNKED[:-2], CHUNKED[:-30], CHUNKED[:60]], ids=["length", "last", "later", "soon"]
)
async def test_a_body_that_is_cut_is_truncated(wire: bytes, ending: Close | Rst) -> None:
    async with pair([Send(wire), Pause(0.02), ending]) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        with pytest.raises(UpstreamTruncated):
            await response.pump(lambda chunk: None)
        assert ours.connections_idle == 0


async def test_a_body_that_is_reset_is_truncated_even_without_a_length() -> None:
    async with pair([Send(TO_THE_END), Pause(0.02), Rst()]) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        with pytest.raises(UpstreamTruncated):
            await response.read(1000)


async def test_cut_before_anybody_asked_for_the_body() -> None:
    async with pair([Send(WITH_LENGTH[:-1]), Close()]) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        await until(lambda: not ours.active)
        pieces: list[bytes] = []
        with pytest.raises(UpstreamTruncated):
            await response.pump(pieces.append)
        assert pieces == [TEXT[:-1]]


@pytest.mark.parametrize("ending", [Close(), Rst()], ids=["fin", "rst"])
async def test_a_head_that_is_cut_is_truncated(ending: Close | Rst) -> None:
    async with pair([Send(WITH_LENGTH[:20]), Pause(0.02), ending]) as (ours, upstream):
        with pytest.raises(UpstreamTruncated):
            await ours.send(request(upstream.origin))


@pytest.mark.parametrize("ending", [Close(), Rst(), HalfClose()], ids=["fin", "rst", "half"])
async def test_no_answer_on_a_new_connection(ending: Close | Rst | HalfClose) -> None:
    async with pair(ending) as (ours, upstream):
        with pytest.raises(UpstreamUnreachable) as caught:
            await ours.send(request(upstream.origin))
        assert caught.value.maybe_billed
        assert len(upstream.seen) == 1
        assert "127.0.0.1" not in caught.value.message


async def test_half_closed_after_the_answer() -> None:
    async with pair([Send(TO_THE_END), HalfClose()]) as (ours, upstream):
        assert await (await ours.send(request(upstream.origin))).read(100) == TEXT


BIG = b"x" * 30_000_000


async def test_an_early_answer_is_honoured() -> None:
    script: Script = [ReadHead(), Status(413, {}, b"too large"), Hang()]
    async with pair(script) as (ours, upstream):
        response = await ours.send(request(upstream.origin, BIG))
        assert (response.status, await response.read(100)) == (413, b"too large")
        assert ours.connections_idle == 0, "the rest of the request is still on its way"
        await until(lambda: ours.connections_open == 0)


async def test_an_early_answer_then_closed() -> None:
    async with pair([ReadHead(), Status(401, {}, b"no"), Close()]) as (ours, upstream):
        response = await ours.send(request(upstream.origin, BIG))
        assert (response.status, await response.read(100)) == (401, b"no")


async def test_a_slow_upload_that_makes_progress_is_waited_for() -> None:
    script: Script = [ReadHead(), Pause(0.4), ReadRequest(), Status(200, {}, b"ok")]
    async with pair(script) as (ours, upstream):
        response = await ours.send(request(upstream.origin, BIG, first_byte_s=0.3, idle_s=1.0))
        assert await response.read(10) == b"ok"
        assert upstream.seen[0].body == BIG


async def test_a_body_over_its_bounds() -> None:
    async with pair(Json(b"x" * 5000), limits=Limits(max_body_bytes=4000)) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        with pytest.raises(UpstreamGarbled):
            await response.pump(lambda chunk: None)
    async with pair(Replay(b"x" * 5000, cuts=[1000, 3000], pause_s=0.01)) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        with pytest.raises(UpstreamGarbled, match="longer than 2000"):
            await response.read(2000)
        assert ours.connections_idle == 0


async def test_small_writes_leave_at_once() -> None:
    async with pair(Status(200)) as (ours, upstream):
        await (await ours.send(request(upstream.origin))).read(0)
        (connection,) = ours.connections
        assert connection._socket is not None
        sock = connection._socket.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_under_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with pair([Sse(TEXT, cuts=[4, 9], pause_s=0.001)], [Rst()], Status(200)) as (ours, upstream):
            assert await (await ours.send(request(upstream.origin))).read(100) == TEXT
            response = await ours.send(request(upstream.origin))
            assert response.status == 200
            assert ours.stale_retries == 1
            await response.read(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_the_head_is_not_ended_by_the_caller() -> None:
    assert HEAD.endswith(b"\r\n")
    assert not HEAD.endswith(b"\r\n\r\n")


SECOND = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nSECOND"


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nFIRST",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nFIRST\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nFIRST\r\n0\r\nx-a: b\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nFIRST",
    ],
    ids=["length", "chunked", "trailers", "informational"],
)
@pytest.mark.parametrize("surplus", [SECOND, SECOND[:40], SECOND * 3, b"HTTP/1.1 204 No Content\r\n\r\n", b"\x00"])
async def test_bytes_after_a_response_reach_no_call(first: bytes, surplus: bytes) -> None:
    """A response that nobody asked for, in the same read: not a byte of it is part of the first, nor of the next."""
    async with pair([Send(first + surplus)], Status(200, {}, b"NEXT")) as (ours, upstream):
        assert await (await ours.send(request(upstream.origin))).read(1000) == b"FIRST"
        assert ours.connections_idle == 0
        assert await (await ours.send(request(upstream.origin))).read(1000) == b"NEXT"
        assert upstream.accepted == 2
