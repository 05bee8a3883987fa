"""A client's call, from its acceptance to its record and the last byte of its answer.

    start ─▶ stages (if any is active) ─▶ admission ─▶ step ─▶ record ─▶ closing bytes

A generation is one `Step`, or several where a stage decides so, and a step is one `Attempt` after another. There are
two ways through, which pass the same functions in the same order:

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
from typing import Any

from msgspec.structs import replace

from trunkline.dialects.interfaces import Call, Encoder, Identity, Outcome
from trunkline.dialects.translation import Translation
from trunkline.engine import inner
from trunkline.engine.admission import admit
from trunkline.engine.attempt import Attempt
from trunkline.engine.context import Context, EngineContext
from trunkline.engine.event_path import EventPath
from trunkline.engine.record import (
    InnerTotal,
    append,
    cost_of,
    record_of,
    settle,
    unrecorded,
    unrouted_record,
    usage_of,
    with_inner,
)
from trunkline.engine.response_headers import error_headers, id_header
from trunkline.engine.router_metadata import metadata
from trunkline.engine.stages import ActiveStages, StepResult, StepStage
from trunkline.engine.step import Step
from trunkline.ledger.cost import billable
from trunkline.model.errors import Attempt as AttemptRecord
from trunkline.model.errors import ClientGone, Internal, Overloaded, TrunklineError, settled, stripped
from trunkline.model.key import Key
from trunkline.model.money import Pico
from trunkline.model.pipeline import PipelineNote
from trunkline.model.record import GenerationRecord, Status
from trunkline.model.request import Request
from trunkline.model.response import Response, unfold
from trunkline.model.usage import FREE, Cost, Usage, add
from trunkline.ports import EVENT_STREAM, Sink
from trunkline.transport.write_batching import Written

MAX_STEPS = 64
"""Of one generation, whatever its stages want."""

logger = logging.getLogger(__name__)


class Generation:
    """One client's call. `start` or `run` it once: it answers on the sink, settles its money and leaves one record.

    A call that goes through stages may leave records of inner calls and steps besides.
    """

    # What most generations never change stands in the class.
    error: TrunklineError | None = None
    """What it ended in, where that was no success."""
    record: GenerationRecord | None = None
    """There once the journal has it."""
    events: EventPath | None = None
    """Where the events of all attempts and steps go, where stages work on them."""
    finished = False
    step: Step | None = None
    """The current step, or the last one; None before admission."""
    inner: InnerTotal | None = None
    """What inner calls and steps with records of their own came to."""
    notes: tuple[PipelineNote, ...] = ()
    _children: "tuple[Generation, ...]" = ()
    """Inner calls under way."""
    _stages: ActiveStages | None = None
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
        """Choose the stages; where there are none, route the call and reserve its money.

        Raises:
            TrunklineError: as `admission.admit`. Nothing is recorded then.
        """
        pipeline = self.engine.pipeline
        if pipeline is not None:
            self._stages = pipeline.select(self.ctx.call, self.ctx.key, inner=self.ctx.parent is not None)
        if self._stages is None:
            self._admit()

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
            if self._stages is None:
                assert self.step is not None, "accepted"
                await self.step.run()
            else:
                await self._run_stages(self._stages)
        except TrunklineError as error:
            self._fail(stripped(error))
        except asyncio.CancelledError:
            if self._cause is None:
                inner_call = self.ctx.parent is not None  # it ends with its parent
                self._fail(_client_gone() if inner_call else _shutting_down())
                raise
            self._fail(self._cause)
        except Exception as error:
            logger.exception("generation %s failed", self.ctx.id)
            stripped(error)
            self._fail(Internal("internal error"))
        finally:
            self._over()

    def _over(self) -> None:
        """Nothing more will come of this."""
        if self.step is not None:
            self.step.close()
        self.events = None  # its transforms may hold the generation
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

    # Stages and steps.

    async def _run_stages(self, stages: ActiveStages) -> None:
        """Prepare the request, then make one step after another until no stage wants a further one."""
        ctx = self.ctx
        original = request = ctx.request()
        for stage in stages.request:
            prepared = await stage.prepare(request, self)
            if not isinstance(prepared, Request):
                self._answer_itself(prepared.response, prepared.cost)
                return
            request = prepared
        if request is not original:
            inner.change_request(ctx, request)
        if stages.event or stages.step:
            transforms = [stage.open(request, self) for stage in stages.event]
            self.events = EventPath(ctx.client, ctx.call, transforms, holds_end=bool(stages.step))
        self._admit()
        assert self.step is not None
        if stages.step:
            await self._run_steps(stages.step, request)
        else:
            await self.step.run()

    async def _run_steps(self, stages: tuple[StepStage, ...], request: Request) -> None:
        """One step after another, until no stage has a request for a further one."""
        for number in range(1, MAX_STEPS + 1):
            step, events = self.step, self.events
            assert step is not None
            assert events is not None
            await step.run()
            record = self._record_step(step, self._step_status(), None)
            result = StepResult(number=number, request=request, response=events.response, record=record)
            following = await self._following(stages, result)
            if following is None:
                self._end_steps()
                return
            request = following
            events.next_step(record.usage)
            inner.change_request(self.ctx, request)
            self._admit()
        raise Internal(f"more than {MAX_STEPS} steps")

    async def _following(self, stages: tuple[StepStage, ...], result: StepResult) -> Request | None:
        """The request of the next step, by the first stage that has one."""
        for stage in stages:
            request = await stage.following(result, self)
            if request is not None:
                return request
        return None

    def _step_status(self) -> Status:
        return "cancelled" if self._sink.gone else "completed"

    def _record_step(self, step: Step, status: Status, error: TrunklineError | None) -> GenerationRecord:
        """The record of one of several steps: a child of the generation's, charged by itself.

        Raises:
            Overloaded: the journal cannot be written.
        """
        attempt, engine = step.attempt, self.engine
        if error is not None:
            usage, charge = self._charge_failed(isinstance(error, ClientGone))
        else:
            assert attempt is not None
            usage = usage_of(attempt)
            charge = cost_of(attempt, usage, charged=billable(usage, attempt.outcome.finish_reason))
        record = replace(
            self._record_of(step, status, usage, charge, error),
            id=engine.new_id(engine.clock.now()),
            parent_id=self.ctx.id,
            purpose="step",
        )
        append(engine, record)
        settle(engine, step, record)
        self.count_inner(usage, charge)
        if error is None and attempt is not None:
            self.report(step, attempt, usage)
        return record

    def _end_steps(self) -> None:
        """The last of several steps has ended: write the generation's own record, and send the end of the answer."""
        events, total, step = self.events, self.inner, self.step
        assert events is not None
        assert total is not None
        assert step is not None
        out = events.end()
        gone = _client_gone() if self._sink.gone else None
        record = self._record(step, "completed" if gone is None else "cancelled", Usage(), FREE, gone)
        self._settle_own(record)
        self.finished = True
        usage = total.usage or Usage()
        self._send_last(out, events.finish(usage, total.cost, self.metadata() if self.ctx.headers.metadata else None))

    def _answer_itself(self, response: Response, cost: Pico) -> None:
        """A stage has the answer: record it, and send it."""
        ctx = self.ctx
        usage, charge = response.usage or Usage(), Cost(total=cost)
        path = EventPath(ctx.client, ctx.call, (), holds_end=False)
        path.encoder_for(replace(_identity(ctx), model=response.model or ctx.call.model or ""))
        out = b"".join(map(path.encode, unfold(response)))
        record = unrouted_record(self.engine, ctx, "completed", usage, charge, None)
        record = with_inner(replace(record, way="stage"), self.inner, self.notes)
        append(self.engine, record)
        self.engine.budgets.reserve(ctx.key, 0).settle(record.cost)
        self.engine.settled(record)
        self.record = record
        self.finished = True
        if self.inner is not None:
            charge = charge.plus(self.inner.cost)
        self._send_last(out, path.finish(usage, charge, self.metadata() if ctx.headers.metadata else None))

    def _settle_own(self, record: GenerationRecord) -> None:
        """Write *record*, which charges nothing: its steps and inner calls have done so."""
        append(self.engine, record)
        self.engine.settled(record)
        self.record = record

    # What stages use: `stages.StageContext`.

    @property
    def id(self) -> str:
        """As `StageContext.id`."""
        return self.ctx.id

    @property
    def key(self) -> Key:
        """As `StageContext.key`."""
        return self.ctx.key

    @property
    def call(self) -> Call:
        """As `StageContext.call`."""
        return self.ctx.call

    def note(self, note: PipelineNote) -> None:
        """As `StageContext.note`."""
        self.notes += (note,)

    async def ask(self, request: Request, *, purpose: str) -> Response:
        """As `StageContext.ask`."""
        client = inner.InnerClient()
        ctx = inner.context_of(self.engine, self.ctx, client, request, purpose)
        call = Generation(self.engine, ctx, inner.InnerSink())
        call.accept()
        self._children += (call,)
        try:
            await call.run()
        finally:
            self._children = tuple(child for child in self._children if child is not call)
        record = call.record
        if record is not None:
            self.count_inner(*call.totals(record))
        if call.error is not None:
            raise call.error
        return client.folder.response

    def totals(self, record: GenerationRecord) -> tuple[Usage, Cost]:
        """What a finished generation used and cost, its own inner calls included."""
        usage, charge = record.usage, Cost(total=record.cost, upstream=record.upstream_cost, known=record.cost_known)
        if self.inner is None or self.inner.usage is None:
            return usage, charge
        return add(usage, self.inner.usage), charge.plus(self.inner.cost)

    def count_inner(self, usage: Usage, cost: Cost) -> None:
        """An inner call or a step has left a record of its own with these."""
        if self.inner is None:
            self.inner = InnerTotal()
        self.inner.add(usage, cost)

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
        if self._first_token is None:
            self._first_token = self.engine.clock.monotonic()
        if not converter.ended:
            self._write(out)
        elif self._stages is not None and self._stages.step:
            if out:
                self._write(out)
            if attempt.response is not None:
                attempt.response.release()
        else:
            self._end(attempt, out)

    def _write(self, out: bytes) -> None:
        sink = self._sink
        if not sink.started:
            sink.start(200, EVENT_STREAM, id_header(self.ctx.id))
        sink.write(out)

    def _end(self, attempt: Attempt, out: bytes) -> None:
        """The upstream's own end was seen: record first, then the closing bytes."""
        step, converter = self.step, attempt.converter
        assert step is not None
        assert converter is not None
        usage = usage_of(attempt)
        charge = cost_of(attempt, usage, charged=billable(usage, converter.outcome.finish_reason))
        gone = _client_gone() if self._sink.gone else None
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
        self.report(step, attempt, usage)
        if self.inner is not None and self.inner.usage is not None:
            charge = charge.plus(self.inner.cost)
        closing = converter.finish(usage, charge, self.metadata() if self.ctx.headers.metadata else None)
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

    def report(self, step: Step, attempt: Attempt, usage: Usage) -> None:
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

    def metadata(self) -> dict[str, Any] | None:
        """`openrouter_metadata`; None before the call was routed."""
        step = self.step
        if step is None:
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
        record = self._record_of(step, status, usage, charge, error)
        return record if self._stages is None else with_inner(record, self.inner, self.notes)

    def _record_of(
        self, step: Step, status: Status, usage: Usage, charge: Cost, error: TrunklineError | None
    ) -> GenerationRecord:
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
        return self.step is not None and (self.step.committed or (self.events is not None and self.events.committed))

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
            if self._stages is not None and (self.step is None or self._stages.step):
                usage, charge = self._fail_staged(status, error)
            else:
                usage, charge = self._charge_failed(gone)
                self._record_failed(status, usage, charge, error)
        except TrunklineError as worse:
            error = stripped(worse)
        self.error = error
        if self.ctx.headers.metadata:
            error.routing = self.metadata() or error.routing
        if not gone:
            self._send_error(error, usage, charge)

    def _fail_staged(self, status: Status, error: TrunklineError) -> tuple[Usage, Cost]:
        """Record the failed step, if one was under way, and the generation; what both came to."""
        step = self.step
        if step is None:
            record = unrouted_record(self.engine, self.ctx, status, Usage(), FREE, error)
            self._settle_own(with_inner(record, self.inner, self.notes))
        else:
            if not step.reservation.ended:
                gone = isinstance(error, ClientGone)
                self._record_step(step, "cancelled" if gone else "partial" if step.committed else "failed", error)
            self._settle_own(self._record(step, status, Usage(), FREE, error))
        total = self.inner
        return (Usage(), FREE) if total is None else (total.usage or Usage(), total.cost)

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

    def _record_failed(self, status: Status, usage: Usage, charge: Cost, error: TrunklineError) -> None:
        assert self.step is not None
        record = self._record(self.step, status, usage, charge, error)
        append(self.engine, record)
        self.record = record
        settle(self.engine, self.step, record)

    def _send_error(self, error: TrunklineError, usage: Usage, charge: Cost) -> None:
        """Send the client its error: within the stream where one has begun, else as a body."""
        sink, ctx = self._sink, self.ctx
        if self.committed and ctx.call.stream and not sink.started:
            sink.start(200, EVENT_STREAM, id_header(ctx.id))  # content and error came in one piece
        if not sink.started:
            headers = id_header(ctx.id) + error_headers(error)
            sink.respond(ctx.client.status(error), ctx.client.error(error, ctx.id), headers=headers)
            return
        attempt = None if self.step is None else self.step.attempt
        if self.events is not None and self.events.committed:
            pending = attempt.converter if attempt is not None and attempt.committed else None
            closing = (pending or self.events).fail(error, usage, charge)
            sink.write(closing, last=True)
        elif attempt is not None and attempt.converter is not None and attempt.converter.committed:
            sink.write(attempt.converter.fail(error, usage, charge), last=True)
        else:
            sink.write(self._new_encoder(attempt).fail(error, None, None), last=True)

    def _new_encoder(self, attempt: Attempt | None) -> Encoder:
        """An encoder for an answer that has begun (with comments alone) and has no content."""
        identity = _identity(self.ctx) if attempt is None else attempt.identity
        return self.ctx.client.encoder(self.ctx.call, identity)

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
        self._abort(_client_gone())

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
        for child in self._children:
            child.tick(now)


def _identity(ctx: Context) -> Identity:
    """Of an answer that no endpoint gave."""
    return Identity(id=ctx.id, model="", provider="", created=0)


def _client_gone() -> ClientGone:
    return ClientGone("the client went away")


def _shutting_down() -> Overloaded:
    return Overloaded("the server is shutting down", retry_after_s=1.0)


def _unset() -> None:
    """Stands for what `_end` will put in its place."""
