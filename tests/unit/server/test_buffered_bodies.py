"""The memory for request bodies is bounded over all connections, and every byte that was counted is released."""

import pytest
from connection_kit import AT_ONCE, ROUTED, Client, EchoSite

HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def site_with(most: int) -> EchoSite:
    site = EchoSite()
    site.max_buffered_bytes = most
    return site


@pytest.mark.parametrize("path", [AT_ONCE, ROUTED])
async def test_a_body_that_does_not_fit_is_refused_before_it_is_read(path: bytes) -> None:
    site = site_with(1000)
    waiting = Client(site)
    await waiting.send(HEAD % (path, 700) + b"x" * 600)
    assert site.buffered_bytes == 600
    other = Client(site)
    await other.send(HEAD % (path, 500))
    assert other.socket.sent.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in other.socket.sent
    assert not site.seen
    await waiting.send(b"x" * 100)
    assert waiting.socket.sent.startswith(b"HTTP/1.1 200 ")
    assert site.buffered_bytes == 0
    again = Client(site)
    await again.send(HEAD % (path, 500) + b"x" * 500)
    assert again.socket.sent.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", [AT_ONCE, ROUTED])
async def test_a_body_without_length_is_refused_when_it_no_longer_fits(path: bytes) -> None:
    site = site_with(1000)
    client = Client(site)
    await client.send(CHUNKED % path, b"258\r\n" + b"x" * 600 + b"\r\n", b"258\r\n" + b"x" * 600 + b"\r\n")
    assert client.socket.sent.startswith(b"HTTP/1.1 503 ")
    assert not site.seen
    await client.leave()
    assert site.buffered_bytes == 0


async def test_a_declared_length_alone_takes_no_room() -> None:
    site = site_with(1000)
    for _ in range(50):
        await Client(site).send(HEAD % (AT_ONCE, 900))
    assert site.buffered_bytes == 0
    client = Client(site)
    await client.send(HEAD % (AT_ONCE, 900) + b"x" * 900)
    assert client.socket.sent.startswith(b"HTTP/1.1 200 ")


async def test_a_cached_head_is_no_way_around() -> None:
    site = site_with(1000)
    client = Client(site)
    await client.send(*[HEAD % (AT_ONCE, 10) + b"x" * 10] * 3)
    assert client.cached
    await Client(site).send(HEAD % (AT_ONCE, 999) + b"x" * 990)
    await client.send(HEAD % (AT_ONCE, 50) + b"x" * 50)
    assert client.socket.sent.count(b"HTTP/1.1 503 ") == 1
    assert site.buffered_bytes == 990


@pytest.mark.parametrize("end", ["leaves", "too large", "bad"])
async def test_every_end_of_a_request_releases_its_body(end: str) -> None:
    site = site_with(1 << 20)
    client = Client(site)
    if end == "leaves":
        await client.send(HEAD % (ROUTED, 700) + b"x" * 600)
        assert site.buffered_bytes == 600
    elif end == "too large":
        await client.send(CHUNKED % ROUTED, *[b"258\r\n" + b"x" * 600 + b"\r\n"] * 8)
        assert client.socket.sent.startswith(b"HTTP/1.1 413 ")
    else:
        await client.send(CHUNKED % ROUTED, b"258\r\n" + b"x" * 600 + b"\r\nzz\r\n")
        assert client.socket.sent.startswith(b"HTTP/1.1 400 ")
    await client.leave()
    assert site.buffered_bytes == 0
