"""Read YAML into the types of the schema; every error names its line and its key.

1. `compose` returns a tree of nodes with line numbers. Nothing is constructed, so no tag can run code.
2. The tree is walked beside the types of `Configuration`. Text becomes a number by the target's type, from the text
   as written: a price never passes through a float. `${NAME}` and `${NAME:-default}` in values are replaced on the way
   (`$${` is a literal `${`); the result is text, whatever it looks like to YAML.

The first error found is raised. Values of keys that hold secrets, and values that came from the environment, are never
shown. `docs/reference/configuration.md` and the JSON Schema are made from the same types (`tools/docs.py`).
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal, NoReturn, TypeAlias, get_args, get_origin, get_type_hints

import yaml
from msgspec import Struct
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

from trunkline.settings.environment import BadReference, expand, referenced
from trunkline.settings.errors import ConfigError
from trunkline.settings.schema import Configuration

MAX_DEPTH = 32
"""Levels of nesting. The types need eight."""
MAX_NODES = 200_000
"""Values after aliases are followed: a few lines of aliases can expand to billions."""

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and indexes from the top."""

_WORD = re.compile(r"[A-Za-z_-]{1,32}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})(\.[0-9]{0,18})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
"""Few enough digits for an exact `Decimal`, and no leading zero: YAML reads 010 as eight."""
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})", re.ASCII)
_TAGS = frozenset(
    f"tag:yaml.org,2002:{word}" for word in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
)
_SECRETS = frozenset(
    {"secret", "api_key", "access_key_id", "secret_access_key", "session_token", "service_account"}
    | {"url", "base_url", "also", "headers"}
)
"""Keys whose values are not shown: secrets, and addresses that may hold a password."""
_KINDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "null": "nothing"}


