"""Usage of chat, from the wire and back. Source: OpenRouter, "Usage accounting".

Nearly every provider's usage is the documented object and nothing else. That form is read and written by Structs, which
costs a tenth of the general way; whatever else providers say goes the general way, where every oddity is looked at.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from trunkline.dialects.common.openai_usage import MAX_TOKENS, decode
from trunkline.model.money import to_json
from trunkline.model.usage import Cost, Usage

Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]


class PromptDetails(Struct, forbid_unknown_fields=True, gc=False):
    """`prompt_tokens_details` as documented."""

    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None
    audio_tokens: Tokens | None = None
    video_tokens: Tokens | None = None


class CompletionDetails(Struct, forbid_unknown_fields=True, gc=False):
    """`completion_tokens_details` as documented."""

    reasoning_tokens: Tokens | None = None
    image_tokens: Tokens | None = None
    audio_tokens: Tokens | None = None
    accepted_prediction_tokens: Tokens | None = None
    rejected_prediction_tokens: Tokens | None = None


class _Plain(Struct, forbid_unknown_fields=True, gc=False):
    """An upstream's usage that says what is documented and nothing else."""

    prompt_tokens: Tokens
    completion_tokens: Tokens
    total_tokens: Tokens
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


_plain = msgspec.json.Decoder(_Plain)
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


class CostDetails(Struct, gc=False):
    """`cost_details`: USD."""

    upstream_inference_cost: float
    upstream_inference_prompt_cost: float
    upstream_inference_completions_cost: float


class _Said(Struct, gc=False):
    """The usage object for a client, keys in the order of OpenRouter's OpenAPI document, `ChatResult`."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float
    is_byok: bool
    prompt_tokens_details: PromptDetails
    cost_details: CostDetails
    completion_tokens_details: CompletionDetails
    estimated: bool | UnsetType = UNSET


def encode(usage: Usage, cost: Cost, *, same: bool = True) -> Any:
    """The usage object for a client: what the upstream said, and what it costs here. To be encoded as JSON.

    *same* says that the upstream spoke this dialect, whose further fields are then given back.
    """
    said = _Said(
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
