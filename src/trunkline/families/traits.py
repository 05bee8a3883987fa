"""The traits of a family of models: one row of a family's table."""

from typing import Literal

from msgspec import Struct

Thinking = Literal["adaptive", "budget", "nova", "reasoning_effort", "reasoning", "reasoning_config", "none"]
"""The model's own fields that control thinking:

    adaptive            thinking: {type: adaptive}, output_config: {effort}
    budget              thinking: {type: enabled, budget_tokens}
    nova                reasoningConfig: {type: enabled | disabled, maxReasoningEffort}
    reasoning_effort    reasoning_effort: low …
    reasoning           reasoning: {effort: none … max}
    reasoning_config    reasoning_config: low …
    none                no way is known
"""

LOW_TO_HIGH = ("low", "medium", "high")
LOW_TO_MAX = ("low", "medium", "high", "xhigh", "max")


class Family(Struct, frozen=True, kw_only=True):
    """What the models whose names match `pattern` accept. Defaults stand for a model that no row describes."""

    pattern: str
    """A regular expression that is searched in the lower-case name."""
    source: str
    """Where the row's facts are published, and when they were read."""
    claude: bool = False
    """Is a Claude model: follows Anthropic's rules for signed thoughts, citations, betas and schemas."""

    # Thinking
    reasons: bool = True
    """Can return reasoning; a model that cannot rejects a request for encrypted reasoning."""
    thinking: Thinking = "none"
    efforts: tuple[str, ...] = LOW_TO_HIGH
    """Efforts that it accepts, from least to most."""
    hides_thinking: bool = False
    """Returns no text of its thoughts unless the request asks for a summary."""
    levels: tuple[str, ...] = ()
    """Gemini: thinking levels that it accepts, from least to most; empty where it accepts a budget only."""
    least_budget: int = 1
    """Gemini: the smallest thinking budget, in tokens."""
    most_budget: int | None = None
    """Gemini: the largest thinking budget, in tokens; None where no limit is known."""
    stops_thinking: bool = True
    """Gemini: does not think where the budget is zero."""
    reasoning_format: str | None = None
    """Responses: the format of its encrypted reasoning, where it is not OpenAI's."""

    # Sampling and output
    top_k: Literal["top_k", "topK"] | None = None
    """The model's own field for top-k; `topK` stands in an `inferenceConfig` of its own (Nova)."""
    one_sampler: bool = False
    """Accepts a temperature or top-p, not both."""
    no_sampler: bool = False
    """Accepts neither of them, nor top-k."""
    usual_output: int | None = None
    """The output limit to send where neither the client nor the configuration names one; None: the dialect's."""
    structured_output: bool = False
    """Accepts a JSON Schema for its answer."""

    # Messages
    prefill: bool = True
    """Accepts a conversation that ends with the beginning of the assistant's answer."""
    midway_system: bool = False
    """Accepts system messages within the conversation."""
    cache_marks: frozenset[str] = frozenset()
    """Parts of a request that can be marked for caching: `tools`, `system`, `messages`."""
    cache_breakpoints: bool = False
    """Responses: accepts `prompt_cache_breakpoint`; models without it cache by themselves."""

    # Tools
    forced_tool: bool = False
    """Accepts a tool choice that names one tool."""
    server_tools: tuple[tuple[str, str], ...] = ()
    """Tools that Bedrock runs for it: the beginning of what other dialects call the tool → its name on Bedrock."""
