"""How connections are made: names, TLS, proxies."""

import asyncio
import datetime
import errno
import socket
import ssl
import time
from typing import Any

import pytest
import trustme
from upstream_kit import request, transport, until

from trunkline.model.errors import TrunklineError, UpstreamTimeout, UpstreamUnreachable
from trunkline.testing.scripted import Close, Hang, Rst, Script, ScriptedUpstream, Send, Status, Tunnel
from trunkline.transport.addresses import address_of
from trunkline.transport.connecting import translated
from trunkline.transport.proxy import Proxies, Proxy
from trunkline.transport.tls import default_ssl_context

SECRETS = ("127.0.0.1", "localhost", "upstream.test", "no-such-host", "hunter2", ":1")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(
    authority: trustme.CA, name: str = "localhost", until: datetime.datetime | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name, not_after=until).configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def unreachable(origin: str, says: str, within_s: float = 2.0, **options: object) -> TrunklineError:
    async with transport(**options) as ours:
        begun = time.monotonic()
        with pytest.raises(UpstreamUnreachable, match=says) as caught:
            await ours.send(request(origin, connect_s=within_s))
        assert time.monotonic() - begun < within_s + 1
        assert not caught.value.maybe_billed
        assert not any(secret in caught.value.message for secret in SECRETS)
        return caught.value


async def test_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = await unreachable(f"http://127.0.0.1:{port}", "^could not connect: connection refused$")
    assert isinstance(error.__cause__, ConnectionRefusedError)
    await unreachable(f"http://localhost:{port}", "^could not connect: connection refused$")


async def test_no_such_name() -> None:
    await unreachable("https://no-such-host.invalid", "^name not resolved$", 5)
    await unreachable(f"https://{'x' * 70}.invalid", "^name not resolved$")


@pytest.mark.parametrize("origin", ["ftp://x", "http://", "http://h:99999", "nonsense", "http://[::1"])
async def test_not_an_origin(origin: str) -> None:
    await unreachable(origin, "not an http or https origin")


async def test_slow_names_do_not_block_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: object, **__: object) -> None:
        await asyncio.sleep(10)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", slow)
    async with transport() as ours:
        with pytest.raises(UpstreamTimeout, match=r"could not connect within 0\.2 s") as caught:
            await ours.send(request("http://upstream.test", connect_s=0.2))
        assert not caught.value.maybe_billed


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedUpstream(Status(200, {}, b"ok")) as upstream, transport() as ours:
        # The first is refused; the second is of documentation's own network, which nobody answers for.
        at = [("127.0.0.2", 1), ("192.0.2.1", 1), ("127.0.0.1", upstream.port)]
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect

        resolve = loop.getaddrinfo

        async def found(host: str, *args: Any, **options: Any) -> Any:
            if host != "upstream.test":  # uvloop's sock_connect asks for addresses too
                return await resolve(host, *args, **options)
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", each) for each in at]

        async def reach(sock: socket.socket, address: tuple[str, int]) -> None:
            if address[0] == "192.0.2.1":
                await asyncio.sleep(10)
            await connect(sock, address)

        monkeypatch.setattr(loop, "getaddrinfo", found)
        monkeypatch.setattr(loop, "sock_connect", reach)
        response = await ours.send(request("http://upstream.test", connect_s=0.9))
        assert await response.read(10) == b"ok"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EHOSTUNREACH, "x"), "could not connect: no route"),
        (OSError(errno.ENETUNREACH, "x"), "could not connect: no route"),
        (OSError(errno.EMFILE, "x"), "could not connect"),
        (ConnectionResetError("x"), "could not connect: the connection was closed"),
        (ssl.SSLError("x"), "TLS handshake failed"),
        (socket.gaierror(2, "x"), "name not resolved"),
    ],
)
def test_the_words_for_what_the_system_says(error: OSError, says: str) -> None:
    assert translated(error).message == says


# TLS.


