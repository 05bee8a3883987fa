"""What the configuration of a provider comes to: dialects, addresses, authentication."""

import json
from pathlib import Path

import pytest

from trunkline.providers.build import build_provider, find_faults
from trunkline.providers.compatible import Compatible, compatible
from trunkline.providers.config import CredentialSettings, ProviderSettings
from trunkline.providers.provider import Provider
from trunkline.settings import parse

SECRET = "wJalrXUtnFEMIK7MDENG"
USER = {"type": "authorized_user", "client_id": "c", "client_secret": SECRET, "refresh_token": SECRET}


def ready(slug: str, text: str = "{}", **environ: str) -> Provider:
    """The provider *slug* of a configuration that has it alone, its block as YAML."""
    return parse(f"providers:\n  {slug}: {text}\n".encode(), environ).providers[slug]


def test_listed_provider_in_another_dialect() -> None:
    openai = ready("openai", "{dialect: responses, credentials: [{api_key: k}]}")
    assert openai.dialect == "responses"
    assert openai.dialect_for("responses") == ("responses", "https://api.openai.com/v1")
    assert openai.dialect_for("chat") == ("responses", "https://api.openai.com/v1")


def test_relayed_and_translated_clients() -> None:
    deepseek = ready("deepseek", "{credentials: [{api_key: k}]}")
    assert deepseek.dialect_for("chat") == ("chat", "https://api.deepseek.com/v1")
    assert deepseek.dialect_for("messages") == ("messages", "https://api.deepseek.com/anthropic/v1")
    assert deepseek.dialect_for("responses") == ("chat", "https://api.deepseek.com/v1")
    assert deepseek.key_header("k", "chat") == ("authorization", "Bearer k")
    assert deepseek.key_header("k", "messages") == ("x-api-key", "k")


def test_configured_further_dialects() -> None:
    acme = ready(
        "acme", "{base_url: https://h/v1, also: {messages: https://h/anthropic/v1/}, credentials: [{api_key: k}]}"
    )
    assert acme.dialect_for("messages") == ("messages", "https://h/anthropic/v1")
    assert acme.key_header("k", "messages") == ("authorization", "Bearer k")
    assert ready("openai", "{also: {}, credentials: [{api_key: k}]}").also == {}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", ("authorization", "Bearer k")),
        ("dialect: messages", ("x-api-key", "k")),
        ("dialect: gemini", ("x-goog-api-key", "k")),
        ("dialect: converse", ("authorization", "Bearer k")),
        ("auth_header: X-Key", ("x-key", "k")),
        ("auth_header: Authorization, auth_scheme: Token", ("authorization", "Token k")),
        ("auth_scheme: ''", ("authorization", "k")),
        ("dialect: messages, auth_header: authorization", ("authorization", "Bearer k")),
    ],
)
def test_the_header_that_carries_the_key(text: str, field: tuple[str, str]) -> None:
    block = f"{{base_url: https://h, credentials: [{{api_key: k}}]{', ' if text else ''}{text}}}"
    acme = ready("acme", block)
    assert acme.key_header("k", acme.dialect) == field


def test_configured_header_overrides_the_dialects() -> None:
    anthropic = ready("anthropic", "{headers: {Anthropic-Version: '2030-01-01'}, credentials: [{api_key: k}]}")
    assert anthropic.request_headers("messages") == (("anthropic-version", "2030-01-01"),)
    assert anthropic.key_header("k", "messages") == ("x-api-key", "k")


