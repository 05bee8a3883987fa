"""Environment variables: `${NAME}` in values of the file, and providers whose key variable is set."""

import re
from collections.abc import Mapping

from trunkline.providers.build import from_environment, is_header_safe, ollama_candidate, variables
from trunkline.providers.compatible import compatible
from trunkline.providers.provider import Provider
from trunkline.settings.errors import ConfigError

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BadReference(Exception):
    """A `${…}` in a value cannot be replaced. `str()` is the reason."""


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, bool]:
    """Replace `${NAME}` and `${NAME:-default}` in *text*; the second value tells whether there were any.

    `$${` is a literal `${`.

    Raises:
        BadReference: the variable is not set and has no default, or the reference is malformed.
    """
    if "${" not in text:
        return text, False
    used = False

    def value(match: re.Match[str]) -> str:
        nonlocal used
        if match[0] == "$${":
            return "${"
        name, mark, default = (match[1] or "").partition(":-")
        if not _NAME.fullmatch(name):
            raise BadReference("`${` must be followed by a variable's name and `}`, or by that and `:-default`")
        used = True
        found = environ.get(name)
        if mark and not found:
            return default
        if found is None:
            raise BadReference(f"the environment variable {name} is not set")
        return found

    return _REFERENCE.sub(value, text), used


def referenced(text: str) -> list[str]:
    """The names of the variables that *text* refers to."""
    return re.findall(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)", text)


def provider_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of *environ* that providers read, without surrounding white space.

    A variable that was filled from a file often ends with a line break.

    Raises:
        ConfigError: an API key cannot be sent as a header.
    """
    found = {name: environ[name].strip() for name in variables() if environ.get(name, "").strip()}
    keys = {entry.env for entry in compatible().values() if entry.env}
    for name in sorted(keys & found.keys()):
        if not is_header_safe(found[name]):
            raise ConfigError(f"the environment variable {name}: has a space or a control character in it")
    return found


def environment_providers(environ: Mapping[str, str]) -> tuple[dict[str, Provider], tuple[Provider, ...]]:
    """The providers whose key variable is set, and the candidates: local servers that are used if they answer.

    Raises:
        ConfigError: an API key cannot be sent as a header.
    """
    return from_environment(provider_variables(environ)), (ollama_candidate(environ),)
