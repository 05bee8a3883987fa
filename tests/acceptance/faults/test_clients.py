"""Broken and hostile clients, by their ids in docs/reference/reliability.md. Those that need a scripted provider are in
`test_leaving.py`; here `demo/echo` answers."""

# ruff: noqa: N802 - names begin with the ids of the specification

import asyncio
import contextlib
import gzip
import json
import resource
from typing import Any

import pytest
from faults_wire import Gateway, Wire, ask, post

from trunkline.testing.gateway import KEY

DEMO: dict[str, Any] = {"model": "demo/echo", "messages": [{"role": "user", "content": "Hello, Trunkline!"}]}
AUTH = f"authorization: Bearer {KEY}\r\n".encode()
LIMITS = {"header_timeout_s": 0.5, "body_timeout_s": 0.5, "idle_timeout_s": 60, "max_body_bytes": 262_144}


async def still_fine(port: int) -> None:
    """The gateway serves the next client."""
    answer = await ask(port, DEMO)
    assert answer.status == 200
    assert "Hello, Trunkline!" in answer.json["choices"][0]["message"]["content"]


def error_type(body: Any) -> Any:
    return body["error"]["metadata"]["error_type"]


@pytest.mark.parametrize(
    "head",
    [b"P", b"POST /api/v1/chat", b"POST /api/v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-slow: "],
    ids=["C1-first-byte", "C1-url", "C1-headers"],
)
async def test_a_head_that_does_not_come_is_answered_408(gateway: Gateway, head: bytes) -> None:
    async with gateway(server=LIMITS) as running, await Wire.open(running.port) as wire:
        await wire.send(head)

        async def drip() -> None:
            while len(head) > 1:
                await asyncio.sleep(0.1)
                await wire.send(b"a")

        dripping = asyncio.create_task(drip())
        await still_fine(running.port)
        answer = await wire.answer()
        dripping.cancel()
        assert answer.status == 408
        assert error_type(answer.json) in ("timeout", "invalid_request")
        assert await wire.ended()


@pytest.mark.parametrize("path", ["/api/v1/chat/completions", "/api/v1/key"], ids=["C1-body", "C1-body-elsewhere"])
async def test_a_body_that_does_not_come_is_answered_408(gateway: Gateway, path: str) -> None:
    async with gateway(server=LIMITS) as running, await Wire.open(running.port) as wire:
        await wire.send(post(json.dumps(DEMO).encode(), path=path)[:-20])
        await still_fine(running.port)
        answer = await wire.answer()
        assert answer.status in ((408,) if "chat" in path else (405, 408))
        if answer.status == 408:
            assert error_type(answer.json) == "timeout"
        assert await wire.ended()


async def test_C1_a_body_that_comes_slowly_is_waited_for(gateway: Gateway) -> None:
    request = post(DEMO)
    async with gateway(server=LIMITS) as running, await Wire.open(running.port) as wire:
        await wire.send(request[:-40])
        for at in range(len(request) - 40, len(request), 8):
            await asyncio.sleep(0.2)
            await wire.send(request[at : at + 8])
        assert (await wire.answer()).status == 200


async def test_C2_a_body_that_says_it_is_too_large_is_refused_before_it_comes(gateway: Gateway) -> None:
    async with gateway(server=LIMITS) as running, await Wire.open(running.port) as wire:
        await wire.send(post(b"", "content-length: 300000", length=False))
        answer = await wire.answer()
        assert answer.status == 413
        assert error_type(answer.json) == "payload_too_large"
        assert await wire.ended()
        await still_fine(running.port)


async def test_C2_a_chunked_body_is_refused_when_it_becomes_too_large(gateway: Gateway) -> None:
    async with gateway(server=LIMITS) as running, await Wire.open(running.port) as wire:
        await wire.send(post(b"", "transfer-encoding: chunked", length=False))
        for _ in range(5):
            await wire.send(b"%x\r\n%s\r\n" % (65536, b" " * 65536))
        answer = await wire.answer()
        assert answer.status == 413
        assert error_type(answer.json) == "payload_too_large"
        await still_fine(running.port)


async def test_C2_a_chunked_body_without_an_end_is_answered_408(gateway: Gateway) -> None:
    async with gateway(server=LIMITS) as running, await Wire.open(running.port) as wire:
        await wire.send(post(b'5\r\n{"a":\r\n', "transfer-encoding: chunked", length=False))
        assert (await wire.answer()).status == 408


