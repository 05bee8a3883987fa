"""A chat answer, written: a stream's bytes or one JSON body from events.

Source: OpenRouter's OpenAPI document, `ChatResult` and `ChatStreamChunk`.
"""

from typing import Any

import msgspec

from trunkline.dialects.common.ids import generated_id
from trunkline.dialects.common.openai_errors import error_object
from trunkline.dialects.common.sse import DONE
from trunkline.dialects.interfaces import Identity
from trunkline.dialects.openai_chat.citations import encode as encode_citation
from trunkline.dialects.openai_chat.response_filter import Gate
from trunkline.dialects.openai_chat.usage import encode as encode_usage
from trunkline.dialects.openai_chat.vocabulary import FORMS
from trunkline.model.errors import TrunklineError
from trunkline.model.events import (
    ChoiceEnded,
    Delta,
    Event,
    Noted,
    PartStarted,
    Started,
)
from trunkline.model.loss import Loss
from trunkline.model.response import Choice, Folder, Part
from trunkline.model.usage import Cost, Usage

TYPES = {form: (kind, key) for kind, (form, key) in FORMS.items()} | {"plain": ("reasoning.text", "text")}

_NOTHING = {"finish_reason": None, "native_finish_reason": None, "logprobs": None}
_json = msgspec.json.Encoder()


def frame(body: dict[str, Any]) -> bytes:
    """One SSE frame."""
    return b"data: " + _json.encode(body) + b"\n\n"


def call_id(identity: Identity, number: int) -> str:
    """An id for a call that the provider gave none."""
    return generated_id(identity.id, "call", number)


def gate_of(started: Event) -> Gate | None:
    """What an answer that begins with *started* must pass; None for one of this dialect."""
    return Gate() if isinstance(started, Started) and started.dialect != "chat" else None


def on_call(part: PartStarted | Part) -> bool:
    """Whether *part* is a thought that this dialect has on its tool call, and not for itself."""
    return part.form == "encrypted" and part.extra.get("extra_content", "") is None


class _Parts:
    """What the encoders must know of the parts that began: their number among their kind, by part index."""

    __slots__ = ("calls", "ids", "parts", "reasonings")

    def __init__(self) -> None:
        self.parts: dict[int, tuple[PartStarted, int]] = {}
        self.calls: dict[int, int] = {}
        self.reasonings: dict[int, int] = {}
        self.ids: set[tuple[int, str]] = set()

    def begin(self, part: PartStarted) -> int:
        """The number of *part* among the calls, or the reasoning parts, of its choice; 0 for other kinds."""
        number = 0
        if part.kind == "tool_call" and part.form != "function_call":
            number = self.calls.get(part.choice, 0)
            self.calls[part.choice] = number + 1
        elif part.kind == "reasoning":
            if part.form == "plain":  # where one thought ends and the next begins is not known: they are one detail
                self.parts[part.index] = (part, 0)
                return 0
            told = part.extra.get("index")
            number = told if isinstance(told, int) else self.reasonings.get(part.choice, 0)
            self.reasonings[part.choice] = max(number, self.reasonings.get(part.choice, -1)) + 1
        self.parts[part.index] = (part, number)
        return number

    def id(self, part: PartStarted, number: int, identity: Identity) -> str:
        """The call's id, made up where the provider gave none or one that it had given before."""
        if part.id and (part.choice, part.id) not in self.ids:
            self.ids.add((part.choice, part.id))
            return part.id
        return call_id(identity, number)


