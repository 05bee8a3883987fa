"""JSON Schemas in the subset that a provider takes: one transformation, documented in docs/structured-output.md.

    full            as it came
    plain           without references: each is replaced by what it names
    openai_strict   OpenAI's strict mode: every property is required (an optional one may be null), and no other allowed
    anthropic       what binds Claude's answers and strict tools: no references, no other properties, no bounds
    gemini          the older subset of OpenAPI's schema objects that Gemini's `parameters` and `responseSchema` are

What has to be left out only loosens a schema: an answer that fits the original fits the subset. A definition that
refers to itself cannot be written without references; where they cannot stay, the inner one becomes a schema that takes
all. So does what is beyond `MAX_DEPTH` or `MAX_SIZE`: definitions that name each other twice double at every step. What
is no schema at all is left for the provider to refuse.

Sources: OpenAI's guide, "Structured outputs"; Gemini API, "Schema"; not read again when this was written (2026-11-26).
"""

from typing import Any, Literal, TypeAlias

Subset = Literal["full", "openai_strict", "anthropic", "gemini", "plain"]
Schema: TypeAlias = dict[str, Any]

GEMINI = frozenset(
    {"type", "format", "title", "description", "nullable", "enum", "items", "maxItems", "minItems", "properties",
     "required", "minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "anyOf",
     "propertyOrdering", "default", "minimum", "maximum"}
)  # fmt: skip
"""Keywords that Gemini's older schemas have."""
FORMATS = {"string": frozenset({"enum", "date-time"}), "number": frozenset({"float", "double"}),
           "integer": frozenset({"int32", "int64"})}  # fmt: skip
"""A type → the formats that Gemini knows of it; it refuses others."""
STRICT = frozenset(
    {"type", "title", "description", "enum", "const", "items", "maxItems", "minItems", "properties", "required",
     "additionalProperties", "anyOf", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
     "exclusiveMaximum", "multipleOf", "$ref", "$defs", "definitions"}
)  # fmt: skip
"""Keywords that OpenAI's strict mode takes."""
ANTHROPIC = frozenset(
    {"type", "title", "description", "default", "enum", "const", "items", "minItems", "properties", "required",
     "additionalProperties", "anyOf", "allOf", "pattern", "format"}
)  # fmt: skip
"""Keywords that bind Claude's answers. Source: its guide, "Structured outputs", and its SDK's `transform_schema`."""
ANTHROPIC_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
SILENT = frozenset(
    {"$schema", "$id", "$comment", "$anchor", "title", "examples", "deprecated", "readOnly", "writeOnly"}
)
"""Keywords that say nothing of what fits: leaving one out is no loss."""
_LISTS = ("anyOf", "oneOf", "allOf")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_ONES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
         "unevaluatedProperties", "unevaluatedItems")  # fmt: skip
MAX_DEPTH = 100
"""Beyond it a schema is cut as one that refers to itself."""
MAX_REFERENCES = 100
"""References within references; more would not fit the interpreter's stack."""
MAX_SIZE = 5_000
"""Schemas within schemas; beyond it the rest is cut."""


def subset(schema: Schema, kind: Subset) -> tuple[Schema, tuple[str, ...]]:
    """*schema* as *kind* takes it, and the paths (`properties.a.pattern`) of what had to be left out."""
    if kind == "full":
        return schema, ()
    writer = _Writer(schema, kind)
    return writer.write(schema, (), ()), tuple(dict.fromkeys(writer.gone))


