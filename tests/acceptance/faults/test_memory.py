"""No call leaves a reference cycle: with the collector off, what belongs to a call is gone when the call is.

A cycle would keep a request and its body until the collector runs, which is rare: an outage of a provider would then
be one of ours, by its prompts.
"""

import asyncio
import errno
import gc
import itertools
import json
import sys
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from faults_upstream import JSON, STREAM_HEAD, Good, blackhole, by_mode, chunk, eventually, good, refused
from faults_wire import Answer, Gateway, Wire, ask, chat, post
from leftovers import Leftovers
from msgspec import Struct
from test_dialect_faults import CLIENTS, LIMITS
from test_direct import without_begin
from test_leaving import LONG, MOMENTS
from test_upstream_faults import CONTENT, FAULTS, contexts

from trunkline.dialects.openai_chat import relay
from trunkline.settings import parse
from trunkline.storage import FileJournal
from trunkline.testing.gateway import KEY, MODEL, PRICE, RunningGateway, running_gateway
from trunkline.testing.scripted import Close, Hang, Pause, Rst, Script, ScriptedUpstream, Seen, Send, Status

MODES = (True, False)
ALL_CLIENTS = pytest.mark.parametrize("client", CLIENTS)
BOTH_RELAY = pytest.mark.parametrize("relaying", ["auto", "never"], ids=["relayed", "translated"])


async def calm(running: RunningGateway) -> None:
    """Nothing is under way, and what is to be written of it is written."""

    def over() -> bool:
        return not (running.connections or running.network.active or running.app.state.metrics.in_flight)

    await eventually(over)
    await running.parts.flusher.flush()
    await asyncio.sleep(0.02)  # sockets are closed in a later turn of the loop


async def check_calls(running: RunningGateway, calls: Callable[[], Awaitable[Any]], *, first: bool = True) -> None:
    """Make *calls*, after which nothing may be left; with *first*, once before: what lasts is made then."""
    if first:
        await calls()
    await calm(running)
    with Leftovers() as left:
        await calls()
        await calm(running)
        left.check()


async def statuses(*asking: Awaitable[Answer]) -> list[int]:
    """Those of the answers, which are let go of."""
    return [answer.status for answer in await asyncio.gather(*asking)]


def asked(client: str, *, stream: bool, model: str = MODEL, **more: Any) -> dict[str, Any]:
    return {"model": model, "stream": stream, **CLIENTS[client][1], **more}


async def send(running: RunningGateway, client: str, *headers: str, stream: bool, **more: Any) -> Answer:
    body = asked(client, stream=stream, **more)
    return await ask(running.port, body, *headers, path=CLIENTS[client][0], within_s=20)


# Providers' faults.

FINE: Script = [Pause(0.3), Good()]
"""So long that as many connections are made as there are requests."""


def of_fault(seen: Seen) -> Script:
    """What the provider does whose path it is, on a server that plays all of them."""
    name = seen.path.split("/")[1]
    if name in ("good", "fine"):
        return [Good()] if name == "good" else FINE
    fault = next(fault for fault in FAULTS if fault.id == name)
    return fault.stream if json.loads(seen.body).get("stream") else fault.body


@asynccontextmanager
async def every_fault(folder: Path) -> AsyncGenerator[RunningGateway]:
    """A gateway in which each fault is a model, alone (`x/U12`) and before a healthy endpoint (`x/U12+`)."""
    async with ScriptedUpstream(choose=of_fault) as upstream:
        names = [*(fault.id for fault in FAULTS), "good", "fine"]
        providers: dict[str, Any] = {
            name.lower(): {"base_url": f"{upstream.origin}/{name}", "credentials": [{"api_key": "sk-provider"}]}
            for name in names
        }
        models: dict[str, Any] = {}
        for name in names:
            bad = {"provider": name.lower(), "upstream_model": "m", "price": PRICE}
            models[f"x/{name}"] = {"endpoints": [bad]}
            if name != "good":
                models[f"x/{name}+"] = {"endpoints": [bad, {**bad, "provider": "good"}]}
        configuration = {
            "keys": [{"name": "tests", "secret": KEY}],
            "server": {"port": 0},
            "routing": {"default_sort": "configured"},
            "timeouts": LIMITS,
            "providers": providers,
            "models": models,
        }
        made = parse(msgspec.json.encode(configuration), {})
        async with running_gateway(made, folder=folder) as running:
            yield running


