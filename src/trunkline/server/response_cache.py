"""The response cache: a client that asks for it gets the answer to the same request again, for nothing.

A request with `X-OpenRouter-Cache: true` is looked for once it is known to be a request, of a key that has money, for
models that there are, and before anything is routed. Two requests are the same if key, model, dialect, streaming and
body are; whitespace in the body does not count, the order of its properties does. What is found is given again in the
dialect's own words (`Client.replay`) under a new id, with a record of its own; what is not is answered as always and
kept if it is a whole answer. Its end is held back until it is kept, so who has seen it finds it.

Requests that are under way do not wait for each other. `Idempotency-Key` comes first: see `idempotency`.

Source: OpenRouter, "Response caching".
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from trunkline.engine.context import Context
from trunkline.engine.generation import Generation
from trunkline.engine.response_headers import id_header
from trunkline.engine.unrecorded import unrecorded
from trunkline.model.errors import AttemptRecord, TrunklineError
from trunkline.model.record import GenerationRecord
from trunkline.ports import EVENT_STREAM, JSON, Sink
from trunkline.server.http.exchange import Exchange
from trunkline.server.http.request_headers import RESPONSE_CACHE
from trunkline.server.recording_sink import Answering, Recorder
from trunkline.server.state import State

TTL = b"x-openrouter-cache-ttl"
CLEAR = b"x-openrouter-cache-clear"
DEFAULT_TTL_S = 300
LEAST_TTL_S, MOST_TTL_S = 1, 86_400

_EXPOSED = (
    b"access-control-expose-headers: X-OpenRouter-Cache-Status,X-OpenRouter-Cache-Age,"
    b"X-OpenRouter-Cache-TTL,X-OpenRouter-Cache-Source-Id\r\n"
)
_INTEGER = re.compile(rb"\s*([+-]?)0*([0-9]+)")
_MISS = b"X-OpenRouter-Cache-Status: MISS\r\n"

logger = logging.getLogger(__name__)


class Caching(Struct, frozen=True):
    """That a request's answer may come from the cache, and goes there for *ttl_s* seconds.

    *clear*: what is there is thrown away first.
    """

    ttl_s: int = DEFAULT_TTL_S
    clear: bool = False


def decide(
    headers: Mapping[bytes, bytes], *, preset_enabled: bool | None = None, preset_ttl_s: int | None = None
) -> Caching | None:
    """What a request with *headers*, and the preset that it names, wants of the cache; None for nothing.

    A preset that says no is obeyed, then the header, then a preset that says yes. The header's time goes before the
    preset's. A preset that does not say, or none at all, is None.
    """
    asked = _flag(headers.get(RESPONSE_CACHE))
    if preset_enabled is False or not (preset_enabled if asked is None else asked):
        return None
    ttl_s = seconds(headers.get(TTL))
    if ttl_s is None:
        ttl_s = DEFAULT_TTL_S if preset_ttl_s is None else _clamped(preset_ttl_s)
    return Caching(ttl_s, clear=_flag(headers.get(CLEAR)) is True)


def seconds(value: bytes | None) -> int | None:
    """The whole number that *value* begins with, within bounds; None where it begins with none."""
    found = None if value is None else _INTEGER.match(value)
    if found is None:
        return None
    sign, digits = found.groups()
    if sign == b"-":
        return LEAST_TTL_S
    return MOST_TTL_S if len(digits) > 9 else _clamped(int(digits))


def _clamped(ttl_s: int) -> int:
    return min(max(ttl_s, LEAST_TTL_S), MOST_TTL_S)


def _flag(value: bytes | None) -> bool | None:
    """What a header says that is `true` or `false`; None where it says neither."""
    return None if value is None else {b"true": True, b"false": False}.get(value.strip().lower())


def key_of(ctx: Context, body: bytes) -> bytes:
    """The name under which the answer to *body* is kept: 64 hex digits, which tell nothing of either."""
    call = ctx.call
    digest = hashlib.sha256(_squeezed(body)).hexdigest()
    preset = None if ctx.preset is None else ctx.preset.version_id
    parts = (2, ctx.key.id, call.model, call.models, ctx.client.name, call.stream, preset, digest)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest().encode()


def _squeezed(body: bytes) -> bytes:
    """*body* without the whitespace that says nothing."""
    try:
        return msgspec.json.format(body, indent=-1)
    except (ValueError, RecursionError):  # what was taken for a request all the same is told apart by all of its bytes
        return body


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the cache holds of an answer, as a MessagePack map. Another version of it is as good as nothing."""

    v: Literal[1]
    source: str
    """The generation's id."""
    ttl_s: int
    """How long it was to be kept."""
    model: str
    """The one that served."""
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    body: bytes
    """What the client got, comments left out."""


_kept = msgspec.msgpack.Decoder(Kept)
_pack = msgspec.msgpack.Encoder()


def within(
    state: State,
    ctx: Context,
    body: bytes,
    exchange: Exchange,
    make: Callable[[Sink], Awaitable[Generation]],
) -> Callable[[Sink], Awaitable[Answering]]:
    """*make*, or what asks the cache before it, where the request or its preset wants that."""
    preset = ctx.preset
    caching = decide(
        exchange.fields,
        preset_enabled=None if preset is None else preset.cache_enabled,
        preset_ttl_s=None if preset is None else preset.cache_ttl_s,
    )
    if caching is None:
        return make

    async def ask_cache(sink: Sink) -> Answering:
        return FromCache(state, ctx, caching, key_of(ctx, body), exchange, make, sink)

    return ask_cache


