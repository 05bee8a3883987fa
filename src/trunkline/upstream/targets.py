"""Endpoints made ready to be asked: everything of a request but its body, put together once."""

from urllib.parse import urlsplit

from trunkline import __version__
from trunkline.dialects.base import Upstream
from trunkline.dialects.registry import UPSTREAMS
from trunkline.model.endpoint import Endpoint
from trunkline.ports import Timeouts, UpstreamRequest
from trunkline.providers.base import Credential, Provider


class Target:
    """One endpoint and how it is reached."""

    __slots__ = ("_heads", "_prefix", "dialect", "endpoint", "origin", "provider")

    def __init__(self, endpoint: Endpoint, provider: Provider) -> None:
        self.endpoint = endpoint
        self.provider = provider
        self.dialect: Upstream = UPSTREAMS[provider.dialect]
        url = urlsplit(provider.base_url)
        self.origin = f"{url.scheme}://{url.netloc}"
        path = f"{url.path.rstrip('/')}{self.dialect.path}"
        if url.query:
            path += f"?{url.query}"
        lines = [
            f"POST {path} HTTP/1.1",
            f"host: {url.netloc.rpartition('@')[2]}",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            "accept-encoding: identity",
            f"user-agent: trunkline/{__version__}",
            *(f"{name}: {value}" for name, value in provider.headers),
        ]
        self._prefix = "".join(f"{line}\r\n" for line in lines)
        self._heads: dict[str, bytes] = {}

    def request(self, credential: Credential, body: bytes, timeouts: Timeouts) -> UpstreamRequest:
        """*body* ready to leave, with *credential*."""
        head = self._heads.get(credential.id)
        if head is None:
            head = self._heads[credential.id] = self._head(credential)
        return UpstreamRequest(
            origin=self.origin,
            head=head,
            body=body,
            timeouts=timeouts,
            max_connections=self.provider.max_connections,
        )

    def _head(self, credential: Credential) -> bytes:
        line = ""
        if credential.secret:
            line = f"{self.provider.auth_header}: {self.provider.auth_scheme}{credential.secret}\r\n"
        return (self._prefix + line).encode("latin-1")


class Targets:
    """The targets of a catalog's endpoints, by endpoint. Made anew with each catalog."""

    def __init__(self) -> None:
        self._targets: dict[Endpoint, Target] = {}

    def of(self, endpoint: Endpoint, provider: Provider) -> Target:
        """The target of *endpoint*."""
        found = self._targets.get(endpoint)
        if found is None:
            found = self._targets[endpoint] = Target(endpoint, provider)
        return found