@ALL_CLIENTS
@pytest.mark.parametrize("way", ["direct", "task"])
async def test_a_fault_leaves_nothing(client: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = without_begin(monkeypatch, lambda _: way == "task")
    cases = list(itertools.product(FAULTS, ("", "+"), MODES))
    async with every_fault(tmp_path) as running:
        # As many idle connections as there will be requests.
        await statuses(*(send(running, client, stream=True, model="x/fine") for _ in cases))
        await calm(running)
        with Leftovers() as left:
            told = await statuses(
                *(send(running, client, stream=stream, model=f"x/{fault.id}{more}") for fault, more, stream in cases)
            )
            await calm(running)
            left.check()
        assert len(told) == len(cases)
        assert set(told) <= {200, 502, 503, 504, 529}
    assert (len(begun) >= len(cases)) == (way == "direct")


@pytest.mark.parametrize("name", ["refused", "nothing.invalid", "blackhole", "expired", "wrong-name", "stalls"])
async def test_a_provider_that_cannot_be_reached_leaves_nothing(gateway: Gateway, name: str) -> None:
    server, ssl_context = contexts(name) if name in ("expired", "wrong-name") else (None, None)
    greeting: Script = [Hang()] if name == "stalls" else []
    with refused() as nobody, blackhole() as hole:
        async with ScriptedUpstream([Good()], tls=server, greeting=greeting) as bad, good() as other:
            origin = {
                "refused": nobody, "blackhole": hole, "stalls": bad.origin.replace("http:", "https:"),
                "nothing.invalid": "http://nothing.invalid",
            }.get(name, bad.origin)  # fmt: skip
            for healthy in MODES:
                providers = {"bad": f"{origin}/v1", **({"good": f"{other.origin}/v1"} if healthy else {})}
                async with gateway(providers, ssl_context=ssl_context) as running:
                    expected = {200} if healthy else {502, 503, 504, 529}

                    async def calls(running: RunningGateway = running, expected: set[int] = expected) -> None:
                        told = await statuses(
                            *(send(running, client, stream=stream) for client in CLIENTS for stream in MODES)
                        )
                        assert set(told) <= expected

                    await check_calls(running, calls, first=name not in ("blackhole", "stalls"))


@pytest.mark.parametrize("status", [401, 402, 429])
async def test_a_credential_that_rests_keeps_no_request(gateway: Gateway, status: int) -> None:
    async with (
        ScriptedUpstream([Status(status, {"retry-after": "300"}, b"{}")]) as bad,
        gateway({"bad": f"{bad.origin}/v1"}) as running,
    ):

        async def calls() -> None:
            for client in CLIENTS:
                await send(running, client, stream=False)

        await check_calls(running, calls, first=False)
        assert running.app.state.engine.credentials.resting


@pytest.mark.parametrize("end", [[Close()], [Rst()]], ids=["fin", "rst"])
async def test_a_stale_connection_leaves_nothing(gateway: Gateway, end: Script) -> None:
    async with (
        ScriptedUpstream([Good()], end, [Good()], end, end, end) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}) as running,
    ):

        async def calls() -> None:
            assert (await ask(running.port, chat(stream=True))).status == 200

        await calls()
        await check_calls(running, calls, first=False)
        await check_calls(running, lambda: ask(running.port, chat(stream=True)), first=False)
        assert running.network.stale_retries >= 1


# Success, and what is around an answer.


@ALL_CLIENTS
@BOTH_RELAY
async def test_an_answer_leaves_nothing(gateway: Gateway, client: str, relaying: str) -> None:
    numbers = itertools.count()
    async with (
        good() as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relaying}) as running,
    ):

        async def calls() -> None:
            for stream in MODES:
                for turn in range(4):
                    name = f"k{next(numbers)}"
                    answers = [
                        await send(running, client, stream=stream),
                        await send(running, client, f"idempotency-key: {name}", stream=stream),
                        await send(running, client, f"idempotency-key: {name}", stream=stream),
                        await send(running, client, "x-openrouter-cache: true", stream=stream, user=name),
                        await send(running, client, "x-openrouter-cache: true", stream=stream, user=name),
                        await send(
                            running, client, f"idempotency-key: c{name}", "x-openrouter-cache: true", stream=stream,
                            user=f"b{name}",
                        ),
                        await send(running, client, "x-openrouter-metadata: enabled", stream=stream),
                    ]  # fmt: skip
                    assert {answer.status for answer in answers} == {200}, turn

        await check_calls(running, calls)


