"""What a configuration comes to."""

import os
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import binary, decimals, text

from trunkline.settings import ConfigError, Settings, load, parse, with_server

SECRET = "sk-very-secret-0123456789"

DESIGN = """
server: {host: 127.0.0.1, port: 8484, workers: 1}
storage: {url: "sqlite:///data/trunkline.db"}
shared_state: {url: null}
auth: {required: true}
keys:
  - {name: dev, secret: "${TRUNKLINE_DEV_KEY}", limit_usd: 10}
timeouts: {connect_s: 10, first_byte_s: 120, idle_s: 120, total_s: 600}
providers:
  acme:
    base_url: https://api.acme.example/v1/
    dialect: chat
    credentials: [{api_key: "${ACME_API_KEY}"}]
    data_policy: {training: false, retention_days: 0, zdr: true}
    models: listed
models:
  acme/small:
    context_length: 128000
    endpoints:
      - provider: acme
        upstream_model: small-1
        tag: acme/fp8
        quantization: fp8
        max_output: 16384
        price: {prompt: 0.25, completion: 2.0, cache_read: 0.025, cache_write: 0.0, request: 0.0, image: 0.0}
        parameters: [tools, tool_choice, temperature, max_tokens, response_format, structured_outputs, reasoning]
        input: [text, image, file]
        output: [text]
"""


def read(text: str, **environ: str) -> Settings:
    return parse(text.encode(), environ)


def test_the_file_of_the_design() -> None:
    settings = read(DESIGN, TRUNKLINE_DEV_KEY=SECRET, ACME_API_KEY=SECRET)
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 8484, 1)
    assert settings.storage.url == "sqlite:///data/trunkline.db"
    assert settings.shared_state.url is None
    assert settings.auth.required
    assert [(key.name, key.secret, key.limit) for key in settings.keys] == [("dev", SECRET, 10 * 10**12)]
    assert settings.timeouts.total_s == 600
    assert list(settings.providers) == ["acme", "demo"]
    assert settings.candidates == ()
    acme = settings.providers["acme"]
    assert (acme.base_url, acme.name, acme.discover) == ("https://api.acme.example/v1", "acme", False)
    assert [(one.id, one.secret) for one in acme.credentials] == [("acme#1", SECRET)]
    assert (acme.auth_header, acme.auth_scheme) == ("authorization", "Bearer ")
    assert acme.data_policy.zdr is True
    model = settings.catalog(now=0).find("acme/small")
    assert model is not None
    (endpoint,) = model.endpoints
    assert (endpoint.tag, endpoint.quantization, endpoint.max_output) == ("acme/fp8", "fp8", 16384)
    assert endpoint.context_length == 128000
    assert endpoint.price.prompt == 250_000
    assert endpoint.price.completion == 2_000_000
    assert endpoint.price.cache_read == 25_000
    assert endpoint.price.cache_write == 0
    assert endpoint.price.source == "configuration"
    assert endpoint.input == frozenset({"text", "image", "file"})
    assert "seed" not in endpoint.parameters


def test_secrets_are_in_no_repr() -> None:
    settings = read(
        DESIGN.replace("models: listed", f"headers: {{x-key: '{SECRET}'}}").replace(
            "sqlite:///data/trunkline.db", f"postgresql://u:{SECRET}@h/d"
        ),
        TRUNKLINE_DEV_KEY=SECRET,
        ACME_API_KEY=SECRET,
    )
    assert settings.providers["acme"].headers == (("x-key", SECRET),)
    assert SECRET not in repr(settings)
    assert SECRET not in repr(settings.providers["acme"].credentials)


def test_nothing_is_needed() -> None:
    for empty in ("", "# nothing\n", "server:\nproviders: {}\n", "server: {}\nkeys:\n"):
        settings = read(empty)
        assert settings.server.port == 8484
        assert "demo" in settings.providers


def test_variables() -> None:
    text = """
server: {host: "${HOST:-0.0.0.0}", port: "${PORT}", workers: "${EMPTY:-3}"}
auth: {required: "${REQUIRED}"}
keys: [{name: "a ${WHO} $${WHO}", secret: "${S}-${S}", limit_usd: "${LIMIT}"}]
"""
    settings = read(text, PORT="9", EMPTY="", REQUIRED="False", WHO="b: c", S="x", LIMIT="0.1")
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("0.0.0.0", 9, 3)
    assert settings.auth.required is False
    assert (settings.keys[0].name, settings.keys[0].secret) == ("a b: c ${WHO}", "x-x")
    assert settings.keys[0].limit_usd == Decimal("0.1")


