"""Usage of Responses, from the wire and back. Source: OpenRouter, "Usage accounting".

The object says what chat's says under other names, so it is read by chat's reader after its keys were renamed.
"""

from typing import Any

from trunkline.dialects.common.openai_usage import decode as decode_chat
from trunkline.model.money import to_json
from trunkline.model.usage import Cost, Usage

NAMES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
"""Our wire's name → chat's."""
_BACK = {chat: ours for ours, chat in NAMES.items()}
_OURS = frozenset({"is_byok", "cost_details", "cost"})


def decode(found: Any) -> Usage | None:
    """The usage object of an upstream, or None where there is none."""
    if not isinstance(found, dict):
        return None
    usage = decode_chat({NAMES.get(key, key): value for key, value in found.items()})
    if usage is None or not usage.extra:
        return usage
    usage.extra.update({ours: usage.extra.pop(chat) for chat, ours in _BACK.items() if chat in usage.extra})
    return usage


def encode(usage: Usage, cost: Cost, *, same: bool) -> dict[str, Any]:
    """The usage object for a client. *same* says that `usage.extra` is in this dialect's words."""
    said: dict[str, Any] = {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached or 0, "cache_write_tokens": usage.cache_write or 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": usage.prompt + usage.completion if usage.total is None else usage.total,
        "cost": to_json(cost.total),
        "is_byok": False,
        "cost_details": {
            "upstream_inference_cost": to_json(cost.total if cost.upstream is None else cost.upstream),
            "upstream_inference_input_cost": to_json(cost.prompt),
            "upstream_inference_output_cost": to_json(cost.completion),
        },
    }
    if usage.estimated:
        said["estimated"] = True
    for key, value in usage.extra.items() if same else ():
        ours = said.get(key)
        if ours is None:
            said[key] = value
        elif key not in _OURS and isinstance(ours, dict) and isinstance(value, dict):
            said[key] = {**ours, **value}
    return said
