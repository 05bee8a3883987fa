"""Captures of every upstream dialect, carried to clients of every dialect, without sockets."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from jsonschema_rs import Draft202012Validator
from msgspec import Struct

from trunkline.dialects.common.sse import FrameReader
from trunkline.dialects.interfaces import Call, Converter, Identity
from trunkline.dialects.registry import CLIENTS, RELAYS, UPSTREAMS
from trunkline.dialects.translation import Translation
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


LEAF = ("type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "pattern")
"""What is checked of a value that holds no others."""


class Schemas:
    """The official document's schemas, and what is wrong with a value by them.

    Of a union the member that the discriminator, or the member's own `type`, names is the one that is judged by. Where
    `allOf` overrides a property of its base (the document is made from classes), the later one counts.
    """

    def __init__(self, document: Path) -> None:
        self._schemas: dict[str, Any] = yaml.load(document.read_bytes(), yaml.CSafeLoader)["components"]["schemas"]

    def problems(self, name: str, value: Any) -> Iterator[str]:
        """What is wrong with *value* as the schema *name*; a kind that the document does not know is `unknown kind`."""
        for path, problem in self._explain(self._schemas[name], value):
            yield f"{'/'.join(map(str, path))}: {problem}"

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        if "allOf" not in schema:
            return schema
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        properties: dict[str, Any] = {}
        required: list[str] = []
        for one in map(self._resolved, schema["allOf"]):
            properties |= one.get("properties", {})
            required += one.get("required", [])
            merged = {**one, **merged}
        return {**merged, "properties": properties, "required": required}

    def _explain(self, schema: dict[str, Any], value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, str]]:
        schema = self._resolved(schema)
        if "oneOf" in schema or "anyOf" in schema:
            yield from self._union(schema, value, path)
        elif isinstance(value, dict) and ("properties" in schema or schema.get("type") == "object"):
            yield from self._object(schema, value, path)
        elif isinstance(value, list) and "items" in schema:
            for at, item in enumerate(value):
                yield from self._explain(schema["items"], item, (*path, at))
        else:
            leaf = {key: said for key, said in schema.items() if key in LEAF}
            for error in Draft202012Validator(leaf).iter_errors(value):
                yield path, error.message[:200]

    def _union(self, schema: dict[str, Any], value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, str]]:
        members = [self._resolved(one) for one in schema.get("oneOf") or schema["anyOf"]]
        if any(not list(self._explain(member, value, path)) for member in members):
            return
        kind = value.get("type") if isinstance(value, dict) else None
        named = [one for one in members if kind in one.get("properties", {}).get("type", {}).get("enum", ())]
        if named:
            yield from self._explain(named[0], value, path)
        else:
            yield path, f"unknown kind {kind}" if kind is not None else f"{str(value)[:60]} is none of the union"

    def _object(
        self, schema: dict[str, Any], value: dict[str, Any], path: tuple[Any, ...]
    ) -> Iterator[tuple[Any, str]]:
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield path, f"{name} is missing"
        for name, inner in value.items():
            if name in properties:
                yield from self._explain(properties[name], inner, (*path, name))
            elif schema.get("additionalProperties") is False:
                yield path, f"{name} is forbidden"
