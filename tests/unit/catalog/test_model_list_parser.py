"""Reading providers' model lists, and asking for them."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import binary, dictionaries, floats, integers, lists, none, recursive, text

from trunkline.catalog.model_list_fetch import (
    Fetch,
    discover_local_servers,
    fetch_model_list,
    fetch_with,
    refresh_model_lists,
)
from trunkline.catalog.model_list_parser import PARAMETERS, UNKNOWN_INPUT, parse_model_list, parse_price
from trunkline.model.errors import UpstreamFailed, UpstreamUnreachable
from trunkline.ports import Response, UpstreamRequest
from trunkline.providers.authentication import Authenticator
from trunkline.providers.build import build_provider
from trunkline.providers.config import ProviderSettings
from trunkline.providers.google_accounts import GoogleAccount
from trunkline.providers.provider import Credential, Provider

ACME = Provider(slug="acme", name="Acme", base_url="https://acme.example/v1", dialect="chat", list_prices="per_token")


class Clock:
    def now(self) -> float:
        return 1_790_000_000.0

    def monotonic(self) -> float:
        return 5.0


def known(slug: str) -> Provider:
    return build_provider(slug, ProviderSettings(region="us-east-1", project="p", resource="r"), {}, listed=False)


def body(*entries: Any) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


def test_openrouter() -> None:
    (found,) = parse_model_list(
        body(
            {
                "id": "acme/m-1",
                "name": "Acme: M 1",
                "created": 1_700_000_000,
                "description": "A  model.\n",
                "context_length": 131072,
                "architecture": {"input_modalities": ["text", "image", "smell"], "output_modalities": ["text"]},
                "pricing": {
                    "prompt": "0.00000025",
                    "completion": "0.000002",
                    "request": "0",
                    "image": "0.001",
                    "input_cache_read": "0.000000025",
                },
                "top_provider": {"max_completion_tokens": 16384},
                "supported_parameters": ["tools", "seed", "something_new"],
            }
        ),
        known("openrouter"),
    )
    assert (found.id, found.name, found.created, found.description) == (
        "acme/m-1",
        "Acme: M 1",
        1_700_000_000,
        "A model.",
    )
    assert (found.context_length, found.max_output) == (131072, 16384)
    assert found.parameters == {"tools", "seed"}
    assert found.input == {"text", "image"}
    assert found.price is not None
    assert (found.price.prompt, found.price.completion, found.price.image) == (250_000, 2_000_000, 10**9)
    assert (found.price.cache_read, found.price.cache_write, found.price.source) == (25_000, None, "provider")


def test_together() -> None:
    said = [
        {"id": "a/chat", "type": "chat", "context_length": 8, "pricing": {"input": 0.18, "output": 0.59}},
        {"id": "a/picture", "type": "image", "pricing": {"input": 0, "output": 0}},
    ]
    (found,) = parse_model_list(json.dumps(said).encode(), known("together"))
    assert found.price is not None
    assert (found.price.prompt, found.price.completion) == (180_000, 590_000)


def test_other_list_forms() -> None:
    assert [
        one.id
        for one in parse_model_list(body({"id": "gpt-9"}, {"id": "text-embedding-9"}, {"id": "tts-1"}), known("openai"))
    ] == ["gpt-9"]
    (groq,) = parse_model_list(body({"id": "m", "context_window": 9, "max_completion_tokens": 3}), known("groq"))
    assert (groq.context_length, groq.max_output, groq.price) == (9, 3, None)
    said = body(
        {"id": "chat", "max_context_length": 7, "capabilities": {"completion_chat": True}},
        {"id": "other", "capabilities": {"completion_chat": False}},
    )
    assert [(one.id, one.context_length) for one in parse_model_list(said, known("mistral"))] == [("chat", 7)]
    (plain,) = parse_model_list(body({"id": "m"}, {"id": "m", "name": "again"}), ACME)
    assert (plain.parameters, plain.input, plain.name) == (PARAMETERS, UNKNOWN_INPUT, None)


def test_anthropic() -> None:
    said = {
        "data": [
            {
                "type": "model",
                "id": "claude-a-1",
                "display_name": "Claude A 1",
                "created_at": "2026-02-19T00:00:00Z",
                "max_input_tokens": 1_000_000,
                "max_tokens": 64_000,
                "capabilities": {"image_input": {"supported": True}, "pdf_input": {"supported": False}},
            },
            {"type": "model", "id": "claude-b", "display_name": "Claude B", "created_at": "1970-01-01T00:00:00Z"},
        ],
        "has_more": False,
        "first_id": "claude-a-1",
        "last_id": "claude-b",
    }
    one, two = parse_model_list(json.dumps(said).encode(), known("anthropic"))
    assert (one.id, one.name, one.created) == ("claude-a-1", "Claude A 1", 1_771_459_200)
    assert (one.context_length, one.max_output, one.price) == (1_000_000, 64_000, None)
    assert one.input == {"text", "image"}
    assert (two.created, two.context_length, two.input) == (0, None, UNKNOWN_INPUT)


def test_gemini() -> None:
    def model(name: str, *methods: str) -> dict[str, Any]:
        return {
            "name": name,
            "version": "001",
            "displayName": "Gemini X",
            "description": "Fast.",
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": list(methods),
        }

    entries = [
        model("models/gemini-x", "generateContent", "countTokens"),
        model("models/text-y", "embedContent"),
        model("models/gemini-embedding-z", "generateContent"),
    ]
    (found,) = parse_model_list(
        json.dumps({"models": entries, "nextPageToken": "t"}).encode(), known("google-ai-studio")
    )
    assert (found.id, found.name, found.description) == ("gemini-x", "Gemini X", "Fast.")
    assert (found.context_length, found.max_output) == (1_048_576, 65_536)


def test_bedrock() -> None:
    def model(id_: str, *kinds: str, output: str = "TEXT") -> dict[str, Any]:
        return {
            "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{id_}",
            "modelId": id_,
            "modelName": "Nova X",
            "providerName": "Amazon",
            "inputModalities": ["TEXT", "IMAGE"],
            "outputModalities": [output],
            "responseStreamingSupported": True,
            "inferenceTypesSupported": list(kinds),
        }

    entries = [
        model("amazon.nova-x-v1:0", "ON_DEMAND"),
        model("anthropic.claude-y-v1:0", "INFERENCE_PROFILE"),
        model("amazon.titan-image-v1", "ON_DEMAND", output="IMAGE"),
    ]
    (found,) = parse_model_list(json.dumps({"modelSummaries": entries}).encode(), known("amazon-bedrock"))
    assert (found.id, found.name) == ("amazon.nova-x-v1:0", "Nova X")
    assert found.input == {"text", "image"}
    profiles = [
        {"inferenceProfileId": "us.anthropic.claude-y-v1:0", "inferenceProfileName": "US Y", "status": "ACTIVE"},
        {"inferenceProfileId": "us.old-v1:0", "inferenceProfileName": "Old", "status": "RETIRED"},
    ]
    (profile,) = parse_model_list(json.dumps({"inferenceProfileSummaries": profiles}).encode(), known("amazon-bedrock"))
    assert (profile.id, profile.name) == ("us.anthropic.claude-y-v1:0", "US Y")


def test_cohere() -> None:
    entries = [
        {"name": "command-x", "endpoints": ["generate", "chat"], "context_length": 256_000, "features": ["tools"]},
        {"name": "embed-y", "endpoints": ["embed"], "context_length": 512},
    ]
    (found,) = parse_model_list(json.dumps({"models": entries, "next_page_token": ""}).encode(), known("cohere"))
    assert (found.id, found.name, found.context_length) == ("command-x", None, 256_000)


def test_local_servers() -> None:
    ollama = body({"id": "qwen3:8b", "created": 1, "owned_by": "library"}, {"id": "nomic-embed-text"})
    assert [one.id for one in parse_model_list(ollama, known("ollama"))] == ["qwen3:8b"]
    litellm = body({"id": "gpt-9", "created": 1677610602, "owned_by": "openai"}, {"id": "text-embedding-3-small"})
    assert [one.id for one in parse_model_list(litellm, known("litellm"))] == ["gpt-9"]
    for slug in ("vllm", "sglang"):
        (found,) = parse_model_list(body({"id": "org/m", "max_model_len": 40_960, "root": "org/m"}), known(slug))
        assert found.context_length == 40_960
    llama = {"models": [{"name": "m.gguf"}], "data": [{"id": "m.gguf", "meta": {"n_ctx_train": 131_072}}]}
    (found,) = parse_model_list(json.dumps(llama).encode(), known("llama-cpp"))
    assert (found.id, found.context_length) == ("m.gguf", 131_072)


def test_routers_and_others() -> None:
    grok = {
        "models": [
            {"id": "grok-x", "created": 7, "input_modalities": ["text", "image"], "output_modalities": ["text"]},
            {"id": "grok-y", "input_modalities": ["text"], "output_modalities": ["image"]},
        ]
    }
    (found,) = parse_model_list(json.dumps(grok).encode(), known("xai"))
    assert (found.id, found.created) == ("grok-x", 7)
    assert found.input == {"text", "image"}
    router = {"id": "org/m", "architecture": {"input_modalities": ["text"]}, "providers": [{"provider": "novita"}]}
    (found,) = parse_model_list(body(router), known("huggingface"))
    assert (found.id, found.price) == ("org/m", None)
    assert found.input == {"text"}
    fireworks = body(
        {"id": "accounts/fireworks/models/a", "supports_chat": True, "context_length": 9},
        {"id": "accounts/fireworks/models/b", "supports_chat": False},
    )
    assert [one.context_length for one in parse_model_list(fireworks, known("fireworks"))] == [9]
    (found,) = parse_model_list(
        body({"id": "kimi-x", "context_length": 262_144, "supports_reasoning": True}), known("moonshotai")
    )
    assert found.context_length == 262_144


@pytest.mark.parametrize("said", ["2026", "soon", "0001-01-01T00:00:00Z", "9" * 50, 3, None, ""])
def test_invalid_time(said: Any) -> None:
    (found,) = parse_model_list(body({"id": "m", "created_at": said}), ACME)
    assert found.created >= 0


def test_invalid_entries_are_skipped() -> None:
    odd: list[Any] = [None, 1, "x", [], {}, {"id": 1}, {"id": ""}, {"id": "a b"}, {"id": "a\r\nb"}, {"id": "x" * 257}]
    odd += [{"name": "models/"}, {"modelId": 3}, {"inferenceProfileId": "x"}]
    odd.append({"id": "ok", "pricing": [], "architecture": 3, "context_length": True, "created": -1, "name": 4})
    assert [one.id for one in parse_model_list(body(*odd), ACME)] == ["ok"]


@pytest.mark.parametrize("wrong", [b"", b"<html>", b"{}", b'{"data": {}}', b"3", b"null"])
def test_invalid_model_list(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="the model list"):
        parse_model_list(wrong, ACME)


JSON = recursive(
    none() | integers() | floats(allow_nan=False, allow_infinity=False) | text(),
    lambda inner: lists(inner, max_size=4) | dictionaries(text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_entry_after_any_entry_is_parsed(odd: Any) -> None:
    found = parse_model_list(body(odd, {"id": "m", "pricing": odd, "architecture": odd, "created": odd}), ACME)
    assert found[-1].id == "m"


@given(binary())
def test_any_bytes_parse_or_raise_value_error(said: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse_model_list(said, ACME)


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"prompt": "1"},
        {"prompt": "-1", "completion": "-1"},
        {"prompt": 0.1, "completion": 0.1},
        {"prompt": "x", "completion": "1"},
        {"prompt": "NaN", "completion": "1"},
        {"prompt": "Infinity", "completion": "1"},
        {"prompt": "1e999999", "completion": "1"},
        {"prompt": True, "completion": True},
    ],
)
def test_invalid_price(said: Any) -> None:
    assert parse_price(said, "per_token") is None


class Answer:
    """A `Response` with a body."""

    headers: Mapping[str, str] = {}

    def __init__(self, status: int, content: bytes) -> None:
        self.status = status
        self._content = content
        self.aborted = False

    async def read(self, limit: int) -> bytes:
        assert len(self._content) <= limit
        return self._content

    async def pump(self, on_chunk: Callable[[bytes], None]) -> None:
        on_chunk(self._content)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def release(self) -> None: ...


class Scripted:
    """A `Transport` that remembers what left."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.sent: list[UpstreamRequest] = []

    async def send(self, request: UpstreamRequest) -> Response:
        self.sent.append(request)
        return self.answer

    async def close(self) -> None: ...


