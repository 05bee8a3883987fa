"""Names for the `anthropic-beta` header that a request needs and its client did not give.

OpenRouter's clients ask for what is in beta by its fields alone, and Anthropic answers 400 to a field whose beta is not
in the header. The bytes of the body are searched for the fields, since what is relayed is never taken apart; a field's
name that stands where it means something else only names a beta that nobody uses.

Source: the docstrings and `AnthropicBetaParam` of Anthropic's Python SDK 2.14, read 2026-11-26.
"""

import re

from trunkline.families.lookup import family_of
from trunkline.model.endpoint import Endpoint

NEEDED: tuple[tuple[bytes, re.Pattern[bytes] | None, str], ...] = (
    (b'"compact_20260112"', None, "compact-2026-01-12"),
    (b'"context_management"', re.compile(rb'"clear_(?:tool_uses|thinking)_'), "context-management-2025-06-27"),
    (b'"mcp_servers"', None, "mcp-client-2025-11-20"),
    (b'"speed"', re.compile(rb'"speed"\s*:\s*"fast"'), "fast-mode-2026-02-01"),
    (b'"task_budget"', re.compile(rb'"task_budget"\s*:\s*\{'), "task-budgets-2026-03-13"),
    (b'"advisor_20260301"', None, "advisor-tool-2026-03-01"),
    (b'"file_id"', re.compile(rb'"file_id"\s*:\s*"'), "files-api-2025-04-14"),
    (b'"updates"', re.compile(rb'"display"\s*:\s*"updates"'), "thinking-display-updates-2026-08-18"),
    (b'"block_binding"', None, "thinking-binding-controls-2026-08-01"),
    (b'"clear_at"', re.compile(rb'"clear_at"\s*:\s*"'), "mid-conversation-system-clear-at-2026-08-21"),
    (b'"tool_addition"', None, "mid-conversation-tool-changes-2026-07-01"),
    (b'"tool_removal"', None, "mid-conversation-tool-changes-2026-07-01"),
    (b'"tool_definition"', None, "inline-tools-2026-09-15"),
)
"""What stands in the body, how it has to stand there, and the beta that it needs."""
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def header(body: bytes, betas: tuple[str, ...], endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """The header that goes with *body*: the client's *betas*, and what the body needs beyond them.

    A client that names any version of a beta is left to it. Providers of other models are told what the client says.
    """
    named = {_DATE.sub("", beta) for beta in betas}
    for mark, pattern, beta in NEEDED:
        if mark not in body or (pattern is not None and pattern.search(body) is None):
            continue
        if _DATE.sub("", beta) not in named and _is_claude(endpoint):
            named.add(_DATE.sub("", beta))
            betas = (*betas, beta)
    return (("anthropic-beta", ",".join(betas)),) if betas else ()


def _is_claude(endpoint: Endpoint) -> bool:
    return any(family_of(name).claude for name in (endpoint.upstream_model, endpoint.model))