async def test_tls(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    async with (
        ScriptedUpstream(Status(200, {}, b"ok"), tls=server_context(authority)) as upstream,
        transport(ssl_context=trusting) as ours,
    ):
        for _ in range(2):
            response = await ours.send(request(upstream.origin, b"x" * 500_000))
            assert await response.read(10) == b"ok"
        assert upstream.accepted == 1
        assert len(upstream.seen[1].body) == 500_000


@pytest.mark.parametrize("ending", [Close(), Rst()], ids=["fin", "rst"])
async def test_a_stale_connection_over_tls(
    authority: trustme.CA, trusting: ssl.SSLContext, ending: Close | Rst
) -> None:
    async with (
        ScriptedUpstream(Status(200), ending, Status(200, {}, b"2"), tls=server_context(authority)) as upstream,
        transport(ssl_context=trusting) as ours,
    ):
        await (await ours.send(request(upstream.origin))).read(0)
        assert await (await ours.send(request(upstream.origin))).read(10) == b"2"
        assert ours.stale_retries == 1


async def test_expired(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    async with ScriptedUpstream(tls=server_context(authority, until=past)) as upstream:
        await unreachable(upstream.origin, "^TLS certificate not valid: expired$", ssl_context=trusting)


async def test_wrong_name(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    async with ScriptedUpstream(tls=server_context(authority, "another.test")) as upstream:
        await unreachable(upstream.origin, "^TLS certificate not valid: of another name$", ssl_context=trusting)


async def test_unknown_authority(authority: trustme.CA) -> None:
    async with ScriptedUpstream(tls=server_context(authority)) as upstream:
        await unreachable(upstream.origin, "^TLS certificate not valid")


async def test_no_tls_there() -> None:
    async with ScriptedUpstream(greeting=[Send(b"HTTP/1.1 400 Bad\r\n\r\n"), Close()]) as upstream:
        await unreachable(f"https://localhost:{upstream.port}", "^TLS handshake failed$")


async def test_a_handshake_that_stalls() -> None:
    async with ScriptedUpstream(greeting=[Hang()]) as upstream, transport() as ours:
        begun = time.monotonic()
        with pytest.raises(UpstreamTimeout, match=r"could not connect within 0\.2 s") as caught:
            await ours.send(request(f"https://localhost:{upstream.port}", connect_s=0.2))
        assert not caught.value.maybe_billed
        assert time.monotonic() - begun < 1
        await until(lambda: upstream.open == 0)


def test_the_default_verifies() -> None:
    context = default_ssl_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_certifi_stands_in_for_an_empty_store(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 0
    assert default_ssl_context().cert_store_stats()["x509_ca"] > 50


# Proxies.


def through(port: int, **more: object) -> Proxies:
    proxy = Proxy("127.0.0.1", port, authorization=b"Basic aDpodW50ZXIy")
    return Proxies(http=proxy, https=proxy)


async def test_tls_through_a_proxy(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    async with (
        ScriptedUpstream(Status(200, {}, b"ok"), tls=server_context(authority, "upstream.test")) as upstream,
        ScriptedUpstream([Tunnel(upstream.port)]) as proxy,
        transport(ssl_context=trusting, proxies=through(proxy.port)) as ours,
    ):
        for _ in range(2):
            response = await ours.send(request("https://upstream.test"))
            assert await response.read(10) == b"ok"
        (seen,) = proxy.seen
        assert (seen.method, seen.path) == ("CONNECT", "upstream.test:443")
        assert seen.headers["proxy-authorization"] == "Basic aDpodW50ZXIy"
        assert "proxy-authorization" not in upstream.seen[0].headers
        assert ours.connections_idle == 1


async def test_plain_http_through_a_proxy() -> None:
    async with (
        ScriptedUpstream(Status(200, {}, b"ok")) as upstream,
        ScriptedUpstream([Tunnel(upstream.port)]) as proxy,
        transport(proxies=through(proxy.port)) as ours,
    ):
        assert await (await ours.send(request("http://[2001:db8::1]:81"))).read(10) == b"ok"
        assert proxy.seen[0].path == "[2001:db8::1]:81"


async def test_a_proxy_behind_tls(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    async with (
        ScriptedUpstream(Status(200, {}, b"ok"), tls=server_context(authority, "upstream.test")) as upstream,
        ScriptedUpstream([Tunnel(upstream.port)], tls=server_context(authority)) as proxy,
        transport(ssl_context=trusting, proxies=Proxies(https=Proxy("localhost", proxy.port, tls=True))) as ours,
    ):
        assert await (await ours.send(request("https://upstream.test"))).read(10) == b"ok"
        assert "proxy-authorization" not in proxy.seen[0].headers


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ([Status(407)], "^the proxy refused with status 407$"),
        ([Status(502)], "^the proxy refused with status 502$"),
        ([Send(b"SSH-2.0\r\n\r\n")], "did not answer CONNECT with HTTP"),
        ([Send(b"HTTP/1.1 200 OK\r\n\r\nand more")], "did not answer CONNECT with HTTP"),
        ([Send(b"x" * 20_000)], "did not answer CONNECT with HTTP"),
        ([Close()], "did not answer CONNECT with HTTP"),
        ([Rst()], "did not answer CONNECT with HTTP"),
        ([Send(b"HTTP/1.1 200 OK\r\n\r\n"), Close()], "could not connect: the connection was closed|TLS handshake"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxies_that_fail(script: Script, says: str, scheme: str) -> None:
    async with ScriptedUpstream(script) as proxy:
        if scheme == "http" and isinstance(script[0], Send) and len(script) == 2:
            pytest.skip("a tunnel that closes is an upstream that closes")
        await unreachable(f"{scheme}://upstream.test", says, proxies=through(proxy.port))
        await until(lambda: proxy.open == 0)


@pytest.mark.parametrize("script", [[Hang()], [Send(b"HTTP/1.1 200 OK\r\n\r\n"), Hang()]], ids=["connect", "tls"])
async def test_proxies_that_hang(script: Script) -> None:
    async with ScriptedUpstream(script) as proxy, transport(proxies=through(proxy.port)) as ours:
        with pytest.raises(UpstreamTimeout):
            await ours.send(request("https://upstream.test", connect_s=0.2))
        await until(lambda: proxy.open == 0)


async def test_a_proxy_that_is_not_there() -> None:
    await unreachable("https://upstream.test", "connection refused", proxies=through(1))


ENVIRON = {
    "http_proxy": "http://plain.test:3128",
    "HTTPS_PROXY": "https://us%65r:hunter2%21@secure.test",
    "NO_PROXY": "direct.test, .below.test,*.star.test 10.0.0.0/8,[::1]:8080,ported.test:81,192.0.2.7",
}


def test_the_environment() -> None:
    proxies = Proxies.from_environ(ENVIRON)
    assert proxies.http == Proxy("plain.test", 3128)
    assert proxies.https == Proxy("secure.test", 443, tls=True, authorization=b"Basic dXNlcjpodW50ZXIyIQ==")
    assert "hunter2" not in repr(proxies)
    assert address_of("http://a.test", proxies).proxy == proxies.http
    assert address_of("https://a.test", proxies).proxy == proxies.https


@pytest.mark.parametrize(
    ("host", "port", "direct"),
    [
        ("direct.test", 443, True),
        ("DIRECT.test.", 443, True),
        ("sub.direct.test", 443, True),
        ("indirect.test", 443, False),
        ("a.below.test", 443, True),
        ("below.test", 443, True),
        ("x.star.test", 443, True),
        ("10.1.2.3", 443, True),
        ("11.1.2.3", 443, False),
        ("192.0.2.7", 443, True),
        ("::1", 8080, True),
        ("::1", 443, False),
        ("ported.test", 81, True),
        ("ported.test", 443, False),
    ],
)
def test_no_proxy(host: str, port: int, direct: bool) -> None:
    assert (Proxies.from_environ(ENVIRON).find("https", host, port) is None) is direct


def test_more_of_the_environment() -> None:
    assert Proxies.from_environ({}) == Proxies()
    assert Proxies.from_environ({"https_proxy": " ", "HTTPS_PROXY": "a.test:1"}).https is None
    assert Proxies.from_environ({"https_proxy": "", "HTTPS_PROXY": "a.test:1"}).https == Proxy("a.test", 1)
    assert Proxies.from_environ({"all_proxy": "http://a.test:1"}).http == Proxy("a.test", 1)
    assert Proxies.from_environ({"https_proxy": "http://a", "no_proxy": "*"}).find("https", "b", 1) is None
    assert Proxies.from_environ({"HTTP_PROXY": "http://a", "REQUEST_METHOD": "GET"}).http is None


@pytest.mark.parametrize("value", ["socks5://u:hunter2@h", "http://", "http://h:port"])
def test_a_proxy_that_is_none(value: str) -> None:
    with pytest.raises(ValueError, match=r"^https_proxy is not the URL") as caught:
        Proxies.from_environ({"https_proxy": value})
    assert "hunter2" not in str(caught.value)
