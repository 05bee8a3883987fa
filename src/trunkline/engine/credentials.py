"""Which credentials may be used now.

A limited one rests for as long as the upstream said; one that was refused rests too, longer each time, since a retry
cannot help and the next request should not pay for finding out. Source: docs/reference/reliability.md, U18 and U19.
"""

import logging
from collections.abc import Callable

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
    """The credentials of all providers and when each may be used again. *monotonic* gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._states: dict[tuple[str, str], _State] = {}
        self._turn: dict[str, int] = {}
        self.quarantined = 0
        self.publish: Callable[[ReplicaEvent], None] | None = None
        """Told what the other replicas should know, where there are any."""

    def pick(self, provider: Provider) -> Credential:
        """The next credential in turn that does not rest.

        Raises:
            UpstreamLimited: all rest; `retry_after_s` is the shortest wait.
            UpstreamDenied: all were refused.
        """
        credentials = provider.credentials or (NONE,)
        if not self._states:
            return credentials[self._next(provider, len(credentials)) if len(credentials) > 1 else 0]
        now = self._monotonic()
        first = self._next(provider, len(credentials))
        waits: list[tuple[float, _State]] = []
        for step in range(len(credentials)):
            credential = credentials[(first + step) % len(credentials)]
            state = self._states.get((provider.slug, credential.id))
            if state is None or state.until <= now:
                return credential
            waits.append((state.until - now, state))
        wait, first_free = min(waits, key=lambda found: found[0])
        if all(state.denied for _, state in waits):
            raise UpstreamDenied("the provider refuses every credential we have")
        raise UpstreamLimited("rate limited by the provider", retry_after_s=wait, upstream_status=first_free.status)

    @property
    def resting(self) -> bool:
        """Whether any credential may rest; where not, none needs to be asked about."""
        return bool(self._states)

    def rests(self, provider: Provider) -> bool:
        """Whether every credential of *provider* rests."""
        now = self._monotonic()
        for credential in provider.credentials or (NONE,):
            state = self._states.get((provider.slug, credential.id))
            if state is None or state.until <= now:
                return False
        return True

    def apply_replica_event(self, fact: CredentialRested) -> None:
        """Another replica has seen a credential limited or refused."""
        state = self._states.setdefault((fact.provider, fact.credential), _State())
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

    def failed(self, provider: Provider, credential: Credential, error: TrunklineError) -> None:
        """Take note of what an answer says of *credential*."""
        if not provider.credentials_rest:
            return
        if isinstance(error, UpstreamLimited):
            wait = REST_UNTOLD_S if error.retry_after_s is None else error.retry_after_s
            state = self._state(provider, credential)
        elif isinstance(error, UpstreamDenied):
            state = self._state(provider, credential)
            wait = min(DENIED_FIRST_S * 2**state.denials, MAX_REST_S)
            state.denials = min(state.denials + 1, 10)
            self.quarantined += 1
            logger.error(
                "credential %s of provider %s was refused with status %d; it rests for %.0f s",
                credential.id,
                provider.slug,
                error.upstream_status,
                wait,
            )
        else:
            return
        denied = isinstance(error, UpstreamDenied)
        self._rest(state, wait, denied=denied, status=error.upstream_status)
        if self.publish is not None:
            self.publish(
                CredentialRested(provider.slug, credential.id, min(wait, MAX_REST_S), denied, error.upstream_status)
            )

    def served(self, provider: Provider, credential: Credential) -> None:
        """*credential* was accepted: what was held against it is forgotten, unless it rests since this call began."""
        if self._states:
            key = (provider.slug, credential.id)
            state = self._states.get(key)
            if state is not None and state.until <= self._monotonic():
                del self._states[key]

    def _state(self, provider: Provider, credential: Credential) -> _State:
        return self._states.setdefault((provider.slug, credential.id), _State())