async def test_many_answers_on_one_connection_leave_nothing(gateway: Gateway) -> None:
    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:

        async def calls() -> None:
            async with await Wire.open(running.port) as wire:
                for turn in range(8):
                    await wire.send(post(chat(stream=turn % 2 == 0)) * 2)
                    assert (await wire.answer()).status == (await wire.answer()).status == 200

        await check_calls(running, calls)


@ALL_CLIENTS
async def test_a_failure_that_is_kept_leaves_nothing(gateway: Gateway, client: str) -> None:
    """With an `Idempotency-Key`, and where the cache was asked first."""
    numbers = itertools.count()
    async with (
        by_mode([Send(STREAM_HEAD + CONTENT), Close()], [Status(500, {}, b"{}")]) as bad,
        gateway({"bad": f"{bad.origin}/v1"}) as running,
    ):

        async def calls() -> None:
            for stream in MODES:
                named = f"idempotency-key: k{next(numbers)}"
                for headers in (
                    (named,),
                    (named,),
                    ("x-openrouter-cache: true",),
                    (f"{named}c", "x-openrouter-cache: true"),
                ):
                    await send(running, client, *headers, stream=stream)

        await check_calls(running, calls)


SLOW: dict[str, tuple[Script, Script]] = {
    "second-wins": ([Pause(0.5), Good()], [Good()]),
    "first-wins": ([Pause(0.15), Good()], [Pause(1), Good()]),
    "first-fails": ([Pause(0.15), Status(500, {}, b"{}")], [Good()]),
    "both-fail": ([Pause(0.15), Rst()], [Status(500, {}, b"{}")]),
    "second-fails": ([Pause(0.3), Good()], [Rst()]),
    "both-are-cut": ([Pause(0.15), Send(STREAM_HEAD + CONTENT), Close()], [Send(STREAM_HEAD + CONTENT), Close()]),
}


@pytest.mark.parametrize("name", SLOW)
async def test_a_hedged_call_leaves_nothing(gateway: Gateway, name: str) -> None:
    first, second = SLOW[name]
    async with (
        ScriptedUpstream(first) as slow,
        ScriptedUpstream(second) as other,
        gateway(
            {"slow": f"{slow.origin}/v1", "other": f"{other.origin}/v1"},
            routing={"default_sort": "configured", "hedge_after_s": 0.05},
            timeouts=LONG,
        ) as running,
    ):

        async def calls() -> None:
            await statuses(*(send(running, client, stream=stream) for client in CLIENTS for stream in MODES))

        await check_calls(running, calls)
        assert other.seen


async def test_the_demo_provider_leaves_nothing(gateway: Gateway) -> None:
    async with gateway() as running:

        async def calls() -> None:
            for demo in ({}, {"error": 500}, {"error": 429}):
                for stream in MODES:
                    await send(running, "chat", stream=stream, model="demo/echo", demo=demo)

        await check_calls(running, calls)


# Refused requests.


def refusals(running: RunningGateway, client: str, stream: bool) -> list[Awaitable[Answer]]:
    """Requests that are refused before a provider is asked."""
    path, _ = CLIENTS[client]
    body = asked(client, stream=stream)
    spoiled: list[bytes | dict[str, Any]] = [
        b"{not json", b"", b"\xff", b"[" * 50_000, b"17", {**body, "model": 3}, {**body, "stream": "perhaps"},
        {**body, "provider": {"only": ["nobody"]}}, {**body, "model": "no/such"}, {**body, "model": "@preset/none"},
        {**body, "messages": 17, "input": 17}, {**body, "temperature": []},
    ]  # fmt: skip
    wrong = json.dumps(body).encode()
    return [
        *(ask(running.port, each, path=path) for each in spoiled),
        *(ask(running.port, each, "x-openrouter-metadata: enabled", path=path) for each in spoiled),
        *(ask(running.port, each, "x-openrouter-cache: true", path=path) for each in spoiled),
        *(ask(running.port, each, f"idempotency-key: r{at}", path=path) for at, each in enumerate(spoiled)),
        ask(running.port, body, "idempotency-key: " + "x" * 300, path=path),
        ask(running.port, body, "content-encoding: gzip", path=path),
        ask(running.port, wrong, "authorization: Bearer sk-wrong", path=path),
    ]


