"""Admission of a model call: which endpoints are asked, and whether the key has money for it."""

from collections.abc import Callable
from functools import partial

from trunkline.dialects.interfaces import Call
from trunkline.engine.context import Context, EngineContext
from trunkline.engine.expressible import is_expressible
from trunkline.engine.intents import LEAST_BYTES_PER_TOKEN
from trunkline.engine.router import Route
from trunkline.engine.router_metadata import of_failure
from trunkline.ledger.budget import LeaseNeeded, Reservation
from trunkline.ledger.cost import worst_case
from trunkline.model.errors import NoEndpoint, Overloaded
from trunkline.model.key import Key
from trunkline.model.money import Pico
from trunkline.routing.plan import Candidates, Plan

_DRAWS = 16
"""Grants that one call waits for: others can use what was granted first."""


def admit(engine: EngineContext, ctx: Context) -> tuple[Route, Reservation]:
    """Route the call, and reserve the most that it can cost.

    Raises:
        InvalidRequest, UnknownModel, NoEndpoint: as `Router.route`.
        OutOfCredit: the key's money does not suffice. This goes before `NoEndpoint`.
        LeaseNeeded: this process's part of the limit does not cover the call; see `drawing`.
    """
    call = ctx.call
    try:
        route = engine.router.route(
            ctx.client,
            call,
            ctx.key,
            body_bytes=ctx.body_bytes,
            session_id=ctx.session_id,
            is_expressible=partial(is_expressible, engine, ctx.client, call)
            if call.preferences.require_parameters
            else None,
        )
    except NoEndpoint as error:
        _afford(engine, ctx)
        if ctx.headers.metadata:
            error.routing = of_failure(call.model or "", error)
        raise
    reservation = engine.budgets.reserve(ctx.key, _upper_bound(ctx, route.plan))
    engine.router.begin(route)
    return route, reservation


async def drawing(engine: EngineContext, key: Key, accept: Callable[[], None]) -> None:
    """Call *accept*, which admits a call of *key*. Where it raises `LeaseNeeded`, draw, and call it again.

    Raises:
        OutOfCredit, Overloaded: as `EngineContext.draw`.
        TrunklineError: what *accept* raises.
    """
    for _ in range(_DRAWS):
        try:
            accept()
        except LeaseNeeded as need:
            amount = need.amount
        else:
            return
        await engine.draw(key, amount)
    raise Overloaded("too many requests share this key's limit", retry_after_s=1.0)


def _upper_bound(ctx: Context, plan: Plan) -> Pico:
    """The most that the call can cost at any endpoint of *plan*; zero where the key has no limit to keep."""
    if ctx.key.limit is None:
        return 0
    call = ctx.call
    tokens = ctx.body_bytes // LEAST_BYTES_PER_TOKEN
    most = 0
    for candidates in plan.candidates:
        for endpoint in candidates.endpoints:
            output = (call.max_output or endpoint.max_output or 0) * call.choices
            price = endpoint.price
            audio = (price.audio is not None or price.video is not None) and _has_media(call)
            most = max(most, worst_case(tokens, output, price, audio=audio))
    return most


def _has_media(call: Call) -> bool:
    """Whether the request may have audio or video in it. A false alarm reserves too much, and nothing else."""
    if call.request is not None:
        return True
    return any(word in bytes(raw) for raw in call.envelope.values() for word in (b"audio", b"video", b"file"))


def _afford(engine: EngineContext, ctx: Context) -> None:
    """Check that there would be money for the call, were there an endpoint.

    Raises:
        OutOfCredit: there is not.
    """
    call, catalog = ctx.call, engine.router.catalog
    models = [found for name in (call.model, *call.models) if name and (found := catalog.find(name))]
    every = Plan(candidates=tuple(Candidates(model=model, endpoints=model.endpoints) for model in models))
    engine.budgets.reserve(ctx.key, _upper_bound(ctx, every)).release()
