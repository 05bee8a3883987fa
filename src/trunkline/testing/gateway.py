"""A running gateway for tests: real sockets on the loopback interface, a real database file, the test's own loop.

    async with running_gateway(settings_for({"acme": upstream.url}), folder=tmp_path) as gateway:
        client = AsyncOpenAI(base_url=gateway.api, api_key=gateway.key, max_retries=0)
        …
        assert [record.status for record in await gateway.records()] == ["completed"]

It is put together as `trunkline.app` does it, without uvicorn's signals: those belong to the process that runs tests.
"""

import asyncio
import contextlib
import os
import sqlite3
import ssl
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import make_url, select

from trunkline.app.application import App, Parts
from trunkline.app.build import build
from trunkline.app.clock import SystemClock
from trunkline.engine.stages import Stage
from trunkline.model.record import GenerationRecord
from trunkline.plugins.order import STAGES
from trunkline.server.http.protocol import BACKLOG, Connection, ConnectionTimer
from trunkline.settings import Settings, parse
from trunkline.storage.config import StorageSettings
from trunkline.storage.database import open_database
from trunkline.storage.tables import GENERATIONS
from trunkline.transport.client import Http1Transport
from trunkline.transport.demo import DemoTransport, Switch
from trunkline.transport.tls import default_ssl_context

KEY = "sk-test-0123456789abcdef"
"""The client's key."""
PROVIDER_KEY = "sk-provider-SECRET-marker"
"""Ours at every provider of `settings_for`; followed by the provider's slug."""
MODEL = "acme/llama"
UPSTREAM_MODEL = "llama-upstream-name"
PRICE = {"prompt": 1, "completion": 2}
"""USD per million tokens."""


class RunningGateway:
    """A gateway that listens."""

    def __init__(self, app: App, url: str, network: Http1Transport) -> None:
        self.app = app
        self.url = url
        """`http://127.0.0.1:<port>`."""
        self.api = f"{url}/api/v1"
        """What official clients call the base URL."""
        self.key = KEY
        self.network = network
        """Towards providers; it knows how many connections are open."""

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self.url.rpartition(":")[2])

    @property
    def parts(self) -> Parts:
        """What a reload does not change: the journal, the database, the credentials, the metrics."""
        return self.app.parts

    @property
    def connections(self) -> set[Connection]:
        """Those of clients that are open."""
        return self.app.server.connections

    async def records(self) -> list[GenerationRecord]:
        """Every record there is, oldest first, as the database has them when the journal is empty."""
        await self.parts.flusher.flush()
        if self.parts.database.dialect != "sqlite":
            async with self.parts.database.read() as connection:
                found = await connection.scalars(select(GENERATIONS.c.data).order_by(GENERATIONS.c.created))
                return [msgspec.json.decode(data, type=GenerationRecord) for data in found]
        path = make_url(self.app.settings.storage.url).database or ""
        # Not through `open_database`: tests of many answers ask before and after each, and opening is most of it.
        with contextlib.closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT data FROM generations ORDER BY created").fetchall()
        return [msgspec.json.decode(row, type=GenerationRecord) for (row,) in rows]


def settings_for(
    providers: Mapping[str, str],
    *,
    provider: Mapping[str, Any] | None = None,
    timeouts: Mapping[str, float] | None = None,
    server: Mapping[str, Any] | None = None,
    **more: Any,
) -> Settings:
    """One model, `MODEL`, that can be had of *providers* (slug → base URL), which are asked in their order.

    *provider* holds further keys for each provider's block, *timeouts* and *server* are those blocks, and *more* is
    further blocks.
    """
    blocks = {
        slug: {"base_url": url, "credentials": [{"api_key": f"{PROVIDER_KEY}-{slug}"}], **(provider or {})}
        for slug, url in providers.items()
    }
    endpoints = [{"provider": slug, "upstream_model": UPSTREAM_MODEL, "price": PRICE} for slug in providers]
    configuration = {
        "keys": [{"name": "tests", "secret": KEY}],
        "providers": blocks,
        "models": {MODEL: {"endpoints": endpoints}} if providers else {},
        "timeouts": dict(timeouts or {}),
        "server": {"port": 0, **(server or {})},
        "routing": {"default_sort": "configured"},
        **more,
    }
    return parse(msgspec.json.encode(configuration), {})  # JSON is YAML


@contextlib.asynccontextmanager
async def running_gateway(
    settings: Settings | str,
    *,
    folder: Path,
    database_url: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    stages: Sequence[Stage] = STAGES,
) -> AsyncGenerator[RunningGateway]:
    """A gateway with *settings* (or a configuration file's text) that keeps its data in *folder* and takes a free port.

    *database_url* is used in place of a file in *folder*; the journal is then in the current folder. *ssl_context* is
    what upstreams' certificates are judged by; *stages* are installed in place of the gateway's own.
    """
    if isinstance(settings, str):
        settings = parse(settings.encode(), {})
    path = folder / "trunkline.db"
    storage = StorageSettings(url=database_url or f"sqlite:///{path}", timeout_s=settings.storage.timeout_s)
    settings = msgspec.structs.replace(settings, storage=storage)
    if database_url is None and not path.exists():
        empty = await asyncio.to_thread(_empty_database)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(empty)
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    network = Http1Transport(clock=clock, ssl_context=ssl_context or _authorities())
    transport = Switch(network, DemoTransport(clock))
    async with build(settings, clock=clock, transport=transport, environ={}, stages=stages) as app:
        keeper = ConnectionTimer(app.server, loop)
        keeper.start()
        server = await loop.create_server(lambda: Connection(app.server, loop), "127.0.0.1", 0, backlog=BACKLOG)
        port = server.sockets[0].getsockname()[1]
        try:
            yield RunningGateway(app, f"http://127.0.0.1:{port}", network)
        finally:
            server.close()
            keeper.stop()
            await _part(app)
            await transport.close()


async def _part(app: App) -> None:
    """Break off what clients still wait for; where that is nothing, there is nothing to wait for either."""
    if not app.server.connections and not app.state.metrics.in_flight:
        return
    for connection in tuple(app.server.connections):
        connection.cancel()
    await asyncio.sleep(0)
    for connection in tuple(app.server.connections):
        connection.abort()
    await asyncio.sleep(0.01)


@cache
def _authorities() -> ssl.SSLContext:
    """The default context, made once: it reads all of the system's authorities, and gateways for tests are many."""
    return default_ssl_context()


@cache
def _empty_database() -> bytes:
    """The file of a database that has its schema and no rows, for the same reason. Not to be called on a loop."""

    async def make(path: Path) -> None:
        await (await open_database(f"sqlite:///{path}")).close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunkline.db"
        asyncio.run(make(path))
        return path.read_bytes()