@ALL_CLIENTS
async def test_a_refused_request_leaves_nothing(gateway: Gateway, client: str) -> None:
    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:

        async def calls() -> None:
            for stream in MODES:
                told = await statuses(*refusals(running, client, stream))
                assert max(told) < 500
                assert told.count(200) <= len(told) // 3, "some dialects have no such field"

        await check_calls(running, calls)


@ALL_CLIENTS
async def test_a_request_beyond_the_budget_leaves_nothing(gateway: Gateway, client: str) -> None:
    numbers = itertools.count()
    poor = [{"name": "tests", "secret": KEY, "limit_usd": 0.000000001}]
    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}, keys=poor) as running:

        async def calls() -> None:
            ways = ((), ("x-openrouter-cache: true",), (f"idempotency-key: b{next(numbers)}",))
            told = await statuses(*(send(running, client, *way, stream=False) for way in ways))
            told += await statuses(*(send(running, client, *way, stream=True) for way in ways[:2]))
            assert set(told) == {402}

        await check_calls(running, calls)


@ALL_CLIENTS
async def test_another_request_of_one_idempotency_key_leaves_nothing(gateway: Gateway, client: str) -> None:
    async with (
        ScriptedUpstream([Pause(0.3), Good()]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG) as running,
    ):
        numbers = itertools.count()

        async def calls() -> None:
            for stream in MODES:
                named = f"idempotency-key: m{next(numbers)}"
                told = await statuses(*(send(running, client, named, stream=stream) for _ in range(3)))
                assert sorted(told) == [200, 409, 409]
                assert (await send(running, client, named, stream=stream, user="another")).status == 422

        await check_calls(running, calls)


async def test_other_routes_leave_nothing(gateway: Gateway) -> None:
    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:

        async def calls() -> None:
            for path in (
                "/api/v1/messages/count_tokens",
                "/api/v1/responses/input_tokens",
                "/api/v1/route",
                "/api/v1/no",
            ):
                for client in CLIENTS:
                    for body in (asked(client, stream=False), b"{", asked(client, stream=False, model="no/such")):
                        await ask(running.port, body, path=path)

        await check_calls(running, calls)


# Clients' faults.


@BOTH_RELAY
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "task"])
async def test_a_client_that_leaves_leaves_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, relaying: str, how: str, direct: bool
) -> None:
    without_begin(monkeypatch, lambda _: not direct)

    def choose(seen: Seen) -> Script:
        user = json.loads(seen.body).get("user")
        return FINE if user is None else MOMENTS[user]

    async with (
        ScriptedUpstream(choose=choose) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG, server={"relay": relaying}) as running,
    ):

        async def one(client: str, moment: str, stream: bool, *headers: str) -> None:
            wire = await Wire.open(running.port)
            await wire.send(post(asked(client, stream=stream, user=moment), *headers, path=CLIENTS[client][0]))
            await asyncio.sleep(0.3)
            if how == "rst":
                wire.reset()
            else:
                await wire.close()

        async def calls() -> None:
            upstream.seen.clear()
            await statuses(*(send(running, "chat", stream=True) for _ in range(60)))
            await asyncio.gather(
                *(
                    one(client, moment, stream, *headers)
                    for client in ("chat", "responses")
                    for moment in MOMENTS
                    for stream in MODES
                    for headers in ((), (f"idempotency-key: {client}{moment}{stream}",))
                )
            )

        await check_calls(running, calls, first=False)


LESS = {"header_timeout_s": 0.5, "body_timeout_s": 0.5, "max_body_bytes": 65_536}


@ALL_CLIENTS
async def test_a_request_that_does_not_come_whole_leaves_nothing(gateway: Gateway, client: str) -> None:
    path, _ = CLIENTS[client]
    body = asked(client, stream=True)
    head = post(body, path=path)
    sent = {
        "in-the-head": head[:60],
        "in-the-body": head[:-10],
        "says-too-large": post(b"x", "content-length: 300000", path=path, length=False),
        "is-too-large": post(b"", "transfer-encoding: chunked", path=path, length=False)
        + b"10000\r\n" + b" " * 65_536 + b"\r\n10000\r\n" + b" " * 65_536 + b"\r\n",
        "not-chunked": post(b"zz\r\n", "transfer-encoding: chunked", path=path, length=False),
        "not-http": b"\x16\x03\x01hello\r\n\r\n",
        "with-a-name": post(body, "idempotency-key: w", path=path)[:-10],
    }  # fmt: skip
    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}, server=LESS) as running:

        async def one(data: bytes, leave: bool) -> None:
            wire = await Wire.open(running.port)
            await wire.send(data)
            if leave:
                await asyncio.sleep(0.05)
                wire.reset()
            else:
                await wire.ended()
                await wire.close()

        async def calls() -> None:
            await asyncio.gather(*(one(data, leave) for data in sent.values() for leave in MODES))

        await check_calls(running, calls)


