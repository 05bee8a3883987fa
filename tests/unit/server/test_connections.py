"""One connection's requests are what they would be on a connection each: however the network cuts them, whatever came
before them, and whether their head is parsed or remembered."""

import asyncio
import hashlib
import os
import random
from collections.abc import Iterator

import pytest
from connection_kit import AT_ONCE, ROUTED, Client

SEQUENCES = int(os.environ.get("TRUNKLINE_SEQUENCES", "20000"))
"""Conversations that are tried, each in four ways; `make fuzz` tries more."""
SEED = os.environ.get("TRUNKLINE_SEED", "trunkline")
SHARDS = 4
KEYS = [b"sk-alpha", b"sk-beta", b"sk-gamma"]
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def key_line(rng: random.Random) -> bytes:
    key = rng.choice(KEYS)
    return rng.choice(
        [b"Authorization: Bearer " + key, b"authorization: bearer " + key, b"x-api-key: " + key, b"x-none: " + key]
    )


def body_of(rng: random.Random, other: bytes) -> bytes:
    """Some are what would be a request of somebody else, were they no body."""
    return rng.choice([b"{}", b'{"a":"\r\n\r\n"}', b"x" * rng.randrange(1, 90), other[:600], b"\r\n\r\n", b""])


def chunked(rng: random.Random, body: bytes, trailers: bytes) -> bytes:
    out = b""
    while body:
        size = rng.randrange(1, len(body) + 1)
        extension = rng.choice([b"", b"", b";a=b"])
        out += b"%x%s\r\n%s\r\n" % (size, extension, body[:size])
        body = body[size:]
    return out + b"0\r\n" + trailers + b"\r\n"


def request(rng: random.Random, other: bytes) -> bytes:
    """A request that can be answered; *other* may be its body."""
    path = rng.choice([AT_ONCE, AT_ONCE, AT_ONCE, ROUTED, b"/api/v1/key?a=b"])
    lines = [b"Host: gateway", key_line(rng), *rng.sample([b"X-Title:  two  words ", b"X-Y: 1", b"X-Y: 2"], 1)]
    framing = rng.random()
    body = body_of(rng, other)
    if framing < 0.12:
        lines = [*lines, rng.choice([b"Connection: close", b"Connection: keep-alive"])]
    if framing < 0.08:
        method = rng.choice([b"GET", b"OPTIONS"])
        return b"\r\n".join([method + b" " + path + b" HTTP/1.1", *lines, b"", b""])
    if framing < 0.3:
        lines.append(b"Transfer-Encoding: chunked")
        trailers = rng.choice([b"", b"Authorization: Bearer sk-trailer\r\n", b"x-t: 1\r\nHost: other\r\n"])
        payload = chunked(rng, body, trailers)
    else:
        spelled = rng.choice(
            [b"Content-Length: %d", b"Content-Length: %d", b"content-length:%d", b"CONTENT-LENGTH: 0%d"]
        )
        lines.insert(rng.randrange(len(lines) + 1), spelled % len(body))
        payload = body
    if 0.3 < framing < 0.4:
        lines += [b"Connection: Upgrade", b"Upgrade: h2c"]
    if 0.4 < framing < 0.45:
        lines.append(b"Expect: 100-continue")
    version = b"1.0" if 0.45 < framing < 0.47 else b"1.1"
    return b"\r\n".join([b"POST %s HTTP/%s" % (path, version), *lines, b"", b""]) + payload


def broken(rng: random.Random, good: bytes) -> bytes:
    """What is no request, or not one that is served."""
    kind = rng.randrange(10)
    head, _, body = good.partition(b"\r\n\r\n")
    match kind:
        case 0:
            return good[rng.randrange(1, 6) :]
        case 1:
            return head + b"\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n\r\n" + body
        case 2:
            return head + b"\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n" + body
        case 3:
            return head.replace(b": ", b" : ", 1) + b"\r\n\r\n" + body
        case 4:
            return b"CONNECT gateway:443 HTTP/1.1\r\nHost: gateway\r\n\r\n"
        case 5:
            return head.replace(b"HTTP/1.", b"HTTP/3.") + b"\r\n\r\n" + body
        case 6:
            return head + b"\r\n folded: yes\r\nX-\x00: 1\r\n\r\n" + body
        case 7:
            return b"POST " + AT_ONCE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        case 8:
            return good[: rng.randrange(1, len(good))]
        case _:
            return b"\x16\x03\x01\x02\x00\x01\x00"


