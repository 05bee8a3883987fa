"""What the tests of the transport share."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from trunkline.ports import Timeouts, UpstreamRequest
from trunkline.testing.scripted import Action, Script, ScriptedUpstream
from trunkline.transport.client import Http1Transport
from trunkline.transport.response import Http1Response

HEAD = b"POST /v1/things HTTP/1.1\r\nhost: upstream\r\n"
BODY = b'{"model":"m"}'


class RealClock:
    """Time as it is."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def request(origin: str, body: bytes = BODY, head: bytes = HEAD, **timeouts: float) -> UpstreamRequest:
    return UpstreamRequest(origin=origin, head=head, body=body, timeouts=Timeouts(**timeouts))


@asynccontextmanager
async def transport(**options: Any) -> AsyncGenerator[Http1Transport]:
    """A transport that must leave nothing behind."""
    opened = Http1Transport(clock=RealClock(), **options)
    before = asyncio.all_tasks()
    try:
        yield opened
    finally:
        await opened.close()
    # Neither the upstream's nor those of the server below it; then there are none, for the transport makes none.
    theirs = ("ScriptedUpstream", "_carry", "_accept_connection")
    assert not [task for task in asyncio.all_tasks() - before if not any(each in repr(task) for each in theirs)]
    assert opened.connections_open == 0
    assert opened.connections_idle == 0
    assert not opened.active
    for pool in opened._pools.values():
        assert pool._open == 0
        assert not pool.waiters


@asynccontextmanager
async def pair(*scripts: Script | Action, **options: Any) -> AsyncGenerator[tuple[Http1Transport, ScriptedUpstream]]:
    """A transport and an upstream that follows *scripts*."""
    async with ScriptedUpstream(*scripts) as upstream, transport(**options) as ours:
        yield ours, upstream


async def pumped(response: Http1Response) -> list[bytes]:
    """The pieces that `pump` gives."""
    pieces: list[bytes] = []
    await response.pump(pieces.append)
    return pieces


async def until(condition: Any, within_s: float = 3.0) -> None:
    """Wait for *condition*, a function, to be true."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 conditions of all kinds
            await asyncio.sleep(0.005)
