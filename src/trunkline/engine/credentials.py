"""Which credentials may be used now.

A limited one rests for as long as the upstream said; one that was refused rests too, longer each time, since a retry
cannot help and the next request should not pay for finding out. Source: docs/reference/reliability.md, U18 and U19.
"""

import logging
from collections.abc import Callable, Collection

from trunkline.dialects.common.upstream_errors import MAX_REST_S
from trunkline.model.errors import TrunklineError, UpstreamDenied, UpstreamLimited
from trunkline.model.replica_events import CredentialRested, ReplicaEvent
from trunkline.providers.provider import Credential, Provider

REST_UNTOLD_S = 1.0
"""After a 429 that names no time."""
DENIED_FIRST_S = 60.0
NONE = Credential(id="none", secret="")
"""Stands for a provider that wants no credential; it can rest like any other."""

logger = logging.getLogger(__name__)


class _State:
    __slots__ = ("denials", "denied", "status", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.denials = 0
        self.denied = False
        """Why it rests: it was refused; if not, it was limited."""
        self.status = 429
        """The status that said so."""


class Credentials:
    """The credentials of all providers and when each may be used again. *monotonic* gives seconds.

    A limit holds for a credential and one upstream model, unless the provider's limits hold for all of its models
    (`rate_limit_scope`). So does a 403, which often concerns the model. A credential that is refused with 401 or 402
    rests for all models. In every method an empty *model* stands for all models.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._states: dict[tuple[str, str, str], _State] = {}
        """By provider, credential and upstream model."""
        self._turn: dict[str, int] = {}
        self.quarantined = 0
        self.publish: Callable[[ReplicaEvent], None] | None = None
        """Told what the other replicas should know, where there are any."""

    def pick(self, provider: Provider, model: str = "", tried: Collection[str] = ()) -> Credential:
        """The next credential in turn that does not rest for *model*, without those whose ids are in *tried*.

        Raises:
            UpstreamLimited: all rest; `retry_after_s` is the shortest wait.
            UpstreamDenied: all were refused.
        """
        credentials = provider.credentials or (NONE,)
        if not self._states and not tried:
            return credentials[self._next(provider, len(credentials)) if len(credentials) > 1 else 0]
        now = self._monotonic()
        first = self._next(provider, len(credentials))
        resting: list[_State] = []
        for step in range(len(credentials)):
            credential = credentials[(first + step) % len(credentials)]
            state = self._resting(provider, credential, model, now)
            if state is not None:
                resting.append(state)
            elif credential.id not in tried:
                return credential
        if not resting or all(state.denied for state in resting):
            raise UpstreamDenied("the provider refuses every credential we have")
        soonest = min(resting, key=lambda state: state.until)
        raise UpstreamLimited(
            "rate limited by the provider", retry_after_s=soonest.until - now, upstream_status=soonest.status
        )

    @property
    def resting(self) -> bool:
        """Whether any credential may rest; where not, none needs to be asked about."""
        return bool(self._states)

    def rests(self, provider: Provider, model: str = "", tried: Collection[str] = ()) -> bool:
        """Whether every credential of *provider* rests for *model*, or is in *tried*."""
        now = self._monotonic()
        for credential in provider.credentials or (NONE,):
            if credential.id not in tried and self._resting(provider, credential, model, now) is None:
                return False
        return True

    def _resting(self, provider: Provider, credential: Credential, model: str, now: float) -> _State | None:
        """Why *credential* rests for *model*: the state that lasts longest; None where it does not rest."""
        longest: _State | None = None
        for scope in (model, "") if model else ("",):
            state = self._states.get((provider.slug, credential.id, scope))
            if state is not None and state.until > now and (longest is None or state.until > longest.until):
                longest = state
        return longest

    def apply_replica_event(self, fact: CredentialRested) -> None:
        """Another replica has seen a credential limited or refused."""
        state = self._states.setdefault((fact.provider, fact.credential, fact.model), _State())
        self._rest(state, fact.seconds, denied=fact.denied, status=fact.status)

    def _rest(self, state: _State, seconds: float, *, denied: bool, status: int) -> None:
        # Calls that were under way come back late: a shorter wait does not cut a longer one.
        until = self._monotonic() + min(seconds, MAX_REST_S)
        if until >= state.until:
            state.until, state.denied, state.status = until, denied, status

    def _next(self, provider: Provider, count: int) -> int:
        turn = self._turn.get(provider.slug, 0)
        self._turn[provider.slug] = turn + 1
        return turn % count

    def failed(self, provider: Provider, credential: Credential, error: TrunklineError, model: str = "") -> None:
        """Take note of what an answer for *model* says of *credential*."""
        if not provider.credentials_rest:
            return
        if isinstance(error, UpstreamLimited):
            scope = "" if provider.rate_limit_scope == "credential" else model
            state = self._state(provider, credential, scope)
            wait = REST_UNTOLD_S if error.retry_after_s is None else error.retry_after_s
        elif isinstance(error, UpstreamDenied):
            scope = model if error.upstream_status == 403 else ""
            state = self._state(provider, credential, scope)
            wait = min(DENIED_FIRST_S * 2**state.denials, MAX_REST_S)
            state.denials = min(state.denials + 1, 10)
            self.quarantined += 1
            logger.error(
                "credential %s of provider %s was refused with status %d; it rests for %.0f s%s",
                credential.id,
                provider.slug,
                error.upstream_status,
                wait,
                f", for the model {scope}" if scope else "",
            )
        else:
            return
        denied, status = isinstance(error, UpstreamDenied), error.upstream_status
        self._rest(state, wait, denied=denied, status=status)
        if self.publish is not None:
            rest = CredentialRested(provider.slug, credential.id, min(wait, MAX_REST_S), denied, status, scope)
            self.publish(rest)

    def served(self, provider: Provider, credential: Credential, model: str = "") -> None:
        """*credential* was accepted for *model*: forget what was held against it, unless it rests since this call."""
        if self._states:
            now = self._monotonic()
            for scope in (model, "") if model else ("",):
                key = (provider.slug, credential.id, scope)
                state = self._states.get(key)
                if state is not None and state.until <= now:
                    del self._states[key]

    def _state(self, provider: Provider, credential: Credential, model: str) -> _State:
        return self._states.setdefault((provider.slug, credential.id, model), _State())
