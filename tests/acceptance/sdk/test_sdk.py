"""The official `openai` SDK against a gateway, case by case, with answers written by hand after the documented format.

Sources: OpenAI API reference, "Chat" and "Streaming"; OpenRouter's OpenAPI document, `ChatRequest`, `ChatResult`,
`ChatStreamChunk`; OpenRouter, "Provider routing" and "Usage accounting".
"""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from openai import OpenAI
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel
from sdk_help import HELLO, WAYS, ask, bench, sdk

from trunkline.settings import Settings, parse
from trunkline.testing.gateway import KEY, MODEL, UPSTREAM_MODEL
from trunkline.testing.scripted import Json, Pause, Send, Sse, Status

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1790000000, "model": UPSTREAM_MODEL}
USAGE: dict[str, Any] = {"prompt_tokens": 1000, "completion_tokens": 30, "total_tokens": 1030}


def frame(delta: dict[str, Any] | None, reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    choices = (
        [] if delta is None else [{"index": index, "delta": delta, "finish_reason": reason, **more.pop("choice", {})}]
    )
    return b"data: %s\n\n" % msgspec.json.encode({**HEAD, "choices": choices, **more})


def stream(*frames: bytes, usage: dict[str, Any] | None = None) -> bytes:
    return b"".join(frames) + frame(None, usage=USAGE if usage is None else usage) + b"data: [DONE]\n\n"


def body(message: dict[str, Any], reason: str = "stop", usage: dict[str, Any] | None = None, **more: Any) -> Any:
    choices = [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}]
    head = {**HEAD, "object": "chat.completion"}
    return {**head, "choices": choices, "usage": USAGE if usage is None else usage, **more}


TEXT = stream(
    frame({"role": "assistant", "content": ""}), *map(frame, ({"content": "Hel"}, {"content": "lo"})), frame({}, "stop")
)

ways = pytest.mark.parametrize("relay", WAYS)
streams = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "body"])


@ways
@streams
async def test_text(relay: str, streamed: bool, tmp_path: Path) -> None:
    async with bench(tmp_path, relay) as all_three:
        all_three.script = Sse(TEXT) if streamed else Json(body({"content": "Hello"}))
        got = await ask(all_three.client, stream=streamed, temperature=0.5, seed=7)
    assert got.raised is None
    assert got.text == "Hello"
    assert (got.choice.finish_reason, got.native) == ("stop", "stop")
    assert got.completion is not None
    assert got.completion.model == MODEL
    assert got.completion.id.startswith("gen-")
    assert got.completion.to_dict()["provider"] == "acme"
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens) == (1000, 30, 1030)
    sent = all_three.sent
    assert sent["model"] == UPSTREAM_MODEL
    assert (sent["messages"], sent["temperature"], sent["seed"]) == (HELLO, 0.5, 7)
    head = all_three.upstream.seen[-1]
    assert head.path == "/v1/chat/completions"
    assert KEY not in str(head.headers), "the client's key is not the provider's business"


