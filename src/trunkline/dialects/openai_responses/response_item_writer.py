"""The items of an answer, written one at a time: how an item begins, changes and ends.

Source: OpenAI, "Responses", streaming events.
"""

from typing import Any

from trunkline.dialects.common.ids import generated_id
from trunkline.dialects.common.types import ToolNames
from trunkline.dialects.interfaces import Identity
from trunkline.dialects.openai_responses import response_server_tools
from trunkline.dialects.openai_responses.response_items import complete
from trunkline.dialects.openai_responses.response_state import Body, Slot
from trunkline.model.events import Item, PartStarted
from trunkline.model.loss import Losses

LISTS = frozenset({"content", "summary", "outputs"})
TEMPLATES: dict[str, dict[str, Any]] = {
    "message": {"role": "assistant", "content": []},
    "reasoning": {"summary": []},
    "function_call": {"call_id": "", "name": "", "arguments": ""},
    "custom_tool_call": {"call_id": "", "name": "", "input": ""},
    "image_generation_call": {"result": None},
    "file_search_call": {"queries": []},
}
"""An item's type → its fields beside id, type and status, as it begins."""
PREFIX = {"message": "msg_tmp", "reasoning": "rs_tmp", "image_generation_call": "ig_tmp"}


class ItemWriter:
    """Opens and closes items; `events` holds the wire's events since the last `take`, without sequence numbers.

    `same` says that the upstream speaks this dialect, `names` what the client calls its tools.
    """

    __slots__ = ("before", "events", "identity", "ids", "losses", "names", "output", "same", "slot")

    def __init__(self, identity: Identity, names: ToolNames) -> None:
        self.identity = identity
        self.names = names
        self.output: list[Body] = []
        self.before = 0
        """Items of the answer that come before those of `output`."""
        self.losses = Losses("response")
        self.same = False
        self.events: list[Body] = []
        self.slot: Slot | None = None
        self.ids: set[str] = set()

    @property
    def count(self) -> int:
        """How many items the answer has so far."""
        return self.before + len(self.output)

    def take(self) -> list[Body]:
        """The wire's events since the last time."""
        out, self.events = self.events, []
        return out

    def emit(self, kind: str, **fields: Any) -> None:
        """An event of the wire."""
        self.events.append({"type": f"response.{kind}", **fields})

    def of_item(self, kind: str, **fields: Any) -> None:
        """An event about the open item."""
        assert self.slot is not None
        self.events.append(
            {"type": f"response.{kind}", "item_id": self.slot.body["id"], "output_index": self.slot.index, **fields}
        )

    def item(self, kind: str, part: PartStarted, id_: str | None = None, key: Any = None, **fields: Any) -> None:
        """Open an item for *part*, and close the one before it."""
        self.close("completed")
        own = self.own(part)
        meta: Body = {} if own is None else own.fields
        body: Body = {"id": meta.get("id") or id_ or self._made_up(kind, part), "type": kind, "status": "in_progress"}
        if own is not None and "status" not in meta:
            del body["status"]
        body.update({name: copied(name, value) for name, value in TEMPLATES.get(kind, {}).items()})
        # Lists are filled as the item goes on; those of the event stay as they are.
        for name, value in meta.items():
            if name not in ("id", "status") and not (isinstance(body.get(name), list) and not isinstance(value, list)):
                body[name] = copied(name, value)
        body.update(fields)
        slot = self.slot = Slot(body, self.count, key, own is not None, tool=part.id, status=meta.get("status"))
        self.output.append(body)
        shown = {name: copied(name, value) for name, value in body.items()}
        self.emit("output_item.added", output_index=slot.index, item=complete(shown))

    def own(self, part: PartStarted) -> Item | None:
        """The item of *part*, where it came in this dialect."""
        return part.item if self.same else None

    def _made_up(self, kind: str, part: PartStarted) -> str:
        prefix = PREFIX.get(kind) or response_server_tools.PREFIX.get(
            kind, "fc_tmp" if part.kind == "tool_call" else "st_tmp"
        )
        return generated_id(self.identity.id, prefix, self.count)

    def close(self, status: str) -> None:
        """The open item is whole."""
        slot, self.slot = self.slot, None
        if slot is None:
            return
        if slot.own:
            if slot.status is not None:
                slot.body["status"] = slot.status
        else:
            slot.body["status"] = status if slot.body["type"] in ("message", "reasoning") else "completed"
        self.emit("output_item.done", output_index=slot.index, item=dict(slot.body))

    def last(self, slot: Slot, meta: Body) -> None:
        """*meta* is what the item says beside its content in the end; what came of it before stays."""
        body = slot.body
        for key, value in meta.items():
            if key == "status":
                slot.status = value
            elif key != "id" and not (isinstance(body.get(key), list) and (not value or not isinstance(value, list))):
                body[key] = copied(key, value)


def copied(name: str, value: Any) -> Any:
    """*value* of the field *name*, in a list of its own where it is one that is filled."""
    return list(value) if name in LISTS and isinstance(value, list) else value
