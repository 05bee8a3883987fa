"""The types of the configuration: what a file may hold, and the settings that are made from it.

The type of each block stands beside its feature: `server.config`, `storage.config`, `routing.config`, …
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from trunkline.catalog.catalog import Catalog, ModelLists, build_catalog
from trunkline.catalog.config import ModelSettings
from trunkline.ledger.config import LedgerSettings
from trunkline.ports import Timeouts
from trunkline.providers.config import ProviderSettings
from trunkline.providers.provider import Provider
from trunkline.routing.config import RoutingSettings
from trunkline.server.config import (
    AuthSettings,
    KeySettings,
    PresetSettings,
    ResponseCacheSettings,
    ServerSettings,
)
from trunkline.storage.config import SharedStateSettings, StorageSettings


class Configuration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration file. Every key is optional."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    ledger: LedgerSettings = LedgerSettings()
    shared_state: SharedStateSettings = SharedStateSettings()
    auth: AuthSettings = AuthSettings()
    keys: tuple[KeySettings, ...] = ()
    timeouts: Timeouts = Timeouts()
    routing: RoutingSettings = RoutingSettings()
    response_cache: ResponseCacheSettings = ResponseCacheSettings()
    presets: PresetSettings = PresetSettings()
    providers: dict[str, ProviderSettings] | None = None
    """By slug. Without this block, providers are found from the environment."""
    models: dict[str, ModelSettings] = {}


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that was configured; each part of the gateway gets its own block.

    Attributes:
        providers: those of the file, or of the environment if the file has no `providers` block; always with `demo`.
        candidates: local servers that are used if they answer (`catalog.refresh.probe`): an Ollama, if providers were
            found from the environment.
        file: the file that was read, or None.
        allow_empty: whether a reload may apply an empty file, or one that declares no keys any more.
    """

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    ledger: LedgerSettings = LedgerSettings()
    shared_state: SharedStateSettings = SharedStateSettings()
    auth: AuthSettings = AuthSettings()
    keys: tuple[KeySettings, ...] = ()
    timeouts: Timeouts = Timeouts()
    routing: RoutingSettings = RoutingSettings()
    response_cache: ResponseCacheSettings = ResponseCacheSettings()
    presets: PresetSettings = PresetSettings()
    providers: Mapping[str, Provider] = {}
    models: Mapping[str, ModelSettings] = {}
    candidates: tuple[Provider, ...] = ()
    file: Path | None = None
    allow_empty: bool = False

    def catalog(self, lists: ModelLists | None = None, *, now: float) -> Catalog:
        """Build the catalog from the configuration and from the model lists of providers. *now* is Unix seconds.

        A candidate is included if it has a list in *lists*, or if a model of the configuration names it.
        """
        named = {endpoint.provider for model in self.models.values() for endpoint in model.endpoints} | set(lists or ())
        present = {one.slug: one for one in self.candidates if one.slug in named}
        return build_catalog({**self.providers, **present}, self.models, lists, now=now)
