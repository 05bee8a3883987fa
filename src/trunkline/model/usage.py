"""What a generation used, in tokens, and what it cost."""

from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from trunkline.model.money import Pico


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Tokens of one generation, in the model's own tokenizer.

    `prompt` counts all input: cache reads (`cached`) and cache writes (`cache_write`) are part of it. `completion` is
    what the provider calls output; `reasoning` is part of it unless `reasoning_apart`. None means the provider did not
    say, zero that it said zero. Source: wire-common §12.
    """

    prompt: int = 0
    completion: int = 0
    total: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    """Of `cache_write`, what is kept for an hour (Anthropic): it has a price of its own."""
    reasoning: int | None = None
    reasoning_apart: bool = False
    """True where the provider leaves reasoning out of `completion` (xAI); it is billed as output all the same."""
    audio_prompt: int | None = None
    video_prompt: int | None = None
    audio_completion: int | None = None
    image_completion: int | None = None
    accepted_prediction: int | None = None
    rejected_prediction: int | None = None
    upstream_cost: Pico | None = None
    """What the provider itself says the call cost; None where it does not say."""
    estimated: bool = False
    """True where the provider gave no usage and we counted."""
    inconsistent: bool = False
    """True where the provider's numbers contradict each other; they are kept, clamped at zero."""
    extra: dict[str, Any] = field(default_factory=dict)
    """The provider's usage fields that have no name here, as they came; a client of the same dialect gets them back."""

    @property
    def billed_completion(self) -> int:
        """Output tokens to bill: the completion, and reasoning where it is counted apart."""
        return self.completion + (self.reasoning or 0 if self.reasoning_apart else 0)


_COUNTS = (
    "prompt", "completion", "total", "cached", "cache_write", "cache_write_1h", "reasoning", "audio_prompt",
    "video_prompt", "audio_completion", "image_completion", "accepted_prediction", "rejected_prediction",
    "upstream_cost",
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
        estimated=one.estimated or other.estimated,
        inconsistent=one.inconsistent or other.inconsistent,
        extra=other.extra or one.extra,
    )


def _together(usage: Usage) -> Usage:
    if not usage.reasoning_apart:
        return usage
    return replace(usage, completion=usage.billed_completion, reasoning_apart=False)


class Cost(Struct, frozen=True, kw_only=True, gc=False):
    """What a generation costs the key, in pico-dollars, and of what it is made up.

    `total` is charged. `prompt`, `completion` and `request` are its parts where a price is known; where the price is
    unknown and the provider reported a cost, `total` is that and the parts are zero. `known` is False where neither
    was to be had: the total is then zero, and the record says so.
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
