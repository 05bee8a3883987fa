"""Memory does not grow with the number of requests. Source: docs/reference/reliability.md, G8; `make soak` runs it."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest
from served import SECRET, Served, configure, demo_model, records, serving, spending

WARM = 10_000
TOTAL = 100_000
CONNECTIONS = 8
GROWTH = 1.10
LIMIT_S = 540


def resident(served: Served) -> int:
    """Kilobytes of the server process that are in memory."""
    for line in Path(f"/proc/{served.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def descriptors(served: Served) -> int:
    return sum(1 for _ in Path(f"/proc/{served.process.pid}/fd").iterdir())


def request(*, stream: bool, leave: bool = False) -> bytes:
    asked = {"model": "acme/priced", "stream": stream, "messages": [{"role": "user", "content": "one two three"}]}
    body = json.dumps({**asked, "demo": {"interval_s": 0.01}} if leave else asked)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {SECRET}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


class Counter:
    """Requests that are left to make, and those made."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.made = 0

    def take(self) -> bool:
        self.left -= 1
        self.made += self.left >= 0
        return self.left >= 0


async def ask(port: int, counter: Counter) -> None:
    """Ask on one connection; one in twenty is given up in the middle, on a connection of its own."""
    body, stream, leave = request(stream=False), request(stream=True), request(stream=True, leave=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while counter.take():
        turn = counter.left
        if turn % 20 == 7:
            _, gone = await asyncio.open_connection("127.0.0.1", port)
            gone.write(leave)
            await asyncio.sleep(0.002)
            gone.transport.abort()
        elif turn % 2:
            writer.write(stream)
            answer = await reader.readuntil(b"0\r\n\r\n")
            assert b"data: [DONE]" in answer
        else:
            writer.write(body)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
    writer.close()


async def many(served: Served, count: int) -> int:
    counter = Counter(count)
    await asyncio.gather(*(ask(served.port, counter) for _ in range(CONNECTIONS)))
    return counter.made


@pytest.mark.soak
async def test_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path, models=demo_model())
    with serving(tmp_path) as served:
        async with asyncio.timeout(LIMIT_S):
            begun = time.monotonic()
            made = await many(served, WARM)
            await asyncio.sleep(2.0)  # the journal is flushed
            before, open_before = resident(served), descriptors(served)
            made += await many(served, TOTAL - WARM)
            seconds = time.monotonic() - begun
            await asyncio.sleep(2.0)
        after, open_after = resident(served), descriptors(served)
        with capsys.disabled():
            sys.stdout.write(f"\nRSS {before} kB after {WARM} requests, {after} kB after {TOTAL}; ")
            sys.stdout.write(f"fds {open_before}, {open_after}; {made / seconds:.0f} requests a second\n")
        assert served.stop() == 0
        assert "ERROR" not in served.log
        assert "CRITICAL" not in served.log
    assert made == TOTAL
    assert after < before * GROWTH
    assert abs(open_after - open_before) <= 5
    rows = records(tmp_path)
    assert len(rows) == len({row["id"] for row in rows})
    assert TOTAL * 0.94 < len(rows) <= TOTAL, "those that left may have left before they were read"
    assert sum(cost for cost, *_ in spending(tmp_path).values()) == sum(row["cost_pico"] for row in rows)
