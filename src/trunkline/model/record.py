"""The generation record: written to the journal, stored in the database, returned by `GET /generation`."""

from typing import Literal

from msgspec import Struct

from trunkline.model.errors import AttemptRecord
from trunkline.model.loss import Loss
from trunkline.model.money import Pico
from trunkline.model.pipeline import PipelineNote
from trunkline.model.usage import Usage

Status = Literal["completed", "partial", "failed", "cancelled", "interrupted"]
"""`completed`: the client received the whole response. `partial`: the response ended in an in-band error. `failed`:
the client received only an error. `cancelled`: the client disconnected. `interrupted`: the gateway was killed; the next
start made the record. Every accepted request ends in exactly one of them."""


class GenerationRecord(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One completed call. Times are Unix seconds (`created`) or milliseconds (`*_ms`); money is pico-dollars.

    A call that consists of several model calls leaves a record for each of them (`parent_id`, `purpose`) and one for
    itself. `usage` and `cost` of a record are its own: the sum over all records is what was used and charged. What the
    inner calls of a record used and cost is beside them, in `inner_usage` and `inner_cost`.

    `key_id` is the hex SHA-256 of the key. `model` is the model that served the call, or the requested one where none
    did. `provider` is None where none was reached. The record holds neither prompt nor completion.
    """

    id: str
    created: float
    key_id: str
    status: Status
    api_type: str
    """The client's dialect: `chat`, `messages`, `responses`."""
    model: str
    requested: str
    provider: str | None = None
    endpoint: str | None = None
    """The endpoint's tag."""
    upstream_id: str | None = None
    streamed: bool = False
    way: str = "relay"
    """`relay`, `translate`, or `cache` where the response cache answered."""
    usage: Usage = Usage()
    cost: Pico = 0
    inner_usage: Usage | None = None
    """None where there was no inner call."""
    inner_cost: Pico = 0
    cost_known: bool = True
    upstream_cost: Pico | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    http_status: int = 200
    error_type: str | None = None
    error: str | None = None
    first_token_ms: int | None = None
    total_ms: int = 0
    attempts: tuple[AttemptRecord, ...] = ()
    losses: tuple[Loss, ...] = ()
    """Fields that the translation to and from the provider's dialect could not express."""
    pipeline: tuple[PipelineNote, ...] = ()
    """What stages did."""
    parent_id: str | None = None
    """The generation that this call was made for; None for a client's own call."""
    purpose: str | None = None
    """Why, where it has a parent: `step`, `planner`, `judge` …"""
    preset_id: str | None = None
    response_cache_source_id: str | None = None
    """The id of the generation whose response the cache returned."""
    session_id: str | None = None
    user: str | None = None
    http_referer: str | None = None
    app_title: str | None = None
    user_agent: str | None = None

    @property
    def total_cost(self) -> Pico:
        """What the call cost with its inner calls."""
        return self.cost + self.inner_cost
