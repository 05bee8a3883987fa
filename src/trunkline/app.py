"""Everything wired: settings in, a running gateway out.

`build` opens the parts in order and closes them in reverse; tests hand in their own ports. `serve` is what the command
line calls: it makes the first key, listens, reloads the configuration when it changes, and ends gracefully.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from random import random
from secrets import token_hex
from typing import Any

import uvicorn
from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError

from trunkline import __version__
from trunkline.catalog.models import Catalog, Lists
from trunkline.catalog.probe import PROBE_TIMEOUTS, answering
from trunkline.catalog.refresh import fetch_with, probe, refresh
from trunkline.ledger.budget import Budgets
from trunkline.model.errors import TrunklineError
from trunkline.model.facts import Fact, Rested
from trunkline.observe.metrics import Metrics
from trunkline.ports import AnswerCache, Clock, DirectTransport
from trunkline.providers.authority import Authority
from trunkline.routing.order import Draw
from trunkline.server.http import Connection, Timekeeper
from trunkline.server.inference import Ids
from trunkline.server.site import GatewaySite
from trunkline.server.state import State
from trunkline.server.workers import Workers
from trunkline.settings import ConfigError, Settings, load, with_server
from trunkline.storage.answer_cache import MemoryAnswerCache
from trunkline.storage.database import DatabaseUnusable, open_database
from trunkline.storage.flusher import Flusher
from trunkline.storage.generations import GenerationStore
from trunkline.storage.idempotency import RENEW_S, IdempotencyStore
from trunkline.storage.journal import FileJournal
from trunkline.storage.keys import KeyRing
from trunkline.storage.presets import PresetStore
from trunkline.storage.shared import SharedFacts
from trunkline.upstream.answer import Exchanges
from trunkline.upstream.demo import DemoTransport, Switch
from trunkline.upstream.health import Credentials
from trunkline.upstream.http1 import Http1Transport
from trunkline.upstream.proxy import Proxies
from trunkline.upstream.router import Memory, Router, memory
from trunkline.upstream.scrub import Scrubber
from trunkline.upstream.targets import Targets
from trunkline.upstream.thoughts import ThoughtMemory
from trunkline.upstream.turns import Turns

REFRESH_MODELS_S = 600.0
SWEEP_S = 3600.0
"""How often kept answers that have expired are deleted."""
WATCH_S = 1.0
"""How often the keys and the configuration file are looked at."""
BACKLOG = 4096
YOUNG_OBJECTS = 20_000
"""Objects made and not yet gone before the collector looks: some megabytes."""

logger = logging.getLogger("trunkline")


class SystemClock:
    """The port `Clock`: the system's functions themselves, since a request asks some ten times."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class Parts(Struct, frozen=True, kw_only=True):
    """What stays when the configuration changes."""

    clock: Clock
    transport: DirectTransport
    authority: Authority
    credentials: Credentials
    keys: KeyRing
    answers: MemoryAnswerCache
    budgets: Budgets
    store: GenerationStore
    journal: FileJournal
    flusher: Flusher
    thoughts: ThoughtMemory
    memory: Memory
    draw: Draw
    metrics: Metrics
    turns: Turns
    shared: SharedFacts | None = None


