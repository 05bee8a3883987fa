"""What upstreams and clients may send that send anything at all; by the random numbers that a test hands in."""

import random
from pathlib import Path
from typing import Any

import msgspec

JUNK: list[Any] = [None, 7, -1, True, "", [], {}, "x", ["x"], [{}], {"x": 1}, [None], 1.5]


def spoiled(chance: random.Random, value: Any, share: float) -> Any:
    """*value* with a *share* of what is in it gone, or something else."""
    if chance.random() < share:
        return chance.choice(JUNK)
    if isinstance(value, dict):
        return {key: spoiled(chance, inner, share) for key, inner in value.items() if chance.random() > share / 2}
    return [spoiled(chance, inner, share) for inner in value] if isinstance(value, list) else value


def spoiled_stream(chance: random.Random, case: Path) -> bytes:
    share = chance.choice([0.01, 0.03, 0.1])
    lines = [line[6:] for line in case.read_bytes().splitlines() if line.startswith(b"data: {")]
    frames = [msgspec.json.encode(spoiled(chance, msgspec.json.decode(line), share)) for line in lines]
    if chance.random() < 0.3:
        chance.shuffle(frames)
    if chance.random() < 0.3:
        frames.pop(chance.randrange(len(frames)))
    return b"".join(b"data: %s\n\n" % frame for frame in frames)
