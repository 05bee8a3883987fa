"""A Redis of a test's own, replicas that share it, and a client of theirs."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from trunkline.testing.gateway import KEY, MODEL, UPSTREAM_MODEL, RunningGateway, running_gateway, settings_for

AGREE_S = 1.0
"""How soon replicas are to know the same."""
BODY = {
    "id": "up-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}
PASSWORD = "s3cret-of-redis"


class RedisServer:
    """`redis-server` in *folder*, on a port of its own; it keeps nothing on the disk."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--requirepass", PASSWORD, "--dir", str(self._folder)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 10
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except RedisError:
                    assert time.monotonic() < end, (self._folder / "redis.log").read_text()
                    time.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def client(self) -> "Redis":
        """Somebody else who asks it."""
        return Redis.from_url(self.url)

    def entries(self, stream: str) -> list[bytes]:
        """What is in *stream*."""
        with self.client() as client:
            found: Any = client.xrange(stream)
        return [fields[b"e"] for _, fields in found]


@contextlib.contextmanager
def workers(folder: Path, many: int, shared_url: str) -> Generator[int, None, None]:
    """`trunkline serve` with *many* workers; its port."""
    settings = {"keys": [{"name": "tests", "secret": KEY}], "shared_state": {"url": shared_url}, "providers": {}}
    (folder / "trunkline.yaml").write_text(json.dumps(settings))
    main = [sys.executable, "-c", "from trunkline.cli import main; raise SystemExit(main())"]
    command = [*main, "serve", "--port", "0", "--workers", str(many)]
    with (folder / "served.txt").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        end = time.monotonic() + 30
        while (
            found := re.search(r"listens on http://127\.0\.0\.1:(\d+)", (folder / "served.txt").read_text())
        ) is None:
            assert process.poll() is None, (folder / "served.txt").read_text()
            assert time.monotonic() < end, "it does not listen"
            time.sleep(0.02)
        yield int(found[1])
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def program() -> str:
    """The server's program, or a skip."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        if os.environ.get("TRUNKLINE_REQUIRE_ALL"):
            pytest.fail("neither redis-server nor valkey-server is installed")
        pytest.skip("neither redis-server nor valkey-server is installed")
    return found


@contextlib.asynccontextmanager
async def replica(
    folder: Path, name: str, shared_url: str | None, providers: dict[str, str], **more: Any
) -> AsyncGenerator[RunningGateway]:
    """A gateway that shares; `MODEL` is at all *providers* (slug → origin), asked in their order, at one price."""
    price = {"prompt": 1, "completion": 2, "cache_read": 0.1}
    endpoints = [{"provider": slug, "upstream_model": UPSTREAM_MODEL, "price": price} for slug in providers]
    settings = settings_for(
        {slug: f"{origin}/v1" for slug, origin in providers.items()},
        models={MODEL: {"endpoints": endpoints}},
        shared_state={"url": shared_url},
        **more,
    )
    own = folder / name
    own.mkdir(exist_ok=True)
    async with running_gateway(settings, folder=own) as running:
        yield running


async def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body."""
    return await _exchange(port, f"GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n".encode())


async def chat(port: int, *, session: str = "", cache: bool = False, **more: Any) -> tuple[int, Any]:
    """Status and body of a request, for `MODEL` where *more* names no other."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], **more}).encode()
    head = "POST /api/v1/chat/completions HTTP/1.1\r\nhost: test\r\nconnection: close\r\n"
    head += f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n"
    head += f"x-session-id: {session}\r\n" if session else ""
    head += "x-openrouter-cache: true\r\n" if cache else ""
    status, answer = await _exchange(port, head.encode() + b"\r\n" + body)
    return status, json.loads(answer)


async def _exchange(port: int, request: bytes) -> tuple[int, bytes]:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    return int(head.split()[1]), body


async def metric(running: RunningGateway, name: str) -> float:
    """Of one that has no labels."""
    _, text = await get(running.port, "/metrics")
    return next(float(line.split()[1]) for line in text.decode().splitlines() if line.startswith(f"{name} "))


async def until(true: Callable[[], bool], limit_s: float = AGREE_S) -> None:
    """Wait until *true* is."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < limit_s, f"not within {limit_s} s"
        await asyncio.sleep(0.005)
