"""Steps of many requests, taken together: their order, the journal between them, what is sent at the end."""

import asyncio
from collections.abc import Callable

from trunkline.transport.write_batching import WriteBatcher, Written


class Log:
    """What happened, in order."""

    def __init__(self, failure: OSError | None = None) -> None:
        self.said: list[str] = []
        self.batcher = WriteBatcher(self.write)
        self._failure = failure

    def write(self) -> OSError | None:
        self.said.append("write")
        return self._failure

    def step(self, name: str, *, sends: bool = False, records: bool = False) -> Callable[[], Written | None]:
        def step() -> Written | None:
            self.said.append(name)
            if sends:
                self.batcher.send(lambda: self.said.append(f"{name} sent"))
            return (lambda failure: self.answer(name, failure)) if records else None

        return step

    def answer(self, name: str, failure: OSError | None) -> None:
        self.said.append(f"{name} {'answered' if failure is None else 'failed'}")
        self.batcher.send(lambda: self.said.append(f"{name} told"))


async def test_what_steps_send_leaves_when_all_are_done() -> None:
    log = Log()
    for name in "ab":
        log.batcher.add(log.step(name, sends=True))
    assert log.said == []
    await asyncio.sleep(0)
    assert log.said == ["a", "b", "a sent", "b sent"]


async def test_answers_wait_for_the_one_write_and_leave_together() -> None:
    log = Log()
    log.batcher.add(log.step("a", records=True))
    log.batcher.add(log.step("b", sends=True))
    log.batcher.add(log.step("c", records=True))
    await asyncio.sleep(0)
    assert log.said == ["a", "b", "c", "b sent", "write", "a answered", "c answered", "a told", "c told"]


async def test_a_write_that_failed_is_told_to_each() -> None:
    log = Log(OSError("full"))
    log.batcher.add(log.step("a", records=True))
    await asyncio.sleep(0)
    assert log.said == ["a", "write", "a failed", "a told"]


async def test_what_is_sent_outside_of_a_step_leaves_once_what_came_with_it_is_read() -> None:
    log = Log()
    log.batcher.send(lambda: log.said.append("first"))
    log.batcher.send(lambda: log.said.append("second"))
    log.batcher.add(log.step("a", sends=True))
    assert log.said == []
    await asyncio.sleep(0)
    assert log.said == ["a", "first", "second", "a sent"]
    log.batcher.send(lambda: log.said.append("third"))
    await asyncio.sleep(0)
    assert log.said[-1] == "third"


async def test_a_step_that_adds_one_does_not_starve_the_loop() -> None:
    log = Log()
    log.batcher.add(lambda: log.batcher.add(log.step("later")))
    await asyncio.sleep(0)
    assert log.said == []
    await asyncio.sleep(0)
    assert log.said == ["later"]
