"""What every client gets of every capture, against the official document's schemas. Skipped where ../shared is missing.

Streams never start with an empty frame, never end without their dialect's end, and carry no field that their schema
forbids; and a stream that is cut anywhere never ends as if it were whole (docs/reference/reliability.md, G3).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from matrix_help import FOLDERS, Capture, Carried, Schemas, captures, carry, frames

from trunkline.dialects.registry import RELAYS, UPSTREAMS
from trunkline.model.errors import TrunklineError
from trunkline.model.events import Finished

CLIENTS = ("chat", "messages", "responses")
EVENTS = {"chat": "ChatStreamChunk", "messages": "MessagesStreamEvents", "responses": "StreamEvents"}
RESULTS = {"chat": "ChatResult", "messages": "MessagesResult", "responses": "OpenResponsesResult"}

ALLOWED = (
    '"custom" is not one of "function"', "function is missing", '"function_call" is not one of',
)  # fmt: skip
"""What the official document forbids and OpenAI's own chat has: calls with free-form input, and the legacy call."""

Every = dict[str, list[Capture]]


@pytest.fixture(scope="module")
def every(shared: Callable[[str], Path]) -> Every:
    return captures(shared)


@pytest.fixture(scope="module")
def schemas(shared: Callable[[str], Path]) -> Schemas:
    return Schemas(shared("spec/openrouter-openapi.yaml"))


def ways(client: str, dialect: str) -> tuple[str, ...]:
    return ("translate", "relay") if (client, dialect) in RELAYS else ("translate",)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("dialect", FOLDERS)
def test_streams(every: Every, schemas: Schemas, dialect: str, client: str, subtests: pytest.Subtests) -> None:
    for capture in every[dialect]:
        for way in ways(client, dialect):
            with subtests.test(f"{capture.name} {way}"):
                got = carry(client, dialect, [capture.body], sse=capture.stream, stream=True, way=way)
                assert (got.error is None) == capture.whole, got.error
                if got.out:
                    problems = [
                        problem
                        for problem in _wrong(client, schemas, got)
                        if not _allowed(problem, same=client == dialect)
                    ]
                    assert not problems, "\n".join(problems[:10])


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("dialect", FOLDERS)
def test_bodies(every: Every, schemas: Schemas, dialect: str, client: str, subtests: pytest.Subtests) -> None:
    for capture in every[dialect]:
        for way in ways(client, dialect):
            with subtests.test(f"{capture.name} {way}"):
                got = carry(client, dialect, [capture.body], sse=capture.stream, stream=False, way=way)
                assert (got.error is None) == capture.whole, got.error
                if got.error is None:
                    (value,) = [value for _, value in frames(b"data: " + got.out + b"\n\n")]
                    found = schemas.problems(RESULTS[client], value)
                    problems = [problem for problem in found if not _allowed(problem, same=client == dialect)]
                    assert not problems, "\n".join(problems[:10])


def _allowed(problem: str, *, same: bool) -> bool:
    """*same*: both sides speak one dialect, and what the provider has and the document does not passes as it came."""
    return any(said in problem for said in ALLOWED) or (same and "unknown kind" in problem)


def _wrong(client: str, schemas: Schemas, got: Carried) -> Iterator[str]:
    """What is wrong with a stream."""
    events = frames(got.out)
    for name, value in events:
        if value != "[DONE]":
            yield from (f"{value.get('type', name)}: {problem}" for problem in schemas.problems(EVENTS[client], value))
    yield from _bounds(client, events, failed=got.error is not None)


def _bounds(client: str, events: list[tuple[str, Any]], *, failed: bool) -> Iterator[str]:
    """What is wrong with how it begins and ends."""
    first, last = events[0], events[-1]
    match client:
        case "chat":
            if not first[1]["choices"]:
                yield "begins with an empty chunk"
            if last[1] != "[DONE]":
                yield "ends without [DONE]"
            if failed != any("error" in value for _, value in events if value != "[DONE]"):
                yield "an error, or none"
        case "messages":
            if first[0] != "message_start":
                yield f"begins with {first[0]}"
            if last[0] != ("error" if failed else "message_stop"):
                yield f"ends with {last[0]}"
            if any(name != value["type"] for name, value in events):
                yield "the event's name and its type differ"
        case _:
            failed = failed or events[-2][1]["response"]["status"] == "failed"  # Gemini's words for "it went wrong"
            if first[0] != "response.created":
                yield f"begins with {first[0]}"
            terminal = {"response.failed"} if failed else {"response.completed", "response.incomplete"}
            if events[-2][0] not in terminal or last[1] != "[DONE]":
                yield f"ends with {[name for name, _ in events[-2:]]}"
            if [value["sequence_number"] for _, value in events[:-1]] != list(range(len(events) - 1)):
                yield "sequence numbers"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("dialect", FOLDERS)
def test_a_stream_that_is_cut_is_never_whole(
    every: Every, dialect: str, client: str, subtests: pytest.Subtests
) -> None:
    """Cut behind each event and inside of each, up to the one that ends the answer."""
    for capture in every[dialect]:
        if not capture.stream or not capture.whole:
            continue
        for way in ways(client, dialect):
            with subtests.test(f"{capture.name} {way}"):
                for cut in _cuts(capture):
                    got = carry(client, dialect, [capture.body[:cut]], sse=True, stream=True, way=way)
                    assert got.error is not None, f"cut at {cut} of {len(capture.body)}"
                    if got.out:
                        assert not list(_bounds(client, frames(got.out), failed=True)), f"cut at {cut}"


def _cuts(capture: Capture) -> Iterator[int]:
    """Every boundary before the frame that ends the answer, and a few bytes beyond it; at most a hundred."""
    edges = _edges(capture)
    ended = _end(capture, edges)
    chosen = edges[:ended] if ended <= 50 else edges[: ended : -(-ended // 50)]
    for edge in chosen:
        yield edge
        yield edge + 3


def _edges(capture: Capture) -> list[int]:
    body = capture.body
    if capture.dialect == "converse":
        edges, at = [0], 0
        while at < len(body):
            at += int.from_bytes(body[at : at + 4], "big")
            edges.append(at)
        return edges
    separator = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    edges, at = [0], body.find(separator)
    while at >= 0:
        edges.append(at + len(separator))
        at = body.find(separator, edges[-1])
    return edges


def _end(capture: Capture, edges: list[int]) -> int:
    """How many of *edges* lie before the frame with which the answer is whole."""
    for number, edge in enumerate(edges):
        decoder = UPSTREAMS[capture.dialect].decoder(sse=True)
        try:
            events = [*decoder.feed(capture.body[:edge]), *decoder.close()]
        except TrunklineError:  # not yet whole
            continue
        if any(isinstance(event, Finished) for event in events):
            return max(number - 1, 0)
    return len(edges)
