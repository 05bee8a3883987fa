"""Fetches the model lists of providers and discovers local servers.

This is the catalog's only I/O; the transport is passed in. A provider whose list cannot be fetched is logged with the
cause and keeps its previous list.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from trunkline import __version__
from trunkline.catalog.model_list_parser import ListedModel, parse_model_list
from trunkline.model.errors import TrunklineError, UpstreamFailed
from trunkline.ports import Timeouts, Transport, UpstreamRequest
from trunkline.providers.authentication import Authenticator
from trunkline.providers.provider import Provider

Fetch: TypeAlias = Callable[[str, Mapping[str, str]], Awaitable[bytes]]
"""GET a URL with headers and return the body; raises `TrunklineError` for any status other than 200."""

MAX_LIST_BYTES = 16 * 1024 * 1024
"""The maximum size of a model list. OpenRouter's, the longest, has about 1 MB."""
LOCAL_TIMEOUT_S = 0.5
"""The time limit for a server on this machine; the start must not wait for a missing one."""
LIST_TIMEOUTS = Timeouts(
    connect_s=5, first_byte_s=15, first_content_s=15, idle_s=10, content_idle_s=15, total_s=30, pool_wait_s=10
)

_log = logging.getLogger("trunkline.catalog")


def fetch_with(transport: Transport, timeouts: Timeouts = LIST_TIMEOUTS) -> Fetch:
    """A `Fetch` that uses *transport*."""

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
            raise UpstreamFailed(f"returned status {response.status} for its model list", provider=parts.netloc)
        return await response.read(MAX_LIST_BYTES)

    return fetch


async def fetch_model_list(provider: Provider, fetch: Fetch, authority: Authenticator) -> tuple[ListedModel, ...]:
    """Fetch the models of *provider*, each once, with its first credential; *authority* provides the headers.

    Raises:
        TrunklineError: the provider could not be reached, or its status was not 200.
        ValueError: the response is not a model list.
    """
    found: dict[str, ListedModel] = {}
    for url in (f"{provider.base_url}/models",) if provider.model_list_urls is None else provider.model_list_urls:
        headers = dict(provider.request_headers(provider.dialect))
        if provider.credentials:
            headers |= await authority.headers(provider, provider.credentials[0], url, provider.dialect)
        for model in parse_model_list(await fetch(url, headers), provider):
            found.setdefault(model.id, model)
    return tuple(found.values())


async def refresh_model_lists(
    providers: Iterable[Provider],
    fetch: Fetch,
    authority: Authenticator,
    known: Mapping[str, tuple[ListedModel, ...]] | None = None,
) -> dict[str, tuple[ListedModel, ...]]:
    """Fetch the lists of those *providers* that have one, by slug; for the others, return the list in *known*.

    The lists are fetched concurrently. Upstream errors are logged, not raised.
    """
    asked = [
        provider
        for provider in providers
        if provider.discover and not provider.known_models and provider.model_list_urls != ()
    ]
    answers = await asyncio.gather(*(_fetch_or_none(provider, fetch, authority) for provider in asked))
    lists = dict(known or {})
    for provider, answer in zip(asked, answers, strict=True):
        if answer is not None:
            lists[provider.slug] = answer
    return lists


async def _fetch_or_none(provider: Provider, fetch: Fetch, authority: Authenticator) -> tuple[ListedModel, ...] | None:
    try:
        return await fetch_model_list(provider, fetch, authority)
    except (TrunklineError, ValueError) as error:
        _log.warning("provider %s: could not fetch its model list: %s", provider.slug, error)
        return None


async def discover_local_servers(
    candidates: Iterable[Provider], fetch: Fetch, authority: Authenticator
) -> dict[str, tuple[ListedModel, ...]]:
    """The model lists of those *candidates* (servers on this machine) that respond, by slug.

    Failures are not warnings.
    """
    found: dict[str, tuple[ListedModel, ...]] = {}
    for provider in candidates:
        try:
            async with asyncio.timeout(LOCAL_TIMEOUT_S):
                found[provider.slug] = await fetch_model_list(provider, fetch, authority)
        except (TrunklineError, ValueError, TimeoutError) as error:
            _log.debug("no %s at %s: %s", provider.name, provider.base_url, error)
    return found
