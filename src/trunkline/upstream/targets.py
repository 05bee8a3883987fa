"""Endpoints made ready to be asked: everything of a request but its body, put together once."""

from typing import Literal
from urllib.parse import quote, urlsplit

from trunkline import __version__
from trunkline.dialects.base import Encoded, Upstream
from trunkline.dialects.registry import COUNTERS, UPSTREAMS
from trunkline.model.endpoint import Endpoint
from trunkline.ports import Timeouts, UpstreamRequest
from trunkline.providers.base import Credential, Provider

Kind = Literal["body", "stream", "count"]
"""What is asked for: an answer in one body, a stream, or the number of tokens."""


class Target:
    """One endpoint and how it is reached."""

    __slots__ = ("_base", "_heads", "_prefix", "_query", "dialect", "endpoint", "origin", "provider")

    def __init__(self, endpoint: Endpoint, provider: Provider, dialect: str, base_url: str) -> None:
        self.endpoint = endpoint
        self.provider = provider
        self.dialect: Upstream = UPSTREAMS[dialect]
        url = urlsplit(base_url)
        self.origin = f"{url.scheme}://{url.netloc}"
        self._base = url.path.rstrip("/")
        self._query = f"?{url.query}" if url.query else ""
        lines = [
            f"host: {url.netloc.rpartition('@')[2]}",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            "accept-encoding: identity",
            f"user-agent: trunkline/{__version__}",
            *(f"{name}: {value}" for name, value in provider.headers),
        ]
        self._prefix = "".join(f"{line}\r\n" for line in lines)
        self._heads: dict[tuple[str, Kind], bytes] = {}

    @property
    def counts(self) -> bool:
        """Whether the provider counts tokens, in this dialect."""
        return self.dialect.name in COUNTERS and self.provider.quirks.count_path != ""

    def request(self, credential: Credential, encoded: Encoded, timeouts: Timeouts, kind: Kind) -> UpstreamRequest:
        """*encoded* ready to leave, with *credential*."""
        head = self._heads.get((credential.id, kind))
        if head is None:
            head = self._heads[credential.id, kind] = self._head(credential, kind)
        if encoded.headers:
            head += "".join(f"{name}: {value}\r\n" for name, value in encoded.headers).encode("latin-1")
        return UpstreamRequest(
            origin=self.origin,
            head=head,
            body=encoded.body,
            timeouts=timeouts,
            max_connections=self.provider.max_connections,
        )

    def path(self, kind: Kind) -> str:
        """The path of a call, with the query of the base URL."""
        quirks, model = self.provider.quirks, self.endpoint.upstream_model
        if kind == "count":
            said = quirks.count_path
            path = COUNTERS[self.dialect.name].path(model)
        else:
            said = (quirks.stream_path if kind == "stream" else None) or quirks.path
            path = self.dialect.path(model, stream=kind == "stream")
        if said is not None:
            path = said.replace("{model}", quote(model, "@"))
        mark, query = ("&", self._query[1:]) if "?" in path and self._query else ("", self._query)
        return f"{self._base}{path}{mark}{query}"

    def _head(self, credential: Credential, kind: Kind) -> bytes:
        line = ""
        if credential.secret:
            line = f"{self.provider.auth_header}: {self.provider.auth_scheme}{credential.secret}\r\n"
        return f"POST {self.path(kind)} HTTP/1.1\r\n{self._prefix}{line}".encode("latin-1")


class Targets:
    """The targets of a catalog's endpoints, by endpoint and client dialect. Made anew with each catalog."""

    def __init__(self) -> None:
        self._targets: dict[tuple[Endpoint, str], Target] = {}

    def of(self, endpoint: Endpoint, provider: Provider, client: str) -> Target:
        """The target of *endpoint* for a client that speaks the dialect *client*."""
        found = self._targets.get((endpoint, client))
        if found is None:
            found = self._targets[endpoint, client] = Target(endpoint, provider, *provider.speaks(client))
        return found
