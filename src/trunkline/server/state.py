"""What the routes work with. Parts that a reload of the configuration replaces are attributes of `State`."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from trunkline.catalog.models import Catalog
from trunkline.dialects.limits import printable
from trunkline.ledger.budget import Budgets
from trunkline.model.endpoint import Model
from trunkline.model.errors import InvalidRequest, UnknownModel
from trunkline.observe.metrics import Metrics
from trunkline.ports import AnswerCache, Clock, KeyStore
from trunkline.storage.generations import GenerationStore
from trunkline.storage.idempotency import IdempotencyStore
from trunkline.upstream.answer import Exchanges


class State(Struct, kw_only=True):
    """The running gateway, as routes see it."""

    clock: Clock
    keys: KeyStore
    budgets: Budgets
    generations: GenerationStore
    idempotency: IdempotencyStore
    answers: AnswerCache
    """The response cache."""
    max_answer_bytes: int
    """Of an answer that it keeps."""
    metrics: Metrics
    new_id: Callable[[float], str]
    """A generation's id, given Unix seconds."""
    catalog: Catalog
    exchanges: Exchanges
    auth_required: bool
    draining: bool = False
    unready: Callable[[], str | None] = lambda: None
    """Why requests cannot be served now, or None."""

    def models(self, model: str | None, others: Sequence[str]) -> list[Model]:
        """What a call names, in its order; `models` alone is as good as `model`.

        Raises:
            InvalidRequest: nothing is named.
            UnknownModel: a name that is not in the catalog.
        """
        named = [name for name in (model, *others) if name]
        if not named:
            raise InvalidRequest("model: missing", param="model")
        found: list[Model] = []
        for name in named:
            known = self.catalog.find(name)
            if known is None:
                raise UnknownModel(
                    f"{printable(name)} is not a valid model ID",
                    param="model" if name == model else "models",
                    availability={
                        "code": "model_not_found",
                        "retryable": False,
                        "requested_models": [printable(name) for name in named],
                        "docs_url": "",
                    },
                )
            if known not in found:
                found.append(known)
        return found
