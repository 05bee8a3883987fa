"""Build providers from the configuration and the environment."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from trunkline.dialects.interfaces import Quirks
from trunkline.model.endpoint import DataPolicy
from trunkline.providers import google_accounts
from trunkline.providers.compatible import PLACE_VALUE, Compatible, Dialect, Place, compatible
from trunkline.providers.config import SUPPORTED_DIALECTS, CredentialSettings, ProviderSettings
from trunkline.providers.provider import AUTH_HEADERS, BEARER, Auth, Credential, Provider

AWS_KEY_ID, AWS_SECRET, AWS_SESSION = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
GOOGLE_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
PLACES: tuple[Place, ...] = ("region", "project", "resource")

Fault: TypeAlias = tuple[tuple[str | int, ...], str]
"""Keys below the provider's slug, and the error message."""


class _ProviderResolver:
    """Resolves the values of one configured provider from its settings, `compatible.toml` and the environment.

    The dialect, quirks, key header and prices of the file's entry apply at any address. The entry's environment
    variable, model list and further dialects apply only at its own address, because a key belongs to a host. For
    programs that anybody can run, the whole entry applies at any address.
    """

    def __init__(self, slug: str, settings: ProviderSettings, environ: Mapping[str, str]) -> None:
        self.slug = slug
        self.settings = settings
        self.environ = environ
        self.entry = known = compatible().get(slug)
        url = settings.base_url
        self.entry_at_own_address: Compatible | None = (
            known if known and (url is None or known.is_own_address(url)) else None
        )
        self.entry_at_address: Compatible | None = (
            known if known and (self.entry_at_own_address or known.is_local) else None
        )
        self.auth: Auth = settings.auth or (known.auth if known else "header")
        self.dialect: Dialect = settings.dialect or (known.dialect if known else "chat")

    def place(self, name: Place) -> str:
        """The value of the placeholder *name*; empty where none is set."""
        said: str | None = getattr(self.settings, name)
        if said is None and self.entry:
            said = next(filter(None, (self._variable(one) for one in self.entry.places.get(name, ()))), None)
        if said is None and self.entry and name == "region":
            said = self.entry.region
        return said or ""

    def places(self, credentials: tuple[Credential, ...]) -> dict[str, str]:
        """The values of all placeholders. The project falls back to that of a service account."""
        found: dict[str, str] = {name: self.place(name) for name in PLACES}
        if not found["project"]:
            projects = (one.account.project for one in credentials if one.account)
            found["project"] = next(filter(None, projects), "")
        return found

    def base_url(self, places: Mapping[str, str]) -> str:
        """The base URL, without a trailing slash."""
        if self.settings.base_url is not None:
            return self.settings.base_url.rstrip("/")
        return self.entry.fill_template(self.entry.base_url, places) if self.entry else ""

    def also(self, places: Mapping[str, str], base_url: str) -> dict[str, str]:
        """Further dialects and their base URLs."""
        if self.settings.also is not None:
            return {dialect: url.rstrip("/") for dialect, url in self.settings.also.items()}
        if self.entry_at_address is None:
            return {}
        known = self.entry_at_address
        said = {dialect: known.fill_template(url, places, base_url) for dialect, url in known.also.items()}
        return {dialect: url for dialect, url in said.items() if dialect != self.dialect}

    def also_auth(self) -> dict[str, tuple[str, str]]:
        """Key headers of further dialects. A configured header applies to all dialects."""
        if self.entry_at_address is None or self.settings.auth_header is not None:
            return {}
        return {dialect: (header, "") for dialect, header in self.entry_at_address.also_auth.items()}

    def key_header(self) -> tuple[str, str]:
        """The header that carries a key, and the prefix of its value."""
        header, scheme = AUTH_HEADERS.get(self.dialect, BEARER) if self.auth == "header" else BEARER
        if self.entry and self.dialect == self.entry.dialect:
            header, scheme = self.entry.key_header()
        if self.settings.auth_header is not None:
            header = self.settings.auth_header.lower()
            scheme = BEARER[1] if header == BEARER[0] else ""
        if self.settings.auth_scheme is not None:
            said = self.settings.auth_scheme.strip()
            scheme = f"{said} " if said else ""
        return header, scheme

    def credentials(self) -> tuple[Credential, ...]:
        """The configured credentials; without any, that of the environment, at the provider's own address only.

        Raises:
            AccountUnusable: the file of a service account cannot be used.
        """
        if self.settings.credentials:
            return tuple(_credential(f"{self.slug}#{i}", one) for i, one in enumerate(self.settings.credentials, 1))
        if self.entry_at_own_address is None:
            return ()
        id_ = f"{self.slug}#1"
        if self.entry_at_own_address.env and (key := self._variable(self.entry_at_own_address.env)):
            return (Credential(id=id_, secret=key),)
        key_id, secret = self._variable(AWS_KEY_ID), self._variable(AWS_SECRET)
        if self.auth == "sigv4" and key_id and secret:
            token = self._variable(AWS_SESSION)
            return (Credential(id=id_, auth="sigv4", secret=secret, access_key_id=key_id, session_token=token),)
        if self.auth == "google" and (file := self._variable(GOOGLE_FILE)):
            return (Credential(id=id_, auth="google", secret="", account=google_accounts.load_account(file)),)
        return ()

    def credential_variables(self) -> tuple[str, ...]:
        """The environment variables that can hold a credential."""
        kinds = {"sigv4": (AWS_KEY_ID,), "google": (GOOGLE_FILE,)}
        env = (self.entry_at_own_address.env,) if self.entry_at_own_address and self.entry_at_own_address.env else ()
        return (*env, *kinds.get(self.auth, ()))

    def _variable(self, name: str) -> str:
        return self.environ.get(name, "").strip()


