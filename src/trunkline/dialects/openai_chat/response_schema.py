"""The typed shape of a plain answer and of its usage, for the ways that decode nothing else.

Source: OpenRouter's OpenAPI document, `ChatResult`.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from trunkline.dialects.common.openai_usage import MAX_TOKENS

Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
NULL = Raw(b"null")


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


class PlainUsage(Struct, forbid_unknown_fields=True, gc=False):
    """An upstream's usage that says what is documented and nothing else."""

    prompt_tokens: Tokens
    completion_tokens: Tokens
    total_tokens: Tokens
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class CostDetails(Struct, gc=False):
    """`cost_details`: USD."""

    upstream_inference_cost: float
    upstream_inference_prompt_cost: float
    upstream_inference_completions_cost: float


class ClientUsage(Struct, gc=False):
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


class PlainMessage(Struct, forbid_unknown_fields=True, gc=False):
    """A message in which nothing has to be mended, as long as what it says is text or null."""

    role: Literal["assistant"]
    content: Raw
    refusal: None = None
    reasoning: None = None
    annotations: list[Raw] | UnsetType = UNSET

    def size(self) -> int | None:
        """Bytes of text, as they are on the wire; None where something else is said."""
        said = bytes(self.content)
        if said[:1] == b'"':
            return len(said) - 2
        return 0 if said == b"null" else None


class PlainChoice(Struct, forbid_unknown_fields=True, gc=False):
    """The choice of a plain body."""

    index: Literal[0]
    message: PlainMessage
    finish_reason: Literal["stop", "length", "content_filter"]
    native_finish_reason: str | None = None
    logprobs: Raw | UnsetType = UNSET


class PlainBody(Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A body that passes as it came, but for what is ours. Keys in the order of OpenRouter's `ChatResult`."""

    id: str | None = None
    model: str | None = None
    object: str | None = None
    created: int
    choices: Annotated[list[PlainChoice], Meta(min_length=1, max_length=1)]
    provider: str | None = None
    system_fingerprint: Raw = NULL
    service_tier: Raw | UnsetType = UNSET
    usage: Raw | UnsetType = UNSET
    openrouter_metadata: Raw | UnsetType = UNSET
