"""The error tree. Each class answers four questions; `tests/unit/model/test_error_tree.py` walks the tree.

    class                 whose fault   status   another endpoint?   billed?
    ───────────────────────────────────────────────────────────────────────────────────────────────────
    InvalidRequest        caller        400      no                  no
    PayloadTooLarge       caller        413      no                  no
    Unauthenticated       caller        401      no                  no
    OutOfCredit           caller        402      no                  no
    Forbidden             caller        403      no                  no
    UnknownModel          caller        400      no                  no
    NotFound              caller        404      no                  no
    NoEndpoint            caller        404      no                  no
    RequestTimeout        caller        408      no                  no
    IdempotencyRunning    caller        409      no                  no
    IdempotencyMismatch   caller        422      no                  no
    RateLimited           caller        429      no                  no
    ClientGone            caller        499      no                  what was reported
    UpstreamRejected      caller        400      no (another model)  no
      ContextTooLong      caller        400      if its limits differ  no
    UpstreamUnreachable   upstream      502      yes                 no
    UpstreamLimited       upstream      429      yes                 no
    UpstreamDenied        upstream      502      yes                 no
    UpstreamOverloaded    upstream      503      yes                 no
    UpstreamTimeout       upstream      504      yes                 maybe
    UpstreamFailed        upstream      502      yes                 no
    UpstreamTruncated     upstream      502      until committed     what was reported
    UpstreamGarbled       upstream      502      until committed     what was reported
    AllAttemptsFailed     upstream      the last one's  no           no
    Overloaded            ours          503      no                  no
      DatabaseUnavailable  ours         503      no                  no
    Internal              ours          500      no                  no

Dialects give an error its wire form; routes raise and never build one. Sources: OpenRouter, "Errors and debugging";
docs/reference/reliability.md, "Error contract".
"""

from typing import Any, ClassVar, Literal, TypeVar

from msgspec import Struct

E = TypeVar("E", bound=BaseException)

Fault = Literal["caller", "upstream", "ours"]

MAX_UPSTREAM_WORDS = 1000
"""The maximum number of characters of an upstream's error message that is passed on.

Source: docs/reference/reliability.md, "Error contract".
"""


def stripped(error: E) -> E:
    """Drop the traceback of *error* and the errors that led to it; return *error*.

    A traceback refers to the frames that the error passed through, and these refer to the request and its body. While
    one of the frames, or an object that it refers to, refers to the error in turn, this is a reference cycle: the
    request stays in memory until the cyclic garbage collector runs. So whoever ends or stores an error calls this.
    """
    links: list[BaseException] = [error]
    while links:
        link = links.pop()
        links += [each for each in (link.__cause__, link.__context__) if each is not None]
        link.__traceback__ = link.__cause__ = link.__context__ = None
    return error


def settled(error: Exception) -> Exception:
    """*error* as it is stored to be raised again: stripped, unless it is a bug, whose traceback the log needs."""
    return stripped(error) if isinstance(error, TrunklineError) else error


class AttemptRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to one endpoint: an element of the generation record, and of `previous_errors` where it failed."""

    provider: str
    """The provider's display name."""
    model: str
    """`author/slug`."""
    tag: str = ""
    status: int = 0
    """The upstream's HTTP status; 0 where it sent no response."""
    error_type: str | None = None
    cause: str | None = None
    """The class name of the error in this module."""
    message: str | None = None
    latency_ms: int = 0
    maybe_billed: bool = False
    """True where the upstream may have started to generate before the attempt was cancelled."""


class TrunklineError(Exception):
    """The base class of all errors. Raise its subclasses only.

    Attributes:
        message: what is wrong and with which value; safe to show to the caller.
        param: the request field at fault (`messages[0].content`), or None.
        retry_after_s: seconds after which a retry may succeed, or None where unknown.
        provider: display name of the upstream at fault, or None.
        provider_code: the upstream's own error code, or None.
        raw: the upstream's own message, cut to `MAX_UPSTREAM_WORDS`, or None.
        metadata: additional keys for the error object's `metadata`.
        availability: the error object's `availability`, or None.
        attempts: the attempts that failed before, oldest first.
    """

    fault: ClassVar[Fault] = "ours"
    status: ClassVar[int] = 500
    error_type: ClassVar[str] = "server"
    another_endpoint: ClassVar[bool] = False
    billed: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        provider: str | None = None,
        provider_code: str | None = None,
        upstream_status: int = 0,
        raw: str | None = None,
        metadata: dict[str, Any] | None = None,
        availability: dict[str, Any] | None = None,
        attempts: tuple[AttemptRecord, ...] = (),
        error_type: str | None = None,
        maybe_billed: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.provider = provider
        self.provider_code = provider_code
        self.upstream_status = upstream_status
        self.raw = None if raw is None else raw[:MAX_UPSTREAM_WORDS]
        self.metadata = metadata or {}
        self.availability = availability
        self.attempts = attempts
        self.maybe_billed = maybe_billed
        self.kind: str = error_type or self.error_type
        """The canonical `error_type` of this error; by default the class's."""
        self.routing: dict[str, Any] | None = None
        """`openrouter_metadata` of the error object; None where the caller did not request it."""
        self.http_status: int = self.status
        """The HTTP status of this error; by default the class's."""


