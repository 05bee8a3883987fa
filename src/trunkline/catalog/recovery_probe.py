"""Recovery probe: checks whether a failing provider responds again by requesting its model list, which is free.

A provider without a model list cannot be probed. Its endpoints are tried again when their circuit's open time is over.
"""

import asyncio
import logging
from collections.abc import Iterable

from trunkline.catalog.model_list_fetch import Fetch, fetch_model_list
from trunkline.model.errors import TrunklineError
from trunkline.ports import Timeouts
from trunkline.providers.authentication import Authenticator
from trunkline.providers.provider import Provider

PROBE_TIMEOUTS = Timeouts(
    connect_s=3, first_byte_s=5, first_content_s=5, idle_s=5, content_idle_s=5, total_s=8, pool_wait_s=1
)

_log = logging.getLogger("trunkline.catalog")


async def responsive_providers(providers: Iterable[Provider], fetch: Fetch, authority: Authenticator) -> set[str]:
    """The slugs of those *providers* that respond. They are requested concurrently. Upstream errors are not raised."""
    asked = [provider for provider in providers if provider.model_list_urls != () and provider.base_url]
    answers = await asyncio.gather(*(_responds(provider, fetch, authority) for provider in asked))
    return {provider.slug for provider, answers_ in zip(asked, answers, strict=True) if answers_}


async def _responds(provider: Provider, fetch: Fetch, authority: Authenticator) -> bool:
    try:
        await fetch_model_list(provider, fetch, authority)
    except (TrunklineError, ValueError) as error:
        _log.debug("provider %s: does not respond yet: %s", provider.slug, error)
        return False
    return True
