"""The faults of docs/reference/reliability.md in every upstream dialect's own forms, for a client of every dialect.

Each pair of dialects is one gateway in which every fault is a model of its own, alone (`x/U12`) and with a healthy
endpoint behind it (`x/U12+`); all are asked at once, streamed and not. What a fault does to chat, in every detail, is
in `test_upstream_faults`; here is what differs by dialect: the end marks, the in-band errors and the envelopes.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faults_upstream import COST, Forever
from faults_wire import Answer, ask
from leftovers import Leftovers
from msgspec import Struct
from voices import UPSTREAMS, Speaks, check_broken, check_refusal, check_whole

from trunkline.model.record import GenerationRecord
from trunkline.settings import Settings, parse
from trunkline.testing.gateway import KEY, running_gateway
from trunkline.testing.scripted import Close, Hang, Json, Replay, Rst, Script, ScriptedUpstream, Seen, Send, Status

CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/api/v1/chat/completions", {"messages": [{"role": "user", "content": "Say hello."}]}),
    "messages": ("/api/v1/messages", {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 99}),
    "responses": ("/api/v1/responses", {"input": "Say hello."}),
}
UNAVAILABLE = ((502,), ("provider_unavailable",))
TIMEOUT = ((504,), ("timeout",))
OVERLOADED = ((503,), ("provider_overloaded",))
EITHER = ((502, 503), ("provider_unavailable", "provider_overloaded"))
LIMITED = ((429,), ("rate_limit_exceeded",))
REJECTED = ((400,), ("invalid_request",))
LIMITS = {
    "connect_s": 4, "first_byte_s": 1.5, "first_content_s": 2, "idle_s": 1.5, "content_idle_s": 2, "total_s": 20,
}  # fmt: skip


class Fault(Struct, frozen=True):
    """What a provider does where a stream is asked for and where a body is, and what follows."""

    stream: Script
    body: Script
    then: tuple[tuple[int, ...], tuple[str, ...]] = UNAVAILABLE
    committed: bool = False
    """Whether a stream has content by then."""
    fine: bool = False
    """It is no fault: the answer is whole."""
    falls_over: bool = True


RESTING = ("U18", "U19")
"""Those after which a credential rests."""


def faults(said: Speaks) -> dict[str, Fault]:
    """By their ids, as a provider that speaks so commits them."""

    def stream(data: bytes, *, end: bool = True) -> Replay:
        return Replay(data, said.content_type, end=end)

    half = Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n" + said.body[:40])
    begun = said.head + said.hello
    refusal = Json(said.refusal)
    found = {
        "U5": Fault([Hang()], [Hang()], TIMEOUT),
        "U7": Fault([stream(said.head, end=False), Hang()], [half, Hang()], TIMEOUT),
        "U8": Fault([stream(begun, end=False), Hang()], [half, Hang()], TIMEOUT, committed=True),
        "U9": Fault([stream(begun + said.there[:20], end=False), Hang()], [half, Hang()], TIMEOUT, committed=True),
        "U12": Fault([Rst()], [Rst()]),
        "U12-after-head": Fault([stream(said.head, end=False), Close()], [half, Close()]),
        "U13": Fault([stream(begun, end=False), Rst()], [half, Rst()], committed=True),
        "U14": Fault([stream(begun)], [half, Close()], committed=True),
        "U14-all-but-the-end": Fault([stream(begun + said.there)], [half, Close()], committed=True),
        "U15": Fault([stream(begun + said.there[:-9])], [half, Close()], committed=True),
        "U17-500": Fault([Status(500, {}, said.refusal)], [Status(500, {}, said.refusal)]),
        "U17-503": Fault([Status(503, {}, said.refusal)], [Status(503, {}, said.refusal)], OVERLOADED),
        "U17-html": Fault([Status(502, {}, b"<html>SECRET</html>")], [Status(502, {}, b"<html>SECRET</html>")]),
        "U18": Fault([Status(429, {}, said.refusal)], [Status(429, {}, said.refusal)], LIMITED),
        "U19": Fault([Status(401, {}, said.refusal)], [Status(401, {}, said.refusal)]),
        "U20": Fault([Status(400, {}, b'{"error": "no"}')], [Status(400, {}, b'{"error": "no"}')], REJECTED,
                     falls_over=False),
        "U21-404": Fault([Status(404, {}, said.refusal)], [Status(404, {}, said.refusal)]),
        "U21-html": Fault([Status(200, {}, b"<html>SECRET</html>")], [Status(200, {}, b"<html>SECRET</html>")]),
        "U22": Fault([refusal], [refusal]),
        "U23": Fault([stream(said.error)], [refusal]),
        "U23-after-head": Fault([stream(said.head + said.error)], [refusal]),
        "U23-overloaded": Fault([stream(said.overloaded)], [refusal], EITHER),
        "U23-empty": Fault([stream(b"")], [Status(200, {}, b"")]),
        "U24": Fault([stream(begun + said.error + said.there + said.end)], [refusal], committed=True),
        "U28": Fault([stream(begun + said.garbled + said.there + said.end)], [Json(b"{not json}")], committed=True),
        "U28-array": Fault([stream(begun + said.garbled)], [Json([1, 2])], committed=True),
        "U25": Fault([Json(said.body)], [Json(said.body)], fine=True),
        "U26": Fault([stream(said.stream)], [stream(said.stream)], fine=True),
        "U27": Fault([Replay(said.stream, "text/plain")], [Replay(said.body, "text/html")], fine=True),
        "U30": Fault([stream(begun + said.unknown + said.there + said.end + said.done)], [Json(said.body)], fine=True),
        "U32": Fault([Replay(said.stream, said.content_type, range(len(said.stream)))],
                     [Replay(said.body, cuts=range(len(said.body)))], fine=True),
        "U39": Fault([stream(said.stream + (said.hello + said.error if said.marked else said.unknown))],
                     [Json(said.body)], fine=True),
    }  # fmt: skip
    if said.ping:
        found["U10"] = Fault(
            [Send(_head(said) + _chunk(begun)), Forever(said.ping)],
            [Hang()],
            TIMEOUT,
            committed=True,
        )
    if said.content_type == "text/event-stream":
        text = said.stream
        found |= {
            "U29": Fault([stream(begun + b"data:\n\n\n" + said.there + said.end + said.done)], [Json(said.body)],
                         fine=True),
            "U31-crlf": Fault([stream(text.replace(b"\n", b"\r\n"))], [Json(said.body)], fine=True),
            "U31-cr": Fault([stream(text.replace(b"\n", b"\r"))], [Json(said.body)], fine=True),
            "U31-bom": Fault([stream(b"\xef\xbb\xbf" + text)], [Json(said.body)], fine=True),
            "U31-no-blank-line": Fault([stream(text[:-2])], [Json(said.body)], fine=True),
        }  # fmt: skip
    return found


def _head(said: Speaks) -> bytes:
    kind = said.content_type.encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n" % kind


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def wants_stream(seen: Seen) -> bool:
    """By the body or, where that does not say, by the path."""
    return bool(msgspec.json.decode(seen.body).get("stream")) or "stream" in seen.path.rpartition("/")[2].lower()


def settings(dialect: str, names: list[str], origin: str) -> Settings:
    """A provider for each fault, under a path of its own, and a good one."""
    provider = {"dialect": dialect, "credentials": [{"api_key": "sk-provider-SECRET-marker"}]}
    price = {"prompt": 1, "completion": 2}
    configuration: dict[str, Any] = {
        "keys": [{"name": "tests", "secret": KEY}],
        "timeouts": LIMITS,
        "server": {"port": 0},
        "routing": {"default_sort": "configured"},
        "providers": {
            slug.lower(): {**provider, "name": slug, "base_url": f"{origin}/{slug}"} for slug in [*names, "good"]
        },
        "models": {},
    }
    for name in names:
        bad = {"provider": name.lower(), "upstream_model": "m", "price": price}
        good = {**bad, "provider": "good"}
        configuration["models"][f"x/{name}"] = {"endpoints": [bad]}
        configuration["models"][f"x/{name}+"] = {"endpoints": [bad, good]}
    return parse(msgspec.json.encode(configuration), {})


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("dialect", UPSTREAMS)
async def test_faults(dialect: str, client: str, tmp_path: Path, subtests: pytest.Subtests) -> None:
    said = UPSTREAMS[dialect]
    every = faults(said)

    def choose(seen: Seen) -> Script:
        name = seen.path.split("/")[1]
        stream = wants_stream(seen)
        if name == "good":
            return [Replay(said.stream, said.content_type) if stream else Json(said.body)]
        return every[name].stream if stream else every[name].body

    path, body = CLIENTS[client]
    cases = [(name, healthy, stream) for name in every for healthy in (False, True) for stream in (True, False)]
    async with contextlib.AsyncExitStack() as stack, ScriptedUpstream(choose=choose) as upstream:
        made = settings(dialect, list(every), upstream.origin)
        async with running_gateway(made, folder=tmp_path) as running:
            left = stack.enter_context(Leftovers())

            async def one(name: str, healthy: bool, stream: bool) -> Answer:
                asked = {"model": f"x/{name}{'+' if healthy else ''}", "stream": stream, **body}
                return await ask(running.port, asked, path=path, within_s=20)

            # A refused or limited credential rests: those that rest it are asked one after another.
            answers: dict[tuple[str, bool, bool], Answer] = {}
            resting = [case for case in cases if case[0] in RESTING]
            others = [case for case in cases if case not in resting]
            answers.update(zip(others, await asyncio.gather(*(one(*case) for case in others)), strict=True))
            for case in resting:
                answers[case] = await one(*case)
            records = {record.id: record for record in await running.records()}
            assert len(records) == len(answers), "one request, one record"
            for (name, healthy, stream), answer in answers.items():
                with subtests.test(f"{name} {'healthy' if healthy else 'alone'} {'stream' if stream else 'body'}"):
                    _check(name, every[name], client, answer, records[answer.id], healthy=healthy, stream=stream)
            assert running.network.connections_open == running.network.connections_idle
            left.check_cycles()


def _check(
    name: str, fault: Fault, client: str, answer: Answer, record: GenerationRecord, *, healthy: bool, stream: bool
) -> None:
    if fault.fine:
        check_whole(client, answer, stream=stream)
        assert (record.status, record.usage.prompt, record.usage.completion) == ("completed", 7, 3)
        assert record.cost == COST
        assert not record.attempts
    elif fault.committed and stream:
        check_broken(client, answer, fault.then[1])
        assert record.status == "partial"
        assert record.error_type in fault.then[1]
    elif healthy and fault.falls_over:
        check_whole(client, answer, stream=stream)
        # A credential that rests since it was asked alone is not asked again.
        assert (record.status, record.provider) == ("completed", "good")
        assert len(record.attempts) == (0 if name in RESTING else 1)
    else:
        check_refusal(client, answer, *fault.then)
        assert (record.status, record.cost) == ("failed", 0)


def test_every_dialect_has_the_faults_of_chat() -> None:
    """What is spliced is the same in all dialects, but for framing that a dialect does not have."""
    chat = set(faults(UPSTREAMS["chat"]))
    for dialect, said in UPSTREAMS.items():
        missing = chat - set(faults(said))
        assert missing <= ({"U10", "U29", "U31-crlf", "U31-cr", "U31-bom", "U31-no-blank-line"} if dialect == "converse"
                           else set())  # fmt: skip
