"""What was said so far, as Messages takes it. Source: OpenRouter's OpenAPI document, `MessagesRequest`.

A thought goes back to the family of models that signed it, as it came; any other is dropped, since Claude answers 400
to a thought that it has not signed.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections import defaultdict, deque
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from trunkline.dialects.anthropic_messages import request_cache_control, request_midway_system, request_normalization
from trunkline.dialects.anthropic_messages.citations import encode as encode_citation
from trunkline.dialects.anthropic_messages.request_cache_control import cache_control
from trunkline.dialects.anthropic_messages.request_state import Place
from trunkline.dialects.anthropic_messages.request_tools import called
from trunkline.dialects.anthropic_messages.vocabulary import NAME
from trunkline.dialects.common.reasoning import ANTHROPIC, pack
from trunkline.dialects.common.tool_pairing import pair_results
from trunkline.families.traits import Family
from trunkline.model.loss import Losses
from trunkline.model.request import (
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    SearchResultPart,
    TextPart,
    ToolCallPart,
)

Json: TypeAlias = dict[str, Any]

NO_WORD = "Messages has no word for it"
ANOTHERS = "reasoning of another provider's model, which this one cannot read"
UNSIGNED = "reasoning that is not signed, which the model does not take back"
NO_FILE_ID = "a file kept by another provider"
NOWHERE = "a file that is neither there nor at an address"
_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_NOT_ID = re.compile(r"[^a-zA-Z0-9_-]+")
_DATA = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*;base64,(?P<data>.*)", re.DOTALL)
_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details")
IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def call_id(id_: str) -> str:
    """*id_* where it is one that the provider takes; else one made of it, the same each time."""
    if _ID.fullmatch(id_) is not None:
        return id_
    return f"{_NOT_ID.sub('_', id_)[:40]}_{sha256(id_.encode()).hexdigest()[:16]}"


def _places(request: Request) -> Iterator[Place]:
    """Where the messages of a Messages client stood. Several of ours may have been one of the client's."""
    at, block = -1, 0
    for number, message in enumerate(request.messages):
        if number == 0 and "system" in request.spelling:
            yield Place("system", "system")
            continue
        at, block = (at, block) if message.joined else (at + 1, 0)
        where = f"messages[{at}]"
        if message.role == "tool":
            yield Place(f"{where}.content[{block}]", f"{where}.content[{block}].content")
            block += 1
        else:
            yield Place(where, f"{where}.content", block)
            block += len(message.parts)


