"""Golden files: what came out once, was read by somebody, and must come out again.

A test says `golden(path, got)`. With `--update-golden` the file is written, and the diff is what gets reviewed; without
it the file must hold *got* to the byte.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

from trunkline.dialects.interfaces import Decoder
from trunkline.model.errors import TrunklineError
from trunkline.model.events import Event


class Golden(Struct, frozen=True):
    """Compares with golden files, or writes them where `update` says so."""

    update: bool = False

    def __call__(self, path: Path, got: bytes) -> None:
        """Raise AssertionError unless *path* holds *got*."""
        if self.update:
            path.write_bytes(got)
            return
        assert path.exists(), f"{path} is missing; --update-golden writes it"
        expected = path.read_bytes()
        assert got == expected, f"differs from {path}; --update-golden shows how"


def slices(body: bytes, cuts: Iterable[int]) -> list[bytes]:
    """*body* cut at *cuts*, as far as they lie within it."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(body)}), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def decode(decoder: Decoder, chunks: Iterable[bytes]) -> tuple[list[Event], TrunklineError | None]:
    """The events of *chunks*, and the error that ended them, if one did."""
    events: list[Event] = []
    try:
        for event in _all(decoder, chunks):
            events.append(event)
    except TrunklineError as error:
        return events, error
    return events, None


def _all(decoder: Decoder, chunks: Iterable[bytes]) -> Iterator[Event]:
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.close()


def to_json(events: Sequence[Event], error: TrunklineError | None = None) -> bytes:
    """*events* as JSON for people to read, one a line; then the error that ended them."""
    lines = [msgspec.json.encode(event) for event in events]
    if error is not None:
        told = {"error": type(error).__name__, "message": error.message, "raw": error.raw, "code": error.provider_code}
        lines.append(msgspec.json.encode({key: value for key, value in told.items() if value is not None}))
    return b"[\n" + b",\n".join(lines) + b"\n]\n"
