"""Tables of the dialect's words that requests and answers share."""

SAMPLING = (
    "temperature", "top_p", "top_k", "top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "seed", "logit_bias", "logprobs", "top_logprobs", "n",
)  # fmt: skip
SAME = ("user", "service_tier", "verbosity", "prompt_cache_key", "parallel_tool_calls")
"""Fields that are called the same here as there."""
REASONING = ("effort", "summary", "max_tokens", "exclude", "enabled", "context", "mode")
THOUGHTS = ("reasoning", "reasoning_content")
"""Fields of a message that hold its reasoning as a string."""
FORMS = {
    "reasoning.text": ("text", "text"),
    "reasoning.summary": ("summary", "summary"),
    "reasoning.encrypted": ("encrypted", "data"),
}
"""A reasoning detail's type → our form, and the key its text is under."""
DETAILS = {form: (kind, key) for kind, (form, key) in FORMS.items()} | {"plain": ("reasoning.text", "text")}
"""A form of reasoning → its detail's type, and the key its text is under."""
