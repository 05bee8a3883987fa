"""The configuration file and the environment, read once into frozen `Settings`.

`schema` has the types, `reader` turns YAML into them with line numbers, `validation` checks what types cannot express,
`environment` reads environment variables, and `loading` puts these together.
"""

from trunkline.settings.errors import ConfigError
from trunkline.settings.loading import DEFAULT_FILE, is_loopback, load, parse, read_file, with_server
from trunkline.settings.schema import Configuration, Settings

__all__ = [
    "DEFAULT_FILE",
    "ConfigError",
    "Configuration",
    "Settings",
    "is_loopback",
    "load",
    "parse",
    "read_file",
    "with_server",
]
