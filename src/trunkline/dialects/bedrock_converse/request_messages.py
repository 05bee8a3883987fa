"""What was said so far, as Converse takes it. Source: Bedrock API reference, "Message" and "ContentBlock", 2026-11-26.

A thought goes back to the family of models that signed it, as it came; any other is dropped, since Claude answers 400
to a thought that it has not signed, and other models take none.
"""

import re
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from trunkline.dialects.bedrock_converse import redacted_reasoning, request_media
from trunkline.dialects.bedrock_converse.citations import encode as encode_citation
from trunkline.dialects.bedrock_converse.request_normalization import NOTHING, Turns
from trunkline.dialects.bedrock_converse.request_state import Result
from trunkline.dialects.common.reasoning import ANTHROPIC
from trunkline.dialects.common.tool_names import fit_name
from trunkline.families.traits import Family
from trunkline.model.loss import Losses
from trunkline.model.request import (
    AudioPart,
    CacheMark,
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
    VideoPart,
)

Json: TypeAlias = dict[str, Any]

NAME = "converse"
NO_WORD = "Converse has no word for it"
ANOTHERS = "reasoning of another provider's model, which this one cannot read"
UNSIGNED = "reasoning that is not signed, which the model does not take back"
ONLY_USER = "the model's turn takes no such part"
HOIST = "a system message within the conversation stands before all of it"
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NOT_ID = re.compile(r"[^a-zA-Z0-9_.:-]+")
_THOUGHTS = frozenset({"reasoning", "reasoning_content", "reasoning_details"})
_DETAIL = frozenset({"index", "type"})
"""What numbers a thought, or names its form, says nothing more."""
_any = msgspec.json.Decoder()


def cache_point(mark: CacheMark) -> Json:
    """The block of *mark*. Five minutes are what all models keep it that can; an hour must be said."""
    return {"cachePoint": {"type": "default", **({"ttl": "1h"} if mark.ttl in ("1h", "12h") else {})}}


def call_id(id_: str) -> str:
    """*id_* where it is one that Converse takes; else one made of it, the same each time."""
    if _ID.fullmatch(id_) is not None:
        return id_
    return f"{_NOT_ID.sub('_', id_)[:40]}_{sha256(id_.encode()).hexdigest()[:16]}"


def joined(namespace: str | None, name: str) -> str:
    """The name of a tool as Converse takes it: without a namespace of its own, and of the letters that it knows."""
    return fit_name(name if namespace is None else f"{namespace}__{name}")


