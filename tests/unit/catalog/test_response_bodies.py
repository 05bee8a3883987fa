"""What clients see of the catalog, held against OpenRouter's own document where that is at hand."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from trunkline.catalog.catalog import Catalog
from trunkline.catalog.model_query import list_models
from trunkline.catalog.response_bodies import (
    NO_STATS,
    EndpointStats,
    endpoints_object,
    model_list,
    provider_list,
    usd_text,
)
from trunkline.routing.statistics import Percentiles
from trunkline.settings import parse

ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("TRUNKLINE_SHARED", ROOT.parent / "shared"))
DOCUMENT = SHARED / "spec" / "openrouter-openapi.yaml"

CATALOG = b"""
providers: {openai: {base_url: 'https://api.acme.example/v1', name: OpenAI}}
models:
  acme/qwen3-vl:
    name: "Acme: Qwen3 VL"
    description: Sees.
    context_length: 128000
    endpoints:
      - provider: openai
        upstream_model: x
        tag: openai/fp8
        quantization: fp8
        max_output: 16384
        price: {prompt: 0.25, completion: 2, cache_read: 0.025, image: 0.001}
        parameters: [tools, tool_choice, temperature, user]
        input: [text, image]
      - {provider: openai, upstream_model: y}
"""


@pytest.fixture
def catalog() -> Catalog:
    return parse(CATALOG, {}).catalog(now=0)


def whole_list(catalog: Catalog) -> dict[str, Any]:
    page = list_models(catalog.models, {}, now=0.0, stats=lambda _: NO_STATS, base="/api/v1")
    return model_list(page.entries, total=page.total, next_page=None, has_more=page.has_more)


def test_a_model(catalog: Catalog) -> None:
    listed = whole_list(catalog)
    assert listed["total_count"] == 2
    assert (listed["object"], listed["has_more"], listed["links"]) == ("list", False, {"next": None})
    assert (listed["first_id"], listed["last_id"]) == ("acme/qwen3-vl", "demo/echo")
    assert listed["data"][0] == {
        "id": "acme/qwen3-vl",
        "object": "model",
        "owned_by": "acme",
        "type": "model",
        "display_name": "Acme: Qwen3 VL",
        "created_at": "1970-01-01T00:00:00Z",
        "canonical_slug": "acme/qwen3-vl",
        "name": "Acme: Qwen3 VL",
        "created": 0,
        "description": "Sees.",
        "context_length": 128000,
        "architecture": {
            "modality": "text+image->text",
            "input_modalities": ["text", "image"],
            "output_modalities": ["text"],
            "tokenizer": "Qwen3",
            "instruct_type": None,
        },
        "pricing": {
            "prompt": "0.00000025",
            "completion": "0.000002",
            "request": "0",
            "image": "0.001",
            "input_cache_read": "0.000000025",
        },
        "top_provider": {"context_length": 128000, "max_completion_tokens": 16384, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": listed["data"][0]["supported_parameters"],
        "default_parameters": None,
        "supported_voices": None,
        "links": {"details": "/api/v1/models/acme/qwen3-vl/endpoints"},
    }


def test_endpoints(catalog: Catalog) -> None:
    measured = EndpointStats(latency=Percentiles(p50=0.1, p75=0.2, p90=0.3, p99=0.4), uptime_5m=100.0)
    data = endpoints_object(catalog.models[0], lambda _: measured)["data"]
    first, second = data["endpoints"]
    assert first["supported_parameters"] == ["temperature", "tools", "tool_choice"]
    assert first["tag"] == "openai/fp8"
    assert first["latency_last_30m"] == {"p50": 100.0, "p75": 200.0, "p90": 300.0, "p99": 400.0}
    assert second["pricing"]["prompt"] == "-1"
    assert second["context_length"] == 128000


def test_usd_text() -> None:
    assert [usd_text(pico) for pico in (None, 0, 1, 250_000, 10**12, 100 * 10**12)] == [
        "-1",
        "0",
        "0.000000000001",
        "0.00000025",
        "1",
        "100",
    ]


class Checker:
    """As much of JSON Schema as the document uses for these answers."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def faults(self, value: Any, schema: dict[str, Any], path: str = "$") -> list[str]:
        if "$ref" in schema:
            for part in schema["$ref"].removeprefix("#/").split("/"):
                schema = self.document[part] if schema.get("$ref") else schema[part]
            return self.faults(value, schema, path)
        if "anyOf" in schema:
            tried = [self.faults(value, one, path) for one in schema["anyOf"]]
            return [] if [] in tried else tried[0]
        found = [fault for one in schema.get("allOf", ()) for fault in self.faults(value, one, path)]
        kinds = schema.get("type", [])
        if kinds and not any(self.is_a(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
            return [*found, f"{path}: {value!r} is not {kinds}"]
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{path}: {value!r} is none of the words")
        if isinstance(value, dict):
            found += [f"{path}: {key} is missing" for key in schema.get("required", ()) if key not in value]
            for key, inner in schema.get("properties", {}).items():
                if key in value:
                    found += self.faults(value[key], inner, f"{path}.{key}")
        if isinstance(value, list) and "items" in schema:
            for index, item in enumerate(value):
                found += self.faults(item, schema["items"], f"{path}[{index}]")
        return found

    @staticmethod
    def is_a(value: Any, kind: str) -> bool:
        kinds: dict[str, type | tuple[type, ...]] = {
            "object": dict,
            "array": list,
            "string": str,
            "integer": int,
            "number": (int, float),
            "boolean": bool,
            "null": type(None),
        }
        return isinstance(value, kinds[kind]) and not (isinstance(value, bool) and kind in ("integer", "number"))


@pytest.fixture(scope="module")
def checker() -> Checker:
    if not DOCUMENT.exists():
        pytest.skip(f"no {DOCUMENT.name} at hand; TRUNKLINE_SHARED names the folder that has it under spec/")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Checker(yaml.load(DOCUMENT.read_text("utf-8"), Loader=loader))


def answer(checker: Checker, path: str) -> dict[str, Any]:
    found: dict[str, Any] = checker.document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    return found


def test_bodies_match_the_openapi_document(checker: Checker, catalog: Catalog) -> None:
    assert checker.faults(whole_list(catalog), answer(checker, "/models")) == []
    body = endpoints_object(catalog.models[0])
    assert checker.faults(body, answer(checker, "/models/{author}/{slug}/endpoints")) == []
    assert checker.faults(provider_list(catalog), answer(checker, "/providers")) == []
    del body["data"]["endpoints"][0]["uptime_last_1d"]
    assert checker.faults(body, answer(checker, "/models/{author}/{slug}/endpoints")) == [
        "$.data.endpoints[0]: uptime_last_1d is missing"
    ]
