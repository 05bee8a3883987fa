"""Answers that are odd and right: the client gets what was meant, relayed or translated, and the record says what was
used. Source: docs/reference/reliability.md, U11, U25–U27, U29–U35 and U37–U40."""

# ruff: noqa: N802 - names begin with the ids of the specification

import asyncio
import gzip
import json
import random
import tracemalloc
import zlib
from typing import Any

import brotli  # type: ignore[import-untyped]  # it has no types
import openai
import pytest
import zstandard
from faults_upstream import (
    BODY,
    COST,
    DONE,
    HELLO,
    JSON,
    ROLE,
    STOP,
    STREAM,
    STREAM_HEAD,
    TEXT,
    THERE,
    USAGE,
    USED,
    check_broken,
    check_record,
    check_refusal,
    check_whole,
    chunk,
    event,
    good,
    text_of,
)
from faults_wire import Answer, Gateway, ask, chat

from trunkline.testing.gateway import MODEL
from trunkline.testing.scripted import (
    Action,
    Close,
    Exchange,
    Hang,
    Json,
    Pause,
    ReadHead,
    Replay,
    ScriptedUpstream,
    Send,
    Sse,
    Status,
)

RELAY = pytest.mark.parametrize("relay", ["auto", "never"], ids=["relayed", "translated"])
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
UNKNOWN = event({"content": "", "new_block": {"x": 1}}, None, new_field=[1, {"a": None}])


def plain(length: int, data: bytes, *headers: bytes) -> Action:
    """A 200 of *length* with nothing said of its type."""
    return Send(b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"content-length: %d" % length, b"", data]))


def lines(end: bytes) -> bytes:
    return STREAM.replace(b"\n", end)


SAME: dict[str, list[Action]] = {
    "U25-json-for-a-stream": [Json(JSON)],
    "U26-stream-for-json": [Sse(STREAM)],
    "U27-json-as-sse": [Status(200, {"content-type": "text/event-stream"}, JSON)],
    "U27-sse-as-json": [Replay(STREAM, "application/json")],
    "U27-sse-as-text": [Replay(STREAM, "text/plain; charset=utf-8")],
    "U27-sse-as-nothing": [plain(len(STREAM), STREAM)],
    "U27-json-as-nothing": [plain(len(JSON), JSON)],
    "U27-json-as-html": [Status(200, {"content-type": "text/html"}, JSON)],
    "U27-blank-before-json": [plain(len(JSON) + 4, b"\r\n\r\n" + JSON)],
    "U27-until-closed": [Send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + STREAM), Close()],
    "U27-http-1.0": [Send(b"HTTP/1.0 200 OK\r\n\r\n" + STREAM), Close()],
    "U29-empty-data": [Sse(ROLE + HELLO + b"data:\n\ndata: \n\n\n\n" + THERE + STOP + USED + DONE)],
    "U30-unknown-event": [Sse(ROLE + HELLO + b"event: new\n" + UNKNOWN + THERE + STOP + USED + DONE)],
    "U30-unknown-field": [Sse(ROLE + HELLO + UNKNOWN + THERE + STOP + USED + DONE)],
    "U31-crlf": [Sse(lines(b"\r\n"))],
    "U31-cr": [Sse(lines(b"\r"))],
    "U31-bom": [Sse(b"\xef\xbb\xbf" + STREAM)],
    "U31-no-space": [Sse(STREAM.replace(b"data: ", b"data:"))],
    "U31-many-lines": [Sse(STREAM.replace(b', "object"', b',\ndata: "object"'))],
    "U31-id-and-retry": [Sse(STREAM.replace(b"data: ", b"id: 7\nretry: 9\ndata: "))],
    "U31-no-blank-line": [Sse(STREAM[:-2])],
    "U31-comments": [Sse(STREAM.replace(b"data: ", b": hello\n\n:\ndata: "))],
    "U32-bytes": [Sse(STREAM, range(len(STREAM)))],
    "U32-json-bytes": [Replay(JSON, cuts=range(len(JSON)))],
    "U32-pauses": [Sse(STREAM, range(0, len(STREAM), 97), 0.005)],
    "U34-gzip": [plain(len(c := gzip.compress(STREAM)), c, b"content-encoding: gzip")],
    "U34-gzip-json": [plain(len(c := gzip.compress(JSON)), c, b"content-encoding: x-gzip")],
    "U34-gzip-members": [
        plain(len(c := gzip.compress(STREAM[:200]) + gzip.compress(STREAM[200:])), c, b"content-encoding: gzip")
    ],
    "U34-deflate": [plain(len(c := zlib.compress(STREAM)), c, b"content-encoding: deflate")],
    "U34-raw-deflate": [plain(len(c := zlib.compress(STREAM)[2:-4]), c, b"content-encoding: deflate")],
    "U34-br": [plain(len(c := brotli.compress(STREAM)), c, b"content-encoding: br")],
    "U34-zstd": [plain(len(c := zstandard.compress(STREAM)), c, b"content-encoding: zstd")],
    "U34-gzip-slices": [
        Replay(gzip.compress(STREAM), "text/event-stream", range(1000), headers={"content-encoding": "gzip"})
    ],
    "U34-identity": [plain(len(JSON), JSON, b"content-encoding: identity")],
    "U39-two-roles": [Sse(ROLE + ROLE + HELLO + ROLE + THERE + STOP + USED + DONE)],
    "U39-two-reasons": [Sse(ROLE + HELLO + THERE + STOP + event({}, "length") + USED + DONE)],
    "U39-content-after": [Sse(ROLE + HELLO + THERE + STOP + event({"content": " more"}) + USED + DONE)],
    "U39-after-done": [Sse(STREAM + HELLO + b'data: {"error": {"message": "late"}}\n\n')],
    "U39-garbage-after-done": [Sse(STREAM + b"data: {oops\n\n")],
    "U39-no-done": [Sse(STREAM.removesuffix(DONE))],
    "U39-done-twice": [Sse(STREAM + DONE)],
    "U39-rst-after-done": [Sse(STREAM, end=False), Close()],
    "U40-100-continue": [Send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"), Sse(STREAM)],
    "U40-early-answer": [ReadHead(), Sse(STREAM), Close()],
}  # fmt: skip


