"""What the tests of the Responses dialect share."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from chat_help import Answer
from matrix_help import IDENTITY as IDENTITY

from trunkline.dialects.common.sse import FrameReader
from trunkline.dialects.interfaces import Call, Converter
from trunkline.dialects.openai_responses.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.registry import CLIENTS, RELAYS, UPSTREAMS
from trunkline.dialects.translation import Translation
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError
from trunkline.model.events import Event, check
from trunkline.model.usage import Cost, Usage
from trunkline.testing.golden import decode

Way = Literal["relay", "translate"]
WAYS: tuple[Way, ...] = ("relay", "translate")
CLIENT = CLIENTS["responses"]
UPSTREAM = UPSTREAMS["responses"]
RELAY = RELAYS["responses", "responses"]
ENDPOINT = Endpoint(
    model="acme/small", provider="acme", provider_name="Acme", upstream_model="small-1", dialect="responses", tag="acme"
)
Wire = dict[str, Any]


def call_of(body: Any = None, *, stream: bool = False) -> Call:
    """The call of the request *body*; the least there is where it is None."""
    told = {"model": "acme/small", "input": "Hi", **(body or {}), **({"stream": True} if stream else {})}
    return CLIENT.parse(msgspec.json.encode(told))


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
    return Answer(out, through.outcome)


def read(out: bytes, *, stream: bool) -> tuple[list[Event], TrunklineError | None]:
    """What a client understands of *out*."""
    events, error = decode(StreamDecoder() if stream else BodyDecoder(), [out])
    if error is None:
        check(events)
    return events, error


def wire(out: bytes) -> list[Wire]:
    """The events of a stream; each is named as its type says, they are numbered from 0, and [DONE] ends them."""
    reader = FrameReader()
    found = [*reader.feed(out), *reader.close()]
    assert found[-1].data == b"[DONE]"
    events: list[Wire] = [msgspec.json.decode(frame.data) for frame in found[:-1]]
    assert [event["type"] for event in events] == [frame.event for frame in found[:-1]]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def written(events: Iterable[Event], body: Any = None) -> tuple[list[Wire], Wire, tuple[str, ...]]:
    """What a client gets of *events*: as a stream, as a body, and what is lost."""
    found = list(events)
    check(found)
    streams, bodies = (CLIENT.encoder(call_of(body, stream=stream), IDENTITY) for stream in (True, False))
    out = b""
    for event in found:
        out += streams.encode(event)
        assert bodies.encode(event) == b""
    out += streams.finish(Usage(prompt=5, completion=3), Cost())
    whole: Wire = msgspec.json.decode(bodies.finish(Usage(prompt=5, completion=3), Cost()))
    told = wire(out)
    assert told[-1]["response"] == whole, "a stream ends with what a body says"
    assert streams.losses == bodies.losses
    return told, whole, tuple(loss.path for loss in bodies.losses)
