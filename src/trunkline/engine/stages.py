"""Stages: what changes a request before it is routed, its events on their way to the client, or adds a step.

A stage is one object of up to three kinds. All kinds say by `fields` and `active` for which calls they work:

- `RequestStage` gets the request, may do I/O and ask models (`Generation.ask`), and returns the request that is to be
  sent, or ends the call: with an error by raising it, with an answer by returning `Answered`.
- `EventStage` opens an `EventTransform` for a generation: a pure function of events that may hold events back. While
  one is active the answer takes the way of translation, also where client and upstream speak one dialect.
- `StepStage` is asked after each model call whether another one follows, and with which request. The events of all
  steps form one answer.

A `Pipeline` is the ordered list of a gateway's stages. `plugins/order.py` has the list, with the reason for each place.
A call that names no stage's field, with no stage that is always active, pays one set operation.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from trunkline.dialects.interfaces import Call
from trunkline.model.events import Event
from trunkline.model.key import Key
from trunkline.model.money import Pico
from trunkline.model.pipeline import PipelineNote
from trunkline.model.record import GenerationRecord
from trunkline.model.request import Request
from trunkline.model.response import Response


class Answered(Struct, frozen=True):
    """A stage answers the call itself, and no model is asked. `cost` (pico-dollars) is what the key is charged."""

    response: Response
    cost: Pico = 0


class StepResult(Struct, frozen=True, kw_only=True):
    """One finished model call of a generation: what was asked, the answer, and the record that it left."""

    number: int
    """1 for the first step."""
    request: Request
    response: Response
    record: GenerationRecord


class StageContext(Protocol):
    """A generation, as stages see it."""

    @property
    def id(self) -> str:
        """The generation's id."""
        ...

    @property
    def key(self) -> Key:
        """Whose call it is."""
        ...

    @property
    def call(self) -> Call:
        """What the client sent, checked: `call.envelope` has its fields."""
        ...

    def note(self, note: PipelineNote) -> None:
        """Report what a stage did: in `openrouter_metadata.pipeline` and in the record."""
        ...

    async def ask(self, request: Request, *, purpose: str) -> Response:
        """Ask a model for the gateway's own sake, as `engine.inner.ask`.

        Raises:
            TrunklineError: no endpoint answered, or the key's money does not suffice.
        """
        ...


class Stage(Protocol):
    """What all kinds of stages have."""

    name: str
    """Unique in a pipeline; in logs and notes."""
    fields: frozenset[str]
    """The stage may be active only where the client's body has one of these top-level fields. Empty: for any call."""
    inner: bool
    """Whether it also works on the calls that the gateway makes for itself. A stage that asks models must not."""
    costs: str
    """What an active stage costs a request, for readers of the list: time, tokens, held-back events."""

    def active(self, call: Call, key: Key) -> bool:
        """Whether the stage works on *call*. Cheap: asked of every call that has one of the fields."""
        ...


@runtime_checkable
class RequestStage(Stage, Protocol):
    """Changes or answers requests."""

    async def prepare(self, request: Request, generation: StageContext) -> Request | Answered:
        """The request to send: *request* itself where nothing is to change, or a changed copy. Or the answer.

        Raises:
            TrunklineError: the call ends in this error.
        """
        ...


class EventTransform(Protocol):
    """One generation's events on their way to the client. Pure; remembers what it needs.

    Parts are numbered again behind the transforms, in order of appearance. A part that a transform adds has a negative
    index, which no other part has.
    """

    def feed(self, event: Event) -> Iterable[Event]:
        """What *event* becomes: itself, other events, or nothing for now."""
        ...

    def flush(self) -> Iterable[Event]:
        """The events held back, before the answer's `Finished`."""
        ...


@runtime_checkable
class EventStage(Stage, Protocol):
    """Reads or changes the events of answers."""

    def open(self, request: Request, generation: StageContext) -> EventTransform:
        """A transform for one generation."""
        ...


@runtime_checkable
class StepStage(Stage, Protocol):
    """Decides whether a generation has another step."""

    async def following(self, step: StepResult, generation: StageContext) -> Request | None:
        """The request of the step behind *step*; None where the answer is complete.

        Raises:
            TrunklineError: the generation ends in this error, in-band where the client has part of its answer.
        """
        ...


class ActiveStages(Struct, frozen=True):
    """The stages that work on one call, each kind in the pipeline's order."""

    request: tuple[RequestStage, ...]
    event: tuple[EventStage, ...]
    step: tuple[StepStage, ...]


class Pipeline:
    """The stages of a gateway, in order."""

    __slots__ = ("_always", "_fields", "stages")

    def __init__(self, stages: Sequence[Stage]) -> None:
        names = [stage.name for stage in stages]
        if len(set(names)) != len(names):
            raise ValueError(f"two stages have one name: {sorted(names)}")
        self.stages = tuple(stages)
        self._always = any(not stage.fields for stage in stages)
        self._fields: frozenset[str] = frozenset().union(*(stage.fields for stage in stages))

    def select(self, call: Call, key: Key, *, inner: bool = False) -> ActiveStages | None:
        """The stages that are active for *call* by *key*; None where none is. *inner*: the gateway itself asks."""
        envelope = call.envelope
        if not self._always and self._fields.isdisjoint(envelope):
            return None
        active = [
            stage
            for stage in self.stages
            if (stage.inner or not inner)
            and not (stage.fields and stage.fields.isdisjoint(envelope))
            and stage.active(call, key)
        ]
        if not active:
            return None
        return ActiveStages(
            tuple(stage for stage in active if isinstance(stage, RequestStage)),
            tuple(stage for stage in active if isinstance(stage, EventStage)),
            tuple(stage for stage in active if isinstance(stage, StepStage)),
        )
