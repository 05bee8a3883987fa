"""Messages of another dialect as providers of chat take them. Source: OpenRouter's OpenAPI document, `ChatRequest`.

Providers insist on an order: the results of a message's calls directly behind it, one for each call, and nothing
between. Other dialects are freer, so results are moved to their calls; a call without one gets one that says so, and a
result without a call becomes text of the user's. An answer that came in several messages is one message again.

A result is text; what else it holds follows in a message of the user's, as is common practice. That a tool failed has
no word in chat: its text begins with `Error: `.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import msgspec

from trunkline.dialects.common.reasoning import GEMINI
from trunkline.dialects.common.request_fields import some
from trunkline.dialects.common.tool_names import Names
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_chat.request_content import UNKNOWN, Content
from trunkline.dialects.openai_chat.request_state import Turn
from trunkline.dialects.openai_chat.request_thinking import SIGNED, signed
from trunkline.dialects.openai_chat.vocabulary import DETAILS
from trunkline.model.loss import Losses
from trunkline.model.request import (
    CacheMark,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
)

WHERE = {"responses": "input"}
"""A dialect → what it calls its messages."""
MAX_ID = 40
"""Characters of a call's id that OpenAI takes."""
NO_RESULT = "The result of this call is missing."
PAST = "the provider takes no earlier reasoning"

Body = dict[str, Any]
_json = msgspec.json.Encoder()


