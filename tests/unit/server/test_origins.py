"""Host and Origin: what is malformed, and what a gateway without keys accepts."""

import httptools
import pytest
from connection_kit import AT_ONCE, Client, EchoSite

from trunkline.server.http.origins import OriginPolicy, host_name
from trunkline.server.http.request_head import RequestHead, RequestRefused, read_head

BODY = b"Content-Length: 2\r\n\r\n{}"


class _Read:
    def __init__(self, raw: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(raw)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


def head(*lines: bytes, target: bytes = b"/v1/models", version: bytes = b"1.1") -> RequestHead:
    read = _Read(b"\r\n".join([b"GET %s HTTP/%s" % (target, version), *lines, b"", b""]))
    return read_head(read.parser, read.url, read.headers)


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"127.0.0.1:8484",
        b"[::1]:8484",
        b"GATEWAY.example:1",
        b"a_b.example",
        b"xn--a.example.",
        b"a:65535",
    ],
)
def test_valid_hosts(host: bytes) -> None:
    assert head(b"Host: " + host).host == host


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"Host:",),
        (b"Host: a", b"Host: a"),
        (b"Host: a", b"host: b"),
        (b"Host: a b",),
        (b"Host: a,b",),
        (b"Host: user@a",),
        (b"Host: a/b",),
        (b"Host: http://a",),
        (b"Host: a:b",),
        (b"Host: a:",),
        (b"Host: a:123456",),
        (b"Host: [::1",),
        (b"Host: ::1",),
        (b"Host: [a]:1:2",),
        (b"Host: a\\b",),
        (b"Host: \xe4",),
        (b"Host: a%2eb",),
    ],
)
def test_missing_repeated_and_malformed_hosts(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(RequestRefused, match="Host") as refused:
        head(*lines)
    assert refused.value.status == 400


def test_http_1_0_may_omit_the_host() -> None:
    assert head(version=b"1.0").host == b""
    with pytest.raises(RequestRefused):
        head(b"Host: a b", version=b"1.0")


@pytest.mark.parametrize(
    ("target", "host"), [(b"http://b.example/v1", b"b.example"), (b"HTTP://b:8?c", b"b:8"), (b"/http://b/", b"a")]
)
def test_an_absolute_target_names_the_host(target: bytes, host: bytes) -> None:
    assert head(b"Host: a", target=target).host == host


@pytest.mark.parametrize("target", [b"http://user@b/v1", b"http://b@c/"])
def test_an_absolute_target_with_a_malformed_host(target: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        head(b"Host: a", target=target)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("host", "name"), [(b"A.Example:80", "a.example"), (b"[::1]:80", "[::1]"), (b"localhost.", "localhost")]
)
def test_host_name(host: bytes, name: str) -> None:
    assert host_name(host) == name


LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        ((b"Host: localhost:8484",), None),
        ((b"Host: 127.0.0.1",), None),
        ((b"Host: [::1]:8484",), None),
        ((b"Host: LOCALHOST.",), None),
        ((b"Host: evil.example",), "Host"),
        ((b"Host: localhost.evil.example",), "Host"),
        ((b"Host: 127.0.0.2",), "Host"),
        ((b"Host: localhost", b"Origin: http://localhost:3000"), None),
        ((b"Host: localhost", b"Origin: http://[::1]:3000"), None),
        ((b"Host: localhost", b"Origin: https://evil.example"), "Origin"),
        ((b"Host: localhost", b"Origin: null"), "Origin"),
        ((b"Host: localhost", b"Origin:"), "Origin"),
        ((b"Host: localhost", b"Origin: http://localhost@evil.example"), "Origin"),
        ((b"Host: localhost", b"Origin: http://localhost.evil.example"), "Origin"),
        ((b"Host: localhost", b"Origin: http://evil.example/http://localhost"), "Origin"),
    ],
)
def test_a_gateway_without_keys_serves_this_machine(lines: tuple[bytes, ...], refused: str | None) -> None:
    found = OriginPolicy(LOOPBACK, None, checked=True).refusal(head(*lines))
    assert (found is None) == (refused is None)
    if found is not None and refused is not None:
        assert found.status == 403
        assert refused in found.message
    assert OriginPolicy(LOOPBACK, None, checked=False).refusal(head(*lines)) is None


def test_the_host_of_an_absolute_target_counts() -> None:
    policy = OriginPolicy(LOOPBACK, None, checked=True)
    assert policy.refusal(head(b"Host: localhost", target=b"http://evil.example/v1/models")) is not None


def test_listed_hosts_and_origins() -> None:
    policy = OriginPolicy(("Gateway.example",), ["https://Chat.example"], checked=True)
    assert policy.refusal(head(b"Host: gateway.example", b"Origin: https://chat.example")) is None
    assert policy.refusal(head(b"Host: localhost")) is not None
    assert policy.refusal(head(b"Host: gateway.example", b"Origin: http://chat.example")) is not None
    assert policy.refusal(head(b"Host: gateway.example", b"Origin: http://localhost")) is not None
    anything = OriginPolicy(("*",), ["*"], checked=True)
    assert anything.refusal(head(b"Host: b", b"Origin: null")) is None


def test_probes_are_not_checked() -> None:
    policy = OriginPolicy(LOOPBACK, None, checked=True)
    assert policy.refusal(head(b"Host: 10.0.0.7:8484", target=b"/health/ready")) is None
    assert policy.refusal(head(b"Host: 10.0.0.7:8484", target=b"/metrics")) is not None


async def test_a_refused_page_reaches_no_route_cached_or_not() -> None:
    site = EchoSite()
    site.origins = OriginPolicy(LOOPBACK, None, checked=True)
    foreign = b"POST " + AT_ONCE + b" HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n" + BODY
    own = foreign.replace(b"https://evil.example", b"http://localhost:80")
    client = Client(site)
    await client.send(own, own, own)
    assert len(site.seen) == 3
    await client.send(foreign)
    assert len(site.seen) == 3
    assert client.socket.sent.count(b"HTTP/1.1 403 ") == 1
    for _ in range(2):
        client = Client(site)
        await client.send(foreign)
        assert client.socket.sent.startswith(b"HTTP/1.1 403 ")
    # The policy can change while a connection has the head cached.
    client = Client(site)
    site.origins = OriginPolicy(LOOPBACK, ["https://evil.example"], checked=True)
    await client.send(foreign, foreign)
    assert len(site.seen) == 5
    site.origins = OriginPolicy(LOOPBACK, [], checked=True)
    await client.send(foreign)
    assert len(site.seen) == 5
