"""The error that every part of the settings raises."""


class ConfigError(Exception):
    """The configuration cannot be used. `str()` is one line that names the file, the line, the key and the reason."""
