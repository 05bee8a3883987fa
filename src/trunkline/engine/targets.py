"""Endpoints made ready to be asked: everything of a request but its body, put together once.

A key that goes into a header as it is, is part of what is put together. A credential that signs is asked for each
request; one that is exchanged for an access token is waited for, and once more where the provider refuses the token.
"""

from collections.abc import Awaitable, Mapping
from typing import Literal
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from trunkline import __version__
from trunkline.dialects.interfaces import Counter, Encoded, Quirks, Upstream
from trunkline.engine.intents import endpoint_part
from trunkline.model.endpoint import Endpoint
from trunkline.ports import Response, Timeouts, Transport, UpstreamRequest
from trunkline.providers.authentication import Authenticator
from trunkline.providers.provider import Credential, Provider

Kind = Literal["body", "stream", "count"]
"""What is asked for: an answer in one body, a stream, or the number of tokens."""


class Target:
    """One endpoint and how it is reached."""

    __slots__ = (
        "_authority",
        "_base",
        "_heads",
        "_host",
        "_prefix",
        "_query",
        "counter",
        "dialect",
        "endpoint",
        "intent_part",
        "origin",
        "provider",
        "quirks",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        provider: Provider,
        base_url: str,
        authority: Authenticator,
        upstream: Upstream,
        counter: Counter | None,
    ) -> None:
        dialect = upstream.name
        self.endpoint = endpoint
        self.intent_part = endpoint_part(endpoint)
        self.provider = provider
        self.dialect = upstream
        self.counter = counter
        """How token counts are asked for; None where the dialect has no such request."""
        self._authority = authority
        url = urlsplit(base_url)
        self.origin = f"{url.scheme}://{url.netloc}"
        self._host = url.netloc.rpartition("@")[2]
        self._base = url.path.rstrip("/")
        self._query = f"?{url.query}" if url.query else ""
        self.quirks = _of_tier(provider.quirks_for(dialect), endpoint.service_tier, dialect)
        lines = [
            f"host: {self._host}",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            "accept-encoding: identity",
            f"user-agent: trunkline/{__version__}",
            *(f"{name}: {value}" for name, value in provider.request_headers(dialect)),
        ]
        self._prefix = "".join(f"{line}\r\n" for line in lines)
        self._heads: dict[tuple[str, Kind], bytes] = {}

    @property
    def counts(self) -> bool:
        """Whether the provider counts tokens, in this dialect."""
        return self.counter is not None and self.quirks.count_path != ""

    def send(
        self, transport: Transport, credential: Credential, encoded: Encoded, timeouts: Timeouts, kind: Kind
    ) -> Awaitable[Response]:
        """Send *encoded* with *credential*; as `Transport.send`.

        Raises:
            UpstreamDenied: the credential is an account that gets no token.
            TrunklineError: as `Transport.send`, of the token's endpoint too.
        """
        if credential.auth == "google":
            return self._send_with_token(transport, credential, encoded, timeouts, kind)
        return transport.send(self.request(credential, encoded, timeouts, kind))

    async def _send_with_token(
        self, transport: Transport, credential: Credential, encoded: Encoded, timeouts: Timeouts, kind: Kind
    ) -> Response:
        token = await self._authority.token(credential)
        response = await transport.send(self.request(credential, encoded, timeouts, kind, token))
        if response.status != 401:
            return response
        response.abort()
        token = await self._authority.token(credential, refused=token)
        return await transport.send(self.request(credential, encoded, timeouts, kind, token))

    def request(
        self, credential: Credential, encoded: Encoded, timeouts: Timeouts, kind: Kind, token: str = ""
    ) -> UpstreamRequest:
        """*encoded* ready to leave, with *credential*, or with the *token* that it was exchanged for."""
        head = self._heads.get((credential.id, kind))
        if head is None:
            head = self._heads[credential.id, kind] = self._head(credential, kind)
        if encoded.headers:
            head += _lines(encoded.headers)
        if token:
            head += _lines((self.provider.key_header(token, self.dialect.name),))
        elif credential.auth == "sigv4":
            path = self.path(kind)
            head += _lines(
                self._authority.signature_headers(self.provider, credential, "POST", self._host, path, encoded.body)
            )
        return UpstreamRequest(
            origin=self.origin,
            head=head,
            body=encoded.body,
            timeouts=timeouts,
            max_connections=self.provider.max_connections,
        )

    def path(self, kind: Kind) -> str:
        """The path of a call, with the query of the base URL."""
        quirks, model = self.quirks, self.endpoint.upstream_model
        said: str | None = None
        if kind == "count":
            assert self.counter is not None
            path = self.counter.path(model)
            said = quirks.count_path
        else:
            path = self.dialect.path(model, stream=kind == "stream")
            said = (quirks.stream_path if kind == "stream" else None) or quirks.path
        if said is not None:
            path = said.replace("{model}", quote(model, "@"))
        mark, query = ("&", self._query[1:]) if "?" in path and self._query else ("", self._query)
        return f"{self._base}{path}{mark}{query}"

    def _head(self, credential: Credential, kind: Kind) -> bytes:
        head = f"POST {self.path(kind)} HTTP/1.1\r\n{self._prefix}".encode("latin-1")
        if credential.auth == "header" and credential.secret:
            head += _lines((self.provider.key_header(credential.secret, self.dialect.name),))
        return head


_TIERS: dict[str, dict[str, dict[str, str]]] = {
    "chat": {tier: {"service_tier": tier} for tier in ("default", "flex", "priority")},
    "responses": {tier: {"service_tier": tier} for tier in ("default", "flex", "priority")},
    "messages": {"default": {"service_tier": "standard_only"}, "priority": {"speed": "fast"}},
}
"""A dialect → a service tier of ours → how a request for it says so. Source: OpenRouter, "Service tiers"."""


def _of_tier(quirks: Quirks, tier: str | None, dialect: str) -> Quirks:
    """*quirks* with which a request is served in *tier*, whatever the client asked for: that is what is priced."""
    said = _TIERS.get(dialect, {}).get(tier or "")
    if not said:
        return quirks
    return replace(
        quirks, body={**quirks.body, **said}, drop=tuple({*quirks.drop, "service_tier", "speed"} - set(said))
    )


def _lines(fields: tuple[tuple[str, str], ...]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")


class Targets:
    """The targets of a catalog's endpoints, by endpoint and client dialect. Made anew with each catalog."""

    def __init__(
        self, authority: Authenticator, upstreams: Mapping[str, Upstream], counters: Mapping[str, Counter]
    ) -> None:
        """Targets that speak *upstreams* and count tokens by *counters*, both by the dialect's name."""
        self._authority = authority
        self._upstreams = upstreams
        self._counters = counters
        self._targets: dict[tuple[Endpoint, str], Target] = {}

    def of(self, endpoint: Endpoint, provider: Provider, client: str) -> Target:
        """The target of *endpoint* for a client that speaks the dialect *client*."""
        found = self._targets.get((endpoint, client))
        if found is None:
            dialect, base_url = provider.dialect_for(client)
            upstream, counter = self._upstreams[dialect], self._counters.get(dialect)
            found = Target(endpoint, provider, base_url, self._authority, upstream, counter)
            self._targets[endpoint, client] = found
        return found
