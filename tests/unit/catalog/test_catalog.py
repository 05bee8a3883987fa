"""Models and endpoints, from the configuration and from what providers say."""

import subprocess
import sys
from typing import Any

import msgspec

from trunkline.catalog.catalog import DEMO_MODEL, build_catalog, model_id
from trunkline.catalog.config import EndpointSettings, ModelSettings
from trunkline.catalog.model_list_parser import ListedModel
from trunkline.catalog.prices import look_up
from trunkline.model.endpoint import Price
from trunkline.providers.provider import Provider

PRICED = Price(prompt=1, completion=2, source="provider")


def provider(slug: str, **more: Any) -> Provider:
    return Provider(slug=slug, name=slug.title(), base_url=f"https://{slug}.example/v1", dialect="chat", **more)


def providers(*all_: Provider) -> dict[str, Provider]:
    return {one.slug: one for one in all_}


def test_demo_is_always_there() -> None:
    catalog = build_catalog({}, {}, now=0)
    model = catalog.find(DEMO_MODEL)
    assert model is not None
    assert (model.endpoints[0].price.prompt, model.endpoints[0].price.completion) == (0, 0)
    assert model.context_length == 128_000
    assert catalog.providers["demo"].base_url == "demo://demo"
    aliased = {"a/b": ModelSettings(endpoints=(EndpointSettings(provider="demo", upstream_model="echo"),))}
    assert [one.id for one in build_catalog({}, aliased, now=0).models] == ["a/b", "demo/echo"]


def test_ids_come_before_aliases() -> None:
    endpoints = (EndpointSettings(provider="demo", upstream_model="echo"),)
    models = {
        "a/one": ModelSettings(endpoints=endpoints, aliases=("one", "demo/echo")),
        "a/two": ModelSettings(endpoints=endpoints, name="Two"),
    }
    catalog = build_catalog({}, models, now=0)
    for asked, found in {"one": "a/one", "a/one": "a/one", "demo/echo": "demo/echo", "a/two": "a/two"}.items():
        model = catalog.find(asked)
        assert model is not None
        assert model.id == found
    assert catalog.find("A/one") is None
    assert catalog.find("") is None


def test_one_model_at_several_providers() -> None:
    lists = {
        "x": (
            ListedModel(id="meta/llama", context_length=8, price=PRICED, name="Llama"),
            ListedModel(id="own", price=PRICED),
        ),
        "y": (ListedModel(id="meta/llama", context_length=4, price=PRICED, max_output=2),),
        "silent": (ListedModel(id="meta/llama"),),
    }
    all_ = providers(provider("x", discover=True), provider("y", discover=True), provider("silent"))
    catalog = build_catalog(all_, {}, lists, now=0)
    assert [model.id for model in catalog.models] == ["meta/llama", "x/own", "demo/echo"]
    llama = catalog.models[0]
    assert (llama.name, llama.context_length) == ("Llama", 8)
    assert [(one.tag, one.context_length, one.max_output) for one in llama.endpoints] == [("x", 8, None), ("y", 4, 2)]
    assert llama.endpoints[0].price is PRICED


def test_list_fills_omitted_settings() -> None:
    models = {"a/b": ModelSettings(endpoints=(EndpointSettings(provider="x", upstream_model="m"),))}
    lists = {"x": (ListedModel(id="m", context_length=8, max_output=4, price=PRICED),)}
    catalog = build_catalog(providers(provider("x", discover=True)), models, lists, now=0)
    assert [model.id for model in catalog.models] == ["a/b", "demo/echo"]
    (endpoint,) = catalog.models[0].endpoints
    assert (endpoint.context_length, endpoint.max_output, endpoint.price) == (8, 4, PRICED)


def test_configured_model_gets_listed_endpoints() -> None:
    models = {"a/b": ModelSettings(endpoints=(EndpointSettings(provider="x", upstream_model="m"),))}
    catalog = build_catalog(
        providers(provider("x"), provider("y", discover=True)),
        models,
        {"y": (ListedModel(id="a/b", price=PRICED),)},
        now=0,
    )
    assert [one.tag for one in catalog.models[0].endpoints] == ["x", "y"]


def test_ids_of_discovered_models() -> None:
    plain, google = provider("acme"), provider("gs", author="google", model_id_prefix="models/")
    assert model_id(plain, "m") == "acme/m"
    assert model_id(plain, "a/m") == "a/m"
    assert model_id(plain, "a/b/m") == "acme/a/b/m"
    assert model_id(plain, "/m") == "acme//m"
    assert model_id(google, "models/gemini-9") == "google/gemini-9"
    lists = {"gs": (ListedModel(id="models/gemini-9", price=PRICED),)}
    catalog = build_catalog(providers(msgspec.structs.replace(google, discover=True)), {}, lists, now=0)
    assert catalog.find("gs/gemini-9") is catalog.find("google/gemini-9") is catalog.models[0]
    assert catalog.models[0].endpoints[0].upstream_model == "models/gemini-9"


def test_provider_without_list_has_known_models() -> None:
    catalog = build_catalog(providers(provider("p", discover=True, known_models=("sonar",))), {}, now=0)
    assert catalog.find("p/sonar") is not None
    assert build_catalog(providers(provider("p", known_models=("sonar",))), {}, now=0).find("p/sonar") is None


def test_price_sources_by_precedence() -> None:
    now = 1_790_000_000.0
    known = look_up("openai", "gpt-4o-mini", now)
    assert known.price is not None
    assert (known.price.prompt, known.price.completion, known.price.source) == (150_000, 600_000, "genai-prices")
    assert known.context_length == 128_000
    openai = provider("openai", discover=True, price_source="openai")
    lists = {
        "openai": (ListedModel(id="gpt-4o-mini"), ListedModel(id="gpt-4o", price=PRICED), ListedModel(id="no-such"))
    }
    catalog = build_catalog(providers(openai), {}, lists, now=now)
    sources = {model.id: model.endpoints[0].price.source for model in catalog.models}
    assert sources["openai/gpt-4o-mini"] == "genai-prices"
    assert sources["openai/gpt-4o"] == "provider"
    assert sources["openai/no-such"] == "unknown"
    fireworks = provider("f", discover=True, price_source="fireworks", model_id_prefix="accounts/fireworks/models/")
    google = provider("g", discover=True, price_source="google", model_id_prefix="models/")
    own = {
        "f": (ListedModel(id="accounts/fireworks/models/deepseek-v3p2"),),
        "g": (ListedModel(id="models/gemini-2.5-flash"),),
    }
    for model in build_catalog(providers(fireworks, google), {}, own, now=now).models[:2]:
        assert model.endpoints[0].price.source == "genai-prices", model.id
    assert look_up(None, "gpt-4o", now).price is None
    assert look_up("no-such", "gpt-4o", now).price is None


def test_a_start_with_demo_alone_does_not_load_the_price_list() -> None:
    code = """
import sys
from trunkline.settings import parse
parse(b"providers: {}", {}).catalog(now=0)
assert not {"genai_prices", "pydantic", "httpx2"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