class App:
    """A running gateway: its state, its site, and what may change while it runs."""

    def __init__(
        self,
        settings: Settings,
        *,
        state: State,
        site: GatewaySite,
        parts: "Parts",
        environ: Mapping[str, str],
    ) -> None:
        self.settings = settings
        self.state = state
        self.site = site
        self._parts = parts
        self._environ = environ
        self._lists: Lists = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin what goes on in the background."""
        self._tasks = [
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._discover_forever()),
            asyncio.create_task(self._keep_answers()),
            asyncio.create_task(self._probe_forever()),
        ]

    async def stop(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def apply(self, settings: Settings) -> None:
        """Serve by *settings* from the next request on. Requests under way end by the old ones."""
        old = self.settings
        for name in ("host", "port", "workers"):
            now, said = getattr(old.server, name), getattr(settings.server, name)
            if now != said:
                logger.warning("server.%s is %s until a restart; the configuration says %s", name, now, said)
        settings = _as_started(settings, old)
        if old.storage != settings.storage:
            logger.warning("storage has changed; that needs a restart")
        if old.shared_state != settings.shared_state:
            logger.warning("shared_state has changed; that needs a restart")
        self.settings = settings
        declare(self._parts.keys, settings)
        self.site.settings = settings.server
        self.state.auth_required = settings.auth.required
        cache = settings.response_cache
        self.state.max_answer_bytes = cache.max_answer_bytes
        self._parts.answers.limit(max_bytes=cache.max_bytes, max_answers=cache.max_answers)
        self._rebuild()

    def _rebuild(self) -> None:
        catalog = self.settings.catalog(self._lists, now=self.state.clock.now())
        self.state.catalog = catalog
        self.state.exchanges = exchanges(self.settings, catalog, self._parts)

    def reload(self) -> None:
        """Read the configuration file again. A wrong one is refused, loudly, and the old one stays."""
        try:
            settings = load(self.settings.file, self._environ)
        except ConfigError as error:
            logger.error("the configuration was NOT reloaded: %s", error)
            return
        self.apply(settings)
        logger.info("the configuration was reloaded")

    async def discover(self) -> None:
        """Ask the providers for their models, and serve what they have."""
        fetch = fetch_with(self._parts.transport)
        settings = self.settings
        authority = self._parts.authority
        lists = {**self._lists, **await probe(settings.candidates, fetch, authority)}
        lists = await refresh(settings.providers.values(), fetch, authority, lists)
        if lists != self._lists:
            self._lists = lists
            self._rebuild()

    async def _discover_forever(self) -> None:
        while True:
            try:
                await self.discover()
            except TrunklineError as error:
                logger.warning("providers could not be asked for their models: %s", error)
            await asyncio.sleep(REFRESH_MODELS_S)

    async def _probe_forever(self) -> None:
        """Ask providers in trouble whether they are there again."""
        fetch = fetch_with(self._parts.transport, PROBE_TIMEOUTS)
        while True:
            await asyncio.sleep(self.settings.routing.probe_s or REFRESH_MODELS_S)
            router = self.state.exchanges.router
            troubled = router.troubled() if self.settings.routing.probe_s else []
            if not troubled:
                continue
            providers = self.state.catalog.providers
            slugs = sorted({endpoint.provider for endpoint in troubled})
            back = await answering([providers[slug] for slug in slugs], fetch, self._parts.authority)
            for endpoint in troubled:
                if endpoint.provider in back:
                    router.recovered(endpoint)

    async def _keep_answers(self) -> None:
        """Renew the leases of idempotency keys that run here, and delete answers that are kept long enough."""
        store, clock = self.state.idempotency, self.state.clock
        swept: float | None = None
        while True:
            try:
                await store.renew(clock.now())
                if swept is None or clock.monotonic() - swept >= SWEEP_S:
                    await store.sweep(clock.now())
                    swept = clock.monotonic()
            except SQLAlchemyError as error:
                logger.warning("idempotency keys could not be renewed: %s", type(error).__name__)
            await asyncio.sleep(RENEW_S)

    async def _watch(self) -> None:
        """Keys that a command made or revoked, presets and spending of other workers, and the configuration file."""
        seen = _stamp(self.settings.file)
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await self._parts.keys.refresh()
                await self.state.presets.refresh()
                if self.settings.server.workers > 1:
                    await self._parts.store.refresh(self._parts.budgets)
            except SQLAlchemyError as error:
                logger.warning("keys, presets and spending could not be read: %s", type(error).__name__)
            stamp = _stamp(self.settings.file)
            if stamp is not None and stamp != seen:
                seen = stamp
                self.reload()


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    """What changes when *file* does; None where there is none to look at."""
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _as_started(settings: Settings, old: Settings) -> Settings:
    """*settings* with what cannot change while it runs, and what the command line said."""
    server = old.server
    return with_server(settings, host=server.host, port=server.port, workers=server.workers)


def declare(keys: KeyRing, settings: Settings) -> None:
    """Take over the keys that the configuration declares."""
    keys.declare([(key.name, key.secret, key.limit, key.routing.policy("key")) for key in settings.keys])


def exchanges(settings: Settings, catalog: Catalog, parts: Parts) -> Exchanges:
    """The part of the gateway that a reload makes anew."""
    providers = dict(catalog.providers)
    metrics = parts.metrics
    credentials = [credential for provider in providers.values() for credential in provider.credentials]
    router = Router(
        catalog,
        settings.routing,
        memory=parts.memory,
        credentials=parts.credentials,
        monotonic=parts.clock.monotonic,
        draw=parts.draw,
        tell=None if parts.shared is None else parts.shared.tell,
    )
    secrets = [secret for credential in credentials for secret in credential.secrets]
    secrets += [key.secret for key in settings.keys]
    return Exchanges(
        transport=parts.transport,
        clock=parts.clock,
        journal=parts.journal,
        credentials=parts.credentials,
        targets=Targets(parts.authority),
        providers=providers,
        timeouts=settings.timeouts,
        scrubber=Scrubber(frozenset(secrets)),
        thoughts=parts.thoughts,
        relay=settings.server.relay == "auto",
        turns=parts.turns,
        settled=metrics.generation,
        attempt_failed=lambda provider, error: metrics.upstream_error(provider, type(error).__name__),
        router=router,
        max_attempts=settings.routing.max_attempts,
        hedge_after_s=settings.routing.hedge_after_s,
    )


@contextlib.asynccontextmanager
async def open_transport(clock: Clock | None = None, turns: Turns | None = None) -> AsyncGenerator[DirectTransport]:
    """The network and the demo provider, with proxies from the usual environment variables."""
    clock = clock or SystemClock()
    at_end = None if turns is None else turns.send
    network = Http1Transport(clock=clock, proxies=Proxies.from_environ(os.environ), at_end=at_end)
    transport = Switch(network, DemoTransport(clock))
    try:
        yield transport
    finally:
        await transport.close()


def journal_folder(url: str) -> Path:
    """Where the journal of the database at *url* lies: beside a file, else under `data/`."""
    _, slashes, path = url.partition(":///")
    return (Path(path).parent if slashes and path and url.startswith("sqlite") else Path("data")) / "journal"


@contextlib.asynccontextmanager
async def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    transport: DirectTransport | None = None,
    environ: Mapping[str, str] | None = None,
    draw: Draw = random,
) -> AsyncGenerator[App]:
    """A gateway with every part open; closed in reverse. Tests hand in their own *clock*, *transport* and *draw*.

    Raises:
        DatabaseUnusable: the database cannot be opened.
    """
    clock = clock or SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        database = await open_database(settings.storage.url)
        stack.push_async_callback(database.close)
        keys = KeyRing(database, clock)
        declare(keys, settings)
        await keys.load()
        presets = PresetStore(database, clock)
        await presets.refresh()
        journal = FileJournal(journal_folder(settings.storage.url))
        journal.open()
        stack.callback(journal.close)
        flusher = Flusher(database, journal)
        await flusher.start()
        stack.push_async_callback(flusher.stop)
        store = GenerationStore(database, clock, journal=journal, flusher=flusher, siblings=settings.server.workers > 1)
        cache = settings.response_cache
        answers = MemoryAnswerCache(clock.monotonic, max_bytes=cache.max_bytes, max_answers=cache.max_answers)
        budgets = Budgets()
        await store.refresh(budgets)
        turns = Turns(journal.write)
        if transport is None:
            transport = await stack.enter_async_context(open_transport(clock, turns))
        shared, kept = open_shared(settings, clock, answers)
        parts = Parts(
            clock=clock,
            transport=transport,
            authority=Authority(clock, transport),
            credentials=Credentials(clock.monotonic),
            keys=keys,
            answers=answers,
            budgets=budgets,
            store=store,
            journal=journal,
            flusher=flusher,
            thoughts=ThoughtMemory(clock.monotonic),
            memory=memory(),
            draw=draw,
            metrics=Metrics(),
            turns=turns,
            shared=shared,
        )
        catalog = settings.catalog(now=clock.now())
        state = State(
            clock=clock,
            keys=keys,
            budgets=budgets,
            generations=store,
            idempotency=IdempotencyStore(database),
            presets=presets,
            answers=kept,
            max_answer_bytes=cache.max_answer_bytes,
            metrics=parts.metrics,
            new_id=Ids(),
            catalog=catalog,
            exchanges=exchanges(settings, catalog, parts),
            auth_required=settings.auth.required,
            unready=lambda: None if journal.healthy else "the server cannot record usage now",
        )
        site = GatewaySite(state, settings.server)
        parts.metrics.gauges += [
            ("trunkline_connections", "Client connections.", lambda: len(site.connections)),
            ("trunkline_journal_pending", "Records that wait for the database.", lambda: journal.pending),
            ("trunkline_journal_healthy", "1 where the journal can be written.", lambda: int(journal.healthy)),
            ("trunkline_database_failing", "1 while the database takes nothing.", lambda: int(flusher.failing)),
            ("trunkline_response_cache_bytes", "What the response cache holds.", lambda: answers.size),
            ("trunkline_response_cache_answers", "How many answers the response cache holds.", lambda: len(answers)),
            (
                "trunkline_credentials_refused",
                "Answers that refused one of our credentials.",
                lambda: parts.credentials.quarantined,
            ),
        ]
        if shared is not None:
            stack.push_async_callback(shared.close)
            await share(shared, state, parts)
        app = App(settings, state=state, site=site, parts=parts, environ=os.environ if environ is None else environ)
        app.start()
        stack.push_async_callback(app.stop)
        yield app


def open_shared(settings: Settings, clock: Clock, answers: MemoryAnswerCache) -> tuple[SharedFacts | None, AnswerCache]:
    """What this process, a replica like any other, shares with them, and where answers are kept: *answers* if alone."""
    if settings.shared_state.url is None:
        return None, answers
    from trunkline.storage.redis import RedisAnswerCache, RedisLog, open_redis

    redis = open_redis(settings.shared_state.url)
    shared = SharedFacts(RedisLog(redis), monotonic=clock.monotonic, replica=token_hex(8))
    return shared, RedisAnswerCache(redis, lambda: shared.up and answers.keeps)


async def share(shared: SharedFacts, state: State, parts: Parts) -> None:
    """Tell what is seen here, learn what others saw, and say whether that works."""

    def learn(fact: Fact, age_s: float) -> None:
        if isinstance(fact, Rested):
            parts.credentials.learn(fact)
        else:
            state.exchanges.router.learn(fact, age_s)

    parts.credentials.tell = shared.tell
    state.sharing = lambda: shared.up
    parts.metrics.gauges.append(
        ("trunkline_shared_state_up", "1 while the shared state can be reached.", lambda: int(shared.up))
    )
    parts.metrics.counters += [
        ("trunkline_shared_facts_sent", "Facts that were told to the other replicas.", lambda: shared.sent),
        ("trunkline_shared_facts_received", "Facts that other replicas told.", lambda: shared.received),
        ("trunkline_shared_facts_dropped", "Facts that could not be told or read.", lambda: shared.dropped),
    ]
    await shared.open(learn)


class GatewayServer(uvicorn.Server):
    """uvicorn's server, with the gateway opened before it listens and closed after its last connection."""

    def __init__(self, settings: Settings, *, banner: Callable[[Settings, int], None] | None = None) -> None:
        config = uvicorn.Config(
            _never,
            host=settings.server.host,
            port=settings.server.port,
            loop="uvloop",
            http=self._protocol,  # type: ignore[arg-type]  # any callable with a protocol class's arguments will do
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=None,
        )
        super().__init__(config)
        self._settings = settings
        self._banner = banner
        self._stack = contextlib.AsyncExitStack()
        self._app: App | None = None
        self._keeper: Timekeeper | None = None
        self._hangup: Any = None

    def _protocol(self, **_: Any) -> Connection:
        assert self._app is not None
        return Connection(self._app.site, asyncio.get_running_loop())

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the gateway, then listen."""
        self._app = app = await self._stack.enter_async_context(build(self._settings))
        self.server_state.connections = app.site.connections  # type: ignore[assignment]  # our own protocol class
        self._keeper = Timekeeper(app.site, asyncio.get_running_loop())
        self._keeper.start()
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, app.reload)
        _settle()
        await super().startup(sockets=sockets)
        if self._banner is not None and self.started:
            self._banner(self._settings, self._port())

    def _port(self) -> int:
        for server in self.servers:
            for listener in server.sockets:
                return int(listener.getsockname()[1])
        return self._settings.server.port

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more, let running answers end within `drain_s`, flush the journal."""
        app = self._app
        assert app is not None
        app.state.draining = True
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        connections = app.site.connections
        for connection in tuple(connections):
            connection.shutdown()
        limit = app.settings.server.drain_s
        end = time.monotonic() + limit
        while connections and time.monotonic() < end and not self.force_exit:  # noqa: ASYNC110 - uvicorn sets a flag
            await asyncio.sleep(0.05)
        if connections:
            logger.warning("%d requests did not end within %g s and are broken off", len(connections), limit)
            for connection in tuple(connections):
                connection.cancel()
            end = time.monotonic() + 1.0
            while connections and time.monotonic() < end:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        for connection in tuple(connections):
            connection.abort()
        if self._keeper is not None:
            self._keeper.stop()
        await self._stack.aclose()
        # uvicorn would raise the signal again, and the exit code would be that of a killed process.
        self._captured_signals.clear()


