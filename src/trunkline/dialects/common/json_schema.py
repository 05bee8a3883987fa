"""Conversion of a JSON Schema to the subset that a provider accepts; see docs/reference/structured-output.md.

    full            unchanged
    plain           without references: each reference is replaced by its definition
    openai_strict   OpenAI's strict mode: all properties are required (optional ones nullable), no others are allowed
    anthropic       Claude's structured outputs and strict tools: no references, no additional properties, no bounds
    gemini          the older OpenAPI subset of Gemini's `parameters` and `responseSchema`

Removing keywords only loosens a schema: a value that is valid for the original is valid for the subset. A recursive
definition cannot be written without references; if references must go, the inner occurrence becomes a schema that
accepts any value. The same happens beyond `MAX_DEPTH` or `MAX_SIZE`, because definitions that name each other twice
double in size at every step. A value that is not a schema is passed on; the provider rejects it.

Sources: OpenAI's guide, "Structured outputs"; Gemini API, "Schema"; not read again when this was written (2026-11-26).
"""

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Literal, TypeAlias

Subset = Literal["full", "openai_strict", "anthropic", "gemini", "plain"]
Schema: TypeAlias = dict[str, Any]

GEMINI = frozenset(
    {"type", "format", "title", "description", "nullable", "enum", "items", "maxItems", "minItems", "properties",
     "required", "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf",
     "propertyOrdering", "default", "minimum", "maximum"}
)  # fmt: skip
"""Keywords of Gemini's older schemas."""
FORMATS = {"string": frozenset({"enum", "date-time"}), "number": frozenset({"float", "double"}),
           "integer": frozenset({"int32", "int64"})}  # fmt: skip
"""Type → the formats that Gemini accepts for it; it rejects others."""
STRICT = frozenset(
    {"type", "title", "description", "enum", "const", "items", "maxItems", "minItems", "properties", "required",
     "additionalProperties", "anyOf", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
     "exclusiveMaximum", "multipleOf", "$ref", "$defs", "definitions"}
)  # fmt: skip
"""Keywords that OpenAI's strict mode accepts."""
ANTHROPIC = frozenset(
    {"type", "title", "description", "default", "enum", "const", "items", "minItems", "properties", "required",
     "additionalProperties", "anyOf", "allOf", "pattern", "format"}
)  # fmt: skip
"""Keywords that Claude's structured outputs enforce.

Source: its guide, "Structured outputs", and its SDK's `transform_schema`.
"""
ANTHROPIC_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
SILENT = frozenset(
    {"$schema", "$id", "$comment", "$anchor", "title", "examples", "deprecated", "readOnly", "writeOnly"}
)
"""Keywords that do not affect validation: removing one is no loss."""
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_ONES = ("items", "additionalItems", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
         "unevaluatedProperties", "unevaluatedItems")  # fmt: skip
_TELLS = SILENT | {"description", "default", "example", "$defs", "definitions"}
"""Keywords where the outer value counts if a schema and a schema merged into it both have one: nothing is lost."""
_MOVED = frozenset({"description", "nullable"})
"""Keywords that mean the same on a choice as on its first option."""
TIGHTEST: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}
"""Bound → the function that selects the tighter of two."""
MAX_DEPTH = 100
"""Deeper schemas are cut like recursive ones."""
MAX_REFERENCES = 100
"""Nested references; more would exceed the interpreter's stack."""
MAX_SIZE = 5_000
"""Number of subschemas; the rest is cut."""


def to_subset(schema: Schema, kind: Subset, *, alone: bool = False) -> tuple[Schema, tuple[str, ...]]:
    """Convert *schema* to the subset *kind*; also return the paths (`properties.a.pattern`) of removed keywords.

    *alone*: for gemini, an `anyOf` must be the only keyword of its schema, as Vertex requires.
    """
    if kind == "full":
        return schema, ()
    writer = _Writer(schema, kind, alone=alone)
    return writer.write(schema, (), ()), tuple(dict.fromkeys(writer.gone))