@STREAMED
@RELAY
@pytest.mark.parametrize("name", SAME)
async def test_the_same_as_the_plain_form(gateway: Gateway, name: str, relay: str, stream: bool) -> None:
    async with (
        ScriptedUpstream(SAME[name]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
    ):
        answer = await ask(running.port, chat(stream=stream))
        check_whole(answer, stream=stream)
        record = await check_record(running, answer, "completed", provider="a", causes=0)
        assert (record.usage.prompt, record.usage.completion, record.cost) == (7, 3, COST)
        assert not record.usage.estimated
        assert record.upstream_id == "up-1"


@STREAMED
async def test_what_is_sent_asks_for_no_encoding_and_shows_nothing_of_the_client(
    gateway: Gateway, stream: bool
) -> None:
    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:
        await ask(
            running.port, chat(stream=stream), "x-forwarded-for: 1.2.3.4", "cookie: a=b", "te: trailers", "x-a: b"
        )
        sent = upstream.seen[0].headers
        assert sent["accept-encoding"] == "identity"
        assert not {"x-forwarded-for", "cookie", "te", "x-a"} & set(sent)
        assert sent["host"] == upstream.origin.removeprefix("http://")


@RELAY
@pytest.mark.parametrize(
    ("native", "ours"),
    [("new_reason", "stop"), ("max_tokens", "length"), ("LENGTH", "length"), ("content_filter", "content_filter")],
    ids=lambda word: f"U30-{word}",
)
async def test_a_finish_reason_that_is_not_known(gateway: Gateway, native: str, ours: str, relay: str) -> None:
    body = {**BODY, "choices": [{**BODY["choices"][0], "finish_reason": native}]}
    for action in (Sse(ROLE + HELLO + THERE + event({}, native) + USED + DONE), Json(body)):
        async with (
            ScriptedUpstream([action]) as upstream,
            gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
        ):
            for stream in (True, False):
                check_whole(await ask(running.port, chat(stream=stream)), stream=stream, finish=ours)


@RELAY
async def test_U11_thinking_without_a_byte_is_bridged_with_comments(gateway: Gateway, relay: str) -> None:
    script: list[Action] = [Send(STREAM_HEAD), Pause(1.8), Send(chunk(STREAM) + b"0\r\n\r\n")]
    slow = {"first_byte_s": 5.0, "first_content_s": 5.0, "idle_s": 5.0}
    async with (
        ScriptedUpstream(script) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts=slow, server={"keepalive_s": 0.3, "relay": relay}) as running,
    ):
        answer = await ask(running.port, chat(stream=True))
        check_whole(answer, stream=True)
        assert 2 <= answer.body.count(b": OPENROUTER PROCESSING") + answer.body.count(b": keep") <= 6, answer.body[:200]
        await check_record(running, answer, "completed")
        async with openai.AsyncOpenAI(base_url=running.api, api_key=running.key) as client:
            parts = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "x"}], stream=True
            )
            assert "".join([p.choices[0].delta.content or "" async for p in parts if p.choices]) == TEXT


