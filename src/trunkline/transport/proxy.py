"""Which proxy leads to an origin, from the usual environment variables. Source: curl's manual, "Environment"."""

import base64
import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from msgspec import Struct


class Proxy(Struct, frozen=True):
    """The address of a proxy. `repr` shows nothing of it, since it may contain a password.

    `authorization` is the value of `Proxy-Authorization`; None where the proxy asks for no credentials.
    """

    host: str
    port: int
    tls: bool = False
    authorization: bytes | None = None

    def __repr__(self) -> str:
        return "Proxy(…)"


class Proxies(Struct, frozen=True):
    """The proxy of each scheme (None: no proxy), and the origins that are reached without one."""

    http: Proxy | None = None
    https: Proxy | None = None
    bypass: tuple[str, ...] = ()
    """As in `no_proxy`: `host` and `.domain` (both with their subdomains), `*`, IP addresses and networks.

    Each may end with `:port`.
    """

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Proxies":
        """Read `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`; a lower-case name comes before its upper case.

        Raises:
            ValueError: a value is not the URL of an http or https proxy. The message names the variable.
        """

        def read(name: str) -> str:
            return (environ.get(name) or environ.get(name.upper()) or "").strip()

        def proxy(scheme: str) -> Proxy | None:
            name = f"{scheme}_proxy" if read(f"{scheme}_proxy") else "all_proxy"
            # In a CGI process, HTTP_PROXY can be a client's header `Proxy:` ("httpoxy"). curl ignores it always.
            if name == "http_proxy" and "REQUEST_METHOD" in environ and not environ.get(name):
                return None
            value = read(name)
            return _parse(name, value) if value else None

        rules = read("no_proxy").lower().replace(",", " ").split()
        return cls(http=proxy("http"), https=proxy("https"), bypass=tuple(rules))

    def find(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy that leads to an origin; None where it is reached directly."""
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or any(_matches(rule, host.lower().rstrip("."), port) for rule in self.bypass):
            return None
        return proxy


def _parse(name: str, value: str) -> Proxy:
    """Return the proxy whose URL is *value*, of the variable *name*."""
    try:
        url = urlsplit(value if "://" in value else f"http://{value}")
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(url.scheme)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        # The message must not contain the value, which may contain a password.
        raise ValueError(f"{name} is not the URL of an http or https proxy") from None
    authorization = None
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
        authorization = b"Basic " + base64.b64encode(pair.encode())
    return Proxy(url.hostname, port, url.scheme == "https", authorization)


def _matches(rule: str, host: str, port: int) -> bool:
    """Return whether *rule* of `no_proxy` covers *host* and *port*."""
    if rule == "*":
        return True
    if rule.startswith("["):
        rule, _, wanted = rule[1:].partition("]")
        wanted = wanted.lstrip(":")
    elif rule.count(":") == 1:
        rule, _, wanted = rule.partition(":")
    else:
        wanted = ""
    if wanted and wanted != str(port):
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        name = rule.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
