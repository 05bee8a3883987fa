"""Messages of another dialect as items.

Sources: OpenAI, "Responses"; OpenRouter, "Reasoning tokens" and "Prompt caching".

OpenAI takes a conversation only whole: every call needs its output and every output its call, so what lacks its other
half is said some other way. A thought goes back only where this provider made it.
"""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from trunkline.dialects.common.tool_names import fit_name
from trunkline.dialects.openai_responses.request_items import (
    NO_FIELD,
    Body,
    bare,
    call,
    lost,
    signed_thought,
    some,
    thought,
)
from trunkline.model.loss import Losses
from trunkline.model.request import (
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
)

NO_OUTPUT = "no output was given for this call"
OPAQUE = "a part that only the dialect it came in knows"
ANOTHERS = "reasoning of another provider's model, which this one cannot read"


def lifetime(ttl: str | None) -> str | None:
    """How long OpenAI is to keep what was to be kept for *ttl*, the nearest that it has; None leaves it to it."""
    return "12h" if ttl in ("1h", "12h") else None if ttl is None else "30m"


def leading(messages: list[Message]) -> list[Message]:
    """The system messages that everything begins with, as far as they are plain text without marks."""
    found: list[Message] = []
    for message in messages:
        texts = all(isinstance(part, TextPart) and part.cache is None for part in message.parts)
        if message.role != "system" or not texts or message.cache is not None or message.name is not None:
            break
        found.append(message)
    return found


def text_of(message: Message) -> str:
    """The texts of *message*."""
    return "\n\n".join(part.text for part in message.parts if isinstance(part, TextPart))


