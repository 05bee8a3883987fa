"""Open the parts of a gateway in order, and close them in reverse. Tests pass their own ports."""

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from random import random
from secrets import token_hex

from trunkline.app.application import App, Parts
from trunkline.app.background import BackgroundTasks
from trunkline.app.clock import SystemClock
from trunkline.app.closing import Closing
from trunkline.app.reload import declare_keys, engine_context
from trunkline.app.supervisor import Supervisor
from trunkline.engine.credentials import Credentials
from trunkline.engine.router import memory
from trunkline.engine.signature_memory import SignatureMemory
from trunkline.engine.stages import Pipeline, Stage
from trunkline.ledger.budget import Budgets
from trunkline.model.replica_events import CredentialRested, ReplicaEvent
from trunkline.observe.metrics import Metrics
from trunkline.plugins.order import STAGES
from trunkline.ports import AnswerCache, Clock, DirectTransport
from trunkline.providers.authentication import Authenticator
from trunkline.routing.order import Draw
from trunkline.server.inference import Ids
from trunkline.server.routes import GatewayServer
from trunkline.server.state import State
from trunkline.settings import Settings
from trunkline.storage.answer_cache import MemoryAnswerCache
from trunkline.storage.database import Database, open_database
from trunkline.storage.database_leases import DatabaseLeases, database_id
from trunkline.storage.flusher import Flusher
from trunkline.storage.generations import GenerationStore
from trunkline.storage.idempotency import IdempotencyStore
from trunkline.storage.journal import FileJournal, journal_folder
from trunkline.storage.keys import KeyRing
from trunkline.storage.lease_keeper import LeaseKeeper
from trunkline.storage.lease_store import LeaseStore
from trunkline.storage.presets import PresetStore
from trunkline.storage.shared_facts import SharedFacts
from trunkline.transport.client import Http1Transport
from trunkline.transport.demo import DemoTransport, Switch
from trunkline.transport.proxy import Proxies
from trunkline.transport.write_batching import WriteBatcher

SHARE = 20
"""One part in so many of what is left of a key's limit is granted to a process at once, so that few requests wait."""
SHARE_ALONE = 2
"""As `SHARE`, where no other process is expected."""


@contextlib.asynccontextmanager
async def open_transport(
    clock: Clock | None = None, batcher: WriteBatcher | None = None
) -> AsyncGenerator[DirectTransport]:
    """Open the network client and the demo provider, with proxies from the usual environment variables."""
    clock = clock or SystemClock()
    schedule_write = None if batcher is None else batcher.send
    network = Http1Transport(clock=clock, proxies=Proxies.from_environ(os.environ), schedule_write=schedule_write)
    transport = Switch(network, DemoTransport(clock))
    try:
        yield transport
    finally:
        await transport.close()


@contextlib.asynccontextmanager
async def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    transport: DirectTransport | None = None,
    environ: Mapping[str, str] | None = None,
    draw: Draw = random,
    stages: Sequence[Stage] = STAGES,
) -> AsyncGenerator[App]:
    """Open a gateway; it closes when the context ends.

    Tests pass their own *clock*, *transport*, *draw* and *stages*.

    Raises:
        DatabaseUnusable, DatabaseUnavailable: the database cannot be opened.
    """
    clock = clock or SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        database = await open_database(settings.storage.url, settings.storage.timeout_s)
        closing, supervisor = Closing(), Supervisor()
        stack.push_async_callback(closing.close, "the database", database.close)
        keys = KeyRing(database, clock)
        declare_keys(keys, settings)
        await keys.load()
        presets = PresetStore(database, clock)
        await presets.refresh()
        journal = FileJournal(journal_folder(settings.storage.url))
        journal.open()
        stack.callback(journal.close)
        flusher = Flusher(database, journal, interrupted=settings.ledger.interrupted, spawn=supervisor.spawn)
        store = GenerationStore(database, clock, journal=journal, flusher=flusher, siblings=settings.server.workers > 1)
        cache = settings.response_cache
        answers = MemoryAnswerCache(clock.monotonic, max_bytes=cache.max_bytes, max_answers=cache.max_answers)
        budgets = Budgets(clock.monotonic)
        leases = LeaseKeeper(
            budgets,
            await open_lease_stores(settings, database, clock, journal.owner),
            store,
            holder=journal.owner,
            limited_keys=lambda: [key for key in keys.list() if key.limit is not None],
            monotonic=clock.monotonic,
        )
        stack.push_async_callback(closing.close, "the leases of limits", leases.stop)
        await flusher.start()
        stack.push_async_callback(closing.close, "the journal's flusher", flusher.stop)
        await store.refresh(budgets)
        await leases.start(flusher.dead)
        batcher = WriteBatcher(journal.write)
        if transport is None:
            transport = await stack.enter_async_context(open_transport(clock, batcher))
        shared, kept = open_shared(settings, clock, answers, supervisor)
        parts = Parts(
            clock=clock,
            transport=transport,
            authority=Authenticator(clock, transport),
            credentials=Credentials(clock.monotonic),
            keys=keys,
            answers=answers,
            budgets=budgets,
            leases=leases,
            database=database,
            journal=journal,
            flusher=flusher,
            signatures=SignatureMemory(clock.monotonic),
            memory=memory(),
            draw=draw,
            metrics=Metrics(),
            batcher=batcher,
            new_id=Ids(),
            pipeline=Pipeline(stages) if stages else None,
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
            new_id=parts.new_id,
            catalog=catalog,
            engine=engine_context(settings, catalog, parts),
            auth_required=settings.auth.required,
            presets_shared=settings.presets.shared,
            unready=lambda: None if journal.healthy else "the server cannot record usage now",
            failing_tasks=lambda: supervisor.failing,
        )
        server = GatewayServer(state, settings.server)
        add_gauges(parts, server)
        parts.metrics.labelled.append(
            ("trunkline_task_restarts", "Restarts of background tasks that failed.", "task", supervisor.restarts)
        )
        if shared is not None:
            stack.push_async_callback(closing.close, "the shared state", shared.close)
            await share(shared, state, parts)
        environ = os.environ if environ is None else environ
        app = App(settings=settings, state=state, server=server, parts=parts, closing=closing, environ=environ)
        stack.push_async_callback(closing.close, "the background tasks", supervisor.stop)
        BackgroundTasks(app).start(supervisor)
        yield app


