"""`Idempotency-Key`: one call, one charge, one record, whatever a client repeats.

Source: docs/reference/reliability.md, C12.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_help import CHAT, KEY, LIMIT, MODEL, OTHER, POOR, Api, Counting, Reply, running, until

from trunkline.dialects.common.sse import KEEP_ALIVE
from trunkline.model import errors
from trunkline.model.errors import AttemptRecord, DatabaseUnavailable, TrunklineError
from trunkline.ports import EVENT_STREAM, Listener
from trunkline.server import idempotency
from trunkline.server.recording_sink import Recorder
from trunkline.storage import IdempotencyStore
from trunkline.storage.idempotency import LEASE_S, Entry, Fresh

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def request(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "one two three"}], **more}


async def ask(api: Api, name: str = "order-1", key: str = KEY, path: str = CHAT, **more: Any) -> Reply:
    return await api.get(path, key, "POST", request(**more), **{"idempotency-key": name})


def same(first: Reply, second: Reply) -> bool:
    """Whether *second* is *first* again, and says so."""
    alike = all(
        first.headers[name] == second.headers[name]
        for name in ("content-type", "x-generation-id", "cache-control")
        if name in first.headers
    )
    marked = "idempotent-replayed" not in first.headers and second.headers.get("idempotent-replayed") == "true"
    return alike and marked and (first.status, first.body) == (second.status, second.body)


@BOTH
async def test_the_same_answer_again_for_nothing(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        first = await ask(api, stream=stream)
        assert first.status == 200
        assert first.body.endswith(DONE) == stream
        usage = (await api.get("/api/v1/key")).data["usage"]
        assert usage > 0
        for _ in range(2):
            assert same(first, await ask(api, stream=stream))
        assert upstream.calls == 1
        assert [record.id for record in await api.gateway.records()] == [first.headers["x-generation-id"]]
        assert (await api.get("/api/v1/key")).data["usage"] == usage


@BOTH
async def test_after_a_restart(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        first = await ask(api, stream=stream)
    async with running(tmp_path) as api:
        assert same(first, await ask(api, stream=stream))
    assert upstream.calls == 1


@BOTH
async def test_at_once(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        demo = {"delay_s": 0.5}
        replies = await asyncio.gather(*(ask(api, stream=stream, demo=demo) for _ in range(8)))
        (first,) = [reply for reply in replies if reply.status == 200]
        others = [reply for reply in replies if reply is not first]
        assert {reply.status for reply in others} == {409}
        for reply in others:
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.json()["error"]["metadata"]["error_type"] == "conflict"
        assert upstream.calls == 1
        assert same(first, await ask(api, stream=stream, demo=demo))
        assert len(await api.gateway.records()) == 1


async def test_another_request_under_the_same_key(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        first = await ask(api)
        for reply in (await ask(api, temperature=1), await ask(api, path="/v1/chat/completions")):
            assert reply.status == 422
            error = reply.json()["error"]
            assert (error["metadata"]["error_type"], error["param"]) == ("unprocessable", "idempotency-key")
            assert reply.headers["x-generation-id"] != first.headers["x-generation-id"]
        running_ = asyncio.create_task(ask(api, "order-2", demo={"delay_s": 0.4}))
        await until(lambda: upstream.calls == 2)
        assert (await ask(api, "order-2")).status == 422
        assert (await running_).status == 200
        assert same(first, await ask(api))


async def test_api_keys_do_not_share(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        first, second = await ask(api), await ask(api, key=OTHER)
        assert (first.status, second.status, upstream.calls) == (200, 200, 2)
        assert "idempotent-replayed" not in second.headers
        assert first.headers["x-generation-id"] != second.headers["x-generation-id"]


async def test_what_was_not_accepted_is_not_kept(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        assert (await ask(api, key="sk-nobody")).status == 401
        assert (await ask(api, messages="none")).status == 400
        assert (await ask(api, model="no/such")).status == 400
        assert (await ask(api, provider={"only": ["nobody"]})).status == 404
        assert (await ask(api, key=POOR, max_tokens=round(LIMIT * 10**6))).status == 402
        assert upstream.calls == 0
        for key in (KEY, POOR):
            assert (await ask(api, key=key)).status == 200
        assert api.gateway.parts.budgets.reserved("") == 0


async def test_a_replay_needs_no_money(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        first = await ask(api, key=POOR, demo={"events": 90})
        while (await api.chat(POOR, demo={"events": 90})).status == 200:
            assert upstream.calls < 50
        assert same(first, await ask(api, key=POOR, demo={"events": 90}))


@pytest.mark.parametrize(
    ("status", "answered", "kept"),
    [(400, 400, True), (500, 502, True), (429, 429, False), (503, 503, False)],
)
async def test_errors_of_the_provider(
    status: int, answered: int, kept: bool, tmp_path: Path, upstream: Counting
) -> None:
    async with running(tmp_path) as api:
        first = await ask(api, demo={"error": status})
        second = await ask(api, demo={"error": status})
        assert first.status == second.status == answered
        assert same(first, second) == kept
        assert ("idempotent-replayed" in second.headers) == kept
        assert second.headers.get("x-should-retry") == first.headers.get("x-should-retry")
        assert len(await api.gateway.records()) == (1 if kept else 2)


async def test_a_stream_that_broke_off_is_kept_with_its_error(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        demo = {"cut_after": 1}
        first = await ask(api, stream=True, demo=demo)
        assert b'"finish_reason":"error"' in first.body
        assert same(first, await ask(api, stream=True, demo=demo))
        assert upstream.calls == 1


@BOTH
async def test_what_we_broke_off_is_not_kept(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        asked = asyncio.create_task(ask(api, stream=stream, demo={"delay_s": 1.0}))
        await until(lambda: upstream.calls == 1)
        (connection,) = api.gateway.connections
        connection.cancel()
        assert (await asked).status == 503
        reply = await ask(api, stream=stream, demo={"delay_s": 1.0})
        assert (reply.status, upstream.calls) == (200, 2)


@BOTH
async def test_a_client_that_left_gets_another_try(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    demo = {"delay_s": 0.3, "interval_s": 0.05, "events": 20}
    data = msgspec.json.encode(request(stream=stream, demo=demo))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\nidempotency-key: order-1\r\n"
    async with running(tmp_path) as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        await until(lambda: upstream.calls == 1)
        writer.transport.abort()
        await until(lambda: not api.gateway.app.state.metrics.in_flight)
        reply = await ask(api, stream=stream, demo=demo)
        assert (reply.status, upstream.calls) == (200, 2)
        assert same(reply, await ask(api, stream=stream, demo=demo))
        assert [record.status for record in await api.gateway.records()] == ["cancelled", "completed"]


@pytest.mark.parametrize("ago", [1.0, LEASE_S + 1])
async def test_after_a_crash(ago: float, tmp_path: Path, upstream: Counting) -> None:
    """What a dead process was at is in the way until its lease ends, and no longer."""
    body = request()
    async with running(tmp_path) as api:
        dead = IdempotencyStore(api.gateway.app.state.idempotency._database)  # pyright: ignore[reportPrivateUsage]
        hashed = idempotency.hash_of(CHAT.encode(), msgspec.json.encode(body))
        key = next(key.id for key in api.gateway.parts.keys.list() if key.name == "tests")
        assert await dead.begin(Entry(key, "order-1", "gen-dead"), hashed, time.time() - ago) == Fresh()
    async with running(tmp_path) as api:
        reply = await ask(api)
        if ago < LEASE_S:
            assert (reply.status, upstream.calls) == (409, 0)
            return
        assert (reply.status, upstream.calls) == (200, 1)
        assert same(reply, await ask(api))


async def test_a_lease_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.app.background.RENEW_S", 0.05)
    renewed: list[float] = []
    renew = IdempotencyStore.renew

    async def counted(store: IdempotencyStore, now: float) -> None:
        renewed.append(now)
        await renew(store, now)

    monkeypatch.setattr(IdempotencyStore, "renew", counted)
    swept: list[float] = []
    sweep = IdempotencyStore.sweep

    async def sweeps(store: IdempotencyStore, now: float) -> int:
        swept.append(now)
        return await sweep(store, now)

    monkeypatch.setattr(IdempotencyStore, "sweep", sweeps)
    async with running(tmp_path):
        await until(lambda: len(renewed) > 2)
    assert len(swept) == 1, "at start, and an hour later"


async def test_comments_are_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path, server={"keepalive_s": 1}) as api:
        demo = {"delay_s": 2.2}
        first = await ask(api, stream=True, demo=demo)
        second = await ask(api, stream=True, demo=demo)
        assert KEEP_ALIVE in first.body
        assert second.body == first.body.replace(KEEP_ALIVE, b"")
        assert second.headers["x-generation-id"] == first.headers["x-generation-id"]


@BOTH
async def test_what_is_too_long_is_not_kept(
    stream: bool, tmp_path: Path, upstream: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as api:
        size = len((await ask(api, "measure", stream=stream)).body)
        monkeypatch.setattr(idempotency, "MAX_KEPT_BYTES", size - 50)
        first, second = await ask(api, stream=stream), await ask(api, stream=stream)
        assert (first.status, second.status, upstream.calls) == (200, 200, 3)
        assert "idempotent-replayed" not in second.headers


@pytest.mark.parametrize("name", ["", "x" * 256, "caf\xe9", "a\tb"])
async def test_keys_that_are_none(name: str, tmp_path: Path, upstream: Counting) -> None:
    data = msgspec.json.encode(request())
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\nidempotency-key: {name}\r\n"
    async with running(tmp_path) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(f"{head}content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode("latin-1") + data)
        answer = await reader.read()
        writer.close()
        assert b" 400 " in answer.split(b"\r\n")[0]
        assert b"Idempotency-Key: must be 1 to 255 printable ASCII characters" in answer
        assert upstream.calls == 0
        assert (await ask(api, "x" * 255)).status == 200


async def test_without_a_database(tmp_path: Path, upstream: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked where nobody can tell; an answer that is there is given."""

    async def locked(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("database is locked")

    async with running(tmp_path) as api:
        with monkeypatch.context() as patch:
            patch.setattr(IdempotencyStore, "begin", locked)
            reply = await ask(api)
            assert (reply.status, upstream.calls) == (503, 0)
            assert "retry-after" in reply.headers
        with monkeypatch.context() as patch:
            patch.setattr(IdempotencyStore, "finish", locked)
            assert (await ask(api)).status == 200


@BOTH
async def test_the_end_leaves_after_it_was_kept(
    stream: bool, tmp_path: Path, upstream: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a client that loses its connection at the last moment gets what it paid for."""
    finish = IdempotencyStore.finish
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(store: IdempotencyStore, entry: Entry, **more: Any) -> None:
        reached.set()
        await go.wait()
        await finish(store, entry, **more)

    monkeypatch.setattr(IdempotencyStore, "finish", slow)
    async with running(tmp_path) as api:
        asked = asyncio.create_task(ask(api, stream=stream))
        await asyncio.wait_for(reached.wait(), 5)
        assert not asked.done()
        (connection,) = api.gateway.connections
        connection.abort()
        go.set()
        await asyncio.gather(asked, return_exceptions=True)
        await until(lambda: not api.gateway.app.state.metrics.in_flight)
        reply = await ask(api, stream=stream)
        assert reply.headers["idempotent-replayed"] == "true"
        assert (reply.status, upstream.calls) == (200, 1)
        assert [record.status for record in await api.gateway.records()] == ["completed"]


async def test_a_client_that_left_before_its_key_was_looked_up(
    tmp_path: Path, upstream: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = IdempotencyStore.begin
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(store: IdempotencyStore, *given: Any) -> Any:
        found = await begin(store, *given)
        reached.set()
        await go.wait()
        return found

    monkeypatch.setattr(IdempotencyStore, "begin", slow)
    async with running(tmp_path) as api:
        asked = asyncio.create_task(ask(api))
        await asyncio.wait_for(reached.wait(), 5)
        (connection,) = api.gateway.connections
        connection.abort()
        await until(lambda: not api.gateway.connections)
        go.set()
        await asyncio.gather(asked, return_exceptions=True)
        await until(lambda: not api.gateway.app.state.metrics.in_flight)
        assert upstream.calls == 0
        assert (await ask(api)).status == 200


class Client:
    """A `Sink` that does nothing."""

    started = False
    gone = False
    listener: Listener | None = None

    def start(self, status: int, content_type: bytes, headers: bytes = b"") -> None:
        del status, content_type, headers
        self.started = True

    def write(self, data: bytes, *, last: bool = False) -> None:
        del data, last

    def respond(self, status: int, body: bytes, content_type: bytes = b"", headers: bytes = b"") -> None:
        del status, body, content_type, headers
        self.started = True


class Told:
    """A `Listener` that notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def client_gone(self) -> None:
        self.heard.append("gone")

    def client_slow(self) -> None:
        self.heard.append("slow")

    def client_ready(self) -> None:
        self.heard.append("ready")

    def tick(self, now: float) -> None:
        self.heard.append(now)


def test_the_recorder_passes_on_what_the_client_does() -> None:
    client, told = Client(), Told()
    recorder = Recorder(client, 100)
    assert client.listener is not None
    for once in range(2):
        client.listener.client_gone()
        client.listener.client_slow()
        client.listener.client_ready()
        client.listener.tick(float(once))
        recorder.listener = told
    assert told.heard == ["gone", "slow", "ready", 1.0]


@BOTH
def test_an_end_that_nobody_waited_for_is_none(stream: bool) -> None:
    """A provider that bills after a cancel is read to its end without a client."""
    client = Client()
    recorder = Recorder(client, 100)
    if stream:
        recorder.start(200, EVENT_STREAM)
        recorder.write(b"a")
    client.gone = True
    if stream:
        recorder.write(b"b", last=True)
    else:
        recorder.respond(200, b"{}")
    assert recorder.body is None


def attempt(cause: type[TrunklineError], *, maybe_billed: bool = False) -> AttemptRecord:
    return AttemptRecord(provider="A", model="m", cause=cause.__name__, maybe_billed=maybe_billed)


@pytest.mark.parametrize(
    ("error", "attempts", "kept"),
    [
        (None, [], True),
        (errors.UpstreamRejected("no"), [attempt(errors.UpstreamRejected)], True),
        (errors.Internal("bug"), [attempt(errors.UpstreamFailed)], False),
        (errors.Overloaded("bye"), [], False),
        (errors.ClientGone("bye"), [], False),
        (errors.AllAttemptsFailed("x"), [attempt(errors.UpstreamUnreachable)], False),
        (errors.AllAttemptsFailed("x"), [attempt(errors.UpstreamUnreachable, maybe_billed=True)], True),
        (errors.AllAttemptsFailed("x"), [attempt(errors.UpstreamFailed), attempt(errors.UpstreamUnreachable)], True),
        (errors.AllAttemptsFailed("x", retry_after_s=1), [attempt(errors.UpstreamFailed)], False),
        (errors.UpstreamTimeout("x"), [attempt(errors.UpstreamTimeout)], False),
        (errors.UpstreamTimeout("x"), [attempt(errors.UpstreamTimeout, maybe_billed=True)], True),
        (errors.UpstreamTruncated("x"), [attempt(errors.UpstreamTruncated)], True),
        (errors.UpstreamGarbled("x"), [attempt(errors.UpstreamGarbled)], True),
        (errors.UpstreamDenied("x"), [attempt(errors.UpstreamDenied)], False),
        (errors.UpstreamLimited("x"), [attempt(errors.UpstreamLimited)], False),
        (errors.UpstreamOverloaded("x"), [attempt(errors.UpstreamOverloaded)], False),
    ],
)
def test_what_is_kept(error: TrunklineError | None, attempts: list[AttemptRecord], kept: bool) -> None:
    assert idempotency.keeps(error, attempts) == kept
