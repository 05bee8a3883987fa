"""The configuration file and the environment, as one frozen `Settings`.

The file is YAML. It is read in three steps, so that every error can name its line and its key:

1. `compose` gives a tree of nodes with line numbers; nothing is built, so no tag can run anything.
2. The tree is walked beside the types of `Configuration`. Text becomes a number by its target's type, from the text
   that was written: a price never goes through a float. `${NAME}` and `${NAME:-default}` are replaced in values on the
   way (`$${` is a literal `${`); the result is text, whatever it looks like to YAML.
3. What types cannot say is checked: references, addresses, names that must be unique.

The first fault found is raised. Values of keys that hold secrets, and values that came from the environment, are never
shown. The types are also what `docs/configuration.md` and the JSON Schema are made from (`tools/docs.py`).
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
import yaml
from msgspec import Meta, Struct
from msgspec.inspect import (
    AnyType,
    BoolType,
    DecimalType,
    DictType,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from trunkline.catalog.catalog import Catalog, ModelLists, build_catalog
from trunkline.catalog.config import EndpointSettings, ModelSettings, usd_range
from trunkline.model.money import MAX_PICO, PICO_PER_USD, Pico, from_usd
from trunkline.ports import Timeouts
from trunkline.providers.build import (
    build_provider,
    find_faults,
    from_environment,
    is_header_safe,
    ollama_candidate,
    variables,
)
from trunkline.providers.compatible import compatible
from trunkline.providers.config import ProviderSettings
from trunkline.providers.provider import DEMO, Provider
from trunkline.routing.config import PolicySettings, RoutingSettings
from trunkline.server.config import ResponseCacheSettings, ServerSettings

DEFAULT_FILE = "trunkline.yaml"
"""Read from the current folder where no file is named."""
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
"""Levels of nesting. The types need eight."""
MAX_NODES = 200_000
"""Values after aliases are followed: a few lines of aliases can stand for billions."""

Path_: TypeAlias = tuple[str | int, ...]
"""Keys and indexes from the top."""


class ConfigError(Exception):
    """The configuration cannot be used. `str()` is one line that names file, line, key and fault."""


class StorageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where keys and finished generations are kept."""

    url: str = "sqlite:///data/trunkline.db"
    """`sqlite:///relative/path`, `sqlite:////absolute/path`, or `postgresql://user:password@host/name`."""

    def __repr__(self) -> str:
        """Without the URL, which may hold a password."""
        return f"StorageSettings(url='{self.url.partition(':')[0]}:…')"


class SharedStateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What several replicas know together: limits, health, stickiness."""

    url: str | None = None
    """`redis://host:6379/0`, `rediss://…` or `valkey://…`; null keeps it in the process, right for one replica.
    It needs `trunkline[redis]`; see [replicas](replicas.md)."""

    def __repr__(self) -> str:
        """Without the URL, which may hold a password."""
        return f"SharedStateSettings(url={'None' if self.url is None else '…'})"


class AuthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may ask."""

    required: bool = True
    """Whether a request needs a key; where not, one without is the key `anonymous`."""


class KeySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client's key, declared here besides those made by command."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    """What the key is called in records and metrics."""
    secret: str
    """What the client sends, best as `${VARIABLE}`."""
    limit_usd: Annotated[Decimal, usd_range(MAX_PICO // PICO_PER_USD)] | None = None
    """What it may ever spend, in USD; none without."""
    routing: PolicySettings = PolicySettings()
    """Who may serve its requests, beside what `routing.policy` says for all."""

    @property
    def limit(self) -> Pico | None:
        """The limit in pico-dollars."""
        return None if self.limit_usd is None else from_usd(self.limit_usd)

    def __repr__(self) -> str:
        """Without the secret."""
        return f"KeySettings(name={self.name!r}, limit_usd={self.limit_usd!r})"


class Configuration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. Every key is optional."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    shared_state: SharedStateSettings = SharedStateSettings()
    auth: AuthSettings = AuthSettings()
    keys: tuple[KeySettings, ...] = ()
    timeouts: Timeouts = Timeouts()
    routing: RoutingSettings = RoutingSettings()
    response_cache: ResponseCacheSettings = ResponseCacheSettings()
    providers: dict[str, ProviderSettings] | None = None
    """By slug. Without this block, providers are found from the environment."""
    models: dict[str, ModelSettings] = {}


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that was configured, ready to be handed down in pieces.

    `providers` are those of the file, or of the environment where the file has no `providers` block, and always `demo`.
    `candidates` are servers on this machine that are part of it if they answer (`discover_local_servers`): an Ollama,
    where providers were found from the environment. `file` is what was read, None for none.
    """

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    shared_state: SharedStateSettings = SharedStateSettings()
    auth: AuthSettings = AuthSettings()
    keys: tuple[KeySettings, ...] = ()
    timeouts: Timeouts = Timeouts()
    routing: RoutingSettings = RoutingSettings()
    response_cache: ResponseCacheSettings = ResponseCacheSettings()
    providers: Mapping[str, Provider] = {}
    models: Mapping[str, ModelSettings] = {}
    candidates: tuple[Provider, ...] = ()
    file: Path | None = None

    def catalog(self, lists: ModelLists | None = None, *, now: float) -> Catalog:
        """The catalog, with what providers and candidates have said of their models. *now* is Unix seconds.

        A candidate is in it once it has answered, or if a model of the configuration names it.
        """
        named = {endpoint.provider for model in self.models.values() for endpoint in model.endpoints} | set(lists or ())
        there = {one.slug: one for one in self.candidates if one.slug in named}
        return build_catalog({**self.providers, **there}, self.models, lists, now=now)


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file at *path*, of `trunkline.yaml` here where *path* is None and there is one, or of none.

    Raises:
        ConfigError: the file cannot be read, or what it says cannot be.
    """
    if path is None:
        path = Path(DEFAULT_FILE)
        if not path.exists():
            return _settings(Configuration(), environ, None)
    return parse(_read(path), environ, path)


def parse(text: bytes, environ: Mapping[str, str], path: Path = Path(DEFAULT_FILE)) -> Settings:
    """The settings of a file's content; *path* is for messages.

    Raises:
        ConfigError: what it says cannot be.
    """
    reader = _Reader(str(path), environ)
    configuration = reader.configuration(text)
    _check(configuration, reader, environ)
    return _settings(configuration, environ, path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: longer than {MAX_FILE_BYTES} bytes")
    return text


def _settings(configuration: Configuration, environ: Mapping[str, str], path: Path | None) -> Settings:
    blocks = configuration.providers
    listed = _providers_with_models(configuration)
    if blocks is None:
        providers = from_environment(_clean(environ))
        candidates: tuple[Provider, ...] = (ollama_candidate(environ),)
    else:
        providers = {
            slug: build_provider(slug, block, _clean(environ), listed=slug in listed) for slug, block in blocks.items()
        }
        candidates = ()
    return Settings(
        server=configuration.server,
        storage=configuration.storage,
        shared_state=configuration.shared_state,
        auth=configuration.auth,
        keys=configuration.keys,
        timeouts=configuration.timeouts,
        routing=configuration.routing,
        response_cache=configuration.response_cache,
        providers={**providers, DEMO.slug: DEMO},
        models=configuration.models,
        candidates=candidates,
        file=path,
    )


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """What providers may look at of *environ*, without the line end that a file read into a variable brings.

    Raises:
        ConfigError: a key cannot be sent as a header.
    """
    said = {name: environ[name].strip() for name in variables() if environ.get(name, "").strip()}
    keys = {entry.env for entry in compatible().values() if entry.env}
    for name in sorted(keys & said.keys()):
        if not is_header_safe(said[name]):
            raise ConfigError(f"the environment variable {name}: has a space or a control character in it")
    return said


def _providers_with_models(configuration: Configuration) -> set[str]:
    return {endpoint.provider for model in configuration.models.values() for endpoint in model.endpoints}


# ── From text to types ───────────────────────────────────────────────────────────────────────────────────────────────

_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_WORD = re.compile(r"[A-Za-z_-]{1,32}", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})(\.[0-9]{0,18})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
"""Few enough digits for a `Decimal` to hold exactly, and no zero at the front: YAML reads 010 as eight."""
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})", re.ASCII)
_TAGS = frozenset(
    f"tag:yaml.org,2002:{word}" for word in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
)
_SECRETS = frozenset(
    {"secret", "api_key", "access_key_id", "secret_access_key", "session_token", "service_account"}
    | {"url", "base_url", "also", "headers"}
)
"""Keys whose values are not shown: secrets, and addresses with room for a password."""
_KINDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "nothing"}


