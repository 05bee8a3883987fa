"""Upstream faults that end an attempt, by their ids in docs/reference/reliability.md: another endpoint serves where
there is one and
nothing has been said, else the client gets its error, and in each case there is one record and nothing is left."""

# ruff: noqa: N802 - names begin with the ids of the specification

import asyncio
import datetime
import ssl
from typing import Any

import openai
import pytest
import trustme
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
    Forever,
    Good,
    blackhole,
    by_mode,
    check_broken,
    check_record,
    check_refusal,
    check_whole,
    chunk,
    event,
    eventually,
    good,
    refused,
)
from faults_wire import Gateway, ask, chat
from msgspec import Struct

from trunkline.testing.gateway import MODEL, RunningGateway
from trunkline.testing.scripted import (
    Action,
    Close,
    Hang,
    Json,
    Pause,
    Rst,
    Script,
    ScriptedUpstream,
    Send,
    Sse,
    Status,
)

UNAVAILABLE = ((502,), ("provider_unavailable",))
TIMEOUT = ((504,), ("timeout",))
OVERLOADED = ((503,), ("provider_overloaded",))


class Fault(Struct, frozen=True):
    """What a provider does where a stream is asked for and where a body is, and what follows."""

    id: str
    stream: Script
    body: Script
    then: tuple[tuple[int, ...], tuple[str, ...]] = UNAVAILABLE
    """Statuses and error types, one of which the client must see where there is no other endpoint."""
    committed: bool = False
    """Whether a stream has content by then, so that it ends with the error in it."""
    within_s: float = 0.0
    """The limit that applies; zero where the fault is plain at once."""
    raised: tuple[type[Exception], ...] = (openai.InternalServerError,)
    """By the official client, before commit."""


def both(id_: str, *script: Action, **more: Any) -> Fault:
    """One script for streams and bodies."""
    return Fault(id_, script, script, **more)


def cut(id_: str, stream: bytes, *end: Action, **more: Any) -> Fault:
    """A stream that ends with *end* after *stream*, raw bytes of a chunked body; a body that ends half way."""
    half = Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n" + JSON[:90])
    return Fault(id_, [Send(STREAM_HEAD + stream), *end], [half, *(end or (Close(),))], committed=True, **more)


def status(id_: str, code: int, body: bytes, then: Any = UNAVAILABLE, **headers: str) -> Fault:
    return both(id_, Status(code, {name.replace("_", "-"): value for name, value in headers.items()}, body), then=then)


HTML = b"<html><title>SECRET gateway.internal</title><body>nginx at 127.0.0.1</body></html>"
ERROR = b'{"error": {"message": "SECRET words about 127.0.0.1", "type": "server_error", "code": "oops"}}'
HUGE = b'{"error": {"message": "' + b"SECRET " * 1_500_000 + b'"}}'
CONTENT = chunk(ROLE) + chunk(HELLO)
SLOW_HEAD = STREAM_HEAD + b"0\r\n\r\n"
BROKEN_CHARACTER = event({"content": "Hello"}) + b'data: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f'

