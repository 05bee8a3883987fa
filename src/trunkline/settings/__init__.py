"""The configuration file and the environment, as frozen `Settings`."""

from trunkline.settings.reader import (
    ConfigError,
    Configuration,
    Settings,
    StorageSettings,
    in_order,
    load,
    parse,
    with_server,
)

__all__ = ["ConfigError", "Configuration", "Settings", "StorageSettings", "in_order", "load", "parse", "with_server"]
