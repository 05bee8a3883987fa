"""Nothing of a captured answer is lost on the way in: whichever value in it is changed, what we read changes too.

What is not read is in `IGNORED`, with the reason. Skipped where ../shared is not there.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest
from chat_help import Shared

from trunkline.dialects.bedrock_converse.response_event_stream import FrameReader, write
from trunkline.dialects.bedrock_converse.response_state import Frame
from trunkline.dialects.interfaces import Decoder
from trunkline.dialects.registry import UPSTREAMS
from trunkline.testing.golden import decode

Way: TypeAlias = tuple[str | int, ...]

ROLE = "an answer is the model's"
AGAIN = "said with each chunk: the first word counts"
LAST = "said with each chunk: the last word counts, and none where an error is the last"
DETAILS = "an error is its code, its words and how long to wait; further details stay with the provider"
STATUS = "the HTTP status, or the name of the code, once more"
TOKEN = "a token's number in the provider's own vocabulary: no client's dialect has a word for it"
NO_USAGE = "usage that counts nothing yet; the last chunk says it with the counts"
PIECE = "a call in pieces: that a piece of text goes on is seen from the next one, and its end is an empty call"
LISTED = "as in a stream, in a list of its chunks"
HIDES = "blanks that hide from who listens how long an event is"
ALONE = "it tells blocks apart that are open at once; one that is open alone is the same by any number"
IGNORED: dict[str, dict[str, tuple[int, str]]] = {
    "gemini": {
        "candidates[].content": (1, "content of nothing"),
        "candidates[].content.role": (20, ROLE),
        "candidates[].finishReason": (2, LAST),
        "candidates[].logprobsResult.chosenCandidates[].tokenId": (1, TOKEN),
        "candidates[].logprobsResult.topCandidates[].candidates[].tokenId": (2, TOKEN),
        "candidates[].safetyRatings[].category": (8, LAST),
        "candidates[].safetyRatings[].probability": (8, LAST),
        "error.code": (5, STATUS),
        "error.details": (13, DETAILS),
        "usageMetadata.trafficType": (1, NO_USAGE),
        "later: candidates[].content.parts[].functionCall": (2, PIECE),
        "later: candidates[].content.parts[].functionCall.partialArgs[].willContinue": (2, PIECE),
        "later: candidates[].content.role": (33, ROLE),
        "later: candidates[].finishReason": (3, LAST),
        "later: candidates[].safetyRatings[].category": (12, LAST),
        "later: candidates[].safetyRatings[].probability": (12, LAST),
        "later: createTime": (7, AGAIN),
        "later: error.code": (2, STATUS),
        "later: error.details": (2, DETAILS),
        "later: modelVersion": (31, AGAIN),
        "later: responseId": (23, AGAIN),
        "later: usageMetadata.trafficType": (6, NO_USAGE),
        "[].candidates[].content.role": (3, LISTED),
        "[].modelVersion": (2, LISTED),
        "[].responseId": (2, LISTED),
    },
    "converse": {
        "output.message.role": (12, ROLE),
        "p": (7, HIDES),
        "role": (7, ROLE),
        "later: contentBlockIndex": (26, ALONE),
        "later: p": (212, HIDES),
    },
}
"""Dialect → what is not read of an answer → in how many places of all captures, and why."""


def leaves(found: Any, way: Way = ()) -> Iterator[Way]:
    """Where there is a value in *found*, or something empty."""
    items = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    empty = True
    for key, value in items:
        empty = False
        yield from leaves(value, (*way, key))
    if empty:
        yield way


def changed(found: Any, way: Way) -> Any:
    """*found* with another value of the same kind at *way*."""
    if way:
        copy: Any = dict(found) if isinstance(found, dict) else list(found)
        copy[way[0]] = changed(found[way[0]], way[1:])
        return copy
    match found:
        case bool():
            return not found
        case int() | float():
            return found + 1
        case str():
            return f"{found}x"
        case dict():
            return {"novel": 1}
        case list():
            return ["novel"]
        case _:
            return "novel"


def pattern(way: Way) -> str:
    """*way* with its indices left out; the first of several chunks is told from the later ones."""
    head, *rest = way
    first = "" if head == 0 else "later: "
    if "details" in rest:  # of an error, by google.rpc: its shapes are many
        rest = rest[: rest.index("details") + 1]
    return first + "".join("[]" if isinstance(step, int) else f".{step}" for step in rest).lstrip(".")


class Answer:
    """A captured answer: its JSON values in order, and how they are read."""

    def __init__(self, dialect: str, folder: Path) -> None:
        self.name = folder.name
        self._upstream = UPSTREAMS[dialect]
        self._status: int = msgspec.json.decode((folder / "expected.json").read_bytes())["http_status"] or 200
        self.values: list[Any] = []
        self._write: Callable[[int, Any], bytes] = lambda _, value: msgspec.json.encode(value)
        (path,) = folder.glob("response.*")
        self._sse = path.suffix != ".json"
        self._read(path.read_bytes())

    def _read(self, body: bytes) -> None:
        if not self._sse:
            self.values = [msgspec.json.decode(body)]
        elif self._upstream.name == "converse":
            frames = list(FrameReader().feed(body))
            self.values = [msgspec.json.decode(frame.payload) for frame in frames]
            self._write = lambda at, value: _framed(frames[at], value)
        else:
            blocks = [block for block in body.replace(b"\r\n", b"\n").split(b"\n\n") if block.strip()]
            heads = [b"data: " if block.startswith(b"data: ") else b"" for block in blocks]
            self.values = [json.loads(block.removeprefix(b"data: ")) for block in blocks]
            self._write = lambda at, value: heads[at] + msgspec.json.encode(value) + b"\n\n"

    def meaning(self, values: list[Any]) -> bytes:
        """What we understand of *values*: the events and the error, or the error of a refusal."""
        body = b"".join(self._write(at, value) for at, value in enumerate(values))
        if self._status != 200:
            error = self._upstream.error(self._status, {}, body, 0.0)
            return msgspec.json.encode([type(error).__name__, vars(error)])
        decoder: Decoder = self._upstream.decoder(sse=self._sse)
        events, failed = decode(decoder, [body])
        return msgspec.json.encode([events, None if failed is None else [type(failed).__name__, vars(failed)]])


def _framed(frame: Frame, value: Any) -> bytes:
    return write(frame.headers, msgspec.json.encode(value))


@pytest.mark.parametrize(("dialect", "folder"), [("gemini", "gemini"), ("converse", "bedrock_converse")])
def test_every_value_is_read(dialect: str, folder: str, shared: Shared) -> None:
    unread: Counter[str] = Counter()
    seen = 0
    for path in sorted(shared(f"fixtures/upstream/{folder}").iterdir()):
        answer = Answer(dialect, path)
        usual = answer.meaning(answer.values)
        for way in leaves(answer.values):
            seen += 1
            unread[pattern(way)] += answer.meaning(changed(answer.values, way)) == usual
    assert +unread == {place: count for place, (count, _) in IGNORED[dialect].items()}
    assert seen > 800
