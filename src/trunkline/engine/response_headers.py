"""Headers that answers of the inference routes have. Values are whole lines."""

from trunkline.model.errors import TrunklineError


def id_header(generation_id: str) -> bytes:
    """`X-Generation-Id`."""
    return b"X-Generation-Id: %s\r\n" % generation_id.encode()


def error_headers(error: TrunklineError) -> bytes:
    """`Retry-After`, and whether official clients should retry by themselves.

    Official clients retry any 5xx and 429 twice. Where the gateway has tried all endpoints that is nine calls for one,
    so it tells them not to, unless a provider said how long to wait.
    """
    lines = b""
    if error.retry_after_s is not None and error.http_status in (402, 409, 429, 503):
        lines += b"Retry-After: %d\r\n" % max(1, -int(-error.retry_after_s // 1))
    elif error.http_status == 503:
        lines += b"Retry-After: 1\r\n"
    if error.fault == "upstream":
        wait = error.retry_after_s is not None
        lines += b"x-should-retry: %s\r\n" % (b"true" if wait else b"false")
    return lines
