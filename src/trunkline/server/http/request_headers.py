"""What a request's headers tell. Source: wire-common §2."""

import re
from functools import lru_cache

from trunkline.dialects.common.json_input import printable
from trunkline.engine.context import RequestHeaders
from trunkline.server.auth import Headers, digest_of
from trunkline.server.http.exchange import Exchange
from trunkline.server.idempotency import HEADER as IDEMPOTENCY
from trunkline.server.response_cache import HEADER as CACHE

MAX_HEADER_VALUE = 256

_METADATA_LEGACY = b"x-openrouter-experimental-metadata"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_headers(exchange: Exchange) -> RequestHeaders:
    """What the headers of *exchange* tell: read once, and for all exchanges with one head."""
    head = exchange.head
    found = head.parsed
    if found is None:
        found = head.parsed = read(head.fields)
    return found


def read(headers: Headers) -> RequestHeaders:
    """What *headers* tell."""
    betas = headers.get(b"anthropic-beta") or headers.get(b"x-anthropic-beta")
    return RequestHeaders(
        digest=digest_of(headers),
        session_id=_text(headers.get(b"x-session-id")),
        http_referer=_text(headers.get(b"http-referer") or headers.get(b"referer")),
        app_title=_text(headers.get(b"x-openrouter-title") or headers.get(b"x-title")),
        user_agent=_text(headers.get(b"user-agent")),
        metadata=_enabled(headers.get(b"x-openrouter-metadata") or headers.get(_METADATA_LEGACY)),
        betas=() if betas is None else _names(betas),
        compressed=headers.get(b"content-encoding", b"identity") != b"identity",
        waits=IDEMPOTENCY in headers or CACHE in headers,
    )


def _enabled(value: bytes | None) -> bool:
    return value is not None and value.strip().lower() == b"enabled"


def _names(value: bytes) -> tuple[str, ...]:
    """The names in a comma-separated header; what is no name is left out, since these go to a provider's header."""
    found = (name.strip() for name in value.decode("latin-1").split(","))
    return tuple(name for name in found if _NAME.fullmatch(name))


def _text(value: bytes | None) -> str | None:
    """A header's value for the record: readable, and not too long."""
    return None if not value else _readable(value)


@lru_cache(maxsize=256)
def _readable(value: bytes) -> str:
    return printable(value.decode("latin-1"), MAX_HEADER_VALUE)