async def test_C2_a_chunked_body_is_taken(gateway: Gateway) -> None:
    body = json.dumps(DEMO).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[at : at + 1]) for at in range(len(body)))
    async with gateway(server=LIMITS) as running, await Wire.open(running.port) as wire:
        await wire.send(post(chunks + b"0\r\n\r\n", "transfer-encoding: chunked", length=False))
        assert (await wire.answer()).status == 200


@pytest.mark.parametrize(
    "framing",
    [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "content-length: -1",
        "content-length: +5",
        "content-length: 5, 5",
        "content-length: 0x5",
        "content-length: 99999999999999999999999",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        "transfer-encoding : chunked",
        " folded: yes",
        "no colon",
        "nul: \0",
        "bare: \rx",
    ],
    ids=lambda framing: f"C2-{framing!r}",
)
async def test_framing_that_can_be_read_two_ways_is_refused(gateway: Gateway, framing: str) -> None:
    async with gateway(server=LIMITS) as running, await Wire.open(running.port) as wire:
        await wire.send(post(b"0\r\n\r\n", framing, length=False))
        answer = await wire.answer()
        assert answer.status in (400, 413)
        assert "error" in answer.json
        assert await wire.ended()
        assert await running.records() == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(DEMO, *(f"x-{n}: 1" for n in range(101))), 431),
        (post(DEMO, f"x-long: {'a' * 40_000}"), 431),
        (post(DEMO, *(f"x-{n}: {'a' * 1000}" for n in range(50))), 431),
        (post(DEMO, f"{'x' * 40_000}: 1"), 431),
        (post(DEMO, path="/api/v1/chat/completions?" + "a" * 8192), 414),
        (post(DEMO, path="/" + "a" * 100_000), 414),
        (post(DEMO, *(f"x-{n}: 1" for n in range(90))), 200),
        (post(DEMO, f"x-long: {'a' * 20_000}"), 200),
    ],
    ids=["C3-101-headers", "C3-one-long", "C3-50-kB", "C3-name", "C3-url", "C3-100-kB-url", "C3-ok-90", "C3-ok-20-kB"],
)
@pytest.mark.parametrize("piece", [10_000_000, 4096], ids=["at-once", "in-pieces"])
async def test_heads_have_bounds(gateway: Gateway, request_: bytes, status: int, piece: int) -> None:
    async with gateway() as running, await Wire.open(running.port) as wire:
        for at in range(0, len(request_), piece):
            wire.writer.write(request_[at : at + piece])
            await asyncio.sleep(0)
        answer = await wire.answer()
        assert answer.status == status
        if status != 200:
            assert "error" in answer.json
            assert await wire.ended()
        await still_fine(running.port)


def attack(member: str) -> bytes:
    """A request that would be in order without *member*."""
    return f'{{"model": "demo/echo", "messages": [{{"role": "user", "content": "hi"}}], {member}}}'.encode()


ATTACKS: dict[str, bytes] = {
    "nested-arrays": attack('"x": ' + "[" * 100_000 + "]" * 100_000),
    "nested-objects": attack('"x": ' + '{"a":' * 100_000 + "1" + "}" * 100_000),
    "nested-unclosed": b"[" * 1_000_000,
    "nested-metadata": attack('"metadata": ' + '{"a":' * 5000 + "1" + "}" * 5000),
    "nested-schema": attack(
        '"tools": [{"type": "function", "function": {"name": "f", "parameters": '
        + '{"properties":' * 5000 + "{}" + "}" * 5000 + "}}]"
    ),
    "long-number": attack('"seed": ' + "9" * 1_000_000),
    "long-exponent": attack('"temperature": 1e' + "9" * 100_000),
    "nan": attack('"temperature": NaN'),
    "infinity": attack('"temperature": Infinity'),
    "negative-infinity": attack('"temperature": -Infinity'),
    "utf-16": attack('"stream": false').decode().encode("utf-16"),
    "utf-32": attack('"stream": false').decode().encode("utf-32-le"),
    "bad-utf-8": attack('"user": "\xff"').decode().encode("latin-1"),
    "not-an-object": b"[1, 2]",
    "a-string": b'"hello"',
    "null": b"null",
    "nothing": b"",
    "blank": b"  \n ",
    "two-values": attack('"stream": false') + b"{}",
    "unclosed": attack('"stream": false')[:-1],
    "nul": b"\0" * 1000,
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS, ids=lambda name: f"C4-{name}")
async def test_json_that_attacks_is_refused(gateway: Gateway, name: str) -> None:
    async with gateway() as running:
        loop = asyncio.get_running_loop()
        used, begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime, loop.time()
        answer = await ask(running.port, ATTACKS[name])
        del begun
        assert answer.status == 400, answer.body[:300]
        assert error_type(answer.json) == "invalid_request"
        assert len(answer.body) < 2000
        assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - used < 2.0, "far more than 50 ms for a MB"
        await still_fine(running.port)