@ways
@streams
async def test_tools_in_parallel(relay: str, streamed: bool, tmp_path: Path) -> None:
    tools: Any = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"x": {}}}}}
        for name in ("add", "multiply")
    ]

    def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        id_ = more.pop("id", None)
        head = {} if id_ is None else {"id": id_, "type": "function"}
        return {"index": index, **head, "function": {"arguments": arguments, **more}}

    script = Sse(
        stream(
            frame({"role": "assistant", "content": None, "tool_calls": [call(0, "", id="call_a", name="add")]}),
            frame({"tool_calls": [call(1, "", id="call_b", name="multiply")]}),
            frame({"tool_calls": [call(0, '{"x"')]}),
            frame({"tool_calls": [call(1, '{"x":'), call(0, ":1}")]}),
            frame({"tool_calls": [call(1, '"ü"}')]}),
            frame({}, "tool_calls"),
        )
    )
    calls = [
        {"id": "call_a", "type": "function", "function": {"name": "add", "arguments": '{"x":1}'}},
        {"id": "call_b", "type": "function", "function": {"name": "multiply", "arguments": '{"x":"ü"}'}},
    ]
    async with bench(tmp_path, relay) as all_three:
        all_three.script = script if streamed else Json(body({"content": None, "tool_calls": calls}, "tool_calls"))
        got = await ask(all_three.client, stream=streamed, tools=tools, tool_choice="auto", parallel_tool_calls=True)
        assert got.calls == [("call_a", "add", '{"x":1}'), ("call_b", "multiply", '{"x":"ü"}')]
        assert got.choice.finish_reason == "tool_calls"
        assert (all_three.sent["tools"], all_three.sent["tool_choice"]) == (tools, "auto")
        assert all_three.sent["parallel_tool_calls"] is True
        # The next turn: what was called and what came of it goes back.
        messages = [*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}]
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": "2"} for call in calls]
        all_three.script = Sse(TEXT) if streamed else Json(body({"content": "Hello"}))
        got = await ask(all_three.client, stream=streamed, messages=messages, tools=tools)
        assert got.text == "Hello"
        assert all_three.sent["messages"] == messages


class Capital(BaseModel):
    country: str
    city: str


@ways
async def test_structured_output(relay: str, tmp_path: Path) -> None:
    async with bench(tmp_path, relay) as all_three:
        all_three.script = Json(body({"content": '{"country": "Peru", "city": "Lima"}'}))
        parsed = await all_three.client.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Capital)
        assert parsed.choices[0].message.parsed == Capital(country="Peru", city="Lima")
        sent = all_three.sent["response_format"]
        assert sent["type"] == "json_schema"
        assert sent["json_schema"] == {"name": "Capital", "schema": to_strict_json_schema(Capital), "strict": True}
        pieces = [frame({"content": piece}) for piece in ('{"country": "Pe', 'ru", "city": "Lima"}')]
        all_three.script = Sse(stream(*pieces, frame({}, "stop")))
        async with all_three.client.chat.completions.stream(
            model=MODEL, messages=HELLO, response_format=Capital
        ) as events:
            kinds = [event.type async for event in events]
            final = await events.get_final_completion()
        assert final.choices[0].message.parsed == Capital(country="Peru", city="Lima")
        assert "content.delta" in kinds
        assert "content.done" in kinds


@ways
@streams
async def test_logprobs(relay: str, streamed: bool, tmp_path: Path) -> None:
    logprobs = [{"token": "Hel", "logprob": -0.25, "bytes": [72, 101, 108], "top_logprobs": []}]
    async with bench(tmp_path, relay) as all_three:
        found = {"content": logprobs, "refusal": None}
        whole = body({"content": "Hel"})
        whole["choices"][0]["logprobs"] = found
        frames = stream(frame({"content": "Hel"}, choice={"logprobs": found}), frame({}, "stop"))
        all_three.script = Sse(frames) if streamed else Json(whole)
        got = await ask(all_three.client, stream=streamed, logprobs=True, top_logprobs=2)
    assert [(one.token, one.logprob) for one in got.choice.logprobs.content] == [("Hel", -0.25)]
    assert (all_three.sent["logprobs"], all_three.sent["top_logprobs"]) == (True, 2)


@ways
@streams
async def test_two_choices(relay: str, streamed: bool, tmp_path: Path) -> None:
    async with bench(tmp_path, relay) as all_three:
        whole = body({"content": "one"})
        whole["choices"].append(
            {"index": 1, "message": {"role": "assistant", "content": "two"}, "finish_reason": "length"}
        )
        frames = [
            frame({"content": "o"}),
            frame({"content": "tw"}, index=1),
            frame({"content": "ne"}),
            frame({}, "stop"),
            frame({"content": "o"}, index=1),
            frame({}, "length", index=1),
        ]
        all_three.script = Sse(stream(*frames)) if streamed else Json(whole)
        got = await ask(all_three.client, stream=streamed, n=2)
    assert got.completion is not None
    found = [(choice.index, choice.message.content, choice.finish_reason) for choice in got.completion.choices]
    assert found == [(0, "one", "stop"), (1, "two", "length")]
    assert all_three.sent["n"] == 2


