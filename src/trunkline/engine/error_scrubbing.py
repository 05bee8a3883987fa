"""Upstream words made fit for others: no key, no host, no path of ours in them.

Source: docs/reference/reliability.md, S4.
"""

import re
from urllib.parse import urlsplit

from trunkline.providers.provider import Provider

_KEYLIKE = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|key|api|AIza|ya29|hf|r8|nvapi|pplx|csk|fw)[-_][A-Za-z0-9_\-.*]{6,}|"
    r"\bAIza[A-Za-z0-9_\-]{20,}|\bya29\.[A-Za-z0-9_\-.]+|\bABSK[A-Za-z0-9+/=]{12,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\beyJ[A-Za-z0-9_\-]{10,}(?:\.[A-Za-z0-9_\-]+)*|\bBearer\s+\S+|\b[A-Fa-f0-9]{32,}\b",
)
_ADDRESS = re.compile(r"\bhttps?://[^\s\"'<>]+|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b")
_ACCOUNT = re.compile(r"\b(?:org|proj|user|acct)[-_][A-Za-z0-9]{6,}")
_PATH = re.compile(r"(?<![\w/])/(?:usr|home|opt|var|etc|app|srv|root|tmp)/[^\s\"'<>:,]+")


class Scrubber:
    """Knows the secrets of the configuration, so that they are found however they are quoted."""

    def __init__(self, secrets: frozenset[str]) -> None:
        known = sorted((re.escape(secret) for secret in secrets if len(secret) >= 6), key=len, reverse=True)
        self._known = re.compile("|".join(known)) if known else None

    def scrub(self, words: str, provider: Provider) -> str:
        """*words* without secrets, addresses, account ids and paths."""
        if self._known is not None:
            words = self._known.sub("[key]", words)
        words = _KEYLIKE.sub("[key]", words)
        host = urlsplit(provider.base_url).hostname
        words = _ADDRESS.sub("[address]", words)
        if host and ("." in host or ":" in host):  # a bare word would be taken out of prose
            words = re.sub(re.escape(host), "[address]", words, flags=re.IGNORECASE)
        return _PATH.sub("[path]", _ACCOUNT.sub("[account]", words))
