"""Benchmark of the gateway's overhead on this machine: `make bench`.

It takes under a minute and uses loopback only, with bounded counts.

Starts a mock provider and a gateway with a temporary database, sends both the same requests and prints a comparison.
Client, provider and gateway are Python and share the machine's cores, so throughput is a lower bound; CPU time per
request is the most comparable figure between runs. docs/performance.md describes the method that compares with nginx.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

PIECES = 200
"""Number of pieces of a burst."""
PACED_PIECES = 50
PACE_S = 0.02
CONNECTIONS = 32
PHASE_S = 6.0
"""The maximum duration of one measurement; a slow machine makes fewer requests."""
START_S = 20.0
SECRET = "sk-bench-0123456789abcdef0123456789"  # noqa: S105 - of a gateway that lives for a minute
PROMPT = "Say how a gateway for language models should behave when one of its providers fails. " * 22

CONFIGURATION = """\
server: {{host: 127.0.0.1, port: 0}}
storage: {{url: "sqlite:///{folder}/bench.db"}}
keys: [{{name: bench, secret: {secret}, limit_usd: 1000}}]
providers:
  mock: {{base_url: "http://127.0.0.1:{port}/v1", credentials: [{{api_key: sk-mock}}], models: listed}}
models:
"""
MODEL = """\
  bench/{name}: {{endpoints: [{{provider: mock, upstream_model: {name}, max_output: 1000, \
price: {{prompt: 1, completion: 2}}}}]}}
"""
KINDS = ("json", "burst", "paced")


# ── The provider ─────────────────────────────────────────────────────────────────────────────────────────────────────


def frame(text: str, reason: str | None = None) -> bytes:
    """One piece of a stream as an HTTP chunk."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": reason}
    head = {"id": "mock-1", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": [choice]}
    return chunk(b"data: %s\n\n" % json.dumps(head, separators=(",", ":")).encode())


def chunk(data: bytes) -> bytes:
    """*data* as an HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


USAGE = {"prompt_tokens": 400, "completion_tokens": 200, "total_tokens": 600}
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = (
    frame("", "stop")
    + chunk(b"data: %s\n\n" % json.dumps({"id": "mock-1", "model": "mock", "choices": [], "usage": USAGE}).encode())
    + chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)
BURST = STREAM_HEAD + b"".join(frame(f"piece {at} ") for at in range(PIECES)) + STREAM_END
_BODY = json.dumps(
    {
        "id": "mock-1",
        "object": "chat.completion",
        "created": 1,
        "model": "mock",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 200}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)

_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class Provider(asyncio.Protocol):
    """A mock provider that selects the response by the model's name: `json`, `burst`, `paced`."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(rest) < int(length[1]):
            return
        self._buffer = b""
        assert self._transport is not None
        model = json.loads(rest)["model"]
        if model == "paced":
            self._transport.write(STREAM_HEAD)
            self._pace(0)
        else:
            self._transport.write(BURST if model == "burst" else JSON)

    def _pace(self, at: int) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if at == PACED_PIECES:
            self._transport.write(STREAM_END)
            return
        self._transport.write(frame(f"t={time.monotonic_ns()};"))
        asyncio.get_running_loop().call_later(PACE_S, self._pace, at + 1)


async def provide() -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


# ── The client ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Failed(Exception):
    """A response is not the expected one."""


_SENT = re.compile(rb"t=([0-9]+);")


class Client(asyncio.Protocol):
    """One connection with one request at a time. `late_s` collects the transit times of pieces of paced streams."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[None] | None = None
        self._buffer = b""
        self.late_s: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Failed("the connection was closed"))

    async def ask(self, request: bytes) -> None:
        """Send *request*, and wait for the whole answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._transport.write(request)
        await self._answer

    def data_received(self, data: bytes) -> None:
        if b"t=" in data:
            now = time.monotonic_ns()
            self.late_s += [(now - int(sent)) / 1e9 for sent in _SENT.findall(data)]
        self._buffer += data
        answer = self._answer
        if answer is None or answer.done() or not self._whole():
            return
        if self._buffer.startswith(b"HTTP/1.1 200"):
            answer.set_result(None)
        else:
            answer.set_exception(Failed(self._buffer[:300].decode("latin-1")))

    def _whole(self) -> bool:
        if self._buffer.endswith(b"0\r\n\r\n"):
            return True
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head) if found else None
        return length is not None and len(body) >= int(length[1])

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass(frozen=True)
class Side:
    """The target of requests: the provider itself, or the gateway in front of it."""

    name: str
    port: int
    prefix: str
    pid: int

    def request(self, kind: str) -> bytes:
        body = json.dumps(
            {
                "model": f"{self.prefix}{kind}",
                "stream": kind != "json",
                "max_tokens": 500,
                "messages": [{"role": "user", "content": PROMPT}],
            }
        ).encode()
        return (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer %s\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (SECRET.encode(), len(body), body)
        )

    async def connect(self, count: int) -> list[Client]:
        loop = asyncio.get_running_loop()
        return [(await loop.create_connection(Client, "127.0.0.1", self.port))[1] for _ in range(count)]

    def cpu_s(self) -> float | None:
        """CPU time of its process so far; None where the system does not report it."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """The result of one measurement. Times are in seconds."""

    done: int = 0
    took_s: float = 0.0
    cpu_s: float | None = None
    late_s: list[float] = field(default_factory=list[float])

    @property
    def rate(self) -> float:
        return self.done / self.took_s

    def cpu_us(self) -> str:
        return "-" if self.cpu_s is None else f"{self.cpu_s / self.done * 1e6:.0f}"


async def in_turn(sides: list[Side], count: int) -> dict[str, list[float]]:
    """One connection to each of *sides*, with alternating requests, so that both see the same machine."""
    clients = [(side, (await side.connect(1))[0], side.request("json")) for side in sides]
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    end = time.perf_counter() + PHASE_S
    for at in range(count + 50):
        for side, client, request in clients:
            begun = time.perf_counter()
            await client.ask(request)
            if at >= 50:  # the first ones warm up
                times[side.name].append(time.perf_counter() - begun)
        if time.perf_counter() > end:
            break
    for _, client, _ in clients:
        client.close()
    return times


async def at_once(side: Side, kind: str, connections: int, count: int) -> Run:
    """*count* requests over *connections*, each sending the next after its response."""
    clients = await side.connect(connections)
    request = side.request(kind)
    await asyncio.gather(*(client.ask(request) for client in clients))
    for client in clients:
        client.late_s.clear()
    run, left = Run(), count
    cpu_s, begun = side.cpu_s(), time.perf_counter()

    async def work(client: Client) -> None:
        nonlocal left
        while left > 0 and time.perf_counter() - begun < PHASE_S:
            left -= 1
            await client.ask(request)
            run.done += 1

    await asyncio.gather(*(work(client) for client in clients))
    run.took_s = time.perf_counter() - begun
    after_s = side.cpu_s()
    run.cpu_s = None if cpu_s is None or after_s is None else after_s - cpu_s
    for client in clients:
        run.late_s += client.late_s
        client.close()
    return run


# ── The whole ────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def process(arguments: list[str], folder: Path, ready: Callable[[str], int | None]) -> Generator[tuple[int, int]]:
    """Start a process and end it with the block: its id and its port, which *ready* parses from its output."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    errors = folder / "errors.txt"
    with errors.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert child.stdout is not None
        port: int | None = None
        end = time.monotonic() + START_S
        while port is None and time.monotonic() < end:
            line = child.stdout.readline()
            if not line:
                break
            port = ready(line)
        if port is None:
            raise SystemExit(f"{' '.join(arguments[:2])} did not start:\n{errors.read_text()[-2000:]}")
        yield child.pid, port
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            pipe.close()