class InvalidRequest(TrunklineError):
    """The body is not what the dialect takes; `param` names the field."""

    fault, status, error_type = "caller", 400, "invalid_request"


class PayloadTooLarge(TrunklineError):
    """The body is over the limit of its route."""

    fault, status, error_type = "caller", 413, "payload_too_large"


class Unauthenticated(TrunklineError):
    """No key, or one we do not know."""

    fault, status, error_type = "caller", 401, "authentication"


class OutOfCredit(TrunklineError):
    """The key's limit does not cover the request."""

    fault, status, error_type = "caller", 402, "payment_required"


class Forbidden(TrunklineError):
    """The key may not do this."""

    fault, status, error_type = "caller", 403, "permission_denied"


class UnknownModel(TrunklineError):
    """No such model here. 400 as OpenRouter: `X is not a valid model ID`."""

    fault, status, error_type = "caller", 400, "invalid_request"


class NotFound(TrunklineError):
    """No such object or path."""

    fault, status, error_type = "caller", 404, "not_found"


class NoEndpoint(TrunklineError):
    """The model exists and every endpoint was filtered out; `filtered` says by which filter each was."""

    fault, status, error_type = "caller", 404, "not_found"

    def __init__(self, message: str, *, filtered: list[dict[str, str]] | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.filtered = filtered or []


class RequestTimeout(TrunklineError):
    """The client sent its request too slowly."""

    fault, status, error_type = "caller", 408, "timeout"


class IdempotencyRunning(TrunklineError):
    """The first request with this `Idempotency-Key` is still under way."""

    fault, status, error_type = "caller", 409, "conflict"


class IdempotencyMismatch(TrunklineError):
    """This `Idempotency-Key` was sent before with another body or path."""

    fault, status, error_type = "caller", 422, "unprocessable"


class RateLimited(TrunklineError):
    """The key asks too often."""

    fault, status, error_type = "caller", 429, "rate_limit_exceeded"


class ClientGone(TrunklineError):
    """The client went away; nobody reads this, the record does."""

    fault, status, error_type, billed = "caller", 499, "client_closed", True


class UpstreamRejected(TrunklineError):
    """The upstream finds fault with the request (400, 413, 422, content policy); its words are kept."""

    fault, status, error_type = "caller", 400, "invalid_request"


class ContextTooLong(UpstreamRejected):
    """The prompt does not fit this endpoint; one with a larger window may take it."""

    error_type, another_endpoint = "context_length_exceeded", True


class UpstreamUnreachable(TrunklineError):
    """No connection: DNS, refused, no route, TLS, proxy. The request was not processed."""

    fault, status, error_type, another_endpoint = "upstream", 502, "provider_unavailable", True


class UpstreamLimited(TrunklineError):
    """429 from the upstream. The credential rests, for `retry_after_s` where the upstream said."""

    fault, status, error_type, another_endpoint = "upstream", 429, "rate_limit_exceeded", True


class UpstreamDenied(TrunklineError):
    """401, 402 or 403 from the upstream: our credential, not the caller's; it leaves the pool."""

    fault, status, error_type, another_endpoint = "upstream", 502, "provider_unavailable", True


class UpstreamOverloaded(TrunklineError):
    """503 or 529 from the upstream, or no connection free in time."""

    fault, status, error_type, another_endpoint = "upstream", 503, "provider_overloaded", True


class UpstreamTimeout(TrunklineError):
    """Nothing, or nothing with content, within a deadline."""

    fault, status, error_type, another_endpoint, billed = "upstream", 504, "timeout", True, True


class UpstreamFailed(TrunklineError):
    """Any other answer that is not one: 500, 404, a redirect, an HTML page, an error inside a 200."""

    fault, status, error_type, another_endpoint = "upstream", 502, "provider_unavailable", True


class UpstreamTruncated(TrunklineError):
    """The body ended before the dialect's own end. Never a normal finish."""

    fault, status, error_type, another_endpoint, billed = "upstream", 502, "provider_unavailable", True, True


class UpstreamGarbled(TrunklineError):
    """Bytes that are not what the dialect or HTTP allows, or more of them than the bounds."""

    fault, status, error_type, another_endpoint, billed = "upstream", 502, "provider_unavailable", True, True


class AllAttemptsFailed(TrunklineError):
    """Every endpoint of the plan failed; status and type are the last one's, or what they have in common."""

    fault, status, error_type = "upstream", 502, "provider_unavailable"


class Overloaded(TrunklineError):
    """We are full or draining; try again shortly."""

    fault, status, error_type = "ours", 503, "provider_overloaded"


class DatabaseUnavailable(Overloaded):
    """Our database cannot be reached, or does not answer in time."""


class Internal(TrunklineError):
    """A fault of ours. The caller gets a generic text and an id, the log the rest."""

    fault, status, error_type = "ours", 500, "server"
