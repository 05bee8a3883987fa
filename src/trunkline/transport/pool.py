"""The connections of one origin: how many there may be, who waits for one, and how one is made.

A slot is the right to have one connection. Whoever is given a slot gives it back once, by `Pool.freed`; a connection
does so when it is dropped. While somebody waits nothing is idle and no slot is free: both are handed on directly.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import deque
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct

from trunkline.model.errors import TrunklineError, UpstreamOverloaded, UpstreamUnreachable
from trunkline.transport.proxy import Proxies, Proxy, tunnel


class Pooled(Protocol):
    """A connection, as its pool sees it."""

    closed: bool
    idle_since: float
    """Monotonic seconds when the pool's owner first saw it idle; below 0 before that."""

    def drop(self, *, free: bool = True) -> None:
        """Close it; *free*: its slot too. Does nothing twice."""
        ...


C = TypeVar("C", bound=Pooled)


class Address(Struct, frozen=True):
    """Where an origin is, and by which way."""

    host: str
    port: int
    tls: bool
    proxy: Proxy | None


def address_of(origin: str, proxies: Proxies) -> Address:
    """Where *origin*, `scheme://host:port`, is; the port may be missing.

    Raises:
        UpstreamUnreachable: it is not an origin.
    """
    try:
        url = urlsplit(origin)
        port = url.port or (443 if url.scheme == "https" else 80)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(url.scheme)
    except ValueError as error:
        raise UpstreamUnreachable("the provider's address is not an http or https origin") from error
    return Address(url.hostname, port, url.scheme == "https", proxies.find(url.scheme, url.hostname, port))


class Pool(Generic[C]):
    """One origin's connections. The last to become idle is the first to be used, so that the others can expire."""

    __slots__ = ("_limit", "_open", "address", "idle", "waiters")

    def __init__(self, address: Address, limit: int) -> None:
        self.address = address
        self.idle: list[C] = []
        self.waiters: deque[tuple[asyncio.Future[C | TrunklineError | None], float]] = deque()
        """First come, first served, each with the monotonic time when it gives up."""
        self._limit = limit
        self._open = 0

    async def acquire(self, until: float, *, fresh: bool) -> C | None:
        """An idle connection, or None: then the caller has a slot for a new one, as always where *fresh*.

        Raises:
            UpstreamOverloaded: there was none *until* then, as `expire` was told.
        """
        while True:
            if self.idle:
                if not fresh:
                    return self.idle.pop()
                if self._open >= self._limit:
                    self.idle.pop(0).drop(free=False)
                    return None
            if self._open < self._limit:
                self._open += 1
                return None
            connection = await self._wait(until)
            if connection is None:
                return None
            if connection.closed:  # between being handed on and now; its slot is gone with it
                continue
            if not fresh:
                return connection
            connection.drop(free=False)
            return None

    def put(self, connection: C) -> None:
        """*connection* can be used again."""
        connection.idle_since = -1.0
        while self.waiters:
            waiter, _ = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self.idle.append(connection)

    def forget(self, connection: C) -> None:
        """*connection* has closed; it may be idle."""
        with contextlib.suppress(ValueError):
            self.idle.remove(connection)

    def freed(self) -> None:
        """A slot was given back."""
        while self.waiters:
            waiter, _ = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._open -= 1

    def expire(self, now: float) -> None:
        """Tell those that have waited too long."""
        for waiter, until in self.waiters:
            if now >= until and not waiter.done():
                waiter.set_result(UpstreamOverloaded("no connection to the provider was free in time"))

    def refuse(self, error: TrunklineError) -> None:
        """Tell all that wait."""
        while self.waiters:
            waiter, _ = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(error)

    async def _wait(self, until: float) -> C | None:
        waiter: asyncio.Future[C | TrunklineError | None] = asyncio.get_running_loop().create_future()
        entry = (waiter, until)
        self.waiters.append(entry)
        try:
            given = await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._give_back(waiter.result())
            raise
        finally:
            with contextlib.suppress(ValueError):
                self.waiters.remove(entry)
        if isinstance(given, TrunklineError):
            try:
                raise given
            finally:
                del given, waiter, entry  # the frame is in the traceback
        return given

    def _give_back(self, given: C | TrunklineError | None) -> None:
        """Somebody was cancelled after being *given* something, and before seeing it."""
        if given is None:
            self.freed()
        elif not isinstance(given, TrunklineError) and not given.closed:
            self.put(given)


