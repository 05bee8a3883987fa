"""One client request and its response, as the routes use it. `server.http.protocol` has the connection."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote

from trunkline.dialects.common.sse import KEEP_ALIVE
from trunkline.model.errors import InvalidRequest, PayloadTooLarge, TrunklineError, stripped
from trunkline.ports import JSON, Listener
from trunkline.server.config import ServerSettings
from trunkline.server.http.origins import OriginPolicy
from trunkline.server.http.request_head import NO_HEAD, RequestHead, RequestRefused

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus} | {413: b"Content Too Large"}
_STATUS_LINES = {code: b"HTTP/1.1 %d %s\r\n" % (code, phrase) for code, phrase in _REASONS.items()}


def status_line(status: int) -> bytes:
    """The status line with its line end: `HTTP/1.1 200 OK`."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def too_many_bodies() -> RequestRefused:
    """The error for a body that does not fit into the memory for bodies now."""
    return RequestRefused(503, "the server has too many requests in memory at the moment; try again")


class Cancellable(Protocol):
    """What produces the response of an exchange: a task, or an object that works without one."""

    def cancel(self) -> object:
        """Cancel it."""
        ...


class ServerInfo(Protocol):
    """What an exchange asks of the server."""

    @property
    def date(self) -> bytes:
        """The header `date` as a complete line."""
        ...

    @property
    def settings(self) -> ServerSettings:
        """The configuration's `server` block."""
        ...

    buffered_bytes: int
    """Bytes of request bodies in memory."""

    @property
    def max_buffered_bytes(self) -> int:
        """The bound of `buffered_bytes`."""
        ...

    @property
    def origins(self) -> OriginPolicy:
        """Which web pages may call the gateway."""
        ...

    def error(self, path: bytes, error: TrunklineError, request_id: str | None) -> bytes:
        """The JSON body of an error before any route, in the dialect of *path*."""
        ...


class ClientConnection(Protocol):
    """The connection that an exchange came on."""

    @property
    def server(self) -> ServerInfo:
        """The server that it belongs to."""
        ...

    @property
    def peer(self) -> tuple[str, int] | None:
        """The client's address and port."""
        ...

    @property
    def local(self) -> tuple[str, int] | None:
        """The server's address and port."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Monotonic seconds."""
        ...

    @property
    def transport(self) -> asyncio.Transport:
        """The socket."""
        ...

    def send(self, data: bytes) -> None:
        """Send *data* at the end of this turn."""
        ...

    def flush(self) -> None:
        """Send what waits to be sent."""
        ...

    def answered(self, exchange: "Exchange") -> None:
        """The answer's last byte has been written."""
        ...

    def expect_continue(self, exchange: "Exchange") -> None:
        """Somebody waits for the body."""
        ...


