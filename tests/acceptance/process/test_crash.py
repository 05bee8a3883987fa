"""Killed at any moment (SIGKILL), the gateway forgets no answer whose end a client has seen, and charges none twice.

Source: docs/reference/reliability.md, M4 and G5.
"""

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from served import Answer, Client, Served, configure, demo_model, integrity, launch, records, spending, summed

CLIENTS = 8
WORDS = ("all", "work", "and", "no", "play", "makes", "jack", "a", "dull", "boy", "who", "reads", "this", "line")


class Load:
    """Clients that ask until the server dies, and what they know of it then."""

    def __init__(self, choose: random.Random) -> None:
        self._choose = choose
        self.sent = 0
        self.seen: dict[str, Answer] = {}
        """Answers whose end was seen, by id."""
        self.unseen: set[str] = set()
        """Ids of answers that were cut off."""

    async def run(self, served: Served, seconds: float) -> None:
        """Ask for *seconds*, then kill the server in the middle of it."""
        begun = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._one(Client(served.port), number, begun))
            await begun.wait()
            await asyncio.sleep(seconds)
            served.process.kill()
        served.kill()

    async def _one(self, client: Client, number: int, begun: asyncio.Event) -> None:
        while True:
            answer = Answer()
            more = self._wishes(number)
            words = " ".join(self._choose.sample(WORDS, self._choose.randint(1, 12)))
            self.sent += 1
            try:
                await client.chat(words, answer, **more)
            except (OSError, EOFError):
                self._cut(answer)
                client.close()
                return
            begun.set()
            assert answer.status == 200, answer.body
            assert answer.id not in self.seen, "an id was given twice"
            assert answer.text == words
            self.seen[answer.id] = answer

    def _wishes(self, number: int) -> dict[str, Any]:
        """Streams and bodies, some that pass at once and some that take their time, free ones and priced ones."""
        stream = number % 2 == 0
        slow = self._choose.random() < 0.5
        wishes = {"interval_s": 0.004} if stream and slow else {"delay_s": 0.01} if slow else {}
        model = "acme/priced" if number % 4 < 3 else "demo/echo"
        return {"model": model, "stream": stream, "demo": wishes}

    def _cut(self, answer: Answer) -> None:
        """A cut answer may have shown its end all the same: `[DONE]`, before the connection's."""
        if answer.id and answer.done:
            self.seen[answer.id] = answer
        elif answer.id:
            self.unseen.add(answer.id)


def check(folder: Path, load: Load) -> int:
    """What the database must hold after a restart; the number of its records."""
    rows = {row["id"]: row for row in records(folder)}
    missing = load.seen.keys() - rows.keys()
    assert not missing, f"{len(missing)} of {len(load.seen)} answers are in no record"
    for id_, answer in load.seen.items():
        row, usage = rows[id_], answer.usage
        assert row["status"] == "completed"
        assert (row["prompt_tokens"], row["completion_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
        assert row["cost_pico"] == round(usage["cost"] * 10**12)
        assert row["data"]["id"] == id_
    # Records of answers that nobody saw the end of: the kill came between the journal and the client.
    assert len(rows) <= load.sent
    assert spending(folder) == summed(list(rows.values()))
    assert integrity(folder) == "ok"
    return len(rows)


async def crash(folder: Path, rounds: int, seed: int) -> tuple[Load, int]:
    """Kill it *rounds* times; each start is checked before the next kill."""
    choose = random.Random(seed)
    load = Load(choose)
    configure(folder, models=demo_model())
    for _ in range(rounds):
        served = launch(folder)
        try:
            check(folder, load)
            await load.run(served, choose.uniform(0.0, 0.35))
        finally:
            served.kill()
    served = launch(folder)
    try:
        count = check(folder, load)
        assert list((folder / "data" / "journal").glob("*.bad")) == []
    finally:
        assert served.stop() == 0
    return load, count


def told(load: Load, rounds: int, count: int) -> str:
    return f"\n{rounds} kills: {load.sent} asked, {len(load.seen)} seen; {len(load.unseen)} cut, {count} records\n"


async def test_no_answer_is_lost_and_none_is_charged_twice(tmp_path: Path) -> None:
    load, _ = await crash(tmp_path, 12, seed=12)
    assert len(load.seen) > 100, "too little was asked to show anything"


@pytest.mark.soak
async def test_fifty_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load, count = await crash(tmp_path, 50, seed=50)
    with capsys.disabled():
        sys.stdout.write(told(load, 50, count))
    assert load.unseen, "no answer was under way when the server died"