PARTS: Any = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.png?b=1&c=%20"}},
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    {"type": "file", "file": {"filename": "ü.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
    {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}, "of_tomorrow": True},
]


@ways
async def test_parts_of_every_kind_reach_the_upstream_as_they_are(relay: str, tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PARTS, "name": "ann"}]
    async with bench(tmp_path, relay) as all_three:
        all_three.script = Json(body({"content": "A picture."}))
        got = await ask(all_three.client, stream=False, messages=messages)
        assert got.text == "A picture."
        assert all_three.sent["messages"] == messages


@ways
@streams
async def test_reasoning(relay: str, streamed: bool, tmp_path: Path) -> None:
    """Under whichever name it came, it is `reasoning` and `reasoning_details`."""
    details = [{"type": "reasoning.encrypted", "data": "c2VjcmV0", "id": "r1", "format": "x", "index": 0}]
    async with bench(tmp_path, relay) as all_three:
        frames = stream(
            frame({"role": "assistant", "reasoning_content": "Well, "}),
            frame({"reasoning_content": "let me see."}),
            frame({"content": "Hello"}),
            frame({}, "stop"),
        )
        whole = body({"content": "Hello", "reasoning_content": "Well, let me see."})
        all_three.script = Sse(frames) if streamed else Json(whole)
        got = await ask(all_three.client, stream=streamed, extra_body={"reasoning": {"effort": "high"}})
        assert (got.text, got.reasoning) == ("Hello", "Well, let me see.")
        assert got.choice.message.to_dict()["reasoning_details"][0]["text"].startswith("Well, ")

        all_three.script = (
            Sse(stream(frame({"reasoning_details": details}), frame({"content": "Hello"}), frame({}, "stop")))
            if streamed
            else Json(body({"content": "Hello", "reasoning_details": details}))
        )
        got = await ask(all_three.client, stream=streamed)
        (detail,) = got.choice.message.to_dict()["reasoning_details"]
        assert (detail["data"], detail["type"]) == ("c2VjcmV0", "reasoning.encrypted"), "opaque, and byte for byte"


@ways
async def test_stream_options(relay: str, tmp_path: Path) -> None:
    """Usage is asked of the upstream always, for the books, and the client has it with the cost, before [DONE]."""
    async with bench(tmp_path, relay) as all_three:
        for options in ({"include_usage": True}, {"include_usage": False}, None):
            all_three.script = Sse(TEXT)
            wanted: Any = {"model": MODEL, "messages": HELLO, "stream": True}
            if options is not None:
                wanted["stream_options"] = options
            _, _, data = await all_three.raw("POST", "/api/v1/chat/completions", wanted)
            frames = [msgspec.json.decode(line[6:]) for line in data.split(b"\n\n")[:-2] if line.startswith(b"data: {")]
            assert all_three.sent["stream_options"]["include_usage"] is True
            assert data.endswith(b"data: [DONE]\n\n")
            usages = [frame["usage"] for frame in frames if frame.get("usage")]
            assert len(usages) == 1
            assert frames[-1]["usage"]["prompt_tokens"] == 1000
            assert (await all_three.gateway.records())[-1].usage.prompt == 1000