class _Loader(yaml.SafeLoader):
    """Composes nodes, at most `MAX_DEPTH` levels deep."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node one level deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs say nothing of it
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class Reader:
    """Walk YAML nodes beside the types of the schema, and remember the line of each value."""

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self.file = file
        self._environ = environ
        self._lines: dict[KeyPath, int] = {}
        self._nodes = 0

    def read(self, text: bytes) -> Configuration:
        """Read the content of a file. `validation` checks what types cannot express."""
        node = self._compose(text)
        if node is None or self._is_null(node):
            return Configuration()
        value: Configuration = self._value(node, type_info(Configuration), ())
        return value

    def fail(self, path: KeyPath, fault: str, line: int | None = None) -> NoReturn:
        """Raise for the value at *path*, with its line or the line of the nearest known parent."""
        for end in range(len(path), -1, -1):
            if line is None:
                line = self._lines.get(path[:end])
        where = f"{self.file}:{line}" if line is not None else self.file
        raise ConfigError(f"{where}: {_dotted(path)}: {fault}" if path else f"{where}: {fault}")

    def line(self, path: KeyPath) -> int:
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
            # The parser quotes names from the file, which may be part of a secret.
            problem = re.sub(r"(alias|anchor|handle|directive) .*", r"\1", " ".join((error.problem or "wrong").split()))
            at = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else b""
            hint = "; a value with ${…} inside {…} or […] needs quotes" if b"${" in at else ""
            self.fail((), f"not YAML: {problem}{hint}", mark.line + 1 if mark else None)
        except (yaml.YAMLError, UnicodeDecodeError):
            raise ConfigError(
                f"{self.file}: not YAML: it has characters that text does not have, or is not UTF-8"
            ) from None

    def _value(self, node: yaml.Node, kind: Type, path: KeyPath) -> Any:
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

    def _any(self, node: yaml.Node, kind: Type, path: KeyPath) -> Any:
        """A value without a declared type: a plain scalar has its YAML type, quoted or from a variable it is text."""
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

    def _count(self, nodes: int, path: KeyPath) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self.fail(path, f"more than {MAX_NODES} values")

    def _struct(self, node: yaml.Node, kind: StructType, path: KeyPath) -> Any:
        fields = {field.encode_name: field for field in kind.fields}
        values: dict[str, Any] = {}
        for key, value in self._items(node, path):
            line = self._lines.get((*path, key))
            if key not in fields:
                # A key that is no plain word may be a secret in the wrong place.
                shown = key if _WORD.fullmatch(key) else "…"
                self.fail(
                    (*path, shown), f"unknown key, expected one of {', '.join(fields)}{suggestion(key, fields)}", line
                )
            if self._is_null(value) and not fields[key].required:
                continue  # `server:` with nothing below it: the defaults
            values[key] = self._value(value, fields[key].type, (*path, key))
        for field in kind.fields:
            if field.required and field.name not in values:
                hint = " (0 is the word for free)" if field.name in ("prompt", "completion") else ""
                self.fail((*path, field.name), f"missing{hint}", node.start_mark.line + 1)
        return kind.cls(**values)

    def _list(self, node: yaml.Node, kind: VarTupleType, inner: Type, path: KeyPath) -> tuple[Any, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self.fail(path, f"found {self._shown(node, path)}, expected a list")
        if len(node.value) < (kind.min_length or 0):
            self.fail(path, "is empty, expected at least one")
        return tuple(self._value(item, inner, (*path, index)) for index, item in enumerate(node.value))

    def _items(self, node: yaml.Node, path: KeyPath, depth: int = 0) -> list[tuple[str, yaml.Node]]:
        """Keys and values of a mapping; keys that `<<` merges in do not override its own."""
        if not isinstance(node, yaml.MappingNode):
            self.fail(path, f"found {self._shown(node, path)}, expected a mapping")
        self._count(len(node.value), path)
        if depth > MAX_DEPTH:
            self.fail(path, "`<<` leads back to itself")
        own: dict[str, yaml.Node] = {}
        merged: dict[str, yaml.Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.fail(path, "a key must be text", line)
            if key.tag == "tag:yaml.org,2002:merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    merged = {**dict(self._items(source, path, depth + 1)), **merged}
                continue
            if key.value in own:
                first = self._lines[(*path, key.value)]
                self.fail((*path, key.value), f"given twice, first in line {first}", line)
            own[key.value] = value
            self._lines[(*path, key.value)] = line
        return list({**merged, **own}.items())

    def _scalar(self, node: yaml.Node, kind: Type, path: KeyPath) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self.fail(path, f"found {self._shown(node, path)}, expected {_expected(kind)}")
        text, expanded = self._expand(node.value, path)
        given = "" if expanded else node.tag.rpartition(":")[2]
        if node.style is not None and not expanded:
            given = "str"
        value = _typed(text, given, plain=node.style is None or expanded, kind=kind)
        if value is _WRONG:
            near = (
                suggestion(text, [str(one) for one in kind.values])
                if isinstance(kind, LiteralType) and not expanded
                else ""
            )
            self.fail(path, f"found {self._shown(node, path)}, expected {_expected(kind)}{near}")
        limits = {name: getattr(kind, name, None) for name in ("ge", "gt", "le", "min_length", "max_length")}
        self._bounds(value, limits, path, node)
        return value

    def _expand(self, text: str, path: KeyPath) -> tuple[str, bool]:
        """Replace variables in *text*; the second value tells whether there were any."""
        try:
            return expand(text, self._environ)
        except BadReference as error:
            self.fail(path, str(error))

    def _bounds(self, value: Any, limits: Mapping[str, Any], path: KeyPath, node: yaml.Node) -> None:
        """Check the limits that `Meta` sets."""
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

    def _shown(self, node: yaml.Node, path: KeyPath) -> str:
        """Describe a value for a message; secrets are not shown."""
        if isinstance(node, yaml.MappingNode):
            return "a mapping"
        if isinstance(node, yaml.SequenceNode):
            return "a list"
        words = [part for part in path if isinstance(part, str)]
        if _SECRETS.intersection(words) or words[-1:] in (["keys"], ["credentials"]):
            return _KINDS.get(node.tag.rpartition(":")[2], "something else")
        if names := referenced(node.value):
            return f"the value of {', '.join(names)}"
        text = str(node.value)
        return "nothing" if self._is_null(node) else repr(text if len(text) <= 40 else text[:40] + "…")

    @staticmethod
    def _is_null(node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


_WRONG = object()


def _typed(text: str, given: str, *, plain: bool, kind: Type) -> Any:
    """Convert *text* to *kind*, or return `_WRONG`. *given* is its YAML type, empty if it came from the environment."""
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
    """The values of a `Literal` of the schema in the declared order: msgspec sorts them."""
    alphabetic = sorted(str(word) for word in words)
    return next((list(one) for one in _literals(Configuration) if sorted(one) == alphabetic), alphabetic)


def _literals(hint: Any) -> Iterator[tuple[str, ...]]:
    """Yield the values of every `Literal` in a type and in its fields."""
    if get_origin(hint) is Literal:
        yield get_args(hint)
        return
    if isinstance(hint, type) and issubclass(hint, Struct):
        inner: Iterable[Any] = get_type_hints(hint, include_extras=True).values()
    else:
        inner = get_args(hint)
    for one in inner:
        yield from _literals(one)


def _dotted(path: KeyPath) -> str:
    """`providers.acme.credentials[0].api_key`; a key with a dot in it stands in quotes."""
    words = [f"[{part}]" if isinstance(part, int) else f'."{part}"' if "." in part else f".{part}" for part in path]
    return "".join(words).removeprefix(".")


def suggestion(word: str, words: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    known = list(words)
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
