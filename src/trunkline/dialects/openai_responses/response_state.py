"""What a writer holds while an answer is put together: the item and the part that are open."""

from typing import Any

from msgspec import Struct

from trunkline.model.events import PartStarted

LISTS = frozenset({"content", "summary", "outputs"})
Body = dict[str, Any]


class Slot(Struct):
    """The item that is open. `key` says which parts are of it; `tool` is the id of a server tool's call."""

    body: Body
    index: int
    key: Any
    own: bool
    tool: str | None = None
    status: Any = None
    """What an upstream of this dialect says of it, in the end."""


class Open(Struct):
    """The part that is open: its pieces, and its number within its item once that is known."""

    part: PartStarted
    texts: list[str]
    probs: list[Any]
    notes: list[Body]
    rest: Body
    number: int = -1
    length: int = 0
    shown: bool = False
    """Whether a wire event has told of it beside its pieces."""
    signature: str | None = None
    bare: bool = False
    """An image that came as base64 alone."""


def copied(name: str, value: Any) -> Any:
    """*value* of the field *name*, in a list of its own where it is one that is filled."""
    return list(value) if name in LISTS and isinstance(value, list) else value


def content(opened: Open, *, whole: bool) -> Body:
    """A text or a refusal as a part of a message: as it begins, or *whole*."""
    text = "".join(opened.texts) if whole else ""
    if opened.part.kind == "refusal":
        return {"type": "refusal", "refusal": text, **opened.rest}
    notes, probs = (list(opened.notes), list(opened.probs)) if whole else ([], [])
    return {"type": "output_text", "text": text, "annotations": notes, "logprobs": probs, **opened.rest}


def thought(summary: bool, text: str) -> Body:
    """A part of a thought, or of its summary."""
    return {"type": "summary_text" if summary else "reasoning_text", "text": text}