def conversation(rng: random.Random) -> list[bytes]:
    """What one client sends: a few requests again and again, and sometimes what is none at the end."""
    few: list[bytes] = []
    for _ in range(rng.randrange(1, 4)):
        few.append(request(rng, few[-1] if few else b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
    said = [rng.choice(few) for _ in range(rng.randrange(2, 7))]
    if rng.random() < 0.3:
        # What follows it is part of it: where a broken one ends nobody can tell.
        said.append(broken(rng, rng.choice(few)) + rng.choice([b"", said[-1], said[-1] + said[-1]]))
    return said


def cut(rng: random.Random, said: list[bytes]) -> Iterator[bytes]:
    """What is *said* in pieces, as a network might have it: often between two requests, and close behind."""
    data = b"".join(said)
    begins = [at for at in range(len(data)) if data.startswith(b"POST ", at)]
    anywhere = [rng.randrange(len(data) + 1) for _ in range(rng.randrange(5))]
    places = sorted({*anywhere, *(at for at in begins if rng.random() < 0.5)} - {0, len(data)})
    start = 0
    for place in [*places, len(data)]:
        yield data[start:place]
        start = place


async def alone(said: list[bytes]) -> tuple[list[object], bytes]:
    """Each request on a connection of its own, until one would have closed it."""
    found: list[object] = []
    sent = b""
    for one in said:
        client = Client(cached=False)
        await client.send(one)
        found += client.server.seen
        sent += client.socket.sent
        complete_body = (
            client.socket.open and client.connection._reader.state == 0 and client.connection._current is None
        )
        await client.leave()
        if not complete_body:
            break
    return found, sent.replace(CONTINUE, b"")


async def together(pieces: Iterator[bytes] | list[bytes], *, cached: bool) -> tuple[list[object], bytes, bool]:
    client = Client(cached=cached)
    await client.send(*pieces)
    await client.settle()
    known = client.cached
    await client.leave()
    return list(client.server.seen), client.socket.sent.replace(CONTINUE, b""), known


@pytest.mark.parametrize("shard", range(SHARDS))
def test_one_connection_equals_a_connection_per_request(shard: int) -> None:
    known = 0

    async def run() -> None:
        nonlocal known
        for number in range(shard, SEQUENCES, SHARDS):
            rng = random.Random(f"{SEED}-{number}")
            said = conversation(rng)
            expected = await alone(said)
            for way in ("slices", "slices, nothing remembered", "one by one", "in one piece"):
                rng = random.Random(f"{SEED}-{number}-cut")
                complete_body = b"".join(said)
                pieces = {"one by one": said, "in one piece": [complete_body]}.get(way) or list(cut(rng, said))
                *found, remembered = await together(pieces, cached="nothing" not in way)
                known += remembered and way == "one by one"
                assert tuple(found) == expected, f"sequence {SEED}-{number}, {way}: {pieces}"

    asyncio.run(run())
    assert known > SEQUENCES // SHARDS // 10, "heads are remembered in enough of them"


# The attacks that were seen to work, each by itself.


def post(key: bytes, *lines: bytes, body: bytes = b"{}") -> bytes:
    head = [b"POST %s HTTP/1.1" % AT_ONCE, b"Host: gateway", b"Authorization: Bearer " + key, *lines]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", b""]) + body


def who(client: Client) -> list[object]:
    return [one["as"] for one in client.server.seen]


def digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:12]


async def test_key_after_an_upgrade_request() -> None:
    client = Client()
    upgrade = post(b"sk-alpha", b"Connection: Upgrade", b"Upgrade: h2c")
    await client.send(post(b"sk-alpha") + upgrade + post(b"sk-beta"))
    await client.send(post(b"sk-beta"))
    await client.send(post(b"sk-wrong"))
    await client.send(post(b"sk-beta"))
    assert who(client) == [digest(key) for key in [b"sk-alpha"] * 2 + [b"sk-beta"] * 2 + [b"sk-wrong", b"sk-beta"]]


async def test_rest_of_a_head_is_not_a_head() -> None:
    client = Client()
    await client.send(post(b"sk-alpha"))
    await client.send(post(b"sk-alpha"))
    assert client.cached
    rest = post(b"sk-alpha")
    await client.send(b"GET", rest)
    assert len(client.server.seen) == 2
    assert b"400" in client.socket.sent


async def test_split_method_is_joined() -> None:
    client = Client()
    await client.send(post(b"sk-alpha"))
    one = post(b"sk-alpha")
    await client.send(b"GET /api/v1/key HTTP/1.1\r\nHost: a\r\nX-A: b", b"\r\n\r\n" + one)
    assert [found["method"] for found in client.server.seen] == ["POST", "GET", "POST"]


async def test_trailers_are_not_headers() -> None:
    client = Client()
    head = b"%s HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    trailers = b"Authorization: Bearer sk-alpha\r\nX-Api-Key: sk-alpha\r\n\r\n"
    await client.send(head % (b"POST " + AT_ONCE) + trailers)
    await client.send(head % b"GET /api/v1/key" + trailers)
    assert client.server.seen[0]["as"] is None
    names = [name for name, _ in client.server.seen[1]["fields"]]
    assert "authorization" not in names
    assert "x-api-key" not in names


@pytest.mark.parametrize("in_one_value", [True, False])
async def test_trailers_are_limited(in_one_value: bool) -> None:
    client = Client()
    await client.send(
        b"POST " + AT_ONCE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: "
    )
    piece = b"a" * 1000 if in_one_value else b"1\r\nX: " * 100
    for _ in range(100):
        await client.send(piece)
    assert client.socket.sent.startswith(b"HTTP/1.1 400 ")
    assert not client.socket.open
    assert client.server.seen == []


@pytest.mark.parametrize("extension", [b";" + b"a" * 40_000, b";" + b"a" * 300])
async def test_chunk_extensions_are_limited(extension: bytes) -> None:
    client = Client()
    await client.send(b"POST " + AT_ONCE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(400):
        data = b"1" + extension + b"\r\na\r\n"
        await client.send(*(data[at : at + 10_000] for at in range(0, len(data), 10_000)))
    assert client.socket.sent.startswith(b"HTTP/1.1 400 ")
    assert client.server.seen == []


async def test_chunks_of_one_byte_are_accepted() -> None:
    client = Client()
    await client.send(b"POST " + AT_ONCE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(40):
        await client.send(b"1\r\na\r\n" * 100)
    await client.send(b"0\r\n\r\n")
    assert [found["size"] for found in client.server.seen] == [4000]


async def test_valid_request_before_invalid_bytes_is_answered() -> None:
    client = Client()
    await client.send(post(b"sk-alpha") + b"\x00\x01\x02\x03")
    assert who(client) == [digest(b"sk-alpha")]
    assert client.socket.sent.startswith(b"HTTP/1.1 200 ")
    assert client.socket.sent.count(b"HTTP/1.1 400 ") == 1
    assert not client.socket.open


async def test_bytes_after_the_last_request_are_dropped() -> None:
    client = Client()
    await client.send(post(b"sk-alpha", b"Connection: close") + post(b"sk-beta"))
    assert who(client) == [digest(b"sk-alpha")]
    assert client.socket.sent.count(b"HTTP/1.1") == 1
    assert not client.socket.open


async def test_partial_next_head_times_out() -> None:
    client = Client()
    await client.send(post(b"sk-alpha") + b"POST")
    client.connection.tick(asyncio.get_running_loop().time() + 11)
    await client.settle()
    assert b"HTTP/1.1 408 " in client.socket.sent
    assert not client.socket.open


async def test_no_request_is_read_while_the_response_is_unread() -> None:
    client = Client()
    client.connection.pause_writing()
    await client.send(post(b"sk-alpha"))
    await client.send(post(b"sk-beta"))
    assert client.server.seen == []
    assert not client.socket.reading
    client.connection.resume_writing()
    await client.settle()
    assert who(client) == [digest(b"sk-alpha"), digest(b"sk-beta")]
    assert client.socket.reading


async def test_client_that_never_reads_is_disconnected() -> None:
    client = Client()
    await client.send(post(b"sk-alpha"))
    client.connection.pause_writing()
    client.connection.tick(asyncio.get_running_loop().time() + client.server.settings.write_stall_s + 1)
    assert not client.socket.open


@pytest.mark.parametrize("path", [AT_ONCE, ROUTED])
async def test_a_body_that_drips_for_ever_times_out(path: bytes) -> None:
    """Each byte comes within `body_timeout_s`; the whole takes longer than `body_total_s`."""
    client = Client()
    now = 100.0
    client.connection.clock = lambda: now
    await client.send(b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    settings = client.server.settings
    step = settings.body_timeout_s - 1
    while now < 100 + settings.body_total_s - step:
        now += step
        await client.send(b"x")
        client.connection.tick(now)
        await client.settle()
        assert client.socket.sent == b""
    now += 2 * step
    client.connection.tick(now)
    await client.settle()
    assert client.socket.sent.startswith(b"HTTP/1.1 408 ")
