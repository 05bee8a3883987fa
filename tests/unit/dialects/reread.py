"""How a request that was captured differs in form from the one that we write, entry by entry.

A table of these says of each capture what stands where, and why ours is another way to say it. An entry that is not
needed any more fails the test.
"""

from collections.abc import Iterable
from difflib import unified_diff
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from trunkline.model.endpoint import Endpoint

Json = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]


class Absent(Struct, frozen=True):
    """At `path` stands `theirs`, which we leave out."""

    path: Path
    theirs: Any
    why: str


class Spelled(Struct, frozen=True):
    """The field at `path` has the name `ours` with us."""

    path: Path
    ours: str
    why: str


class Instead(Struct, frozen=True):
    """At `path` stands `theirs`, and with us `ours`."""

    path: Path
    theirs: Any
    ours: Any
    why: str


class Joined(Struct, frozen=True):
    """The turn at `path` is the end of the one before it with us: of the lists `parts` in both."""

    path: Path
    why: str


class Respaced(Struct, frozen=True):
    """At `path` stands JSON in a string, which we write without blanks."""

    path: Path
    why: str


Form: TypeAlias = Absent | Spelled | Instead | Joined | Respaced


def normal(found: Any) -> bytes:
    """*found* as JSON whose fields stand in order: 1 is not 1.0, and not true."""
    return msgspec.json.encode(found, order="deterministic")


def compare(captured: Json, ours: Json, forms: Iterable[Form] = ()) -> None:
    """Raise AssertionError unless *ours* is *captured* but for *forms*, of which each is needed."""
    forms = tuple(forms)
    wanted = ours_of(captured, forms)
    assert normal(ours) == normal(wanted), _difference(wanted, ours)
    for form in forms:
        without = ours_of(captured, [one for one in forms if one is not form])
        assert normal(ours) != normal(without), f"is not needed any more: {form}"


def _difference(wanted: Json, ours: Json) -> str:
    theirs, mine = [msgspec.json.format(normal(one)).decode().splitlines() for one in (wanted, ours)]
    return "\n".join(["", *unified_diff(theirs, mine, "captured", "ours", lineterm="", n=2)])


def ours_of(captured: Json, forms: Iterable[Form]) -> Json:
    """*captured* in our *forms*."""
    body: Json = msgspec.json.decode(msgspec.json.encode(captured))
    for form in forms:
        at: Any = body
        for step in form.path[:-1]:
            at = at[step]
        _put(at, form.path[-1], form)
    return body


def _put(at: Any, last: str | int, form: Form) -> None:
    match form:
        case Absent(theirs=theirs):
            assert normal(at[last]) == normal(theirs), f"another thing stands there: {form}"
            del at[last]
        case Spelled(ours=ours):
            at[ours] = at.pop(last)
        case Instead(theirs=theirs, ours=ours):
            assert normal(at[last]) == normal(theirs), f"another thing stands there: {form}"
            at[last] = ours
        case Joined():
            assert isinstance(last, int)
            assert at[last]["role"] == at[last - 1]["role"]
            at[last - 1]["parts"] += at.pop(last)["parts"]
        case Respaced():
            at[last] = msgspec.json.encode(msgspec.json.decode(at[last])).decode()


def at_model(endpoint: Endpoint, manifest: bytes, capture: str) -> Endpoint:
    """*endpoint*, serving the model that *capture* was of."""
    found = {one["id"]: one["model"] for one in msgspec.json.decode(manifest)["captures"]}
    return replace(endpoint, upstream_model=found[capture])
