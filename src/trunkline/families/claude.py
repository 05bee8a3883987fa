"""Anthropic's Claude."""

from trunkline.families.traits import LOW_TO_HIGH, LOW_TO_MAX, Family

BEDROCK = (
    'Bedrock user guide, "Adaptive thinking", "Extended thinking", "Prompt caching", "Use a tool to complete a model '
    'response", "Get validated JSON results", "Anthropic Claude Messages API", read 2026-11-26'
)
NO_SAMPLER = f'{BEDROCK}; Anthropic, "What\'s new in Claude 4.6" and "What\'s new in Claude Opus 4.7", read 2026-11-26'
MIDWAY = f'{NO_SAMPLER}; Anthropic\'s guide "Mid-conversation system messages", langchainjs 1.5.13, read 2026-11-26'

_MARKS = frozenset({"tools", "system", "messages"})

FAMILY = (
    Family(
        pattern=r"claude-(?:opus|sonnet)-4[.-]6", source=NO_SAMPLER, claude=True, thinking="adaptive",
        efforts=(*LOW_TO_HIGH, "max"), top_k="top_k", cache_marks=_MARKS, forced_tool=True, one_sampler=True,
        structured_output=True, prefill=False,
    ),
    Family(
        pattern=r"claude-(?:opus-4[.-]8|(?:opus|sonnet|haiku|fable|mythos)-[5-9])", source=MIDWAY, claude=True,
        thinking="adaptive", efforts=LOW_TO_MAX, hides_thinking=True, top_k="top_k", cache_marks=_MARKS,
        forced_tool=True, one_sampler=True, no_sampler=True, structured_output=True, prefill=False, midway_system=True,
    ),
    Family(
        pattern=r"claude-(?:(?:opus|sonnet|haiku)-(?:4[.-][7-9]|[5-9])|mythos|fable)", source=NO_SAMPLER, claude=True,
        thinking="adaptive", efforts=LOW_TO_MAX, hides_thinking=True, top_k="top_k", cache_marks=_MARKS,
        forced_tool=True, one_sampler=True, no_sampler=True, structured_output=True, prefill=False,
    ),
    Family(
        pattern=r"claude-(?:opus|sonnet|haiku)-4[.-]5", source=BEDROCK, claude=True, thinking="budget", top_k="top_k",
        cache_marks=_MARKS, forced_tool=True, one_sampler=True, structured_output=True,
    ),
    Family(
        pattern=r"claude-opus-4[.-]1", source=BEDROCK, claude=True, thinking="budget", top_k="top_k",
        cache_marks=_MARKS, forced_tool=True, one_sampler=True,
    ),
    Family(
        pattern=r"claude-3-", source=BEDROCK, claude=True, thinking="budget", top_k="top_k", cache_marks=_MARKS,
        forced_tool=True, usual_output=4096,
    ),
    Family(
        pattern=r"claude", source=BEDROCK, claude=True, thinking="budget", top_k="top_k", cache_marks=_MARKS,
        forced_tool=True,
    ),
)  # fmt: skip
