"""`Idempotency-Key`: an answer is given once, and again as it was, for nothing.

The order at an answer's end is that of `engine.generation`, one step longer: record, then the kept answer, and only
then the closing bytes. So a client that has seen its answer's end gets the same one for the same key, and one that
lost it on the way does too.

Not kept is what another try may cure (`keeps`), what a client did not wait for, and what is longer than
`MAX_KEPT_BYTES`.

Source: Stripe, "Idempotent requests"; docs/reference/reliability.md, C12.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from trunkline.engine.response_headers import id_header
from trunkline.model.errors import (
    AttemptRecord,
    DatabaseUnavailable,
    IdempotencyMismatch,
    IdempotencyRunning,
    InvalidRequest,
    Overloaded,
    TrunklineError,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamTruncated,
)
from trunkline.ports import EVENT_STREAM, Clock, Sink
from trunkline.server.http.request_headers import IDEMPOTENCY_KEY
from trunkline.server.recording_sink import Answering, Recorder
from trunkline.storage.availability import error_name
from trunkline.storage.idempotency import Entry, IdempotencyStore, Mismatch, Replay, Running

MAX_KEY = 255
"""Characters. Source: Stripe, "Idempotent requests"."""
MAX_KEPT_BYTES = 4 * 1024 * 1024
"""Of an answer's body: some ten times the longest that today's models write."""
LEAST_WAIT_S, MOST_WAIT_S = 1.0, 30.0

_WORKED = frozenset(kind.__name__ for kind in (UpstreamFailed, UpstreamGarbled, UpstreamTruncated))
"""Ways to fail that show that the provider took the request up."""

logger = logging.getLogger(__name__)


def key_of(header: bytes) -> str:
    """The key in *header*.

    Raises:
        InvalidRequest: empty, longer than `MAX_KEY`, or not printable ASCII.
    """
    if not 0 < len(header) <= MAX_KEY or any(not 0x20 <= byte < 0x7F for byte in header):
        raise InvalidRequest(
            f"Idempotency-Key: must be 1 to {MAX_KEY} printable ASCII characters", param=IDEMPOTENCY_KEY.decode()
        )
    return header.decode("ascii")


def hash_of(path: bytes, body: bytes) -> str:
    """What tells requests apart: the hex SHA-256 of *path* and *body*, as they came."""
    digest = hashlib.sha256(path + b"\0")
    digest.update(body)
    return digest.hexdigest()


def keeps(error: TrunklineError | None, attempts: Sequence[AttemptRecord]) -> bool:
    """Whether an answer that ended in *error* after failed *attempts* is kept.

    An answer is. So is an error that would come again, and one of a provider that took the request up, since it may
    bill it. What says "later" is not, nor what went wrong with us, nor what never got to a provider.
    """
    if error is None:
        return True
    if error.fault == "ours" or error.http_status in (429, 499, 503) or error.retry_after_s is not None:
        return False
    if error.http_status < 500:
        return True
    return any(attempt.maybe_billed or attempt.cause in _WORKED for attempt in attempts)


async def once(
    store: IdempotencyStore,
    clock: Clock,
    entry: Entry,
    body_hash: str,
    sink: Sink,
    make: Callable[[Sink], Awaitable[Answering]],
) -> None:
    """Answer on *sink*: what *make* makes where *entry* is the first of its key, else what the first was answered.

    Raises:
        IdempotencyRunning: the first is under way.
        IdempotencyMismatch: the first was another request.
        Overloaded: the database does not answer; without it nobody can tell.
        TrunklineError: what *make* raises.
    """
    now = clock.now()
    try:
        found = await store.begin(entry, body_hash, now)
    except DatabaseUnavailable as error:
        logger.warning("idempotency keys cannot be kept: %s", error_name(error))
        raise Overloaded("the server cannot keep idempotency keys now", retry_after_s=5.0) from error
    if isinstance(found, Replay):
        _replay(sink, found)
    elif isinstance(found, Running):
        wait = min(max(now - found.created, LEAST_WAIT_S), MOST_WAIT_S)  # as long again as it has taken
        raise IdempotencyRunning("the first request with this Idempotency-Key is still running", retry_after_s=wait)
    elif isinstance(found, Mismatch):
        raise IdempotencyMismatch("this Idempotency-Key was used for another request", param=IDEMPOTENCY_KEY.decode())
    else:
        await _first(store, clock, entry, sink, make)


def _replay(sink: Sink, found: Replay) -> None:
    headers = id_header(found.generation_id) + b"Idempotent-Replayed: true\r\n"
    content_type = found.content_type.encode()
    if content_type == EVENT_STREAM:
        sink.start(found.status, content_type, headers)
        sink.write(found.body, last=True)
        return
    if found.status >= 500:
        headers += b"x-should-retry: false\r\n"  # it would come again
    sink.respond(found.status, found.body, content_type, headers)


async def _first(
    store: IdempotencyStore, clock: Clock, entry: Entry, sink: Sink, make: Callable[[Sink], Awaitable[Answering]]
) -> None:
    recorder = Recorder(sink, MAX_KEPT_BYTES)
    answer: Answering | None = None
    try:
        if not sink.gone:  # while the database was asked
            answer = await make(recorder)
            await answer.run()
    finally:
        try:
            await _settle(store, clock, entry, recorder, answer)
        finally:
            recorder.release()


async def _settle(
    store: IdempotencyStore, clock: Clock, entry: Entry, recorder: Recorder, answer: Answering | None
) -> None:
    body = recorder.body
    try:
        if answer is not None and body is not None and keeps(answer.error, answer.attempts):
            content_type = recorder.content_type.decode()
            now = clock.now()
            await store.finish(entry, status=recorder.status, content_type=content_type, body=body, now=now)
        else:
            await store.drop(entry)
    except DatabaseUnavailable as error:
        # The client gets its answer. Until the lease ends, the key is taken.
        logger.warning("the answer %s was not kept: %s", entry.generation_id, error_name(error))
