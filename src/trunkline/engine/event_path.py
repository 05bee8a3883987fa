"""The events of a generation on their way to the client, where stages work on them or there may be several steps.

    decoder (one per attempt) ─▶ EventPath: numbering, transforms ─▶ encoder (one per generation) ─▶ bytes

The steps of a generation form one answer: parts are numbered on, usage is summed, and only the last step's end is the
answer's. `Translation` hands events over from an attempt's commit point on, so none of a failed attempt arrives here.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from trunkline.dialects.interfaces import Call, Client, Encoder, Identity
from trunkline.engine.stages import EventTransform
from trunkline.model.errors import TrunklineError
from trunkline.model.events import ChoiceEnded, Delta, Event, Finished, PartEnded, PartStarted, Reported, Started
from trunkline.model.loss import Loss
from trunkline.model.response import Folder, Response
from trunkline.model.usage import Cost, Usage, add


class EventPath:
    """An `Encoder` over the encoder of the client's dialect.

    *holds_end*: a step's end waits for `end` or `next_step`.
    """

    __slots__ = (
        "_call", "_client", "_encoder", "_ending", "_first_part", "_folder", "_holds_end", "_identity", "_numbers",
        "_parts", "_started", "_transforms", "_used",
    )  # fmt: skip

    def __init__(self, client: Client, call: Call, transforms: Sequence[EventTransform], *, holds_end: bool) -> None:
        self._client = client
        self._call = call
        self._transforms = tuple(transforms)
        self._holds_end = holds_end
        self._identity = Identity(id="", model="", provider="", created=0)
        self._encoder: Encoder | None = None
        """Made with the first event: what served the first step is what the answer names."""
        self._started = False
        self._parts = 0
        """Of all steps so far."""
        self._first_part = 0
        """The number of this step's first part."""
        self._numbers: dict[int, int] = {}
        """Of parts: behind the transforms, by the number before them."""
        self._ending: list[Event] = []
        self._used: Usage | None = None
        """By the steps before this one."""
        self._folder = Folder()
        """This step's answer, as its provider sent it; filled where there may be another step."""

    def encoder_for(self, identity: Identity) -> Encoder:
        """The encoder for an attempt; *identity* is what the answer says of itself if this is the first to commit."""
        self._identity = identity
        return self

    @property
    def committed(self) -> bool:
        """Whether the client has content, of this step or one before."""
        return self._started and self._call.stream

    @property
    def response(self) -> Response:
        """The answer of this step, as its provider sent it."""
        return self._folder.response

    def next_step(self, used: Usage) -> None:
        """The step has ended, having *used* so much, and another one follows: its end is not the answer's."""
        self._ending.clear()
        self._first_part = self._parts
        self._used = used if self._used is None else add(self._used, used)
        self._folder = Folder()

    def end(self) -> bytes:
        """The last step has ended: its end is the answer's."""
        held, self._ending = self._ending, []
        return b"".join(map(self._emit, held))

    # What an encoder has.

    @property
    def losses(self) -> tuple[Loss, ...]:
        """As `Encoder.losses`."""
        return () if self._encoder is None else self._encoder.losses

    def encode(self, event: Event) -> bytes:
        """As `Encoder.encode`."""
        if self._holds_end:
            self._folder.add(event)
        match event:
            case Started():
                if self._started:
                    return b""
                self._started = True
            case PartStarted(index=index):
                event = replace(event, index=self._first_part + index)
                self._parts = self._first_part + index + 1
            case Delta(index=index) | PartEnded(index=index) if self._first_part:
                event = replace(event, index=self._first_part + index)
            case Reported(usage=usage) if self._used is not None:
                event = Reported(add(self._used, usage))
            case ChoiceEnded() | Finished() if self._holds_end:
                self._ending.append(event)
                return b""
            case _:
                pass
        return self._emit(event)

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """As `Encoder.finish`."""
        return self._inner().finish(usage, cost, metadata)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Encoder.fail`. What transforms hold back is not content that a stage has approved, and is dropped."""
        return self._inner().fail(error, usage, cost)

    def _inner(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._client.encoder(self._call, self._identity)
        return self._encoder

    def _emit(self, event: Event) -> bytes:
        """*event* through the transforms, and encoded."""
        events: Iterable[Event] = (event,)
        for transform in self._transforms:
            events = _through(transform, events)
        encode = self._inner().encode
        return b"".join([encode(self._numbered(one)) for one in events])

    def _numbered(self, event: Event) -> Event:
        """*event* with its part's number in order of appearance, which transforms may have changed."""
        match event:
            case PartStarted(index=index):
                number = self._numbers[index] = len(self._numbers)
            case Delta(index=index) | PartEnded(index=index):
                number = self._numbers[index]
            case _:
                return event
        return event if number == index else replace(event, index=number)


def _through(transform: EventTransform, events: Iterable[Event]) -> Iterable[Event]:
    for event in events:
        if isinstance(event, Finished):
            yield from transform.flush()
        yield from transform.feed(event)
