"""A plan, carried out: one generation from its first attempt to its record.

The order of things at the end of an answer is what makes the accounts exact: the upstream's end is seen, cost and
record are made, the record goes to the journal, and only then do the closing bytes go to the client. A client that has
seen the end of its answer can find it in the books.

Until the commit point (see `dialects.interfaces.Converter`) an attempt that fails is followed by the next endpoint;
after it, the answer ends with the dialect's in-band error. Time limits that need to know what content is (first
content, content idle) are kept here, those on bytes by the transport.

Sources: reliability §3, §5; openrouter-semantics §5.4, §19.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from trunkline.dialects.common.signatures import restore
from trunkline.dialects.interfaces import Converter, Encoded, Identity, Outcome, Relay, Upstream
from trunkline.dialects.registry import RELAYS
from trunkline.dialects.translation import Translation
from trunkline.engine.context import Context
from trunkline.engine.credentials import Credentials
from trunkline.engine.error_scrubbing import Scrubber
from trunkline.engine.hedging import race
from trunkline.engine.router import Route, Router
from trunkline.engine.router_metadata import metadata
from trunkline.engine.signature_memory import SignatureMemory
from trunkline.engine.targets import Kind, Target, Targets
from trunkline.ledger.budget import Reservation
from trunkline.ledger.cost import billable
from trunkline.ledger.cost import cost as price_of
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import (
    AllAttemptsFailed,
    Attempt,
    ClientGone,
    Internal,
    Overloaded,
    TrunklineError,
    UpstreamLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
)
from trunkline.model.loss import Loss
from trunkline.model.record import GenerationRecord, Status
from trunkline.model.usage import FREE, Cost, Usage
from trunkline.ports import EVENT_STREAM, Clock, DirectTransport, Journal, Response, Sink, Timeouts
from trunkline.providers.provider import Credential, Provider
from trunkline.transport.write_batching import WriteBatcher, Written

MAX_ERROR_BYTES = 64 * 1024
"""Of an error's body that is read. Source: reliability §5, U17."""
BYTES_PER_TOKEN = 4
"""For an estimate where a provider reports no usage: English prose in any of today's tokenizers, roughly."""

logger = logging.getLogger(__name__)


class EngineContext(Struct, frozen=True, kw_only=True):
    """What carrying out a plan needs of the world; one of these serves all requests until the configuration changes.

    `settled` is told of every record, after the journal has it.
    """

    transport: DirectTransport
    clock: Clock
    journal: Journal
    credentials: Credentials
    targets: Targets
    providers: dict[str, Provider]
    timeouts: Timeouts
    scrubber: Scrubber
    signatures: SignatureMemory
    relay: bool
    """Whether bytes may pass untranslated where both sides speak one dialect."""
    batcher: WriteBatcher
    settled: Callable[[GenerationRecord], None]
    attempt_failed: Callable[[str, TrunklineError], None]
    router: Router
    max_attempts: int
    """Endpoints asked for one model. Source: reliability §3."""
    hedge_after_s: float | None = None


