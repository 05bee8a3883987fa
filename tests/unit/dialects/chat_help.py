"""What the tests of the chat dialect share: an answer carried through either way, and read again."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from trunkline.dialects.interfaces import Call, Converter, Identity, Outcome
from trunkline.dialects.openai_chat.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.registry import CLIENTS, RELAYS, UPSTREAMS
from trunkline.dialects.translation import Translation
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError
from trunkline.model.events import ChoiceEnded, Event, check
from trunkline.model.response import Response, fold
from trunkline.model.usage import Cost, Usage
from trunkline.testing.golden import decode

Way = Literal["relay", "translate"]
WAYS: tuple[Way, ...] = ("relay", "translate")
GOLDEN = Path(__file__).parents[2] / "golden"
IDENTITY = Identity(id="gen-1790000000-AbCdEfGhIjKlMnOpQrSt", model="acme/small", provider="Acme", created=1790000001)
CHAT = CLIENTS["chat"]
ENDPOINT = Endpoint(
    model="acme/small", provider="acme", provider_name="Acme", upstream_model="small-1", dialect="chat", tag="acme"
)


class Answer(Struct, frozen=True):
    """What the client got. `error` is what ended the answer; `out` is then empty where nothing had left."""

    out: bytes
    outcome: Outcome
    error: TrunklineError | None = None
    committed: bool = False


def converter(way: Way, *, sse: bool, stream: bool, wants_usage: bool = False) -> Converter:
    call = Call(envelope={}, stream=stream, wants_usage=wants_usage)
    if way == "relay":
        return RELAYS["chat", "chat"].converter(call, IDENTITY, sse=sse)
    return Translation(UPSTREAMS["chat"].decoder(sse=sse), CHAT.encoder(call, IDENTITY), streamed=stream)


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


def plain(response: Response) -> Any:
    """*response* to compare: adjacent pieces of one kind are one, since ways may cut them differently."""
    found = msgspec.to_builtins(response)
    for choice in found.get("choices", ()):
        joined: list[Any] = []
        for part in choice.get("parts", ()):
            # Providers spell no finish within parts; where one text ends and another begins says nothing.
            same = part["kind"] in ("text", "refusal") and joined and joined[-1]["kind"] == part["kind"]
            if same and "extra" not in part:
                joined[-1]["text"] = joined[-1].get("text", "") + part.get("text", "")
                for key, entries in part.get("logprobs", {}).items():
                    joined[-1].setdefault("logprobs", {}).setdefault(key, []).extend(entries)
            else:
                joined.append(part)
        choice["parts"] = joined
    return found


def whole(events: list[Event]) -> Any:
    return plain(fold(events))


def ended(events: list[Event]) -> list[str | None]:
    return [event.reason for event in events if isinstance(event, ChoiceEnded)]


def cases(pattern: str) -> list[Path]:
    """Golden sources: the files below golden/ that match *pattern* and have their .toml."""
    return sorted(path for path in GOLDEN.glob(pattern) if path.with_suffix(".toml").exists())


def name(path: Path) -> str:
    return path.stem


Shared = Callable[[str], Path]
