"""Tool calls and their results, paired as strict providers want them: each call answered right behind its turn.

What a client's dialect allows and a provider refuses is put right in our own words, before any dialect writes it, and
each putting right is a loss: a call that nobody answered gets a result that says so, a result that comes late moves to
where it belongs, and one that nobody asked for is said as the user's text.

Source: openrouter-semantics §31 ("insufficient tool messages following tool_calls").
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from trunkline.model.loss import Losses
from trunkline.model.request import Message, TextPart, ToolCallPart

NO_RESULT = "(no result: the tool was not run)"
NOTHING = "(no content)"
"""Stands where something must be said and nothing is."""


def pair_results(messages: Sequence[Message], losses: Losses, where: str = "messages") -> tuple[Message, ...]:
    """*messages*, which *where* names in losses, with every call answered behind its turn and no other results.

    Takes time in proportion to the messages, whatever they say: a client may send tens of thousands.
    """
    open_: dict[str | None, deque[int]] = defaultdict(deque)
    for at, message in enumerate(messages):
        if message.role == "tool":
            open_[message.tool_call_id].append(at)
    found: list[Message] = []
    taken: set[int] = set()
    for at, message in enumerate(messages):
        if message.role == "tool":
            if at not in taken:
                open_[message.tool_call_id].popleft()  # a call behind it is not one that it answers
                losses.add(f"{where}[{at}]", "a result without a call: it is said as text")
                found.append(_as_text(message))
            continue
        found.append(message)
        for call in _calls(message):
            if results := open_.get(call.id):
                taken.add(results[0])
                answer = messages[results.popleft()]
            else:
                losses.add(f"{where}[{at}].tool_calls", "a call without a result: one is made up")
                parts = (TextPart(NO_RESULT),)
                answer = Message(role="tool", parts=parts, plain=True, tool_call_id=call.id, is_error=True)
            found.append(replace(answer, custom=call.custom) if call.custom else answer)
    return tuple(found)


def _calls(message: Message) -> Iterator[ToolCallPart]:
    if message.role == "assistant":
        yield from (part for part in message.parts if isinstance(part, ToolCallPart))


def _as_text(message: Message) -> Message:
    head = TextPart(f"Result of the tool call {message.tool_call_id}:")
    return Message(role="user", parts=(head, *message.parts), joined=message.joined)
