"""Captures of every upstream dialect, carried to clients of every dialect, without sockets."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from jsonschema_rs import Draft202012Validator
from msgspec import Struct

from trunkline.dialects.base import Call, Converter, Identity
from trunkline.dialects.registry import CLIENTS, RELAYS, UPSTREAMS
from trunkline.dialects.sse import FrameReader
from trunkline.dialects.translate import Translation
from trunkline.model.errors import TrunklineError
from trunkline.model.usage import Cost, Usage

FOLDERS = {
    "chat": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic_messages",
    "gemini": "gemini",
    "converse": "bedrock_converse",
}
"""An upstream dialect → the folder of its captures."""
IDENTITY = Identity(
    id="gen-1790000000-AbCdEfGhIjKlMnOpQrSt", model="acme/small", provider="OpenAI", created=1790000001, prompt_tokens=7
)
BODIES: dict[str, bytes] = {
    "chat": b'{"model":"acme/small","messages":[{"role":"user","content":"Hi"}]}',
    "messages": b'{"model":"acme/small","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}',
    "responses": b'{"model":"acme/small","input":"Hi"}',
}
"""The least that each client dialect can ask."""
METADATA = {
    "requested": "acme/small", "strategy": "direct", "region": None, "summary": "available=1, selected=OpenAI",
    "attempt": 1, "is_byok": False,
    "endpoints": {"total": 1, "available": [{"provider": "OpenAI", "model": "acme/small", "selected": True}]},
}  # fmt: skip


class Capture:
    """One recorded answer."""

    def __init__(self, dialect: str, folder: Path) -> None:
        self.dialect = dialect
        self.name = folder.name
        self.file = next(path for path in folder.iterdir() if path.name.startswith("response."))
        self.stream = self.file.suffix != ".json"
        self.body = self.file.read_bytes()
        self.expected: dict[str, Any] = msgspec.json.decode((folder / "expected.json").read_bytes())

    @property
    def answers(self) -> bool:
        """Whether it is an answer and no refusal."""
        return (self.expected["http_status"] or 200) == 200

    @property
    def whole(self) -> bool:
        """Whether it has its end, and no error in it."""
        ended = self.expected.get("terminal_event_seen", True) or self.expected.get("done_sentinel", False)
        return self.answers and not self.expected["error"] and ended


def captures(shared: Callable[[str], Path]) -> dict[str, list[Capture]]:
    """All that are answers, by dialect."""
    found: dict[str, list[Capture]] = {}
    for dialect, name in FOLDERS.items():
        every = [Capture(dialect, folder) for folder in sorted(shared(f"fixtures/upstream/{name}").iterdir())]
        found[dialect] = [capture for capture in every if capture.answers]
    return found


class Carried(Struct):
    """What a client got, and how it ended."""

    out: bytes
    converter: Converter
    error: TrunklineError | None = None


def call_of(client: str, *, stream: bool) -> Call:
    """The least that a client can ask."""
    body = BODIES[client]
    return CLIENTS[client].parse(body[:-1] + b',"stream":true}' if stream else body)


def carry(
    client: str, upstream: str, chunks: Iterable[bytes], *, sse: bool, stream: bool, way: str = "translate"
) -> Carried:
    """*chunks* of an answer of the dialect *upstream*, for a client of the dialect *client*."""
    call = call_of(client, stream=stream)
    through: Converter
    if way == "relay":
        through = RELAYS[client, upstream].converter(call, IDENTITY, sse=sse)
    else:
        decoder = UPSTREAMS[upstream].decoder(sse=sse)
        through = Translation(decoder, CLIENTS[client].encoder(call, IDENTITY), streamed=stream)
    out = b""
    try:
        for chunk in chunks:
            out += through.feed(chunk)
            assert through.committed or not out, "nothing leaves before the commit point"
            if through.ended:
                break
        if not through.ended:
            out += through.close()
        assert through.ended, "close raises where the end was not seen"
        out += through.finish(through.outcome.usage or Usage(estimated=True), Cost(), METADATA)
    except TrunklineError as error:
        assert through.committed or not out, "nothing leaves before the commit point"
        if through.committed:
            out += through.fail(error, None, None)
        return Carried(out, through, error)
    return Carried(out, through)


def frames(out: bytes) -> list[tuple[str, Any]]:
    """The events of a stream: the `event:` name and the JSON; `[DONE]` as a string."""
    reader = FrameReader()
    found = [*reader.feed(out), *reader.close()]
    return [(one.event, "[DONE]" if one.data == b"[DONE]" else msgspec.json.decode(one.data)) for one in found]


class Schemas:
    """The official document's schemas, strict: of a union the member that the discriminator names is the one."""

    def __init__(self, document: Path) -> None:
        self._schemas: dict[str, Any] = yaml.load(document.read_bytes(), yaml.CSafeLoader)["components"]["schemas"]
        self._validators: dict[str, Any] = {}

    def problems(self, name: str, value: Any) -> Iterator[str]:
        """What is wrong with *value* as the schema *name*."""
        if name not in self._validators:
            root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": self._schemas}}
            self._validators[name] = Draft202012Validator(root)
        for error in self._validators[name].iter_errors(value):
            yield f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}"
