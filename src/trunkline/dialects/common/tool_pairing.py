"""Pairing of tool calls and results: strict providers require each result directly after the message of its call.

Clients may send conversations that such providers reject. The messages are normalized before a dialect encodes them,
and each change is reported as a loss: a call without a result gets a placeholder result, a late result is moved to its
call, and a result without a call becomes text of the user.

Source: OpenAI API reference, "Chat Completions" (the error "insufficient tool messages following tool_calls").
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from trunkline.model.loss import Losses
from trunkline.model.request import Message, TextPart, ToolCallPart

NO_RESULT = "(no result: the tool was not run)"
NOTHING = "(no content)"
"""Placeholder text where a provider requires content and there is none."""


def pair_results(messages: Sequence[Message], losses: Losses, where: str = "messages") -> tuple[Message, ...]:
    """Return *messages* with each call's result directly after its message, and no other results.

    *where* is the path of the messages in losses. The time is linear in the number of messages: clients may send tens
    of thousands.
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
                open_[message.tool_call_id].popleft()  # it does not answer a later call
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
