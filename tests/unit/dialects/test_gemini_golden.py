"""Golden answers of Gemini and what they mean, and golden requests of every client as they leave for it.

What leaves is in `requests/gemini/<client>.<case>.<model>.json`: an empty file there asks for the rest, which
`--update-golden` writes.
"""

from pathlib import Path

import msgspec
import pytest
from chat_help import GOLDEN, cases, name
from gemini_help import FLASH, GEMINI, THREE, endpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_help import carry

from trunkline.dialects.google_genai.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import CLIENTS
from trunkline.model.events import check
from trunkline.testing.golden import Golden, decode, slices, to_json

STREAMS = cases("streams/gemini/*.sse")
BODIES = cases("streams/gemini/*.json")
ANSWERS = STREAMS + BODIES
REQUESTS = sorted((GOLDEN / "requests" / "gemini").glob("*.json"))
MODELS = {"flash": FLASH, "three": THREE}


def decoder(case: Path) -> StreamDecoder | BodyDecoder:
    return StreamDecoder() if case.suffix == ".sse" else BodyDecoder()


@pytest.mark.parametrize("case", ANSWERS, ids=name)
def test_what_it_means(case: Path, golden: Golden) -> None:
    events, error = decode(decoder(case), [case.read_bytes()])
    if error is None:
        check(events)
    golden(case.with_suffix(".events.json"), to_json(events, error))


@pytest.mark.parametrize("case", ANSWERS, ids=name)
@settings(max_examples=15)
@given(cuts=st.sets(st.integers(1, 3000), max_size=40))
def test_however_the_network_slices_it_it_means_the_same(case: Path, cuts: set[int]) -> None:
    whole = case.read_bytes()
    events, error = decode(decoder(case), [whole])
    cut, cut_error = decode(decoder(case), slices(whole, cuts))
    assert cut == events
    assert type(cut_error) is type(error)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("case", ANSWERS, ids=name)
def test_what_a_client_gets(case: Path, client: str, golden: Golden) -> None:
    sse = case.suffix == ".sse"
    out = carry(client, "gemini", [case.read_bytes()], sse=sse, stream=sse).out
    golden(case.with_suffix(f".to.{client}{case.suffix}"), out if sse or not out else pretty(out))


@pytest.mark.parametrize("case", REQUESTS, ids=name)
def test_what_leaves(case: Path, golden: Golden) -> None:
    dialect, source, model = case.stem.split(".")
    client = CLIENTS[dialect]
    request = client.decode(client.parse((GOLDEN / "requests" / dialect / f"{source}.json").read_bytes()))
    encoded = GEMINI.encode(request, endpoint(MODELS[model]), Quirks())
    told = {"body": msgspec.json.decode(encoded.body), "losses": {loss.path: loss.why for loss in encoded.losses}}
    golden(case, pretty(msgspec.json.encode(told)))


def pretty(body: bytes) -> bytes:
    return msgspec.json.format(body, indent=1) + b"\n"


def test_every_golden_file_is_used() -> None:
    answers = {case.with_suffix(suffix) for case in ANSWERS for suffix in (case.suffix, ".toml", ".events.json")}
    answers |= {case.with_suffix(f".to.{client}{case.suffix}") for case in ANSWERS for client in CLIENTS}
    assert set((GOLDEN / "streams" / "gemini").iterdir()) == answers
    assert set((GOLDEN / "requests" / "gemini").iterdir()) == set(REQUESTS)
    assert len(REQUESTS) > 5