class Generation:
    """One generation. `run` it once; it answers on the sink, settles the reservation and leaves one record."""

    # What most answers never change stands in the class.
    error: TrunklineError | None = None
    """What it ended in, where that was no success."""
    record: GenerationRecord | None = None
    """What it came to; there once the journal has it."""
    _endpoint: Endpoint | None = None
    _target: Target | None = None
    _losses: tuple[Loss, ...] = ()
    """Of the request."""
    _converter: Converter | None = None
    _response: Response | None = None
    _identity: Identity | None = None
    _task: "asyncio.Task[None] | None" = None
    _aborting: TrunklineError | None = None
    _first_token: float | None = None
    _request_bytes = 0
    _start = b""
    _way = "relay"
    _relay: Relay | None = None
    """What passes the answer on, where the way is that."""
    _finished = False
    _direct = False
    """An attempt was begun without a task, and is under way or has to be gone on with."""
    _cancelled = False
    _trouble: Exception | None = None
    """What went wrong at the end of such an attempt."""
    _on_over: Callable[[], None] | None = None
    _together = False
    """The record is to be written with those of others."""
    _last: Callable[[], None] | None = None
    """What is left to be done when it is."""
    _credential: Credential | None = None
    _hedge: Endpoint | None = None
    """The endpoint that was asked beside another one."""
    _begun_at = 0.0
    """When the attempt began."""
    _sent_at = 0.0
    _content_at = 0.0
    _said = (0, 0)

    def __init__(self, world: EngineContext, ctx: Context, route: Route, sink: Sink, reservation: Reservation) -> None:
        self._world = world
        self._ctx = ctx
        self._route = route
        self._sink = sink
        self._reservation = reservation
        self._attempts: list[Attempt] = []
        self._waits: list[float] = []
        """What providers said about when to come again, in seconds."""

    def launch(self, on_over: Callable[[], None]) -> None:
        """As `run`, and call *on_over* at the end; with no task where the first attempt goes as most do.

        That is: the provider's connection is idle, and its answer is whole and an answer. The transport's reader then
        does all there is to do. Whatever else comes is taken up by `run`, in a task, from where it stands.
        """
        self._on_over = on_over
        self._sink.listener = self
        if self._world.hedge_after_s is not None:  # that waits
            self._go_on()
            return
        try:
            self._begin(self._route.plan.first)
        except TrunklineError:
            self._direct = False  # it is raised again where it can be dealt with
        if self._direct:
            return
        self._go_on()

    def _begin(self, endpoint: Endpoint) -> None:
        """Begin the attempt, if that can be done at once."""
        target, credential, encoded = self._prepare(endpoint)
        if credential.auth == "google":  # a token may have to be fetched
            return
        request = target.request(credential, encoded, self._timeouts(), self._kind())
        self._sent_at = self._content_at = self._world.clock.monotonic()
        self._response = self._world.transport.begin(request, self._on_chunk, self._on_end)
        self._direct = self._response is not None

    def _on_end(self, whole: bool) -> None:
        """The attempt that `launch` began has ended, or it cannot go on without a task."""
        if self._finished:
            self._served()
        elif whole:
            self._world.batcher.add(self._close_up)
        elif self._cancelled or (isinstance(self._aborting, ClientGone) and self._converter is None):
            assert self._aborting is not None
            self._fail(self._aborting)
            self._response = None
            self._over()
        else:
            self._go_on()

    def _close_up(self) -> Written | None:
        """The body of the attempt that `launch` began has ended; `_answer` is left to be done."""
        self._together = True
        try:
            self._close()
        except Exception as error:  # noqa: BLE001 - raised again by `_attempt`
            self._trouble = error
            self._go_on()
            return None
        finally:
            self._together = False
        return self._answer

    def _answer(self, failure: OSError | None) -> None:
        """The record is written, or it is not."""
        last, self._last = self._last, None
        assert last is not None
        try:
            if failure is not None:
                raise unrecorded(failure)
            last()
        except Exception as error:  # noqa: BLE001 - raised again by `_attempt`
            self._trouble = error
            self._go_on()
        else:
            self._served()

    def _served(self) -> None:
        assert self._target is not None
        assert self._credential is not None
        self._world.credentials.served(self._target.provider, self._credential)
        self._response = None
        self._over()

    def _go_on(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.run())

    def cancel(self) -> None:
        """The server is shutting down: end this in an error."""
        if self._task is not None:
            self._task.cancel()
        elif self._response is not None:
            self._cancelled = True
            self._aborting = Overloaded("the server is shutting down", retry_after_s=1.0)
            self._response.abort()

    def _over(self) -> None:
        """Nothing more will come of this."""
        self._reservation.release()
        self._sink.listener = None
        self._task = None
        on_over, self._on_over = self._on_over, None
        if on_over is not None:
            on_over()

    async def run(self) -> None:
        """Carry the plan out. Every error ends here: as the client's answer, and in the record."""
        self._task = asyncio.current_task()
        self._sink.listener = self
        try:
            await self._carry_out()
        except TrunklineError as error:
            self._fail(error)
        except asyncio.CancelledError:
            if self._aborting is None:
                self._fail(Overloaded("the server is shutting down", retry_after_s=1.0))
                raise
            self._fail(self._aborting)
        except Exception as error:
            logger.exception("generation %s failed", self._ctx.id)
            internal = Internal("internal error")
            internal.__cause__ = error
            self._fail(internal)
        finally:
            self._over()

    async def _carry_out(self) -> None:
        last: TrunklineError | None = None
        for candidates in self._route.plan.candidates:
            asked = candidates.endpoints[: self._world.max_attempts]
            for place, endpoint in enumerate(asked):
                if endpoint is self._hedge:  # asked beside the one before it
                    continue
                begun = self._sent_at if self._direct else self._world.clock.monotonic()
                following = asked[place + 1] if place + 1 < len(asked) else None
                try:
                    await self._attempt(endpoint, following)
                    return
                except TrunklineError as error:
                    last = self._failed(self._endpoint or endpoint, error, begun)
                if self._finished or self._committed or self._sink.gone:
                    raise last
                if not last.another_endpoint:
                    break
        assert last is not None, "a plan is never empty"
        raise self._final(last)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Those that failed, oldest first."""
        return tuple(self._attempts)

    @property
    def _cause(self) -> TrunklineError | None:
        """Why we broke the attempt off ourselves, if we did."""
        return self._aborting

    @property
    def _committed(self) -> bool:
        return self._converter is not None and self._converter.committed

    def _kind(self) -> Kind:
        return "stream" if self._ctx.call.stream else "body"

    def _prepare(self, endpoint: Endpoint) -> tuple[Target, Credential, Encoded]:
        """Turn to *endpoint*: what is sent there, and with what."""
        world, ctx = self._world, self._ctx
        provider = world.providers[endpoint.provider]
        target = self._target = world.targets.of(endpoint, provider, ctx.client.name)
        self._endpoint, self._converter, self._start, self._aborting = endpoint, None, b"", None
        self._said = (0, 0)
        self._begun_at = world.clock.monotonic()
        encoded = self._encoded(target)
        self._request_bytes = len(encoded.body)
        self._losses = encoded.losses if ctx.preset is None else (*ctx.preset.losses, *encoded.losses)
        self._identity = Identity(
            id=ctx.id,
            model=endpoint.model,
            provider=endpoint.provider_name,
            created=int(ctx.created),
            prompt_tokens=self._request_bytes // BYTES_PER_TOKEN,
        )
        credential = self._credential = world.credentials.pick(provider)
        return target, credential, encoded

    def _send(self, endpoint: Endpoint) -> tuple[Target, Credential, Awaitable[Response]]:
        """The call to *endpoint*: what `launch` began, or a new one."""
        transport = self._world.transport
        if self._direct:
            self._direct = False
            assert self._target is not None
            assert self._credential is not None
            assert self._response is not None
            return self._target, self._credential, transport.headed(self._response)
        target, credential, encoded = self._prepare(endpoint)
        return target, credential, target.send(transport, credential, encoded, self._timeouts(), self._kind())

    async def _attempt(self, endpoint: Endpoint, following: Endpoint | None) -> None:
        world = self._world
        target, credential, sending = self._send(endpoint)
        provider = target.provider
        try:
            if world.hedge_after_s is None or following is None:
                response = await sending
            else:
                response = await self._hedged(endpoint, following, sending, world.hedge_after_s)
                assert self._target is not None
                assert self._credential is not None
                target, credential, provider = self._target, self._credential, self._target.provider
            self._response = response
            self._sent_at = self._content_at = world.clock.monotonic()
            if (cause := self._cause) is not None:
                response.abort()
                raise cause
            if response.status != 200:
                raise await self._refusal(target.dialect, response)
            if (trouble := self._trouble) is not None:
                self._trouble = None
                raise trouble
            await response.pump(self._on_chunk)
            if not self._finished:
                self._close()
        except UpstreamTruncated as error:
            raise self._aborting or error from None
        except TrunklineError as error:
            world.credentials.failed(provider, credential, error)
            raise
        finally:
            self._response = None
        world.credentials.served(provider, credential)

    async def _hedged(
        self, endpoint: Endpoint, other: Endpoint, sending: Awaitable[Response], after_s: float
    ) -> Response:
        """The answer that begins first: of *sending*, or of *other*, which is asked too after so many seconds."""
        mine = {name: getattr(self, name) for name in _OF_AN_ATTEMPT}
        theirs: dict[str, Any] = {}
        begun = self._begun_at

        def second() -> Awaitable[Response] | None:
            try:
                _, _, also = self._send(other)
            except TrunklineError:
                return None
            else:
                theirs.update({name: getattr(self, name) for name in _OF_AN_ATTEMPT})
                return also
            finally:
                self._turn(mine)

        won = False
        try:
            response, _, won = await race(sending, after_s, second)
        finally:
            if theirs:
                self._hedge = other
                slower = UpstreamTimeout("another endpoint was asked too, and began sooner", maybe_billed=True)
                self._note(endpoint if won else other, slower, begun)
        if won:
            self._turn(theirs)
        return response

    def _turn(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def _timeouts(self) -> Timeouts:
        """The limits, less what earlier attempts took of the whole."""
        limits = self._world.timeouts
        if not self._attempts:
            return limits
        spent = self._world.clock.monotonic() - self._ctx.begun
        if spent >= limits.total_s:
            raise UpstreamTimeout(f"no answer within {limits.total_s:g} s")
        return replace(limits, total_s=limits.total_s - spent)

    def _encoded(self, target: Target) -> Encoded:
        """The request in the target's dialect: the client's own bytes where it is the same."""
        ctx = self._ctx
        relay = RELAYS.get((ctx.client.name, target.dialect.name)) if self._world.relay else None
        self._relay = relay
        if relay is not None:
            self._way = "relay"
            return relay.request(ctx.call, target.endpoint, target.quirks)
        self._way = "translate"
        request = restore(ctx.client.decode(ctx.call), partial(self._world.signatures.find, ctx.key.id))
        return target.dialect.encode(request, target.endpoint, target.quirks)

    def _make_converter(self, *, sse: bool) -> Converter:
        ctx, target, identity = self._ctx, self._target, self._identity
        assert target is not None
        assert identity is not None
        dialect = target.dialect
        if self._relay is not None:
            return self._relay.converter(ctx.call, identity, sse=sse)
        decoder, encoder = dialect.decoder(sse=sse), ctx.client.encoder(ctx.call, identity)
        return Translation(decoder, encoder, streamed=ctx.call.stream, call=ctx.call)

    async def _refusal(self, dialect: Upstream, response: Response) -> TrunklineError:
        """What an answer other than 200 means. Its body matters less than its status, so half of one will do."""
        try:
            body = await response.read(MAX_ERROR_BYTES)
        except TrunklineError:
            body = b""
        return dialect.error(response.status, response.headers, body, self._world.clock.now())

    # What comes.

    def _on_chunk(self, chunk: bytes) -> None:
        """A slice of the upstream's body; called from the transport's reader."""
        if self._finished:
            return
        converter = self._converter
        if converter is None:
            self._start += chunk
            assert self._target is not None
            sse = self._target.dialect.streamed(self._start)
            if sse is None:
                self._start = self._start.lstrip()
                return
            converter = self._converter = self._make_converter(sse=sse)
            chunk, self._start = self._start, b""
        out = converter.feed(chunk)
        if out:
            self._write(out, converter)
        elif converter.ended:
            self._end(converter, b"")

    def _write(self, out: bytes, converter: Converter) -> None:
        if self._first_token is None:
            self._first_token = self._world.clock.monotonic()
        if converter.ended:
            self._end(converter, out)
            return
        if not self._sink.started:
            self._sink.start(200, EVENT_STREAM, self._headers())
        self._sink.write(out)

    def _close(self) -> None:
        """The body has ended."""
        converter = self._converter
        if converter is None:
            raise UpstreamTruncated("the provider sent an empty answer")
        out = converter.close()
        assert converter.ended, "close raises where the end was not seen"
        if out:
            self._write(out, converter)
        else:
            self._end(converter, b"")

    def _end(self, converter: Converter, out: bytes) -> None:
        """The upstream's own end was seen: record first, then the closing bytes."""
        usage = self._usage(converter.outcome)
        charge = self._charge(usage, charged=billable(usage, converter.outcome.finish_reason))
        if self._first_token is None:
            self._first_token = self._world.clock.monotonic()
        if self._sink.gone:
            gone = ClientGone("the client went away")
            record = self._generation("cancelled", usage, charge, ClientGone.status, gone)
        else:
            record = self._generation("completed", usage, charge, 200, None)
        if self._together:
            self._world.journal.put(record)
            self._last = partial(self._conclude, converter, out, record, usage, charge)
        else:
            self._append(record)
            self._conclude(converter, out, record, usage, charge)

    def _conclude(self, converter: Converter, out: bytes, record: GenerationRecord, usage: Usage, charge: Cost) -> None:
        """The journal has the record."""
        self._settle(record)
        self._finished = True
        self._report(converter.outcome, usage)
        if isinstance(converter, Translation) and converter.thoughts:
            self._world.signatures.keep(self._ctx.key.id, converter.thoughts)
        closing = converter.finish(usage, charge, self._metadata() if self._ctx.headers.metadata else None)
        sink = self._sink
        if self._ctx.call.stream:
            if not sink.started:
                sink.start(200, EVENT_STREAM, self._headers())
            sink.write(out + closing, last=True)
        else:
            sink.respond(200, closing, headers=self._headers())
        if self._response is not None:
            self._response.release()

    def _report(self, outcome: Outcome, usage: Usage) -> None:
        """Tell the router how the endpoint did."""
        endpoint, ctx = self._endpoint, self._ctx
        assert endpoint is not None
        assert self._first_token is not None
        begun = self._begun_at
        self._world.router.served(
            self._route,
            endpoint,
            ctx.call,
            ctx.key,
            usage,
            latency_s=self._first_token - begun if ctx.call.stream else None,  # one body comes with its last token
            seconds=self._world.clock.monotonic() - begun,
            tools=outcome.tools_valid,
        )

    def _metadata(self) -> dict[str, Any]:
        target = self._target
        outcome = Outcome() if self._converter is None else self._converter.outcome
        return metadata(
            self._route,
            self._endpoint if self.error is None else None,
            self._attempts,
            (*self._losses, *outcome.losses),
            way=self._way,
            dialect=None if target is None else target.dialect.name,
        )

    def _headers(self) -> bytes:
        return id_header(self._ctx.id)

    # What goes wrong.

    def _failed(self, endpoint: Endpoint, error: TrunklineError, begun: float) -> TrunklineError:
        """Note a failed attempt."""
        error = self._aborting or error
        if error.retry_after_s is not None:
            self._waits.append(error.retry_after_s)
        if error.fault == "upstream":
            self._world.attempt_failed(endpoint.provider, error)
            self._world.router.failed(endpoint, error)
        return self._note(endpoint, error, begun)

    def _note(self, endpoint: Endpoint, error: TrunklineError, begun: float) -> TrunklineError:
        """Put it among the attempts."""
        error.provider = error.provider or endpoint.provider_name
        provider = self._world.providers[endpoint.provider]
        if error.raw is not None:
            error.raw = self._world.scrubber.scrub(error.raw, provider)
        if isinstance(error, UpstreamRejected):
            error.message = self._world.scrubber.scrub(error.message, provider)
        self._attempts.append(
            Attempt(
                provider=endpoint.provider_name,
                model=endpoint.model,
                tag=endpoint.tag,
                status=error.upstream_status or error.http_status,
                error_type=error.kind,
                cause=type(error).__name__,
                message=error.raw or error.message,
                latency_ms=round((self._world.clock.monotonic() - begun) * 1000),
                maybe_billed=error.maybe_billed,
            )
        )
        return error

    def _final(self, last: TrunklineError) -> TrunklineError:
        """What the client is told when every attempt failed: the last one's error, with what was tried before."""
        if last.fault != "upstream":
            return last
        wait = min(self._waits, default=None)
        failed = AllAttemptsFailed(
            f"{last.provider}: {last.message}",
            provider=last.provider,
            provider_code=last.provider_code,
            upstream_status=last.upstream_status,
            raw=last.raw,
            error_type=last.kind,
            retry_after_s=wait,
            attempts=tuple(self._attempts[:-1]),
        )
        failed.http_status = last.http_status
        limited = [attempt.cause == UpstreamLimited.__name__ for attempt in self._attempts]
        if all(limited):
            failed.availability = self._availability("capacity_exhausted", wait)
        elif last.http_status in (503, 504):
            failed.availability = self._availability("temporarily_unavailable", wait)
        return failed

    def _availability(self, code: str, retry_after_s: float | None) -> dict[str, object]:
        return {
            "code": code,
            "retryable": True,
            "retry_after": retry_after_s,
            "requested_models": [candidates.model.id for candidates in self._route.plan.candidates],
            "affected_providers": sorted({attempt.provider for attempt in self._attempts}),
            "docs_url": "",
        }

    def _fail(self, error: TrunklineError) -> None:
        """The generation ends in *error*."""
        if self._finished:
            if not self._sink.gone:
                logger.error("generation %s: %s after its end", self._ctx.id, type(error).__name__)
            return
        self._finished = True
        converter = self._converter
        outcome = Outcome() if converter is None else converter.outcome
        gone = isinstance(error, ClientGone)
        usage = self._usage(outcome) if converter is not None else Usage()
        charge = self._charge(usage, charged=gone or outcome.usage is not None) if self._committed or gone else FREE
        status: Status = "cancelled" if gone else "partial" if self._committed else "failed"
        try:
            record = self._generation(status, usage, charge, error.http_status, error)
            self._append(record)
            self._settle(record)
        except TrunklineError as worse:
            error = worse
        self.error = error
        if self._ctx.headers.metadata:
            error.routing = self._metadata()
        if not gone:
            self._tell(error, usage, charge)

    def _tell(self, error: TrunklineError, usage: Usage, charge: Cost) -> None:
        """Give the client its error: in the stream where one has begun, else as a body."""
        sink = self._sink
        if self._committed and self._ctx.call.stream and not sink.started:
            sink.start(200, EVENT_STREAM, self._headers())  # content and error came in one piece
        if sink.started:
            converter = self._converter
            if converter is None or not converter.committed:
                identity = self._identity or Identity(id=self._ctx.id, model="", provider="", created=0)
                sink.write(self._ctx.client.encoder(self._ctx.call, identity).fail(error, None, None), last=True)
            else:
                sink.write(converter.fail(error, usage, charge), last=True)
            return
        body = self._ctx.client.error(error, self._ctx.id)
        status = self._ctx.client.status(error)
        sink.respond(status, body, headers=self._headers() + error_headers(error))

    # What it came to.

    def _usage(self, outcome: Outcome) -> Usage:
        """What the upstream reported; what we counted where it said nothing."""
        if outcome.usage is not None:
            return outcome.usage
        return Usage(
            prompt=self._request_bytes // BYTES_PER_TOKEN,
            completion=-(-outcome.content_bytes // BYTES_PER_TOKEN),
            estimated=True,
        )

    def _charge(self, usage: Usage, *, charged: bool) -> Cost:
        assert self._endpoint is not None
        return price_of(usage, self._endpoint.price, charged=charged)

    def _generation(
        self,
        status: Status,
        usage: Usage,
        charge: Cost,
        http_status: int,
        error: TrunklineError | None,
    ) -> GenerationRecord:
        """The record."""
        world, ctx, endpoint = self._world, self._ctx, self._endpoint
        outcome = Outcome() if self._converter is None else self._converter.outcome
        now = world.clock.monotonic()
        record = GenerationRecord(
            id=ctx.id,
            created=ctx.created,
            key_id=ctx.key.id,
            status=status,
            api_type=ctx.client.name,
            model=self._route.plan.first.model if endpoint is None else endpoint.model,
            requested=self._route.requested,
            provider=None if endpoint is None else endpoint.provider_name,
            endpoint=None if endpoint is None else endpoint.tag,
            upstream_id=outcome.upstream_id,
            streamed=ctx.call.stream,
            way=self._way,
            usage=usage,
            cost=charge.total,
            finish_reason=outcome.finish_reason,
            native_finish_reason=outcome.native_finish_reason,
            http_status=http_status,
            first_token_ms=None if self._first_token is None else round((self._first_token - ctx.begun) * 1000),
            total_ms=round((now - ctx.begun) * 1000),
            session_id=ctx.session_id,
            user=ctx.call.user,
            http_referer=ctx.headers.http_referer,
            app_title=ctx.headers.app_title,
            user_agent=ctx.headers.user_agent,
        )
        if error is not None or self._attempts or self._losses or outcome.losses or ctx.preset is not None:
            record = replace(
                record,
                error_type=None if error is None else error.kind,
                error=None if error is None else error.raw or error.message,
                attempts=tuple(self._attempts),
                losses=(*self._losses, *outcome.losses),
                preset_id=None if ctx.preset is None else ctx.preset.id,
            )
        if charge.upstream is not None or not charge.known:
            record = replace(record, cost_known=charge.known, upstream_cost=charge.upstream)
        return record

    def _append(self, record: GenerationRecord) -> None:
        """Write the record.

        Raises:
            Overloaded: the journal cannot be written; without a record there is no answer.
        """
        try:
            self._world.journal.append(record)
        except OSError as problem:
            raise unrecorded(problem) from problem

    def _settle(self, record: GenerationRecord) -> None:
        """Charge what the record says; with no `await` since it went to the journal."""
        self.record = record
        self._reservation.settle(record.cost)
        self._world.settled(record)

    # What the client does meanwhile.

    def client_gone(self) -> None:
        """As `Listener.client_gone`: stop the upstream at once, unless it would bill the rest all the same."""
        endpoint = self._endpoint
        quirks = None if endpoint is None else self._world.providers[endpoint.provider].quirks
        if quirks is not None and quirks.bills_after_cancel and self._committed:
            if self._response is not None:
                self._response.resume()
            return
        self._abort(ClientGone("the client went away"))

    def _abort(self, error: TrunklineError) -> None:
        self._aborting = error
        if self._response is not None:
            self._response.abort()
        elif self._task is not None:
            self._task.cancel()

    def client_slow(self) -> None:
        """As `Listener.client_slow`: let the upstream wait."""
        if self._response is not None:
            self._response.pause()

    def client_ready(self) -> None:
        """As `Listener.client_ready`."""
        if self._response is not None:
            self._response.resume()
            self._content_at = self._world.clock.monotonic()

    def tick(self, now: float) -> None:
        """As `Listener.tick`: is there content in time? Bytes alone (pings, comments, blanks) do not count."""
        if self._response is None or self._aborting is not None or self._finished:
            return
        limits = self._world.timeouts
        outcome = _NOTHING if self._converter is None else self._converter.outcome
        said = (outcome.content_bytes, outcome.pieces)
        if said != self._said:
            self._said, self._content_at = said, now
        elif said == (0, 0):
            if now - self._sent_at > limits.first_content_s:
                self._abort(UpstreamTimeout(f"no content within {limits.first_content_s:g} s", maybe_billed=True))
        elif now - self._content_at > limits.content_idle_s:
            self._abort(UpstreamTimeout(f"no content for {limits.content_idle_s:g} s", maybe_billed=True))


_NOTHING = Outcome()
_OF_AN_ATTEMPT = (
    "_endpoint", "_target", "_credential", "_losses", "_identity", "_request_bytes", "_way", "_relay", "_begun_at",
)  # fmt: skip
"""What `_prepare` sets."""


def unrecorded(problem: OSError) -> Overloaded:
    """What the client is told where the journal cannot be written: without a record there is no answer."""
    logger.critical("the journal cannot be written: %s", problem.strerror)
    return Overloaded("the server cannot record usage now", retry_after_s=5.0)


def id_header(generation_id: str) -> bytes:
    """`X-Generation-Id`, which every answer of an inference route has."""
    return b"X-Generation-Id: %s\r\n" % generation_id.encode()


def error_headers(error: TrunklineError) -> bytes:
    """`Retry-After`, and whether official clients should try again by themselves.

    They retry any 5xx and 429 twice; where we have tried what there is, that is nine calls for one. So they are told
    not to, unless somebody said how long to wait. Source: reliability §1.
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
