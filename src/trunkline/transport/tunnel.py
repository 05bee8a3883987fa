"""Tunnels through a proxy: the CONNECT request. Source: RFC 9110 §9.3.6."""

import asyncio
from typing import Final

from trunkline.model.errors import UpstreamUnreachable

MAX_HEAD: Final = 16384
"""Bytes of a proxy's response to CONNECT; it has no body."""


class _ConnectResponse(asyncio.Protocol):
    """Reads a proxy's response to CONNECT. Bytes after its head would belong to the origin."""

    __slots__ = ("_head", "received")

    def __init__(self) -> None:
        self._head = b""
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" in self._head or len(self._head) > MAX_HEAD:
            self._end()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.received.done():
            self.received.set_result(self._head)


async def open_tunnel(transport: asyncio.Transport, host: str, port: int, authorization: bytes | None) -> None:
    """Ask the proxy behind *transport* for a tunnel to *host* and *port*.

    The caller closes *transport* where this fails, and limits the time. *authorization* is the value of the header
    `Proxy-Authorization`, None for no such header.

    Raises:
        UpstreamUnreachable: the proxy refuses, or does not reply with HTTP.
    """
    response = _ConnectResponse()
    transport.set_protocol(response)
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n".encode()
    if authorization is not None:
        request += b"proxy-authorization: " + authorization + b"\r\n"
    transport.write(request + b"\r\n")
    head, end, rest = (await response.received).partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if not end or rest or len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise UpstreamUnreachable("the proxy did not answer CONNECT with HTTP")
    if not 200 <= (status := int(words[1])) < 300:
        raise UpstreamUnreachable(f"the proxy refused with status {status}")