async def connect(address: Address, protocol: asyncio.Protocol, context: ssl.SSLContext, within_s: float) -> None:
    """Connect *protocol* to *address*, through its proxy if it has one; the caller sets the time, *within_s*.

    Raises:
        UpstreamUnreachable: the proxy does not want to.
        OSError, UnicodeError: as `translated` knows them.
    """
    proxy = address.proxy
    if proxy is None:
        await _open(address.host, address.port, protocol, context if address.tls else None, within_s)
        return
    loop = asyncio.get_running_loop()
    opened = await _open(proxy.host, proxy.port, asyncio.Protocol(), context if proxy.tls else None, within_s)
    transport: asyncio.Transport | None = opened
    try:
        await tunnel(opened, address.host, address.port, proxy.authorization)
        if address.tls:
            transport = await loop.start_tls(
                opened, protocol, context, server_hostname=address.host, ssl_handshake_timeout=within_s + 1
            )
        else:
            opened.set_protocol(protocol)
        if transport is None or transport.is_closing():
            raise ConnectionResetError(errno.ECONNRESET, "closed while the tunnel was made")
    except BaseException:
        opened.abort()
        raise
    protocol.connection_made(transport)


async def _open(
    host: str, port: int, protocol: asyncio.Protocol, context: ssl.SSLContext | None, within_s: float
) -> asyncio.Transport:
    """A connection to the first of *host*'s addresses that takes one; each has its share of the time."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    sock = await _reach([(family, at) for family, _, _, _, at in found], within_s)
    made = await loop.create_connection(
        lambda: protocol,
        sock=sock,
        ssl=context,
        server_hostname=host if context else None,
        # Ours is the limit that counts; this one only keeps the loop's own (60 s) from coming first.
        ssl_handshake_timeout=within_s + 1 if context else None,
    )
    return made[0]


async def _reach(addresses: list[tuple[socket.AddressFamily, tuple[object, ...]]], within_s: float) -> socket.socket:
    """A connected socket to one of *addresses*. One that swallows everything must not take the time of the next."""
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "no address")
    for index, (family, at) in enumerate(addresses):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except OSError as error:
            failure = error
            continue
        try:
            sock.setblocking(False)
            # A provider that thinks for minutes sends nothing meanwhile, and address translators forget quiet flows.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            last = index == len(addresses) - 1
            async with asyncio.timeout(None if last else within_s / len(addresses)):
                await asyncio.get_running_loop().sock_connect(sock, at)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    try:
        raise failure
    finally:
        del failure  # the frame is in the traceback


_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "name not resolved"),
    (UnicodeError, "name not resolved"),
    (ssl.SSLCertVerificationError, "TLS certificate not valid"),
    (ssl.SSLError, "TLS handshake failed"),
    (ConnectionRefusedError, "could not connect: connection refused"),
    (ConnectionError, "could not connect: the connection was closed"),
)
_NUMBERS = {errno.ENETUNREACH: "no route", errno.EHOSTUNREACH: "no route", errno.ENETDOWN: "the network is down"}
_CERTIFICATE = {9: "not yet in force", 10: "expired", 18: "self-signed", 19: "self-signed", 62: "of another name"}
"""X509_V_ERR_…: OpenSSL's own words hold the host's name."""


def translated(error: OSError | UnicodeError) -> UpstreamUnreachable:
    """What *error* of `connect` means, in words that name no host: they may reach a client."""
    words = next((said for kind, said in _CAUSES if isinstance(error, kind)), "could not connect")
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _CERTIFICATE:
        words += f": {_CERTIFICATE[error.verify_code]}"
    elif isinstance(error, OSError) and error.errno in _NUMBERS and words == "could not connect":
        words += f": {_NUMBERS[error.errno]}"
    return UpstreamUnreachable(words)