def test_azure_by_resource_and_by_address() -> None:
    for block, environ in (
        ("{resource: my-own, credentials: [{api_key: k}]}", {}),
        ("{}", {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_RESOURCE": "my-own"}),
        ("{base_url: 'https://my-own.openai.azure.com/openai/v1/'}", {"AZURE_OPENAI_API_KEY": "k"}),
    ):
        azure = ready("azure", block, **environ)
        assert azure.base_url == "https://my-own.openai.azure.com/openai/v1"
        assert azure.dialect_for("responses") == ("responses", azure.base_url)
        assert azure.key_header("k", "chat") == ("api-key", "k")
        assert [one.secret for one in azure.credentials] == ["k"]
        assert not azure.discover
    elsewhere = ready("azure", "{base_url: 'https://h/openai/v1'}", AZURE_OPENAI_API_KEY="k")
    assert elsewhere.credentials == (), "the key of the environment is for Azure's hosts"


def test_bedrock_with_a_key() -> None:
    for block, environ in (
        ("{region: eu-west-1, credentials: [{api_key: k}]}", {}),
        ("{}", {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "not this one"}),
    ):
        bedrock = ready("amazon-bedrock", block, **environ)
        assert bedrock.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
        assert [(one.auth, one.secret) for one in bedrock.credentials] == [("header", "k")]
        assert bedrock.key_header("k", "converse") == ("authorization", "Bearer k")
        assert bedrock.model_list_urls is not None
        assert bedrock.model_list_urls[0].startswith("https://bedrock.eu-west-1.amazonaws.com/foundation-models")


def test_bedrock_with_a_signature() -> None:
    keys = f"{{access_key_id: AKIDEXAMPLE, secret_access_key: {SECRET}, session_token: t}}"
    environ = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": "t",
        "AWS_DEFAULT_REGION": "us-west-2",
    }
    for bedrock in (
        ready("amazon-bedrock", f"{{region: us-west-2, credentials: [{keys}]}}"),
        ready("amazon-bedrock", "{}", **environ),
    ):
        (credential,) = bedrock.credentials
        assert (credential.auth, credential.access_key_id, credential.secret) == ("sigv4", "AKIDEXAMPLE", SECRET)
        assert credential.session_token == "t"
        assert bedrock.region == "us-west-2"
        assert credential.secrets == (SECRET, "t")
        assert SECRET not in repr(bedrock) + repr(credential) + repr(bedrock.credentials)


def test_general_credentials_create_no_provider(tmp_path: Path) -> None:
    file = tmp_path / "user.json"
    file.write_text(json.dumps(USER))
    environ = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
        "GOOGLE_CLOUD_PROJECT": "p",
    }
    assert list(parse(b"", environ).providers) == ["demo"]


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("", "aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_vertex(region: str, host: str, tmp_path: Path) -> None:
    file = tmp_path / "user.json"
    file.write_text(json.dumps(USER | {"quota_project_id": "of-the-file"}))
    said = f"region: {region}" if region else ""
    vertex = ready("google-vertex", f"{{{said}}}", GOOGLE_APPLICATION_CREDENTIALS=str(file))
    where = region or "global"
    assert vertex.base_url == f"https://{host}/v1/projects/of-the-file/locations/{where}/publishers/google"
    assert vertex.key_header("ya29.t", "gemini") == ("authorization", "Bearer ya29.t")
    (credential,) = vertex.credentials
    assert credential.auth == "google"
    assert credential.account is not None
    assert credential.secrets == (SECRET, SECRET)
    assert SECRET not in repr(credential) + repr(credential.account) + repr(vertex)
    named = ready("google-vertex", "{project: named}", GOOGLE_APPLICATION_CREDENTIALS=str(file))
    assert "/projects/named/" in named.base_url


def test_claude_on_vertex(tmp_path: Path) -> None:
    block = f"{{project: p, region: us-east5, credentials: [{{service_account: '{json.dumps(USER)}'}}]}}"
    claude = ready("google-vertex-anthropic", block)
    assert claude.dialect == "messages"
    assert claude.quirks.model_in_body is False
    assert claude.quirks.body == {"anthropic_version": "vertex-2023-10-16"}
    assert claude.key_header("t", "messages") == ("authorization", "Bearer t")


def test_custom_address_with_sigv4() -> None:
    block = (
        "{base_url: https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com, dialect: converse, auth: sigv4,"
        " region: us-east-1, credentials: [{access_key_id: a, secret_access_key: b}]}"
    )
    assert ready("private", block).credentials[0].auth == "sigv4"


def test_a_compatible_provider_is_one_entry_of_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of `docs/guides/providers.md`, put into the table, is a provider like the others, with no code."""
    import tomllib

    import msgspec

    page = (Path(__file__).parents[3] / "docs/guides/providers.md").read_text("utf-8")
    text = page.partition("```toml\n")[2].partition("```")[0]
    added = msgspec.convert(tomllib.loads(text), dict[str, Compatible])
    ((slug, entry),) = added.items()
    table = {**compatible(), **added}
    monkeypatch.setattr("trunkline.providers.build.compatible", lambda: table)
    monkeypatch.setattr("trunkline.settings.environment.compatible", lambda: table)
    assert entry.env is not None
    settings = parse(b"", {entry.env: "k"})
    provider = settings.providers[slug]
    assert (provider.dialect, provider.base_url) == ("chat", entry.base_url)
    assert provider.discover
    assert provider.credentials[0].secret == "k"
    assert provider.quirks.max_output_field == "max_tokens"


def test_invalid_credential_error_names_expected_fields() -> None:
    said = CredentialSettings(api_key="k", service_account="x")
    ((path, fault),) = find_faults("groq", ProviderSettings(credentials=(said,)), {})
    assert path == ("credentials", 0)
    assert fault == "expected api_key; found api_key, service_account (auth is header)"
    assert build_provider("ollama", ProviderSettings(), {}, listed=False).credentials == ()
