"""Killed at any moment (SIGKILL), the gateway has one record of every request that reached a provider.

Source: docs/reference/reliability.md, M4 and "One request, one record".
"""

import asyncio
import json
import random
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from served import Client, Served, configure, integrity, launch, records, spending, summed

from trunkline.testing.scripted import Action, Json, Pause, ScriptedUpstream, Seen, Send

CLIENTS = 12
REQUESTS = 400
"""Models of one round: each request asks for one of its own, so that its record is known by the model."""
PRICE = {"prompt": 1.0, "completion": 3.0, "request": 0.01}
BODY = {
    "id": "up-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}


def frame(**fields: Any) -> bytes:
    chunk = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "x", **fields}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def stream(pause_s: float) -> list[Action]:
    """A slow stream in one chunked body."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": "Hel"}, "finish_reason": None}
    end = {"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}
    pieces = [frame(choices=[choice]), frame(choices=[end]), frame(choices=[], usage=BODY["usage"])]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    script: list[Action] = [Send(head)]
    for piece in [*pieces, b"data: [DONE]\n\n"]:
        script += [Send(b"%x\r\n%s\r\n" % (len(piece), piece)), Pause(pause_s)]
    return [*script, Send(b"0\r\n\r\n")]


SCRIPTS: tuple[list[Action], ...] = ([Json(BODY)], [Pause(0.02), Json(BODY)], [Pause(0.5), Json(BODY)])


def model_of(seen: Seen) -> str:
    """The model that a whole request asked the provider for; empty where the kill cut it."""
    with suppress(ValueError):
        return str(json.loads(seen.body)["model"])
    return ""


class Rounds:
    """Kills, one after another, of a gateway in one folder."""

    def __init__(self, folder: Path, seed: int, **blocks: Any) -> None:
        self.folder = folder
        self.choose = random.Random(seed)
        self.blocks = blocks
        self.reached: set[str] = set()
        self.statuses: Counter[str] = Counter()

    def configure(self, origin: str, number: int) -> list[str]:
        """One provider, and as many models as requests may be made."""
        names = [f"r{number}m{index}" for index in range(REQUESTS)]
        endpoint = {"provider": "acme", "price": PRICE, "max_output": 10}
        configure(
            self.folder,
            providers={"acme": {"base_url": f"{origin}/v1", "credentials": [{"api_key": "sk-provider"}]}},
            models={f"acme/{name}": {"endpoints": [{**endpoint, "upstream_model": name}]} for name in names},
            **self.blocks,
        )
        return names

    async def kill_once(self, number: int, *, wait_s: float) -> None:
        """Serve for *wait_s* seconds of requests, then kill."""
        scripts: list[list[Action]] = [*SCRIPTS, stream(0.0), stream(0.05)]
        chosen: list[list[Action]] = [self.choose.choice(scripts) for _ in range(REQUESTS)]
        async with ScriptedUpstream(*chosen) as upstream:
            names = await asyncio.to_thread(self.configure, upstream.origin, number)
            served = await asyncio.to_thread(launch, self.folder)
            try:
                await self._load(served, names, wait_s)
            finally:
                await asyncio.to_thread(served.kill)
            await asyncio.sleep(0.05)  # what is on its way to the provider arrives
            self.reached |= {model_of(seen) for seen in upstream.seen} - {""}

    async def _load(self, served: Served, names: list[str], wait_s: float) -> None:
        async def client(number: int) -> None:
            one = Client(served.port)
            with suppress(OSError, EOFError, TimeoutError):
                while names:
                    await one.chat("Say hello.", model=f"acme/{names.pop()}", stream=number % 2 == 0)
            one.close()

        asking = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
        await asyncio.sleep(wait_s)
        served.process.kill()
        await asyncio.gather(*asking)

    async def check(self) -> None:
        """A start makes the missing records; then each request has one."""
        served = await asyncio.to_thread(launch, self.folder)
        try:
            rows = records(self.folder)
        finally:
            assert await asyncio.to_thread(served.stop) == 0
        found = Counter(row["model"].removeprefix("acme/") for row in rows)
        missing = self.reached - found.keys()
        assert not missing, f"{len(missing)} of {len(self.reached)} requests that reached the provider have no record"
        assert set(found.values()) <= {1}, "a request has two records"
        assert spending(self.folder) == summed(rows)
        assert integrity(self.folder) == "ok"
        folder = self.folder / "data" / "journal"
        assert not list(folder.glob("*.bad"))
        assert not list(folder.glob("*.intents"))
        self.statuses = Counter(row["status"] for row in rows)


async def kill(folder: Path, rounds: int, seed: int) -> Rounds:
    killed = Rounds(folder, seed)
    for number in range(rounds):
        await killed.kill_once(number, wait_s=killed.choose.uniform(0.02, 0.4))
        if number % 5 == 4:
            await killed.check()
    await killed.check()
    return killed


async def test_every_request_that_reached_a_provider_has_one_record(tmp_path: Path) -> None:
    killed = await kill(tmp_path, 10, seed=10)
    assert killed.statuses["interrupted"] >= 10, "too little was under way to show anything"
    assert killed.statuses["completed"] >= 50


@pytest.mark.soak
async def test_fifty_kills_with_requests_under_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed = await kill(tmp_path, 50, seed=50)
    with capsys.disabled():
        sys.stdout.write(f"\n50 kills: {len(killed.reached)} requests reached the provider; {dict(killed.statuses)}\n")


@pytest.mark.parametrize(("policy", "cost"), [("estimate", None), ("reserve", None), ("free", 0)])
async def test_an_interrupted_request_is_charged_by_policy(tmp_path: Path, policy: str, cost: int | None) -> None:
    async with ScriptedUpstream([Pause(30), Json(BODY)]) as upstream:
        killed = Rounds(tmp_path, 1, ledger={"interrupted": policy})
        names = killed.configure(upstream.origin, 0)
        served = await asyncio.to_thread(launch, tmp_path)
        one = Client(served.port)
        await one.send("/api/v1/chat/completions", {"model": f"acme/{names[0]}", "messages": [
            {"role": "user", "content": "Say hello."}
        ]})  # fmt: skip
        async with asyncio.timeout(20):
            while not (upstream.seen and upstream.seen[0].body):  # noqa: ASYNC110 - another process sends it
                await asyncio.sleep(0.01)
        await asyncio.to_thread(served.kill)
        one.close()
        sent = upstream.seen[0].body
    served = await asyncio.to_thread(launch, tmp_path)
    try:
        (row,) = records(tmp_path)
    finally:
        await asyncio.to_thread(served.stop)
    tokens, request = len(sent) // 4, 10_000_000_000
    assert (row["status"], row["prompt_tokens"], row["completion_tokens"]) == ("interrupted", tokens, 0)
    if policy == "estimate":
        cost = tokens * 1_000_000 + request
    if cost is None:  # at least a token for two bytes, and the longest answer
        assert row["cost_pico"] >= len(sent) // 2 * 1_000_000 * 0.8 + 10 * 3_000_000 + request
    else:
        assert row["cost_pico"] == cost
