"""Is a provider that was in trouble there again? Asked for its model list, which costs nothing.

A provider without such a list cannot be asked: its endpoints are tried again when their circuit's time is over.
"""

import asyncio
import logging
from collections.abc import Iterable

from trunkline.catalog.refresh import Fetch, discover
from trunkline.model.errors import TrunklineError
from trunkline.ports import Timeouts
from trunkline.providers.authority import Authority
from trunkline.providers.base import Provider

PROBE_TIMEOUTS = Timeouts(
    connect_s=3, first_byte_s=5, first_content_s=5, idle_s=5, content_idle_s=5, total_s=8, pool_wait_s=1
)

_log = logging.getLogger("trunkline.catalog")


async def answering(providers: Iterable[Provider], fetch: Fetch, authority: Authority) -> set[str]:
    """The slugs of those *providers* that answer; they are asked at the same time. Raises for nothing they do."""
    asked = [provider for provider in providers if provider.lists != () and provider.base_url]
    answers = await asyncio.gather(*(_answers(provider, fetch, authority) for provider in asked))
    return {provider.slug for provider, answers_ in zip(asked, answers, strict=True) if answers_}


async def _answers(provider: Provider, fetch: Fetch, authority: Authority) -> bool:
    try:
        await discover(provider, fetch, authority)
    except (TrunklineError, ValueError) as error:
        _log.debug("provider %s: still does not answer: %s", provider.slug, error)
        return False
    return True