async def test_U11_an_endpoint_can_still_fail_over_after_comments(gateway: Gateway) -> None:
    slow = {"first_byte_s": 1.2}
    async with (
        ScriptedUpstream([Hang()]) as bad,
        good() as other,
        gateway(
            {"bad": f"{bad.origin}/v1", "good": f"{other.origin}/v1"}, timeouts=slow, server={"keepalive_s": 0.3}
        ) as running,
    ):
        answer = await ask(running.port, chat(stream=True))
        assert answer.body.startswith(b":")
        check_whole(answer, stream=True)
        await check_record(running, answer, "completed", provider="good", causes=1)


async def test_U11_after_comments_an_error_comes_in_the_stream(gateway: Gateway) -> None:
    async with (
        ScriptedUpstream([Hang()]) as bad,
        gateway({"bad": f"{bad.origin}/v1"}, timeouts={"first_byte_s": 1.2}, server={"keepalive_s": 0.3}) as running,
    ):
        answer = await ask(running.port, chat(stream=True))
        assert answer.body.startswith(b":")
        check_broken(answer, ("timeout",), content=False)
        await check_record(running, answer, "failed", provider="bad", causes=1)


@RELAY
async def test_U32_however_it_is_cut_the_client_gets_the_same(gateway: Gateway, relay: str) -> None:
    """Cut once at each offset, and at random: the events must be equal but for what is the generation's own."""
    random_ = random.Random(32)
    cuts = [[at] for at in range(1, len(STREAM), 7)]
    cuts += [sorted(random_.sample(range(len(STREAM)), 20)) for _ in range(40)]
    scripts: list[list[Action]] = [[Sse(STREAM, one, 0.0005)] for one in cuts]
    async with (
        ScriptedUpstream(*scripts) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
    ):
        seen = set()
        for _ in cuts:
            answer = await ask(running.port, chat(stream=True))
            check_whole(answer, stream=True)
            seen.add(answer.body.replace(answer.id.encode(), b""))
        assert len(seen) == 1
        assert {record.status for record in await running.records()} == {"completed"}


# Sizes.