# Our own faults.


@pytest.mark.parametrize("way", ["direct", "task"])
async def test_a_bug_leaves_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    without_begin(monkeypatch, lambda _: way == "task")
    monkeypatch.setattr("trunkline.engine.generation.logger.disabled", True)  # the suite keeps what is logged

    def feed(*_: object) -> bytes:
        raise ValueError("a bug")

    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:
        await ask(running.port, chat(stream=True))
        for kind, name in ((relay.StreamRelay, "feed"), (relay.BodyRelay, "close")):
            with monkeypatch.context() as patch:
                patch.setattr(kind, name, feed)

                async def calls(stream: bool = name == "feed") -> None:
                    assert (await ask(running.port, chat(stream=stream))).status == 500

                await check_calls(running, calls)


@pytest.mark.parametrize("way", ["direct", "task"])
async def test_a_full_disk_leaves_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    without_begin(monkeypatch, lambda _: way == "task")
    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:

        async def calls() -> None:
            with monkeypatch.context() as full:
                full.setattr(FileJournal, "_store", lambda *_: OSError(errno.ENOSPC, "No space left on device"))
                for stream in MODES:
                    await ask(running.port, chat(stream=stream))

        await ask(running.port, chat(stream=True))
        await check_calls(running, calls)


@pytest.mark.parametrize("way", ["direct", "task"])
async def test_a_shutdown_leaves_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    without_begin(monkeypatch, lambda _: way == "task")
    async with (
        by_mode(MOMENTS["in-content"], [Hang()]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG) as running,
    ):

        async def calls() -> None:
            before = len(upstream.seen)
            asking = [asyncio.ensure_future(send(running, client, stream=s)) for client in CLIENTS for s in MODES]
            await eventually(lambda: len(upstream.seen) == before + len(asking))
            await asyncio.sleep(0.1)
            for connection in tuple(running.connections):
                connection.cancel()
            await asyncio.gather(*asking)

        await check_calls(running, calls)


# How much stays, in bytes.

BODY = 256 * 1024
"""Bytes of a request: what stays of one is seen at once."""
AT_ONCE = 10


class Kind(Struct, frozen=True):
    """Requests that end alike."""

    script: Script = ()
    headers: tuple[str, ...] = ()
    body: bytes | None = None
    status: int = 502
    stream: bool = False
    leaves: Literal["", "in its body", "before an answer", "in the answer"] = ""
    """When the client goes away."""


def large(**more: Any) -> dict[str, Any]:
    return {**chat(stream=False), "messages": [{"role": "user", "content": "x" * BODY}], **more}


KINDS: dict[str, Kind] = {
    "an answer": Kind([Good()], status=200),
    "a stream": Kind([Good()], status=200, stream=True),
    "500": Kind([Status(500, {}, b"{}")]),
    "500, with a name": Kind([Status(500, {}, b"{}")], headers=("idempotency-key: {n}",)),
    "500, with the cache": Kind([Status(500, {}, b"{}")], headers=("x-openrouter-cache: true",)),
    "429": Kind([Status(429, {"retry-after": "0"}, b"{}")], status=429),
    "400": Kind([Status(400, {}, b'{"error": {"message": "no"}}')], status=400),
    "reset": Kind([Rst()]),
    "silence": Kind([Hang()], status=504),
    "cut": Kind([Send(STREAM_HEAD + CONTENT), Close()], status=200, stream=True),
    "garbled": Kind([Send(STREAM_HEAD + CONTENT + chunk(b"data: {not json}\n\n")), Close()], status=200, stream=True),
    "half a body": Kind([Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + JSON[:90]), Close()]),
    "not HTTP": Kind([Send(b"SSH-2.0-OpenSSH_9.6\r\n"), Close()]),
    "the client leaves before an answer": Kind([Hang()], leaves="before an answer"),
    "the client leaves a stream": Kind([Send(STREAM_HEAD + CONTENT), Hang()], leaves="in the answer", stream=True),
    "the client leaves in its body": Kind(leaves="in its body"),
    "a wrong key": Kind(headers=("authorization: Bearer sk-wrong",), status=401),
    "no JSON": Kind(body=b"{" + b" " * BODY, status=400),
    "no such model": Kind(body=json.dumps(large(model="no/such")).encode(), status=400),
    "compressed": Kind(headers=("content-encoding: gzip",), status=415),
}
SOME = ("a stream", "500", "500, with a name", "reset", "cut", "the client leaves a stream", "no JSON", "a wrong key")
"""Those of `make test`."""


