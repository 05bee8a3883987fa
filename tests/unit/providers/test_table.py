"""The table of providers: the same questions asked of every one."""

import re
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from trunkline.dialects.interfaces import Quirks
from trunkline.providers.build import build_provider, find_faults, from_environment, variables
from trunkline.providers.compatible import PLACE_VALUE, Compatible, compatible
from trunkline.providers.config import SUPPORTED_DIALECTS, CredentialSettings, ProviderSettings
from trunkline.providers.provider import Provider

ENTRIES = compatible()
WANTED = {
    "openai", "azure", "anthropic", "google-ai-studio", "google-vertex", "google-vertex-anthropic", "amazon-bedrock",
    "mistral", "cohere", "deepseek", "xai", "groq", "together", "fireworks", "cerebras", "perplexity", "moonshotai",
    "z-ai", "minimax", "alibaba", "nvidia", "huggingface", "openrouter", "ollama", "vllm", "sglang", "llama-cpp",
    "lmstudio", "litellm",
}  # fmt: skip
FILLED = {"region": "us-east-1", "project": "p", "resource": "r"}


def test_required_providers_are_listed() -> None:
    assert set(ENTRIES) >= WANTED


@pytest.fixture(params=ENTRIES)
def slug(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def entry(slug: str) -> Compatible:
    return ENTRIES[slug]


def made(slug: str, **more: Any) -> Provider:
    """The provider with a key, or with none where it runs here."""
    settings = ProviderSettings(credentials=(CredentialSettings(api_key="k"),), **FILLED, **more)  # type: ignore[arg-type]  # three texts
    assert list(find_faults(slug, settings, {})) == []
    return build_provider(slug, settings, {}, listed=False)


def test_the_entry(slug: str, entry: Compatible) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", slug)
    assert entry.name.strip() == entry.name != ""
    assert entry.source.startswith("https://")
    assert date(2026, 11, 1) <= entry.checked <= date(2026, 12, 31)
    assert all(pattern == pattern.lower() for pattern in entry.skip)
    assert entry.models == () or entry.lists == ("{base_url}/models",), "models are ours where there is no list"
    assert entry.env is None or re.fullmatch(r"[A-Z][A-Z0-9_]+", entry.env)
    assert entry.env is not None or entry.is_local or entry.auth != "header", "nobody could authenticate"
    assert entry.region is None or PLACE_VALUE.fullmatch(entry.region)


def test_its_dialects_and_addresses(slug: str, entry: Compatible) -> None:
    provider = made(slug)
    assert provider.dialect == entry.dialect
    assert provider.dialect in SUPPORTED_DIALECTS
    assert provider.dialect not in entry.also
    assert set(entry.also_auth) <= set(entry.also)
    here = "http://127.0.0.1:" if entry.is_local else "https://"
    for url in (provider.base_url, *provider.also.values(), *(provider.model_list_urls or ())):
        assert url.startswith(here)
        assert "{" not in url
        assert not url.endswith("/")
        assert urlsplit(url).hostname
    for url in (provider.base_url, *provider.also.values()):
        assert not urlsplit(url).query
        assert _site(url) == _site(provider.base_url), "a key goes to one owner's hosts"


def _site(url: str) -> str:
    """The last two labels of the host; the whole of it where it is an address."""
    host = urlsplit(url).hostname or ""
    return host if host.replace(".", "").isdigit() else ".".join(host.split(".")[-2:])


def test_own_address_is_recognized(slug: str, entry: Compatible) -> None:
    assert entry.is_own_address(made(slug).base_url)
    assert entry.is_own_address(made(slug).base_url + "/")
    assert not entry.is_own_address("https://api.elsewhere.example/v1")
    assert not entry.is_own_address(made(slug).base_url.replace("://", "://api.elsewhere.example/"))
    assert not entry.is_own_address(made(slug).base_url + ".elsewhere.example")


def test_every_place_of_the_address_can_be_filled(entry: Compatible) -> None:
    gaps = set(re.findall(r"\{(\w+)\}", entry.base_url))
    assert gaps - {"vertex"} <= set(entry.places)
    assert "vertex" not in gaps or "region" in entry.places


def test_its_quirks(slug: str, entry: Compatible) -> None:
    quirks = entry.quirks
    assert msgspec.convert(msgspec.to_builtins(quirks), Quirks) == quirks
    for path in (quirks.path, quirks.stream_path):
        assert path is None or (path.startswith("/") and "{model}" in path)
    assert not set(quirks.drop) & set(quirks.keep)
    if quirks.reasoning_request != "effort" or quirks.reasoning_field or quirks.max_output_field:
        assert "chat" in (entry.dialect, *entry.also), f"{slug}: these are quirks of chat"
    assert quirks.schema != "gemini" or entry.dialect == "gemini"


def test_its_prices(entry: Compatible) -> None:
    if entry.price_source is not None:
        from genai_prices.data import providers

        assert entry.price_source in {one.id for one in providers}


def test_the_key_is_sent_in_the_dialects_own_header(slug: str, entry: Compatible) -> None:
    provider = made(slug)
    for dialect in (entry.dialect, *entry.also):
        header, value = provider.key_header("k", dialect)
        assert header == header.lower()
        assert value in ("k", "Bearer k")
        assert (header == "authorization") == (value == "Bearer k")
    said = dict(provider.request_headers("messages"))
    assert said["anthropic-version"] == "2023-06-01"


def test_variables_and_spellings_are_unique() -> None:
    names = [entry.env for entry in ENTRIES.values() if entry.env]
    assert len(names) == len(set(names))
    spellings = [word for slug, entry in ENTRIES.items() for word in (slug, *entry.aka)]
    assert len(spellings) == len(set(spellings))


def test_each_with_a_variable_is_found_from_the_environment(slug: str, entry: Compatible) -> None:
    if entry.env is None:
        pytest.skip("it has no variable of its own")
    places = {names[0]: FILLED[place] for place, names in entry.places.items()}
    found = from_environment({entry.env: "k", **places})
    assert list(found) == [slug]
    (credential,) = found[slug].credentials
    assert (credential.auth, credential.secret) == ("header", "k")
    assert found[slug].discover == bool(entry.lists or entry.models)
    assert {entry.env, *places} <= variables()
    if entry.places and entry.region is None:
        assert from_environment({entry.env: "k"}) == {}, "an address with a gap is none"


def test_entry_of_a_program_applies_at_any_address(slug: str, entry: Compatible) -> None:
    elsewhere = made(slug, base_url="http://10.0.0.7:9/v1")
    assert elsewhere.dialect == entry.dialect
    assert elsewhere.quirks == entry.quirks
    assert elsewhere.price_source == entry.price_source
    assert elsewhere.also == (dict.fromkeys(entry.also, "http://10.0.0.7:9/v1") if entry.is_local else {})
    assert elsewhere.model_list_urls == (("http://10.0.0.7:9/v1/models",) if entry.is_local else None)