class Writer:
    """Writes the messages of one request."""

    __slots__ = ("_content", "_losses", "_names", "_quirks", "_where")

    def __init__(self, dialect: str, names: Names, quirks: Quirks, losses: Losses) -> None:
        self._where = WHERE.get(dialect, "messages")
        self._names = names
        self._quirks = quirks
        self._losses = losses
        self._content = Content(dialect, quirks, losses)

    def messages(self, found: tuple[Message, ...]) -> list[Body]:
        """All of them."""
        results: dict[str, deque[Turn]] = defaultdict(deque)
        for at, message in enumerate(found):
            if message.role == "tool":
                results[message.tool_call_id or ""].append(Turn(at, message))
        bodies: list[Body] = []
        taken: set[int] = set()
        for turns in _together(found):
            first = turns[0]
            if first.message.role == "assistant":
                bodies += self._answer(turns, results, taken)
            elif first.message.role != "tool":
                bodies += self._said(first)
            elif first.at not in taken:
                bodies += self._orphan(first)
        return bodies

    def _path(self, turn: Turn) -> str:
        return f"{self._where}[{turn.at}]"

    def _said(self, turn: Turn) -> Iterator[Body]:
        """A message of the user's, or one of instructions, which says nothing where it is empty."""
        message = turn.message
        path = self._path(turn)
        items = self._content.items(message.parts, f"{path}.content")
        if message.role != "user":  # developer is OpenAI's word alone, which reads system as that
            for item in items:
                if item["type"] != "text":
                    self._losses.add(f"{path}.content", "instructions are text")
            items = [item for item in items if item["type"] == "text"]
            if not items:
                return
        self._mark(items, message.cache, path)
        role = "user" if message.role == "user" else "system"
        yield {"role": role, "content": _plain(items), **some(name=message.name)}

    def _mark(self, items: list[Body], mark: CacheMark | None, path: str) -> None:
        if items:
            self._content.mark(items[-1], mark, path)

    def _answer(self, turns: list[Turn], results: dict[str, deque[Turn]], taken: set[int]) -> Iterator[Body]:
        """What the assistant said in *turns*, and behind it the results of its calls."""
        body: Body = {"role": "assistant", "content": None}
        items: list[Body] = []
        calls: list[tuple[ToolCallPart, str]] = []
        thoughts: list[tuple[ReasoningPart, str]] = []
        for turn in turns:
            path = self._path(turn)
            if items and any(isinstance(part, TextPart) for part in turn.message.parts):
                items.append({"type": "text", "text": "\n\n"})
            for at, part in enumerate(turn.message.parts):
                self._part(part, f"{path}.content[{at}]", body, items, calls, thoughts)
            self._mark(items, turn.message.cache, path)
            body.update(some(name=turn.message.name))
        marked = any(key not in ("type", "text") for item in items for key in item)
        if items:
            body["content"] = items if marked else "".join(item["text"] for item in items)
        if calls:
            body["tool_calls"] = [self._call(call, path) for call, path in calls]
        self._thoughts(body, thoughts)
        if len(body) > 2 or body["content"] is not None:
            yield body
        yield from self._results(calls, turns[-1].at, results, taken)

    def _part(
        self,
        part: Part,
        path: str,
        body: Body,
        items: list[Body],
        calls: list[tuple[ToolCallPart, str]],
        thoughts: list[tuple[ReasoningPart, str]],
    ) -> None:
        match part:
            case ToolCallPart():
                calls.append((part, path))
            case ReasoningPart():
                thoughts.append((part, path))
            case RefusalPart(text=text):
                body["refusal"] = body.get("refusal", "") + text
            case TextPart():
                items += self._content.item(part, path)
            case OpaquePart():
                self._losses.add(path, UNKNOWN)
            case _:
                self._losses.add(path, "an assistant's message of chat is text")

    def _call(self, part: ToolCallPart, path: str) -> Body:
        self._losses.extra(path, part.extra, "chat has no word for it")
        if part.cache is not None:
            self._losses.add(f"{path}.{part.cache.spelling}", "chat has no cache marks on calls")
        name = self._names.of(part.namespace, part.name)
        if part.custom and self._quirks.custom_tools:
            return {"id": short(part.id), "type": "custom", "custom": {"name": name, "input": part.arguments}}
        arguments = _json.encode({"input": part.arguments}).decode() if part.custom else part.arguments or "{}"
        return {"id": short(part.id), "type": "function", "function": {"name": name, "arguments": arguments}}

    def _results(
        self, calls: list[tuple[ToolCallPart, str]], at: int, results: dict[str, deque[Turn]], taken: set[int]
    ) -> Iterator[Body]:
        more: list[Body] = []
        for call, path in calls:
            waiting = results[call.id]
            while waiting and waiting[0].at <= at:  # it came before its call, and before all later ones
                waiting.popleft()
            turn = waiting.popleft() if waiting else None
            if turn is None:
                self._losses.add(path, "a call without a result: one was put in that says so")
                yield {"role": "tool", "tool_call_id": short(call.id), "content": NO_RESULT}
            else:
                taken.add(turn.at)
                items, others = self._result(turn)
                yield {"role": "tool", "tool_call_id": short(call.id), "content": _plain(items)}
                more += others
        if more:
            yield {"role": "user", "content": more}

    def _result(self, turn: Turn) -> tuple[list[Body], list[Body]]:
        """The items of a result that are text, and the others."""
        message, path = turn.message, self._path(turn)
        items = self._content.items(message.parts, f"{path}.content")
        text = [item for item in items if item["type"] == "text"]
        others = [item for item in items if item["type"] != "text"]
        if others:
            self._losses.add(f"{path}.content", "a tool's result is text in chat: the rest follows as the user's")
            about = "(what the tool returned follows)" if not text else None
            others.insert(0, {"type": "text", "text": f"What the call {short(message.tool_call_id or '')} returned:"})
            text += [{"type": "text", "text": about}] if about else []
        if message.is_error:
            _fail(text)
        self._mark(text, message.cache, path)
        self._losses.extra(path, message.extra, "chat has no word for it")
        return text, others

    def _orphan(self, turn: Turn) -> Iterator[Body]:
        """A result of a call that is not there."""
        self._losses.add(self._path(turn), "a result without its call: sent as the user's text")
        text, others = self._result(turn)
        yield {"role": "user", "content": _plain([*text, *others])}

    def _thoughts(self, body: Body, found: list[tuple[ReasoningPart, str]]) -> None:
        """Earlier reasoning, under the name that the provider looks for it."""
        calls: dict[str, Body] = {}
        if self._quirks.reasoning_format == GEMINI:
            for call in body.get("tool_calls", ()):
                calls.setdefault(call["id"], call)
        left = [(part, path) for part, path in found if not self._on_call(calls, part)]
        details: list[Body] = []
        texts: list[str] = []
        for part, path in left:
            if self._quirks.reasoning_field == "reasoning_details":
                details += self._detail(part, path, len(details))
            elif self._quirks.reasoning_field is None:
                self._losses.add(path, PAST)
            else:
                if part.signature is not None or part.form == "encrypted":
                    self._losses.add(f"{path}.{'data' if part.form == 'encrypted' else 'signature'}", SIGNED)
                if part.form != "encrypted" and part.text:
                    texts.append(part.text)
        if details:
            body["reasoning_details"] = details
        elif texts:
            body[self._quirks.reasoning_field or ""] = "\n\n".join(texts)

    @staticmethod
    def _on_call(calls: dict[str, Body], part: ReasoningPart) -> bool:
        """Put Gemini's signature on the one of *calls* (by id) that it is of."""
        if part.form != "encrypted" or part.format != GEMINI or part.id is None:
            return False
        call = calls.get(short(part.id))
        if call is None:
            return False
        call.update(signed(part.text))
        return True

    def _detail(self, part: ReasoningPart, path: str, index: int) -> list[Body]:
        wanted = self._quirks.reasoning_format
        foreign = wanted is not None and part.format not in (None, wanted)
        if foreign and part.form == "encrypted":
            self._losses.add(path, "reasoning of another provider's model")
            return []
        kind, key = DETAILS.get(part.form, ("", ""))
        if not kind or not (part.text or part.signature):
            return []
        signature = part.signature
        if foreign and signature is not None:
            self._losses.add(f"{path}.signature", "reasoning of another provider's model")
            signature = None
        format_ = None if foreign else part.format
        # Of a call the id is the shortened one, as the call has it.
        id_ = short(part.id) if part.format == GEMINI and part.id else part.id
        return [{"type": kind, key: part.text, **some(signature=signature, format=format_, id=id_), "index": index}]


def _together(found: tuple[Message, ...]) -> Iterator[list[Turn]]:
    """The messages, those of the assistant that follow one another put together."""
    group: list[Turn] = []
    for at, message in enumerate(found):
        if message.role == "assistant":
            group.append(Turn(at, message))
            continue
        if group:
            yield group
            group = []
        yield [Turn(at, message)]
    if group:
        yield group


def _plain(items: list[Body]) -> str | list[Body]:
    """One text as a string, which every provider takes; anything else as the list that it is."""
    if not items:
        return ""
    return items[0]["text"] if len(items) == 1 and items[0].keys() == {"type", "text"} else items


def _fail(items: list[Body]) -> None:
    """Make a result say that the tool failed, unless it does."""
    if not items:
        items.append({"type": "text", "text": "Error"})
    elif not items[0]["text"].lstrip().lower().startswith("error"):
        items[0]["text"] = f"Error: {items[0]['text']}"


def short(id_: str) -> str:
    """A call's *id_*, or where it is too long for OpenAI one that stands for it."""
    return id_ if len(id_) <= MAX_ID else f"call_{sha256(id_.encode()).hexdigest()[:32]}"
