"""Conversations as the providers' dialects have them, for properties: turns alternate, and calls are answered.

Ids of calls are `call-1`, `call-2` … in order of appearance, as a reader numbers what has none.
"""

from base64 import b64encode
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from msgspec import Struct

from trunkline.model.request import Message, Part, ReasoningPart, TextPart, ToolCallPart

T = TypeVar("T")

texts = st.one_of(
    st.sampled_from(["Hi", "ü 😀\n b", '{"a": 1}', "5", "null", "<b>", " a", '"']),
    st.text(min_size=1).filter(lambda text: bool(text.strip())),
)
"""Texts that are not blank."""
plain = texts.map(lambda text: f"It is {text}")
"""Texts that are no JSON."""
numbers = st.integers(0, 1) | st.floats(0, 1)
data_of = st.binary(min_size=1, max_size=9).map(lambda data: b64encode(data).decode())
arguments: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
"""Any JSON."""


def some(found: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """*found*, or nothing."""
    return st.none() | found


def encoded(found: Any) -> str:
    """*found* as JSON."""
    return msgspec.json.encode(found).decode()


class Conversation(Struct, frozen=True, kw_only=True):
    """What may be said in one.

    `beside` are the user's parts and `model` the model's; `signed` makes the thought of a call, by its id and data.
    `sign`: the first call of a turn has one. `opens`: what a turn of the model's begins with, if anything. `results`
    are a tool's, for one that fails and one that does not.
    """

    beside: st.SearchStrategy[Part]
    model: st.SearchStrategy[Part]
    names: tuple[str, ...]
    signed: Callable[[str, str], ReasoningPart] | None = None
    sign: bool = False
    opens: st.SearchStrategy[Part] | None = None
    results: st.SearchStrategy[tuple[tuple[Part, ...], bool | None]] = st.one_of(
        st.tuples(plain.map(lambda text: (TextPart(text),)), st.sampled_from([None, True])),
        st.dictionaries(st.sampled_from(["a", "b"]), arguments, min_size=1).map(
            lambda found: ((TextPart(encoded(found)),), None)
        ),
    )


@st.composite
def conversations(draw: st.DrawFn, talk: Conversation) -> tuple[Message, ...]:
    """The messages of one, which ends with what the user says or a tool gave."""
    found: list[Message] = []
    system = draw(st.lists(texts.map(TextPart), max_size=2))
    if system:
        found.append(Message(role="system", parts=tuple(system)))
    found.append(_user(draw, talk, answers=False))
    calls = 0
    for _ in range(draw(st.integers(0, 3))):
        parts, ids = _model(draw, talk, calls)
        calls += len(ids)
        found.append(Message(role="assistant", parts=parts))
        for id_ in ids:
            said, failed = draw(talk.results)
            found.append(Message(role="tool", tool_call_id=id_, parts=said, is_error=failed))
        if not ids or draw(st.booleans()):
            found.append(_user(draw, talk, answers=bool(ids)))
    return tuple(found)


def _user(draw: st.DrawFn, talk: Conversation, *, answers: bool) -> Message:
    first: list[Part] = [TextPart(draw(texts))]
    parts = draw(st.permutations([*first, *draw(st.lists(talk.beside, max_size=2))]))
    return Message(role="user", parts=tuple(parts), joined=answers)


def _model(draw: st.DrawFn, talk: Conversation, before: int) -> tuple[tuple[Part, ...], list[str]]:
    parts: list[Part] = [] if talk.opens is None else [draw(talk.opens)]
    parts += draw(st.lists(talk.model, max_size=2))
    ids = [f"call-{before + number + 1}" for number in range(draw(st.integers(0, 2)))]
    if not ids:
        parts.append(TextPart(draw(texts)))
    for number, id_ in enumerate(ids):
        if talk.signed is not None and ((talk.sign and not number) or draw(st.booleans())):
            parts.append(talk.signed(id_, draw(data_of)))
        given = draw(st.dictionaries(texts, arguments, max_size=2))
        parts.append(ToolCallPart(id_, draw(st.sampled_from(talk.names)), encoded(given)))
    return tuple(parts), ids