def test_anchors_and_merges() -> None:
    settings = read("""
models:
  a/one: &one
    context_length: 8
    endpoints: [{provider: demo, upstream_model: x}]
  a/two: {<<: *one, context_length: 16}
""")
    assert [model.context_length for model in settings.models.values()] == [8, 16]


def test_text_that_looks_like_something_else() -> None:
    settings = read("models: {a/b: {name: 405, endpoints: [{provider: demo, upstream_model: 2024-08-06}]}}")
    assert settings.models["a/b"].name == "405"
    assert settings.models["a/b"].endpoints[0].upstream_model == "2024-08-06"


def test_a_price_has_all_that_providers_charge_for() -> None:
    text = """
models:
  a/b:
    endpoints:
      - provider: demo
        upstream_model: x
        price:
          {prompt: 1, completion: 2, cache_write: 1.25, reasoning: 3, audio: 4, search: 0.01, image: 0.002,
           tiers: [{above: 1000, prompt: 5}, {above: 2000, audio: 6, completion: 7}]}
"""
    price = read(text).models["a/b"].endpoints[0].price
    assert price is not None
    found = price.to_price()
    assert (found.reasoning, found.audio, found.video) == (3_000_000, 4_000_000, None)
    assert (found.search, found.image) == (10_000_000_000, 2_000_000_000)
    first, second = (found.for_prompt(tokens) for tokens in (2000, 2001))
    assert found.for_prompt(1000) is found
    assert (first.prompt, first.completion, first.audio, first.cache_write) == (
        5_000_000,
        2_000_000,
        4_000_000,
        1_250_000,
    )
    assert (second.prompt, second.completion, second.audio) == (5_000_000, 7_000_000, 6_000_000)
    assert (second.search, second.source, second.tiers) == (10_000_000_000, "configuration", ())


def test_a_known_provider_needs_a_key_alone() -> None:
    settings = read("providers: {mistral: {credentials: [{api_key: k}]}, groq: {}}", GROQ_API_KEY=f" {SECRET}\n")
    mistral, groq = settings.providers["mistral"], settings.providers["groq"]
    assert (mistral.name, mistral.base_url, mistral.discover) == ("Mistral", "https://api.mistral.ai/v1", True)
    assert mistral.quirks.max_output_field == "max_tokens"
    assert mistral.price_source == "mistral"
    assert groq.credentials[0].secret == SECRET


def test_a_key_of_the_environment_goes_to_its_own_host_alone() -> None:
    settings = read("providers: {openai: {base_url: 'http://127.0.0.1:1/v1'}}", OPENAI_API_KEY=SECRET)
    openai = settings.providers["openai"]
    assert openai.credentials == ()
    assert openai.price_source == "openai"
    assert openai.discover is False


def test_models_of_a_known_provider_that_are_listed_are_those_alone() -> None:
    text = """
providers: {groq: {credentials: [{api_key: k}]}}
models: {a/b: {endpoints: [{provider: groq, upstream_model: x, price: {prompt: 0, completion: 0}}]}}
"""
    assert read(text).providers["groq"].discover is False
    assert read(text.replace("k}]", "k}], models: discover")).providers["groq"].discover is True


def test_without_providers_the_environment_is_looked_at() -> None:
    environ = {"GEMINI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "OPENAI_API_KEY": " ", "OTHER": "c"}
    settings = parse(b"server: {port: 1}", environ)
    assert list(settings.providers) == ["anthropic", "google-ai-studio", "demo"]
    assert all(one.discover for one in settings.providers.values() if one.slug != "demo")
    assert [one.base_url for one in settings.candidates] == ["http://127.0.0.1:11434/v1"]
    assert list(parse(b"providers: {}", environ).providers) == ["demo"]


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        (":1234", "http://127.0.0.1:1234/v1"),
        ("box", "http://box:11434/v1"),
        ("box:80", "http://box:80/v1"),
        ("https://box", "https://box:443/v1"),
        ("http://box:81/", "http://box:81/v1"),
        ("[::1]:82", "http://[::1]:82/v1"),
        ("::1", "http://[::1]:11434/v1"),
        ("box:nonsense", "http://box:11434/v1"),
    ],
)
def test_where_ollama_is(said: str, url: str) -> None:
    assert parse(b"", {"OLLAMA_HOST": said}).candidates[0].base_url == url


