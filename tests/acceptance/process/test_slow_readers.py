"""A client that stops reading costs little memory, however fast its provider sends.

Responses are left out: their last events repeat the whole text, which is kept for them.
"""

import asyncio
import json
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from served import SECRET, configure, serving

STREAMS = 20
KIB_PER_STREAM = 256
CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"content":"' + b"x" * 60 + b'"}}]}\n\n'
)
BLOCK = b"%x\r\n%s\r\n" % (len(CHUNK) * 400, CHUNK * 400)
BLOCKS = 1000  # some 60 MB for each stream

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider that sends as fast as it may."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(BLOCKS):
            writer.write(BLOCK)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("path", "relay"),
    [("/v1/chat/completions", "auto"), ("/v1/chat/completions", "never"), ("/v1/messages", "never")],
    ids=["relayed", "translated", "messages"],
)
async def test_a_client_that_does_not_read_costs_little(tmp_path: Path, path: str, relay: str) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(flood(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    provider = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = provider.sockets[0].getsockname()[1]
    configure(
        tmp_path,
        server={"relay": relay},
        providers={
            "acme": {
                "base_url": f"http://127.0.0.1:{port}/v1",
                "dialect": "chat",
                "credentials": [{"api_key": "sk-fake-acme"}],
            }
        },
        models={"acme/m": {"endpoints": [{"provider": "acme", "upstream_model": "m"}]}},
    )
    turn = {"role": "user", "content": "x"}
    body = json.dumps({"model": "acme/m", "stream": True, "messages": [turn], "max_tokens": 9}).encode()
    lines = (
        f"POST {path} HTTP/1.1",
        "host: a",
        f"authorization: Bearer {SECRET}",
        f"content-length: {len(body)}",
        "",
        "",
    )
    head = "\r\n".join(lines)
    with serving(tmp_path) as served, ExitStack() as sockets:
        sockets.callback(provider.close)
        sockets.callback(lambda: [task.cancel() for task in tasks])
        await asyncio.sleep(0.5)
        before = resident_kib(served.process.pid)
        clients = [sockets.enter_context(socket.socket()) for _ in range(STREAMS)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            client.connect(("127.0.0.1", served.port))
            client.sendall(head.encode() + body)
        most = before
        for _ in range(30):
            await asyncio.sleep(0.1)
            most = max(most, resident_kib(served.process.pid))
        last = clients[-1]
        last.setblocking(False)
        async with asyncio.timeout(30):
            assert await asyncio.get_running_loop().sock_recv(last, 12) == b"HTTP/1.1 200"
        served.kill()  # it would wait for its streams
        assert (most - before) / STREAMS <= KIB_PER_STREAM
