"""Which Host and Origin values are accepted, and the CORS headers of responses.

A gateway without keys trusts whoever reaches it. A web page in the browser of its user reaches it too: directly, with
the page's `Origin`, or through a domain that resolves to this machine (DNS rebinding), with that domain as `Host`.
Such a gateway therefore checks both. A gateway with keys needs no check: a page does not know the key.

Sources: RFC 9110 §7.2, RFC 6454, Fetch standard §3.2 (CORS).
"""

import re
from collections.abc import Sequence

from trunkline.server.http.request_head import RequestHead, RequestRefused

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""Host names of this machine as it reaches itself."""
UNCHECKED_PATHS = (b"/health/live", b"/health/ready")
"""Probes of orchestrators name the address of the machine. These responses are no secret and change nothing."""
ANY = "*"

ORIGIN = re.compile(rb"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^:/?#@\s]+)(?::[0-9]{1,5})?")
"""A lower-case serialized origin; the group is its host."""

_EXPOSED = b"access-control-expose-headers: X-Generation-Id,X-Provider-Name,request-id\r\n"
_TO_ANY = b"access-control-allow-origin: *\r\n" + _EXPOSED


def host_name(host: bytes) -> str:
    """The lower-case name in *host*, the valid value of a Host header, without the port and a trailing dot."""
    name = host[: host.index(b"]") + 1] if host[:1] == b"[" else host.partition(b":")[0]
    return name.decode("ascii").lower().removesuffix(".")


class OriginPolicy:
    """The accepted hosts and origins of one gateway.

    Args:
        hosts: the accepted host names; `*` accepts all.
        origins: the accepted origins, such as `https://chat.example.com`; `*` accepts all. None: pages of the loopback
            host names, on any port.
        checked: whether requests with other values are refused, as a gateway without keys does.
    """

    def __init__(self, hosts: Sequence[str], origins: Sequence[str] | None, *, checked: bool) -> None:
        self._checked = checked
        self._hosts = None if ANY in hosts else frozenset(host.lower() for host in hosts)
        self._any_origin = origins is not None and ANY in origins
        self._origins = None if origins is None else frozenset(origin.lower().encode() for origin in origins)

    def refusal(self, head: RequestHead) -> RequestRefused | None:
        """Why a request with *head* is refused; None where it is accepted."""
        if not self._checked or head.path in UNCHECKED_PATHS:
            return None
        if self._hosts is not None and host_name(head.host) not in self._hosts:
            return RequestRefused(403, "the request's Host is not one of server.allowed_hosts")
        origin = head.fields.get(b"origin")
        if origin is not None and not self.allows(origin):
            return RequestRefused(403, "the request's Origin is not one of server.allowed_origins")
        return None

    def allows(self, origin: bytes) -> bool:
        """Whether pages of *origin*, the value of an Origin header, may call this gateway."""
        if self._any_origin:
            return True
        if self._origins is not None:
            return origin.lower() in self._origins
        found = ORIGIN.fullmatch(origin.lower())
        return found is not None and found[1].decode("latin-1") in LOOPBACK

    def cors_headers(self, head: RequestHead) -> bytes:
        """The CORS headers of a response to *head*, as complete lines; empty for a page that is not allowed."""
        if self._any_origin:
            return _TO_ANY
        origin = head.fields.get(b"origin")
        if origin is None:
            return b""
        if not self.allows(origin):
            return b"vary: origin\r\n"
        return b"access-control-allow-origin: %s\r\nvary: origin\r\n%s" % (origin, _EXPOSED)
