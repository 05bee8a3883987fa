"""A gateway in a process of its own, as an operator runs it, and a client that is nothing but bytes on a socket."""

import asyncio
import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAIN = (sys.executable, "-c", "from trunkline.cli import main; raise SystemExit(main())")
START_S = 30.0
"""A start takes half a second; on a machine that is busy with other tests, longer."""
ANSWER_S = 30.0
SECRET = "sk-test-acceptance-0123456789"


async def until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait until *true* is. Another process gives nothing that could be waited on."""
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def environ(**more: str) -> dict[str, str]:
    """Ours without providers' keys and proxies, so that nothing of this machine is asked."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH", "TMPDIR") if name in os.environ}
    # A port where nothing listens: the Ollama that a developer may have running is no part of these tests.
    return {**kept, "OLLAMA_HOST": "http://127.0.0.1:9", **more}


def run(folder: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """`trunkline` with *arguments*, in *folder*, to its end."""
    return subprocess.run(
        [*MAIN, *arguments],
        cwd=folder,
        env=environ(**more),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@dataclass
class Served:
    """A running `trunkline serve`; what it prints is in files."""

    folder: Path
    process: "subprocess.Popen[bytes]"
    out: Path
    err: Path
    port: int = 0

    @property
    def printed(self) -> str:
        return self.out.read_text()

    @property
    def log(self) -> str:
        return self.err.read_text()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, limit_s: float = 15.0) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(limit_s)

    def wait_for(self, what: str, limit_s: float = 10.0) -> str:
        """The log, once *what* (a regular expression) is in it."""
        end = time.monotonic() + limit_s
        while not re.search(what, self.log):
            assert time.monotonic() < end, f"{what!r} did not come; the log says:\n{self.log}"
            time.sleep(0.02)
        return self.log


def launch(folder: Path, *arguments: str, **more: str) -> Served:
    """Start `trunkline serve` in *folder* on a free port, and wait until it listens."""
    number = sum(1 for _ in folder.glob("out.*"))
    out, err = folder / f"out.{number}", folder / f"err.{number}"
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            [*MAIN, "serve", "--port", "0", *arguments],
            cwd=folder,
            env=environ(**more),
            stdin=subprocess.DEVNULL,
            stdout=to_out,
            stderr=to_err,
        )
    served = Served(folder, process, out, err)
    end = time.monotonic() + START_S
    # The banner's last line is written with the first: one write.
    while (found := re.search(r"listens on http://127\.0\.0\.1:(\d+)\n(?s:.*)-d '", served.printed)) is None:
        code = process.poll()
        assert code is None, f"it ended with {code}:\n{served.log}"
        if time.monotonic() > end:
            served.kill()
            raise AssertionError(f"it does not listen:\n{served.log}")
        time.sleep(0.01)
    served.port = int(found[1])
    return served


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, **more: str) -> Generator[Served, None, None]:
    """`launch`, and no process left behind."""
    served = launch(folder, *arguments, **more)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.process.terminate()
            try:
                served.process.wait(10)
            except subprocess.TimeoutExpired:
                served.kill()


def configure(folder: Path, **blocks: Any) -> Path:
    """Write `trunkline.yaml`: one declared key, and *blocks*. JSON is YAML."""
    file = folder / "trunkline.yaml"
    settings = {"keys": [{"name": "test", "secret": SECRET}], **blocks}
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(settings, indent=1))
    beside.replace(file)
    return file


def demo_model(name: str = "acme/priced", **more: Any) -> dict[str, Any]:
    """A `models` block: *name* served by the demo provider, at a price that makes every token count."""
    price = {"prompt": 1.0, "completion": 3.0}
    return {name: {"endpoints": [{"provider": "demo", "upstream_model": "echo", "price": price, **more}]}}


