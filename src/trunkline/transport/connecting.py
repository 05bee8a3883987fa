"""How a connection is opened: name look-up, TCP, proxy, TLS; and what the failures mean."""

import asyncio
import errno
import socket
import ssl
from typing import Final

from trunkline.model.errors import TrunklineError, UpstreamTimeout, UpstreamUnreachable
from trunkline.transport.addresses import Address
from trunkline.transport.tunnel import open_tunnel

STOPPING: Final = "the gateway is stopping"
"""The message of the error of a call that a stop ends."""


class Connector:
    """Opens connections, each within a time limit."""

    __slots__ = ("_limits", "_ssl_context", "_stopped")

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        """A connector whose providers and proxies *ssl_context* verifies."""
        self._ssl_context = ssl_context
        self._limits: set[asyncio.Timeout] = set()
        self._stopped = False

    async def open(self, address: Address, protocol: asyncio.BaseProtocol, within_s: float) -> None:
        """Connect *protocol* to *address* within *within_s* seconds.

        Raises:
            UpstreamUnreachable: it is not possible, or `stop` was called.
            UpstreamTimeout: it took too long.
        """
        limit = asyncio.timeout(within_s)
        try:
            async with limit:
                self._limits.add(limit)
                await connect(address, protocol, self._ssl_context, within_s)
        except (OSError, UnicodeError, TrunklineError) as error:
            if self._stopped and not isinstance(error, UnicodeError):
                raise UpstreamUnreachable(STOPPING) from error
            if isinstance(error, TimeoutError):
                raise UpstreamTimeout(f"could not connect within {within_s:g} s") from error
            if isinstance(error, TrunklineError):
                raise
            raise translated(error) from error
        finally:
            self._limits.discard(limit)

    def stop(self) -> None:
        """Fail every `open` that is under way."""
        self._stopped = True
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            limit.reschedule(now)


async def connect(address: Address, protocol: asyncio.BaseProtocol, context: ssl.SSLContext, within_s: float) -> None:
    """Connect *protocol* to *address*, through its proxy if it has one.

    The caller limits the time to *within_s* seconds. Here they only divide the time among several addresses.

    Raises:
        UpstreamUnreachable: the proxy refuses.
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
        await open_tunnel(opened, address.host, address.port, proxy.authorization)
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
    host: str, port: int, protocol: asyncio.BaseProtocol, context: ssl.SSLContext | None, within_s: float
) -> asyncio.Transport:
    """Connect *protocol* to the first of *host*'s addresses that accepts; with TLS where there is a *context*."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    sock = await _connect_socket([(family, address) for family, _, _, _, address in found], within_s)
    transport, _ = await loop.create_connection(
        lambda: protocol,
        sock=sock,
        ssl=context,
        server_hostname=host if context else None,
        # The caller's limit is the one that counts. This one only replaces the event loop's default of 60 s.
        ssl_handshake_timeout=within_s + 1 if context else None,
    )
    return transport


async def _connect_socket(
    addresses: list[tuple[socket.AddressFamily, tuple[object, ...]]], within_s: float
) -> socket.socket:
    """Return a socket that is connected to one of *addresses*.

    Each address but the last has an equal share of *within_s* seconds, so that one that never replies does not use up
    the time of the next.
    """
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "no address")
    for index, (family, address) in enumerate(addresses):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except OSError as error:
            failure = error
            continue
        try:
            sock.setblocking(False)
            # A provider that thinks for minutes sends nothing meanwhile, and address translators drop silent flows.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            last = index == len(addresses) - 1
            async with asyncio.timeout(None if last else within_s / len(addresses)):
                await asyncio.get_running_loop().sock_connect(sock, address)
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
        del failure  # the traceback refers to this frame


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
"""Messages by X509_V_ERR_…. OpenSSL's own messages contain the host's name."""


def translated(error: OSError | UnicodeError) -> UpstreamUnreachable:
    """Return the error for *error* of `connect`. Its message names no host, since it may reach a client."""
    message = next((text for kind, text in _CAUSES if isinstance(error, kind)), "could not connect")
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _CERTIFICATE:
        message += f": {_CERTIFICATE[error.verify_code]}"
    elif isinstance(error, OSError) and error.errno in _NUMBERS and message == "could not connect":
        message += f": {_NUMBERS[error.errno]}"
    return UpstreamUnreachable(message)