def _settle() -> None:
    """Tell the collector what has proved itself: what exists now stays, and little of what comes is garbage in cycles.

    Requests end without cycles, failed ones too (see `model.errors.stripped`); records that wait for the database are
    what the collector would look at again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


async def _never(scope: Any, receive: Any, send: Any) -> None:
    """Uvicorn wants an application; our protocol class has its own."""
    raise AssertionError(scope, receive, send)


def serve(settings: Settings) -> int:
    """Serve until told to stop; the exit code. `settings.file` is watched where there is one."""
    _log_to_stderr()
    if not settings.auth.required and settings.server.host not in ("127.0.0.1", "::1", "localhost"):
        logger.warning("auth.required is false: whoever reaches %s can spend your money", settings.server.host)
    try:
        Proxies.from_environ(os.environ)
        listener = _listen(settings.server.host, settings.server.port)
        secret = asyncio.run(_first_key(settings))
    except (DatabaseUnusable, ValueError) as error:
        print(f"trunkline: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:
        where = f"{settings.server.host}:{settings.server.port}"
        print(f"trunkline: cannot listen on {where}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    banner = functools.partial(_say_hello, secret)
    if settings.server.workers == 1:
        server = GatewayServer(settings, banner=banner)
        server.run(sockets=[listener])
        return 0 if server.started else 1
    return _serve_many(settings, banner, listener)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    It comes before the first key is made: who cannot listen must not use that up.

    Raises:
        OSError: the address is taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


async def _first_key(settings: Settings) -> str | None:
    """Make the database, and on the very first start a key; its secret."""
    database = await open_database(settings.storage.url)
    try:
        keys = KeyRing(database, SystemClock())
        declare(keys, settings)
        await keys.load()
        return await keys.ensure_first_key()
    finally:
        await database.close()


def _serve_many(settings: Settings, banner: Callable[[Settings, int], None], listener: socket.socket) -> int:
    """Several processes on one socket; one that dies is started again."""
    banner(settings, int(listener.getsockname()[1]))
    many = settings.server.workers
    return Workers(many, functools.partial(_work, settings), listener, end_s=settings.server.drain_s).run()


def _work(settings: Settings, listener: socket.socket) -> None:
    """One worker process. One that is started again has to know what was reloaded since the first start."""
    _log_to_stderr()
    if settings.file is not None:
        try:
            settings = _as_started(load(settings.file, os.environ), settings)
        except ConfigError as error:
            logger.error("a worker starts with the configuration of the first start: %s", error)
    GatewayServer(settings).run(sockets=[listener])


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in ("uvicorn", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _say_hello(secret: str | None, settings: Settings, port: int) -> None:
    """What a newcomer needs: where it listens, the key made on the first start, and a command that works."""
    host = settings.server.host
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    address = f"http://{shown}:{port}"
    lines = [f"Trunkline {__version__} listens on {address}"]
    if secret is not None:
        lines += ["", f"A first key was made; keep it, it is not shown again:  {secret}"]
    header = ""
    if settings.auth.required:
        header = f" \\\n  -H 'Authorization: Bearer {secret or '<your key>'}'"
    body = '{"model": "demo/echo", "stream": true, "messages": [{"role": "user", "content": "Hello, Trunkline!"}]}'
    lines += [
        "",
        "Try it:",
        "",
        f"curl -N {address}/api/v1/chat/completions{header} \\",
        f"  -H 'Content-Type: application/json' -d '{body}'",
        "",
    ]
    if settings.auth.required and secret is None:
        lines += ["(A key for <your key>: trunkline keys create --name me)", ""]
    print("\n".join(lines), flush=True)  # noqa: T201