def records(folder: Path) -> list[dict[str, Any]]:
    """What the database has in `generations`, each row's columns and, in `data`, its record."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "trunkline.db", timeout=10)) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT * FROM generations").fetchall()
        return [{**dict(row), "data": json.loads(row["data"])} for row in rows]


def spending(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """`key_spend` by key: cost in pico-dollars, requests, prompt tokens, completion tokens."""
    query = (
        "SELECT key_id, sum(cost_pico), sum(requests), sum(prompt_tokens), sum(completion_tokens)"
        " FROM key_spend GROUP BY key_id"
    )
    with contextlib.closing(sqlite3.connect(folder / "data" / "trunkline.db", timeout=10)) as database:
        return {row[0]: (row[1], row[2], row[3], row[4]) for row in database.execute(query)}


def summed(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[int, int, int, int]]:
    """What `spending` must say where *rows* are the records."""
    sums: dict[str, tuple[int, int, int, int]] = {}
    for row in rows:
        before = sums.get(row["key_id"], (0, 0, 0, 0))
        one = (row["cost_pico"], 1, row["prompt_tokens"], row["completion_tokens"])
        sums[row["key_id"]] = (before[0] + one[0], before[1] + 1, before[2] + one[2], before[3] + one[3])
    return sums


def integrity(folder: Path) -> str:
    """SQLite's own opinion of the file."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "trunkline.db", timeout=10)) as database:
        return str(database.execute("PRAGMA integrity_check").fetchone()[0])


@dataclass
class Answer:
    """What came back, as far as it came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    """Whether its end, by length or by last chunk, was seen."""

    @property
    def id(self) -> str:
        return self.headers.get("x-generation-id", "")

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The stream's frames that are JSON."""
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line) for line in lines if line != b"[DONE]"]

    @property
    def done(self) -> bool:
        """Whether the stream's end was seen."""
        return self.body.endswith(b"data: [DONE]\n\n")

    @property
    def text(self) -> str:
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return str(self.json()["choices"][0]["message"]["content"])
        return "".join(choice["delta"].get("content") or "" for chunk in self.chunks for choice in chunk["choices"])

    @property
    def usage(self) -> dict[str, Any]:
        bodies = self.chunks if self.headers.get("content-type", "").startswith("text/event-stream") else [self.json()]
        found: list[dict[str, Any]] = [body["usage"] for body in bodies if body.get("usage")]
        assert len(found) == 1, f"{len(found)} usages"
        return found[0]


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int, secret: str = SECRET) -> None:
        self._port = port
        self._secret = secret
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: Any = None, answer: Answer | None = None) -> Answer:
        """POST *body*, or GET without one. *answer* fills while it arrives."""
        answer = Answer() if answer is None else answer
        async with asyncio.timeout(ANSWER_S):
            await self.send(path, body)
            await self.receive(answer)
        return answer

    async def chat(self, said: str, answer: Answer | None = None, **more: Any) -> Answer:
        """Ask `demo/echo`, or the model that *more* names."""
        body = {"model": "demo/echo", "messages": [{"role": "user", "content": said}], **more}
        return await self.ask("/api/v1/chat/completions", body, answer)

    async def send(self, path: str, body: Any = None) -> None:
        """The request alone."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {len(data)}\r\n"
        head += f"content-type: application/json\r\nauthorization: Bearer {self._secret}\r\n\r\n"
        self._writer.write(head.encode() + data)
        await self._writer.drain()

    async def receive(self, answer: Answer) -> None:
        """The answer alone.

        Raises:
            OSError, asyncio.IncompleteReadError: the connection ended before it did.
        """
        reader = self._reader
        assert reader is not None
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answer.status = int(head[0].split()[1])
        answer.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])
        }
        if "content-length" in answer.headers:
            left = int(answer.headers["content-length"])
            while left:
                piece = await reader.read(left)
                if not piece:
                    raise asyncio.IncompleteReadError(b"", left)
                answer.body += piece
                left -= len(piece)
        else:
            async for piece in _chunks(reader):
                answer.body += piece
        answer.ended = True
        if answer.headers.get("connection") == "close":
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def _chunks(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    """A chunked body."""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if not size:
            await reader.readuntil(b"\r\n")
            return
        yield await reader.readexactly(size)
        await reader.readexactly(2)


@contextlib.contextmanager
def client(port: int, secret: str = SECRET) -> Generator[Client, None, None]:
    """A connection that is closed in the end."""
    one = Client(port, secret)
    try:
        yield one
    finally:
        one.close()
