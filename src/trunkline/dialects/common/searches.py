"""The number of web searches in a provider's usage object.

Sources, read 2026-12-01: Anthropic, "Web search tool" (`server_tool_use`), whose words OpenRouter uses too; Perplexity,
"Chat Completions" (`num_search_queries`); xAI, "Tool usage details" (`server_side_tool_usage_details`).
"""

from typing import Any

_PLACES = (
    ("server_tool_use", "web_search_requests"),
    ("server_side_tool_usage_details", "web_search_calls"),
)
_MOST = 2**31
"""Beyond this it is no count."""


def searches_in(usage: dict[str, Any]) -> int | None:
    """How many web searches *usage* names; None where it does not say."""
    found = [usage.get("num_search_queries")]
    found += [place.get(name) for key, name in _PLACES if isinstance(place := usage.get(key), dict)]
    return next((one for one in found if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < _MOST), None)
