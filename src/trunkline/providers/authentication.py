"""Authentication to providers: turns a credential into request headers (a key, a signature, or an access token).

Access tokens are the only state. A token is fetched on first use, cached until shortly before it expires, and fetched
once for all concurrent callers. Where the fetch fails, all waiting callers fail. A token that the provider refuses
before it expires is discarded, unless another caller has replaced it, and fetched again (docs/reference/reliability.md,
U45).
"""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

from trunkline import __version__
from trunkline.model.errors import TrunklineError, UpstreamDenied, UpstreamFailed
from trunkline.ports import Clock, Timeouts, Transport, UpstreamRequest
from trunkline.providers import google_accounts
from trunkline.providers.google_accounts import GoogleAccount
from trunkline.providers.provider import Credential, Provider
from trunkline.providers.sigv4 import sign

EXPIRY_MARGIN_S = 225.0
"""A token is not used in the last seconds before it expires: a long call may present it late. The value of
google-auth."""
MAX_TOKEN_BYTES = 64 * 1024
SIGNED_SERVICE = "bedrock"
TOKEN_TIMEOUTS = Timeouts(
    connect_s=5, first_byte_s=10, first_content_s=10, idle_s=10, content_idle_s=10, total_s=15, pool_wait_s=5
)


class _TokenState:
    """The token of one account and the lock of its fetch."""

    __slots__ = ("error", "failed_at", "lock", "token", "until")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.token = ""
        self.until = 0.0
        self.error: TrunklineError | None = None
        self.failed_at = 0.0


class Authenticator:
    """Creates authentication headers. One per process; it outlives reloads of the configuration."""

    def __init__(self, clock: Clock, transport: Transport) -> None:
        self._clock = clock
        self._transport = transport
        self._states: dict[GoogleAccount, _TokenState] = {}

    async def headers(
        self, provider: Provider, credential: Credential, url: str, dialect: str
    ) -> tuple[tuple[str, str], ...]:
        """The authentication headers for a GET of *url*.

        Raises:
            TrunklineError: no access token could be obtained.
        """
        if credential.auth == "sigv4":
            parts = urlsplit(url)
            path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            return self.signature_headers(provider, credential, "GET", parts.netloc, path, b"")
        key = await self.token(credential) if credential.auth == "google" else credential.secret
        return (provider.key_header(key, dialect),) if key else ()

    def signature_headers(
        self, provider: Provider, credential: Credential, method: str, host: str, path: str, body: bytes
    ) -> tuple[tuple[str, str], ...]:
        """The headers that sign a request for *path* (including its query) with AWS SigV4."""
        path, _, query = path.partition("?")
        return sign(
            method=method,
            host=host,
            path=path,
            query=query,
            headers=(),
            body=body,
            access_key_id=credential.access_key_id,
            secret_access_key=credential.secret,
            session_token=credential.session_token or None,
            region=provider.region,
            service=SIGNED_SERVICE,
            now=self._clock.now(),
        )

    async def token(self, credential: Credential, *, refused: str = "") -> str:
        """An access token for *credential*, which must have an account; never the token *refused*.

        Raises:
            UpstreamDenied: the account is refused or cannot sign.
            TrunklineError: the token endpoint is unreachable or its response is invalid.
        """
        account = credential.account
        assert account is not None, "only a credential with an account is asked for a token"
        state = self._states.get(account)
        if state is None:
            state = self._states[account] = _TokenState()
        asked = self._clock.monotonic()
        if self._is_usable(state, refused):
            return state.token
        async with state.lock:
            if self._is_usable(state, refused):
                return state.token
            if state.error is not None and state.failed_at >= asked:
                raise _copy_error(state.error)
            try:
                state.token, life = await self._fetch(account)
            except TrunklineError as error:
                state.error, state.failed_at = _copy_error(error), self._clock.monotonic()
                raise
            state.error = None
            # A token with a lifetime shorter than the margin is used for half of it.
            state.until = self._clock.monotonic() + max(life - EXPIRY_MARGIN_S, life / 2)
            return state.token

    def _is_usable(self, state: _TokenState, refused: str) -> bool:
        return bool(state.token) and state.token != refused and self._clock.monotonic() < state.until

    async def _fetch(self, account: GoogleAccount) -> tuple[str, float]:
        try:
            body = google_accounts.token_request_body(account, self._clock.now())
        except google_accounts.AccountUnusable as error:
            raise UpstreamDenied(f"the service account cannot be used: {error}") from error
        response = await self._transport.send(_token_request(account.token_uri, body))
        answer = await response.read(MAX_TOKEN_BYTES)
        if response.status in (400, 401, 403):
            raw = answer[:1000].decode("utf-8", "replace")
            raise UpstreamDenied(
                "the provider's token endpoint refuses the account", raw=raw, upstream_status=response.status
            )
        if response.status != 200:
            raise UpstreamFailed(
                f"the provider's token endpoint returned status {response.status}",
                upstream_status=response.status,
            )
        try:
            return google_accounts.parse_token_response(answer)
        except ValueError as error:
            raise UpstreamFailed(str(error)) from error


def _copy_error(error: TrunklineError) -> TrunklineError:
    """A copy of *error* for another caller, because each caller adds its own attempt to its error."""
    return type(error)(error.message, raw=error.raw, upstream_status=error.upstream_status)


def _token_request(url: str, body: bytes) -> UpstreamRequest:
    return UpstreamRequest(origin=_origin(url), head=b"".join(_request_head(url)), body=body, timeouts=TOKEN_TIMEOUTS)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _request_head(url: str) -> Iterator[bytes]:
    parts = urlsplit(url)
    yield f"POST {parts.path or '/'}{'?' if parts.query else ''}{parts.query} HTTP/1.1\r\n".encode()
    yield f"host: {parts.netloc}\r\n".encode()
    yield b"content-type: application/x-www-form-urlencoded\r\naccept: application/json\r\n"
    yield f"user-agent: trunkline/{__version__}\r\n".encode()