async def test_model_list_request() -> None:
    transport = Scripted(Answer(200, body({"id": "m"})))
    acme = Provider(
        slug="acme",
        name="Acme",
        base_url="http://acme.example:81/v1",
        dialect="chat",
        credentials=(Credential(id="acme#1", secret="k1"), Credential(id="acme#2", secret="k2")),
        headers=(("x-team", "t"),),
        auth_header="x-key",
        auth_scheme="",
    )
    assert [
        one.id for one in await fetch_model_list(acme, fetch_with(transport), Authenticator(Clock(), transport))
    ] == ["m"]
    (sent,) = transport.sent
    assert sent.origin == "http://acme.example:81"
    lines = sent.head.decode().split("\r\n")
    assert lines[0] == "GET /v1/models HTTP/1.1"
    assert "host: acme.example:81" in lines
    assert "x-key: k1" in lines
    assert "x-team: t" in lines
    assert lines[-1] == ""
    assert "" not in lines[:-1]
    assert not any(line.startswith("content-length") for line in lines)


async def test_every_list_is_requested_with_its_headers() -> None:
    anthropic = build_provider("anthropic", ProviderSettings(), {"ANTHROPIC_API_KEY": "k"}, listed=False)
    transport = Scripted(Answer(200, body({"id": "m"})))
    await fetch_model_list(anthropic, fetch_with(transport), Authenticator(Clock(), transport))
    lines = transport.sent[0].head.decode().split("\r\n")
    assert lines[0] == "GET /v1/models?limit=1000 HTTP/1.1"
    assert "x-api-key: k" in lines
    assert "anthropic-version: 2023-06-01" in lines

    keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"}
    bedrock = build_provider("amazon-bedrock", ProviderSettings(), keys, listed=False)
    transport = Scripted(Answer(200, b'{"modelSummaries": [{"modelId": "a.b"}]}'))
    assert [
        one.id for one in await fetch_model_list(bedrock, fetch_with(transport), Authenticator(Clock(), transport))
    ] == ["a.b"]
    assert [one.origin for one in transport.sent] == ["https://bedrock.eu-west-1.amazonaws.com"] * 2
    assert b"GET /foundation-models?byOutputModality=TEXT HTTP/1.1" in transport.sent[0].head
    assert all(b"\r\nauthorization: AWS4-HMAC-SHA256 Credential=AKID/" in one.head for one in transport.sent)


