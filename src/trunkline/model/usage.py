"""Token usage and cost of a generation."""

from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from trunkline.model.money import Pico


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Tokens of one generation, counted by the model's own tokenizer.

    `prompt` counts all input, including cache reads (`cached`) and cache writes (`cache_write`). `completion` is what
    the provider reports as output; `reasoning` is part of it unless `reasoning_apart`. None means that the provider did
    not report the value; zero means that it reported zero. Source: OpenRouter, "Usage accounting".
    """

    prompt: int = 0
    completion: int = 0
    total: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    """The part of `cache_write` that is kept for one hour (Anthropic); it has its own price."""
    reasoning: int | None = None
    reasoning_apart: bool = False
    """True where the provider does not count reasoning in `completion` (xAI). It is billed as output in both cases."""
    audio_prompt: int | None = None
    video_prompt: int | None = None
    audio_completion: int | None = None
    image_completion: int | None = None
    images: int | None = None
    """Images in the input, where the endpoint has a price for each."""
    searches: int | None = None
    """Web searches that the provider made."""
    accepted_prediction: int | None = None
    rejected_prediction: int | None = None
    upstream_cost: Pico | None = None
    """The cost that the provider reports; None where it reports none."""
    estimated: bool = False
    """True where the provider reported no final usage and the gateway estimated it."""
    outside: "Usage | None" = None
    """Usage that the provider bills and leaves out of the counts above (Anthropic's compaction and advisor)."""
    other_model: bool = False
    """True where another model than the endpoint's ran for a part of it (Anthropic's advisor and fallback). The
    endpoint's price is then not the price of that part."""
    inconsistent: bool = False
    """True where the provider's numbers contradict each other; they are kept, clamped at zero."""
    extra: dict[str, Any] = field(default_factory=dict)
    """The provider's usage fields that have no name here, unchanged. Clients of the same dialect receive them."""

    @property
    def billed_completion(self) -> int:
        """Output tokens to bill: the completion, plus reasoning where it is counted apart."""
        return self.completion + (self.reasoning or 0 if self.reasoning_apart else 0)


_COUNTS = (
    "prompt", "completion", "total", "cached", "cache_write", "cache_write_1h", "reasoning", "audio_prompt",
    "video_prompt", "audio_completion", "image_completion", "images", "searches", "accepted_prediction",
    "rejected_prediction", "upstream_cost",
)  # fmt: skip


def add(one: Usage, other: Usage) -> Usage:
    """The usage of two model calls of one generation. What only one of them says counts as zero of the other.

    Reasoning that one of them counts apart from the completion is added to the completion, so that the sum has one
    meaning. `extra` is the later one's: these fields have no name here, and cannot be added.
    """
    if one.reasoning_apart != other.reasoning_apart:
        one, other = _together(one), _together(other)
    sums: dict[str, Any] = {}
    for name in _COUNTS:
        here, there = getattr(one, name), getattr(other, name)
        sums[name] = None if here is None and there is None else (here or 0) + (there or 0)
    return Usage(
        **sums,
        reasoning_apart=one.reasoning_apart,
        outside=other.outside
        if one.outside is None
        else one.outside
        if other.outside is None
        else add(one.outside, other.outside),
        other_model=one.other_model or other.other_model,
        estimated=one.estimated or other.estimated,
        inconsistent=one.inconsistent or other.inconsistent,
        extra=other.extra or one.extra,
    )


def with_outside(usage: Usage) -> Usage:
    """*usage* with what it leaves out of its counts: all that is billed."""
    return usage if usage.outside is None else add(replace(usage, outside=None), usage.outside)


def at_least(reported: Usage, counted: Usage) -> Usage:
    """Usage that was *reported* before the end of an answer, raised to what was *counted* of it; an estimate.

    The output is the larger one. The input is the reported one where there is one: the count is made from the bytes of
    the request, and those of an image are far more than its tokens.
    """
    usage = replace(reported, estimated=True)
    if not usage.prompt:
        usage = replace(usage, prompt=counted.prompt, total=None)
    if counted.completion > usage.billed_completion:
        usage = replace(_together(usage), completion=counted.completion, total=None)
    return usage


def _together(usage: Usage) -> Usage:
    if not usage.reasoning_apart:
        return usage
    return replace(usage, completion=usage.billed_completion, reasoning_apart=False)


class Cost(Struct, frozen=True, kw_only=True, gc=False):
    """What a generation costs the key, in pico-dollars, with its components.

    `total` is charged. `prompt`, `completion` and `request` are its components where a price is known. Where the price
    is unknown and the provider reported a cost, `total` is that cost and the components are zero. `known` is False
    where neither is available, or where the price lacks something that was used or does not apply to all of the usage;
    `total` is then what is known of it.
    """

    total: Pico = 0
    prompt: Pico = 0
    completion: Pico = 0
    request: Pico = 0
    upstream: Pico | None = None
    known: bool = True

    def plus(self, other: "Cost") -> "Cost":
        """The cost of two model calls of one generation. It is known where both are."""
        both = self.upstream is not None or other.upstream is not None
        return Cost(
            total=self.total + other.total,
            prompt=self.prompt + other.prompt,
            completion=self.completion + other.completion,
            request=self.request + other.request,
            upstream=(self.upstream or 0) + (other.upstream or 0) if both else None,
            known=self.known and other.known,
        )


FREE = Cost()
