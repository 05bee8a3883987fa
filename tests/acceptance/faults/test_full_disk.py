"""A disk that was full and has room again: the gateway notices by itself, without any request that it would serve."""

import asyncio
import errno
import os

import pytest
from faults_upstream import check_whole, good
from faults_wire import Gateway, Wire, ask, chat


async def readiness(port: int) -> int:
    async with await Wire.open(port) as wire:
        await wire.send(b"GET /health/ready HTTP/1.1\r\nhost: a\r\n\r\n")
        return (await wire.answer()).status


async def test_room_on_the_disk_is_noticed_without_traffic(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if "/journal/" in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            await ask(running.port, chat(stream=False))
            assert await readiness(running.port) == 503
            refused = await ask(running.port, chat(stream=False))
            assert refused.status == 503
            assert int(refused.headers["retry-after"]) > 0
            await asyncio.sleep(1.5)
            assert await readiness(running.port) == 503
            asked = len(upstream.seen)
        async with asyncio.timeout(2.0):
            while await readiness(running.port) != 200:  # noqa: ASYNC110 - the gateway tells nobody
                await asyncio.sleep(0.05)
        assert len(upstream.seen) == asked
        check_whole(await ask(running.port, chat(stream=False)), stream=False)
