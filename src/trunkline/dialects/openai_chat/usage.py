"""Usage of chat, from the wire and back. Source: OpenRouter, "Usage accounting".

Nearly every provider's usage is the documented object and nothing else. That form is read and written by Structs, which
costs a tenth of the general way; whatever else providers say goes the general way, where every oddity is looked at.
"""

from typing import Any

import msgspec
from msgspec import UNSET

from trunkline.dialects.common.openai_usage import decode
from trunkline.dialects.openai_chat.response_schema import (
    ClientUsage,
    CompletionDetails,
    CostDetails,
    PlainUsage,
    PromptDetails,
)
from trunkline.model.money import to_json
from trunkline.model.usage import Cost, Usage

_plain = msgspec.json.Decoder(PlainUsage)
_any = msgspec.json.Decoder()
_NO_PROMPT_DETAILS = PromptDetails()
_NO_COMPLETION_DETAILS = CompletionDetails()


def read(raw: msgspec.Raw) -> Usage | None:
    """As `decode`, from the wire's bytes."""
    try:
        said = _plain.decode(raw)
    except msgspec.ValidationError:
        return decode(_any.decode(raw))
    into = said.prompt_tokens_details or _NO_PROMPT_DETAILS
    out = said.completion_tokens_details or _NO_COMPLETION_DETAILS
    prompt, completion, total, reasoning = (
        said.prompt_tokens, said.completion_tokens, said.total_tokens, out.reasoning_tokens
    )  # fmt: skip
    apart = bool(reasoning) and total == prompt + completion + (reasoning or 0)
    return Usage(
        prompt=prompt,
        completion=completion,
        total=total,
        cached=into.cached_tokens,
        cache_write=into.cache_write_tokens,
        reasoning=reasoning,
        reasoning_apart=apart,
        audio_prompt=into.audio_tokens,
        video_prompt=into.video_tokens,
        audio_completion=out.audio_tokens,
        image_completion=out.image_tokens,
        accepted_prediction=out.accepted_prediction_tokens,
        rejected_prediction=out.rejected_prediction_tokens,
        inconsistent=(not apart and total != prompt + completion)
        or (into.cached_tokens or 0) + (into.cache_write_tokens or 0) > prompt,
    )


def encode(usage: Usage, cost: Cost, *, same: bool = True) -> Any:
    """The usage object for a client: what the upstream said, and what it costs here. To be encoded as JSON.

    *same* says that the upstream spoke this dialect, whose further fields are then given back.
    """
    said = ClientUsage(
        usage.prompt,
        usage.completion,
        usage.prompt + usage.completion if usage.total is None else usage.total,
        to_json(cost.total),
        False,
        PromptDetails(usage.cached or 0, usage.cache_write or 0, usage.audio_prompt or 0, usage.video_prompt or 0),
        CostDetails(
            to_json(cost.total if cost.upstream is None else cost.upstream),
            to_json(cost.prompt),
            to_json(cost.completion),
        ),
        CompletionDetails(
            usage.reasoning or 0,
            usage.image_completion or 0,
            usage.audio_completion or 0,
            usage.accepted_prediction or 0,
            usage.rejected_prediction or 0,
        ),
        True if usage.estimated else UNSET,
    )
    return said if not usage.extra or not same else _with(msgspec.to_builtins(said), usage.extra)


def _with(said: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """*said* and the provider's own fields; those it has of the details stand among ours."""
    for key, value in extra.items():
        ours = said.get(key)
        if ours is None:
            said[key] = value
        elif isinstance(ours, dict) and isinstance(value, dict):
            said[key] = {**ours, **value}
    return said
