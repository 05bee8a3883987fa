"""The running gateway: the parts that stay open, and the state that a reload replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:  # these modules know each other by these types alone
    from collections.abc import Callable, Mapping

    from trunkline.app.closing import Closing
    from trunkline.catalog.catalog import ModelLists
    from trunkline.engine.credentials import Credentials
    from trunkline.engine.router import Memory
    from trunkline.engine.signature_memory import SignatureMemory
    from trunkline.engine.stages import Pipeline
    from trunkline.ledger.budget import Budgets
    from trunkline.observe.metrics import Metrics
    from trunkline.ports import Clock, DirectTransport
    from trunkline.providers.authentication import Authenticator
    from trunkline.routing.order import Draw
    from trunkline.server.routes import GatewayServer
    from trunkline.server.state import State
    from trunkline.settings import Settings
    from trunkline.storage.answer_cache import MemoryAnswerCache
    from trunkline.storage.database import Database
    from trunkline.storage.flusher import Flusher
    from trunkline.storage.journal import FileJournal
    from trunkline.storage.keys import KeyRing
    from trunkline.storage.lease_keeper import LeaseKeeper
    from trunkline.storage.shared_facts import SharedFacts
    from trunkline.transport.write_batching import WriteBatcher


class Parts(Struct, frozen=True, kw_only=True):
    """The parts that a reload keeps."""

    clock: Clock
    transport: DirectTransport
    authority: Authenticator
    credentials: Credentials
    keys: KeyRing
    answers: MemoryAnswerCache
    budgets: Budgets
    leases: LeaseKeeper
    database: Database
    journal: FileJournal
    flusher: Flusher
    signatures: SignatureMemory
    memory: Memory
    draw: Draw
    metrics: Metrics
    batcher: WriteBatcher
    new_id: Callable[[float], str]
    pipeline: Pipeline | None
    shared: SharedFacts | None = None


class App(Struct, kw_only=True):
    """A running gateway. `build` opens it, `reload` changes it."""

    settings: Settings
    state: State
    server: GatewayServer
    parts: Parts
    closing: Closing
    """How the parts are closed; whoever ends the gateway sets its deadline."""
    environ: Mapping[str, str]
    """The environment that a reload reads variables from."""
    model_lists: ModelLists = {}
    """The model lists of providers, as last fetched."""
