"""What the tests of the Messages dialect share."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
from anthropic.types import Message as OfficialMessage
from anthropic.types import RawMessageStreamEvent
from chat_help import Answer
from matrix_help import IDENTITY as IDENTITY
from pydantic import TypeAdapter

from trunkline.dialects.anthropic_messages.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.common.sse import FrameReader
from trunkline.dialects.interfaces import Call, Converter
from trunkline.dialects.registry import CLIENTS, RELAYS, UPSTREAMS
from trunkline.dialects.translation import Translation
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError
from trunkline.model.events import (
    ChoiceEnded,
    Delta,
    Event,
    Finished,
    FinishReason,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    check,
)
from trunkline.model.usage import Cost, Usage
from trunkline.testing.golden import decode

Way = Literal["relay", "translate"]
WAYS: tuple[Way, ...] = ("relay", "translate")
CLIENT = CLIENTS["messages"]
UPSTREAM = UPSTREAMS["messages"]
RELAY = RELAYS["messages", "messages"]
ENDPOINT = Endpoint(
    model="acme/small", provider="acme", provider_name="Acme", upstream_model="claude-sonnet-4-5", dialect="messages",
    tag="acme",
)  # fmt: skip
OFFICIAL_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
Wire = dict[str, Any]
USED = Usage(prompt=5, completion=3)


def call_of(body: Any = None, *, stream: bool = False) -> Call:
    """The call of the request *body*; the least there is where it is None."""
    told = {"model": "acme/small", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}], **(body or {})}
    return CLIENT.parse(msgspec.json.encode({**told, **({"stream": True} if stream else {})}))


def converter(way: Way, *, sse: bool, stream: bool) -> Converter:
    call = call_of(stream=stream)
    if way == "relay":
        return RELAY.converter(call, IDENTITY, sse=sse)
    return Translation(UPSTREAM.decoder(sse=sse), CLIENT.encoder(call, IDENTITY), streamed=stream)


def carry(way: Way, chunks: Iterable[bytes], *, sse: bool, stream: bool) -> Answer:
    """*chunks* of an upstream that sends a stream, or not (*sse*), for a client that wants one, or not (*stream*)."""
    through = converter(way, sse=sse, stream=stream)
    out = b""
    try:
        for chunk in chunks:
            out += through.feed(chunk)
            assert through.committed or not out, "nothing leaves before the commit point"
        out += through.close()
        assert through.ended, "close raises where the end was not seen"
        out += through.finish(through.outcome.usage or Usage(estimated=True), Cost())
    except TrunklineError as error:
        assert through.committed or not out, "nothing leaves before the commit point"
        if through.committed:
            out += through.fail(error, None, None)
        return Answer(out, through.outcome, error, through.committed)
    return Answer(out, through.outcome, committed=bool(out))


def read(out: bytes, *, stream: bool) -> tuple[list[Event], TrunklineError | None]:
    """What a client understands of *out*."""
    events, error = decode(StreamDecoder() if stream else BodyDecoder(), [out])
    if error is None:
        check(events)
    return events, error


def wire(out: bytes) -> list[Wire]:
    """The events of a stream; each is named as its type says, it has its start and its end, one block is open."""
    reader = FrameReader()
    found = [*reader.feed(out), *reader.close()]
    events: list[Wire] = [msgspec.json.decode(frame.data) for frame in found]
    assert [event["type"] for event in events] == [frame.event for frame in found]
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds.count("message_start") == 1
    assert (kinds[-2:] == ["message_delta", "message_stop"]) != (kinds[-1] == "error")
    _one_block_at_a_time(events)
    return events


def _one_block_at_a_time(events: list[Wire]) -> None:
    open_, blocks = False, 0
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert not open_
                assert event["index"] == blocks
                open_, blocks = True, blocks + 1
            case "content_block_delta" | "content_block_stop":
                assert open_
                assert event["index"] == blocks - 1
                open_ = event["type"] == "content_block_delta"
            case "message_delta":
                assert not open_
            case _:
                pass


def assembled(told: list[Wire]) -> list[Wire]:
    """The content that an official accumulator puts together."""
    content: list[Wire] = []
    given: dict[int, str] = {}
    for event in told:
        if event["type"] == "content_block_start":
            content.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            block, delta = content[event["index"]], event["delta"]
            match delta["type"]:
                case "text_delta":
                    block["text"] += delta["text"]
                case "thinking_delta":
                    block["thinking"] += delta["thinking"]
                case "signature_delta":
                    block["signature"] = delta["signature"]
                case "citations_delta":
                    block["citations"] = [*(block["citations"] or []), delta["citation"]]
                case "input_json_delta":
                    given[event["index"]] = given.get(event["index"], "") + delta["partial_json"]
                case _:
                    block.update({key: said for key, said in delta.items() if key != "type"})
    for at, text in given.items():
        if text:
            content[at]["input"] = msgspec.json.decode(text)
    return content


def judged(told: list[Wire], whole: Wire) -> None:
    """Anthropic's own types take every event, and the body."""
    for event in told:
        if event["type"] not in ("ping", "error"):
            OFFICIAL_EVENT.validate_python(event)
    OfficialMessage.model_validate(whole)


def written(events: Iterable[Event], usage: Usage = USED) -> tuple[list[Wire], Wire, list[str]]:
    """What a client gets of *events*: as a stream, as a body, and what is lost."""
    found = list(events)
    check(found)
    streams, bodies = (CLIENT.encoder(call_of(stream=stream), IDENTITY) for stream in (True, False))
    out = b""
    for event in found:
        out += streams.encode(event)
        assert bodies.encode(event) == b""
    out += streams.finish(usage, Cost())
    whole: Wire = msgspec.json.decode(bodies.finish(usage, Cost()))
    told = wire(out)
    assert assembled(told) == whole["content"], "a stream adds up to what a body says"
    for key in ("stop_reason", "stop_sequence", "stop_details", "container"):
        assert told[-2]["delta"][key] == whole[key]
    assert set(streams.losses) == set(bodies.losses)
    judged(told, whole)
    return told, whole, [loss.path for loss in bodies.losses]


def whole(index: int, kind: PartKind, text: str = "", signature: str | None = None, **more: Any) -> Iterator[Event]:
    """A part in one piece."""
    yield PartStarted(index, kind, **more)
    if text or signature is not None:
        yield Delta(index, text, signature=signature)
    yield PartEnded(index)


def answer(
    *parts: Iterable[Event], reason: FinishReason | None = "stop", native: str | None = None, dialect: str = "chat"
) -> list[Event]:
    """A whole answer of a provider that speaks *dialect*, of these parts."""
    events: list[Event] = [Started(id="m1", model="m", dialect=dialect)]
    for part in parts:
        events += part
    return [*events, ChoiceEnded(reason=reason, native=native), Finished()]
