"""Schemas in the subsets that providers take: what each form becomes, and what holds for all of them."""

import copy
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from trunkline.dialects.common.json_schema import ANTHROPIC, GEMINI, MAX_SIZE, STRICT, Subset, to_object, to_subset

KINDS: tuple[Subset, ...] = ("full", "plain", "openai_strict", "anthropic", "gemini")
NODE = {
    "$ref": "#/$defs/Node",
    "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "x": {"type": "integer"}}}},
}
TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("kind", "schema", "written", "gone"),
    [
        ("full", NODE, NODE, ()),
        ("plain", {"$ref": "#/$defs/T", "$defs": {"T": TEXT}}, TEXT, ()),
        ("plain", {"items": {"$ref": "#/definitions/T"}, "definitions": {"T": TEXT}}, {"items": TEXT}, ()),
        ("plain", {"$ref": "https://elsewhere.example/x"}, {}, ("$ref",)),
        ("plain", {"$ref": "#/$defs/T", "description": "d", "$defs": {"T": TEXT}}, {**TEXT, "description": "d"}, ()),
        (
            "plain",
            NODE,
            {"type": "object", "properties": {"next": {}, "x": {"type": "integer"}}},
            ("properties.next.$ref",),
        ),
        ("gemini", {"const": "a"}, {"enum": ["a"], "type": "string"}, ()),
        ("gemini", {"enum": [1, 2], "type": "integer"}, {"type": "integer"}, ("enum",)),
        ("gemini", {"type": ["string", "null"]}, {"type": "string", "nullable": True}, ()),
        ("gemini", {"type": ["string", "integer"]}, {"anyOf": [TEXT, {"type": "integer"}]}, ()),
        ("gemini", {"type": ["null"]}, {"nullable": True}, ()),
        ("gemini", {"anyOf": [{"type": "null"}]}, {"nullable": True}, ()),
        ("gemini", {"allOf": [{"$ref": 1, "title": "t"}]}, {"title": "t"}, ("$ref",)),
        ("gemini", {"oneOf": [TEXT, {"type": "null"}]}, {**TEXT, "nullable": True}, ()),
        ("gemini", {"oneOf": [TEXT, {"type": "null"}], "type": "integer", "title": "t"},
         {"type": "integer", "nullable": True, "title": "t"}, ("oneOf.0.type",)),
        ("gemini", {"type": ["string", "integer"], "anyOf": [TEXT, TEXT]}, {"anyOf": [TEXT, TEXT]}, ("type",)),
        ("gemini", {"const": 1, "enum": ["a"]}, {}, ("const",)),
        ("gemini", {"type": "object", "additionalProperties": TEXT}, {"type": "object"}, ("additionalProperties",)),
        ("gemini", {"type": "object", "additionalProperties": True}, {"type": "object"}, ()),
        ("gemini", {"items": [TEXT, {"$ref": "#/items/0"}]}, {}, ("items",)),
        ("gemini", {"properties": {"a": TEXT}, "required": ["b", "a", "a"]},
         {"properties": {"a": TEXT}, "required": ["a"]}, ("required",)),
        ("gemini", {"allOf": [{"$ref": "#/$defs/Nothing"}, {"$ref": "https://a.example"}]}, {},
         ("allOf.0.$ref", "allOf.1.$ref")),
        ("gemini", {"minimum": 1, "allOf": [{"minimum": 2, "maximum": 9}, {"maximum": 8, "title": "t"}]},
         {"minimum": 2, "maximum": 8, "title": "t"}, ()),
        ("gemini", {"type": "string", "allOf": [{"type": "integer"}, {"minimum": "x", "allOf": [{"minimum": 1}]}]},
         {"type": "string", "minimum": "x"}, ("allOf.1.allOf.0.minimum", "allOf.0.type")),
        ("gemini", {"allOf": [{"properties": {"a": TEXT}}, {"$ref": "#/$defs/T"}],
                    "$defs": {"T": {"properties": {"a": {}, "b": TEXT}, "required": ["a", "b"]}}},
         {"properties": {"a": TEXT, "b": TEXT}, "required": ["a", "b"]}, ("allOf.1.properties.a",)),
        ("plain", {"$ref": "#/$defs/T", "maximum": 5, "required": ["a"],
                   "$defs": {"T": {"maximum": 3, "minimum": 1, "required": ["a", "b"]}}},
         {"maximum": 3, "required": ["a", "b"], "minimum": 1}, ()),
        ("plain", {"$ref": "#/$defs/T", "type": "integer", "$defs": {"T": TEXT}}, {"type": "integer"}, ("type",)),
        ("plain", {"prefixItems": [{"$ref": "#/$defs/T"}], "$defs": {"T": TEXT}}, {"prefixItems": [TEXT]}, ()),
        ("plain", {"items": [{"$ref": "#/$defs/T"}], "$defs": {"T": TEXT}}, {"items": [TEXT]}, ()),
        ("gemini", {"allOf": [TEXT], "description": "d"}, {**TEXT, "description": "d"}, ()),
        ("gemini", {"type": "string", "format": "email"}, TEXT, ("format",)),
        ("gemini", {"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}, ()),
        ("gemini", {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
         {"type": "integer", "minimum": 1, "maximum": 8}, ()),
        ("gemini", {"type": "number", "exclusiveMaximum": 0}, {"type": "number", "maximum": 0}, ("exclusiveMaximum",)),
        ("gemini", {"minimum": 1, "exclusiveMinimum": True}, {"minimum": 1}, ("exclusiveMinimum",)),
        ("gemini", {"$schema": "x", "type": "object", "additionalProperties": False}, {"type": "object"},
         ("additionalProperties",)),
        ("gemini", {"type": "array", "items": TEXT, "uniqueItems": True}, {"type": "array", "items": TEXT},
         ("uniqueItems",)),
        ("anthropic", {"type": "object", "properties": {"a": TEXT}},
         {"type": "object", "properties": {"a": TEXT}, "additionalProperties": False}, ()),
        ("anthropic", {"type": "object"}, {"type": "object", "additionalProperties": False}, ("additionalProperties",)),
        ("anthropic", {"type": "object", "properties": {}, "additionalProperties": {}},
         {"type": "object", "properties": {}, "additionalProperties": False}, ("additionalProperties",)),
        ("anthropic", {"type": "array", "items": {"$ref": "#/$defs/T"}, "minItems": 3, "$defs": {"T": TEXT}},
         {"type": "array", "items": TEXT, "minItems": 1}, ("minItems",)),
        ("anthropic", {"oneOf": [TEXT, {"type": "integer", "maximum": 5}]}, {"anyOf": [TEXT, {"type": "integer"}]},
         ("oneOf.1.maximum",)),
        ("anthropic", {"type": "string", "format": "byte", "minLength": 1}, TEXT, ("minLength", "format")),
        ("anthropic", {"type": "string", "format": "uuid"}, {"type": "string", "format": "uuid"}, ()),
        (
            "openai_strict",
            {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a"]},
            {
                "type": "object",
                "properties": {"a": TEXT, "b": {"type": ["string", "null"]}},
                "required": ["a", "b"],
                "additionalProperties": False,
            },
            (),
        ),
        ("plain", {"items": {"$ref": "#/anyOf/1"}, "anyOf": [{}, TEXT]}, {"items": TEXT, "anyOf": [{}, TEXT]}, ()),
        ("openai_strict", {"type": "object"},
         {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
         ("additionalProperties",)),
        ("openai_strict", {"oneOf": [TEXT]}, {"anyOf": [TEXT]}, ()),
        ("openai_strict", {"type": "string", "minLength": 1}, TEXT, ("minLength",)),
        ("openai_strict", {"type": "object", "additionalProperties": TEXT},
         {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
         ("additionalProperties",)),
    ],
)  # fmt: skip
def test_what_becomes_of_it(kind: Subset, schema: Any, written: Any, gone: tuple[str, ...]) -> None:
    assert to_subset(schema, kind) == (written, gone)


@pytest.mark.parametrize(
    ("schema", "written", "gone"),
    [
        ({"anyOf": [TEXT, {"type": "integer"}]}, {"anyOf": [TEXT, {"type": "integer"}]}, ()),
        ({"anyOf": [TEXT, {"type": "integer"}, {"type": "null"}], "title": "t", "description": "d"},
         {"anyOf": [{**TEXT, "description": "d", "nullable": True}, {"type": "integer"}]}, ()),
        ({"anyOf": [{**TEXT, "description": "own"}, TEXT], "description": "d", "type": "string", "default": "a"},
         {"anyOf": [{**TEXT, "description": "own"}, TEXT]}, ("description", "default")),
        ({"type": ["string", "integer"], "minLength": 1}, {"anyOf": [TEXT, {"type": "integer"}]}, ("minLength",)),
        ({"type": "object", "properties": {"a": TEXT, "b": TEXT}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
         {"type": "object", "properties": {"a": TEXT, "b": TEXT}}, ("anyOf.0.required", "anyOf.1.required", "anyOf")),
    ],
)  # fmt: skip
def test_at_vertex_nothing_stands_beside_a_choice(schema: Any, written: Any, gone: tuple[str, ...]) -> None:
    assert to_subset(schema, "gemini", alone=True) == (written, gone)


A = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}
B = {"type": "object", "properties": {"b": TEXT, "a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "written", "gone"),
    [
        ({"properties": {"a": TEXT}, "$defs": {"A": A}}, {"properties": {"a": TEXT}, "$defs": {"A": A}}, ()),
        ({"$ref": "#/$defs/A", "$defs": {"A": A}}, A, ()),
        ({"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}, True], "$defs": {"A": A, "B": B}},
         {"type": "object", "properties": {"a": TEXT, "b": TEXT}}, ("anyOf",)),
        ({"allOf": [A, B], "required": ["b"], "properties": {"b": {}}},
         {"type": "object", "required": ["b", "a"], "properties": {"b": {}, "a": TEXT}}, ("allOf",)),
        ({"$ref": "#/$defs/C", "$defs": {"C": {"oneOf": [A, 7]}}},
         {"type": "object", "properties": {"a": TEXT}}, ("oneOf",)),
        ({"anyOf": 7, "properties": 7}, {"type": "object", "properties": 7}, ("anyOf",)),
    ],
)  # fmt: skip
def test_the_root_of_a_tools_schema_is_an_object(schema: Any, written: Any, gone: tuple[str, ...]) -> None:
    before = copy.deepcopy(schema)
    assert to_object(schema, ("allOf", "anyOf", "oneOf")) == (written, gone)
    assert schema == before


def test_an_optional_choice_may_be_null() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {"anyOf": [TEXT]}}}
    found, _ = to_subset(schema, "openai_strict")
    assert found["properties"]["a"] == {"anyOf": [{"enum": ["x", "y"]}, {"type": "null"}]}
    assert found["properties"]["b"] == {"anyOf": [TEXT, {"type": "null"}]}


def test_strict_mode_keeps_references_even_to_themselves() -> None:
    found, gone = to_subset(NODE, "openai_strict")
    assert found["$ref"] == "#/$defs/Node"
    assert found["$defs"]["Node"]["required"] == ["next", "x"]
    assert gone == ()


def doubling(steps: int) -> dict[str, Any]:
    """A schema that is twice as large with every one of *steps*, once its references are gone."""
    both = {f"D{at}": {"properties": {key: {"$ref": f"#/$defs/D{at + 1}"} for key in "ab"}} for at in range(steps)}
    return {"$ref": "#/$defs/D0", "$defs": {**both, f"D{steps}": TEXT}}


def size(schema: Any) -> int:
    return 1 + sum(map(size, schema.get("properties", {}).values()))


@pytest.mark.parametrize("kind", ["plain", "gemini"])
def test_what_grows_without_end_is_cut(kind: Subset) -> None:
    small, gone = to_subset(doubling(8), kind)
    assert (size(small), gone) == (2**9 - 1, ())
    found, gone = to_subset(doubling(40), kind)
    assert MAX_SIZE / 2 < size(found) < MAX_SIZE * 2
    assert len(gone) == 1
    assert to_subset(doubling(40), "openai_strict")[1] == ()


ODD: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["object", "#", "#/$defs/a", "null", ""])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["type", "$ref", "$defs", "properties", "required", "items", "anyOf", "oneOf", "allOf", "enum", "const",
                 "format", "additionalProperties", "exclusiveMinimum", "a", "not"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["type", "$ref", "$defs", "properties", "anyOf", "allOf", "enum", "required"]),
                       ODD, max_size=4), st.sampled_from(KINDS))  # fmt: skip
def test_what_is_no_schema_passes_all_the_same(schema: dict[str, Any], kind: Subset) -> None:
    before = copy.deepcopy(schema)
    found, gone = to_subset(schema, kind)
    assert isinstance(found, dict)
    assert len(set(gone)) == len(gone)
    assert schema == before


LEAVES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        TEXT, {"type": "integer", "minimum": 1}, {"type": "boolean"}, {"enum": ["a", "b"]}, {"const": 3}, {},
        {"type": ["string", "null"]}, {"$ref": "#/$defs/A"}, {"$ref": "#/$defs/Nothing"},
        {"type": "string", "format": "uri", "minLength": 2},
    ]
)  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda properties, required: {"type": "object", "properties": properties, "required": required},
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            st.lists(st.sampled_from("abc"), unique=True, max_size=2),
        ),
        st.builds(lambda items: {"type": "array", "items": items, "uniqueItems": True}, inner),
        st.builds(
            lambda options, word: {word: options},
            st.lists(inner, min_size=1, max_size=3),
            st.sampled_from(["anyOf", "oneOf", "allOf"]),
        ),
    ),
    max_leaves=8,
).map(lambda schema: {**schema, "$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}}})


def keywords(schema: Any) -> set[str]:
    """Every keyword in *schema*."""
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for key in ("properties", "$defs"):
        for one in (schema.get(key) or {}).values():
            found |= keywords(one)
    for key in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(key) or ():
            found |= keywords(one)
    return found | keywords(schema.get("items"))


@given(SCHEMAS, st.sampled_from(KINDS))
def test_nothing_forbidden_is_left_and_what_came_is_as_it_was(schema: dict[str, Any], kind: Subset) -> None:
    before = copy.deepcopy(schema)
    found, _ = to_subset(schema, kind)
    assert schema == before
    left = keywords(found)
    match kind:
        case "gemini":
            assert left <= GEMINI
        case "openai_strict":
            assert left <= STRICT
        case "anthropic":
            assert left <= ANTHROPIC
        case "plain":
            assert not left & {"$ref", "$defs"}
        case _:
            assert found is schema


@given(SCHEMAS)
def test_at_vertex_every_choice_stands_alone(schema: dict[str, Any]) -> None:
    def look(found: Any) -> None:
        if isinstance(found, dict):
            assert "anyOf" not in found or len(found) == 1
            for one in (found.get("items"), *found.get("properties", {}).values(), *found.get("anyOf", ())):
                look(one)

    look(to_subset(schema, "gemini", alone=True)[0])


@given(SCHEMAS, st.sampled_from(KINDS))
def test_once_is_enough(schema: dict[str, Any], kind: Subset) -> None:
    found, _ = to_subset(schema, kind)
    assert to_subset(found, kind)[0] == found


@given(SCHEMAS, st.one_of(st.text(max_size=3), st.integers(0, 3), st.none(), st.just({}), st.just({"a": "a"})))
def test_plain_says_the_same_or_less(schema: dict[str, Any], value: Any) -> None:
    """What fits the schema fits the subset, where the schema can be judged at all."""
    if "Nothing" in str(schema):
        return
    found, _ = to_subset(schema, "plain")
    if Draft202012Validator(schema).is_valid(value):
        assert Draft202012Validator(found).is_valid(value) or "oneOf" in str(schema)


@pytest.mark.parametrize("kind", ["plain", "gemini", "anthropic"])
def test_what_is_as_deep_as_json_can_be_is_cut(kind: Subset) -> None:
    def deep() -> Any:
        found: Any = {}
        for _ in range(5_000):
            found = {"items": found}
        return {"properties": {"a": found}, "contains": found}

    found, lost = to_subset({"$ref": "#/$defs/a", **deep(), "$defs": {"a": deep()}}, kind)
    assert isinstance(found, dict)
    assert lost


def test_many_parts_take_no_longer_than_they_are() -> None:
    """Each was put into a copy of what was there, once: a minute for a schema of 2 MB."""
    parts = [{"properties": {f"a{at}": TEXT}, "required": [f"a{at}"], f"x{at}": 1} for at in range(MAX_SIZE // 2 - 1)]
    names = [f"b{at}" for at in range(100_000)]
    begun = time.process_time()
    found, _ = to_subset({"allOf": parts, "properties": dict.fromkeys(names, True), "required": names}, "gemini")
    assert len(found["required"]) == len(parts) + len(names)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("kind", ["plain", "gemini", "anthropic"])
def test_a_long_chain_of_references_is_cut(kind: Subset) -> None:
    names = [f"d{at}" for at in range(5000)]
    defs: dict[str, Any] = {name: {"$ref": f"#/$defs/{after}"} for name, after in pairwise(names)}
    found, lost = to_subset({"$ref": "#/$defs/d0", "$defs": defs}, kind)
    assert isinstance(found, dict)
    assert lost


@pytest.mark.parametrize(
    ("kind", "format_"),
    [("INTEGER", "int32"), ("INTEGER", "int64"), ("NUMBER", "float"), ("NUMBER", "double"), ("STRING", "date-time")],
)
def test_geminis_own_spelling_keeps_its_format(kind: str, format_: str) -> None:
    schema = {"type": "OBJECT", "properties": {"a": {"type": kind, "format": format_}}}
    assert to_subset(schema, "gemini") == (schema, ())
    assert to_subset({"type": kind, "format": "x"}, "gemini") == ({"type": kind}, ("format",))


def test_geminis_own_spelling_has_whole_numbers() -> None:
    assert to_subset({"type": "INTEGER", "exclusiveMinimum": 1}, "gemini") == ({"type": "INTEGER", "minimum": 2}, ())
