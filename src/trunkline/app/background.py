"""Periodic tasks of a running gateway: model lists, provider probes, idempotency leases, and watching for changes."""

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from trunkline.app.application import App
from trunkline.app.config_watch import ConfigWatch
from trunkline.app.reload import rebuild, reload
from trunkline.catalog.model_list_fetch import discover_local_servers, fetch_with, refresh_model_lists
from trunkline.catalog.recovery_probe import PROBE_TIMEOUTS, responsive_providers
from trunkline.model.errors import TrunklineError
from trunkline.storage.idempotency import RENEW_S

REFRESH_MODELS_S = 600.0
"""Seconds between two fetches of the providers' model lists."""
SWEEP_S = 3600.0
"""Seconds between two deletions of expired idempotent answers."""
WATCH_S = 1.0
"""Seconds between two checks of the keys and of the configuration file."""
PROBE_JOURNAL_S = 1.0
"""Seconds between two checks of the journal."""

logger = logging.getLogger(__name__)


class BackgroundTasks:
    """The periodic tasks of *app*: call `start` once it is open, and `stop` before it closes."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start every task."""
        loops = (watch_changes, refresh_models, maintain_idempotency, probe_providers, probe_journal)
        self._tasks = [asyncio.create_task(loop(self._app)) for loop in loops]

    async def stop(self) -> None:
        """Cancel every task and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def discover(app: App) -> None:
    """Fetch the providers' model lists; if one has changed, rebuild the catalog."""
    fetch = fetch_with(app.parts.transport)
    settings, authority = app.settings, app.parts.authority
    lists = {**app.model_lists, **await discover_local_servers(settings.candidates, fetch, authority)}
    lists = await refresh_model_lists(settings.providers.values(), fetch, authority, lists)
    if lists != app.model_lists:
        app.model_lists = lists
        rebuild(app)


async def refresh_models(app: App) -> None:
    """Fetch the model lists again and again."""
    while True:
        try:
            await discover(app)
        except TrunklineError as error:
            logger.warning("the model lists of providers could not be fetched: %s", error)
        await asyncio.sleep(REFRESH_MODELS_S)


async def probe_providers(app: App) -> None:
    """Probe providers whose endpoints fail, and give an endpoint traffic again as soon as its provider answers."""
    fetch = fetch_with(app.parts.transport, PROBE_TIMEOUTS)
    while True:
        await asyncio.sleep(app.settings.routing.probe_s or REFRESH_MODELS_S)
        router = app.state.engine.router
        troubled = router.troubled() if app.settings.routing.probe_s else []
        if not troubled:
            continue
        providers = app.state.catalog.providers
        slugs = sorted({endpoint.provider for endpoint in troubled})
        back = await responsive_providers([providers[slug] for slug in slugs], fetch, app.parts.authority)
        for endpoint in troubled:
            if endpoint.provider in back:
                router.recovered(endpoint)


async def probe_journal(app: App) -> None:
    """Notice that the journal can be written again, although no request is served that would write it."""
    while True:
        await asyncio.sleep(PROBE_JOURNAL_S)
        app.parts.journal.probe()


async def maintain_idempotency(app: App) -> None:
    """Renew the leases of idempotency keys whose requests run here, and delete expired answers."""
    store, clock = app.state.idempotency, app.state.clock
    swept: float | None = None
    while True:
        try:
            await store.renew(clock.now())
            if swept is None or clock.monotonic() - swept >= SWEEP_S:
                await store.sweep(clock.now())
                swept = clock.monotonic()
        except SQLAlchemyError as error:
            logger.warning("the leases of idempotency keys could not be renewed: %s", type(error).__name__)
        await asyncio.sleep(RENEW_S)


async def watch_changes(app: App) -> None:
    """Read keys, presets and spending that other processes changed, and reload a changed configuration file."""
    watch = ConfigWatch(app.settings.file)
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            await app.parts.keys.refresh()
            await app.state.presets.refresh()
            if app.settings.server.workers > 1:
                await app.state.generations.refresh(app.parts.budgets)
        except SQLAlchemyError as error:
            logger.warning("keys, presets and spending could not be read: %s", type(error).__name__)
        if await watch.changed():
            reload(app)