async def test_model_list_with_access_token() -> None:
    account = GoogleAccount(kind="authorized_user", client_id="c", client_secret="s", refresh_token="r")
    credential = Credential(id="v#1", auth="google", secret="", account=account)
    vertex = Provider(slug="v", name="V", base_url="https://h/v1", dialect="gemini", credentials=(credential,))
    transport = Scripted(Answer(200, b'{"access_token": "t", "data": [{"id": "m"}]}'))
    await fetch_model_list(vertex, fetch_with(transport), Authenticator(Clock(), transport))
    token, models = transport.sent
    assert token.origin == "https://oauth2.googleapis.com"
    assert b"\r\nauthorization: Bearer t\r\n" in models.head


async def test_model_list_status_other_than_200() -> None:
    transport = Scripted(Answer(401, b"{}"))
    with pytest.raises(UpstreamFailed, match="returned status 401"):
        await fetch_model_list(ACME, fetch_with(transport), Authenticator(Clock(), transport))
    assert transport.answer.aborted


NO_ONE = Authenticator(Clock(), Scripted(Answer(500, b"")))
"""For providers without a credential."""


def answering(answers: Mapping[str, bytes | Exception]) -> Fetch:
    async def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        await asyncio.sleep(0)
        answer = answers[url]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return fetch


