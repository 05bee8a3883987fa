"""What providers of these tests say, and what must have become of it."""

import asyncio
import json
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from faults_wire import Answer, Wire
from msgspec import Struct

from trunkline.model.record import GenerationRecord
from trunkline.testing.gateway import KEY, MODEL, PROVIDER_KEY, RunningGateway
from trunkline.testing.scripted import Exchange, Script, ScriptedUpstream

TEXT = "Hello there"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
COST = 7 * 10**6 + 3 * 2 * 10**6
"""Pico-dollars of `USAGE`."""
DONE = b"data: [DONE]\n\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream; without choices where *delta* is None."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "up-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "x", "choices": choices}
    return b"data: %s\n\n" % json.dumps({**body, **more}).encode()


ROLE = event({"role": "assistant", "content": ""})
HELLO = event({"content": "Hello"})
THERE = event({"content": " there"})
STOP = event({}, "stop")
USED = event(None, usage=USAGE)
STREAM = ROLE + HELLO + THERE + STOP + USED + DONE
BODY: dict[str, Any] = {
    "id": "up-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
    "usage": USAGE,
}
JSON = json.dumps(BODY).encode()


def chunk(data: bytes) -> bytes:
    """*data* as one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Forever(Struct, frozen=True):
    """*data* as a chunk, again and again, *pause_s* apart."""

    data: bytes
    pause_s: float = 0.05

    async def play(self, exchange: Exchange) -> None:
        while True:
            await exchange.send(chunk(self.data))
            await asyncio.sleep(self.pause_s)


class Good(Struct, frozen=True):
    """The right answer to what was asked."""

    async def play(self, exchange: Exchange) -> None:
        assert exchange.seen is not None
        if json.loads(exchange.seen.body).get("stream"):
            await exchange.send(STREAM_HEAD + chunk(STREAM) + b"0\r\n\r\n")
        else:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(JSON)
            await exchange.send(head + JSON)


def good() -> ScriptedUpstream:
    """A healthy provider."""
    return ScriptedUpstream([Good()])


def by_mode(stream: Script, body: Script) -> ScriptedUpstream:
    """A provider that plays *stream* where a stream is asked for, else *body*."""
    return ScriptedUpstream(choose=lambda seen: stream if json.loads(seen.body).get("stream") else body)


@contextmanager
def refused() -> Generator[str]:
    """An origin where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def blackhole() -> Generator[str]:
    """An origin that does not answer a SYN: its queue is full."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        waiting: list[socket.socket] = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(sock.getsockname())
            waiting.append(one)
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()


# What a client got.


def text_of(answer: Answer) -> str:
    """The content of an answer, streamed or not; up to an error, if it ends in one."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json["choices"][0]["message"]["content"])
    chunks = [frame for frame in answer.frames if frame != "[DONE]"]
    return "".join(one["delta"].get("content") or "" for frame in chunks for one in frame["choices"])


def check_whole(answer: Answer, *, stream: bool, text: str = TEXT, finish: str = "stop") -> None:
    """The right answer, to its end."""
    assert answer.status == 200, answer.body[:500]
    assert answer.whole
    assert text_of(answer) == text
    if stream:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.frames[-1] == "[DONE]"
        assert answer.frames.count("[DONE]") == 1
        chunks = answer.frames[:-1]
        assert not any("error" in frame for frame in chunks)
        # The usage chunk says it again, as OpenRouter's does.
        assert {one["finish_reason"] for frame in chunks for one in frame["choices"]} - {None} == {finish}
        found = [frame["usage"] for frame in chunks if frame.get("usage")]
        assert len(found) <= 1
    else:
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["choices"][0]["finish_reason"] == finish
        assert "error" not in answer.json


def check_refusal(answer: Answer, statuses: tuple[int, ...], kinds: tuple[str, ...], provider: str | None) -> None:
    """An error status with chat's envelope, and with nothing in it that is ours alone."""
    assert answer.status in statuses, answer.body[:500]
    assert answer.whole
    error = answer.json["error"]
    assert error["code"] == answer.status
    assert isinstance(error["message"], str)
    assert error["metadata"]["error_type"] in kinds
    if provider is not None:
        assert error["metadata"]["provider_name"] == provider
    assert answer.headers["content-type"] == "application/json"
    check_secrets(answer)


def check_broken(answer: Answer, kinds: tuple[str, ...], *, content: bool = True, finished: bool = False) -> Any:
    """A stream that ends in an in-band error; the `error`. *finished*: it may have said that it ended well before."""
    assert answer.status == 200, answer.body[:500]
    assert answer.whole, "the client must see the error's end"
    assert answer.frames[-1] == "[DONE]", answer.body[-500:]
    failed = [frame for frame in answer.frames[:-1] if "error" in frame]
    assert len(failed) == 1, answer.body[-1000:]
    last = failed[0]
    assert [one["finish_reason"] for one in last["choices"]] == ["error"]
    assert last["choices"][0]["delta"]["content"] == ""
    assert isinstance(last["error"]["code"], int)
    assert last["error"]["metadata"]["error_type"] in kinds
    others = [frame for frame in answer.frames[:-1] if "error" not in frame]
    assert finished or not [
        one["finish_reason"] for frame in others for one in frame["choices"] if one["finish_reason"]
    ]
    assert not content or ("Hello".startswith(text_of(answer)[:5]) and text_of(answer))
    check_secrets(answer)
    return last["error"]


def check_secrets(answer: Answer) -> None:
    """No address, key, path or markup of an upstream's in an error."""
    told = answer.body.decode() + " ".join(answer.headers.values())
    for secret in ("127.0.0.1", "localhost", PROVIDER_KEY, KEY, "/v1", "Traceback", ".py", "<html", "SECRET"):
        assert secret not in told, secret


async def check_record(
    running: RunningGateway, answer: Answer, status: str, *, provider: str | None = None, causes: int | None = None
) -> GenerationRecord:
    """The only record there is: by the answer's id, through the API as in the database."""
    async with await Wire.open(running.port) as wire:
        request = f"GET /api/v1/generation?id={answer.id} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {KEY}\r\n\r\n"
        await wire.send(request.encode())
        found = await wire.answer()
    assert found.status == 200, found.body
    told = found.json["data"]
    assert told["id"] == answer.id
    assert told["status"] == status
    (record,) = await running.records()
    assert record.id == answer.id
    assert record.status == status
    assert record.model == MODEL
    if provider is not None:
        assert record.provider == provider
    if causes is not None:
        assert len(record.attempts) == causes, record.attempts
    assert record.cost >= 0
    assert PROVIDER_KEY not in repr(record)
    return record


async def eventually(true: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Wait for what must come soon."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - what is waited for has no events
            await asyncio.sleep(0.01)