def resident() -> int:
    """Kilobytes of this process that are in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Held(Struct, frozen=True):
    """Kilobytes after so many calls: as they stand, after the collector ran, and of the process."""

    calls: int
    as_it_stands: int
    collected: int
    resident: int


async def held(gateway: Gateway, kind: Kind, few: int, many: int) -> tuple[Held, Held]:
    """What is held after *few* calls, and after *many*; the collector does not run by itself."""
    numbers = itertools.count()
    body = kind.body or json.dumps(large(stream=kind.stream)).encode()

    async def one(running: RunningGateway) -> None:
        headers = [header.format(n=next(numbers)) for header in kind.headers]
        data = post(body, *headers)
        async with await Wire.open(running.port) as wire:
            if kind.leaves == "in its body":
                await wire.send(data[:-100])
                await asyncio.sleep(0.05)
            else:
                await wire.send(data)
            if kind.leaves == "before an answer":  # once all of it has come to the upstream
                await eventually(lambda: sum(bool(seen.body) for seen in upstream.seen) == AT_ONCE)
            elif kind.leaves == "in the answer":
                await asyncio.wait_for(wire.reader.readuntil(b"Hello"), 10)
            if kind.leaves:
                wire.reset()
                return
            answer = await wire.answer()
            assert answer.status == kind.status, answer.body[:300]

    async with (
        ScriptedUpstream(kind.script or [Good()]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}) as running,
    ):

        async def calls(count: int) -> None:
            for _ in range(count // AT_ONCE):
                await asyncio.gather(*(one(running) for _ in range(AT_ONCE)))
                for seen in upstream.seen:
                    seen.body = b""  # the upstream's own cycles may hold it
                upstream.seen.clear()
            await calm(running)

        def look(count: int) -> Held:
            now = tracemalloc.get_traced_memory()[0]
            rss = resident()
            gc.collect()
            return Held(count, now // 1024, tracemalloc.get_traced_memory()[0] // 1024, rss)

        await calls(AT_ONCE)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            await calls(few)
            first = look(few)
            await calls(many - few)
            return first, look(many)
        finally:
            tracemalloc.stop()
            gc.enable()


def check_held(name: str, first: Held, last: Held) -> None:
    """A call leaves less than a tenth of its body until the collector runs: what libraries keep of its connections.

    After that the same is held as before, but for what grows with the records of a minute.
    """
    calls = last.calls - first.calls
    assert (last.as_it_stands - first.as_it_stands) * 1024 < calls * BODY / 10, f"{name}: {first} {last}"
    assert (last.collected - first.collected) * 1024 < BODY + calls * 1024, f"{name}: {first} {last}"


@pytest.mark.parametrize("name", SOME)
async def test_memory_does_not_grow_with_calls(gateway: Gateway, name: str) -> None:
    check_held(name, *await held(gateway, KINDS[name], 20, 100))


@pytest.mark.soak
async def test_memory_after_a_thousand_calls_is_that_after_a_hundred(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{'kB after 100 and 1,000 calls':36} {'as it stands':>16} {'collected':>16} {'resident':>16}"]
    found = {}
    for name, kind in KINDS.items():
        first, last = found[name] = await held(gateway, kind, 100, 1000)
        pairs = (
            (first.as_it_stands, last.as_it_stands), (first.collected, last.collected), (first.resident, last.resident),
        )  # fmt: skip
        lines.append(f"{name:36} " + " ".join(f"{before:7} {after:8}" for before, after in pairs))
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    for name, (first, last) in found.items():
        check_held(name, first, last)
