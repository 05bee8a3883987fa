"""Where an origin is, and through which proxy it is reached."""

from urllib.parse import urlsplit

from msgspec import Struct

from trunkline.model.errors import UpstreamUnreachable
from trunkline.transport.proxy import Proxies, Proxy


class Address(Struct, frozen=True):
    """The address of an origin. `proxy` is None where it is reached directly."""

    host: str
    port: int
    tls: bool
    proxy: Proxy | None


def address_of(origin: str, proxies: Proxies) -> Address:
    """Return the address of *origin*, `scheme://host:port`; the port may be missing.

    Raises:
        UpstreamUnreachable: it is not an http or https origin.
    """
    try:
        url = urlsplit(origin)
        port = url.port or (443 if url.scheme == "https" else 80)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(url.scheme)
    except ValueError as error:
        raise UpstreamUnreachable("the provider's address is not an http or https origin") from error
    return Address(url.hostname, port, url.scheme == "https", proxies.find(url.scheme, url.hostname, port))