FAULTS = [
    both("U5", Hang(), then=TIMEOUT, within_s=0.5),
    both("U6", Send(SLOW_HEAD, range(len(SLOW_HEAD)), 0.1), then=TIMEOUT, within_s=0.5),
    both("U7", Send(STREAM_HEAD), Hang(), then=TIMEOUT, within_s=0.6),
    both("U7-role", Send(STREAM_HEAD + chunk(ROLE)), Hang(), then=TIMEOUT, within_s=0.6),
    cut("U8", CONTENT, Hang(), then=TIMEOUT, within_s=0.6),
    cut("U9", CONTENT + chunk(HELLO[:30]), Hang(), then=TIMEOUT, within_s=0.6),
    cut("U10", CONTENT, Forever(b": ping\n\n"), then=TIMEOUT, within_s=1.5),
    both("U10-role", Send(STREAM_HEAD + CONTENT), Forever(chunk(ROLE)), then=TIMEOUT, committed=True, within_s=1.5),
    cut("U10-spaces", CONTENT, Forever(b"\n\n"), then=TIMEOUT, within_s=1.5),
    Fault(
        "U10-before",
        [Send(STREAM_HEAD), Forever(b": ping\n\n")],
        [Send(STREAM_HEAD), Forever(b" ")],
        then=TIMEOUT,
        within_s=1.5,
    ),
    both("U12", Rst()),
    both("U12-in-head", Send(STREAM_HEAD[:30]), Pause(0.02), Rst()),
    both("U12-closed", Close()),
    both("U12-after-head", Send(STREAM_HEAD), Pause(0.02), Rst()),
    both("U12-after-role", Send(STREAM_HEAD + chunk(ROLE)), Pause(0.02), Rst()),
    cut("U13", CONTENT, Pause(0.02), Rst()),
    cut("U14", CONTENT, Close()),
    cut("U14-chunked-end", CONTENT + b"0\r\n\r\n"),
    cut("U15-event", CONTENT + chunk(HELLO[:40]), Close()),
    cut("U15-event-chunked-end", CONTENT + chunk(HELLO[:40]) + b"0\r\n\r\n"),
    cut("U15-character", chunk(BROKEN_CHARACTER), Close()),
    cut("U15-chunk-header", CONTENT + b"4", Close()),
    cut("U15-chunk", CONTENT + chunk(HELLO)[:60], Close()),
    cut("U15-chunk-garbage", CONTENT + b"zz\r\n", Close()),
    *(
        status(f"U17-{code}-{name}", code, body, then)
        for code, then in (
            (500, UNAVAILABLE), (502, UNAVAILABLE), (503, OVERLOADED), (504, TIMEOUT), (529, OVERLOADED),
        )
        for name, body in (("json", ERROR), ("html", HTML), ("empty", b""), ("huge", HUGE))
    ),
    both("U17-cut", Send(b"HTTP/1.1 500 X\r\ncontent-length: 500\r\n\r\n{"), Close()),
    both("U17-hangs", Send(b"HTTP/1.1 500 X\r\ncontent-length: 500\r\n\r\n{"), Hang(), within_s=0.6),
    status("U21-404", 404, ERROR),
    status("U21-410", 410, ERROR),
    status("U21-308", 308, b"", location="/elsewhere"),
    status("U21-302", 302, HTML, location="/elsewhere"),
    status("U21-201", 201, JSON),
    both("U21-204", Send(b"HTTP/1.1 204 No Content\r\n\r\n")),
    both("U21-101", Send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), Hang(),
         within_s=0.6),
    both("U21-html", Status(200, {"content-type": "text/html"}, HTML)),
    both("U21-text", Status(200, {"content-type": "text/plain"}, b"ok")),
    both("U21-empty", Status(200, {"content-type": "text/event-stream"}, b"")),
    both("U21-not-http", Send(b"SSH-2.0-OpenSSH_9.6\r\n"), Pause(0.05), Close()),
    both("U21-not-http-hangs", Send(b"220 smtp SECRET ready\r\n"), Hang(), within_s=0.5),
    both("U22", Json({"error": {"message": "SECRET", "type": "server_error"}})),
    both("U22-no-choices", Json({"id": "x", "choices": []})),
    both("U22-null-choices", Json({"id": "x", "choices": None})),
    both("U22-array", Json([1, 2, 3])),
    both("U22-wrong-shape", Json({"id": "x", "choices": "hello"})),
    both("U22-503", Json({"error": {"message": "busy", "code": 503}}), then=OVERLOADED),
    Fault("U23", [Sse(b'data: {"error": {"message": "SECRET", "type": "server_error"}}\n\n')],
          [Json({"error": {"message": "SECRET"}})]),
    Fault("U23-after-role", [Sse(ROLE + b'data: {"error": {"message": "SECRET"}}\n\n' + DONE)],
          [Json({"error": "SECRET"})]),
    Fault("U23-event-error", [Sse(b'event: error\ndata: {"message": "SECRET"}\n\n')], [Json({"error": {}})]),
    Fault("U23-503", [Sse(b'data: {"error": {"message": "busy", "code": 503}}\n\n')],
          [Json({"error": {"message": "busy", "code": 503}})], then=OVERLOADED),
    Fault("U23-empty", [Sse(DONE)], [Json({**BODY, "choices": []})]),
    Fault("U23-finish-error", [Sse(ROLE + event({}, "error") + DONE)],
          [Json({**BODY, "choices": [{"index": 0, "message": {"content": None}, "finish_reason": "error"}]})]),
    Fault("U24", [Sse(ROLE + HELLO + b'data: {"error": {"message": "SECRET", "code": 500}}\n\n' + DONE)],
          [Json({"error": {"message": "SECRET", "code": 500}})], committed=True),
    Fault("U24-event-error", [Sse(ROLE + HELLO + b'event: error\ndata: {"message": "SECRET"}\n\n')],
          [Json({"error": {"message": "SECRET"}})], committed=True),
    Fault("U24-beside-choices", [Sse(ROLE + HELLO + event({"content": ""}, "error", error={"message": "SECRET"}))],
          [Json({**BODY, "error": {"message": "SECRET"}})], committed=True),
    Fault("U28", [Sse(ROLE + HELLO + b"data: {not json}\n\n" + STOP + DONE)], [Json(b"{not json}")], committed=True),
    Fault("U28-first", [Sse(b"data: {not json}\n\n" + STREAM)], [Json(b'{"choices": [{]}')]),
    Fault("U28-cut", [Sse(ROLE + HELLO + HELLO[:-20] + b"\n\n" + STOP + DONE)], [Json(JSON[:-30])], committed=True),
    Fault("U28-number", [Sse(ROLE + HELLO + b"data: 17\n\n" + STOP + DONE)], [Json(b"17")], committed=True),
    Fault("U28-deep", [Sse(ROLE + HELLO + b"data: " + b"[" * 100_000 + b"\n\n" + STOP + DONE)],
          [Json(b"[" * 100_000)], committed=True),
    both("U34-wrong-label", Send(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%s" % (len(STREAM), STREAM))),
    both("U34-unknown-label", Send(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: rot13\r\ncontent-length: %d\r\n\r\n%s" % (len(STREAM), STREAM))),
]  # fmt: skip


async def see(
    running: RunningGateway, fault: Fault, *, stream: bool, healthy: bool, provider: str | None = "bad"
) -> None:
    """Ask, and check the answer, the time it took and the record."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    answer = await ask(running.port, chat(stream=stream))
    took = loop.time() - begun
    assert took < fault.within_s + 2.0, "the limit, a tick of the clock that watches it, and a second"
    if fault.committed and stream:
        check_broken(answer, fault.then[1])
        record = await check_record(running, answer, "partial", provider=provider)
        assert record.error_type in fault.then[1]
        assert record.usage.estimated
    elif healthy:
        check_whole(answer, stream=stream)
        record = await check_record(running, answer, "completed", provider="good", causes=1)
        assert record.cost == COST, "of the answer that was given, not of the attempt that failed"
        assert record.attempts[0].provider == "bad"
        assert record.attempts[0].error_type in fault.then[1]
    else:
        check_refusal(answer, *fault.then, provider)
        record = await check_record(running, answer, "failed", provider=provider, causes=1)
        assert record.cost == 0
        assert record.http_status == answer.status


@pytest.mark.parametrize("healthy", [False, True], ids=["alone", "healthy"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
async def test_fault(gateway: Gateway, fault: Fault, stream: bool, healthy: bool) -> None:
    relay = "never" if healthy else "auto"
    async with by_mode(fault.stream, fault.body) as bad, good() as other:
        providers = {"bad": f"{bad.origin}/v1", **({"good": f"{other.origin}/v1"} if healthy else {})}
        async with gateway(providers, server={"relay": relay}) as running:
            await see(running, fault, stream=stream, healthy=healthy)
            assert len(bad.seen) == 1, "asked once, and no redirect was followed"
            if fault.within_s or fault.id.endswith("-huge"):
                # Not kept for another request, and nobody reads ten megabytes of an error.
                await eventually(lambda: bad.seen[0].hung_up_at is not None)
            assert len(other.seen) == int(healthy and not (fault.committed and stream))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
async def test_the_official_client_raises(gateway: Gateway, fault: Fault, stream: bool) -> None:
    async with (
        by_mode(fault.stream, fault.body) as bad,
        gateway({"bad": f"{bad.origin}/v1"}, server={"relay": "never"}) as running,
    ):
        await judge(running, fault, stream=stream)
        (record,) = await running.records()
        assert record.status == ("partial" if fault.committed and stream else "failed")


async def judge(running: RunningGateway, fault: Fault, *, stream: bool) -> None:
    """What the official client makes of it. It retries twice by itself, and must not here."""
    messages: Any = [{"role": "user", "content": "Say hello."}]
    async with openai.AsyncOpenAI(base_url=running.api, api_key=running.key) as client:
        if not stream:
            with pytest.raises(fault.raised):
                await client.chat.completions.create(model=MODEL, messages=messages)
        elif not fault.committed:
            with pytest.raises(fault.raised):
                await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        else:
            text = ""
            answer = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            with pytest.raises(openai.APIError):  # noqa: PT012 - it is raised within the loop
                async for part in answer:
                    text += part.choices[0].delta.content or "" if part.choices else ""
            assert text == "Hello"


# Faults before there is an answer to speak of.

UNREACHED = Fault("", [], [], then=((502, 503, 504), ("provider_unavailable", "timeout")), within_s=1.0)


async def see_all(gateway: Gateway, origin: str, **more: Any) -> None:
    """A stream and a body, alone and with a healthy endpoint behind."""
    async with good() as other:
        for stream in (True, False):
            for healthy in (False, True):
                providers = {"bad": f"{origin}/v1", **({"good": f"{other.origin}/v1"} if healthy else {})}
                async with gateway(providers, **more) as running:
                    await see(running, UNREACHED, stream=stream, healthy=healthy)
        assert len(other.seen) == 2


async def test_U1_refused(gateway: Gateway) -> None:
    with refused() as origin:
        await see_all(gateway, origin)
        async with gateway({"bad": f"{origin}/v1"}) as running:
            await judge(running, UNREACHED, stream=True)


@pytest.mark.parametrize("host", ["nothing.invalid", "a..b", "x" * 64 + ".invalid"], ids=["nxdomain", "label", "long"])
async def test_U2_a_name_that_is_none(gateway: Gateway, host: str) -> None:
    await see_all(gateway, f"http://{host}")


async def test_U3_no_route(gateway: Gateway) -> None:
    with blackhole() as origin:
        await see_all(gateway, origin)


@pytest.mark.parametrize("kind", ["expired", "wrong-name", "unknown-authority"])
async def test_U4_certificates(gateway: Gateway, kind: str) -> None:
    server, client = contexts(kind)
    async with ScriptedUpstream([Good()], tls=server) as bad:
        await see_all(gateway, bad.origin, ssl_context=client)
        assert bad.seen == [], "no request, and so no key, was sent"


async def test_U4_a_handshake_that_stalls(gateway: Gateway) -> None:
    async with ScriptedUpstream(greeting=[Hang()]) as bad:
        await see_all(gateway, bad.origin.replace("http:", "https:"))


async def test_U4_no_tls_at_all(gateway: Gateway) -> None:
    async with ScriptedUpstream(greeting=[Send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Close()]) as bad:
        await see_all(gateway, bad.origin.replace("http:", "https:"))


async def test_U4_all_is_well(gateway: Gateway) -> None:
    server, client = contexts("right")
    async with (
        ScriptedUpstream([Good()], tls=server) as right,
        gateway({"a": f"{right.origin}/v1"}, ssl_context=client) as running,
    ):
        check_whole(await ask(running.port, chat(stream=True)), stream=True)


def contexts(kind: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate that is of this *kind*, and the gateway's."""
    ours, theirs = trustme.CA(), trustme.CA()
    if kind == "expired":
        certificate = ours.issue_cert("localhost", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    elif kind == "wrong-name":
        certificate = ours.issue_cert("elsewhere.example")
    else:
        certificate = (ours if kind == "right" else theirs).issue_cert("localhost")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(server)
    client = ssl.create_default_context()
    ours.configure_trust(client)
    return server, client