class StreamEncoder:
    """Events to frames. Its id and creation time are the identity's.

    Text, most of what is ever said, costs two concatenations and the escaping of the string.
    """

    __slots__ = (
        "_details", "_gate", "_head", "_identity", "_note", "_parts", "_reason", "_roles", "_same", "_tail", "_text",
        "_wants_usage",
    )  # fmt: skip

    def __init__(self, identity: Identity, *, wants_usage: bool) -> None:
        self._identity = identity
        self._wants_usage = wants_usage
        self._parts = _Parts()
        self._head: dict[str, Any] = {}
        self._note: dict[str, Any] = {}
        self._reason: tuple[Any, Any] = (None, None)
        self._text: dict[int, bytes] = {}
        self._roles: set[int] = set()
        self._details: set[int] = set()
        self._gate: Gate | None = None
        self._tail = b'},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}\n\n'
        self._begin(Started())

    def _begin(self, event: Started) -> None:
        extra = dict(event.extra)
        self._head = {
            "id": self._identity.id,
            "object": "chat.completion.chunk",
            "created": event.created or self._identity.created,
            "model": self._identity.model,
            "provider": self._identity.provider,
        }
        for key in ("system_fingerprint", "service_tier"):
            if key in extra:
                self._head[key] = extra.pop(key)
        self._note = extra
        self._same = event.dialect == "chat"
        self._text.clear()

    def encode(self, event: Event) -> bytes:
        """As `Encoder.encode`."""
        if event.__class__ is Started:
            self._gate = gate_of(event)
        if self._gate is not None:
            return b"".join([self._encode(known) for known in self._gate.events(event)])
        return self._encode(event)

    def _encode(self, event: Event) -> bytes:
        match event:
            case Delta():
                return self._delta(event)
            case PartStarted():
                return self._part(event)
            case Started():
                self._begin(event)
            case Noted(extra=extra):
                self._note.update(extra)
            case ChoiceEnded():
                native = event.native
                reason = native if native == "function_call" else event.reason
                if not event.choice or self._reason[0] is None:  # the usage chunk repeats it for choice 0
                    self._reason = (reason, native)
                ending = {**event.extra, "finish_reason": reason, "native_finish_reason": native}
                return self._chunk(event.choice, {"content": ""}, ending)
            case _:
                pass
        return b""

    def _chunk(self, choice: int, delta: dict[str, Any], more: dict[str, Any] | None = None) -> bytes:
        body = dict(self._head)
        said = {"index": choice, "delta": self._first(choice) | delta, **_NOTHING}
        body["choices"] = [said if more is None else {**said, **more}]
        if self._note:
            body.update(self._note)
            self._note = {}
        return frame(body)

    def _first(self, choice: int) -> dict[str, Any]:
        """The role, once for each choice: accumulators that add strings up would say it as often as it comes."""
        if choice in self._roles:
            return {}
        self._roles.add(choice)
        return {"role": "assistant"}

    def _part(self, part: PartStarted) -> bytes:
        number = self._parts.begin(part)
        match part.kind:
            case "tool_call":
                return self._chunk(part.choice, self._call(part, number))
            case "opaque":
                return self._chunk(part.choice, {"content": "", **part.extra})
            case "audio" if part.form == "data" and part.id is not None:
                return self._chunk(part.choice, {"audio": {"id": part.id}})
            case "reasoning" if part.form == "server_tool_call":
                return self._chunk(part.choice, {"content": "", "reasoning_details": [_detail(part, number)]})
            case _:
                return b""

    def _call(self, part: PartStarted, number: int) -> dict[str, Any]:
        if part.form == "function_call":
            return {"content": None, "function_call": {"name": part.name or "", "arguments": ""}}
        id_ = self._parts.id(part, number, self._identity)
        custom = part.form == "custom"
        said = {"name": part.name or "", "input" if custom else "arguments": ""}
        kind = "custom" if custom else "function"
        return {
            "content": None,
            "tool_calls": [{"index": number, "id": id_, "type": kind, kind: said, **part.extra}],
        }

    def _delta(self, event: Delta) -> bytes:
        part, number = self._parts.parts[event.index]
        match part.kind:
            case "text":
                if event.citations is not None:
                    notes = [encode_citation(citation, same=self._same) for citation in event.citations]
                    told = [note for note in notes if note is not None]
                    if not told and not event.text:
                        return b""
                    said = {"content": event.text, **({"annotations": told} if told else {})}
                    return self._chunk(part.choice, said, {"logprobs": event.logprobs})
                if event.logprobs is None and not self._note:
                    return self._plain(part.choice, event.text)
                return self._chunk(part.choice, {"content": event.text}, {"logprobs": event.logprobs})
            case "refusal":
                return self._chunk(part.choice, {"refusal": event.text}, {"logprobs": event.logprobs})
            case "tool_call":
                return self._chunk(part.choice, self._arguments(part, number, event))
            case "reasoning" if on_call(part):
                return b""
            case "reasoning":
                first = event.index not in self._details
                self._details.add(event.index)
                said = _reasoning(part, number, event, first=first)
                return self._chunk(part.choice, said, {"logprobs": event.logprobs})
            case "image":
                return self._chunk(part.choice, {"content": "", "images": [_image(event.text, part.extra)]})
            case "audio":
                said = {"data" if part.form == "data" else "transcript": event.text} if event.text else {}
                return self._chunk(part.choice, {"audio": {**said, **(event.extra or {})}})
            case _:
                return b""

    def _plain(self, choice: int, text: str) -> bytes:
        head = self._text.get(choice)
        if head is None:
            if choice not in self._roles:
                return self._chunk(choice, {"content": text})
            opening = _json.encode(self._head)[:-1]
            head = b'data: %s,"choices":[{"index":%d,"delta":{"content":' % (opening, choice)
            self._text[choice] = head
        return head + _json.encode(text) + self._tail

    def _arguments(self, part: PartStarted, number: int, event: Delta) -> dict[str, Any]:
        if part.form == "function_call":
            return {"function_call": {"arguments": event.text}}
        custom = part.form == "custom"
        kind = "custom" if custom else "function"
        said = {"input" if custom else "arguments": event.text}
        return {"tool_calls": [{"index": number, "type": kind, kind: said, **(event.extra or {})}]}

    @property
    def losses(self) -> tuple[Loss, ...]:
        """As `Encoder.losses`."""
        return () if self._gate is None else self._gate.losses

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The usage chunk, with the finish reason repeated, and [DONE]."""
        return self._usage(usage, cost, metadata) + DONE

    def _usage(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        head = {**self._head, **self._note}
        return usage_chunk(head, self._reason, usage, cost, metadata, same=self._gate is None)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """The error chunk, the usage chunk if it was asked for, and [DONE]."""
        closing = b""
        if self._wants_usage and usage is not None and cost is not None:
            closing = self._usage(usage, cost)
        return error_chunk(self._head, error) + closing + DONE


def usage_chunk(
    head: dict[str, Any],
    reason: tuple[Any, Any],
    usage: Usage,
    cost: Cost,
    metadata: dict[str, Any] | None = None,
    *,
    same: bool = True,
) -> bytes:
    """The last chunk before [DONE]: OpenRouter, "Streaming", in the form with one choice."""
    choice = {
        "index": 0,
        "delta": {"content": ""},
        "finish_reason": reason[0],
        "native_finish_reason": reason[1],
    }
    body = {**head, "choices": [choice], "usage": encode_usage(usage, cost, same=same)}
    if metadata is not None:
        body["openrouter_metadata"] = metadata
    return frame(body)


def error_chunk(head: dict[str, Any], error: TrunklineError) -> bytes:
    """The chunk that ends a stream in *error*."""
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": None}
    return frame({**head, "error": error_object(error), "choices": [choice]})


def _detail(part: PartStarted | Part, number: int) -> dict[str, Any]:
    kind, _ = TYPES.get(part.form or "", ("reasoning.server_tool_call", ""))
    detail: dict[str, Any] = {"type": kind}
    if part.id is not None:
        detail["id"] = part.id
    detail["format"] = (part.format or "unknown") if part.form == "plain" else part.format
    detail["index"] = number
    return {**detail, **part.extra}


def _reasoning(part: PartStarted, number: int, event: Delta, *, first: bool) -> dict[str, Any]:
    """A piece of reasoning in both of its spellings: the plain string, and the detail that can be sent back.

    Only the *first* piece of a detail says what it is: accumulators that add strings up would repeat it.
    """
    detail = _detail(part, number)
    if not first:
        detail = {"type": detail["type"], "index": number}
    key = TYPES.get(part.form or "", ("", ""))[1]
    if key and event.text:
        detail[key] = event.text
    if event.signature is not None:
        detail["signature"] = event.signature
    delta: dict[str, Any] = {"content": ""}
    if event.text and key != "data":
        delta["reasoning"] = event.text
    return {**delta, "reasoning_details": [detail]}


class BodyEncoder:
    """Events to one JSON body: their fold."""

    __slots__ = ("_folder", "_gate", "_identity")

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._folder = Folder()
        self._gate: Gate | None = None

    def encode(self, event: Event) -> bytes:
        """Keeps *event*; everything comes from `finish`."""
        if event.__class__ is Started:
            self._gate = gate_of(event)
        if self._gate is None:
            self._folder.add(event)
        else:
            for known in self._gate.events(event):
                self._folder.add(known)
        return b""

    @property
    def losses(self) -> tuple[Loss, ...]:
        """As `Encoder.losses`."""
        return () if self._gate is None else self._gate.losses

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The whole body, keys in the order of OpenRouter's OpenAPI document, `ChatResult`."""
        response = self._folder.response
        extra = dict(response.extra)
        body: dict[str, Any] = {
            "id": self._identity.id,
            "model": self._identity.model,
            "object": "chat.completion",
            "created": response.created or self._identity.created,
            "choices": [self._choice(choice) for choice in response.choices],
            "provider": self._identity.provider,
            "system_fingerprint": extra.pop("system_fingerprint", None),
        }
        body.update(extra)
        body["usage"] = encode_usage(usage, cost, same=self._gate is None)
        if metadata is not None:
            body["openrouter_metadata"] = metadata
        return _json.encode(body)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """Nothing has left, so an error is an error body; this is not called for JSON."""
        raise error

    def _choice(self, choice: Choice) -> dict[str, Any]:
        message = self._message(choice)
        logprobs: dict[str, Any] | None = None
        for part in choice.parts:
            for key, entries in (part.logprobs or {}).items():
                logprobs = logprobs or {"content": None, "refusal": None}
                logprobs[key] = [*(logprobs.get(key) or ()), *entries]
        native = choice.native
        return {
            "index": choice.index,
            "message": message,
            "finish_reason": native if native == "function_call" else choice.reason,
            "native_finish_reason": native,
            "logprobs": logprobs,
            **choice.extra,
        }

    def _message(self, choice: Choice) -> dict[str, Any]:
        parts = choice.parts
        message: dict[str, Any] = {
            "role": "assistant",
            "content": _content(parts),
            "refusal": _joined(parts, "refusal"),
            "reasoning": _readable(parts),
        }
        for key, values in (
            ("reasoning_details", _details(parts)),
            ("tool_calls", self._calls(parts)),
            ("images", [_image(part.text, part.extra) for part in parts if part.kind == "image"]),
            ("annotations", self._annotations(parts)),
        ):
            if values:
                message[key] = values
        audio = [part for part in parts if part.kind == "audio"]
        if audio:
            message["audio"] = _audio(audio)
        for part in parts:
            if part.kind == "opaque":
                _merge(message, {key: value for key, value in part.extra.items() if key != "content"})
            elif part.form == "function_call":
                message["function_call"] = {"name": part.name, "arguments": part.text}
        return message

    def _annotations(self, parts: list[Part]) -> list[dict[str, Any]]:
        notes = (encode_citation(citation, same=self._gate is None) for part in parts for citation in part.citations)
        return [note for note in notes if note is not None]

    def _calls(self, parts: list[Part]) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        ids: set[str] = set()
        for part in parts:
            if part.kind != "tool_call" or part.form == "function_call":
                continue
            id_ = part.id if part.id and part.id not in ids else call_id(self._identity, len(calls))
            ids.add(id_)
            custom = part.form == "custom"
            kind = "custom" if custom else "function"
            said = {"name": part.name, "input" if custom else "arguments": part.text}
            calls.append({"index": len(calls), "id": id_, "type": kind, kind: said, **part.extra})
        return calls


