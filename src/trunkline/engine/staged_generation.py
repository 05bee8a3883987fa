"""A generation on which stages work: the request is prepared, and there may be several steps and inner calls.

    accept ─▶ request stages ─▶ admission ─▶ step … step ─▶ records ─▶ closing bytes

Each step of several leaves a record of its own, as each inner call does; the generation's own record then charges
nothing, and says what they came to (`inner_usage`, `inner_cost`). `make_generation` decides which kind a call is.
"""

from msgspec.structs import replace

from trunkline.dialects.interfaces import Call
from trunkline.engine import inner
from trunkline.engine.admission import drawing
from trunkline.engine.attempt import Attempt
from trunkline.engine.context import Context, EngineContext
from trunkline.engine.event_path import EventPath
from trunkline.engine.generation import Fails, Generation, client_gone_error, no_identity
from trunkline.engine.record import InnerTotal, append, charge_of, settle, unrouted_record, with_inner
from trunkline.engine.stages import ActiveStages, StepResult, StepStage
from trunkline.engine.step import Step
from trunkline.model.errors import ClientGone, Internal, TrunklineError
from trunkline.model.key import Key
from trunkline.model.money import Pico
from trunkline.model.pipeline import PipelineNote
from trunkline.model.record import GenerationRecord, Status
from trunkline.model.request import Request
from trunkline.model.response import Response, unfold
from trunkline.model.usage import FREE, Cost, Usage, add
from trunkline.ports import Sink

MAX_STEPS = 64
"""Of one generation, whatever its stages want."""


def make_generation(engine: EngineContext, ctx: Context, sink: Sink) -> Generation:
    """The generation that answers *ctx* on *sink*; with no stage where none is active for it."""
    pipeline = engine.pipeline
    if pipeline is not None:
        stages = pipeline.select(ctx.call, ctx.key, inner=ctx.parent is not None)
        if stages is not None:
            return StagedGeneration(engine, ctx, sink, stages)
    return Generation(engine, ctx, sink)


class StagedGeneration(Generation):
    """A `Generation` on which *stages* work; a `stages.StageContext` for them."""

    inner: InnerTotal | None = None
    """What inner calls and steps with records of their own came to."""
    _children: tuple[Generation, ...] = ()
    """Inner calls under way."""

    def __init__(self, engine: EngineContext, ctx: Context, sink: Sink, stages: ActiveStages) -> None:
        super().__init__(engine, ctx, sink)
        self._stages = stages

    def accept(self) -> None:
        """As `Generation.accept`: stages come before admission, so nothing can be refused yet."""

    async def _answer(self) -> None:
        ctx, stages = self.ctx, self._stages
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
        await drawing(self.engine, ctx.key, self._admit)
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
            await drawing(self.engine, self.ctx.key, self._admit)
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
            usage, charge = charge_of(attempt)
        record = replace(
            super()._record(step, status, usage, charge, error),
            id=engine.new_id(engine.clock.now()),
            parent_id=self.ctx.id,
            purpose="step",
        )
        append(engine, record)
        settle(engine, step, record)
        self._count_inner(usage, charge)
        if error is None and attempt is not None:
            self._report(step, attempt, usage)
        return record

    def _end_steps(self) -> None:
        """The last of several steps has ended: write the generation's own record, and send the end of the answer."""
        events, total, step = self.events, self.inner, self.step
        assert events is not None
        assert total is not None
        assert step is not None
        out = events.end()
        gone = client_gone_error() if self._sink.gone else None
        self._settle_own(self._record(step, self._step_status(), Usage(), FREE, gone))
        self.finished = True
        usage = total.usage or Usage()
        self._send_last(out, events.finish(usage, total.cost, self.requested_metadata()))

    def _answer_itself(self, response: Response, cost: Pico) -> None:
        """A stage has the answer: record it, and send it."""
        ctx = self.ctx
        usage, charge = response.usage or Usage(), Cost(total=cost)
        path = EventPath(ctx.client, ctx.call, (), holds_end=False)
        path.encoder_for(replace(no_identity(ctx), model=response.model or ctx.call.model or ""))
        out = b"".join(map(path.encode, unfold(response)))
        record = unrouted_record(self.engine, ctx, "completed", usage, charge, None)
        record = with_inner(replace(record, way="stage"), self.inner, self.notes)
        self._settle_own(record)
        self.engine.budgets.charge(ctx.key, record.cost)
        self.finished = True
        self._send_last(out, path.finish(usage, self._with_inner(charge), self.requested_metadata()))

    def _settle_own(self, record: GenerationRecord) -> None:
        """Write *record*, for which no money is reserved: steps and inner calls have charged what they cost."""
        append(self.engine, record)
        self.engine.settled(record)
        self.record = record

    # The answer and its records, where they differ.

    def on_output(self, attempt: Attempt, out: bytes) -> None:
        """As `Caller.on_output`: the end of a step is the answer's if no other one follows."""
        converter = attempt.converter
        if not self._stages.step or converter is None or not converter.ended:
            super().on_output(attempt, out)
            return
        self._note_first_token()
        if out:
            self._write(out)
        if attempt.response is not None:
            attempt.response.release()

    @property
    def committed(self) -> bool:
        """As `Generation.committed`: an earlier step may have sent content."""
        return super().committed or (self.events is not None and self.events.committed)

    def _with_inner(self, charge: Cost) -> Cost:
        return charge if self.inner is None else charge.plus(self.inner.cost)

    def _record(
        self, step: Step, status: Status, usage: Usage, charge: Cost, error: TrunklineError | None
    ) -> GenerationRecord:
        return with_inner(super()._record(step, status, usage, charge, error), self.inner, self.notes)

    def _record_failed(self, status: Status, error: TrunklineError) -> tuple[Usage, Cost]:
        """Record the failed step, if one was under way, and the generation; what both came to."""
        step = self.step
        if step is not None and not self._stages.step:
            usage, charge = super()._record_failed(status, error)
            return usage, self._with_inner(charge)
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

    def _failing_encoder(self) -> Fails:
        attempt = None if self.step is None else self.step.attempt
        if self.events is not None and self.events.committed and not (attempt is not None and attempt.committed):
            return self.events
        return super()._failing_encoder()

    def tick(self, now: float) -> None:
        """As `Listener.tick`."""
        super().tick(now)
        for child in self._children:
            child.tick(now)

    def _over(self) -> None:
        super()._over()
        self.events = None  # its transforms may hold the generation

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
        call = make_generation(self.engine, ctx, inner.InnerSink())
        await call.accept_waiting()
        self._children += (call,)
        try:
            await call.run()
        finally:  # what a call that was cancelled cost is its parent's too
            self._children = tuple(child for child in self._children if child is not call)
            if call.record is not None:
                self._count_inner(*_totals(call, call.record))
        if call.error is not None:
            raise call.error
        return client.folder.response

    def _count_inner(self, usage: Usage, cost: Cost) -> None:
        """An inner call or a step has left a record of its own with these."""
        if self.inner is None:
            self.inner = InnerTotal()
        self.inner.add(usage, cost)


def _totals(generation: Generation, record: GenerationRecord) -> tuple[Usage, Cost]:
    """What a finished generation used and cost, its own inner calls included."""
    usage, charge = record.usage, Cost(total=record.cost, upstream=record.upstream_cost, known=record.cost_known)
    total = generation.inner if isinstance(generation, StagedGeneration) else None
    if total is None or total.usage is None:
        return usage, charge
    return add(usage, total.usage), charge.plus(total.cost)