@RELAY
@STREAMED
async def test_U33_an_image_of_20_MB_passes(gateway: Gateway, relay: str, stream: bool) -> None:
    image = {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 20_000_000}}]}
    whole = {**BODY, "choices": [{"index": 0, "message": {"content": TEXT, **image}, "finish_reason": "stop"}]}
    action = Sse(ROLE + HELLO + THERE + event(image) + STOP + USED + DONE) if stream else Json(whole)
    async with (
        ScriptedUpstream([action]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
    ):
        answer = await ask(running.port, chat(stream=stream))
        check_whole(answer, stream=stream)
        assert answer.body.count(b"A" * 20_000_000) == 1
        await check_record(running, answer, "completed")


@RELAY
async def test_U33_many_tiny_events(gateway: Gateway, relay: str) -> None:
    count = 20_000
    tiny = b"".join(event({"content": "ab"}) for _ in range(100))
    script: list[Action] = [Send(STREAM_HEAD + chunk(ROLE)), *(Send(chunk(tiny)) for _ in range(count // 100))]
    script.append(Send(chunk(STOP + DONE) + b"0\r\n\r\n"))
    async with (
        ScriptedUpstream(script) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts={"total_s": 60.0}, server={"relay": relay}) as running,
    ):
        answer = await ask(running.port, chat(stream=True), within_s=60)
        assert answer.frames[-1] == "[DONE]"
        assert text_of(answer) == "ab" * count
        record = await check_record(running, answer, "completed")
        assert record.usage.estimated
        assert record.usage.completion == count * 2 // 4


class Endless:
    """A line without an end, or nearly."""

    def __init__(self, start: bytes, piece: bytes, most: int) -> None:
        self._start, self._piece, self._most = start, piece, most

    async def play(self, exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(self._start))
        for _ in range(0, self._most, len(self._piece)):
            await exchange.send(chunk(self._piece))
        await exchange.send(b"0\r\n\r\n")


@RELAY
@pytest.mark.parametrize("start", [b"data: ", b": ", b'data: {"a": "', b"event: "], ids=lambda it: f"U33-{it[:6]!r}")
async def test_a_line_without_an_end_is_given_up(gateway: Gateway, relay: str, start: bytes) -> None:
    endless = Endless(ROLE + HELLO + start, b"a" * 500_000, 100_000_000)
    async with (
        ScriptedUpstream([endless]) as upstream,
        gateway(
            {"a": f"{upstream.origin}/v1"}, timeouts={"total_s": 60.0, "content_idle_s": 50.0}, server={"relay": relay}
        ) as running,
    ):
        answer = await ask(running.port, chat(stream=True), within_s=60)
        check_broken(answer, ("provider_unavailable",))
        await check_record(running, answer, "partial")
        assert upstream.sent < 60_000_000, "32 MB and what lay in buffers"


def bomb(size: int) -> bytes:
    """A body that unpacks to *size* bytes and begins well."""
    return gzip.compress(ROLE + HELLO + b"data: " + b"\0" * size)


@RELAY
@STREAMED
async def test_U34_a_bomb_does_not_go_off(gateway: Gateway, relay: str, stream: bool) -> None:
    packed = bomb(120_000_000)
    async with (
        ScriptedUpstream([plain(len(packed), packed, b"content-encoding: gzip")]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts={"total_s": 60.0}, server={"relay": relay}) as running,
    ):
        tracemalloc.start()
        try:
            answer = await ask(running.port, chat(stream=stream), within_s=60)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        if stream:
            check_broken(answer, ("provider_unavailable",))
        else:
            check_refusal(answer, (502,), ("provider_unavailable",), "a")
        assert peak < 80_000_000, "the 32 MB of one event, and copies of it"
        await check_record(running, answer, "partial" if stream else "failed")


@RELAY
@STREAMED
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"], ids=lambda coding: f"U34-{coding}-cut")
async def test_a_packed_body_that_is_cut_short_is_no_answer(
    gateway: Gateway, coding: str, relay: str, stream: bool
) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}[coding]
    noise = random.Random(34).randbytes(3000).hex()
    body = ROLE + HELLO + event({"content": noise}) + THERE + STOP + USED + DONE
    if not stream:
        body = json.dumps(
            {**BODY, "choices": [{"index": 0, "message": {"content": noise}, "finish_reason": "stop"}]}
        ).encode()
    packed = pack(body)[: len(pack(body)) // 2]
    async with (
        ScriptedUpstream([plain(len(packed), packed, b"content-encoding: " + coding.encode())]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
    ):
        answer = await ask(running.port, chat(stream=stream))
        if answer.status == 200:
            assert stream
            check_broken(answer, ("provider_unavailable",))
        else:
            check_refusal(answer, (502,), ("provider_unavailable",), "a")


# Characters.

SAID: dict[str, tuple[bytes, str]] = {
    "U35-invalid": (b'"a\xffb\xc3(c\xed\xa0\x80d"', "replaced"),
    "U35-nul": (b'"a\\u0000b"', "a\0b"),
    "U35-controls": (b'"a\\u001b[31m\\r\\n\\u2028b"', "a\x1b[31m\r\n\u2028b"),
    "U35-astral": ('"\U0001f600 \U00010348"'.encode(), "\U0001f600 \U00010348"),
    "U35-astral-escape": (b'"\\ud83d\\ude00"', "\U0001f600"),
}


@RELAY
@pytest.mark.parametrize("name", SAID)
async def test_characters_arrive(gateway: Gateway, name: str, relay: str) -> None:
    raw, meant = SAID[name]
    said = HELLO.replace(b'"Hello"', raw)
    body = JSON.replace(b'"Hello there"', raw)
    for action in (Sse(ROLE + said + STOP + USED + DONE, range(3000)), Json(body)):
        async with (
            ScriptedUpstream([action]) as upstream,
            gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
        ):
            for stream in (True, False):
                answer = await ask(running.port, chat(stream=stream))
                assert answer.status == 200, answer.body[:300]
                text = text_of(answer)
                if meant == "replaced":
                    assert text.startswith("a\ufffd")
                    assert text.endswith("d")
                    assert b"\xff" not in answer.body
                else:
                    assert text == meant
            assert {record.status for record in await running.records()} == {"completed"}


@RELAY
async def test_U35_a_surrogate_pair_split_over_events_is_not_lost(gateway: Gateway, relay: str) -> None:
    halves = [HELLO.replace(b'"Hello"', half) for half in (rb'"a\ud83d"', rb'"\ude00b"')]
    async with (
        ScriptedUpstream([Sse(ROLE + halves[0] + halves[1] + STOP + USED + DONE)]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
    ):
        answer = await ask(running.port, chat(stream=True))
        assert answer.status == 200
        assert answer.frames[-1] == "[DONE]"
        assert not any("error" in frame for frame in answer.frames[:-1])
        text = text_of(answer)
        assert (text[0], text[-1]) == ("a", "b")
        await check_record(running, answer, "completed")


# Usage.


async def used(gateway: Gateway, action: Action, relay: str, *, stream: bool) -> tuple[Answer, Any]:
    async with (
        ScriptedUpstream([action]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
    ):
        answer = await ask(running.port, chat(stream=stream, stream_options={"include_usage": True}))
        check_whole(answer, stream=stream)
        return answer, await check_record(running, answer, "completed")


USAGES: dict[str, tuple[Any, tuple[int, int] | None, str]] = {
    "missing": (None, None, "estimated"),
    "zero": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None, ""),
    "negative": ({"prompt_tokens": -7, "completion_tokens": -3, "total_tokens": -10}, None, "any"),
    "huge": ({"prompt_tokens": 2**63, "completion_tokens": 10**30, "total_tokens": 1}, None, "any"),
    "float": ({"prompt_tokens": 7.0, "completion_tokens": 3.5}, None, ""),
    "text": ({"prompt_tokens": "7", "completion_tokens": "3"}, None, ""),
    "not-an-object": ("many", None, ""),
    "list": ([7, 3], None, ""),
    "sum": ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 999}, (7, 3), "inconsistent"),
    "cached": ({**USAGE, "prompt_tokens_details": {"cached_tokens": 100}}, None, "any"),
    "reasoning": ({**USAGE, "completion_tokens_details": {"reasoning_tokens": 100}}, None, ""),
    "cost-only": ({"cost": 0.5}, None, ""),
    "negative-cost": ({**USAGE, "cost": -5}, (7, 3), ""),
    "null": ({"prompt_tokens": None, "completion_tokens": None}, None, ""),
}


@RELAY
@STREAMED
@pytest.mark.parametrize("name", USAGES, ids=lambda name: f"U37-{name}")
async def test_usage_that_is_odd(gateway: Gateway, name: str, relay: str, stream: bool) -> None:
    usage, tokens, mark = USAGES[name]
    if stream:
        ending = b"" if usage is None else event(None, usage=usage)
        action: Action = Sse(ROLE + HELLO + THERE + STOP + ending + DONE)
    else:
        action = Json({**BODY, "usage": usage} if usage is not None else {k: BODY[k] for k in BODY if k != "usage"})
    answer, record = await used(gateway, action, relay, stream=stream)
    assert record.usage.prompt >= 0
    assert record.usage.completion >= 0
    assert 0 <= record.cost < 10**30
    assert record.upstream_cost is None or record.upstream_cost >= 0
    if tokens is not None:
        assert (record.usage.prompt, record.usage.completion) == tokens
        assert record.cost == COST
    if mark == "estimated":
        assert record.usage.estimated
        assert record.usage.completion > 0
        assert record.cost > 0
    elif mark == "inconsistent":
        assert record.usage.inconsistent
    elif mark == "any":
        assert record.usage.inconsistent or record.usage.estimated
    told = answer.json["usage"] if not stream else next(f["usage"] for f in answer.frames[::-1] if f != "[DONE]")
    assert told["prompt_tokens"] == record.usage.prompt
    assert told["completion_tokens"] == record.usage.completion
    assert told["cost"] >= 0


PLACES: dict[str, bytes] = {
    "middle": ROLE + HELLO + USED + THERE + STOP + DONE,
    "first": event({"role": "assistant"}, usage=USAGE) + HELLO + THERE + STOP + DONE,
    "last-chunk": ROLE + HELLO + THERE + event({}, "stop", usage=USAGE) + DONE,
    "twice": ROLE + HELLO + THERE + STOP + USED + USED + DONE,
    "growing": ROLE + event({"content": "Hello"}, usage={"prompt_tokens": 7, "completion_tokens": 1})
    + event({"content": " there"}, usage={"prompt_tokens": 7, "completion_tokens": 2}) + STOP + USED + DONE,
    "null-after": ROLE + HELLO + THERE + USED + event({}, "stop", usage=None) + DONE,
}  # fmt: skip


@RELAY
@pytest.mark.parametrize("name", PLACES, ids=lambda name: f"U37-{name}")
async def test_usage_wherever_it_stands(gateway: Gateway, name: str, relay: str) -> None:
    _, record = await used(gateway, Sse(PLACES[name]), relay, stream=True)
    assert (record.usage.prompt, record.usage.completion, record.cost) == (7, 3, COST)
    assert not record.usage.estimated


# Tool calls.


def call(index: int | None, id_: str | None, name: str | None, arguments: Any, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"function": {}, "type": "function", **more}
    if index is not None:
        found["index"] = index
    if id_ is not None:
        found["id"] = id_
    if name is not None:
        found["function"]["name"] = name
    if arguments is not None:
        found["function"]["arguments"] = arguments
    return found


ONE = [("look", '{"a": 1}')]
TWO = [("look", '{"a": 1}'), ("find", '{"b": 2}')]
CALLS: dict[str, tuple[list[list[dict[str, Any]]], list[tuple[str, str]]]] = {
    "plain": ([[call(0, "c1", "look", "")], [call(0, None, None, '{"a"')], [call(0, None, None, ": 1}")]], ONE),
    "no-index": ([[call(None, "c1", "look", "")], [call(None, None, None, '{"a": 1}')]], ONE),
    "from-one": ([[call(1, "c1", "look", '{"a": 1}')]], ONE),
    "no-id": ([[call(0, None, "look", '{"a": 1}')], [call(1, None, "find", '{"b": 2}')]], TWO),
    "same-id": ([[call(0, "c1", "look", '{"a": 1}')], [call(1, "c1", "find", '{"b": 2}')]], TWO),
    "id-repeated": ([[call(0, "c1", "look", '{"a"')], [call(0, "c1", "look", ": 1}")]], ONE),
    "object": ([[call(0, "c1", "look", {"a": 1})]], [("look", '{"a":1}')]),
    "not-json": ([[call(0, "c1", "look", '{"a": oops')]], [("look", '{"a": oops')]),
    "name-in-pieces": ([[call(0, "c1", "lo", "")], [call(0, None, "ok", "")], [call(0, None, None, '{"a": 1}')]], ONE),
    "interleaved": (
        [[call(0, "c1", "look", '{"a"')], [call(1, "c2", "find", '{"b"')], [call(0, None, None, ": 1}")],
         [call(1, None, None, ": 2}")]], TWO),
    "at-once": ([[call(0, "c1", "look", '{"a": 1}'), call(1, "c2", "find", '{"b": 2}')]], TWO),
    "two-without-index": ([[call(None, "c1", "look", '{"a": 1}')], [call(None, "c2", "find", '{"b": 2}')]], TWO),
}  # fmt: skip


@RELAY
@STREAMED
@pytest.mark.parametrize("name", CALLS, ids=lambda name: f"U38-{name}")
async def test_tool_calls_are_well_formed(gateway: Gateway, name: str, relay: str, stream: bool) -> None:
    deltas, expected = CALLS[name]
    body = ROLE + b"".join(event({"tool_calls": calls}) for calls in deltas) + event({}, "tool_calls") + USED + DONE
    async with (
        ScriptedUpstream([Sse(body)]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
    ):
        answer = await ask(running.port, chat(stream=stream))
        found: dict[int, dict[str, str]] = {}
        if stream:
            assert answer.frames[-1] == "[DONE]"
            for frame in answer.frames[:-1]:
                for one in frame["choices"][0]["delta"].get("tool_calls") or [] if frame["choices"] else []:
                    at = found.setdefault(one["index"], {"id": "", "name": "", "arguments": ""})
                    at["id"] += one.get("id") or ""
                    at["name"] += one["function"].get("name") or ""
                    at["arguments"] += one["function"].get("arguments") or ""
        else:
            for index, one in enumerate(answer.json["choices"][0]["message"]["tool_calls"]):
                found[index] = {"id": one["id"], **one["function"]}
        assert list(found) == list(range(len(expected)))
        assert [(one["name"], one["arguments"]) for one in found.values()] == expected
        ids = [one["id"] for one in found.values()]
        assert all(ids)
        assert len(set(ids)) == len(ids), "each has its own"
        await check_record(running, answer, "completed")


# Uploads.


class SipsSlowly:
    """Reads little of the request, and then no more."""

    async def play(self, exchange: Exchange) -> None:
        exchange.reader.transport.pause_reading()  # type: ignore[attr-defined]  # pyright: ignore
        await asyncio.sleep(4)


BIG = [{"role": "user", "content": "x" * 20_000_000}]


async def test_U40_an_upload_that_nobody_takes_is_given_up(gateway: Gateway) -> None:
    async with (
        ScriptedUpstream([ReadHead(), Hang()]) as bad,
        good() as other,
        gateway({"bad": f"{bad.origin}/v1", "good": f"{other.origin}/v1"}) as running,
    ):
        answer = await ask(running.port, {**chat(stream=True), "messages": BIG})
        check_whole(answer, stream=True)
        await check_record(running, answer, "completed", provider="good", causes=1)


async def test_U40_an_answer_before_the_upload_ends_counts(gateway: Gateway) -> None:
    refusal = json.dumps({"error": {"message": "far too large"}}).encode()
    script: list[Action] = [ReadHead(), Status(413, {"connection": "close"}, refusal), Pause(0.3)]
    async with ScriptedUpstream(script) as bad, gateway({"bad": f"{bad.origin}/v1"}) as running:
        answer = await ask(running.port, {**chat(stream=True), "messages": BIG})
        check_refusal(answer, (400, 413), ("context_length_exceeded", "invalid_request"), "bad")
        await check_record(running, answer, "failed", provider="bad", causes=1)