def test_an_ollama_that_is_named_is_there_before_it_answers() -> None:
    text = "models: {a/b: {endpoints: [{provider: ollama, upstream_model: x}]}}"
    catalog = read(text).catalog(now=0)
    assert catalog.providers["ollama"].discover
    assert [endpoint.provider for endpoint in catalog.models[0].endpoints] == ["ollama"]
    assert "ollama" not in read("").catalog(now=0).providers


def test_a_quirk_that_is_sent_as_it_is() -> None:
    text = """
providers:
  acme:
    base_url: https://h
    quirks:
      body: {a: true, b: 3, c: 0.5, d: 'true', e: "3", f: word, g: null, h: [1, {i: x}], j: "${V}", k: 010, l: '$${V}'}
"""
    assert read(text, V="7").providers["acme"].quirks.body == {
        "a": True,
        "b": 3,
        "c": 0.5,
        "d": "true",
        "e": "3",
        "f": "word",
        "g": None,
        "h": [1, {"i": "x"}],
        "j": "7",
        "k": "010",
        "l": "${V}",
    }


def test_the_file_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, {}).file is None
    (tmp_path / "trunkline.yaml").write_text("server: {port: 7}")
    settings = load(None, {})
    assert (settings.server.port, settings.file) == (7, Path("trunkline.yaml"))


def test_the_command_line_wins() -> None:
    settings = with_server(read("server: {port: 7, host: h}"), port=8, host=None, workers=2)
    assert (settings.server.port, settings.server.host, settings.server.workers) == (8, "h", 2)
    with pytest.raises(ConfigError, match=r"^--port: Expected `int` <= 65535$"):
        with_server(settings, port=99999)


@given(decimals(0, 100_000, places=6))
def test_prices_are_exact(price: Decimal) -> None:
    endpoint = f"{{provider: demo, upstream_model: x, price: {{prompt: {price:f}, completion: 0}}}}"
    text = f"models: {{a/b: {{endpoints: [{endpoint}]}}}}"
    model = read(text).catalog(now=0).find("a/b")
    assert model is not None
    assert model.endpoints[0].price.prompt == price * 10**6


@given(binary(max_size=200) | text(max_size=200).map(str.encode))
def test_any_bytes_are_settings_or_one_line(content: bytes) -> None:
    try:
        parse(content, {})
        said = "fine"
    except ConfigError as error:
        said = str(error)
    assert len(said.splitlines()) == 1


def test_the_environment_of_the_process_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "GROQ_API_KEY", SECRET)
    assert list(parse(b"", {}).providers) == ["demo"]


@pytest.mark.parametrize(
    ("host", "allowed", "refused"),
    [
        ("127.0.0.1", False, False),
        ("127.0.0.2", False, False),
        ("::1", False, False),
        ("localhost", False, False),
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("192.0.2.7", False, True),
        ("gateway.example", False, True),
        ("0.0.0.0", True, False),
    ],
)
def test_a_network_without_keys_is_refused_unless_it_is_asked_for(host: str, allowed: bool, refused: bool) -> None:
    text = f"auth: {{required: false, unauthenticated_network: {str(allowed).lower()}}}"
    settings = parse(text.encode(), {})
    if refused:
        with pytest.raises(ConfigError, match="unauthenticated_network"):
            with_server(settings, host=host)
    else:
        with_server(settings, host=host)
    with_server(parse(b"", {}), host=host)  # with keys, any address will do


@pytest.mark.parametrize(
    ("server", "where"),
    [
        ("allowed_hosts: ['http://a']", "server.allowed_hosts[0]"),
        ("allowed_hosts: ['a:80']", "server.allowed_hosts[0]"),
        ("allowed_hosts: [a, 'b c']", "server.allowed_hosts[1]"),
        ("allowed_origins: [a.example]", "server.allowed_origins[0]"),
        ("allowed_origins: ['https://a.example/']", "server.allowed_origins[0]"),
    ],
)
def test_hosts_and_origins_are_checked(server: str, where: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(where)):
        parse(f"server: {{{server}}}".encode(), {})