class Exchange:
    """One request and its response.

    A response is either `respond`, or `start` and then `write` calls, the last with `last=True`. Writes after the
    client has disconnected are dropped. `listener` is notified of the client's state meanwhile.
    """

    # Defaults are class attributes, so that creating an exchange sets only the fields that differ.
    head: RequestHead = NO_HEAD
    keep_alive = True
    """Whether the connection accepts another request after the response."""
    expects_continue = False
    body_size = 0
    body_complete = False
    too_large = False
    started = False
    finished = False
    gone = False
    last_write = 0.0
    stream_headers: bytes | None = None
    """Set by a route whose client waits for a stream: during silence it gets comments, sent with these response
    headers."""
    comment: bytes = KEEP_ALIVE
    """The comment to send during silence."""
    refused: RequestRefused | None = None
    """Why the received bytes are not a valid request. The error is sent after the previous responses."""
    task: "Cancellable | None" = None
    listener: Listener | None = None
    _head = b""
    _held_bytes = 0
    """Bytes of the body that the server counts as buffered."""
    _chunked = False
    _waiter: "asyncio.Future[None] | None" = None

    def __init__(self, connection: "ClientConnection") -> None:
        self._connection = connection
        self._body: list[bytes] = []

    def begin(self, head: RequestHead) -> None:
        """The head is complete; the body follows."""
        self.head = head
        self.keep_alive = head.keep_alive
        self.expects_continue = head.expects_continue
        if head.content_length is not None:
            self.too_large = head.content_length > self._connection.server.settings.max_body_bytes

    def begin_cached(self, head: RequestHead, body: bytes) -> None:
        """The request has a cached *head* and this complete *body*."""
        self.head = head
        self.feed(body)
        self.body_complete = True

    @property
    def path(self) -> bytes:
        """The request's path, as sent."""
        return self.head.path

    @property
    def query(self) -> bytes:
        """The query string without the question mark."""
        return self.head.query

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The headers by name, the last of several. Must not be changed."""
        return self.head.fields

    @property
    def client(self) -> str:
        """The client's IP address; empty where the socket has none."""
        peer = self._connection.peer
        return peer[0] if peer else ""

    async def body(self) -> bytes:
        """The whole request body.

        Raises:
            PayloadTooLarge: its stated or actual length exceeds `max_body_bytes`.
            RequestTimeout: no byte arrived for `body_timeout_s`.
            InvalidRequest: the client closed the connection inside the body.
        """
        while not self.body_complete and not self.too_large and not self.gone:
            connection = self._connection
            connection.expect_continue(self)
            self._waiter = connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None  # it may hold an error, whose frames refer to this exchange
        if self.too_large:
            limit = self._connection.server.settings.max_body_bytes
            raise PayloadTooLarge(f"the body is larger than {limit} bytes")
        if not self.body_complete:
            raise InvalidRequest("the connection closed inside the body")
        return self.complete_body()

    def complete_body(self) -> bytes:
        """The request body, once it is complete."""
        body = self._body
        return body[0] if len(body) == 1 else b"".join(body)

    def feed(self, data: bytes) -> None:
        """Add a piece of the body. Sets `refused` where the server has no room for it."""
        size, server = len(data), self._connection.server
        self.body_size += size
        if self.body_size > server.settings.max_body_bytes:
            self.too_large = True
            self._body.clear()
            self.release_body()
            self._wake()
        elif not self.too_large and self.refused is None:
            self._body.append(data)
            self._held_bytes += size
            server.buffered_bytes += size
            if server.buffered_bytes > server.max_buffered_bytes:
                self.refused = too_many_bodies()
                self._body.clear()
                self.release_body()

    def release_body(self) -> None:
        """The body is needed no more: its bytes no longer count as buffered."""
        self._connection.server.buffered_bytes -= self._held_bytes
        self._held_bytes = 0

    def end_body(self) -> None:
        """The body is complete."""
        self.body_complete = True
        self._wake()

    def fail_body(self, error: TrunklineError) -> None:
        """The body cannot become complete because of *error*, which `body` raises."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def start(self, status: int, content_type: bytes, headers: bytes = b"") -> None:
        """Start a streamed response; its head is sent with the first write. *headers* are complete lines."""
        assert not self.started
        self.started = True
        self._chunked = not self.head.http_1_0
        if self._chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing = b""
            self.keep_alive = False
        self._head = b"%s%scontent-type: %s\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n%s%s%s%s\r\n" % (
            status_line(status),
            self._connection.server.date,
            content_type,
            self._connection.server.origins.cors_headers(self.head),
            headers,
            framing,
            b"" if self.keep_alive else b"connection: close\r\n",
        )

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Send *data* (may be empty) of a streamed response; with *last* the response is complete."""
        if self.gone or self.finished:
            return
        self.last_write = self._connection.clock()
        if self._chunked:
            if data and last:
                out = b"%s%x\r\n%s\r\n0\r\n\r\n" % (self._head, len(data), data)
            elif data:
                out = b"%s%x\r\n%s\r\n" % (self._head, len(data), data)
            else:
                out = self._head + b"0\r\n\r\n" if last else self._head
        else:
            out = self._head + data
        self._head = b""
        if out:
            self._connection.send(out)
        if last:
            self.finished = True
            self._connection.answered(self)

    def respond(self, status: int, body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> None:
        """Send a complete response."""
        if self.gone or self.finished:
            return
        assert not self.started
        self.started = self.finished = True
        if not self.body_complete:
            self.keep_alive = False  # the rest of the body cannot be distinguished from a next request
        self._connection.send(
            b"%s%scontent-type: %s\r\ncontent-length: %d\r\n%s%s%s\r\n%s"
            % (
                status_line(status),
                self._connection.server.date,
                content_type,
                len(body),
                self._connection.server.origins.cors_headers(self.head),
                headers,
                b"" if self.keep_alive else b"connection: close\r\n",
                b"" if self.head.method == b"HEAD" else body,
            )
        )
        self._connection.answered(self)

    def abort(self) -> None:
        """Close the connection inside the response, so that the client detects that it is incomplete."""
        self._connection.flush()
        self._connection.transport.abort()

    def client_disconnected(self) -> None:
        """The client has disconnected."""
        if self.gone:
            return
        self.gone = True
        self._wake()
        if not self.finished and self.listener is not None:
            self.listener.client_gone()
        self.task = None

    # ASGI, for the routes that Starlette serves.

    def scope(self) -> dict[str, Any]:
        """The ASGI scope of this request."""
        connection, head = self._connection, self.head
        headers = head.headers
        if self.body_size and not head.chunked and b"content-length" not in head.fields:  # a cached head has none
            headers = [*headers, (b"content-length", b"%d" % self.body_size)]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.0" if self.head.http_1_0 else "1.1",
            "server": connection.local,
            "client": connection.peer,
            "scheme": "http",
            "method": self.head.method.decode("ascii", "replace"),
            "path": unquote(self.path.decode("ascii", "replace")),
            "raw_path": self.path,
            "query_string": self.query,
            "headers": headers,
            "root_path": "",
        }

    async def receive(self) -> dict[str, Any]:
        """ASGI's receive: the whole body at once, then the disconnect."""
        if self.gone or self.finished:
            return {"type": "http.disconnect"}
        try:
            body = await self.body()
        except TrunklineError as error:
            stripped(error)
            if not self.started:
                self.keep_alive = False
                self.respond(error.http_status, self._connection.server.error(self.path, error, None))
            return {"type": "http.disconnect"}
        if self._body is _BODY_CONSUMED:
            self._waiter = self._connection.loop.create_future()
            await self._waiter
            return {"type": "http.disconnect"}
        self._body = _BODY_CONSUMED
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's send. Responses are small here: a response in one piece is sent in one write."""
        if message["type"] == "http.response.start":
            lines = [b"%s: %s\r\n" % (bytes(name), bytes(value)) for name, value in message["headers"]]
            self._head = status_line(message["status"]) + self._connection.server.date + b"".join(lines)
            length = any(bytes(name).lower() == b"content-length" for name, _ in message["headers"])
            self._chunked = not length and not self.head.http_1_0 and message["status"] not in (204, 304)
            if self._chunked:
                self._head += b"transfer-encoding: chunked\r\n"
            if not length and self.head.http_1_0:
                self.keep_alive = False
            if not self.body_complete:
                self.keep_alive = False
            self._head += b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
            self.started = True
        elif message["type"] == "http.response.body":
            body = b"" if self.head.method == b"HEAD" else message.get("body", b"")
            self.write(body, last=not message.get("more_body", False))


_BODY_CONSUMED: list[bytes] = []
"""Replaces a body that ASGI's receive has returned."""
