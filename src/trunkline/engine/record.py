"""Usage, cost and record of a model call, and of a generation that consists of several."""

from msgspec.structs import replace

from trunkline.dialects.interfaces import Outcome
from trunkline.engine.attempt import Attempt
from trunkline.engine.context import Context, EngineContext
from trunkline.engine.intents import BYTES_PER_TOKEN
from trunkline.engine.step import Step
from trunkline.engine.unrecorded import unrecorded
from trunkline.ledger.cost import billable, cost
from trunkline.model.errors import TrunklineError
from trunkline.model.pipeline import PipelineNote
from trunkline.model.record import GenerationRecord, Status
from trunkline.model.usage import Cost, Usage, add, at_least

_NO_OUTCOME = Outcome()


class InnerTotal:
    """What the inner calls and steps of a generation used and cost so far."""

    __slots__ = ("cost", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.cost = Cost()

    def add(self, usage: Usage, cost: Cost) -> None:
        """Count one more of them."""
        self.usage = usage if self.usage is None else add(self.usage, usage)
        self.cost = self.cost.plus(cost)


def usage_of(attempt: Attempt) -> Usage:
    """What the upstream reported of the whole answer; an estimate where it did not.

    Usage that was reported while the answer went on is no less than what came of the answer: a client that leaves
    early, and a provider that breaks off, would otherwise be charged for the first few tokens.
    """
    outcome = attempt.outcome
    reported = outcome.usage
    if reported is not None and outcome.usage_final:
        return reported
    counted = Usage(
        prompt=attempt.request_bytes // BYTES_PER_TOKEN,
        completion=-(-outcome.content_bytes // BYTES_PER_TOKEN),
        estimated=True,
    )
    return counted if reported is None else at_least(reported, counted)


def cost_of(attempt: Attempt, usage: Usage, *, charged: bool) -> Cost:
    """What *usage* costs at the attempt's endpoint; only the provider's own figure where it is not *charged*."""
    price = attempt.endpoint.price
    if price.image and charged:
        usage = replace(usage, images=attempt.images)
    return cost(usage, price, charged=charged)


def charge_of(attempt: Attempt) -> tuple[Usage, Cost]:
    """What an attempt whose answer is complete used, and what is charged for it."""
    usage = usage_of(attempt)
    return usage, cost_of(attempt, usage, charged=billable(usage, attempt.outcome.finish_reason))


def record_of(
    engine: EngineContext,
    ctx: Context,
    step: Step,
    *,
    status: Status,
    usage: Usage,
    charge: Cost,
    http_status: int,
    error: TrunklineError | None,
    first_token: float | None,
) -> GenerationRecord:
    """The record of *step*, made for *ctx*. *first_token* is in monotonic seconds, None where none came."""
    attempt = step.attempt
    endpoint = None if attempt is None else attempt.endpoint
    outcome = _NO_OUTCOME if attempt is None else attempt.outcome
    record = GenerationRecord(
        id=ctx.id,
        created=ctx.created,
        key_id=ctx.key.id,
        status=status,
        api_type=ctx.client.name,
        model=step.route.plan.first.model if endpoint is None else endpoint.model,
        requested=step.route.requested,
        provider=None if endpoint is None else endpoint.provider_name,
        endpoint=None if endpoint is None else endpoint.tag,
        upstream_id=outcome.upstream_id,
        streamed=ctx.call.stream,
        way="relay" if attempt is None else attempt.way,
        usage=usage,
        cost=charge.total,
        finish_reason=outcome.finish_reason,
        native_finish_reason=outcome.native_finish_reason,
        http_status=http_status,
        first_token_ms=None if first_token is None else round((first_token - ctx.begun) * 1000),
        total_ms=round((engine.clock.monotonic() - ctx.begun) * 1000),
        session_id=ctx.session_id,
        user=ctx.call.user,
        http_referer=ctx.headers.http_referer,
        app_title=ctx.headers.app_title,
        user_agent=ctx.headers.user_agent,
    )
    losses = () if attempt is None else attempt.losses
    if error is not None or step.failures or losses or outcome.losses or ctx.preset is not None:
        record = replace(
            record,
            error_type=None if error is None else error.kind,
            error=None if error is None else error.raw or error.message,
            attempts=tuple(step.failures),
            losses=(*losses, *outcome.losses),
            preset_id=None if ctx.preset is None else ctx.preset.id,
        )
    if charge.upstream is not None or not charge.known:
        record = replace(record, cost_known=charge.known, upstream_cost=charge.upstream)
    if ctx.parent is not None:
        record = replace(record, parent_id=ctx.parent.id, purpose=ctx.parent.purpose)
    return record


def unrouted_record(
    engine: EngineContext, ctx: Context, status: Status, usage: Usage, charge: Cost, error: TrunklineError | None
) -> GenerationRecord:
    """The record of a call that ended before it was routed: a stage has answered or refused it."""
    return GenerationRecord(
        id=ctx.id,
        created=ctx.created,
        key_id=ctx.key.id,
        status=status,
        api_type=ctx.client.name,
        model=ctx.call.model or "",
        requested=ctx.call.model or "",
        streamed=ctx.call.stream,
        usage=usage,
        cost=charge.total,
        http_status=200 if error is None else error.http_status,
        error_type=None if error is None else error.kind,
        error=None if error is None else error.message,
        total_ms=round((engine.clock.monotonic() - ctx.begun) * 1000),
        session_id=ctx.session_id,
        user=ctx.call.user,
        http_referer=ctx.headers.http_referer,
        app_title=ctx.headers.app_title,
        user_agent=ctx.headers.user_agent,
        preset_id=None if ctx.preset is None else ctx.preset.id,
        parent_id=None if ctx.parent is None else ctx.parent.id,
        purpose=None if ctx.parent is None else ctx.parent.purpose,
    )


def with_inner(record: GenerationRecord, total: InnerTotal | None, notes: tuple[PipelineNote, ...]) -> GenerationRecord:
    """*record*, with what its inner calls and steps came to and what stages did."""
    if total is not None and total.usage is not None:
        record = replace(record, inner_usage=total.usage, inner_cost=total.cost.total)
    return replace(record, pipeline=notes) if notes else record


def settle(engine: EngineContext, step: Step, record: GenerationRecord) -> None:
    """Charge *record*. There is no `await` between this and the journal's taking it."""
    step.reservation.settle(record.cost)
    step.end_intent()
    engine.settled(record)


def append(engine: EngineContext, record: GenerationRecord) -> None:
    """Write *record* to the journal.

    Raises:
        Overloaded: the journal cannot be written; without a record there is no answer.
    """
    try:
        engine.journal.append(record)
    except OSError as problem:
        raise unrecorded(problem) from problem