def _content(parts: list[Part]) -> str | list[Any] | None:
    """The text; where blocks of a kind we do not know stand among it, a list of parts."""
    if not any(part.kind == "opaque" and "content" in part.extra for part in parts):
        return _joined(parts, "text")
    blocks: list[Any] = []
    for part in parts:
        if part.kind == "text":
            blocks.append({"type": "text", "text": part.text})
        elif part.kind == "opaque":
            blocks += part.extra.get("content", ())
    return blocks


def _joined(parts: list[Part], kind: str) -> str | None:
    texts = [part.text for part in parts if part.kind == kind]
    return "".join(texts) if texts else None


def _readable(parts: list[Part]) -> str | None:
    texts = [part.text for part in parts if part.kind == "reasoning" and part.form != "encrypted" and part.text]
    return "".join(texts) if texts else None


def _details(parts: list[Part]) -> list[dict[str, Any]]:
    """Reasoning parts as details; pieces of one index are one detail again."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    texts: dict[tuple[Any, ...], list[str]] = {}
    for number, part in enumerate(part for part in parts if part.kind == "reasoning" and not on_call(part)):
        at = 0 if part.form == "plain" else part.extra.get("index", number)
        # What is not text comes whole, so that two of these are two details.
        place = at if part.form in ("plain", "text", "summary") else (at, number)
        which = (part.form, part.id, place)
        detail = found.setdefault(which, _detail(part, at))
        key = TYPES.get(part.form or "", ("", ""))[1]
        if key:
            detail.setdefault(key, "")
            texts.setdefault(which, []).append(part.text)
        if part.signature is not None:
            detail["signature"] = part.signature
    for which, pieces in texts.items():
        key = TYPES[which[0] or ""][1]
        found[which][key] += "".join(pieces)
    return list(found.values())


def _image(url: str, extra: dict[str, Any]) -> dict[str, Any]:
    return {"type": "image_url", **extra, "image_url": {"url": url, **extra.get("image_url", {})}}


def _audio(parts: list[Part]) -> dict[str, Any]:
    audio: dict[str, Any] = {}
    for part in parts:
        audio["data" if part.form == "data" else "transcript"] = part.text
        audio.update(part.extra)
        if part.id is not None:
            audio["id"] = part.id
    return audio


def _merge(message: dict[str, Any], extra: dict[str, Any]) -> None:
    """Put *extra* into *message*; what came in several pieces of a list or a text is put together."""
    for key, value in extra.items():
        there = message.get(key)
        if isinstance(there, list) and isinstance(value, list):
            there.extend(value)
        else:
            message[key] = value
