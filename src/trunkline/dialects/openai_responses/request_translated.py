"""A request of another dialect, said in this one. Source: wire-responses §1–§4, openrouter-semantics §13–§14.

OpenAI takes a conversation only whole: every call needs its output and every output its call, so what lacks its other
half is said some other way. A thought goes back only where this provider made it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from trunkline.dialects.common.ids import pseudonym
from trunkline.dialects.common.json_schema import Subset, subset
from trunkline.dialects.common.reasoning import effort_of, wanted
from trunkline.dialects.common.tool_names import fit
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_responses.request_items import bare, call, choice, signed_thought, some, thought, tools
from trunkline.families.lookup import family_of
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import (
    CacheMark,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    SearchResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
)

LEAST_OUTPUT = 16
"""Less is answered with 400."""
SAME = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
NONE = ("top_k", "top_a", "min_p", "repetition_penalty", "seed", "logit_bias", "stop")
TIERS = {"fast": "priority", "standard": "default", "standard_only": "default"}
"""Other dialects' words for a tier → OpenAI's."""

SERVER_TOOLS: tuple[tuple[str, str], ...] = (
    ("web_search", "web_search"),
    ("openrouter:web_search", "web_search"),
    ("googleSearch", "web_search"),
    ("google_search", "web_search"),
    ("code_execution", "code_interpreter"),
    ("codeExecution", "code_interpreter"),
)
"""How the kind of a provider's own tool begins, in any dialect → OpenAI's tool of that kind."""

NO_FIELD = "the Responses dialect has no word for it"
NO_OUTPUT = "no output was given for this call"
OPAQUE = "a part that only the dialect it came in knows"
ANOTHERS = "reasoning of another provider's model, which this one cannot read"
Body = dict[str, Any]


def to_wire(request: Request, endpoint: Endpoint, quirks: Quirks, taken: frozenset[str], losses: Losses) -> Body:
    """The top level of a body; *taken* are the formats of the thoughts that this provider reads, `*` for OpenRouter."""
    body: Body = {"stream": request.stream} if request.stream else {}
    messages = list(request.messages)
    leading = _leading(messages)
    told = [text for message in leading if (text := _text(message))]
    if told:
        body["instructions"] = "\n\n".join(told)
    writer = _Items(request, taken, losses, marks=family_of(endpoint.upstream_model).cache_breakpoints)
    body["input"] = writer.all(messages[len(leading) :], len(leading))
    body.update(some({key: getattr(request.sampling, key) for key in SAME}))
    body.update(
        some(
            {
                "max_output_tokens": None if request.max_output is None else max(request.max_output, LEAST_OUTPUT),
                "parallel_tool_calls": request.parallel_tool_calls,
                "metadata": request.metadata,
                "user": None if request.user is None else pseudonym(request.user),
                "prompt_cache_key": request.prompt_cache_key,
                "service_tier": TIERS.get(request.service_tier or "", request.service_tier),
            }
        )
    )
    _tools(body, request, quirks, losses)
    _text_settings(body, request, quirks, losses)
    _thinking(body, request)
    _logprobs(body, request)
    _lost(request, losses)
    return body


def lifetime(ttl: str | None) -> str | None:
    """How long OpenAI is to keep what was to be kept for *ttl*, the nearest that it has; None leaves it to it."""
    return "12h" if ttl in ("1h", "12h") else None if ttl is None else "30m"


def _leading(messages: list[Message]) -> list[Message]:
    """The system messages that everything begins with, as far as they are plain text without marks."""
    found: list[Message] = []
    for message in messages:
        texts = all(isinstance(part, TextPart) and part.cache is None for part in message.parts)
        if message.role != "system" or not texts or message.cache is not None or message.name is not None:
            break
        found.append(message)
    return found


def _text(message: Message) -> str:
    return "\n\n".join(part.text for part in message.parts if isinstance(part, TextPart))


class _Items:
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
        return call(replace(part, name=fit(part.name), arguments=arguments), {})

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
        _report(self._losses, f"{where}.", extra)


def _report(losses: Losses, where: str, extra: Body) -> None:
    """Every field of *extra* is lost; a null says nothing, nor does what is no field of the wire."""
    for key, said in extra.items():
        if said is not None and key[:1] != "~":
            losses.add(f"{where}{key}", NO_FIELD)


def _filename(url: str) -> str:
    kind = url[5:].partition(";")[0].partition(",")[0]
    return f"file.{kind.rpartition('/')[2] or 'pdf'}"


def _tools(body: Body, request: Request, quirks: Quirks, losses: Losses) -> None:
    taken = [_tool(tool, f"tools[{at}]", request, quirks, losses) for at, tool in enumerate(request.tools or ())]
    found = [tool for tool in taken if tool is not None]
    if found:
        body["tools"] = tools(found)
        if request.tool_choice is not None:
            told = _choice(request.tool_choice, losses)
            if told is not None:
                body["tool_choice"] = told


def _tool(tool: Tool, where: str, request: Request, quirks: Quirks, losses: Losses) -> Tool | None:
    """A tool as OpenAI takes it. It tries to be strict where nobody says that it should not."""
    if tool.kind == "custom":
        return replace(tool, name=fit(tool.name), extra={}, cache=None)
    if tool.kind != "function" or not tool.name:
        return _server_tool(tool, where, losses)
    _report(losses, f"{where}.", tool.extra)
    parameters = tool.parameters or {"type": "object", "properties": {}}
    strict = bool(tool.strict)
    parameters, gone = subset(parameters, _subset(request, quirks, strict=strict))
    for path in gone:
        losses.add(f"{where}.parameters.{path}", "the provider's subset of JSON Schema has no such word")
    return replace(tool, name=fit(tool.name), parameters=parameters, strict=strict, extra={}, cache=None)


def _subset(request: Request, quirks: Quirks, *, strict: bool) -> Subset:
    """Which schemas the provider takes. OpenAI is strict only where it is told to be; chat's are written for that."""
    if strict and request.dialect != "chat":
        return "openai_strict"
    return "full" if quirks.schema == "openai_strict" and not strict else quirks.schema