@ways
@streams
async def test_fields_nobody_knows_are_kept_both_ways(relay: str, streamed: bool, tmp_path: Path) -> None:
    async with bench(tmp_path, relay) as all_three:
        whole = body({"content": "Hello", "of_the_message": [1]}, of_the_body={"a": 1.5})
        frames = stream(frame({"content": "Hello", "of_the_message": [1]}, of_the_body={"a": 1.5}), frame({}, "stop"))
        all_three.script = Sse(frames) if streamed else Json(whole)
        more = {"of_tomorrow": {"deep": [1, None, "ü"]}, "metadata": {"k": "v"}, "top_k": 5}
        status, _, data = await all_three.raw(
            "POST",
            "/api/v1/chat/completions",
            {"model": MODEL, "messages": [{**HELLO[0], "of_the_turn": 1}], "stream": streamed, **more},
        )
        assert status == 200
        for key, value in more.items():
            assert all_three.sent[key] == value
        assert all_three.sent["messages"][0]["of_the_turn"] == 1
    # Translated, they may ride on a later chunk than the one they came with.
    found = [msgspec.json.decode(one.removeprefix(b"data: ")) for one in data.split(b"\n\n") if b"{" in one]
    pieces = [choice["delta" if streamed else "message"] for one in found for choice in one["choices"]]
    assert [1] in [piece.get("of_the_message") for piece in pieces]
    assert {"a": 1.5} in [one.get("of_the_body") for one in found]


PRICES = {"prompt": 0.25, "completion": 2.0, "cache_read": 0.025, "cache_write": 0.3, "request": 0.001}


def two_models(urls: dict[str, str]) -> Settings:
    """`acme/first` and `acme/second`, each at every provider of *urls*."""
    models = {
        f"acme/{name}": {"endpoints": [{"provider": slug, "upstream_model": name, "price": PRICES} for slug in urls]}
        for name in ("first", "second")
    }
    return configured(urls, models)


def configured(urls: dict[str, str], models: dict[str, Any], **more: Any) -> Settings:
    blocks = {slug: {"base_url": url, "credentials": [{"api_key": f"sk-{slug}"}]} for slug, url in urls.items()}
    keys = [{"name": "tests", "secret": KEY}]
    return parse(msgspec.json.encode({"keys": keys, "providers": blocks, "models": models, **more}), {})


@streams
async def test_models_are_tried_in_turn(streamed: bool, tmp_path: Path) -> None:
    async with bench(tmp_path, make=lambda url: two_models({"one": url})) as all_three:

        def choose(seen: Any) -> Any:
            if msgspec.json.decode(seen.body)["model"] == "first":
                return [Status(500, body=b"oops")]
            return [Sse(TEXT) if streamed else Json(body({"content": "Hello"}))]

        all_three.upstream._choose = choose  # pyright: ignore[reportPrivateUsage]
        got = await ask(all_three.client, stream=streamed, model="acme/first", extra_body={"models": ["acme/second"]})
        assert got.text == "Hello"
        assert got.completion is not None
        assert got.completion.model == "acme/second", "the caller is told which one it was"
        assert "models" not in all_three.sent, "ours, and none of the provider's business"
        (record,) = await all_three.gateway.records()
        assert (record.model, record.requested) == ("acme/second", "acme/first")
        assert [attempt.model for attempt in record.attempts] == ["acme/first"]


async def test_providers_are_chosen_as_the_caller_says(tmp_path: Path) -> None:
    async with bench(tmp_path, make=lambda url: two_models({"one": f"{url}/one", "two": f"{url}/two"})) as all_three:
        all_three.script = Json(body({"content": "Hello"}))

        async def served(provider: dict[str, Any]) -> str:
            got = await ask(all_three.client, stream=False, model="acme/first", extra_body={"provider": provider})
            assert got.completion is not None, got.raised
            assert "provider" not in all_three.sent
            assert all_three.upstream.seen[-1].path == f"/v1/{got.completion.to_dict()['provider']}/chat/completions"
            return str(got.completion.to_dict()["provider"])

        assert await served({"order": ["two", "one"]}) == "two"
        assert await served({"order": ["one", "two"]}) == "one"
        assert await served({"only": ["two"]}) == "two"
        assert await served({"ignore": ["one"]}) == "two"
        got = await ask(
            all_three.client, stream=False, model="acme/first", extra_body={"provider": {"only": ["three"]}}
        )
        assert isinstance(got.raised, openai.NotFoundError)

        # The first in order fails, the second is asked; with fallbacks off it is not.
        def choose(seen: Any) -> Any:
            return [Status(503, body=b"") if "/two/" in seen.path else Json(body({"content": "Hello"}))]

        all_three.upstream._choose = choose  # pyright: ignore[reportPrivateUsage]
        assert await served({"order": ["two", "one"]}) == "one"
        before = len(all_three.upstream.seen)
        provider = {"order": ["two"], "allow_fallbacks": False}
        got = await ask(all_three.client, stream=False, model="acme/first", extra_body={"provider": provider})
        assert isinstance(got.raised, openai.InternalServerError), got.raised
        assert len(all_three.upstream.seen) == before + 1