class Writer:
    """Writes the messages of one request."""

    def __init__(self, request: Request, family: Family, takes: str | None, losses: Losses) -> None:
        self._same = request.dialect == NAME
        self._family = family
        self._takes = takes or (ANTHROPIC if family.claude else None)
        """The format of the thoughts that go back."""
        self._losses = losses
        self._names: set[str] = set()
        self._system: list[Json] = []
        self._turns = Turns(losses)
        self._last: list[Json] = []
        """The blocks of the last message."""
        for at, message in enumerate(request.messages):
            self._message(message, f"{'input' if request.dialect == 'responses' else 'messages'}[{at}]")
        self._no_blank_end(request)

    @property
    def system(self) -> list[Json]:
        """The blocks of `system`."""
        return self._system

    def messages(self) -> list[Json]:
        """The value of `messages`."""
        return self._turns.wire()

    def _no_blank_end(self, request: Request) -> None:
        """Claude refuses an answer begun for it that ends in blanks."""
        last = request.messages[-1] if request.messages else None
        if not self._same and last is not None and last.role == "assistant" and self._last:
            block = self._last[-1]
            if isinstance(block.get("text"), str):
                block["text"] = block["text"].rstrip()

    def _message(self, message: Message, where: str) -> None:
        if message.name is not None and message.role != "tool":
            self._losses.add(f"{where}.name", NO_WORD)
        if not self._same:
            told = any(isinstance(part, ReasoningPart) for part in message.parts)
            self._extra(where, message.extra, but=_THOUGHTS if told else frozenset())
        blocks = [
            block
            for at, part in enumerate(message.parts)
            for block in self._part(part, message, f"{where}.content[{at}]")
        ]
        self._last = blocks
        if message.role == "tool":
            self._result(message, blocks, where)
            return
        if message.cache is not None:
            blocks += self._mark(message.cache, "messages", where, blocks)
        if message.role in ("system", "developer"):
            if self._turns.begun:
                self._losses.add(where, HOIST)
            self._system += blocks
        else:
            self._turns.say("assistant" if message.role == "assistant" else "user", blocks, where)

    def _extra(self, where: str, extra: Json, but: frozenset[str]) -> None:
        """What another dialect says in fields of its own is lost; SDKs send empty ones, which say nothing."""
        said = {key: value for key, value in extra.items() if value not in ([], {}, "")}
        self._losses.extra(where, said, NO_WORD, but=but)

    def _result(self, message: Message, blocks: list[Json], where: str) -> None:
        inner = [block for block in blocks if "cachePoint" not in block]
        body: Json = {"toolUseId": call_id(message.tool_call_id or "")}
        body["content"] = inner or ([] if self._same else [{"text": NOTHING}])
        if message.is_error is not None:
            body["status"] = "error" if message.is_error else "success"
        if self._same:
            body.update(message.extra)
        whole: list[Json] = [{"toolResult": body}]
        whole += [block for block in blocks if "cachePoint" in block][-1:]
        if message.cache is not None and len(whole) == 1:
            whole += self._mark(message.cache, "messages", where, whole)
        self._turns.answer(Result(body["toolUseId"], whole, where))

    def _part(self, part: Part, message: Message, where: str) -> list[Json]:
        if not self._same and not isinstance(part, OpaquePart):
            self._extra(where, part.extra, but=_DETAIL if isinstance(part, ReasoningPart) else frozenset())
        match part:
            case TextPart():
                blocks = self._text(part, message, where)
            case RefusalPart(text=text):
                blocks = [{"text": text}] if text.strip() else []
            case ReasoningPart():
                return self._thought(part, where)
            case ToolCallPart():
                blocks = [self._call(part, where)]
            case OpaquePart(body=body):
                if self._same:
                    return [body]
                self._losses.add(where, NO_WORD)
                return []
            case _:
                blocks = self._media(part, message, where)
        mark = None if isinstance(part, RefusalPart) else part.cache
        if mark is not None:
            place = "system" if message.role in ("system", "developer") else "messages"
            blocks += self._mark(mark, place, where, blocks)
        return blocks

    def _text(self, part: TextPart, message: Message, where: str) -> list[Json]:
        if not part.text.strip() and not self._same:
            return []  # a blank text is refused
        if not part.citations:
            return [{"text": part.text}]
        cited = [encode_citation(citation, same=self._same) for citation in part.citations]
        if message.role != "assistant" or None in cited or not (self._family.claude or self._same):
            self._losses.add(f"{where}.citations", "the model takes no such citations of an earlier turn back")
            return [{"text": part.text}]
        return [{"citationsContent": {"content": [{"text": part.text}], "citations": cited}}]

    def _thought(self, part: ReasoningPart, where: str) -> list[Json]:
        if not part.text and not part.signature:
            return []
        mine = part.format is not None and part.format == self._takes
        if part.form == "encrypted" and (
            mine or (self._takes == ANTHROPIC and redacted_reasoning.is_ours(part.format, part.text))
        ):
            return [{"reasoningContent": {"redactedContent": redacted_reasoning.closed(part.text)}}]
        if part.form in ("text", "plain") and (self._same or (mine and part.signature)):
            body: Json = {"text": part.text}
            if part.signature is not None:
                body["signature"] = part.signature
            return [{"reasoningContent": {"reasoningText": body}}]
        foreign = part.format not in (None, "unknown", self._takes)
        self._losses.add(f"{where}.reasoning", ANOTHERS if foreign or part.form != "text" else UNSIGNED)
        return []

    def _call(self, part: ToolCallPart, where: str) -> Json:
        if part.custom:
            given: Any = {"input": part.arguments}
        else:
            try:
                given = _any.decode(part.arguments.encode()) if part.arguments.strip() else {}
            except (msgspec.DecodeError, RecursionError, ValueError):
                given = None
            if not isinstance(given, dict):
                self._losses.add(f"{where}.arguments", "arguments that are no JSON object: they stand in one")
                given = {"arguments": part.arguments}
        name = joined(part.namespace, part.name)
        body = {"toolUseId": call_id(part.id), "name": name, "input": given, **(part.extra if self._same else {})}
        return {"toolUse": body}

    def _media(
        self, part: ImagePart | AudioPart | VideoPart | FilePart | SearchResultPart, message: Message, where: str
    ) -> list[Json]:
        if message.role not in ("user", "tool"):
            self._losses.add(where, ONLY_USER)
            return []
        try:
            match part:
                case ImagePart():
                    return [request_media.image(part)]
                case VideoPart():
                    return [request_media.video(part)]
                case AudioPart():
                    if message.role == "tool":
                        raise request_media.Unsayable("a tool's result takes no audio")
                    return [request_media.audio(part)]
                case FilePart():
                    return [self._document(part, where)]
                case SearchResultPart():
                    return [_search_result(part)]
        except request_media.Unsayable as error:
            self._losses.add(where, str(error))
            return []

    def _document(self, part: FilePart, where: str) -> Json:
        for at, inner in enumerate(part.content or ()):
            if not isinstance(inner, TextPart):
                self._losses.add(f"{where}.content[{at}]", "a document's parts are text here")
        if not self._family.claude and not self._same and part.citations:
            self._losses.add(f"{where}.citations", "the model cites nothing")
            part = msgspec.structs.replace(part, citations=None)
        return request_media.document(part, request_media.named(part, self._names))

    def _mark(self, mark: CacheMark, place: str, where: str, blocks: list[Json]) -> list[Json]:
        """The cache point for *mark*, behind *blocks*."""
        if place not in self._family.cache_marks and not self._same:
            self._losses.add(f"{where}.{mark.spelling}", "the model takes no cache marks there")
            return []
        if not blocks or any(key in blocks[-1] for key in ("cachePoint", "reasoningContent")):
            return []
        return [cache_point(mark)]


def _search_result(part: SearchResultPart) -> Json:
    body: Json = {
        "source": part.source, "title": part.title, "content": [{"text": inner.text} for inner in part.content]
    }  # fmt: skip
    if part.citations is not None:
        body["citations"] = {"enabled": part.citations}
    return {"searchResult": body}