SURVIVED: dict[str, bytes] = {
    "many-keys": b'{"model": "demo/echo", "messages": [{"role": "user", "content": "hi"}], '
    + b", ".join(b'"k%d": 1' % n for n in range(200_000)) + b"}",
    "lone-surrogate": attack('"user": "\\ud800"'),
    "bom": b"\xef\xbb\xbf" + attack('"stream": false'),
    "escapes": attack('"user": "\\u0000\\u001b[31m"'),
    "duplicate-model": b'{"model": "nobody/none", "model": "demo/echo", "messages": [{"role": "user", "content": ""}]}',
    "duplicate-stream": attack('"stream": true, "stream": false'),
    "many-messages": json.dumps({**DEMO, "messages": DEMO["messages"] * 20_000}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", SURVIVED, ids=lambda name: f"C4-{name}")
async def test_json_that_is_strange_is_taken_or_refused(gateway: Gateway, name: str) -> None:
    async with gateway() as running:
        answer = await ask(running.port, SURVIVED[name])
        assert answer.status in (200, 400, 404), answer.body[:300]
        if answer.status == 200:
            assert (await running.records())[0].status == "completed"
        await still_fine(running.port)


CIRCULAR = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}


@pytest.mark.parametrize(
    "member",
    [
        {"max_tokens": 10**18},
        {"max_tokens": 2**63},
        {"max_tokens": 10**30},
        {"max_tokens": -1},
        {"max_tokens": 1.5},
        {"max_completion_tokens": -(10**20)},
        {"max_tokens": "many"},
        {"n": 10**9},
        {"n": 0},
        {"n": -1},
        {"n": 2.5},
        {"top_k": 10**40},
        {"seed": 10**40},
        {"temperature": 10**400},
        {"top_logprobs": -5},
        {"tools": [{"type": "function", "function": {"name": f"f{n}"}} for n in range(10_000)]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": CIRCULAR}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": CIRCULAR}}},
        {"stop": ["x"] * 100_000},
        {"logit_bias": {str(n): 1 for n in range(100_000)}},
        {"provider": {"order": ["x"] * 10_000}},
        {"models": ["demo/echo"] * 10_000},
        {"provider": {"max_price": {"prompt": "NaN"}}},
        {"provider": {"max_price": {"prompt": -1}}},
        {"provider": {"max_price": {"prompt": "1e999999999"}}},
        {"stream": "yes"},
        {"messages": []},
        {"messages": [{}]},
        {"messages": {"role": "user"}},
        {"messages": [{"role": "user", "content": {"a": 1}}]},
    ],
    ids=lambda member: f"C5-{json.dumps(member)[:40]}",
)
async def test_counts_that_are_absurd_never_overflow(gateway: Gateway, member: dict[str, Any]) -> None:
    limited = [{"name": "tests", "secret": KEY, "limit_usd": 1}]
    async with gateway(keys=limited) as running:
        answer = await ask(running.port, {**DEMO, **member})
        assert answer.status in (200, 400, 402, 404), answer.body[:300]
        assert len(answer.body) < 10_000
        for record in await running.records():
            assert record.cost == 0
        await still_fine(running.port)


MODELS = [
    "demo/echo\r\nx-evil: 1",
    "demo/echo\0",
    "../../etc/passwd",
    "demo/%2e%2e/%2e%2e/admin",
    "dеmo/echo",  # a Cyrillic е
    "demo／echo",
    "demo/echo\u202e",
    "\U0001f600/x",
    "\ud800/x",
    "x" * 10_000,
    'a/b"} 1\nevil_metric{a="',
    "DEMO/ECHO\n",
    " demo/echo",
    "",
]