@ways
@streams
@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
async def test_the_record_is_there_at_once_under_the_id_of_the_header(
    relay: str, streamed: bool, prefix: str, tmp_path: Path
) -> None:
    async with bench(tmp_path, relay) as all_three, sdk(all_three.gateway, all_three.gateway.url + prefix) as client:
        all_three.script = Sse(TEXT) if streamed else Json(body({"content": "Hello"}))
        raw = client.chat.completions.with_raw_response
        wanted: Any = {"model": MODEL, "messages": HELLO, "stream": streamed, "user": "ann"}
        answer = await raw.create(**wanted)
        id_ = answer.headers["x-generation-id"]
        parsed: Any = answer.parse()
        ids = {chunk.id async for chunk in parsed} if streamed else {parsed.id}
        assert ids == {id_}
        status, _, data = await all_three.raw("GET", f"{prefix}/generation?id={id_}")
    assert status == 200
    found = msgspec.json.decode(data)["data"]
    assert found["id"] == id_
    assert (found["model"], found["provider_name"], found["streamed"]) == (MODEL, "acme", streamed)
    assert (found["tokens_prompt"], found["tokens_completion"], found["external_user"]) == (1000, 30, "ann")
    assert found["total_cost"] == 0.00106
    assert found["finish_reason"] == "stop"
    assert found["upstream_id"] == "chatcmpl-1"


@ways
@streams
async def test_the_cost_is_exact(relay: str, streamed: bool, tmp_path: Path) -> None:
    usage = {
        "prompt_tokens": 123_457,
        "completion_tokens": 7_919,
        "total_tokens": 131_376,
        "prompt_tokens_details": {"cached_tokens": 100_003},
        "completion_tokens_details": {"reasoning_tokens": 1_009},
    }
    # By hand: 23,454 fresh prompt tokens, 100,003 cached, 7,919 of the answer (thoughts are part of it), 1 request.
    wanted = Decimal(23_454) * Decimal("0.25e-6") + Decimal(100_003) * Decimal("0.025e-6")
    wanted += Decimal(7_919) * Decimal("2e-6") + Decimal("0.001")
    endpoints = [{"provider": "acme", "upstream_model": UPSTREAM_MODEL, "price": PRICES}]

    def make(url: str) -> Settings:
        return configured({"acme": url}, {MODEL: {"endpoints": endpoints}}, server={"relay": relay})

    async with bench(tmp_path, make=make) as all_three:
        frames = stream(frame({"content": "Hello"}), frame({}, "stop"), usage=usage)
        all_three.script = Sse(frames) if streamed else Json(body({"content": "Hello"}, usage=usage))
        got = await ask(all_three.client, stream=streamed)
        assert Decimal(str(got.usage.cost)) == wanted == Decimal("0.025201575")
        (record,) = await all_three.gateway.records()
        assert record.cost == wanted * 10**12
        _, _, data = await all_three.raw("GET", "/api/v1/key")
        assert Decimal(str(msgspec.json.decode(data)["data"]["usage"])) == wanted


