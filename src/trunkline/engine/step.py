"""One model call: the endpoints of a plan, one after another, until one has answered.

Until the commit point (see `dialects.interfaces.Converter`) an attempt that fails is followed by the next endpoint, or
by the same one with another credential where the credential was rate-limited or refused;
after it, the step ends with the error. With hedging, the next endpoint is also asked when the first is slow to begin.
"""

from collections.abc import Awaitable, Callable
from typing import cast

from msgspec.structs import replace

from trunkline.engine.attempt import Attempt, Caller
from trunkline.engine.hedging import race
from trunkline.engine.router import Route
from trunkline.ledger.budget import Reservation
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import (
    AllAttemptsFailed,
    AttemptRecord,
    TrunklineError,
    UpstreamDenied,
    UpstreamLimited,
    UpstreamRejected,
    UpstreamTimeout,
    stripped,
)
from trunkline.ports import Response, Timeouts

MAX_CREDENTIALS = 8
"""Credentials of one endpoint that a request tries, where each is rate-limited or refused."""

_NONE: list[AttemptRecord] = []
"""Stands for the attempts of a step where none failed; never added to."""


class Step:
    """One model call. `begin` it, or `run` it, or the one after the other where `begin` cannot finish it."""

    __slots__ = ("_caller", "_hedge", "_waits", "attempt", "failures", "reservation", "route", "trouble")

    def __init__(self, caller: Caller, route: Route, reservation: Reservation) -> None:
        self._caller = caller
        self.route = route
        self.reservation = reservation
        self.attempt: Attempt | None = None
        """The current attempt, or the last one."""
        self.failures = _NONE
        """Attempts that failed, oldest first."""
        self.trouble: Exception | None = None
        """What went wrong at the end of the attempt that `begin` made; `run` raises it."""
        self._waits: float | None = None
        """The shortest time after which a provider said to try again, in seconds."""
        self._hedge: Attempt | None = None
        """The attempt that was made beside another one."""

    @property
    def committed(self) -> bool:
        """Whether the client has content of this step."""
        return self.attempt is not None and self.attempt.committed

    def close(self) -> None:
        """Nothing more will come: release what is reserved, and let go of the generation, which holds this step."""
        self.reservation.release()
        self.end_intent()
        for attempt in (self.attempt, self._hedge):
            if attempt is not None:
                attempt.detach()
        self._caller = cast("Caller", None)

    def end_intent(self) -> None:
        """The step has its record, or will have none: nothing needs to be known of it after a kill."""
        ctx = self._caller.ctx
        if ctx.intent >= 0:
            self._caller.engine.journal.end(ctx.intent)
            ctx.intent = -1

    def begin(self, on_end: Callable[[bool], None]) -> bool:
        """Ask the first endpoint without a task. False: `run` has to do it."""
        attempt = self.attempt = Attempt(self._caller, self.route.plan.first)
        try:
            return attempt.begin(self._timeouts(), on_end)
        except TrunklineError as error:  # it is raised again where it can be dealt with
            stripped(error)
            self.attempt = None
            return False

    async def run(self) -> None:
        """Ask the endpoints in turn, beginning with the attempt that `begin` made, if it made one.

        Raises:
            TrunklineError: none answered, or the one that did failed after the commit point.
        """
        caller, begun = self._caller, self.attempt
        last: TrunklineError | None = None
        try:
            for candidates in self.route.plan.candidates:
                asked = candidates.endpoints[: caller.engine.max_attempts]
                for place, endpoint in enumerate(asked):
                    if self._hedge is not None and endpoint is self._hedge.endpoint:
                        continue
                    following = asked[place + 1] if place + 1 < len(asked) else None
                    tried: tuple[str, ...] = ()
                    while True:
                        attempt, begun = begun or Attempt(caller, endpoint, tried), None
                        self.attempt = attempt
                        try:
                            await self._ask(attempt, following)
                            return
                        except TrunklineError as error:
                            again = self._has_another_credential(attempt, error, tried)
                            last = self._failed(self.attempt, stripped(error), endpoint_failed=not again)
                        if caller.finished or self.committed or caller.gone:
                            raise last
                        if not again:
                            break
                        assert attempt.credential is not None
                        tried = (*tried, attempt.credential.id)
                    if not last.another_endpoint:
                        break
            assert last is not None, "a plan is never empty"
            raise self._final(last)
        finally:
            del last  # a frame that holds the error that passed through it is a reference cycle

    def _has_another_credential(self, attempt: Attempt, error: TrunklineError, tried: tuple[str, ...]) -> bool:
        """Whether *attempt* failed for its credential, and the endpoint can be asked with one not in *tried*."""
        credential, endpoint = attempt.credential, attempt.endpoint
        if credential is None or not isinstance(error, UpstreamLimited | UpstreamDenied):
            return False
        if attempt is not self.attempt or len(tried) + 1 >= MAX_CREDENTIALS:
            return False
        engine = self._caller.engine
        provider = engine.providers[endpoint.provider]
        return not engine.credentials.rests(provider, endpoint.upstream_model, (*tried, credential.id))

    async def _ask(self, attempt: Attempt, following: Endpoint | None) -> None:
        """Carry *attempt* out; or the attempt at *following*, if that one begins to answer first."""
        caller = self._caller
        engine = caller.engine
        response: Response | None = None
        try:
            if attempt.response is not None or engine.hedge_after_s is None or following is None:
                response = await attempt.send(self._timeouts())
            else:
                attempt, response = await self._hedged(attempt, following, engine.hedge_after_s)
                self.attempt = attempt
            trouble, self.trouble = self.trouble, None
            await attempt.receive(response, trouble)
        except TrunklineError as error:
            attempt = self.attempt or attempt
            if attempt.target is not None and attempt.credential is not None:
                model = attempt.endpoint.upstream_model
                engine.credentials.failed(attempt.target.provider, attempt.credential, error, model)
            raise
        finally:
            attempt.response = None
            trouble = None
        self.served(attempt)

    def served(self, attempt: Attempt) -> None:
        """*attempt* has answered."""
        assert attempt.target is not None
        assert attempt.credential is not None
        attempt.response = None
        credentials, model = self._caller.engine.credentials, attempt.endpoint.upstream_model
        credentials.served(attempt.target.provider, attempt.credential, model)

    async def _hedged(self, first: Attempt, following: Endpoint, after_s: float) -> tuple[Attempt, Response]:
        """The attempt whose response starts first: *first*, or one at *following*, made after *after_s* seconds."""
        second = Attempt(self._caller, following)
        asked = False

        def ask_second() -> Awaitable[Response] | None:
            nonlocal asked
            try:
                sending = second.send(self._timeouts())
            except TrunklineError as error:
                stripped(error)
                return None
            asked = True
            return sending

        second_won = False
        try:
            response, _, second_won = await race(first.send(self._timeouts()), after_s, ask_second)
        finally:
            if asked:
                self._hedge = second
                slower = UpstreamTimeout("another endpoint was asked too, and began sooner", maybe_billed=True)
                self._note(first if second_won else second, slower)
        return second if second_won else first, response

    def _timeouts(self) -> Timeouts:
        """The limits, less what earlier attempts took of the whole.

        Raises:
            UpstreamTimeout: nothing is left.
        """
        limits = self._caller.engine.timeouts
        if not self.failures:
            return limits
        spent = self._caller.engine.clock.monotonic() - self._caller.ctx.begun
        if spent >= limits.total_s:
            raise UpstreamTimeout(f"no answer within {limits.total_s:g} s")
        return replace(limits, total_s=limits.total_s - spent)

    # Failures.

    def _failed(self, attempt: Attempt, error: TrunklineError, *, endpoint_failed: bool) -> TrunklineError:
        """Record a failed attempt, and tell the router where the endpoint failed, not one of its credentials alone."""
        error = attempt.cause or error
        engine, endpoint = self._caller.engine, attempt.endpoint
        if error.retry_after_s is not None:
            self._waits = error.retry_after_s if self._waits is None else min(self._waits, error.retry_after_s)
        if error.fault == "upstream":
            engine.attempt_failed(endpoint.provider, error)
            if endpoint_failed:
                engine.router.failed(endpoint, error)
        return self._note(attempt, error)

    def _note(self, attempt: Attempt, error: TrunklineError) -> TrunklineError:
        """Put *attempt*, which ended in *error*, among the failures. Its words are scrubbed of secrets."""
        engine, endpoint = self._caller.engine, attempt.endpoint
        error.provider = error.provider or endpoint.provider_name
        provider = engine.providers[endpoint.provider]
        if error.raw is not None:
            error.raw = engine.scrubber.scrub(error.raw, provider)
        if isinstance(error, UpstreamRejected):
            error.message = engine.scrubber.scrub(error.message, provider)
        if self.failures is _NONE:
            self.failures = []
        self.failures.append(
            AttemptRecord(
                provider=endpoint.provider_name,
                model=endpoint.model,
                tag=endpoint.tag,
                status=error.upstream_status or error.http_status,
                error_type=error.kind,
                cause=type(error).__name__,
                message=error.raw or error.message,
                latency_ms=round((engine.clock.monotonic() - attempt.begun_at) * 1000),
                maybe_billed=error.maybe_billed,
            )
        )
        return error

    def _final(self, last: TrunklineError) -> TrunklineError:
        """The client's error when every attempt failed: the last one's, with what was tried before."""
        if last.fault != "upstream":
            return last
        wait = self._waits
        failed = AllAttemptsFailed(
            f"{last.provider}: {last.message}",
            provider=last.provider,
            provider_code=last.provider_code,
            upstream_status=last.upstream_status,
            raw=last.raw,
            error_type=last.kind,
            retry_after_s=wait,
            attempts=tuple(self.failures[:-1]),
        )
        failed.http_status = last.http_status
        if all(failure.cause == UpstreamLimited.__name__ for failure in self.failures):
            failed.availability = self._availability("capacity_exhausted", wait)
        elif last.http_status in (503, 504):
            failed.availability = self._availability("temporarily_unavailable", wait)
        return failed

    def _availability(self, code: str, retry_after_s: float | None) -> dict[str, object]:
        return {
            "code": code,
            "retryable": True,
            "retry_after": retry_after_s,
            "requested_models": [candidates.model.id for candidates in self.route.plan.candidates],
            "affected_providers": sorted({failure.provider for failure in self.failures}),
            "docs_url": "",
        }
