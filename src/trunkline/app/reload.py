"""Apply new settings to a running gateway. Requests in progress finish with the settings they started with."""

import logging

from trunkline.app.application import App, Parts
from trunkline.catalog.catalog import Catalog
from trunkline.engine.context import EngineContext
from trunkline.engine.error_scrubbing import Scrubber
from trunkline.engine.router import Router
from trunkline.engine.targets import Targets
from trunkline.settings import ConfigError, Settings, load, with_server
from trunkline.storage.keys import KeyRing

logger = logging.getLogger(__name__)


def reload(app: App) -> None:
    """Read the configuration file again and apply it. If it has an error, log the error and keep the old settings."""
    try:
        settings = load(app.settings.file, app.environ)
    except ConfigError as error:
        logger.error("the configuration was NOT reloaded: %s", error)
        return
    apply(app, settings)
    logger.info("the configuration was reloaded")


def apply(app: App, settings: Settings) -> None:
    """Use *settings* from the next request on."""
    old = app.settings
    for name in ("host", "port", "workers"):
        current, configured = getattr(old.server, name), getattr(settings.server, name)
        if current != configured:
            logger.warning("server.%s is %s until a restart; the configuration says %s", name, current, configured)
    settings = keep_listening(settings, old)
    for name in ("storage", "shared_state"):
        if getattr(old, name) != getattr(settings, name):
            logger.warning("%s has changed; the change takes effect after a restart", name)
    app.settings = settings
    declare_keys(app.parts.keys, settings)
    app.server.settings = settings.server
    app.state.auth_required = settings.auth.required
    app.state.presets_shared = settings.presets.shared
    cache = settings.response_cache
    app.state.max_answer_bytes = cache.max_answer_bytes
    app.parts.answers.limit(max_bytes=cache.max_bytes, max_answers=cache.max_answers)
    rebuild(app)


def rebuild(app: App) -> None:
    """Make a new catalog and engine context from the current settings and model lists."""
    catalog = app.settings.catalog(app.model_lists, now=app.state.clock.now())
    app.state.catalog = catalog
    app.state.engine = engine_context(app.settings, catalog, app.parts)


def keep_listening(settings: Settings, old: Settings) -> Settings:
    """Return *settings* with the host, port and workers of *old*: they cannot change while the gateway runs."""
    server = old.server
    return with_server(settings, host=server.host, port=server.port, workers=server.workers)


def declare_keys(keys: KeyRing, settings: Settings) -> None:
    """Pass the keys that the configuration declares to the key ring."""
    keys.declare([(key.name, key.secret, key.limit, key.routing.policy("key")) for key in settings.keys])


def engine_context(settings: Settings, catalog: Catalog, parts: Parts) -> EngineContext:
    """Make the engine's context: the part of the gateway that every reload replaces."""
    providers = dict(catalog.providers)
    metrics = parts.metrics
    router = Router(
        catalog,
        settings.routing,
        memory=parts.memory,
        credentials=parts.credentials,
        monotonic=parts.clock.monotonic,
        draw=parts.draw,
        publish=None if parts.shared is None else parts.shared.publish,
    )
    secrets = [key.secret for key in settings.keys]
    for provider in providers.values():
        secrets += [secret for credential in provider.credentials for secret in credential.secrets]
    return EngineContext(
        transport=parts.transport,
        clock=parts.clock,
        journal=parts.journal,
        credentials=parts.credentials,
        targets=Targets(parts.authority),
        providers=providers,
        timeouts=settings.timeouts,
        scrubber=Scrubber(frozenset(secrets)),
        signatures=parts.signatures,
        relay=settings.server.relay == "auto",
        batcher=parts.batcher,
        budgets=parts.budgets,
        new_id=parts.new_id,
        pipeline=parts.pipeline,
        settled=metrics.generation,
        attempt_failed=lambda provider, error: metrics.upstream_error(provider, type(error).__name__),
        router=router,
        max_attempts=settings.routing.max_attempts,
        hedge_after_s=settings.routing.hedge_after_s,
    )
