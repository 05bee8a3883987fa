"""A client's call, from its acceptance to its record and the last byte of its answer.

    accept (admission) ─▶ step ─▶ record ─▶ closing bytes

A generation is one `Step`, and a step is one `Attempt` after another. `staged_generation` has those on which stages
work. There are two ways through, which pass the same functions in the same order:

- `start` begins the first attempt without a task. The transport's callbacks bring its bytes (`Attempt.on_chunk` →
  `on_output`) and its end (`_on_end` → `_close_batched` → `_conclude_batched`). That is how most calls go.
- `run` does the same in a task, with `await`, for all others: it goes on from where `start` got to.

The order at the end of an answer makes the accounts exact: the upstream's end is seen, cost and record are made, the
record goes to the journal, and only then do the closing bytes go to the client. A client that has seen the end of its
answer can find its record.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from trunkline.dialects.interfaces import Encoder, Identity, Outcome
from trunkline.dialects.translation import Translation
from trunkline.engine.admission import admit, drawing
from trunkline.engine.attempt import Attempt
from trunkline.engine.context import Context, EngineContext
from trunkline.engine.event_path import EventPath
from trunkline.engine.record import (
    append,
    charge_of,
    cost_of,
    record_of,
    settle,
    usage_of,
)
from trunkline.engine.response_headers import error_headers, id_header
from trunkline.engine.router_metadata import metadata
from trunkline.engine.step import Step
from trunkline.engine.unrecorded import unrecorded
from trunkline.model.errors import AttemptRecord, ClientGone, Internal, Overloaded, TrunklineError, settled, stripped
from trunkline.model.pipeline import PipelineNote
from trunkline.model.record import GenerationRecord, Status
from trunkline.model.usage import FREE, Cost, Usage
from trunkline.ports import EVENT_STREAM, Sink
from trunkline.transport.write_batching import Written

logger = logging.getLogger(__name__)


class Fails(Protocol):
    """A converter or an encoder, as far as errors go."""

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Encoder.fail`."""
        ...


class Uncounted:
    """An encoder whose errors name no usage: nothing was generated."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Encoder.fail`."""
        del usage, cost
        return self._encoder.fail(error, None, None)


