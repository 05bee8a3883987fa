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

from trunkline.catalog.discovered import PARAMETERS, UNKNOWN_INPUT, parse, price
from trunkline.catalog.refresh import Fetch, discover, fetch_with, probe, refresh
from trunkline.model.errors import UpstreamFailed, UpstreamUnreachable
from trunkline.ports import Response, UpstreamRequest
from trunkline.providers.base import Credential, Provider
from trunkline.providers.compatible import compatible
from trunkline.providers.config import ProviderSettings, prepare

ACME = Provider(slug="acme", name="Acme", base_url="https://acme.example/v1", dialect="chat", list_prices="per_token")


def known(slug: str) -> Provider:
    return prepare(slug, ProviderSettings(), {}, listed=False)


def body(*entries: Any) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


def test_openrouter() -> None:
    (found,) = parse(
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
    (found,) = parse(json.dumps(said).encode(), known("together"))
    assert found.price is not None
    assert (found.price.prompt, found.price.completion) == (180_000, 590_000)


def test_others() -> None:
    assert [
        one.id for one in parse(body({"id": "gpt-9"}, {"id": "text-embedding-9"}, {"id": "tts-1"}), known("openai"))
    ] == ["gpt-9"]
    (groq,) = parse(body({"id": "m", "context_window": 9, "max_completion_tokens": 3}), known("groq"))
    assert (groq.context_length, groq.max_output, groq.price) == (9, 3, None)
    said = body(
        {"id": "chat", "max_context_length": 7, "capabilities": {"completion_chat": True}},
        {"id": "other", "capabilities": {"completion_chat": False}},
    )
    assert [(one.id, one.context_length) for one in parse(said, known("mistral"))] == [("chat", 7)]
    (plain,) = parse(body({"id": "m"}, {"id": "m", "name": "again"}), ACME)
    assert (plain.parameters, plain.input, plain.name) == (PARAMETERS, UNKNOWN_INPUT, None)


def test_odd_entries_do_not_take_the_others_with_them() -> None:
    odd: list[Any] = [None, 1, "x", [], {}, {"id": 1}, {"id": ""}, {"id": "a b"}, {"id": "a\r\nb"}, {"id": "x" * 257}]
    odd.append({"id": "ok", "pricing": [], "architecture": 3, "context_length": True, "created": -1, "name": 4})
    assert [one.id for one in parse(body(*odd), ACME)] == ["ok"]


@pytest.mark.parametrize("wrong", [b"", b"<html>", b"{}", b'{"data": {}}', b"3", b"null"])
def test_what_is_no_list(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="the model list"):
        parse(wrong, ACME)


JSON = recursive(
    none() | integers() | floats(allow_nan=False, allow_infinity=False) | text(),
    lambda inner: lists(inner, max_size=4) | dictionaries(text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_whatever_an_entry_holds_the_next_one_is_read(odd: Any) -> None:
    found = parse(body(odd, {"id": "m", "pricing": odd, "architecture": odd, "created": odd}), ACME)
    assert found[-1].id == "m"


@given(binary())
def test_any_bytes_are_a_list_or_a_value_error(said: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse(said, ACME)


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
def test_a_price_that_is_none(said: Any) -> None:
    assert price(said, "per_token") is None


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


async def test_the_question_that_leaves() -> None:
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
    assert [one.id for one in await discover(acme, fetch_with(transport))] == ["m"]
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


async def test_an_answer_that_is_no_200() -> None:
    transport = Scripted(Answer(401, b"{}"))
    with pytest.raises(UpstreamFailed, match="answered 401"):
        await discover(ACME, fetch_with(transport))
    assert transport.answer.aborted


def answering(answers: Mapping[str, bytes | Exception]) -> Fetch:
    async def fetch(url: str, headers: Mapping[str, str]) -> bytes:
        await asyncio.sleep(0)
        answer = answers[url]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return fetch


async def test_who_fails_keeps_what_was_known(caplog: pytest.LogCaptureFixture) -> None:
    def one(slug: str, **more: Any) -> Provider:
        return Provider(slug=slug, name=slug, base_url=f"https://{slug}", dialect="chat", discover=True, **more)

    fetch = answering(
        {
            "https://good/models": body({"id": "new"}),
            "https://gone/models": UpstreamUnreachable("no route to gone"),
            "https://odd/models": b"<html>",
        }
    )
    before = {"gone": parse(body({"id": "old"}), ACME), "good": parse(body({"id": "old"}), ACME)}
    with caplog.at_level(logging.WARNING):
        lists_ = await refresh([one("good"), one("gone"), one("odd"), one("fixed", known=("x",)), ACME], fetch, before)
    assert {slug: [model.id for model in models] for slug, models in lists_.items()} == {
        "good": ["new"],
        "gone": ["old"],
    }
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "provider gone: could not be asked for its models: no route to gone",
        "provider odd: could not be asked for its models: the model list is not JSON",
    ]


async def test_a_server_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    here = Provider(slug="ollama", name="Ollama", base_url="http://h/v1", dialect="chat", discover=True)
    assert await probe([here], answering({"http://h/v1/models": UpstreamUnreachable("refused")})) == {}
    assert not caplog.records
    found = await probe([here], answering({"http://h/v1/models": body({"id": "llama3:8b"})}))
    assert [one.id for one in found["ollama"]] == ["llama3:8b"]

    async def silent(url: str, headers: Mapping[str, str]) -> bytes:
        await asyncio.sleep(60)
        raise AssertionError

    assert await probe([here], silent) == {}


@pytest.mark.parametrize("slug", compatible())
def test_every_entry_of_the_table(slug: str) -> None:
    entry = compatible()[slug]
    assert slug == slug.lower()
    assert entry.base_url.startswith("https://") or slug == "ollama"
    assert not entry.base_url.endswith("/")
    assert entry.source.startswith("https://")
    assert entry.checked.year >= 2026
    assert (entry.env is None) == (slug == "ollama")
    assert entry.env is None or entry.env.endswith("_API_KEY")
    assert all(pattern == pattern.lower() for pattern in entry.skip)
    if entry.price_source is not None:
        from genai_prices.data import providers

        assert entry.price_source in {one.id for one in providers}


def test_no_two_entries_share_a_variable_or_a_spelling() -> None:
    entries = compatible()
    variables = [entry.env for entry in entries.values() if entry.env]
    assert len(variables) == len(set(variables))
    spellings = [word for slug, entry in entries.items() for word in (slug, *entry.aka)]
    assert len(spellings) == len(set(spellings))
