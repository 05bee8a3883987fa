"""Heads that are sent again: what is not parsed means what the parser would have made of it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest
from connection_kit import Socket, Steps
from hypothesis import given
from hypothesis import strategies as st

from trunkline.model.errors import TrunklineError
from trunkline.server.config import ServerSettings
from trunkline.server.http.exchange import Exchange
from trunkline.server.http.head_cache import CachedHead, parse_cacheable_head
from trunkline.server.http.origins import OriginPolicy
from trunkline.server.http.protocol import Connection
from trunkline.server.http.request_head import NO_HEAD
from trunkline.server.http.request_reader import MAX_CACHE_MISSES
from trunkline.server.inference import Ids

PATH = b"/api/v1/chat/completions"
Seen = tuple[bytes, bytes, bytes, dict[bytes, bytes], bytes, bool, int]


class Site:
    """Answers what is posted to `PATH`, and notes it."""

    date = b""
    settings = ServerSettings(max_body_bytes=1000)

    def __init__(self) -> None:
        self.routes: dict[bytes, Any] = {}
        self.seen: list[Seen] = []
        self.known = 0
        self.batcher = Steps()
        self.connections: set[Connection] = set()
        self.origins = OriginPolicy((), None, checked=False)
        self.buffered_bytes = 0
        self.max_buffered_bytes = 1 << 20
        self.direct_routes = {PATH: self.answer}

    def answer(self, exchange: Exchange) -> bool:
        self.known += b"content-length" not in exchange.fields and exchange.body_size > 0
        fields = {name: value for name, value in exchange.fields.items() if name != b"content-length"}
        self.seen.append((exchange.head.method, exchange.path, exchange.query, fields, exchange.complete_body(),
                          exchange.keep_alive, exchange.body_size))  # fmt: skip
        exchange.respond(200, b"{}")
        return True

    def error(self, path: bytes, error: TrunklineError, request_id: str | None) -> bytes:
        del path, error, request_id
        return b"refused"


class Loop:
    """As much of an event loop as a connection needs where nothing is answered by a task."""

    def time(self) -> float:
        return 1.0

    def create_task(self, handed_over: Coroutine[Any, Any, None]) -> "Loop":
        handed_over.close()
        return self

    def cancel(self) -> None:
        """As a task's."""


class Client:
    """A connection to a site of its own."""

    def __init__(self) -> None:
        self.server, self.socket = Site(), Socket()
        self._connection = Connection(cast("Any", self.server), cast("asyncio.AbstractEventLoop", Loop()))
        self._connection.connection_made(cast("asyncio.Transport", self.socket))

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            if self.socket.open:
                self._connection.data_received(piece)
        self.server.batcher.take()


def request(*lines: bytes, body: bytes, version: bytes = b"1.1", length: bytes | None = None) -> bytes:
    """A request with *lines*, and with a Host where they have none."""
    said = b"%d" % len(body) if length is None else length
    if not any(line.lower().startswith(b"host:") for line in lines):
        lines = (b"Host: gateway", *lines)
    head = b"".join(b"%s\r\n" % line.replace(b"LENGTH", said) for line in lines)
    return b"POST %s HTTP/%s\r\n%s\r\n%s" % (PATH, version, head, body)


