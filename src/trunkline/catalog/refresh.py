"""Asking providers for their models, and a local server whether it is there.

The only I/O of the catalog, and it is handed in. A provider that cannot be asked is logged with the cause and keeps
what was known of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from trunkline import __version__
from trunkline.catalog.discovered import Discovered, parse
from trunkline.model.errors import TrunklineError, UpstreamFailed
from trunkline.ports import Timeouts, Transport, UpstreamRequest
from trunkline.providers.authority import Authority
from trunkline.providers.base import Provider

Fetch: TypeAlias = Callable[[str, Mapping[str, str]], Awaitable[bytes]]
"""The body of a GET of a URL with headers; raises `TrunklineError` for anything but a 200."""

MAX_LIST_BYTES = 16 * 1024 * 1024
"""OpenRouter's list, the longest, has about 1 MB."""
PROBE_TIMEOUT_S = 0.5
"""For a server on this machine; a start must not wait for one that is not there."""
ASK_TIMEOUTS = Timeouts(
    connect_s=5, first_byte_s=15, first_content_s=15, idle_s=10, content_idle_s=15, total_s=30, pool_wait_s=10
)

_log = logging.getLogger("trunkline.catalog")


def fetch_with(transport: Transport, timeouts: Timeouts = ASK_TIMEOUTS) -> Fetch:
    """A `Fetch` over *transport*."""

    async def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = {
            "host": parts.netloc,
            "accept": "application/json",
            "user-agent": f"trunkline/{__version__}",
            **headers,
        }
        head = "".join((f"GET {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in lines.items())))
        request = UpstreamRequest(
            origin=f"{parts.scheme}://{parts.netloc}",
            head=head.encode("latin-1"),
            body=b"",
            timeouts=timeouts,
        )
        response = await transport.send(request)
        if response.status != 200:
            response.abort()
            raise UpstreamFailed(f"answered {response.status} to the question for its models", provider=parts.netloc)
        return await response.read(MAX_LIST_BYTES)

    return fetch


async def discover(provider: Provider, fetch: Fetch, authority: Authority) -> tuple[Discovered, ...]:
    """The models that *provider* lists, each once, asked with its first credential; *authority* makes headers of it.

    Raises:
        TrunklineError: it could not be reached, or did not answer 200.
        ValueError: what it answered is no list of models.
    """
    found: dict[str, Discovered] = {}
    for url in (f"{provider.base_url}/models",) if provider.lists is None else provider.lists:
        headers = dict(provider.fields(provider.dialect))
        if provider.credentials:
            headers |= await authority.fields(provider, provider.credentials[0], url, provider.dialect)
        for model in parse(await fetch(url, headers), provider):
            found.setdefault(model.id, model)
    return tuple(found.values())


async def refresh(
    providers: Iterable[Provider],
    fetch: Fetch,
    authority: Authority,
    known: Mapping[str, tuple[Discovered, ...]] | None = None,
) -> dict[str, tuple[Discovered, ...]]:
    """The lists of those *providers* that are to be asked and can be, by slug; of the others, what was *known*.

    They are asked at the same time. Never raises for what a provider does.
    """
    asked = [provider for provider in providers if provider.discover and not provider.known and provider.lists != ()]
    answers = await asyncio.gather(*(_ask(provider, fetch, authority) for provider in asked))
    lists = dict(known or {})
    for provider, answer in zip(asked, answers, strict=True):
        if answer is not None:
            lists[provider.slug] = answer
    return lists


async def _ask(provider: Provider, fetch: Fetch, authority: Authority) -> tuple[Discovered, ...] | None:
    try:
        return await discover(provider, fetch, authority)
    except (TrunklineError, ValueError) as error:
        _log.warning("provider %s: could not be asked for its models: %s", provider.slug, error)
        return None


async def probe(
    candidates: Iterable[Provider], fetch: Fetch, authority: Authority
) -> dict[str, tuple[Discovered, ...]]:
    """The lists of those *candidates* (servers on this machine) that answer, by slug. Silence is nobody's fault."""
    found: dict[str, tuple[Discovered, ...]] = {}
    for provider in candidates:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                found[provider.slug] = await discover(provider, fetch, authority)
        except (TrunklineError, ValueError, TimeoutError) as error:
            _log.debug("no %s at %s: %s", provider.name, provider.base_url, error)
    return found
