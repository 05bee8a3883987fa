"""A client that writes and reads bytes, since those of libraries do nothing wrong."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from msgspec import Struct

from trunkline.testing.gateway import KEY, MODEL, RunningGateway

Gateway = Callable[..., AbstractAsyncContextManager[RunningGateway]]
"""The fixture `gateway`."""

DEADLINE_S = 10.0
"""For anything a test waits for. Nothing is timed by it; it only keeps a hung test from hanging the suite."""


class Answer(Struct, frozen=True):
    """What came back, its chunks joined."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True
    """Whether its framing says that nothing is missing."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        """The generation's."""
        return self.headers["x-generation-id"]

    @property
    def frames(self) -> list[Any]:
        """The data of a stream's events; `[DONE]` is itself, comments are left out."""
        found: list[Any] = []
        for block in self.body.decode().split("\n\n"):
            for line in block.split("\n"):
                if line.startswith("data: "):
                    data = line.removeprefix("data: ")
                    found.append(data if data == "[DONE]" else json.loads(data))
        return found


def chat(*, stream: bool, **more: Any) -> dict[str, Any]:
    """A request that is in order."""
    return {"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": "Say hello."}], **more}


def post(
    body: bytes | dict[str, Any], *headers: str, path: str = "/api/v1/chat/completions", length: bool = True
) -> bytes:
    """The bytes of a POST."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: gateway", f"authorization: Bearer {KEY}", *headers]
    if length:
        lines.append(f"content-length: {len(data)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


class Wire:
    """A connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, *, limit: int = 2**16) -> "Wire":
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=limit))

    async def __aenter__(self) -> "Wire":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, within_s: float = DEADLINE_S) -> Answer:
        """The next answer, `100 Continue` left out; what came of it where the connection ended inside it."""
        async with asyncio.timeout(within_s):
            head = await self.reader.readuntil(b"\r\n\r\n")
            while head.startswith(b"HTTP/1.1 100 "):
                head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines if line}
            body, whole = await self._body(headers)
        return Answer(int(first.split(" ")[1]), headers, body, whole)

    async def _body(self, headers: dict[str, str]) -> tuple[bytes, bool]:
        pieces: list[bytes] = []
        try:
            if headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    pieces.append((await self.reader.readexactly(size + 2))[:-2])
                await self.reader.readexactly(2)
                return b"".join(pieces), True
            if "content-length" in headers:
                return await self.reader.readexactly(int(headers["content-length"])), True
            return await self.reader.read(), True
        except asyncio.IncompleteReadError as error:
            return b"".join(pieces) + error.partial, False
        except ConnectionError:
            return b"".join(pieces), False

    async def ended(self, *, within_s: float = DEADLINE_S) -> bool:
        """Whether the gateway closes the connection; what it still sends is thrown away."""
        try:
            async with asyncio.timeout(within_s):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def reset(self) -> None:
        """Break off, now."""
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def ask(
    port: int, body: bytes | dict[str, Any], *headers: str, within_s: float = DEADLINE_S, **more: Any
) -> Answer:
    """One request on a connection of its own."""
    async with await Wire.open(port) as wire:
        await wire.send(post(body, *headers, **more))
        return await wire.answer(within_s=within_s)
