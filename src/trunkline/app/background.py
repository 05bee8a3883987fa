"""Periodic tasks of a running gateway: model lists, provider probes, idempotency leases, and watching for changes."""

from trunkline.app.application import App
from trunkline.app.config_watch import ConfigWatch
from trunkline.app.reload import rebuild, reload
from trunkline.app.supervisor import Supervisor
from trunkline.catalog.model_list_fetch import discover_local_servers, fetch_with, refresh_model_lists
from trunkline.catalog.recovery_probe import PROBE_TIMEOUTS, responsive_providers
from trunkline.storage.idempotency import RENEW_S

REFRESH_MODELS_S = 600.0
"""Seconds between two fetches of the providers' model lists."""
SWEEP_S = 3600.0
"""Seconds between two deletions of expired idempotent answers."""
WATCH_S = 1.0
"""Seconds between two checks of the keys and of the configuration file."""
PROBE_S = 3.0
"""Seconds for reading changes: a database that hangs is noticed within 5 s, whatever `storage.timeout_s` is."""
PROBE_JOURNAL_S = 1.0
"""Seconds between two checks of the journal."""


class BackgroundTasks:
    """The periodic work of *app*: call `start` once it is open."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._swept: float | None = None
        """When expired idempotent answers were deleted last, on the monotonic clock."""
        self._configuration = ConfigWatch(app.settings.file)

    def start(self, supervisor: Supervisor) -> None:
        """Start every task under *supervisor*, which ends them too."""
        every = supervisor.every
        every("watch_database", self._watch_database, lambda: WATCH_S)
        every("watch_configuration", self._watch_configuration, lambda: WATCH_S)
        every("renew_leases", self._renew_leases, lambda: RENEW_S, at_once=True, max_pause_s=WATCH_S)
        every("sweep_answers", self._sweep_answers, lambda: RENEW_S, at_once=True)
        every("refresh_models", self._refresh_models, lambda: REFRESH_MODELS_S, at_once=True)
        every("probe_providers", self._probe_providers, lambda: self._app.settings.routing.probe_s or REFRESH_MODELS_S)
        every("probe_journal", self._probe_journal, lambda: PROBE_JOURNAL_S)

    async def _watch_database(self) -> None:
        """Read keys, presets and spending that other processes changed."""
        app = self._app
        async with app.parts.database.limit(PROBE_S):
            await app.parts.keys.refresh()
        async with app.parts.database.limit(PROBE_S):
            await app.state.presets.refresh()
        if app.settings.server.workers > 1:
            await app.state.generations.refresh(app.parts.budgets)

    async def _watch_configuration(self) -> None:
        """Reload a changed configuration file."""
        if await self._configuration.changed():
            reload(self._app)

    async def _probe_journal(self) -> None:
        """Notice that the journal can be written again, although no request is served that would write it."""
        self._app.parts.journal.probe()

    async def _renew_leases(self) -> None:
        """Renew the leases of idempotency keys whose requests run here."""
        await self._app.state.idempotency.renew(self._app.state.clock.now())

    async def _sweep_answers(self) -> None:
        """Delete expired idempotent answers, once in `SWEEP_S`."""
        clock = self._app.state.clock
        if self._swept is None or clock.monotonic() - self._swept >= SWEEP_S:
            await self._app.state.idempotency.sweep(clock.now())
            self._swept = clock.monotonic()

    async def _refresh_models(self) -> None:
        """Fetch the model lists again."""
        await discover(self._app)

    async def _probe_providers(self) -> None:
        """Probe providers whose endpoints fail; give an endpoint traffic again as soon as its provider answers."""
        app = self._app
        router = app.state.engine.router
        troubled = router.troubled() if app.settings.routing.probe_s else []
        if not troubled:
            return
        providers = app.state.catalog.providers
        slugs = sorted({endpoint.provider for endpoint in troubled})
        fetch = fetch_with(app.parts.transport, PROBE_TIMEOUTS)
        back = await responsive_providers([providers[slug] for slug in slugs], fetch, app.parts.authority)
        for endpoint in troubled:
            if endpoint.provider in back:
                router.recovered(endpoint)


async def discover(app: App) -> None:
    """Fetch the providers' model lists; if one has changed, rebuild the catalog."""
    fetch = fetch_with(app.parts.transport)
    settings, authority = app.settings, app.parts.authority
    lists = {**app.model_lists, **await discover_local_servers(settings.candidates, fetch, authority)}
    lists = await refresh_model_lists(settings.providers.values(), fetch, authority, lists)
    if lists != app.model_lists:
        app.model_lists = lists
        rebuild(app)
