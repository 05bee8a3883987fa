"""One client's connection without a network: a `Connection` between a scripted client and a small site."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from trunkline.model.errors import TrunklineError
from trunkline.server.config import ServerSettings
from trunkline.server.http.exchange import Exchange
from trunkline.server.http.origins import OriginPolicy
from trunkline.server.http.protocol import Connection
from trunkline.server.http.request_headers import request_headers
from trunkline.server.http.request_reader import MAX_CACHE_MISSES

AT_ONCE = b"/api/v1/chat/completions"
ROUTED = b"/api/v1/route"


class Steps:
    """Stands in for `WriteBatcher`."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def add(self, step: Callable[[], object]) -> None:
        self.waiting.append(step)

    send = add

    def take(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


class Socket:
    """A client that takes what it is sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.open = True
        self.reading = True

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.open = False

    abort = write_eof = close

    def is_closing(self) -> bool:
        return not self.open

    def set_write_buffer_limits(self, high: int) -> None:
        del high

    def get_extra_info(self, name: str) -> None:
        del name

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def seen(exchange: Exchange, body: bytes) -> dict[str, Any]:
    """All of a request that a route could look at, its length's header apart."""
    head = exchange.head
    digest = request_headers(exchange).digest
    return {
        "as": None if digest is None else digest[:12],
        "method": head.method.decode(),
        "path": head.path.decode("latin-1"),
        "query": head.query.decode("latin-1"),
        "fields": {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in sorted(head.fields.items())
            if name != b"content-length"
        },
        "body": hashlib.sha256(body).hexdigest()[:12],
        "size": len(body),
    }


class EchoSite:
    """Answers every request with what it saw of it: at once, by a route with a task, or by ASGI."""

    date = b""

    def __init__(self, settings: ServerSettings | None = None) -> None:
        self.settings = settings or ServerSettings(max_body_bytes=4096)
        self.routes: dict[bytes, Any] = {AT_ONCE: self.routed, ROUTED: self.routed}
        self.direct_routes = {AT_ONCE: self.answer}
        self.asgi = self.served
        self.seen: list[dict[str, Any]] = []
        self.batcher = Steps()
        self.connections: set[Connection] = set()
        self.origins = OriginPolicy((), None, checked=False)
        self.buffered_bytes = 0
        self.max_buffered_bytes = 1 << 20

    def answer(self, exchange: Exchange) -> bool:
        self._respond(exchange, exchange.complete_body())
        return True

    async def routed(self, exchange: Exchange) -> None:
        try:
            body = await exchange.body()
        except TrunklineError as error:
            exchange.keep_alive = False
            exchange.respond(error.http_status, b"{}")
            return
        self._respond(exchange, body)

    def _respond(self, exchange: Exchange, body: bytes) -> None:
        found = seen(exchange, body)
        self.seen.append(found)
        exchange.respond(200, json.dumps(found).encode())

    async def served(
        self,
        scope: dict[str, Any],
        receive: Callable[..., Awaitable[Any]],
        send: Callable[..., Awaitable[None]],
    ) -> None:
        message = await receive()
        if message["type"] != "http.request":
            return
        lines = [(name, value.lstrip(b"0") if name == b"content-length" else value) for name, value in scope["headers"]]
        found = {
            "method": scope["method"],
            "path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in sorted(lines)],
            "size": len(message["body"]),
        }
        self.seen.append(found)
        answer = json.dumps(found).encode()
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def error(self, path: bytes, error: TrunklineError, request_id: str | None) -> bytes:
        del path, request_id
        return error.message.encode()


class Client:
    """A connection to a site of its own, on the running event loop."""

    def __init__(self, site: EchoSite | None = None, *, cached: bool = True) -> None:
        self.server, self.socket = site or EchoSite(), Socket()
        self.connection = Connection(cast("Any", self.server), asyncio.get_running_loop())
        self.connection.connection_made(cast("asyncio.Transport", self.socket))
        if not cached:
            self.connection._reader._cache_misses = MAX_CACHE_MISSES  # it learns nothing then

    @property
    def cached(self) -> bool:
        """Whether a head is remembered."""
        return self.connection._reader._cached is not None

    async def send(self, *pieces: bytes) -> None:
        """Send *pieces*, each a read of its own, and have answered what can be."""
        for piece in pieces:
            if not self.socket.open:
                return
            self.connection.data_received(piece)
            await self.settle()

    async def settle(self) -> None:
        """Let everything happen that needs no more bytes."""
        for _ in range(12):
            self.server.batcher.take()
            await asyncio.sleep(0)
            if not self.server.batcher.waiting and self.connection._current is None:
                return

    async def leave(self) -> None:
        """The client closes."""
        self.connection.connection_lost(None)
        await self.settle()