LINES = [
    b"Host: a",
    b"host: b",
    b"Authorization: Bearer sk-one",
    b"authorization: Bearer sk-two",
    b"X-Title:  two  words ",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Content-Length: LENGTH",
    b"content-length:LENGTH",
    b"CONTENT-LENGTH: \t LENGTH",
    b"Content-Length: LENGTH ",
    b"x-content-length: 3",
    b"Content-Type: application/json",
]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=4, unique=True))
    body = draw(st.sampled_from([b"", b"{}", b'{"a":"\r\n\r\n"}', b"x" * 11]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    return request(*lines, body=body, version=version, length=draw(st.sampled_from([None, None, None, b"2", b"007"])))


@st.composite
def talks(draw: st.DrawFn) -> list[bytes]:
    """Requests of one client: a few, again and again."""
    few = draw(st.lists(requests(), min_size=1, max_size=3))
    return draw(st.lists(st.sampled_from(few), min_size=2, max_size=8))


@given(said=talks())
def test_cached_head_equals_the_parsed_head(said: list[bytes]) -> None:
    complete_body, sliced = Client(), Client()
    for one in said:
        complete_body.send(one)
        sliced.send(one[:1], one[1:])  # begins in the middle: for the parser
    assert sliced.server.known == 0
    assert complete_body.server.seen == sliced.server.seen
    assert complete_body.socket.sent == sliced.socket.sent
    assert complete_body.socket.open == sliced.socket.open


def test_second_request_hits_the_cache_at_any_length() -> None:
    client = Client()
    for body in (b"{}", b'{"a": 1}', b"x" * 100):
        client.send(request(b"Host: a", b"Content-Length: LENGTH", b"X-Title: t", body=body))
    assert client.server.known == 2
    assert [seen[4] for seen in client.server.seen] == [b"{}", b'{"a": 1}', b"x" * 100]
    assert [seen[6] for seen in client.server.seen] == [2, 8, 100]


def test_one_different_byte_misses_the_cache() -> None:
    client = Client()
    keys = [b"Bearer sk-one", b"Bearer sk-two", b"Bearer sk-two"]
    for key in keys:
        client.send(request(b"Authorization: " + key, b"Content-Length: LENGTH", body=b"{}"))
    assert [seen[3][b"authorization"] for seen in client.server.seen] == keys
    assert client.server.known == 1


def test_caching_stops_for_heads_that_always_differ() -> None:
    client = Client()
    for number in range(MAX_CACHE_MISSES + 3):
        client.send(request(b"Traceparent: %d" % number, b"Content-Length: LENGTH", body=b"{}"))
    for _ in range(3):
        client.send(request(b"Traceparent: same", b"Content-Length: LENGTH", body=b"{}"))
    assert client.server.known == 0
    assert len(client.server.seen) == MAX_CACHE_MISSES + 6


def test_body_over_the_limit_is_parsed() -> None:
    client = Client()
    client.send(request(b"Content-Length: LENGTH", body=b"{}"))
    client.send(request(b"Content-Length: LENGTH", body=b"x" * 1001))
    assert client.server.known == 0
    assert len(client.server.seen) == 1


@pytest.mark.parametrize(
    "lines",
    [
        (b"Transfer-Encoding: chunked", b"Content-Length: LENGTH"),
        (b"Upgrade: h2c", b"Content-Length: LENGTH"),
        (b"Expect: 100-continue", b"Content-Length: LENGTH"),
        (b"Host: a",),
    ],
)
def test_uncacheable_headers(lines: tuple[bytes, ...]) -> None:
    assert parse_cacheable_head(request(*lines, body=b"{}")) is None


def test_bare_line_feed_is_not_cached() -> None:
    data = b"POST / HTTP/1.1\nContent-Length: 2\r\n\r\n{}"
    assert parse_cacheable_head(data) is None


@pytest.mark.parametrize("digits", [b"", b"-2", b"+2", b" 2", b"2 ", b"2x", b"0", b"3", b"1", b"2" * 30])
def test_length_mismatch_is_parsed(digits: bytes) -> None:
    head = CachedHead(b"POST / HTTP/1.1\r\ncontent-length: ", b"\r\n\r\n", NO_HEAD)
    assert head.body_offset(b"%s2%s{}" % (head.before, head.after)) == len(head.before) + 5
    assert head.body_offset(b"%s%s%s{}" % (head.before, digits, head.after)) == 0


@given(times=st.lists(st.floats(min_value=0, max_value=4e9), min_size=1, max_size=50))
def test_ids_are_letters_and_digits_and_sort_by_time(times: list[float]) -> None:
    make = Ids()
    made = [make(1_700_000_000 + moment / 10) for moment in sorted(times)]
    assert len(set(made)) == len(made)
    prefixes = [(int(id_.split("-")[1]), id_.split("-")[2][:2]) for id_ in made]
    assert prefixes == sorted(prefixes)
    for id_ in made:
        word, _, letters = id_.split("-")
        assert word == "gen"
        assert len(letters) == 20
        assert letters.isascii()
        assert letters.isalnum()
