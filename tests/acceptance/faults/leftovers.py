"""What calls leave behind in memory, looked at while the cyclic garbage collector is off.

    with Leftovers() as left:
        ...  # calls, and all that has to follow them
        left.check()

With the collector off, what is in a reference cycle stays, and with it all that the cycle holds. So a call that leaves
a cycle is seen by what of it is left, and the cycle itself is what the collector finds at last.
"""

import gc
import sys
from collections import Counter
from collections.abc import Iterable
from types import CoroutineType, FrameType, TracebackType
from typing import Any

BIG = 64 * 1024
"""Bytes of a string or a body that a call must not leave."""

_LASTING = (
    "trunkline.app",
    "trunkline.catalog",
    "trunkline.ledger.",
    "trunkline.model.record",
    "trunkline.observe",
    "trunkline.providers",
    "trunkline.routing",
    "trunkline.server.http.head_cache",
    "trunkline.server.http.request_head",
    "trunkline.server.http.request_reader",
    "trunkline.server.state",
    "trunkline.storage",
    "trunkline.testing",
    "trunkline.engine.credentials",
    "trunkline.transport.addresses",
    "trunkline.transport.pool",
    "trunkline.engine.router",
    "trunkline.engine.targets",
    "trunkline.engine.signature_memory",
)
"""Modules whose objects may come to stay with a call: counts, averages, connections of a pool."""


_SHARED = ("AttemptRecord", "Connection", "RequestHeaders", "ResponseParser")
"""Types whose objects belong to a record, to a client's connection or to one of a pool."""


def _file(code: Any) -> bool:
    """Whether *code* is the gateway's, and run for a call."""
    _, found, path = str(code.co_filename).partition("/src/trunkline/")
    return bool(found) and not f"trunkline.{path.removesuffix('.py').replace('/', '.')}".startswith(_LASTING)


def of_a_call(thing: object) -> bool:
    """Whether *thing* belongs to one call, so that it must be gone when the call is."""
    if isinstance(thing, FrameType):
        return _file(thing.f_code)
    if isinstance(thing, TracebackType):
        return _file(thing.tb_frame.f_code)
    if isinstance(thing, CoroutineType):
        return _file(thing.cr_code)
    if isinstance(thing, bytes | bytearray | str):
        return sys.getsizeof(thing) >= BIG
    kind = type(thing)
    module = kind.__module__
    return module.startswith("trunkline.") and not module.startswith(_LASTING) and kind.__name__ not in _SHARED


def name_of(thing: object) -> str:
    """A word for *thing*, with which its cause can be found."""
    kind = type(thing).__qualname__
    if isinstance(thing, FrameType):
        return f"{kind} {thing.f_code.co_qualname}"
    if isinstance(thing, TracebackType):
        return f"{kind} {thing.tb_frame.f_code.co_qualname}"
    if isinstance(thing, CoroutineType):
        return f"{kind} {thing.__qualname__}"
    if isinstance(thing, bytes | bytearray | str):
        return f"{kind} of {len(thing)}"
    return kind


def within(things: Iterable[object]) -> list[object]:
    """*things*, and what they hold that the collector does not follow."""
    found = list(things)
    seen = set(map(id, found))
    at = 0
    while at < len(found):
        for one in gc.get_referents(found[at]):
            if id(one) not in seen and not gc.is_tracked(one) and not isinstance(one, type):
                seen.add(id(one))
                found.append(one)
        at += 1
    return found


class Leftovers:
    """The collector is off inside; what there was before does not count."""

    def __enter__(self) -> "Leftovers":
        gc.collect()
        gc.disable()
        gc.freeze()
        return self

    def __exit__(self, *_: object) -> None:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()  # what is frozen stays so, as the suite's own tests are

    def left(self) -> Counter[str]:
        """What of calls is there now, by name."""
        return Counter(sorted(name_of(one) for one in within(gc.get_objects()) if of_a_call(one)))

    def cycles(self) -> Counter[str]:
        """What of the gateway is in reference cycles, or held by one, by name."""
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        found = [one for one in gc.garbage if not isinstance(one, type)]
        gc.garbage.clear()
        return Counter(sorted(name_of(one) for one in within(found) if of_a_call(one)))

    def check_cycles(self) -> None:
        """No cycle holds anything of a call."""
        cycles = self.cycles()
        assert not cycles, f"in cycles: {dict(cycles)}"

    def check(self) -> None:
        """Nothing of any call is there, and no cycle holds anything of one."""
        left = self.left()
        self.check_cycles()
        assert not left, f"left: {dict(left)}"
