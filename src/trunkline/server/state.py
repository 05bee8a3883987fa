"""What the routes work with. Parts that a reload of the configuration replaces are attributes of `State`."""

from collections.abc import Callable

from msgspec import Struct

from trunkline.catalog.catalog import Catalog
from trunkline.engine.context import EngineContext
from trunkline.ledger.budget import Budgets
from trunkline.observe.metrics import Metrics
from trunkline.ports import AnswerCache, Clock, KeyStore
from trunkline.storage.generations import GenerationStore
from trunkline.storage.idempotency import IdempotencyStore
from trunkline.storage.presets import PresetStore


class State(Struct, kw_only=True):
    """The running gateway, as routes see it."""

    clock: Clock
    keys: KeyStore
    budgets: Budgets
    generations: GenerationStore
    idempotency: IdempotencyStore
    presets: PresetStore
    answers: AnswerCache
    """The response cache."""
    max_answer_bytes: int
    """Of an answer that it keeps."""
    metrics: Metrics
    new_id: Callable[[float], str]
    """A generation's id, given Unix seconds."""
    catalog: Catalog
    engine: EngineContext
    auth_required: bool
    draining: bool = False
    unready: Callable[[], str | None] = lambda: None
    """Why requests cannot be served now, or None."""
    shared_state_reachable: Callable[[], bool | None] = lambda: None
    """Whether the state that replicas share can be reached; None where this one shares none."""
