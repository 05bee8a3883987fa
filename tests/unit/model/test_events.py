"""What is a stream and what is not; and a whole answer from it and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.model.events import (
    ChoiceEnded,
    Delta,
    Event,
    Finished,
    Noted,
    PartEnded,
    PartStarted,
    Reported,
    Started,
    check,
)
from trunkline.model.response import Choice, Folder, Part, Response, fold, unfold
from trunkline.model.usage import Usage

BEGUN, PART, END = Started(id="1"), PartStarted(0, "text"), Finished()
TEXT = st.text(max_size=4)
EXTRA = st.dictionaries(st.sampled_from(["x", "y"]), st.integers(), max_size=2)

GOOD: list[list[Event]] = [
    [BEGUN, END],
    [BEGUN, PART, Delta(0, "a"), PartEnded(0), ChoiceEnded(0), Reported(Usage()), Noted({"x": 1}), END],
    [BEGUN, PART, PartStarted(1, "tool_call"), Delta(0, "a"), Delta(1, "b"), PartEnded(1), PartEnded(0), END],
    [BEGUN, PART, PartEnded(0), ChoiceEnded(0), PartStarted(1, "text", choice=1), PartEnded(1), ChoiceEnded(1), END],
]
BAD: dict[str, list[Event]] = {
    "nothing": [],
    "no Finished": [BEGUN],
    "no Started": [END],
    "Started twice": [BEGUN, BEGUN, END],
    "part before Started": [PART, BEGUN],
    "usage before Started": [Reported(Usage()), BEGUN, END],
    "choice before Started": [ChoiceEnded(0), BEGUN, END],
    "after Finished": [BEGUN, END, Noted({})],
    "out of order": [BEGUN, PartStarted(1, "text"), PartEnded(1), END],
    "part twice": [BEGUN, PART, PART, PartEnded(0), END],
    "delta of none": [BEGUN, Delta(0, "a"), END],
    "delta after its end": [BEGUN, PART, PartEnded(0), Delta(0, "a"), END],
    "end of none": [BEGUN, PartEnded(0), END],
    "ended twice": [BEGUN, PART, PartEnded(0), PartEnded(0), END],
    "never ended": [BEGUN, PART, END],
    "choice ended twice": [BEGUN, ChoiceEnded(0), ChoiceEnded(0), END],
    "part of an ended choice": [BEGUN, ChoiceEnded(0), PART, PartEnded(0), END],
}


@pytest.mark.parametrize("events", GOOD)
def test_valid_streams(events: list[Event]) -> None:
    check(events)


@pytest.mark.parametrize("events", BAD.values(), ids=BAD.keys())
def test_invalid_streams(events: list[Event]) -> None:
    with pytest.raises(AssertionError):
        check(events)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    parts = st.builds(
        Part,
        kind=st.sampled_from(["text", "reasoning", "tool_call", "opaque"]),
        text=TEXT,
        id=st.none() | TEXT,
        name=st.none() | TEXT,
        form=st.none() | TEXT,
        format=st.none() | TEXT,
        signature=st.none() | TEXT,
        logprobs=st.none() | st.just({"content": [1, 2]}),
        extra=EXTRA,
    )
    choices = [
        Choice(
            index=index,
            parts=draw(st.lists(parts, max_size=3)),
            reason=draw(st.sampled_from([None, "stop", "length"])),
            native=draw(st.none() | TEXT),
            extra=draw(EXTRA),
        )
        for index in range(draw(st.integers(0, 2)))
    ]
    usage = draw(st.none() | st.builds(Usage, prompt=st.integers(0, 9)))
    return Response(
        id=draw(TEXT), model=draw(TEXT), created=draw(st.integers(0)), choices=choices, usage=usage, extra=draw(EXTRA)
    )


@given(response=responses())
def test_unfold_then_fold_round_trips(response: Response) -> None:
    events = list(unfold(response))
    check(events)
    assert fold(events) == response


@given(response=responses())
def test_fold_does_not_modify_events(response: Response) -> None:
    events = list(unfold(response))
    before = repr(events)
    fold([*events[:-1], Noted({"x": "later"}), events[-1]])
    assert repr(events) == before


def test_pieces_append_signatures_replace_and_extras_merge() -> None:
    events: list[Event] = [
        Started(id="1", extra={"a": 1}),
        PartStarted(0, "reasoning", extra={"index": 0}),
        Delta(0, "a", signature="old", logprobs={"content": [1], "refusal": None}),
        Delta(0, "b", signature="new", logprobs={"content": [2]}, extra={"late": True}),
        PartEnded(0),
        PartStarted(1, "text", choice=1),
        PartEnded(1),
        ChoiceEnded(1, reason="stop", native="end", extra={"c": 1}),
        ChoiceEnded(0),
        Reported(Usage(prompt=1)),
        Reported(Usage(prompt=2)),
        Noted({"a": 2, "b": 3}),
        Finished(),
    ]
    check(events)
    assert fold(events) == Response(
        id="1",
        choices=[
            Choice(
                parts=[
                    Part(
                        kind="reasoning",
                        text="ab",
                        signature="new",
                        logprobs={"content": [1, 2]},
                        extra={"index": 0, "late": True},
                    )
                ]
            ),
            Choice(index=1, parts=[Part(kind="text")], reason="stop", native="end", extra={"c": 1}),
        ],
        usage=Usage(prompt=2),
        extra={"a": 2, "b": 3},
    )


def test_partial_response_can_be_read() -> None:
    folder = Folder()
    for event in (BEGUN, PART, Delta(0, "Hel"), Delta(0, "lo")):
        folder.add(event)
    assert folder.response.choices[0].parts[0].text == "Hello"
    folder.add(Delta(0, "!"))
    assert folder.response.choices[0].parts[0].text == "Hello!"


@pytest.mark.parametrize("event", [BEGUN, PART, END, Delta(0), PartEnded(0), ChoiceEnded(), Noted({})])
def test_events_are_immutable(event: Any) -> None:
    with pytest.raises(AttributeError):
        event.index = 5