class _Loader(yaml.SafeLoader):
    """Composes nodes; not deeper than `MAX_DEPTH`."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As inherited, one level deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs say nothing of it
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Reader:
    """Walks nodes beside types, and remembers where each value stood."""

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self.file = file
        self._environ = environ
        self._lines: dict[Path_, int] = {}
        self._nodes = 0

    def configuration(self, text: bytes) -> Configuration:
        """The file's content, typed but for what `_check` does."""
        node = self._compose(text)
        if node is None or self._is_null(node):
            return Configuration()
        value: Configuration = self._value(node, type_info(Configuration), ())
        return value

    def fail(self, path: Path_, fault: str, line: int | None = None) -> NoReturn:
        """Raise for the value at *path*, at its own line or the nearest above it that is known."""
        for end in range(len(path), -1, -1):
            if line is None:
                line = self._lines.get(path[:end])
        where = f"{self.file}:{line}" if line is not None else self.file
        raise ConfigError(f"{where}: {_dotted(path)}: {fault}" if path else f"{where}: {fault}")

    def line(self, path: Path_) -> int:
        """The line of the value at *path*."""
        return self._lines[path]

    def _compose(self, text: bytes) -> yaml.Node | None:
        try:
            loader = _Loader(text)
            try:
                return loader.get_single_node()
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            # The names that YAML quotes are pieces of the file, and may be pieces of a secret.
            problem = re.sub(r"(alias|anchor|handle|directive) .*", r"\1", " ".join((error.problem or "wrong").split()))
            at = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else b""
            hint = "; a value with ${…} inside {…} or […] needs quotes" if b"${" in at else ""
            self.fail((), f"not YAML: {problem}{hint}", mark.line + 1 if mark else None)
        except (yaml.YAMLError, UnicodeDecodeError):
            raise ConfigError(
                f"{self.file}: not YAML: it has characters that text does not have, or is not UTF-8"
            ) from None

    def _value(self, node: yaml.Node, kind: Type, path: Path_) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        self._count(1, path)
        if node.tag not in _TAGS:
            self.fail(path, "a tag (`!…`) has no meaning here")
        match kind:
            case Metadata(type=inner, extra=bounds):
                value = self._value(node, inner, path)
                self._bounds(value, bounds or {}, path, node)
                return value
            case UnionType(types=kinds):
                if self._is_null(node):
                    return None
                return self._value(node, next(one for one in kinds if not isinstance(one, NoneType)), path)
            case StructType():
                return self._struct(node, kind, path)
            case DictType(value_type=inner):
                return {key: self._value(value, inner, (*path, key)) for key, value in self._items(node, path)}
            case VarTupleType(item_type=inner):
                return self._list(node, kind, inner, path)
            case AnyType():
                return self._any(node, kind, path)
            case _:
                return self._scalar(node, kind, path)

    def _any(self, node: yaml.Node, kind: Type, path: Path_) -> Any:
        """What others are sent as it is: a scalar is what it looks like; in quotes or out of a variable it is text."""
        if isinstance(node, yaml.MappingNode):
            return {key: self._value(value, kind, (*path, key)) for key, value in self._items(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, kind, (*path, index)) for index, item in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode) or self._is_null(node):
            return None
        text, expanded = self._expand(node.value, path)
        if node.style is None and not expanded:
            for one in (BoolType(), IntType(), FloatType()):
                found = _typed(text, node.tag.rpartition(":")[2], plain=True, kind=one)
                if found is not _WRONG:
                    return found
        return text

    def _count(self, nodes: int, path: Path_) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self.fail(path, f"more than {MAX_NODES} values")

    def _struct(self, node: yaml.Node, kind: StructType, path: Path_) -> Any:
        fields = {field.encode_name: field for field in kind.fields}
        values: dict[str, Any] = {}
        for key, value in self._items(node, path):
            line = self._lines.get((*path, key))
            if key not in fields:
                # What is no word may be a secret in the wrong place.
                shown = key if _WORD.fullmatch(key) else "…"
                self.fail((*path, shown), f"unknown key, expected one of {', '.join(fields)}{_near(key, fields)}", line)
            if self._is_null(value) and not fields[key].required:
                continue  # `server:` with nothing below it: the defaults
            values[key] = self._value(value, fields[key].type, (*path, key))
        for field in kind.fields:
            if field.required and field.name not in values:
                hint = " (0 is the word for free)" if field.name in ("prompt", "completion") else ""
                self.fail((*path, field.name), f"missing{hint}", node.start_mark.line + 1)
        return kind.cls(**values)

    def _list(self, node: yaml.Node, kind: VarTupleType, inner: Type, path: Path_) -> tuple[Any, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self.fail(path, f"found {self._shown(node, path)}, expected a list")
        if len(node.value) < (kind.min_length or 0):
            self.fail(path, "is empty, expected at least one")
        return tuple(self._value(item, inner, (*path, index)) for index, item in enumerate(node.value))

    def _items(self, node: yaml.Node, path: Path_, depth: int = 0) -> list[tuple[str, yaml.Node]]:
        """Keys and values of a mapping; what `<<` brings comes where the mapping itself is silent."""
        if not isinstance(node, yaml.MappingNode):
            self.fail(path, f"found {self._shown(node, path)}, expected a mapping")
        self._count(len(node.value), path)
        if depth > MAX_DEPTH:
            self.fail(path, "`<<` leads back to itself")
        own: dict[str, yaml.Node] = {}
        brought: dict[str, yaml.Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.fail(path, "a key must be text", line)
            if key.tag == "tag:yaml.org,2002:merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    brought = {**dict(self._items(source, path, depth + 1)), **brought}
                continue
            if key.value in own:
                first = self._lines[(*path, key.value)]
                self.fail((*path, key.value), f"given twice, first in line {first}", line)
            own[key.value] = value
            self._lines[(*path, key.value)] = line
        return list({**brought, **own}.items())

    def _scalar(self, node: yaml.Node, kind: Type, path: Path_) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self.fail(path, f"found {self._shown(node, path)}, expected {_expected(kind)}")
        text, expanded = self._expand(node.value, path)
        given = "" if expanded else node.tag.rpartition(":")[2]
        if node.style is not None and not expanded:
            given = "str"
        value = _typed(text, given, plain=node.style is None or expanded, kind=kind)
        if value is _WRONG:
            near = (
                _near(text, [str(one) for one in kind.values]) if isinstance(kind, LiteralType) and not expanded else ""
            )
            self.fail(path, f"found {self._shown(node, path)}, expected {_expected(kind)}{near}")
        limits = {name: getattr(kind, name, None) for name in ("ge", "gt", "le", "min_length", "max_length")}
        self._bounds(value, limits, path, node)
        return value

    def _expand(self, text: str, path: Path_) -> tuple[str, bool]:
        """*text* with variables replaced, and whether there were any."""
        if "${" not in text:
            return text, False
        used = False

        def one(match: re.Match[str]) -> str:
            nonlocal used
            if match[0] == "$${":
                return "${"
            name, mark, default = (match[1] or "").partition(":-")
            if not _NAME.fullmatch(name):
                self.fail(path, "`${` must be followed by a variable's name and `}`, or by that and `:-default`")
            used = True
            value = self._environ.get(name)
            if mark and not value:
                return default
            if value is None:
                self.fail(path, f"the environment variable {name} is not set")
            return value

        return _VARIABLE.sub(one, text), used

    def _bounds(self, value: Any, limits: Mapping[str, Any], path: Path_, node: yaml.Node) -> None:
        """The limits that `Meta` sets."""
        least, above, most = (limits.get(name) for name in ("ge", "gt", "le"))
        if least is not None and value < least:
            self.fail(path, f"found {self._shown(node, path)}, expected {least} or more")
        if above is not None and value <= above:
            self.fail(path, f"found {self._shown(node, path)}, expected more than {above}")
        if most is not None and value > most:
            self.fail(path, f"found {self._shown(node, path)}, expected {most} or less")
        if isinstance(value, str) and len(value) < (limits.get("min_length") or 0):
            self.fail(path, "is empty")
        if isinstance(value, str) and (longest := limits.get("max_length")) and len(value) > longest:
            self.fail(path, f"longer than {longest} characters")

    def _shown(self, node: yaml.Node, path: Path_) -> str:
        """A value for a message, if it may be shown."""
        if isinstance(node, yaml.MappingNode):
            return "a mapping"
        if isinstance(node, yaml.SequenceNode):
            return "a list"
        words = [part for part in path if isinstance(part, str)]
        if _SECRETS.intersection(words) or words[-1:] in (["keys"], ["credentials"]):
            return _KINDS.get(node.tag.rpartition(":")[2], "something else")
        if names := re.findall(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)", node.value):
            return f"the value of {', '.join(names)}"
        text = str(node.value)
        return "nothing" if self._is_null(node) else repr(text if len(text) <= 40 else text[:40] + "…")

    @staticmethod
    def _is_null(node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


_WRONG = object()


def _typed(text: str, given: str, *, plain: bool, kind: Type) -> Any:
    """*text* as *kind*, or `_WRONG`. *given* is YAML's word for it, empty where it came from the environment."""
    match kind:
        case BoolType():
            lower = text.lower()
            return lower == "true" if lower in ("true", "false") and given in ("", "bool") else _WRONG
        case IntType():
            return int(text) if plain and _WHOLE.fullmatch(text) else _WRONG
        case FloatType():
            return float(text) if plain and _NUMBER.fullmatch(text) else _WRONG
        case DecimalType():
            return Decimal(text) if plain and _NUMBER.fullmatch(text) else _WRONG
        case LiteralType(values=values):
            return text if text in values else _WRONG
        case _:
            return _WRONG if given in ("bool", "null") else text


def _expected(kind: Type) -> str:
    match kind:
        case BoolType():
            return "true or false"
        case IntType():
            return "a whole number"
        case FloatType() | DecimalType():
            return "a number"
        case LiteralType(values=values):
            return f"one of {', '.join(in_order(values))}"
        case _:
            return "text, in quotes"


def in_order(words: Iterable[object]) -> list[str]:
    """The words of a `Literal` of the configuration as it declares them: msgspec sorts them."""
    alphabetic = sorted(str(word) for word in words)
    return next((list(one) for one in _literals(Configuration) if sorted(one) == alphabetic), alphabetic)


def _literals(hint: Any) -> Iterator[tuple[str, ...]]:
    """The words of every `Literal` in a type and below it."""
    if get_origin(hint) is Literal:
        yield get_args(hint)
        return
    if isinstance(hint, type) and issubclass(hint, Struct):
        inner: Iterable[Any] = get_type_hints(hint, include_extras=True).values()
    else:
        inner = get_args(hint)
    for one in inner:
        yield from _literals(one)


def _dotted(path: Path_) -> str:
    """`providers.acme.credentials[0].api_key`; a key with a dot in it stands in quotes."""
    words = [f"[{part}]" if isinstance(part, int) else f'."{part}"' if "." in part else f".{part}" for part in path]
    return "".join(words).removeprefix(".")


def _near(word: str, words: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    known = list(words)
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


# ── What types cannot say ────────────────────────────────────────────────────────────────────────────────────────────

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_MODEL_ID = re.compile(r"[!-.0-~]+/[!-~]+", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", re.ASCII)
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-type", "content-encoding", "te"}
)
"""Headers that the gateway itself writes."""
_DECIMALS = {"request": 12, "image": 12}


def _check(configuration: Configuration, reader: _Reader, environ: Mapping[str, str]) -> None:
    for name in Timeouts.__struct_fields__:
        if getattr(configuration.timeouts, name) <= 0:
            reader.fail(("timeouts", name), "must be more than 0")
    _check_urls(configuration, reader)
    _check_keys(configuration.keys, reader)
    for slug, provider in (configuration.providers or {}).items():
        _check_provider(slug, provider, reader, environ)
    _check_models(configuration, reader, environ)


def _check_urls(configuration: Configuration, reader: _Reader) -> None:
    if not re.match(r"(sqlite|postgres|postgresql)(\+[a-z]+)?:", configuration.storage.url):
        reader.fail(("storage", "url"), "expected sqlite:///path or postgresql://user@host/name")
    shared = configuration.shared_state.url
    if shared is not None:
        if not _redis(shared):
            reader.fail(("shared_state", "url"), "expected redis://host:6379/0, or null")
        if find_spec("redis") is None:
            reader.fail(("shared_state", "url"), "it needs a package: pip install 'trunkline[redis]'")


def _redis(url: str) -> bool:
    """Whether *url* can be that of a Redis."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("redis", "rediss", "valkey", "valkeys", "unix") and parts.port != 0
    except ValueError:
        return False


def _check_keys(keys: tuple[KeySettings, ...], reader: _Reader) -> None:
    names: dict[str, int] = {}
    secrets: dict[str, int] = {}
    for index, key in enumerate(keys):
        path: Path_ = ("keys", index)
        if not is_header_safe(key.secret):
            reader.fail((*path, "secret"), "is empty, or has a space or a control character in it")
        for seen, value, word in ((names, key.name, "name"), (secrets, key.secret, "secret")):
            if value in seen:
                reader.fail((*path, word), f"the same as that of keys[{seen[value]}]")
            seen[value] = index
        _check_decimals(key.limit_usd, 12, (*path, "limit_usd"), reader)


def _check_provider(slug: str, provider: ProviderSettings, reader: _Reader, environ: Mapping[str, str]) -> None:
    path: Path_ = ("providers", slug)
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


def _check_headers(provider: ProviderSettings, path: Path_, reader: _Reader) -> None:
    header, scheme = provider.auth_header, provider.auth_scheme or ""
    if header is not None and (not _TOKEN.fullmatch(header) or header.lower() in _OURS):
        reader.fail((*path, "auth_header"), "not a header that can carry a key")
    if not (scheme.isascii() and scheme.isprintable()):
        reader.fail((*path, "auth_scheme"), "cannot be sent in a header")
    for name, value in provider.headers.items():
        if not _TOKEN.fullmatch(name):
            reader.fail((*path, "headers", name), "not a header's name")
        if name.lower() in _OURS:
            reader.fail((*path, "headers", name), "the gateway writes this header itself")
        if not (value.isascii() and value.isprintable()):
            reader.fail((*path, "headers", name), "the value cannot be sent in a header")


def _check_address(url: str, path: Path_, reader: _Reader) -> None:
    """An address of a provider: where to connect, and nothing secret."""
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


def _check_models(configuration: Configuration, reader: _Reader, environ: Mapping[str, str]) -> None:
    if configuration.providers is None:
        slugs = [*from_environment(environ), DEMO.slug, "ollama"]
    else:
        slugs = [*configuration.providers, DEMO.slug]
    names: dict[str, str] = {}
    for model_id, model in configuration.models.items():
        path: Path_ = ("models", model_id)
        if not _MODEL_ID.fullmatch(model_id) or len(model_id) > 256:
            reader.fail(path, "a model's id is author/slug, without spaces")
        for index, alias in enumerate(model.aliases):
            where: Path_ = (*path, "aliases", index)
            if not re.fullmatch(r"[!-~]+", alias):
                reader.fail(where, "an alias has no spaces")
            if alias in configuration.models:
                reader.fail(where, f"{alias!r} is a model's id")
            if alias in names:
                reader.fail(where, f"{alias!r} is an alias of {names[alias]!r}")
            names[alias] = model_id
        _check_endpoints(model, path, slugs, reader)


def _check_endpoints(model: ModelSettings, path: Path_, slugs: list[str], reader: _Reader) -> None:
    tags: dict[str, int] = {}
    for index, endpoint in enumerate(model.endpoints):
        where: Path_ = (*path, "endpoints", index)
        if endpoint.provider not in slugs:
            reader.fail((*where, "provider"), f"no provider {endpoint.provider!r}{_near(endpoint.provider, slugs)}")
        tag = endpoint.tag or endpoint.provider
        if tag != endpoint.provider and not re.fullmatch(rf"{re.escape(endpoint.provider)}/[!-~]+", tag):
            reader.fail(
                (*where, "tag"), f"found {tag!r}, expected {endpoint.provider!r} or {endpoint.provider + '/…'!r}"
            )
        if tag in tags:
            fault = f"{tag!r} is the tag of endpoints[{tags[tag]}] too; add a suffix, such as '{endpoint.provider}/b'"
            reader.fail((*where, "tag"), fault)
        tags[tag] = index
        for name, value in _prices(endpoint):
            _check_decimals(value, _DECIMALS.get(name, 6), (*where, "price", name), reader)


def _prices(endpoint: EndpointSettings) -> Iterator[tuple[str, Decimal | None]]:
    if endpoint.price is not None:
        for name in endpoint.price.__struct_fields__:
            yield name, getattr(endpoint.price, name)


def _check_decimals(value: Decimal | None, most: int, path: Path_, reader: _Reader) -> None:
    """Refuse what would be rounded: pico-dollars are the smallest unit there is."""
    if value is not None and value != value.quantize(Decimal(1).scaleb(-most)):
        reader.fail(path, f"has more than {most} decimals")


def with_server(settings: Settings, **changes: Any) -> Settings:
    """*settings* with keys of `server` replaced by those *changes* that are not None: the command line's.

    Raises:
        ConfigError: a value is out of range.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    try:
        server = msgspec.convert({**msgspec.to_builtins(settings.server), **given}, ServerSettings)
    except msgspec.ValidationError as error:
        path = str(error).rpartition("$.")[2].strip("`")
        raise ConfigError(f"--{path}: {str(error).partition(' - at')[0]}") from error
    return msgspec.structs.replace(settings, server=server)