class Generation:
    """One client's call, as one step. `accept` it, then `start` or `run` it once.

    It answers on the sink, settles its money and leaves one record. `StagedGeneration` is a call on which stages work.
    """

    # What most generations never change stands in the class.
    error: TrunklineError | None = None
    """What it ended in, where that was no success."""
    record: GenerationRecord | None = None
    """There once the journal has it."""
    events: EventPath | None = None
    """As `Caller.events`."""
    finished = False
    step: Step | None = None
    """The current step, or the last one; None before admission."""
    notes: tuple[PipelineNote, ...] = ()
    """What stages did."""
    _first_token: float | None = None
    _cause: TrunklineError | None = None
    """Why the generation was broken off, if it was."""
    _task: "asyncio.Task[None] | None" = None
    _on_over: Callable[[], None] | None = None
    _conclude: Callable[[], None] | None = None
    """What is left to do when the journal has the record, which is written with those of others."""

    def __init__(self, engine: EngineContext, ctx: Context, sink: Sink) -> None:
        self.engine = engine
        self.ctx = ctx
        self._sink = sink

    # Beginning.

    def accept(self) -> None:
        """Route the call, and reserve its money.

        Raises:
            TrunklineError, LeaseNeeded: as `admission.admit`. Nothing is recorded then.
        """
        self._admit()

    async def accept_waiting(self) -> None:
        """As `accept`, for a key's limit that other processes share.

        Raises:
            ClientGone: the client went away meanwhile.
        """
        await drawing(self.engine, self.ctx.key, self._accept_unless_gone)

    def _accept_unless_gone(self) -> None:
        if self._sink.gone:
            raise client_gone_error()
        self.accept()

    def _admit(self) -> None:
        route, reservation = admit(self.engine, self.ctx)
        if self.step is not None:
            self.step.close()
        self.step = Step(self, route, reservation)

    def start(self, on_over: Callable[[], None]) -> None:
        """As `run`, and call *on_over* at the end; with no task where the first attempt goes as most do."""
        self._on_over = on_over
        self._sink.listener = self
        step = self.step
        if step is None or self.engine.hedge_after_s is not None or not step.begin(self._on_end):
            self._go_on()

    def _go_on(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.run())

    async def run(self) -> None:
        """Answer. Every error ends here: as the client's answer, and in the record."""
        self._task = asyncio.current_task()
        self._sink.listener = self
        try:
            await self._answer()
        except TrunklineError as error:
            self._fail(stripped(error))
        except asyncio.CancelledError:
            if self._cause is None:
                inner_call = self.ctx.parent is not None  # it ends with its parent
                self._fail(client_gone_error() if inner_call else _shutting_down())
                raise
            self._fail(self._cause)
        except Exception as error:
            logger.exception("generation %s failed", self.ctx.id)
            stripped(error)
            self._fail(Internal("internal error"))
        finally:
            self._over()

    async def _answer(self) -> None:
        """All there is to do until the answer's end.

        Raises:
            TrunklineError: the generation ends in this error.
        """
        assert self.step is not None, "accepted"
        await self.step.run()

    def _over(self) -> None:
        """Nothing more will come of this."""
        if self.step is not None:
            self.step.close()
        self._sink.listener = None
        self._task = None
        on_over, self._on_over = self._on_over, None
        if on_over is not None:
            on_over()

    # An answer without a task.

    def _on_end(self, whole: bool) -> None:
        """The attempt that `start` began has ended, or it cannot go on without a task."""
        step = self.step
        assert step is not None
        attempt = step.attempt
        assert attempt is not None
        if self.finished:
            step.served(attempt)
            self._over()
        elif whole:
            self.engine.batcher.add(self._close_batched)
        elif self._cause is not None and (attempt.converter is None or not isinstance(self._cause, ClientGone)):
            self._fail(self._cause)
            attempt.response = None
            self._over()
        else:
            self._go_on()

    def _close_batched(self) -> Written | None:
        """The body has ended: make the record, to be written with those of others."""
        assert self.step is not None
        attempt = self.step.attempt
        assert attempt is not None
        self._conclude = _unset
        try:
            attempt.close()
        except Exception as error:  # noqa: BLE001 - raised again by `Step.run`
            self._conclude = None
            self.step.trouble = settled(error)
            self._go_on()
            return None
        return self._conclude_batched

    def _conclude_batched(self, failure: OSError | None) -> None:
        """The journal has the record, or *failure* is why it does not."""
        conclude, self._conclude, step = self._conclude, None, self.step
        assert conclude is not None
        assert step is not None
        assert step.attempt is not None
        try:
            if failure is not None:
                raise unrecorded(failure)
            conclude()
        except Exception as error:  # noqa: BLE001 - raised again by `Step.run`
            step.trouble = settled(error)
            self._go_on()
        else:
            step.served(step.attempt)
            self._over()

    # The answer.

    @property
    def gone(self) -> bool:
        """As `Caller.gone`."""
        return self._sink.gone

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """Those that failed, oldest first."""
        return () if self.step is None else tuple(self.step.failures)

    def on_output(self, attempt: Attempt, out: bytes) -> None:
        """As `Caller.on_output`."""
        converter = attempt.converter
        assert converter is not None
        self._note_first_token()
        if converter.ended:
            self._end(attempt, out)
        else:
            self._write(out)

    def _note_first_token(self) -> None:
        if self._first_token is None:
            self._first_token = self.engine.clock.monotonic()

    def _write(self, out: bytes) -> None:
        sink = self._sink
        if not sink.started:
            sink.start(200, EVENT_STREAM, id_header(self.ctx.id))
        sink.write(out)

    def _end(self, attempt: Attempt, out: bytes) -> None:
        """The upstream's own end was seen: record first, then the closing bytes."""
        step = self.step
        assert step is not None
        usage, charge = charge_of(attempt)
        gone = client_gone_error() if self._sink.gone else None
        record = self._record(step, "completed" if gone is None else "cancelled", usage, charge, gone)
        conclude = partial(self._close, attempt, out, record, usage, charge)
        if self._conclude is not None:
            self.engine.journal.put(record)
            self._conclude = conclude
        else:
            append(self.engine, record)
            conclude()

    def _close(self, attempt: Attempt, out: bytes, record: GenerationRecord, usage: Usage, charge: Cost) -> None:
        """The journal has *record*: charge it, and send the end of the answer."""
        step, converter = self.step, attempt.converter
        assert step is not None
        assert converter is not None
        self.record = record
        settle(self.engine, step, record)
        self.finished = True
        self._report(step, attempt, usage)
        closing = converter.finish(usage, self._with_inner(charge), self.requested_metadata())
        self._send_last(out, closing)
        if attempt.response is not None:
            attempt.response.release()

    def _send_last(self, out: bytes, closing: bytes) -> None:
        """Send the end of the answer: *out*, the last of what can go before *closing*."""
        sink = self._sink
        if self.ctx.call.stream:
            if not sink.started:
                sink.start(200, EVENT_STREAM, id_header(self.ctx.id))
            sink.write(out + closing, last=True)
        else:
            sink.respond(200, closing, headers=id_header(self.ctx.id))

    def _report(self, step: Step, attempt: Attempt, usage: Usage) -> None:
        """Tell the router how the endpoint did, and keep the signatures of the answer."""
        engine, ctx = self.engine, self.ctx
        assert self._first_token is not None
        begun = attempt.begun_at
        engine.router.served(
            step.route,
            attempt.endpoint,
            ctx.call,
            ctx.key,
            usage,
            latency_s=self._first_token - begun if ctx.call.stream else None,  # one body comes with its last token
            seconds=engine.clock.monotonic() - begun,
            tools=attempt.outcome.tools_valid,
        )
        converter = attempt.converter
        if isinstance(converter, Translation) and converter.thoughts:
            engine.signatures.keep(ctx.key.id, converter.thoughts)

    def _with_inner(self, charge: Cost) -> Cost:
        """What the client is told that the call cost, of which its own step cost *charge*."""
        return charge

    def requested_metadata(self) -> dict[str, Any] | None:
        """`openrouter_metadata`; None where the client did not ask for it, or the call was not routed."""
        step = self.step
        if step is None or not self.ctx.headers.metadata:
            return None
        attempt = step.attempt
        outcome = Outcome() if attempt is None else attempt.outcome
        return metadata(
            step.route,
            None if self.error is not None or attempt is None else attempt.endpoint,
            step.failures,
            (*(() if attempt is None else attempt.losses), *outcome.losses),
            way="relay" if attempt is None else attempt.way,
            dialect=None if attempt is None or attempt.target is None else attempt.target.dialect.name,
            notes=self.notes,
        )

    def _record(
        self, step: Step, status: Status, usage: Usage, charge: Cost, error: TrunklineError | None
    ) -> GenerationRecord:
        """The generation's own record."""
        return record_of(
            self.engine,
            self.ctx,
            step,
            status=status,
            usage=usage,
            charge=charge,
            http_status=200 if error is None else error.http_status,
            error=error,
            first_token=self._first_token,
        )

    # Failure.

    @property
    def committed(self) -> bool:
        """Whether the client has content, so that an error must be told within the stream."""
        return self.step is not None and self.step.committed

    def _fail(self, error: TrunklineError) -> None:
        """The generation ends in *error*."""
        if self.finished:
            if not self._sink.gone:
                logger.error("generation %s: %s after its end", self.ctx.id, type(error).__name__)
            return
        self.finished = True
        gone = isinstance(error, ClientGone)
        status: Status = "cancelled" if gone else "partial" if self.committed else "failed"
        usage, charge = Usage(), FREE
        try:
            usage, charge = self._record_failed(status, error)
        except TrunklineError as worse:
            error = stripped(worse)
        self.error = error
        if self.ctx.headers.metadata:
            error.routing = self.requested_metadata() or error.routing
        if not gone:
            self._send_error(error, usage, charge)

    def _charge_failed(self, gone: bool) -> tuple[Usage, Cost]:
        """What a failed step used, and what of it is charged."""
        assert self.step is not None
        attempt = self.step.attempt
        if attempt is None:
            return Usage(), FREE
        usage = usage_of(attempt) if attempt.converter is not None else Usage()
        if not (self.step.committed or gone):
            return usage, FREE
        return usage, cost_of(attempt, usage, charged=gone or attempt.outcome.usage is not None)

    def _record_failed(self, status: Status, error: TrunklineError) -> tuple[Usage, Cost]:
        """Record and charge a generation that ends in *error*; return what the client is told of both.

        Raises:
            Overloaded: the journal cannot be written.
        """
        assert self.step is not None
        usage, charge = self._charge_failed(isinstance(error, ClientGone))
        record = self._record(self.step, status, usage, charge, error)
        append(self.engine, record)
        self.record = record
        settle(self.engine, self.step, record)
        return usage, charge

    def _send_error(self, error: TrunklineError, usage: Usage, charge: Cost) -> None:
        """Send the client its error: within the stream where one has begun, else as a body."""
        sink, ctx = self._sink, self.ctx
        if self.committed and ctx.call.stream and not sink.started:
            sink.start(200, EVENT_STREAM, id_header(ctx.id))  # content and error came in one piece
        if not sink.started:
            headers = id_header(ctx.id) + error_headers(error)
            sink.respond(ctx.client.status(error), ctx.client.error(error, ctx.id), headers=headers)
            return
        sink.write(self._failing_encoder().fail(error, usage, charge), last=True)

    def _failing_encoder(self) -> Fails:
        """What encodes an error within a stream that has begun."""
        attempt = None if self.step is None else self.step.attempt
        if attempt is not None and attempt.converter is not None and attempt.converter.committed:
            return attempt.converter
        # Comments alone have been sent.
        identity = no_identity(self.ctx) if attempt is None else attempt.identity
        return Uncounted(self.ctx.client.encoder(self.ctx.call, identity))

    # What the client does meanwhile.

    def cancel(self) -> None:
        """The server is shutting down: end this in an error."""
        if self._task is not None:
            self._task.cancel()
        elif self.step is not None and self.step.attempt is not None:
            self._abort(_shutting_down())

    def client_gone(self) -> None:
        """As `Listener.client_gone`: stop the upstream at once, unless it would bill the rest all the same."""
        attempt = None if self.step is None else self.step.attempt
        if attempt is not None and attempt.committed:
            quirks = self.engine.providers[attempt.endpoint.provider].quirks
            if quirks.bills_after_cancel:
                if attempt.response is not None:
                    attempt.response.resume()
                return
        self._abort(client_gone_error())

    def _abort(self, error: TrunklineError) -> None:
        self._cause = error
        attempt = None if self.step is None else self.step.attempt
        under_way = attempt is not None and attempt.abort(error)
        if not under_way and self._task is not None:
            self._task.cancel()

    def client_slow(self) -> None:
        """As `Listener.client_slow`: let the upstream wait."""
        if self.step is not None and self.step.attempt is not None and self.step.attempt.response is not None:
            self.step.attempt.response.pause()

    def client_ready(self) -> None:
        """As `Listener.client_ready`."""
        attempt = None if self.step is None else self.step.attempt
        if attempt is not None and attempt.response is not None:
            attempt.response.resume()
            attempt.progress_at = self.engine.clock.monotonic()

    def tick(self, now: float) -> None:
        """As `Listener.tick`."""
        if self.step is not None and self.step.attempt is not None and not self.finished:
            self.step.attempt.check_progress(now)


def no_identity(ctx: Context) -> Identity:
    """Of an answer that no endpoint gave."""
    return Identity(id=ctx.id, model="", provider="", created=0)


def client_gone_error() -> ClientGone:
    """The error of a generation whose client has gone."""
    return ClientGone("the client went away")


def _shutting_down() -> Overloaded:
    return Overloaded("the server is shutting down", retry_after_s=1.0)


def _unset() -> None:
    """Stands for what `_end` will put in its place."""