@pytest.mark.parametrize(
    "name", MODELS, ids=lambda name: f"C6-{name[:20].encode('ascii', 'backslashreplace').decode()}"
)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_model_names_that_attack_go_nowhere(gateway: Gateway, name: str, stream: bool) -> None:
    async with gateway() as running:
        for body in ({**DEMO, "model": name, "stream": stream}, {**DEMO, "model": name, "models": [name]}):
            answer = await ask(running.port, body)
            assert answer.status in (400, 404)
            assert len(answer.body) < 4000
            assert "x-evil" not in answer.headers
            assert error_type(answer.json) in ("invalid_request", "not_found")
        assert await running.records() == []
        async with await Wire.open(running.port) as wire:
            await wire.send(b"GET /metrics HTTP/1.1\r\nhost: g\r\n\r\n")
            metrics = await wire.answer()
        assert metrics.status == 200
        assert b"evil" not in metrics.body
        assert not name or name.encode("utf-8", "surrogatepass") not in metrics.body
        assert len(metrics.body) < 20_000


@pytest.mark.parametrize("field", ["user", "session_id"], ids=lambda field: f"C7-{field}")
async def test_control_characters_in_what_is_passed_on_reach_no_header(gateway: Gateway, field: str) -> None:
    async with gateway() as running:
        answer = await ask(running.port, {**DEMO, field: "a\r\nx-evil: 1"})
        assert answer.status in (200, 400)
        assert not any("evil" in name or "evil" in value for name, value in answer.headers.items())