def to_object(schema: Schema, combined: Iterable[str]) -> tuple[Schema, tuple[str, ...]]:
    """Convert *schema* to one of type object, as tools require; also return the paths of removed keywords.

    The *combined* keywords at its root (`allOf`, `anyOf`, `oneOf`) are removed, and the properties of their options are
    merged into the root.
    """
    if "$ref" not in schema and not any(word in schema for word in combined):
        return schema, ()
    found, gone = to_subset(schema, "plain")
    words = [word for word in combined if word in found]
    for word in words:
        options = found.pop(word)
        for option in options if isinstance(options, list) else ():
            if isinstance(option, dict):
                _beside(found, option, required=word == "allOf")
    return {"type": "object", **found}, (*gone, *words)


def _beside(found: Schema, option: Schema, *, required: bool) -> None:
    """Merge the properties of *option* into *found*; with *required*, its required properties too."""
    properties, wanted = option.get("properties"), option.get("required")
    if isinstance(properties, dict):
        if not isinstance(found.get("properties"), dict):
            found["properties"] = {}
        for name, one in properties.items():
            found["properties"].setdefault(name, one)
    if required and isinstance(wanted, list):
        if not isinstance(found.get("required"), list):
            found["required"] = []
        found["required"] += wanted


class _Writer:
    """Converts one schema; `gone` collects the paths of removed keywords."""

    def __init__(self, root: Schema, kind: Subset, *, alone: bool) -> None:
        self._root = root
        self._kind = kind
        self._alone = alone
        self._size = 0
        self._full = False
        self.gone: list[str] = []

    def write(self, schema: Any, path: tuple[str, ...], within: tuple[str, ...]) -> Any:
        """Convert *schema*, which is at *path* and inside the references *within*."""
        if not isinstance(schema, dict):
            return schema if self._kind != "gemini" else {}
        found = self._whole(schema, path, within)
        match self._kind:
            case "anthropic":
                return self._anthropic(found, path)
            case "openai_strict":
                return self._strict(found, path)
            case "gemini":
                return self._gemini(found, path)
            case _:
                return {key: value for key, value in found.items() if key not in ("$defs", "definitions")}

    def _whole(self, schema: Schema, path: tuple[str, ...], within: tuple[str, ...]) -> Schema:
        """*schema* in its own words, but without references, and with what is inside of it written."""
        self._size += 1
        if len(path) > MAX_DEPTH or self._size > MAX_SIZE:
            if not self._full:
                self._lose(path)
            self._full = self._size > MAX_SIZE  # of all the rest the first is named
            return {}
        if self._kind != "openai_strict":
            schema, within = self._resolved(schema, path, within)
        found = {key: self._value(key, value, path, within) for key, value in schema.items()}
        if self._kind == "gemini" and isinstance(found.get("allOf"), list):
            for at, one in enumerate(found.pop("allOf")):
                self._join(found, one, (*path, "allOf", str(at)))
        return found

    def _value(self, key: str, value: Any, path: tuple[str, ...], within: tuple[str, ...]) -> Any:
        """Return the value of *key* with its subschemas converted."""
        if key in ("$defs", "definitions") and self._kind != "openai_strict":
            return value  # it goes, and what is used of it stands where it is used
        if key in _MAPS and isinstance(value, dict):
            return {name: self.write(one, (*path, key, name), within) for name, one in value.items()}
        if key == "required" and isinstance(value, list):
            return list(value)
        if key == "allOf" and self._kind == "gemini" and isinstance(value, list):  # its parts become one
            parts = [one if isinstance(one, dict) else {} for one in value]
            return [self._whole(one, (*path, key, str(at)), within) for at, one in enumerate(parts)]
        if key in _LISTS and isinstance(value, list):
            return [self.write(one, (*path, key, str(at)), within) for at, one in enumerate(value)]
        if key in _ONES and isinstance(value, dict):
            return self.write(value, (*path, key), within)
        return value

    def _resolved(
        self, schema: Schema, path: tuple[str, ...], within: tuple[str, ...]
    ) -> tuple[Schema, tuple[str, ...]]:
        """Resolve the reference of *schema*; also return the references that it is now inside of."""
        while isinstance(reference := schema.get("$ref"), str):
            target = self._find(reference)
            if target is None or reference in within or len(within) >= MAX_REFERENCES:
                self._lose((*path, "$ref"))
                target = {}
            else:
                within = (*within, reference)
            self._size += 1
            schema = {key: copy(value) for key, value in schema.items() if key != "$ref"}
            self._join(schema, target, path)
            if isinstance(schema.get("required"), list):
                schema["required"] = list(dict.fromkeys(_texts(schema["required"])))
        return schema, within

    def _join(self, found: Schema, other: Schema, path: tuple[str, ...]) -> None:
        """Put *other* into *found*. Of what cannot be said of both at once *found* keeps its own; the other's is lost.

        *found* and the lists and maps in it are nobody else's.
        """
        for key, theirs in other.items():
            mine = found.setdefault(key, theirs)
            if key in _TELLS or _same(mine, theirs):
                continue
            if key == "required" and isinstance(mine, list) and isinstance(theirs, list):
                mine += theirs
            elif key == "properties" and isinstance(mine, dict) and isinstance(theirs, dict):
                for name, one in theirs.items():
                    if not _same(mine.setdefault(name, one), one):
                        self._lose((*path, key, name))
            elif key in TIGHTEST and _number(mine) and _number(theirs):
                found[key] = TIGHTEST[key](mine, theirs)
            else:
                self._lose((*path, key))

    def _find(self, reference: Any) -> Schema | None:
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        found: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if step:
                found = _step(found, step.replace("~1", "/").replace("~0", "~"))
        return found if isinstance(found, dict) else None

    def _lose(self, path: tuple[str, ...]) -> None:
        self.gone.append(".".join(path))

    def _kept(self, schema: Schema, known: frozenset[str], path: tuple[str, ...]) -> Schema:
        for key in schema:
            if key not in known and key not in SILENT and key not in ("$defs", "definitions"):
                self._lose((*path, key))
        return {key: value for key, value in schema.items() if key in known}

    def _close(self, found: Schema, path: tuple[str, ...]) -> None:
        """No properties but those that *found* names; one that names none is open as a rule."""
        if found.get("additionalProperties", "properties" not in found) not in (None, False):
            self._lose((*path, "additionalProperties"))
        found["additionalProperties"] = False

    # OpenAI's strict mode.

    def _strict(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        if "oneOf" in schema and "anyOf" not in schema:
            schema = {("anyOf" if key == "oneOf" else key): value for key, value in schema.items()}
        found = self._kept(schema, STRICT, path)
        properties = found.get("properties")
        if isinstance(properties, dict) or found.get("type") == "object":
            properties = properties if isinstance(properties, dict) else {}
            required = set(_texts(found.get("required")))
            self._close(found, path)
            found["properties"] = {
                name: one if name in required else _nullable(one) for name, one in properties.items()
            }
            found["required"] = list(properties)
        return found

    # Claude's structured outputs.

    def _anthropic(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        if "oneOf" in schema and "anyOf" not in schema:
            schema = {("anyOf" if key == "oneOf" else key): value for key, value in schema.items()}
        found = self._kept(schema, ANTHROPIC, path)
        if "format" in found and not ANTHROPIC_FORMATS & set(_texts([found["format"]])):
            self._lose((*path, "format"))
            del found["format"]
        if "minItems" in found and found["minItems"] not in (0, 1):
            self._lose((*path, "minItems"))
            found["minItems"] = 1
        if isinstance(found.get("properties"), dict) or found.get("type") == "object":
            self._close(found, path)
        return found

    # Gemini's older subset.

    def _gemini(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        found = self._bounds(self._options(self._types(schema, path), path), path)
        if found.get("additionalProperties") in (True, {}):  # which says nothing
            del found["additionalProperties"]
        found = self._kept(found, GEMINI, path)
        if "enum" in found:
            self._enum(found, (*path, "const" if "const" in schema else "enum"))
        if isinstance(found.get("items"), list):  # one schema for each place
            self._lose((*path, "items"))
            del found["items"]
        kind = found.get("type")
        formats = FORMATS.get(kind.lower() if isinstance(kind, str) else "", frozenset())  # Gemini's own are capitals
        if "format" in found and not formats & set(_texts([found["format"]])):
            self._lose((*path, "format"))
            del found["format"]
        if isinstance(required := found.get("required"), list):
            properties = found.get("properties")
            known = properties if isinstance(properties, dict) else {}
            found["required"] = [name for name in dict.fromkeys(_texts(required)) if name in known]
            if not set(_texts(required)) <= known.keys():
                self._lose((*path, "required"))
        return self._only(found, path) if self._alone else found

    def _types(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        """*schema* without `const` and lists of types, which have other words here."""
        found = dict(schema)
        if "const" in found:
            found["enum"] = [found.pop("const")]
        types = found.get("type")
        if isinstance(types, list):
            others = [one for one in types if one != "null"]
            if len(others) < len(types):
                found["nullable"] = True
            del found["type"]
            if len(others) == 1:
                found["type"] = others[0]
            elif others and ("anyOf" in found or "oneOf" in found):
                self._lose((*path, "type"))
            elif others:
                found["anyOf"] = [{"type": one} for one in others]
        return found

    def _options(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        """*schema* with its options as `anyOf`: null is none of them, and a choice of one thing is that thing."""
        word = "anyOf" if "anyOf" in schema else "oneOf"
        options = schema.get(word)
        if not isinstance(options, list):
            return schema
        found = {key: copy(value) for key, value in schema.items() if key != word}
        left = [(at, one) for at, one in enumerate(options) if one != {"type": "null"}]
        if len(left) < len(options):
            found["nullable"] = True
        if len(left) == 1:
            at, one = left[0]
            self._join(found, one, (*path, word, str(at)))
        elif left:
            found["anyOf"] = [one for _, one in left]
        return found

    def _bounds(self, found: Schema, path: tuple[str, ...]) -> Schema:
        """*found* with bounds that are included: of whole numbers the next one, of others the same."""
        for bound, exclusive, step in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
            said = found.get(exclusive)
            if bound in found or not _number(said):
                continue
            if found.get("type") in ("integer", "INTEGER") and isinstance(said, int):
                said += step
            else:
                self._lose((*path, exclusive))
            found = {(bound if key == exclusive else key): value for key, value in found.items()} | {bound: said}
        return found

    def _only(self, found: Schema, path: tuple[str, ...]) -> Schema:
        """*found* with nothing beside its `anyOf`; or without that, where its options only add to what is beside it."""
        options = found.get("anyOf")
        if not isinstance(options, list) or len(found) == 1:
            return found
        beside = {key: value for key, value in found.items() if key != "anyOf"}
        if not all("type" in one for one in options):
            self._lose((*path, "anyOf"))
            return beside
        options[0] = {**{key: value for key, value in beside.items() if key in _MOVED}, **options[0]}
        for key, value in beside.items():
            if any(one.get(key) != value for one in options[: 1 if key in _MOVED else None]) and key not in SILENT:
                self._lose((*path, key))
        return {"anyOf": options}

    def _enum(self, found: Schema, path: tuple[str, ...]) -> None:
        """Keep an `enum` only if all its values are strings."""
        values = found["enum"] if isinstance(found["enum"], list) else []
        texts = [one for one in values if isinstance(one, str)]
        if None in values:
            found["nullable"] = True
        if len(texts) < len([one for one in values if one is not None]) or not texts:
            self._lose(path)
            del found["enum"]
        else:
            found["enum"] = texts
            found.setdefault("type", "string")


def _step(found: Any, key: str) -> Any:
    """Follow one step *key* of a JSON pointer in *found*; return None if there is nothing."""
    if isinstance(found, list):
        return found[int(key)] if key.isdecimal() and len(key) < 9 and int(key) < len(found) else None
    return found.get(key) if isinstance(found, dict) else None


def _texts(found: Any) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except RecursionError:  # as deep as JSON can be; what is that deep is cut anyway
        return False


def _number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _nullable(schema: Any) -> Any:
    """Return a schema that accepts *schema* or null."""
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if isinstance(kind, str) and "enum" not in schema and "const" not in schema:
        return schema if kind == "null" else {**schema, "type": [kind, "null"]}
    if isinstance(kind, list) and "enum" not in schema:
        return schema if "null" in kind else {**schema, "type": [*kind, "null"]}
    options = schema.get("anyOf")
    if isinstance(options, list) and schema.keys() <= {"anyOf", "description", "title"}:
        return schema if {"type": "null"} in options else {**schema, "anyOf": [*options, {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}
