"""An upstream that does what it is told, byte by byte. Source: docs/reference/reliability.md, "Upstream faults".

    async with ScriptedUpstream([Status(429)], [Sse(capture, cuts=[17]), Rst()]) as upstream:
        ...  # a call to upstream.origin
    assert upstream.seen[0].path == "/v1/chat/completions"

Each request takes the next script, the last one repeats. A script is a sequence of actions; the request is read before
the first of them, unless that is `ReadHead`. A script that neither closes nor hangs leaves the connection open for the
next request. The upstream keeps its own bill, `seen`, which is the oracle of tests that count.
"""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from types import TracebackType
from typing import Protocol

import msgspec
from msgspec import Struct

MAX_HEAD = 1 << 20
"""Bytes of a request's head, and of what is read ahead of a script."""


class Seen:
    """One request, and what became of it.

    Attributes:
        connection: which connection it came on, counted from 0.
        method, path: of the request line.
        headers: lower-case names; the last of several.
        body: as far as it was read.
        sent: bytes of the answer that were written.
        hung_up_at: loop time when the client closed or reset the connection, or None while it has not.
    """

    def __init__(self, connection: int, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.connection = connection
        self.method, self.path = lines[0].split(" ")[:2]
        pairs = [line.partition(":") for line in lines[1:] if line]
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.body = b""
        self.sent = 0
        self.hung_up_at: float | None = None


class Exchange:
    """A connection, as the actions of a script use it. `seen` is the request under way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.seen: Seen | None = None
        self.over = False
        """The script closed the connection."""
        self.gone = asyncio.Event()
        """The client did."""

    async def send(self, data: bytes) -> None:
        """Write *data* and wait until the client takes more."""
        self.writer.write(data)
        if self.seen is not None:
            self.seen.sent += len(data)
        await self.writer.drain()

    async def read_body(self) -> None:
        """Read the rest of the request's body."""
        seen = self.seen
        if seen is not None:
            seen.body += await self.reader.readexactly(int(seen.headers.get("content-length", "0")) - len(seen.body))


class Action(Protocol):
    """A step of a script; write your own."""

    async def play(self, exchange: Exchange) -> None:
        """Do it."""
        ...


Script = Sequence[Action]


def sliced(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """*data*, cut at the offsets *cuts*; those outside of it do not count."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


class Send(Struct, frozen=True):
    """*data* as it is, in slices, *pause_s* seconds apart."""

    data: bytes
    cuts: Sequence[int] = ()
    pause_s: float = 0.0

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        for index, piece in enumerate(sliced(self.data, self.cuts)):
            if index:
                await asyncio.sleep(self.pause_s)
            await exchange.send(piece)


class Pause(Struct, frozen=True):
    """Nothing for *seconds*."""

    seconds: float

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        await asyncio.sleep(self.seconds)


class Rst(Struct, frozen=True):
    """Reset the connection."""

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        exchange.over = True
        # Through a copy of the descriptor, since uvloop's sockets take no options; those are the connection's anyway.
        with socket.socket(fileno=os.dup(exchange.writer.get_extra_info("socket").fileno())) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()


class Close(Struct, frozen=True):
    """Close the connection in order (FIN), after what was sent."""

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        exchange.over = True
        exchange.writer.close()


class HalfClose(Struct, frozen=True):
    """Say that nothing more will come (FIN), and read on. Not over TLS."""

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        exchange.writer.write_eof()


class Hang(Struct, frozen=True):
    """Neither read nor write until the client goes away."""

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        exchange.over = True
        await exchange.gone.wait()


class ReadHead(Struct, frozen=True):
    """First of a script: begin before the request's body was read."""

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""


class ReadRequest(Struct, frozen=True):
    """Read the rest of the request's body; what a script does first if it does not say `ReadHead`."""

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        await exchange.read_body()


class Tunnel(Struct, frozen=True):
    """Be a proxy: agree to CONNECT and carry bytes to and from *port* on this machine, until either side ends."""

    port: int

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        exchange.over = True
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ways = [
            asyncio.ensure_future(_carry(exchange.reader, writer)),
            asyncio.ensure_future(_carry(reader, exchange.writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof() if writer.can_write_eof() else writer.close()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Whatever'}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Status(Struct, frozen=True):
    """A whole answer of *status*, with its length."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        headers = {"content-length": str(len(self.body)), **self.headers}
        await exchange.send(_head(self.status, headers) + self.body)


class Json(Struct, frozen=True):
    """A whole answer in JSON: *body* is bytes as they are, or what msgspec can encode."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = {}

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        body = self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)
        await Status(self.status, {"content-type": "application/json", **self.headers}, body).play(exchange)


class Replay(Struct, frozen=True):
    """*body* as a chunked answer, a chunk for each slice, *pause_s* seconds apart; without *end* not ended."""

    body: bytes
    content_type: str = "application/json"
    cuts: Sequence[int] = ()
    pause_s: float = 0.0
    status: int = 200
    headers: Mapping[str, str] = {}
    end: bool = True

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        headers = {"content-type": self.content_type, "transfer-encoding": "chunked", **self.headers}
        await exchange.send(_head(self.status, headers))
        for piece in sliced(self.body, self.cuts):
            if piece:
                await exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                await asyncio.sleep(self.pause_s)
        if self.end:
            await exchange.send(b"0\r\n\r\n")


class Sse(Struct, frozen=True):
    """A stream of events, as `Replay`."""

    body: bytes
    cuts: Sequence[int] = ()
    pause_s: float = 0.0
    headers: Mapping[str, str] = {}
    end: bool = True

    async def play(self, exchange: Exchange) -> None:
        """As `Action.play`."""
        await Replay(self.body, "text/event-stream", self.cuts, self.pause_s, headers=self.headers, end=self.end).play(
            exchange
        )


class _Watching(asyncio.StreamReaderProtocol):
    """Streams that notice at once when the client goes, whatever the script is doing."""

    def __init__(self, upstream: "ScriptedUpstream") -> None:
        reader = asyncio.StreamReader(limit=MAX_HEAD)
        super().__init__(reader, self._met)
        self._upstream = upstream
        self._exchange: Exchange | None = None

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._exchange = Exchange(reader, writer)
        self._upstream.meet(self._exchange)

    def eof_received(self) -> bool | None:
        self._gone()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        super().connection_lost(exc)

    def _gone(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        exchange.gone.set()
        if exchange.seen is not None and exchange.seen.hung_up_at is None:
            exchange.seen.hung_up_at = asyncio.get_running_loop().time()


class ScriptedUpstream:
    """A server on 127.0.0.1 and a free port; an async context manager, at home in the loop that enters it.

    Attributes:
        seen: every request, in order of its head's arrival.
        accepted: connections so far.
        open: connections now.
        port: where it listens.
        origin: `http://127.0.0.1:port`, `https://localhost:port` with TLS.
    """

    def __init__(
        self,
        *scripts: Script | Action,
        choose: Callable[[Seen], Script | Action] | None = None,
        greeting: Script = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """*choose* replaces *scripts*, and is asked for each request; *greeting* is played on each new connection."""
        self._scripts = [_script(each) for each in scripts]
        self._choose = choose
        self._greeting = greeting
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen: list[Seen] = []
        self.accepted = 0
        self.open = 0
        self.port = 0

    @property
    def origin(self) -> str:
        """As `UpstreamRequest.origin`."""
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    @property
    def sent(self) -> int:
        """Bytes of all answers."""
        return sum(seen.sent for seen in self.seen)

    async def __aenter__(self) -> "ScriptedUpstream":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Watching(self), "127.0.0.1", 0, ssl=self._tls, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def meet(self, exchange: Exchange) -> None:
        """A client has connected."""
        task = asyncio.get_running_loop().create_task(self._serve(exchange, self.accepted))
        self.accepted += 1
        self.open += 1
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, exchange: Exchange, connection: int) -> None:
        try:
            # What a client does to a connection is the tests' business; here it only ends it.
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                for action in self._greeting:
                    await action.play(exchange)
                while not exchange.over and not exchange.writer.is_closing():
                    await self._answer(exchange, connection)
        finally:
            self.open -= 1
            await _closed(exchange.writer)

    async def _answer(self, exchange: Exchange, connection: int) -> None:
        head = await exchange.reader.readuntil(b"\r\n\r\n")
        seen = exchange.seen = Seen(connection, head)
        self.seen.append(seen)
        if self._choose is not None:
            await exchange.read_body()
            script = _script(self._choose(seen))
        else:
            script = self._scripts[min(len(self.seen), len(self._scripts)) - 1]
            if not isinstance(script[0] if script else None, ReadHead):
                await exchange.read_body()
        for action in script:
            await action.play(exchange)


def _script(each: Script | Action) -> Script:
    return each if isinstance(each, Sequence) else [each]


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Let what was written leave, for a moment, and close."""
    with suppress(OSError, TimeoutError, asyncio.CancelledError):
        writer.close()
        async with asyncio.timeout(0.5):
            await writer.wait_closed()
    writer.transport.abort()
