"""Check what the types of the schema cannot express: references, addresses, names that must be unique."""

import difflib
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib.util import find_spec
from urllib.parse import urlsplit

from trunkline.catalog.config import ModelSettings, PriceSettings, PriceTierSettings
from trunkline.ports import Timeouts
from trunkline.providers.build import find_faults, from_environment, is_header_safe
from trunkline.providers.compatible import compatible
from trunkline.providers.config import ProviderSettings
from trunkline.providers.provider import DEMO
from trunkline.server.config import KeySettings, ServerSettings
from trunkline.server.http.origins import ANY, ORIGIN
from trunkline.settings.reader import KeyPath, Reader, suggestion
from trunkline.settings.schema import Configuration

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_MODEL_ID = re.compile(r"[!-.0-~]+/[!-~]+", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", re.ASCII)
_ALLOWED_HOST = re.compile(r"[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_RESERVED_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-type", "content-encoding", "te"}
)
"""Headers that the gateway writes itself."""
_DECIMALS = {"request": 12, "image": 12, "search": 12}


def validate(configuration: Configuration, reader: Reader, environ: Mapping[str, str]) -> None:
    """Check what types cannot express: references, addresses, names that must be unique.

    Raises:
        ConfigError: the first error found.
    """
    for name in Timeouts.__struct_fields__:
        if getattr(configuration.timeouts, name) <= 0:
            reader.fail(("timeouts", name), "must be more than 0")
    _check_urls(configuration, reader)
    _check_origins(configuration.server, reader)
    _check_keys(configuration.keys, reader)
    for slug, provider in (configuration.providers or {}).items():
        _check_provider(slug, provider, reader, environ)
    _check_models(configuration, reader, environ)


def _check_urls(configuration: Configuration, reader: Reader) -> None:
    if not re.match(r"(sqlite|postgres|postgresql)(\+[a-z]+)?:", configuration.storage.url):
        reader.fail(("storage", "url"), "expected sqlite:///path or postgresql://user@host/name")
    shared = configuration.shared_state.url
    if shared is not None:
        if not _redis(shared):
            reader.fail(("shared_state", "url"), "expected redis://host:6379/0, or null")
        if find_spec("redis") is None:
            reader.fail(("shared_state", "url"), "it needs a package: pip install 'trunkline[redis]'")


def _check_origins(server: ServerSettings, reader: Reader) -> None:
    for index, host in enumerate(server.allowed_hosts):
        if host != ANY and not _ALLOWED_HOST.fullmatch(host):
            reader.fail(
                ("server", "allowed_hosts", index), "expected a host name without port, such as gateway.example"
            )
    for index, origin in enumerate(server.allowed_origins or ()):
        if origin != ANY and not ORIGIN.fullmatch(origin.lower().encode("utf-8", "replace")):
            reader.fail(("server", "allowed_origins", index), "expected scheme and host, such as https://chat.example")


