"""Load the settings: the file if there is one, the environment, and what the command line sets."""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from trunkline.providers.build import build_provider
from trunkline.providers.provider import DEMO, Provider
from trunkline.server.config import ServerSettings
from trunkline.settings.environment import environment_providers, provider_variables
from trunkline.settings.errors import ConfigError
from trunkline.settings.schema import Configuration, Settings

DEFAULT_FILE = "trunkline.yaml"
"""Read from the current folder if no file is named."""
MAX_FILE_BYTES = 4 * 1024 * 1024


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Load the settings from the file at *path*, or from `trunkline.yaml` in the current folder if *path* is None.

    Without either, everything has its default and providers are found from *environ*.

    Raises:
        ConfigError: the file cannot be read or is not a valid configuration.
    """
    if path is None:
        path = Path(DEFAULT_FILE)
        if not path.exists():
            return _settings(Configuration(), environ, None)
    return parse(read_file(path), environ, path)


def parse(text: bytes, environ: Mapping[str, str], path: Path = Path(DEFAULT_FILE)) -> Settings:
    """Parse the content of a configuration file; *path* is named in error messages.

    Raises:
        ConfigError: it is not a valid configuration.
    """
    # A start without a file needs no YAML parser.
    from trunkline.settings.reader import Reader
    from trunkline.settings.validation import validate

    reader = Reader(str(path), environ)
    configuration = reader.read(text)
    validate(configuration, reader, environ)
    return _settings(configuration, environ, path)


def read_file(path: Path) -> bytes:
    """The content of the configuration file at *path*.

    Raises:
        ConfigError: it cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: longer than {MAX_FILE_BYTES} bytes")
    return text


def _settings(configuration: Configuration, environ: Mapping[str, str], path: Path | None) -> Settings:
    candidates: tuple[Provider, ...] = ()
    if configuration.providers is None:
        providers, candidates = environment_providers(environ)
    else:
        environ = provider_variables(environ)
        listed = {endpoint.provider for model in configuration.models.values() for endpoint in model.endpoints}
        providers = {
            slug: build_provider(slug, block, environ, listed=slug in listed)
            for slug, block in configuration.providers.items()
        }
    return Settings(
        server=configuration.server,
        storage=configuration.storage,
        ledger=configuration.ledger,
        shared_state=configuration.shared_state,
        auth=configuration.auth,
        keys=configuration.keys,
        timeouts=configuration.timeouts,
        routing=configuration.routing,
        response_cache=configuration.response_cache,
        presets=configuration.presets,
        providers={**providers, DEMO.slug: DEMO},
        models=configuration.models,
        candidates=candidates,
        file=path,
    )


def with_server(settings: Settings, **changes: Any) -> Settings:
    """Return *settings* with the command line's *changes* to the `server` block; a value of None changes nothing.

    Raises:
        ConfigError: a value is out of range, or the gateway would serve other machines without keys.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    try:
        server = msgspec.convert({**msgspec.to_builtins(settings.server), **given}, ServerSettings)
    except msgspec.ValidationError as error:
        path = str(error).rpartition("$.")[2].strip("`")
        raise ConfigError(f"--{path}: {str(error).partition(' - at')[0]}") from error
    if not (settings.auth.required or settings.auth.unauthenticated_network or is_loopback(server.host)):
        raise ConfigError(
            f"auth.required is false and server.host is {server.host}: all who reach it could spend money. "
            "Listen on 127.0.0.1, require keys, or set auth.unauthenticated_network: true"
        )
    return msgspec.structs.replace(settings, server=server)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach *host*, an address to listen on."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
