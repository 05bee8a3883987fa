"""Malformed requests are answered as nginx answers them, or more strictly."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from faults_wire import Gateway
from malformed import CASES, Case

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
 access_log off;
 client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
 uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
 server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{upstream}; }} }}
}}
"""


async def status(port: int, raw: bytes) -> int:
    """The status of the answer to *raw*; 0 where there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                writer.write(raw)
                line = await reader.readline()
                return int(line.split(b" ")[1]) if line.startswith(b"HTTP/") else 0
        return 0
    finally:
        writer.close()


async def test_malformed_requests_are_answered_as_the_table_says(gateway: Gateway) -> None:
    async with gateway() as running:
        found = {case.name: await status(running.port, case.raw) for case in CASES}
    assert found == {case.name: case.expected for case in CASES}


def test_differences_from_nginx_are_refusals() -> None:
    """Where the answers differ, ours refuses what nginx lets pass, or both refuse; one exception follows the RFC."""
    for case in CASES:
        if case.ours is not None:
            assert case.why
            assert case.ours >= 400 or case.name == "chunked with a tab"


@contextlib.asynccontextmanager
async def nginx(folder: Path) -> AsyncGenerator[int]:
    """An nginx before an upstream that answers 200 to everything; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    upstream = await asyncio.start_server(answer, "127.0.0.1", 0)
    text = NGINX.format(folder=folder, port=port, upstream=upstream.sockets[0].getsockname()[1])
    (folder / "nginx.conf").write_text(text)
    process = await asyncio.create_subprocess_exec("nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder))
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    if await status(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == 200:
                        break
                except OSError:
                    pass
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()
        upstream.close()


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx to compare the table with")
async def test_the_table_says_what_nginx_answers(tmp_path: Path) -> None:
    async with nginx(tmp_path) as port:
        found = {case.name: await status(port, case.raw) for case in CASES}

    def differs(case: Case) -> bool:
        return found[case.name] != case.nginx

    assert [(case.name, found[case.name]) for case in CASES if differs(case)] == []