class FromCache:
    """One answer: out of the cache, or by *make* and into it. Stands where an `Generation` stands."""

    error: TrunklineError | None = None
    attempts: tuple[AttemptRecord, ...] = ()

    def __init__(
        self,
        state: State,
        ctx: Context,
        caching: Caching,
        key: bytes,
        exchange: Exchange,
        make: Callable[[Sink], Awaitable[Generation]],
        sink: Sink,
    ) -> None:
        self._state = state
        self._ctx = ctx
        self._caching = caching
        self._key = key
        self._exchange = exchange
        self._make = make
        self._sink = sink

    async def run(self) -> None:
        """Answer.

        Raises:
            UnknownModel: a name that is not in the catalog.
            OutOfCredit: the key's money is spent, although a hit would cost nothing.
            TrunklineError: what *make* raises; the hit cannot be recorded.
        """
        state, ctx = self._state, self._ctx
        state.engine.router.named(ctx.call)
        state.budgets.check(ctx.key)
        if self._caching.clear:
            await state.answers.delete(self._key)
            hit = False
        else:
            hit = await self._given_again()
        if not hit and not self._sink.gone:
            state.metrics.looked_up(hit=False)
            await self._answered()

    async def _given_again(self) -> bool:
        """Look, and give again what is found; whether something was."""
        found = await self._state.answers.get(self._key)
        if found is None or self._sink.gone:
            return False
        ctx = self._ctx
        try:
            kept = _kept.decode(found.value)
            body = ctx.client.replay(kept.body, ctx.id, int(ctx.created), stream=ctx.call.stream)
        except (ValueError, RecursionError) as error:
            logger.warning("a kept answer cannot be read: %s", type(error).__name__)
            return False
        self._replay(kept, body, min(max(int(kept.ttl_s - found.remaining_s), 0), kept.ttl_s))
        return True

    def _replay(self, kept: Kept, body: bytes, age_s: int) -> None:
        """Give *body*, which is *kept* under our id: record first, then the bytes. With no `await` in between."""
        state, sink = self._state, self._sink
        record = self._record(kept)
        try:
            state.engine.journal.append(record)
        except OSError as problem:
            raise unrecorded(problem) from problem
        state.engine.settled(record)
        state.metrics.looked_up(hit=True)
        headers = id_header(record.id) + _EXPOSED + _hit(kept, age_s)
        if record.streamed:
            sink.start(200, EVENT_STREAM, headers)
            sink.write(body, last=True)
        else:
            sink.respond(200, body, headers=headers)

    def _record(self, kept: Kept) -> GenerationRecord:
        ctx, call = self._ctx, self._ctx.call
        spent_ms = round((self._state.clock.monotonic() - ctx.begun) * 1000)
        return GenerationRecord(
            id=ctx.id,
            created=ctx.created,
            key_id=ctx.key.id,
            status="completed",
            api_type=ctx.client.name,
            model=kept.model,
            requested=call.model or (call.models[0] if call.models else ""),
            streamed=call.stream,
            way="cache",
            finish_reason=kept.finish_reason,
            native_finish_reason=kept.native_finish_reason,
            first_token_ms=spent_ms,
            total_ms=spent_ms,
            response_cache_source_id=kept.source,
            session_id=ctx.session_id,
            user=call.user,
            http_referer=ctx.headers.http_referer,
            app_title=ctx.headers.app_title,
            user_agent=ctx.headers.user_agent,
        )

    async def _answered(self) -> None:
        """Ask, and keep what comes if it is whole."""
        recorder = _Marked(self._sink, self._state.max_answer_bytes, self._caching.ttl_s)
        try:
            answer = await self._make(recorder)
            if self._exchange.stream_headers is not None:
                self._exchange.stream_headers += recorder.marks(200)
            await answer.run()
            self.error, self.attempts = answer.error, answer.attempts
            kept = self._whole(answer, recorder)
            if kept is not None:
                await self._state.answers.put(self._key, _pack.encode(kept), kept.ttl_s)
        finally:
            recorder.release()

    def _whole(self, answer: Generation, recorder: Recorder) -> Kept | None:
        """What is kept of *answer*; None where it is an error, not whole, or too long."""
        record, body = answer.record, recorder.body
        if answer.error is not None or record is None or record.status != "completed" or recorder.status != 200:
            return None
        if body is None or record.finish_reason in (None, "error"):
            return None
        return Kept(
            v=1,
            source=record.id,
            ttl_s=self._caching.ttl_s,
            model=record.model,
            finish_reason=record.finish_reason,
            native_finish_reason=record.native_finish_reason,
            body=body,
        )


def _hit(kept: Kept, age_s: int) -> bytes:
    return (
        b"X-OpenRouter-Cache-Status: HIT\r\nX-OpenRouter-Cache-Age: %d\r\n"
        b"X-OpenRouter-Cache-TTL: %d\r\nX-OpenRouter-Cache-Source-Id: %s\r\n"
    ) % (age_s, kept.ttl_s - age_s, kept.source.encode())


class _Marked(Recorder):
    """Says of an answer that the cache did not have it."""

    def __init__(self, sink: Sink, max_bytes: int, ttl_s: int) -> None:
        super().__init__(sink, max_bytes)
        self._ttl_s = ttl_s

    def marks(self, status: int) -> bytes:
        """The headers; an error is not kept for any time."""
        ttl = b"X-OpenRouter-Cache-TTL: %d\r\n" % self._ttl_s if status == 200 else b""
        return _EXPOSED + _MISS + ttl

    def start(self, status: int, content_type: bytes, headers: bytes = b"") -> None:
        """As `Sink.start`."""
        super().start(status, content_type, headers + self.marks(status))

    def respond(self, status: int, body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> None:
        """As `Sink.respond`, later."""
        super().respond(status, body, content_type, headers + self.marks(status))
