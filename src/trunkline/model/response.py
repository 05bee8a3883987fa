"""A complete response: the `fold` of its events, and `unfold` back into events."""

from collections.abc import Iterable, Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from trunkline.model.citation import Citation
from trunkline.model.events import (
    ChoiceEnded,
    Delta,
    Event,
    Extra,
    Finished,
    FinishReason,
    Item,
    Native,
    Noted,
    PartEnded,
    PartKind,
    PartStarted,
    Reported,
    Started,
)
from trunkline.model.usage import Usage


class Part(Struct, kw_only=True, omit_defaults=True):
    """One part of a choice with its deltas joined. Fields as in `events.PartStarted` and `events.Delta`."""

    kind: PartKind
    text: str = ""
    id: str | None = None
    name: str | None = None
    form: str | None = None
    format: str | None = None
    signature: str | None = None
    logprobs: dict[str, list[object]] | None = None
    citations: list[Citation] = field(default_factory=list)
    extra: Extra = field(default_factory=dict)
    item: Item | None = None
    native: Native | None = None


class Choice(Struct, kw_only=True, omit_defaults=True):
    """One of `n` choices: its parts in order of appearance, and its finish reason."""

    index: int = 0
    parts: list[Part] = field(default_factory=list)
    reason: FinishReason | None = None
    native: str | None = None
    stop: str | None = None
    extra: Extra = field(default_factory=dict)


class Response(Struct, kw_only=True, omit_defaults=True):
    """A complete response.

    `usage` is None where the upstream reported none; `extra` holds fields without a name here.
    """

    id: str = ""
    model: str = ""
    created: int = 0
    dialect: str = ""
    choices: list[Choice] = field(default_factory=list)
    usage: Usage | None = None
    extra: Extra = field(default_factory=dict)


class Folder:
    """Accumulates events into a `Response`."""

    __slots__ = ("_choices", "_parts", "_response", "_texts")

    def __init__(self) -> None:
        self._response = Response()
        self._choices: dict[int, Choice] = {}
        self._parts: list[Part] = []
        self._texts: list[list[str]] = []

    @property
    def response(self) -> Response:
        """The response so far, including parts that have not ended."""
        for part, texts in zip(self._parts, self._texts, strict=True):
            part.text = "".join(texts)
        return self._response

    def add(self, event: Event) -> None:
        """Add one event."""
        match event:
            case Delta():
                self._delta(event)
            case Started():
                self._choices.clear()
                self._response = Response(
                    id=event.id,
                    model=event.model,
                    created=event.created,
                    dialect=event.dialect,
                    usage=event.usage,
                    extra=dict(event.extra),
                )
            case PartStarted():
                part = Part(
                    kind=event.kind,
                    id=event.id,
                    name=event.name,
                    form=event.form,
                    format=event.format,
                    extra=dict(event.extra),
                    item=event.item,
                )
                self._parts.append(part)
                self._texts.append([])
                self._choice(event.choice).parts.append(part)
            case ChoiceEnded():
                choice = self._choice(event.choice)
                choice.reason, choice.native, choice.stop = event.reason, event.native, event.stop
                choice.extra.update(event.extra)
            case Reported(usage=usage):
                self._response.usage = usage
            case Noted(extra=extra):
                self._response.extra.update(extra)
            case PartEnded():
                pass
            case Finished():
                self._response.choices.sort(key=lambda choice: choice.index)

    def _delta(self, event: Delta) -> None:
        part = self._parts[event.index]
        if event.text:
            self._texts[event.index].append(event.text)
        if event.signature is not None:
            part.signature = event.signature
        if event.citations:
            part.citations.extend(event.citations)
        if event.extra:
            part.extra.update(event.extra)
        if event.native is not None:
            _merge(part, event.native)
        if event.logprobs is not None:
            sums = part.logprobs if part.logprobs is not None else {}
            for key, entries in event.logprobs.items():
                if isinstance(entries, list):
                    sums.setdefault(key, []).extend(entries)
            part.logprobs = sums

    def _choice(self, index: int) -> Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = Choice(index=index)
            self._response.choices.append(choice)
        return choice


def _merge(part: Part, native: Native) -> None:
    """Add to *part* what a delta's *native* says; what comes later counts."""
    if native.item is not None and part.item is not None:
        part.item = replace(part.item, fields=native.item)
    known = part.native or Native()
    merged = Native(event=native.event or known.event, kind=native.kind or known.kind, bare=native.bare or known.bare)
    part.native = None if merged == Native() else merged


def fold(events: Iterable[Event]) -> Response:
    """The complete response that *events* form."""
    folder = Folder()
    for event in events:
        folder.add(event)
    return folder.response


def unfold(response: Response) -> Iterator[Event]:
    """The shortest event stream that folds to *response*."""
    yield Started(
        id=response.id,
        model=response.model,
        created=response.created,
        dialect=response.dialect,
        extra=response.extra,
    )
    index = 0
    for choice in response.choices:
        for part in choice.parts:
            yield PartStarted(
                index,
                part.kind,
                choice=choice.index,
                id=part.id,
                name=part.name,
                form=part.form,
                format=part.format,
                extra=part.extra,
                item=part.item,
            )
            citations = tuple(part.citations) or None
            delta = Delta(
                index,
                part.text,
                signature=part.signature,
                logprobs=part.logprobs,
                citations=citations,
                native=part.native,
            )
            if delta != Delta(index):
                yield delta
            yield PartEnded(index)
            index += 1
        yield ChoiceEnded(
            choice.index, reason=choice.reason, native=choice.native, stop=choice.stop, extra=choice.extra
        )
    if response.usage is not None:
        yield Reported(response.usage)
    yield Finished()