def _credential(id_: str, said: CredentialSettings) -> Credential:
    if said.service_account is not None:
        return Credential(id=id_, auth="google", secret="", account=google_accounts.load_account(said.service_account))
    if said.access_key_id is not None:
        return Credential(
            id=id_,
            auth="sigv4",
            secret=said.secret_access_key or "",
            access_key_id=said.access_key_id,
            session_token=said.session_token or "",
        )
    return Credential(id=id_, secret=said.api_key or "")


def build_provider(slug: str, settings: ProviderSettings, environ: Mapping[str, str], *, listed: bool) -> Provider:
    """Build the provider of *settings*. *listed* says whether one of its models is configured.

    Values that the settings omit come from `compatible.toml`. `find_faults` must have found no fault.

    Raises:
        AccountUnusable: the file of a service account cannot be used.
    """
    resolver = _ProviderResolver(slug, settings, environ)
    known, own, there = resolver.entry, resolver.entry_at_own_address, resolver.entry_at_address
    credentials = resolver.credentials()
    places = resolver.places(credentials)
    base_url = resolver.base_url(places)
    has_list = own is not None and bool(own.lists or own.models)
    header, scheme = resolver.key_header()
    return Provider(
        slug=slug,
        name=settings.name or (known.name if known else slug),
        base_url=base_url,
        dialect=resolver.dialect,
        also=resolver.also(places, base_url),
        credentials=credentials,
        auth_header=header,
        auth_scheme=scheme,
        also_auth=resolver.also_auth(),
        region=places["region"],
        headers=tuple((name.lower(), value) for name, value in settings.headers.items()),
        quirks=settings.quirks or (known.quirks if known else Quirks()),
        data_policy=DataPolicy(
            training=settings.data_policy.training,
            retention_days=settings.data_policy.retention_days,
            zdr=settings.data_policy.zdr,
        ),
        discover=(settings.models or ("discover" if has_list and not listed else "listed")) == "discover",
        model_list_urls=tuple(there.fill_template(url, places, base_url) for url in there.lists) if there else None,
        rate_limit_scope=settings.rate_limit_scope or (known.rate_limit_scope if known else "model"),
        max_connections=settings.max_connections,
        author=known.author if known else "",
        model_id_prefix=known.strip if known else "",
        skip_models=known.skip if known else (),
        known_models=own.models if own else (),
        list_prices=known.list_prices if known else "per_token",
        price_source=known.price_source if known else None,
    )


def find_faults(slug: str, settings: ProviderSettings, environ: Mapping[str, str]) -> Iterator[Fault]:
    """Errors in a provider's authentication and address that the types do not exclude."""
    resolver = _ProviderResolver(slug, settings, environ)
    for index, one in enumerate(settings.credentials):
        fault = _credential_fault(one, resolver.auth)
        if fault is not None:
            yield ("credentials", index, *fault[0]), fault[1]
            return
    try:
        credentials = resolver.credentials()
    except google_accounts.AccountUnusable as error:
        yield ("credentials",), f"the service account cannot be used: {error}"
        return
    variables = resolver.credential_variables()
    if resolver.entry_at_own_address and variables and not credentials:
        yield ("credentials",), f"missing, and the environment variable {' or '.join(variables)} is not set"
        return
    yield from _place_faults(resolver, resolver.places(credentials))
    for dialect in settings.also or {}:
        if dialect not in SUPPORTED_DIALECTS:
            yield ("also", dialect), f"not a dialect, expected one of {', '.join(SUPPORTED_DIALECTS)}"
        elif dialect == resolver.dialect:
            yield ("also", dialect), "is the provider's dialect already"