class Writer:
    """Writes the system text and the messages of one request; `takes` is the format of the thoughts that go back.

    *system_within* says that the model takes system messages among the others.
    """

    def __init__(
        self, request: Request, family: Family, takes: str | None, losses: Losses, *, system_within: bool
    ) -> None:
        self._within = system_within
        self._same = request.dialect == NAME
        self._claude = family.claude
        self._takes = takes or ANTHROPIC
        self._losses = losses
        self._where = "input" if request.dialect == "responses" else "messages"
        self._taken: set[str] = set()
        self._open: defaultdict[str, deque[str]] = defaultdict(deque)
        """Calls that are not answered yet: what the client calls them → their ids."""
        self._midway: list[str] = []
        """The places of the system messages among the others."""
        self.system: list[Json] = []
        self.messages: list[Json] = []
        messages = request.messages if self._same else pair_results(request.messages, losses, self._where)
        if self._same:
            for message, place in zip(messages, _places(request), strict=True):
                self._message(message, place)
            if not system_within:
                self.messages = request_midway_system.folded(self.messages, self.system, losses)
        else:
            for at, message in enumerate(messages):
                self._message(message, Place(f"{self._where}[{at}]", f"{self._where}[{at}].content"))
            self.messages = request_normalization.turns(
                self.messages, self.system, self._midway, family, losses, self._where
            )

    def _message(self, message: Message, place: Place) -> None:
        parts, where = message.parts, place.message
        if message.name is not None and not self._same:
            if message.role == "user" and parts and isinstance(parts[0], TextPart):
                parts = (TextPart(f"{message.name}: {parts[0].text}", cache=parts[0].cache), *parts[1:])
            elif message.role != "tool":
                self._losses.add(f"{where}.name", NO_WORD)
        if not self._same:
            told = any(isinstance(part, ReasoningPart) for part in parts)
            self._losses.extra(where, message.extra, NO_WORD, but=_THOUGHTS if told else ())
        blocks = [
            block for at, part in enumerate(parts, place.first) for block in self._part(part, f"{place.parts}[{at}]")
        ]
        if message.role == "tool":
            self._say("user", [self._result(message, blocks)], message)
            return
        request_cache_control.put(blocks, message.cache, where, self._losses)
        if self._same:
            if where == "system":
                self.system = blocks
            else:
                self._say(message.role, blocks, message)
        elif message.role in ("system", "developer"):
            if self.messages and self._within and blocks:
                if self.messages[-1]["role"] != "system":
                    self._midway.append(where)
                self._say("system", blocks, message)
                return
            if self.messages:
                self._losses.add(where, request_midway_system.HOIST)
            self.system += blocks
        else:
            self._say(message.role, blocks, message)

    def _say(self, role: str, blocks: list[Json], message: Message) -> None:
        """*blocks* were said; those of another dialect in turns that alternate."""
        last = self.messages[-1] if self.messages else None
        if self._same:
            if message.joined and last is not None:
                last["content"] = [*last["content"], *blocks]
                return
            plain = message.plain and message.role != "tool" and len(blocks) == 1
            outer = message.extra.get("message", {}) if message.role == "tool" else message.extra
            self.messages.append({"role": role, "content": blocks[0]["text"] if plain else blocks, **outer})
        elif last is not None and last["role"] == role:
            last["content"] += blocks
        elif blocks:
            self.messages.append({"role": role, "content": blocks})

    def _result(self, message: Message, blocks: list[Json]) -> Json:
        """A tool's result: a string where it was one."""
        body: Json = {"type": "tool_result", "tool_use_id": message.tool_call_id or ""}
        if not self._same:
            body["tool_use_id"] = self._answered(body["tool_use_id"])
        if message.plain and len(blocks) == 1 and blocks[0]["type"] == "text":
            body["content"] = blocks[0]["text"]
        elif blocks:
            body["content"] = blocks
        if message.is_error is not None:
            body["is_error"] = message.is_error
        if message.cache is not None:
            body["cache_control"] = cache_control(message.cache)
        if self._same:
            body.update({key: said for key, said in message.extra.items() if key != "message"})
        return body

    def _part(self, part: Part, where: str) -> list[Json]:
        """The block of *part*; none where there is no word for it."""
        match part:
            case TextPart() | RefusalPart():
                return self._text(part, where)
            case ImagePart():
                body = self._image(part, where)
            case FilePart():
                body = self._document(part, where)
            case SearchResultPart():
                body = self._search_result(part)
            case ReasoningPart():
                return self._thought(part, where)
            case ToolCallPart():
                body = self._call(part, where)
            case OpaquePart(body=body) if self._same:
                return [body]
            case _:
                self._losses.add(where, NO_WORD)
                return []
        if body is None:
            return []
        if part.cache is not None:
            body["cache_control"] = cache_control(part.cache)
        if self._same:
            source = {**body.get("source", {}), **part.extra["source"]} if "source" in part.extra else None
            body.update(part.extra)
            if source is not None:
                body["source"] = source
        else:
            self._losses.extra(where, part.extra, NO_WORD, but=("index", "type"))
        return [body]

    def _text(self, part: TextPart | RefusalPart, where: str) -> list[Json]:
        if not part.text.strip() and not self._same:  # it is refused
            if isinstance(part, TextPart) and part.cache is not None:
                self._losses.add(f"{where}.{part.cache.spelling}", "a text that says nothing")
            return []
        body: Json = {"type": "text", "text": part.text}
        if isinstance(part, TextPart):
            notes = [encode_citation(citation, same=self._same, output=False) for citation in part.citations]
            said = [note for note in notes if note is not None and note.get("encrypted_index") != ""]
            if said and self._same:
                body["citations"] = said
            if part.cache is not None:
                body["cache_control"] = cache_control(part.cache)
        return [{**body, **(part.extra if self._same else {})}]

    def _image(self, part: ImagePart, where: str) -> Json | None:
        if part.detail not in (None, "auto") and not self._same:
            self._losses.add(f"{where}.detail", NO_WORD)
        source = self._source(part.url, part.file_id if self._same else None)
        if source is None and not self._same:
            self._losses.add(where, NOWHERE if part.file_id is None else NO_FILE_ID)
            return None
        if source is not None and source["type"] == "base64" and source["media_type"] not in IMAGES and not self._same:
            self._losses.add(where, "an image of a kind that the provider does not take")
            return None
        return {"type": "image", "source": source or {}}

    @staticmethod
    def _source(url: str | None, file_id: str | None) -> Json | None:
        if file_id is not None:
            return {"type": "file", "file_id": file_id}
        if not url:
            return None
        found = _DATA.fullmatch(url)
        if found is not None:
            return {"type": "base64", "media_type": found["type"], "data": found["data"]}
        return {"type": "url", "url": url}

    def _document(self, part: FilePart, where: str) -> Json | None:
        source: Json | None
        if part.content is not None:
            blocks = [block for at, one in enumerate(part.content) for block in self._part(one, f"{where}[{at}]")]
            source = {"type": "content", "content": blocks}
        elif part.text is not None:
            source = {"type": "text", "media_type": "text/plain", "data": part.text}
            if self._same and part.extra.get("source", {}).get("type") == "content":
                source = {"content": part.text}
        else:
            source = self._source(part.data, part.file_id if self._same else None)
        if not self._same:
            if source is None:
                self._losses.add(where, NOWHERE if part.file_id is None else NO_FILE_ID)
                return None
            source = self._fitting(source, where)
            if source is None:
                return None
        body: Json = {"type": "document", "source": source or {}}
        title = part.title if self._same else part.title or part.filename
        for key, said in (("title", title), ("context", part.context)):
            if said is not None:
                body[key] = said
        if part.citations is not None:
            body["citations"] = {"enabled": part.citations}
        return body

    def _fitting(self, source: Json, where: str) -> Json | None:
        """*source* as the provider takes it: a PDF, a plain text, an address."""
        if source["type"] == "base64" and source["media_type"] != "application/pdf":
            try:
                text = b64decode(source["data"], validate=True).decode()
            except (NotBase64, ValueError):
                text = None
            if text is None or not source["media_type"].startswith(("text/", "application/json", "application/xml")):
                self._losses.add(where, "a file of a kind that the provider does not take")
                return None
            return {"type": "text", "media_type": "text/plain", "data": text}
        return source

    def _search_result(self, part: SearchResultPart) -> Json:
        content = [block for at, one in enumerate(part.content) for block in self._part(one, f"[{at}]")]
        body: Json = {"type": "search_result", "source": part.source, "title": part.title}
        if content or "content" not in part.extra:
            body["content"] = content
        if part.citations is not None:
            body["citations"] = {"enabled": part.citations}
        return body

    def _thought(self, part: ReasoningPart, where: str) -> list[Json]:
        extra = part.extra if self._same else {}
        foreign = part.format not in (self._takes, None)
        if foreign and not (self._same and not self._claude):
            self._losses.add(where, ANOTHERS)
            return []
        if part.form == "encrypted" and (part.text or self._same):
            data = pack(part.format, part.id, part.text) if foreign else part.text
            return [{"type": "redacted_thinking", "data": data, **extra}]
        if part.signature is None and self._claude:
            if part.text:
                self._losses.add(where, UNSIGNED)
            return []
        if not part.text and part.signature is None:
            return []
        signature = part.signature if part.signature is not None else extra.get("signature", "")
        return [{**extra, "type": "thinking", "thinking": part.text, "signature": signature}]

    def _named(self, id_: str) -> str:
        """The id of a call that *id_* names, which no other call has; some providers count anew in every turn."""
        name = call_id(id_)
        if name in self._taken:
            name = f"{name[:110]}_{len(self._taken)}"
        self._taken.add(name)
        self._open[id_].append(name)
        return name

    def _answered(self, id_: str) -> str:
        """The id of the call that a result for *id_* answers."""
        return self._open[id_].popleft() if self._open[id_] else call_id(id_)

    def _call(self, part: ToolCallPart, where: str) -> Json:
        given: Any
        try:
            given = msgspec.json.decode(part.arguments or "{}")
        except (msgspec.DecodeError, RecursionError, ValueError):
            given = None
        if part.custom:
            given = {"input": part.arguments}
        elif not isinstance(given, dict) and not self._same:
            self._losses.add(f"{where}.arguments", "they are no JSON object: they stand in one, as text")
            given = {"input": part.arguments}
        name = part.name if self._same else called(part.namespace, part.name)
        id_ = part.id if self._same else self._named(part.id)
        return {"type": "tool_use", "id": id_, "name": name, "input": given}