async def test_the_key_is_taken_either_way(tmp_path: Path) -> None:
    async with bench(tmp_path) as all_three:
        all_three.script = Json(body({"content": "Hello"}))
        wanted = {"model": MODEL, "messages": HELLO}
        for prefix in ("/v1", "/api/v1"):
            for headers, status in (
                ({"authorization": f"Bearer {KEY}"}, 200),
                ({"authorization": "", "x-api-key": KEY}, 200),
                ({"authorization": "", "x-api-key": "sk-wrong"}, 401),
                ({"authorization": "Bearer sk-wrong"}, 401),
                ({"authorization": ""}, 401),
            ):
                found, _, _ = await all_three.raw("POST", f"{prefix}/chat/completions", wanted, **headers)
                assert found == status, (prefix, headers)
        assert len(all_three.upstream.seen) == 4


async def test_the_sdks_other_calls(tmp_path: Path) -> None:
    async with bench(tmp_path) as all_three:
        models = [model.id async for model in all_three.client.models.list()]
        assert MODEL in models
        assert "demo/echo" in models


async def test_errors_are_the_sdks_own_classes(tmp_path: Path) -> None:
    async with bench(tmp_path) as all_three:
        got = await ask(all_three.client, stream=True, model="acme/nothing")
        assert isinstance(got.raised, openai.BadRequestError)
        assert "acme/nothing" in str(got.raised)
        got = await ask(all_three.client, stream=True, messages=[])
        assert isinstance(got.raised, openai.BadRequestError)
        got = await ask(all_three.client, stream=False, temperature="hot")
        assert isinstance(got.raised, openai.BadRequestError) or all_three.upstream.seen, "ours or the provider's"
        async with sdk(all_three.gateway) as client:
            client.api_key = "sk-wrong"
            got = await ask(client, stream=True)
            assert isinstance(got.raised, openai.AuthenticationError)
        for status, wanted in ((500, openai.InternalServerError), (429, openai.RateLimitError)):
            all_three.script = Status(status, body=b'{"error": {"message": "no"}}')
            got = await ask(all_three.client, stream=True)
            assert isinstance(got.raised, wanted)


@ways
async def test_a_stream_that_breaks_off_raises(relay: str, tmp_path: Path) -> None:
    async with bench(tmp_path, relay) as all_three:
        all_three.script = Sse(frame({"content": "Hel"}) + frame({"content": "lo"}))
        got = await ask(all_three.client, stream=True)
        assert type(got.raised) is openai.APIError
        assert got.text == "Hello"
        (record,) = await all_three.gateway.records()
        assert (record.status, record.usage.estimated) == ("partial", True)


async def test_pieces_arrive_when_they_are_sent(tmp_path: Path) -> None:
    """Nothing on the way gathers them."""
    async with bench(tmp_path) as all_three:
        first, rest = (
            frame({"content": "first"}),
            frame({"content": "second"}) + frame({}, "stop") + b"data: [DONE]\n\n",
        )
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (first, rest)]
        all_three.script = [Send(head + chunks[0]), Pause(1.0), Send(chunks[1] + b"0\r\n\r\n")]
        begun = time.monotonic()
        async with await all_three.client.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as chunks_:
            async for chunk in chunks_:
                if chunk.choices and chunk.choices[0].delta.content == "first":
                    assert time.monotonic() - begun < 0.8
                    break
            else:
                pytest.fail("it did not come")


@ways
async def test_the_sdk_without_asyncio(relay: str, tmp_path: Path) -> None:
    async with bench(tmp_path, relay) as all_three:
        all_three.script = Sse(TEXT)

        def work() -> str:
            http = openai.DefaultHttpxClient(trust_env=False)
            with OpenAI(base_url=all_three.gateway.api, api_key=KEY, max_retries=0, http_client=http) as client:
                chunks = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
                return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

        assert await asyncio.to_thread(work) == "Hello"
