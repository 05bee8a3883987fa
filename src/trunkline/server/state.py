"""The state of the running gateway. A reload of the configuration replaces attributes of `State`."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from trunkline.catalog.catalog import Catalog
from trunkline.engine.context import EngineContext
from trunkline.ledger.budget import Budgets
from trunkline.model.key import Key
from trunkline.observe.metrics import Metrics
from trunkline.ports import AnswerCache, Clock, KeyStore
from trunkline.storage.generations import GenerationStore
from trunkline.storage.idempotency import IdempotencyStore
from trunkline.storage.presets import SHARED, PresetStore


class State(Struct, kw_only=True):
    """The running gateway, as the routes use it."""

    clock: Clock
    keys: KeyStore
    budgets: Budgets
    generations: GenerationStore
    idempotency: IdempotencyStore
    presets: PresetStore
    answers: AnswerCache
    """The response cache."""
    max_answer_bytes: int
    """The maximum size of a cached response."""
    metrics: Metrics
    new_id: Callable[[float], str]
    """Creates a generation id from Unix seconds."""
    catalog: Catalog
    engine: EngineContext
    auth_required: bool
    presets_shared: bool = False
    """Whether all keys read and write one set of presets."""
    draining: bool = False
    unready: Callable[[], str | None] = lambda: None
    """Why requests cannot be served now; None where they can."""
    shared_state_reachable: Callable[[], bool | None] = lambda: None
    """Whether the state shared by replicas is reachable; None where this replica shares none."""
    failing_tasks: Callable[[], Sequence[str]] = tuple
    """The names of the background tasks that fail now."""

    def preset_owner(self, key: Key) -> str:
        """The owner of the presets that *key* writes, and reads before the shared ones."""
        return SHARED if self.presets_shared else key.id
