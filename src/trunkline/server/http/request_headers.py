"""Parse a request's headers into `RequestHeaders`. Source: OpenRouter, "API overview"."""

import re
from functools import lru_cache

from trunkline.dialects.common.json_input import printable
from trunkline.engine.context import RequestHeaders
from trunkline.server.auth import Headers, key_digest
from trunkline.server.http.exchange import Exchange

IDEMPOTENCY_KEY = b"idempotency-key"
RESPONSE_CACHE = b"x-openrouter-cache"

MAX_HEADER_VALUE = 256

_METADATA_LEGACY = b"x-openrouter-experimental-metadata"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_headers(exchange: Exchange) -> RequestHeaders:
    """The parsed headers of *exchange*, parsed once for all exchanges that share the head."""
    head = exchange.head
    found = head.parsed
    if found is None:
        found = head.parsed = parse_headers(head.fields)
    return found


def parse_headers(headers: Headers) -> RequestHeaders:
    """Parse *headers*."""
    betas = headers.get(b"anthropic-beta") or headers.get(b"x-anthropic-beta")
    return RequestHeaders(
        digest=key_digest(headers),
        session_id=_readable_or_none(headers.get(b"x-session-id")),
        http_referer=_readable_or_none(headers.get(b"http-referer") or headers.get(b"referer")),
        app_title=_readable_or_none(headers.get(b"x-openrouter-title") or headers.get(b"x-title")),
        user_agent=_readable_or_none(headers.get(b"user-agent")),
        metadata=_enabled(headers.get(b"x-openrouter-metadata") or headers.get(_METADATA_LEGACY)),
        betas=() if betas is None else _beta_names(betas),
        compressed=headers.get(b"content-encoding", b"identity") != b"identity",
        waits=IDEMPOTENCY_KEY in headers or RESPONSE_CACHE in headers,
    )


def _enabled(value: bytes | None) -> bool:
    return value is not None and value.strip().lower() == b"enabled"


def _beta_names(value: bytes) -> tuple[str, ...]:
    """The names in a comma-separated header. Invalid names are dropped, since they are sent to a provider."""
    found = (name.strip() for name in value.decode("latin-1").split(","))
    return tuple(name for name in found if _NAME.fullmatch(name))


def _readable_or_none(value: bytes | None) -> str | None:
    """A header's value for the record: printable and of limited length; None where empty."""
    return None if not value else _readable(value)


@lru_cache(maxsize=256)
def _readable(value: bytes) -> str:
    return printable(value.decode("latin-1"), MAX_HEADER_VALUE)