def _server_tool(tool: Tool, where: str, losses: Losses) -> Tool | None:
    for start, kind in SERVER_TOOLS:
        if tool.kind.startswith(start):
            if kind == "code_interpreter":
                return Tool(kind=kind, extra={"container": {"type": "auto"}})
            return Tool(kind=kind, extra=_search(tool.extra, where, losses))
    losses.add(where, "the provider has no such tool")
    return None


def _search(extra: Body, where: str, losses: Losses) -> Body:
    inner = extra.get("parameters")
    given: Body = {**extra, **(inner if isinstance(inner, dict) else {})}
    said: Body = some(
        {"user_location": given.get("user_location"), "search_context_size": given.get("search_context_size")}
    )
    allowed = given.get("allowed_domains")
    if isinstance(allowed, list) and allowed:
        said["filters"] = {"allowed_domains": allowed}
    for key in sorted(given.keys() - {"user_location", "search_context_size", "allowed_domains", "parameters", "name"}):
        if given[key] is not None:
            losses.add(f"{where}.{key}", NO_FIELD)
    return said


def _choice(found: ToolChoice, losses: Losses) -> Any:
    if found.mode == "opaque":
        losses.add("tool_choice", NO_FIELD)
        return None
    name = None if found.name is None else fit(found.name)
    return choice(replace(found, name=name, names=tuple(map(fit, found.names)), extra={}))


def _text_settings(body: Body, request: Request, quirks: Quirks, losses: Losses) -> None:
    text: Body = {}
    shape = request.response_format
    if shape is not None and shape.kind == "json_schema" and shape.schema is not None:
        strict = shape.strict if shape.strict is not None else request.dialect != "chat"
        schema, gone = subset(shape.schema, _subset(request, quirks, strict=strict))
        for path in gone:
            losses.add(f"response_format.{path}", "the provider's subset of JSON Schema has no such word")
        name = re.sub(r"[^A-Za-z0-9_-]", "_", shape.name or "response")[:64]
        said = {"type": "json_schema", "name": name, "schema": schema, "strict": strict}
        text["format"] = {**said, **some({"description": shape.description})}
    elif shape is not None and shape.kind in ("text", "json_object"):
        text["format"] = {"type": shape.kind}
    elif shape is not None:
        losses.add("response_format", NO_FIELD)
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text


def _thinking(body: Body, request: Request) -> None:
    """How much to think, and whether to tell of it: what a client is to read of a thought is its summary."""
    reasoning = request.reasoning
    if reasoning is None:
        return
    asked = wanted(reasoning)
    if asked is not None and asked.off:
        body["reasoning"] = {"effort": "none"}
        return
    told = None if asked is None else asked.effort
    if asked is not None and told is None and asked.budget is not None:
        told = effort_of(asked.budget, request.max_output)
    summary = reasoning.summary
    if summary is None and not reasoning.exclude and reasoning.display != "omitted":
        summary = "auto"
    body["reasoning"] = some({"effort": told, "summary": summary, "context": reasoning.context, "mode": reasoning.mode})
    if not body["reasoning"]:
        del body["reasoning"]


def effort(enabled: bool | None, budget: int | None, max_output: int | None) -> str | None:
    """The effort that stands for `enabled` and `max_tokens`; None where they say nothing."""
    asked = wanted(Reasoning(enabled=enabled, max_tokens=budget))
    if asked is None:
        return None
    if asked.off:
        return "none"
    return asked.effort if asked.budget is None else effort_of(asked.budget, max_output)


def _logprobs(body: Body, request: Request) -> None:
    if request.sampling.logprobs or request.sampling.top_logprobs:
        body["include"] = ["reasoning.encrypted_content", "message.output_text.logprobs"]
        body["top_logprobs"] = request.sampling.top_logprobs or 0


def _lost(request: Request, losses: Losses) -> None:
    """What is said beside the messages, and cannot be said here."""
    for key in NONE:
        if getattr(request.sampling, key) not in (None, (), {}):
            losses.add(key, NO_FIELD)
    if (request.sampling.n or 1) > 1:
        losses.add("n", "a response has one choice")
    if request.modalities and set(request.modalities) != {"text"}:
        losses.add("modalities", NO_FIELD)
    _report(losses, "", {key: said for key, said in request.extra.items() if key not in KNOWN})


KNOWN: Iterable[str] = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms", "usage",
     "stream_options", "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "include_reasoning",
     "fallbacks", "speed", "prompt_cache_options"}
)  # fmt: skip
"""Fields that tell us what to do: nothing of them is lost, since no provider was to have them."""