class Writer:
    """The input, message by message."""

    def __init__(self, request: Request, taken: frozenset[str], losses: Losses, *, marks: bool) -> None:
        self._same_kind = request.dialect
        self._taken = taken
        self._losses = losses
        self._marks = marks
        self._open: dict[str, bool] = {}
        """Calls without an output so far, and whether they were of free-form input."""

    def all(self, messages: list[Message], first: int) -> list[Body]:
        """The items of *messages*, the first of which is the message number *first* of the request."""
        out: list[Body] = []
        for at, message in enumerate(messages, first):
            where = f"messages[{at}]"
            if message.role != "tool":
                out += self._unanswered(where)
            out += self._message(message, where)
        out += self._unanswered(f"messages[{first + len(messages)}]")
        if messages and messages[-1].role == "assistant" and any(isinstance(p, TextPart) for p in messages[-1].parts):
            self._losses.add(
                f"messages[{first + len(messages) - 1}]", "the answer does not go on from the assistant's last text"
            )
        return out

    def _unanswered(self, where: str) -> Iterator[Body]:
        for id_, custom in self._open.items():
            self._losses.add(f"{where}.tool_call_id", "a call without an output; one that says so was put in")
            kind = "custom_tool_call_output" if custom else "function_call_output"
            yield {"type": kind, "call_id": id_, "output": NO_OUTPUT}
        self._open = {}

    def _message(self, message: Message, where: str) -> list[Body]:
        if message.name is not None:
            self._losses.add(f"{where}.name", NO_FIELD)
        self._extra(f"{where}", message.extra)
        if message.role == "assistant":
            return list(self._turn(message, where))
        content = [said for at, part in enumerate(message.parts) for said in self._part(part, f"{where}.content[{at}]")]
        if message.cache is not None and content:
            self._mark(content[-1], message.cache)
        if message.role == "tool":
            return self._answer(message, content, where)
        plain: Any = content[0]["text"] if message.plain and len(content) == 1 and len(content[0]) == 2 else content
        return [{"role": message.role, "content": plain}] if content else []

    def _answer(self, message: Message, content: list[Body], where: str) -> list[Body]:
        id_ = message.tool_call_id or ""
        if message.is_error:
            self._losses.add(f"{where}.is_error", NO_FIELD)
        if id_ not in self._open:
            self._losses.add(f"{where}.tool_call_id", "an output without a call; it was said as the user's text")
            return [{"role": "user", "content": content}] if content else []
        custom = self._open.pop(id_)
        output: Any = content
        if all(part["type"] == "input_text" and len(part) == 2 for part in content):
            output = "\n".join(part["text"] for part in content)
        return [
            {"type": "custom_tool_call_output" if custom else "function_call_output", "call_id": id_, "output": output}
        ]

    def _turn(self, message: Message, where: str) -> Iterator[Body]:
        """The items of what the model said: its thoughts, its texts, its calls, in their order."""
        said: list[Body] = []
        thoughts: list[ReasoningPart] = []
        for at, part in enumerate(message.parts):
            here = f"{where}.content[{at}]"
            if thoughts and not (isinstance(part, ReasoningPart) and part.id == thoughts[0].id):
                yield from self._thought(thoughts, where)
                thoughts = []
            if said and not isinstance(part, TextPart | RefusalPart):
                yield {"role": "assistant", "content": said}
                said = []
            match part:
                case ReasoningPart():
                    thoughts.append(part)
                case ToolCallPart():
                    yield self._call(part, here)
                case TextPart() | RefusalPart():
                    said += self._spoken(part, here)
                case _:
                    self._losses.add(
                        here, OPAQUE if isinstance(part, OpaquePart) else "the model's turn takes text only"
                    )
        if thoughts:
            yield from self._thought(thoughts, where)
        if said:
            yield {"role": "assistant", "content": said}

    def _spoken(self, part: TextPart | RefusalPart, where: str) -> list[Body]:
        if isinstance(part, TextPart) and part.citations:
            self._losses.add(f"{where}.citations", "citations of an earlier turn are not sent")
        self._extra(where, part.extra)
        if not part.text:
            return []
        return [bare(replace(part, citations=()) if isinstance(part, TextPart) else part, "output_text")]

    def _call(self, part: ToolCallPart, where: str) -> Body:
        self._extra(where, part.extra)
        self._open[part.id] = part.custom
        arguments = part.arguments or ("" if part.custom else "{}")
        return call(replace(part, name=fit_name(part.name), arguments=arguments), {})

    def _thought(self, parts: list[ReasoningPart], where: str) -> list[Body]:
        sealed = [part for part in parts if part.form == "encrypted" and part.text]
        if "*" in self._taken:
            told = [part for part in parts if part.text or part.signature is not None]
            return [signed_thought(told)] if told else []
        if sealed and all(part.format in self._taken for part in sealed):
            return thought(parts)
        if any(part.text or part.signature for part in parts):
            self._losses.add(f"{where}.reasoning", ANOTHERS)
        return []

    def _part(self, part: Part, where: str) -> list[Body]:
        self._extra(where, {} if isinstance(part, OpaquePart) else part.extra)
        match part:
            case OpaquePart() | ReasoningPart() | ToolCallPart():
                self._losses.add(where, OPAQUE)
                return []
            case SearchResultPart():
                if part.citations:
                    self._losses.add(f"{where}.citations", NO_FIELD)
                texts = [part.title, part.source, *(inner.text for inner in part.content)]
                out: list[Body] = [{"type": "input_text", "text": "\n".join(filter(None, texts))}]
            case FilePart():
                out = self._file(part, where)
            case ImagePart():
                out = [{"detail": "auto", **bare(part, "input_text")}]
            case _:
                out = [bare(part, "input_text")]
        mark = getattr(part, "cache", None)
        if mark is not None and out:
            self._mark(out[-1], mark)
        return out

    def _file(self, part: FilePart, where: str) -> list[Body]:
        """A document: what is text already is said as text, under its title."""
        if part.citations:
            self._losses.add(f"{where}.citations", NO_FIELD)
        about = [{"type": "input_text", "text": said} for said in (part.title, part.context) if said]
        if part.text is not None:
            return [*about, {"type": "input_text", "text": part.text}]
        if part.content is not None:
            inner = enumerate(part.content)
            return [*about, *(said for at, one in inner for said in self._part(one, f"{where}.content[{at}]"))]
        if part.filename is None and part.data is not None and part.data.startswith("data:"):
            part = replace(part, filename=_filename(part.data))
        elif part.data is not None and part.data.startswith("http"):
            part = replace(part, filename=None)
        return [*about, bare(part, "input_text")]

    def _mark(self, body: Body, mark: CacheMark) -> None:
        """A cache mark, where the model takes any; OpenAI's others cache without being told."""
        if body["type"] not in ("input_text", "input_image", "input_file"):
            return
        if "*" in self._taken:
            ttl = "1h" if mark.ttl in ("1h", "12h") else None if mark.ttl is None else "5m"
            body["cache_control"] = {"type": "ephemeral", **some({"ttl": ttl})}
        elif self._marks:
            body["prompt_cache_breakpoint"] = {"mode": "explicit", **some({"ttl": lifetime(mark.ttl)})}

    def _extra(self, where: str, extra: Body) -> None:
        lost(self._losses, f"{where}.", extra)


def _filename(url: str) -> str:
    kind = url[5:].partition(";")[0].partition(",")[0]
    return f"file.{kind.rpartition('/')[2] or 'pdf'}"