async def test_failed_fetch_keeps_previous_list(caplog: pytest.LogCaptureFixture) -> None:
    def one(slug: str, **more: Any) -> Provider:
        return Provider(slug=slug, name=slug, base_url=f"https://{slug}", dialect="chat", discover=True, **more)

    fetch = answering(
        {
            "https://good/models": body({"id": "new"}),
            "https://gone/models": UpstreamUnreachable("no route to gone"),
            "https://odd/models": b"<html>",
        }
    )
    before = {"gone": parse_model_list(body({"id": "old"}), ACME), "good": parse_model_list(body({"id": "old"}), ACME)}
    with caplog.at_level(logging.WARNING):
        lists_ = await refresh_model_lists(
            [
                one("good"),
                one("gone"),
                one("odd"),
                one("fixed", known_models=("x",)),
                one("none", model_list_urls=()),
                ACME,
            ],
            fetch,
            NO_ONE,
            before,
        )
    assert {slug: [model.id for model in models] for slug, models in lists_.items()} == {
        "good": ["new"],
        "gone": ["old"],
    }
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "provider gone: could not fetch its model list: no route to gone",
        "provider odd: could not fetch its model list: the model list is not JSON",
    ]


async def test_missing_local_server(caplog: pytest.LogCaptureFixture) -> None:
    here = Provider(slug="ollama", name="Ollama", base_url="http://h/v1", dialect="chat", discover=True)
    assert (
        await discover_local_servers([here], answering({"http://h/v1/models": UpstreamUnreachable("refused")}), NO_ONE)
        == {}
    )
    assert not caplog.records
    found = await discover_local_servers([here], answering({"http://h/v1/models": body({"id": "llama3:8b"})}), NO_ONE)
    assert [one.id for one in found["ollama"]] == ["llama3:8b"]

    async def silent(url: str, headers: Mapping[str, str]) -> bytes:
        await asyncio.sleep(60)
        raise AssertionError

    assert await discover_local_servers([here], silent, NO_ONE) == {}