def _redis(url: str) -> bool:
    """Whether *url* can be the address of a Redis server."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("redis", "rediss", "valkey", "valkeys", "unix") and parts.port != 0
    except ValueError:
        return False


def _check_keys(keys: tuple[KeySettings, ...], reader: Reader) -> None:
    names: dict[str, int] = {}
    secrets: dict[str, int] = {}
    for index, key in enumerate(keys):
        path: KeyPath = ("keys", index)
        if not is_header_safe(key.secret):
            reader.fail((*path, "secret"), "is empty, or has a space or a control character in it")
        for seen, value, word in ((names, key.name, "name"), (secrets, key.secret, "secret")):
            if value in seen:
                reader.fail((*path, word), f"the same as that of keys[{seen[value]}]")
            seen[value] = index
        _check_decimals(key.limit_usd, 12, (*path, "limit_usd"), reader)


def _check_provider(slug: str, provider: ProviderSettings, reader: Reader, environ: Mapping[str, str]) -> None:
    path: KeyPath = ("providers", slug)
    if slug == DEMO.slug:
        reader.fail(path, "is built in and always there; choose another slug")
    if not _SLUG.fullmatch(slug):
        reader.fail(path, "a slug is lower-case letters, digits, '-', '_' and '.'")
    known = compatible().get(slug)
    if provider.base_url is not None:
        _check_address(provider.base_url, (*path, "base_url"), reader)
    elif known is None:
        spellings = {word: name for name, one in compatible().items() for word in (name, *one.aka)}
        close = difflib.get_close_matches(slug, spellings, n=1, cutoff=0.6)
        hint = f" (did you mean {spellings[close[0]]!r}?)" if close else ""
        reader.fail((*path, "base_url"), f"missing, and {slug!r} is not a provider whose address is known{hint}")
    for dialect, url in (provider.also or {}).items():
        _check_address(url, (*path, "also", dialect), reader)
    for where, fault in find_faults(slug, provider, environ):
        reader.fail((*path, *where), fault)
    _check_headers(provider, path, reader)


def _check_headers(provider: ProviderSettings, path: KeyPath, reader: Reader) -> None:
    header, scheme = provider.auth_header, provider.auth_scheme or ""
    if header is not None and (not _TOKEN.fullmatch(header) or header.lower() in _RESERVED_HEADERS):
        reader.fail((*path, "auth_header"), "not a header that can carry a key")
    if not (scheme.isascii() and scheme.isprintable()):
        reader.fail((*path, "auth_scheme"), "cannot be sent in a header")
    for name, value in provider.headers.items():
        if not _TOKEN.fullmatch(name):
            reader.fail((*path, "headers", name), "not a header's name")
        if name.lower() in _RESERVED_HEADERS:
            reader.fail((*path, "headers", name), "the gateway writes this header itself")
        if not (value.isascii() and value.isprintable()):
            reader.fail((*path, "headers", name), "the value cannot be sent in a header")


def _check_address(url: str, path: KeyPath, reader: Reader) -> None:
    """Check the base URL of a provider: it must say where to connect and must not hold a secret."""
    if not url.isascii() or not url.isprintable() or " " in url:
        reader.fail(path, "not an address: it has a space or a control character in it")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        reader.fail(path, "not an address: wrong host or port")
    if parts.scheme not in ("http", "https"):
        reader.fail(path, "not an address: expected http:// or https:// and a host")
    if not host or not _HOST.fullmatch(host) or port == 0:
        reader.fail(path, "not an address: wrong host or port")
    if "@" in parts.netloc:
        reader.fail(path, "must not hold a user name or a password; use credentials or headers")
    if parts.query or parts.fragment:
        reader.fail(path, "must not have a query or a fragment")


def _check_models(configuration: Configuration, reader: Reader, environ: Mapping[str, str]) -> None:
    if configuration.providers is None:
        slugs = [*from_environment(environ), DEMO.slug, "ollama"]
    else:
        slugs = [*configuration.providers, DEMO.slug]
    names: dict[str, str] = {}
    for model_id, model in configuration.models.items():
        path: KeyPath = ("models", model_id)
        if not _MODEL_ID.fullmatch(model_id) or len(model_id) > 256:
            reader.fail(path, "a model's id is author/slug, without spaces")
        for index, alias in enumerate(model.aliases):
            where: KeyPath = (*path, "aliases", index)
            if not re.fullmatch(r"[!-~]+", alias):
                reader.fail(where, "an alias has no spaces")
            if alias in configuration.models:
                reader.fail(where, f"{alias!r} is a model's id")
            if alias in names:
                reader.fail(where, f"{alias!r} is an alias of {names[alias]!r}")
            names[alias] = model_id
        _check_endpoints(model, path, slugs, reader)


def _check_endpoints(model: ModelSettings, path: KeyPath, slugs: list[str], reader: Reader) -> None:
    tags: dict[str, int] = {}
    for index, endpoint in enumerate(model.endpoints):
        where: KeyPath = (*path, "endpoints", index)
        if endpoint.provider not in slugs:
            reader.fail(
                (*where, "provider"), f"no provider {endpoint.provider!r}{suggestion(endpoint.provider, slugs)}"
            )
        tag = endpoint.tag or endpoint.provider
        if tag != endpoint.provider and not re.fullmatch(rf"{re.escape(endpoint.provider)}/[!-~]+", tag):
            reader.fail(
                (*where, "tag"), f"found {tag!r}, expected {endpoint.provider!r} or {endpoint.provider + '/…'!r}"
            )
        if tag in tags:
            fault = f"{tag!r} is the tag of endpoints[{tags[tag]}] too; add a suffix, such as '{endpoint.provider}/b'"
            reader.fail((*where, "tag"), fault)
        tags[tag] = index
        if endpoint.price is not None:
            _check_price(endpoint.price, (*where, "price"), reader)


def _check_price(price: PriceSettings, path: KeyPath, reader: Reader) -> None:
    for name, value in _amounts(price):
        _check_decimals(value, _DECIMALS.get(name, 6), (*path, name), reader)
    above = 0
    for index, tier in enumerate(price.tiers):
        where: KeyPath = (*path, "tiers", index)
        if tier.above <= above:
            reader.fail((*where, "above"), "must be more than that of the tier before")
        above = tier.above
        for name, value in _amounts(tier):
            _check_decimals(value, 6, (*where, name), reader)


def _amounts(prices: PriceSettings | PriceTierSettings) -> Iterator[tuple[str, Decimal]]:
    for name in prices.__struct_fields__:
        value = getattr(prices, name)
        if isinstance(value, Decimal):
            yield name, value


def _check_decimals(value: Decimal | None, most: int, path: KeyPath, reader: Reader) -> None:
    """Reject an amount that would be rounded: the smallest unit is a pico-dollar."""
    if value is not None and value != value.quantize(Decimal(1).scaleb(-most)):
        reader.fail(path, f"has more than {most} decimals")