async def test_C10_a_thousand_idle_clients_disturb_nobody(gateway: Gateway) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < 4096:
        pytest.skip(f"only {hard} file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    try:
        async with gateway() as running, contextlib.AsyncExitStack() as stack:
            wires = [await Wire.open(running.port) for _ in range(1000)]
            for wire in wires:
                stack.push_async_callback(wire.close)
            await still_fine(running.port)
            async with await Wire.open(running.port) as wire:
                await wire.send(b"GET /health/live HTTP/1.1\r\nhost: g\r\n\r\n")
                assert (await wire.answer()).status == 200
            assert len(running.connections) >= 1000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_C10_more_clients_than_allowed_are_refused_and_the_others_stay(gateway: Gateway) -> None:
    async with gateway(server={"max_connections": 20}) as running:
        wires = [await Wire.open(running.port) for _ in range(20)]
        await asyncio.sleep(0.05)
        over = await Wire.open(running.port)
        assert await over.ended()
        for wire in (wires[0], wires[-1]):
            await wire.send(post(DEMO))
            assert (await wire.answer()).status == 200
        for wire in (over, *wires):
            await wire.close()
        await asyncio.sleep(0.05)
        await still_fine(running.port)


async def test_C10_an_idle_client_is_let_go(gateway: Gateway) -> None:
    async with gateway(server={"idle_timeout_s": 0.5}) as running, await Wire.open(running.port) as wire:
        await wire.send(post(DEMO))
        assert (await wire.answer()).status == 200
        assert await wire.ended()


async def test_C11_pipelined_requests_are_answered_in_their_order(gateway: Gateway) -> None:
    asked = [{**DEMO, "messages": [{"role": "user", "content": f"number {n}"}], "stream": n % 2 == 0} for n in range(6)]
    async with gateway() as running, await Wire.open(running.port) as wire:
        await wire.send(b"".join(post(body) for body in asked))
        for n in range(6):
            answer = await wire.answer()
            assert answer.status == 200
            assert answer.headers["content-type"].startswith("text/event-stream" if n % 2 == 0 else "application/json")
            said = answer.body.decode()
            if n % 2 == 0:
                deltas = [frame["choices"] for frame in answer.frames if frame != "[DONE]"]
                said = "".join(one[0]["delta"].get("content") or "" for one in deltas if one)
            assert f"number {n}" in said
        assert [record.status for record in await running.records()] == ["completed"] * 6


async def test_C11_too_many_pipelined_requests_are_not_queued(gateway: Gateway) -> None:
    async with gateway() as running, await Wire.open(running.port) as wire:
        wire.writer.write(post(DEMO) * 200)
        assert await wire.ended()
        await still_fine(running.port)


@pytest.mark.parametrize("stream", [True, False], ids=["C11-1.0-stream", "C11-1.0-json"])
async def test_http_1_0_is_answered_without_chunks(gateway: Gateway, stream: bool) -> None:
    async with gateway() as running, await Wire.open(running.port) as wire:
        await wire.send(post({**DEMO, "stream": stream}).replace(b" HTTP/1.1", b" HTTP/1.0"))
        answer = await wire.answer()
        assert answer.status == 200
        assert "transfer-encoding" not in answer.headers
        assert await wire.ended()
        if stream:
            assert answer.frames[-1] == "[DONE]"
        else:
            assert answer.json["choices"]


async def test_C11_expect_is_answered_with_continue(gateway: Gateway) -> None:
    request = post(DEMO, "expect: 100-continue")
    end = request.index(b"\r\n\r\n") + 4
    async with gateway() as running, await Wire.open(running.port) as wire:
        await wire.send(request[:end])
        assert await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(request[end:])
        assert (await wire.answer()).status == 200


async def test_C11_expect_is_not_answered_where_the_request_is_refused(gateway: Gateway) -> None:
    async with gateway(server=LIMITS) as running, await Wire.open(running.port) as wire:
        await wire.send(post(b"", "expect: 100-continue", "content-length: 300000", length=False))
        head = await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("piece", [10_000, 50], ids=["C11-h2c", "C11-h2c-in-pieces"])
async def test_an_upgrade_of_a_post_is_answered_as_it_is(gateway: Gateway, piece: int) -> None:
    """Java's client asks so with every first POST."""
    headers = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAAB")
    request = post(DEMO, *headers) + post(DEMO)
    async with gateway() as running, await Wire.open(running.port) as wire:
        for at in range(0, len(request), piece):
            await wire.send(request[at : at + piece])
            await asyncio.sleep(0.005)
        for _ in range(2):
            answer = await wire.answer()
            assert answer.status == 200
            assert "Hello, Trunkline!" in answer.json["choices"][0]["message"]["content"]


async def test_C11_a_websocket_is_not_opened(gateway: Gateway) -> None:
    async with gateway() as running, await Wire.open(running.port) as wire:
        await wire.send(
            b"GET /api/v1/models HTTP/1.1\r\nhost: g\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + AUTH + b"\r\n"
        )
        assert (await wire.answer()).status in (200, 400, 401, 426)


@pytest.mark.parametrize(
    ("line", "statuses"),
    [
        (b"POST http://elsewhere.example/api/v1/chat/completions HTTP/1.1", (200, 400, 404, 421)),
        (b"POST //elsewhere.example/api/v1/chat/completions HTTP/1.1", (400, 404, 405)),
        (b"POST api/v1/chat/completions HTTP/1.1", (400,)),
        (b"POST * HTTP/1.1", (400, 404, 405)),
        (b"TRACE /api/v1/chat/completions HTTP/1.1", (400, 404, 405, 501)),
        (b"CONNECT elsewhere.example:443 HTTP/1.1", (400, 405, 501)),
        (b"BREW /api/v1/chat/completions HTTP/1.1", (400, 405, 501)),
        (b"GET /api/v1/chat/completions HTTP/1.1", (404, 405)),
        (b"POST /api/v1/chat/completions HTTP/2.0", (400, 505)),
        (b"POST /api/v1/chat/completions HTTP/9.9", (400, 505)),
        (b"POST /api/v1/chat/completions", (400, 505)),
        (b"PRI * HTTP/2.0", (400, 505)),
        (b"POST /api/v1/../../etc/passwd HTTP/1.1", (400, 404, 405)),
        (b"POST /api/v1/%2e%2e/%00 HTTP/1.1", (400, 404, 405)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
    ],
    ids=lambda line: f"C11-{line[:40]!r}" if isinstance(line, bytes) else "",
)
async def test_odd_requests_are_served_or_refused(gateway: Gateway, line: bytes, statuses: tuple[int, ...]) -> None:
    body = json.dumps(DEMO).encode()
    async with gateway() as running, await Wire.open(running.port) as wire:
        await wire.send(line + b"\r\nhost: g\r\n" + AUTH + b"content-length: %d\r\n\r\n%s" % (len(body), body))
        answer = await wire.answer()
        assert answer.status in statuses
        assert KEY.encode() not in answer.body, "TRACE would show what was sent"
        await still_fine(running.port)


async def test_C13_a_compressed_body_is_not_taken(gateway: Gateway) -> None:
    async with gateway() as running:
        for coding, body in (
            ("gzip", gzip.compress(json.dumps(DEMO).encode())),
            ("gzip", gzip.compress(b" " * 10_000_000)),
            ("zstd", b"\x28\xb5\x2f\xfd"),
            ("br", b"x"),
            ("deflate, gzip", b"x"),
        ):
            answer = await ask(running.port, body, f"content-encoding: {coding}")
            assert answer.status == 415
            assert error_type(answer.json) == "invalid_request"
        assert (await ask(running.port, DEMO, "content-encoding: identity")).status == 200
        assert [record.status for record in await running.records()] == ["completed"]