def listens(line: str) -> int | None:
    """The port in the gateway's first line of output."""
    found = re.search(r"listens on http://127\.0\.0\.1:([0-9]+)", line)
    return None if found is None else int(found[1])


def percentiles_ms(times: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile, in milliseconds."""
    cuts = quantiles(times, n=100)
    return cuts[49] * 1e3, cuts[98] * 1e3


def row(what: str, *cells: str) -> None:
    print(f"{what:<38}" + "".join(f"{cell:>14}" for cell in cells))


async def measure(bare: Side, gateway: Side, scale: float) -> None:
    """Run all measurements in order and print the table."""

    def count(full: int) -> int:
        return max(CONNECTIONS, int(full * scale))

    row("", "provider", "gateway", "added")
    times = await in_turn([bare, gateway], count(2000))
    (bare_50, bare_99), (ours_50, ours_99) = percentiles_ms(times["provider"]), percentiles_ms(times["gateway"])
    row("JSON, 1 connection, median, ms", f"{bare_50:.3f}", f"{ours_50:.3f}", f"{ours_50 - bare_50:.3f}")
    row("JSON, 1 connection, 99 %, ms", f"{bare_99:.3f}", f"{ours_99:.3f}", f"{ours_99 - bare_99:.3f}")
    for kind, full, unit in (("json", 10_000, "JSON"), ("burst", 2000, f"burst of {PIECES} pieces")):
        runs = [await at_once(side, kind, CONNECTIONS, count(full)) for side in (bare, gateway)]
        row(f"{unit}, {CONNECTIONS} connections, 1/s", *(f"{run.rate:.0f}" for run in runs), "")
        row("  processor time for each, µs", *(run.cpu_us() for run in runs), "")
    runs = [await at_once(side, "paced", CONNECTIONS, CONNECTIONS * 3) for side in (bare, gateway)]
    found = [percentiles_ms(run.late_s) for run in runs]
    for at, name in ((0, "median"), (1, "99 %")):
        cells = [pair[at] for pair in found]
        row(f"paced, a piece's way, {name}, ms", *(f"{cell:.3f}" for cell in cells), f"{cells[1] - cells[0]:.3f}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench.py", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="how many requests to make, 1 being the usual number")
    parser.add_argument("--relay", choices=("auto", "never"), default="auto", help="the gateway's server.relay")
    parser.add_argument("--provide", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.provide:
        asyncio.run(provide())
        return 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name:
        folder = Path(name)
        here = str(Path(__file__).resolve())
        with process([here, "--provide"], folder, int) as (mock_pid, mock_port):
            text = CONFIGURATION.format(folder=folder, secret=SECRET, port=mock_port)
            text = text.replace("port: 0}", f"port: 0, relay: {options.relay}}}", 1)
            file = folder / "bench.yaml"
            file.write_text(text + "".join(MODEL.format(name=kind) for kind in KINDS), "utf-8")
            serve = ["-m", "trunkline.cli", "serve", "--config", str(file)]
            with process(serve, folder, listens) as (pid, port):
                bare = Side("provider", mock_port, "", mock_pid)
                try:
                    asyncio.run(measure(bare, Side("gateway", port, "bench/", pid), options.scale))
                except Failed as error:
                    print(
                        f"an answer was wrong: {error}\n{(folder / 'errors.txt').read_text()[-2000:]}", file=sys.stderr
                    )
                    return 1
    version = ".".join(str(part) for part in sys.version_info[:3])
    print(f"\nPython {version}, {os.cpu_count()} cores, {time.monotonic() - begun:.0f} s. See docs/performance.md.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
