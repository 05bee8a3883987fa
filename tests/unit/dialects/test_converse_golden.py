"""Golden answers of Converse and what they mean, and golden requests of every client as they leave for it.

A `.frames` file is a stream for people to read: a frame a line, as its message type, its name and its payload. What
leaves is in `requests/converse/<client>.<case>.<model>.json`: an empty file there asks for the rest, which
`--update-golden` writes.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_help import GOLDEN, cases, name
from converse_help import endpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.dialects.bedrock_converse import response_event_stream as event_stream
from trunkline.dialects.bedrock_converse.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import CLIENTS, UPSTREAMS
from trunkline.model.events import Event, check
from trunkline.testing.golden import Golden, decode, slices, to_json

STREAMS = cases("streams/converse/*.frames")
BODIES = cases("streams/converse/*.json")
ANSWERS = STREAMS + BODIES
REQUESTS = sorted((GOLDEN / "requests" / "converse").glob("*.json"))
MODELS = {"claude": "us.anthropic.claude-sonnet-4-20250514-v1:0", "nova": "us.amazon.nova-2-lite-v1:0"}
WRITERS = {"event": event_stream.event, "exception": event_stream.exception}


def body(case: Path) -> bytes:
    """The bytes of *case* on the wire."""
    if case.suffix == ".json":
        return case.read_bytes()
    lines = (line.split(" ", 2) for line in case.read_text().splitlines())
    return b"".join(WRITERS[kind](name, payload.encode()) for kind, name, payload in lines)


def read(case: Path, chunks: list[bytes]) -> Any:
    return decode(BodyDecoder() if case.suffix == ".json" else StreamDecoder(), chunks)


@pytest.mark.parametrize("case", ANSWERS, ids=name)
def test_what_it_means(case: Path, golden: Golden) -> None:
    events, error = read(case, [body(case)])
    if error is None:
        check(events)
    golden(case.with_suffix(".events.json"), to_json(events, error))


@pytest.mark.parametrize("case", ANSWERS, ids=name)
@settings(max_examples=15)
@given(cuts=st.sets(st.integers(1, 3000), max_size=40))
def test_however_the_network_slices_it_it_means_the_same(case: Path, cuts: set[int]) -> None:
    whole = body(case)
    events, error = read(case, [whole])
    cut: list[Event]
    cut, cut_error = read(case, slices(whole, cuts))
    assert cut == events
    assert type(cut_error) is type(error)


@pytest.mark.parametrize("case", REQUESTS, ids=name)
def test_what_leaves(case: Path, golden: Golden) -> None:
    dialect, source, model = case.stem.split(".")
    client = CLIENTS[dialect]
    request = client.decode(client.parse((GOLDEN / "requests" / dialect / f"{source}.json").read_bytes()))
    encoded = UPSTREAMS["converse"].encode(request, endpoint(MODELS[model]), Quirks())
    told = {"body": msgspec.json.decode(encoded.body), "losses": {loss.path: loss.why for loss in encoded.losses}}
    golden(case, msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")


def test_every_golden_file_is_used() -> None:
    answers = {case.with_suffix(suffix) for case in ANSWERS for suffix in (case.suffix, ".toml", ".events.json")}
    assert set((GOLDEN / "streams" / "converse").iterdir()) == answers
    assert set((GOLDEN / "requests" / "converse").iterdir()) == set(REQUESTS)
    assert len(REQUESTS) > 5