def _credential_fault(said: CredentialSettings, auth: Auth) -> tuple[tuple[str, ...], str] | None:
    """Why *said* is not a credential of the kind *auth* or `header`; None where it is one."""
    given = [name for name in said.__struct_fields__ if getattr(said, name) is not None]
    kinds: dict[Auth, set[str]] = {
        "header": {"api_key"},
        "sigv4": {"access_key_id", "secret_access_key"},
        "google": {"service_account"},
    }
    for kind in ("header", auth):
        if kinds[kind] <= set(given) <= kinds[kind] | ({"session_token"} if kind == "sigv4" else set()):
            for name in given:
                if name != "service_account" and not is_header_safe(getattr(said, name)):
                    return (name,), "is empty, or has a space or a control character in it"
            return None
    wanted = " and ".join(name for name in said.__struct_fields__ if name in kinds[auth])
    hint = f"expected {wanted}" if auth == "header" else f"expected api_key alone, or {wanted}"
    return (), f"{hint}; found {', '.join(given) or 'nothing'} (auth is {auth})"


def _place_faults(resolver: _ProviderResolver, places: Mapping[str, str]) -> Iterator[Fault]:
    """Placeholders of the address without a value or with an invalid value."""
    known, settings = resolver.entry, resolver.settings
    needed = [name for name in PLACES if known and settings.base_url is None and f"{{{name}}}" in known.base_url]
    if resolver.auth == "sigv4" and "region" not in needed:
        needed.append("region")
    for name in PLACES:
        if places[name] and not PLACE_VALUE.fullmatch(places[name]):
            yield (name,), "may contain only lower-case letters, digits, '-', '.' and ':'"
        elif name in needed and not places[name]:
            variables = known.places.get(name, ()) if known else ()
            hint = f", and the environment variable {' or '.join(variables)} is not set" if variables else ""
            yield (name,), f"missing{hint}"


def is_header_safe(secret: str) -> bool:
    """Whether *secret* can be sent in a header."""
    return bool(secret) and secret.isascii() and secret.isprintable() and " " not in secret


def variables() -> frozenset[str]:
    """Every variable of the environment that a provider of the list may look at."""
    names = {AWS_KEY_ID, AWS_SECRET, AWS_SESSION, GOOGLE_FILE}
    for entry in compatible().values():
        names |= {entry.env} if entry.env else set()
        names |= {name for some in entry.places.values() for name in some}
    return frozenset(names)


def from_environment(environ: Mapping[str, str]) -> dict[str, Provider]:
    """The providers whose key variable is set and not empty, by slug. Their model lists are fetched.

    A provider whose address needs further values is omitted. General credentials (`AWS_ACCESS_KEY_ID`,
    `GOOGLE_APPLICATION_CREDENTIALS`) are used only where the configuration names the provider.
    """
    return {
        slug: build_provider(slug, ProviderSettings(), environ, listed=False)
        for slug, entry in compatible().items()
        if entry.env and environ.get(entry.env, "").strip() and not any(find_faults(slug, ProviderSettings(), environ))
    }


def ollama_candidate(environ: Mapping[str, str]) -> Provider:
    """An Ollama server at `OLLAMA_HOST` or its default address. `discover_local_servers` checks whether it runs.

    The variable's forms, as Ollama parses them: `host`, `host:port`, `:port`, `scheme://host:port`. The listening
    address `0.0.0.0` is replaced by the loopback address.
    """
    said = environ.get("OLLAMA_HOST", "").strip().strip("\"'").rstrip("/")
    scheme, mark, rest = said.partition("://")
    if not mark:
        scheme, rest = "", said
    host, port = _split(rest.partition("/")[0])
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    if not (port.isascii() and port.isdigit()):
        port = {"http": "80", "https": "443"}.get(scheme, "11434")
    base_url = f"{scheme or 'http'}://{f'[{host}]' if ':' in host else host}:{port}/v1"
    own = base_url == compatible()["ollama"].base_url
    return build_provider(
        "ollama", ProviderSettings(base_url=None if own else base_url, models="discover"), {}, listed=False
    )


def _split(netloc: str) -> tuple[str, str]:
    """Split into the host without brackets and the port; empty where missing."""
    if netloc.startswith("["):
        host, _, rest = netloc[1:].partition("]")
        return host, rest.removeprefix(":")
    if netloc.count(":") > 1:
        return netloc, ""
    host, _, port = netloc.partition(":")
    return host, port