class _Writer:
    """Writes one schema; `gone` is what was left out."""

    def __init__(self, root: Schema, kind: Subset) -> None:
        self._root = root
        self._kind = kind
        self._size = 0
        self.gone: list[str] = []

    def write(self, schema: Any, path: tuple[str, ...], within: tuple[str, ...]) -> Any:
        """*schema*, which stands at *path*, inside of the references *within*."""
        if not isinstance(schema, dict):
            return schema if self._kind != "gemini" else {}
        self._size += 1
        if len(path) > MAX_DEPTH or len(within) > MAX_REFERENCES or self._size > MAX_SIZE:
            if self._size <= MAX_SIZE + 1:  # of all the rest the first is named
                self._lose(path)
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str) and self._kind != "openai_strict":
            return self._referred(schema, reference, path, within)
        if self._kind == "gemini":
            schema = self._merged(schema, path)
        found = {key: self._value(key, value, path, within) for key, value in schema.items()}
        if self._kind == "plain":
            return {key: value for key, value in found.items() if key not in ("$defs", "definitions")}
        if self._kind == "anthropic":
            return self._anthropic(found, path)
        return self._strict(found, path) if self._kind == "openai_strict" else self._gemini(found, path)

    def _value(self, key: str, value: Any, path: tuple[str, ...], within: tuple[str, ...]) -> Any:
        """What *key* holds, schemas inside of it written."""
        if key in ("$defs", "definitions") and self._kind != "openai_strict":
            return value  # it goes, and what is used of it stands where it is used
        if key in _MAPS and isinstance(value, dict):
            return {name: self.write(one, (*path, key, name), within) for name, one in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [self.write(one, (*path, key, str(at)), within) for at, one in enumerate(value)]
        if key in _ONES and isinstance(value, dict):
            return self.write(value, (*path, key), within)
        return value

    def _referred(self, schema: Schema, reference: str, path: tuple[str, ...], within: tuple[str, ...]) -> Any:
        """What *reference* names, with what stands beside it."""
        target = self._find(reference)
        if target is None or reference in within:
            self._lose((*path, "$ref"))
            target, reference = {}, ""
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return self.write({**target, **beside}, path, (*within, reference))

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

    def _merged(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        """*schema* without `allOf`, `const` and lists of types, which have other words here."""
        found = dict(schema)
        every = found.pop("allOf", None)
        if isinstance(every, list):
            for one in every:
                inner = one if isinstance(one, dict) else {}
                if isinstance(inner.get("$ref"), str):
                    inner = {**(self._find(inner["$ref"]) or {}), **{k: v for k, v in inner.items() if k != "$ref"}}
                found = _joined(found, inner)
            if "allOf" in found:  # one inside of another is too deep to say
                del found["allOf"]
                self._lose((*path, "allOf"))
        if "oneOf" in found and "anyOf" not in found:
            found["anyOf"] = found.pop("oneOf")
        if "const" in found:
            found.setdefault("enum", [found.pop("const")])
            found.pop("const", None)
        types = found.get("type")
        if isinstance(types, list):
            others = [one for one in types if one != "null"]
            if len(others) < len(types):
                found["nullable"] = True
            del found["type"]
            if len(others) == 1:
                found["type"] = others[0]
            elif others:
                found.setdefault("anyOf", [{"type": one} for one in others])
        return found

    def _gemini(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if exclusive in schema and bound not in schema:
                schema = {(bound if key == exclusive else key): value for key, value in schema.items()}
        allowed = schema.pop("additionalProperties", None)
        if allowed is False:
            self._lose((*path, "additionalProperties"))
        found = self._kept(schema, GEMINI, path)
        options = found.get("anyOf")
        if isinstance(options, list):
            left = [one for one in options if one != {"type": "null"}]
            if len(left) < len(options):
                found["nullable"] = True
                found["anyOf"] = left
            if not left:
                del found["anyOf"]
        if "enum" in found:
            self._enum(found, path)
        kind = found.get("type")
        formats = FORMATS.get(kind if isinstance(kind, str) else "", frozenset())
        if "format" in found and not formats & set(_texts([found["format"]])):
            self._lose((*path, "format"))
            del found["format"]
        if isinstance(found.get("required"), list) and isinstance(found.get("properties"), dict):
            found["required"] = [name for name in _texts(found["required"]) if name in found["properties"]]
        return found

    def _enum(self, found: Schema, path: tuple[str, ...]) -> None:
        """Only texts can be enumerated."""
        values = found["enum"] if isinstance(found["enum"], list) else []
        texts = [one for one in values if isinstance(one, str)]
        if None in values:
            found["nullable"] = True
        if len(texts) < len([one for one in values if one is not None]) or not texts:
            self._lose((*path, "enum"))
            del found["enum"]
        else:
            found["enum"] = texts
            found.setdefault("type", "string")


def _step(found: Any, key: str) -> Any:
    """What *key* of a JSON pointer names in *found*, None where there is nothing."""
    if isinstance(found, list):
        return found[int(key)] if key.isdecimal() and len(key) < 9 and int(key) < len(found) else None
    return found.get(key) if isinstance(found, dict) else None


def _texts(found: Any) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _nullable(schema: Any) -> Any:
    """*schema*, or null."""
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


def _joined(one: Schema, other: Schema) -> Schema:
    """Both at once, as far as a schema can say it: properties and what is required of both, else the first one's."""
    found = {**other, **one}
    if isinstance(one.get("properties"), dict) and isinstance(other.get("properties"), dict):
        found["properties"] = {**other["properties"], **one["properties"]}
    if isinstance(one.get("required"), list) and isinstance(other.get("required"), list):
        found["required"] = list(dict.fromkeys(_texts([*one["required"], *other["required"]])))
    return found
