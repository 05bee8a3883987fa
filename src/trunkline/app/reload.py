"""Apply new settings to a running gateway. Requests in progress finish with the settings they started with."""

import logging
from collections.abc import Mapping

import msgspec

from trunkline.app.application import App, Parts
from trunkline.catalog.catalog import Catalog
from trunkline.dialects.registry import COUNTERS, RELAYS, UPSTREAMS
from trunkline.engine.context import EngineContext
from trunkline.engine.error_scrubbing import Scrubber
from trunkline.engine.router import Router
from trunkline.engine.targets import Targets
from trunkline.settings import ConfigError, Settings, load, parse, read_file, with_server
from trunkline.storage.keys import KeyRing

logger = logging.getLogger(__name__)


def reload(app: App) -> None:
    """Read the configuration file again and apply it. If it has an error, log the error and keep the old settings."""
    try:
        apply(app, load_again(app.settings, app.environ))
    except ConfigError as error:
        logger.error("the configuration was NOT reloaded: %s", error)
        return
    logger.info("the configuration was reloaded")


def load_again(old: Settings, environ: Mapping[str, str]) -> Settings:
    """Load the file of *old* again, or the default file if there was none.

    Raises:
        ConfigError: the file has an error, or looks as if it was read while it was being written: it is empty, or
            declares no keys although it did before. `old.allow_empty` allows both.
    """
    if old.file is None:
        settings = load(None, environ)
    else:
        text = read_file(old.file)
        if not text.strip() and not old.allow_empty:
            raise ConfigError(f"{old.file}: is empty; `trunkline serve --allow-empty` would accept that")
        settings = parse(text, environ, old.file)
    if old.keys and not settings.keys and not old.allow_empty:
        raise ConfigError(
            f"{settings.file}: declares no keys, and declared {len(old.keys)} before; "
            "`trunkline serve --allow-empty` would accept that"
        )
    return msgspec.structs.replace(settings, allow_empty=old.allow_empty)


def apply(app: App, settings: Settings) -> None:
    """Use *settings* from the next request on.

    Raises:
        ConfigError: they do not fit the address that the gateway listens on. Nothing has changed then.
    """
    old = app.settings
    kept = keep_listening(settings, old)
    for name in ("host", "port", "workers"):
        current, configured = getattr(old.server, name), getattr(settings.server, name)
        if current != configured:
            logger.warning("server.%s is %s until a restart; the configuration says %s", name, current, configured)
    settings = kept
    for name in ("storage", "shared_state"):
        if getattr(old, name) != getattr(settings, name):
            logger.warning("%s has changed; the change takes effect after a restart", name)
    app.settings = settings
    declare_keys(app.parts.keys, settings)
    app.server.configure(settings.server, auth_required=settings.auth.required)
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
        targets=Targets(parts.authority, UPSTREAMS, COUNTERS),
        providers=providers,
        timeouts=settings.timeouts,
        scrubber=Scrubber(frozenset(secrets)),
        signatures=parts.signatures,
        relays=RELAYS if settings.server.relay == "auto" else {},
        batcher=parts.batcher,
        budgets=parts.budgets,
        draw=parts.leases.draw,
        new_id=parts.new_id,
        pipeline=parts.pipeline,
        settled=metrics.generation,
        attempt_failed=lambda provider, error: metrics.upstream_error(provider, type(error).__name__),
        router=router,
        max_attempts=settings.routing.max_attempts,
        hedge_after_s=settings.routing.hedge_after_s,
    )
