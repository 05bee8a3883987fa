"""What a stage of the gateway did to a call, as `openrouter_metadata.pipeline` and the record tell it.

Source: OpenRouter, "Router metadata".
"""

from typing import Any

from msgspec import Struct, field

from trunkline.model.money import Pico, to_json


class PipelineNote(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a stage did. A stage that changed nothing leaves no note.

    `type` is `plugin`, `guardrail`, `server_tools`, `response_healing`, `context_compression` or `stage`; `cost` is in
    pico-dollars, None where the stage costs nothing of its own. `data` holds no prompt and no completion.
    """

    type: str
    name: str
    summary: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    cost: Pico | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry on the wire."""
        entry: dict[str, Any] = {"type": self.type, "name": self.name, "data": self.data}
        if self.summary is not None:
            entry["summary"] = self.summary
        if self.cost is not None:
            entry["cost_usd"] = to_json(self.cost)
        return entry
