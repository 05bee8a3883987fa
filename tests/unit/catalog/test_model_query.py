"""What the query parameters of `GET /models` select, in which order, and on which page."""

from collections.abc import Callable
from typing import Any

import pytest

from trunkline.catalog.catalog import Catalog
from trunkline.catalog.model_query import Page, count_models, list_models
from trunkline.catalog.response_bodies import NO_STATS, EndpointStats
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import InvalidRequest
from trunkline.settings import parse

CATALOG = b"""
providers:
  alpha: {base_url: "https://alpha.example/v1", name: Alpha AI, data_policy: {zdr: true}}
  beta: {base_url: "https://beta.example/v1", region: eu-west-1}
models:
  acme/gpt-big:
    name: "Acme: Big"
    aliases: [big, acme/biggest]
    context_length: 200000
    endpoints:
      - {provider: alpha, upstream_model: b, price: {prompt: 10, completion: 30}, parameters: [tools, temperature],
         input: [text, image]}
  acme/claude-small:
    context_length: 8000
    endpoints: [{provider: beta, upstream_model: s, price: {prompt: 1, completion: 2}, parameters: [temperature]}]
  other/painter:
    endpoints: [{provider: alpha, upstream_model: p, price: {prompt: 2, completion: 2}, output: [image]}]
  other/unknown:
    endpoints: [{provider: beta, upstream_model: u}]
"""
TEXT = ["acme/gpt-big", "big", "acme/biggest", "acme/claude-small", "other/unknown", "demo/echo"]


@pytest.fixture
def ask() -> Callable[..., Page]:
    catalog: Catalog = parse(CATALOG, {}).catalog(now=0)

    class Median:
        def __init__(self, value: float) -> None:
            self.p50 = self.p75 = self.p90 = self.p99 = value

    speeds = {"acme/gpt-big": 10.0, "acme/claude-small": 90.0}

    def stats(endpoint: Endpoint) -> EndpointStats:
        speed = speeds.get(endpoint.model)
        return NO_STATS if speed is None else EndpointStats(latency=Median(1 / speed), throughput=Median(speed))

    return lambda **query: list_models(catalog.models, query, now=1e9, stats=stats, base="/v1")


def ids(page: Page) -> list[str]:
    return [entry["id"] for entry in page.entries]


def test_all_models_that_write_text_with_their_aliases(ask: Callable[..., Page]) -> None:
    page = ask()
    assert ids(page) == TEXT
    assert (page.total, page.next_offset, page.has_more) == (6, None, False)
    assert {entry["canonical_slug"] for entry in page.entries[:3]} == {"acme/gpt-big"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"output_modalities": "image"}, ["other/painter"]),
        ({"output_modalities": "all", "providers": "alpha"}, ["acme/gpt-big", "other/painter"]),
        ({"supported_parameters": "tools"}, ["acme/gpt-big", "other/unknown", "demo/echo"]),
        ({"supported_parameters": "temperature, tools"}, ["acme/gpt-big", "other/unknown", "demo/echo"]),
        ({"input_modalities": "text,image"}, ["acme/gpt-big"]),
        ({"q": "SMALL"}, ["acme/claude-small"]),
        ({"q": "acme: big"}, ["acme/gpt-big"]),
        ({"arch": "claude"}, ["acme/claude-small"]),
        ({"model_authors": "acme"}, ["acme/gpt-big", "acme/claude-small"]),
        ({"providers": "Alpha AI"}, ["acme/gpt-big"]),
        ({"zdr": "true"}, ["acme/gpt-big"]),
        ({"context": "9000"}, ["acme/gpt-big", "demo/echo"]),
        ({"max_price": "5"}, ["acme/claude-small", "demo/echo"]),
        ({"min_price": "5"}, ["acme/gpt-big"]),
        ({"min_output_price": "2", "max_output_price": "2"}, ["acme/claude-small"]),
        ({"max_age_days": "30"}, []),
        ({"category": "programming"}, []),
        ({"min_coding_index": "1"}, []),
        ({"distillable": "true"}, []),
        ({"max_price": "", "region": ""}, ["acme/gpt-big", "acme/claude-small", "other/unknown", "demo/echo"]),
        ({"offset": "null"}, ["acme/gpt-big", "acme/claude-small", "other/unknown", "demo/echo"]),
        ({"sort": "pricing-low-to-high"}, ["demo/echo", "acme/claude-small", "acme/gpt-big", "other/unknown"]),
        ({"sort": "pricing-high-to-low"}, ["acme/gpt-big", "acme/claude-small", "demo/echo", "other/unknown"]),
        ({"sort": "throughput-high-to-low"}, ["acme/claude-small", "acme/gpt-big", "other/unknown", "demo/echo"]),
        ({"sort": "latency-low-to-high"}, ["acme/claude-small", "acme/gpt-big", "other/unknown", "demo/echo"]),
        ({"sort": "most-popular"}, ["acme/gpt-big", "acme/claude-small", "other/unknown", "demo/echo"]),
    ],
    ids=str,
)
def test_filters_and_sorts(ask: Callable[..., Page], query: dict[str, str], found: list[str]) -> None:
    assert [name for name in ids(ask(**query)) if name not in ("big", "acme/biggest")] == found


@pytest.mark.parametrize("size", [1, 2, 4, 6, 7])
def test_pages_by_offset_are_the_whole_list(ask: Callable[..., Page], size: int) -> None:
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = ask(offset=str(offset), limit=str(size))
        assert len(page.entries) <= size
        seen += ids(page)
        offset = page.next_offset
    assert seen == TEXT
    assert ids(ask(offset="99")) == []


@pytest.mark.parametrize("size", [1, 2, 4, 6, 7])
def test_pages_by_id_are_the_whole_list(ask: Callable[..., Page], size: int) -> None:
    page = ask(limit=str(size))
    seen = ids(page)
    while page.has_more:
        page = ask(limit=str(size), after_id=seen[-1])
        seen += ids(page)
    assert seen == TEXT
    before = ask(limit=str(size), before_id=TEXT[-1])
    assert ids(before) == TEXT[:-1][-size:]
    assert before.has_more == (size < 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offset", "-1"), ("offset", "x"), ("limit", "0"), ("limit", "1001"), ("limit", "1.5"), ("sort", "best"),
        ("category", "cooking"), ("supported_parameters", "tools,magic"), ("output_modalities", "smell"),
        ("input_modalities", "smell"), ("zdr", "false"), ("region", "mars"), ("distillable", "maybe"),
        ("max_price", "-1"), ("min_price", "nan"), ("context", "many"), ("q", "x" * 2000), ("after_id", "nobody/none"),
        ("min_agentic_index", "inf"),
    ],
)  # fmt: skip
def test_invalid_values_are_named(ask: Callable[..., Page], name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ask(**{name: value})
    assert refused.value.param == name


def test_the_count_has_the_default_of_the_list() -> None:
    models: Any = parse(CATALOG, {}).catalog(now=0).models
    assert [count_models(models, {"output_modalities": kinds}) for kinds in ("", "image", "all")] == [6, 1, 7]