async def open_lease_stores(
    settings: Settings, database: Database, clock: Clock, holder: str
) -> tuple[LeaseStore, ...]:
    """Open what processes share limits of keys by: the shared state if configured, else the database.

    A PostgreSQL database stands in for a shared state that is away: all replicas use it.
    """
    alone = settings.shared_state.url is None and settings.server.workers == 1 and database.dialect == "sqlite"
    share = SHARE_ALONE if alone else SHARE
    by_database = DatabaseLeases(database, now=clock.now, holder=holder, share=share)
    if settings.shared_state.url is None:
        return (by_database,)
    from trunkline.storage.redis import open_redis
    from trunkline.storage.redis_leases import RedisLeases

    name = await database_id(database)
    by_redis = RedisLeases(open_redis(settings.shared_state.url), holder=holder, database=name, share=share)
    return (by_redis, by_database) if database.dialect == "postgresql" else (by_redis,)


def add_gauges(parts: Parts, server: GatewayServer) -> None:
    """Add the values that are read from other parts at a scrape to the metrics."""
    journal, answers = parts.journal, parts.answers
    parts.metrics.gauges += [
        ("trunkline_connections", "Client connections.", lambda: len(server.connections)),
        ("trunkline_journal_pending", "Records that wait for the database.", lambda: journal.pending),
        ("trunkline_journal_healthy", "1 where the journal can be written.", lambda: int(journal.healthy)),
        ("trunkline_database_failing", "1 while the database takes nothing.", lambda: int(database_failing(parts))),
        ("trunkline_limits_failing", "1 while limits of keys cannot be checked.", lambda: int(parts.leases.failing)),
        ("trunkline_response_cache_bytes", "What the response cache holds.", lambda: answers.size),
        ("trunkline_response_cache_answers", "How many answers the response cache holds.", lambda: len(answers)),
        (
            "trunkline_credentials_refused",
            "Answers that refused one of our credentials.",
            lambda: parts.credentials.quarantined,
        ),
    ]


def database_failing(parts: Parts) -> bool:
    """Whether the database does not answer, or takes no records."""
    return parts.database.failing or parts.flusher.failing


def open_shared(
    settings: Settings, clock: Clock, answers: MemoryAnswerCache, supervisor: Supervisor
) -> tuple[SharedFacts | None, AnswerCache]:
    """Open the state that replicas share, if configured, and choose the response cache: shared, or else *answers*."""
    if settings.shared_state.url is None:
        return None, answers
    from trunkline.storage.redis import RedisAnswerCache, RedisLog, open_redis

    redis = open_redis(settings.shared_state.url)
    replica = token_hex(8)
    shared = SharedFacts(RedisLog(redis), monotonic=clock.monotonic, replica=replica, spawn=supervisor.spawn)
    return shared, RedisAnswerCache(redis, lambda: shared.up and answers.keeps)


async def share(shared: SharedFacts, state: State, parts: Parts) -> None:
    """Publish what this replica observes, learn what others published, and report whether that works."""

    def learn(fact: ReplicaEvent, age_s: float) -> None:
        if isinstance(fact, CredentialRested):
            parts.credentials.apply_replica_event(fact)
        else:
            state.engine.router.apply_replica_event(fact, age_s)

    parts.credentials.publish = shared.publish
    state.shared_state_reachable = lambda: shared.up
    parts.metrics.gauges.append(
        ("trunkline_shared_state_up", "1 while the shared state can be reached.", lambda: int(shared.up))
    )
    parts.metrics.counters += [
        ("trunkline_shared_facts_sent", "Facts that were told to the other replicas.", lambda: shared.sent),
        ("trunkline_shared_facts_received", "Facts that other replicas told.", lambda: shared.received),
        ("trunkline_shared_facts_dropped", "Facts that could not be told or read.", lambda: shared.dropped),
    ]
    await shared.open(learn)
