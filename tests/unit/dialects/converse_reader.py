"""A request of Converse, read: the encoder's inverse, for tests.

Nobody speaks Converse to us, so the product has no such reader; with it the tests show that nothing of a request is
lost. All goes through the fields of the vocabulary, and a field without a place in it is refused. Two dialects may be
the request's. As one of Messages, it is what a client of ours could have said; what an operator says of all requests
(`guardrailConfig` …) is the provider's quirks then. As one of Converse itself, what has no name in the vocabulary is
kept as the fields that no dialect but this one has.

Source: Bedrock API reference, "Converse" and the types that it names.
"""

from base64 import b64decode
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from trunkline.dialects.bedrock_converse.request_media import AUDIO, DOCUMENTS, IMAGES, VIDEOS
from trunkline.dialects.common.reasoning import ANTHROPIC
from trunkline.dialects.interfaces import Quirks
from trunkline.model.citation import Citation, CitationKind
from trunkline.model.request import (
    AudioPart,
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
    ResponseFormat,
    Sampling,
    SearchResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    VideoPart,
)

Json = dict[str, Any]

NAME = "converse"
OPERATORS = frozenset({"guardrailConfig", "performanceConfig"})
"""What a provider's quirk `body` says, or a request in Converse's own dialect."""
RUNS = {"nova_grounding": "web_search", "nova_code_interpreter": "code_execution"}
PLACES: dict[str, tuple[CitationKind, str]] = {
    "documentChar": ("char", "documentIndex"),
    "documentPage": ("page", "documentIndex"),
    "documentChunk": ("block", "documentIndex"),
    "searchResultLocation": ("search_result", "searchResultIndex"),
}


class Read(Struct, frozen=True):
    """A request, and how the provider is configured that was sent it."""

    request: Request
    quirks: Quirks


def read(body: Json, *, dialect: str = "messages") -> Read:
    """The request in *body*, as one of *dialect*: `messages` or `converse`."""
    said = _fields(
        body, "messages", "system", "inferenceConfig", "toolConfig", "additionalModelRequestFields", "outputConfig",
        "additionalModelResponseFieldPaths", "serviceTier", "requestMetadata", *OPERATORS,
    )  # fmt: skip
    own = dialect == NAME
    beside = {key: value for key, value in said.items() if key in OPERATORS}
    empty = {key: value for key, value in said.items() if key in ("system", "inferenceConfig") and not value}
    config = _fields(said.get("inferenceConfig", {}), "maxTokens", "temperature", "topP", "stopSequences")
    stops = config.get("stopSequences")
    # Claude is always asked which sequence it met.
    assert said.get("additionalModelResponseFieldPaths", ["/stop_sequence"]) == ["/stop_sequence"]
    told = _fields(said.get("toolConfig", {}), "tools", "toolChoice")
    model = _Model(said.get("additionalModelRequestFields", {}))
    system = Message(role="system", parts=_parts(said.get("system", []), dialect))
    messages = [message for one in said["messages"] for message in _message(one, dialect)]
    request = Request(
        dialect=dialect,
        messages=tuple([system, *messages] if system.parts else messages),
        sampling=Sampling(
            temperature=config.get("temperature"),
            top_p=config.get("topP"),
            top_k=model.top_k,
            stop=None if stops is None else tuple(stops),
        ),
        max_output=config.get("maxTokens"),
        tools=(*_tools(told.get("tools", []), dialect), *model.tools) or None,
        tool_choice=_choice(told["toolChoice"]) if "toolChoice" in told else None,
        response_format=_format(said["outputConfig"]) if "outputConfig" in said else None,
        reasoning=model.reasoning,
        verbosity=model.verbosity,
        betas=model.betas,
        service_tier=_fields(said["serviceTier"], "type")["type"] if "serviceTier" in said else None,
        metadata=said.get("requestMetadata"),
        extra={**beside, **empty} if own else {},
    )
    return Read(request, Quirks(body={} if own else beside))


def _fields(found: Json, *known: str) -> Json:
    """*found*, whose fields are *known*."""
    assert found.keys() <= set(known), f"no place for {sorted(found.keys() - set(known))}"
    return found


class _Model:
    """What goes to the model past Converse, in the words of its family."""

    def __init__(self, found: Json) -> None:
        said = _fields(
            found, "thinking", "output_config", "reasoningConfig", "reasoning_effort", "reasoning", "reasoning_config",
            "top_k", "inferenceConfig", "anthropic_beta", "tools",
        )  # fmt: skip
        effort = _fields(said["output_config"], "effort")["effort"] if "output_config" in said else None
        self.verbosity: str | None = None if "thinking" in said else effort
        self.top_k: int | None = said.get("top_k")
        if "inferenceConfig" in said:
            self.top_k = _fields(said["inferenceConfig"], "topK")["topK"]
        self.betas: tuple[str, ...] = tuple(said.get("anthropic_beta", ()))
        self.tools = tuple(
            Tool(kind=one["type"], name=one.get("name", ""), extra=_rest(one, "type", "name"))
            for one in said.get("tools", ())
        )
        self.reasoning = self._reasoning(said, effort)

    def _reasoning(self, said: Json, effort: str | None) -> Reasoning | None:
        if "thinking" in said:
            thinking = _fields(said["thinking"], "type", "budget_tokens", "display")
            display, budget = thinking.get("display"), thinking.get("budget_tokens")
            if thinking["type"] == "adaptive":
                return Reasoning(adaptive=True, effort=effort, display=display)
            assert thinking["type"] == "enabled"
            return Reasoning(max_tokens=budget, display=display)
        if "reasoningConfig" in said:
            config = _fields(said["reasoningConfig"], "type", "maxReasoningEffort")
            if config["type"] == "disabled":
                return Reasoning(enabled=False)
            return Reasoning(effort=config["maxReasoningEffort"])
        if "reasoning" in said:
            return Reasoning(effort=_fields(said["reasoning"], "effort")["effort"])
        flat = said.get("reasoning_effort") or said.get("reasoning_config")
        return None if flat is None else Reasoning(effort=flat)


def _message(found: Json, dialect: str) -> list[Message]:
    """The results that begin it, and what is said behind them."""
    said = _fields(found, "role", "content")
    out: list[Message] = []
    rest: list[Json] = []
    for block in said["content"]:
        if "toolResult" in block:
            assert not rest, "results begin a turn"
            out.append(_result(_fields(block, "toolResult")["toolResult"], dialect))
        elif "cachePoint" in block and out and not rest:
            out[-1] = replace(out[-1], cache=_mark(block))
        else:
            rest.append(block)
    if rest:
        out.append(Message(role=said["role"], parts=_parts(rest, dialect), joined=bool(out)))
    return out


def _result(found: Json, dialect: str) -> Message:
    said = _fields(found, "toolUseId", "content", "status")
    return Message(
        role="tool",
        tool_call_id=said["toolUseId"],
        parts=_parts(said["content"], dialect),
        is_error={None: None, "success": False, "error": True}[said.get("status")],
    )


def _mark(block: Json) -> CacheMark:
    said = _fields(_fields(block, "cachePoint")["cachePoint"], "type", "ttl")
    assert said["type"] == "default"
    return CacheMark(ttl=said.get("ttl"))


def _parts(blocks: list[Json], dialect: str) -> tuple[Part, ...]:
    out: list[Part] = []
    for block in blocks:
        if "cachePoint" in block:
            last = out[-1]
            assert not isinstance(last, OpaquePart | ReasoningPart | RefusalPart)
            out[-1] = replace(last, cache=_mark(block))
        else:
            ((kind, inner),) = block.items()
            out.append(_part(kind, inner, dialect))
    return tuple(out)


def _part(kind: str, found: Any, dialect: str) -> Part:
    match kind:
        case "text":
            return TextPart(found)
        case "toolUse":
            use = _fields(found, "toolUseId", "name", "input")
            return ToolCallPart(use["toolUseId"], use["name"], msgspec.json.encode(use["input"]).decode())
        case "reasoningContent":
            return _thought(_fields(found, "reasoningText", "redactedContent"))
        case "citationsContent":
            said = _fields(found, "content", "citations")
            ((piece),) = said["content"]
            return TextPart(_fields(piece, "text")["text"], citations=tuple(map(_citation, said["citations"])))
        case "searchResult":
            said = _fields(found, "source", "title", "content", "citations")
            content = tuple(TextPart(_fields(one, "text")["text"]) for one in said["content"])
            return SearchResultPart(said["source"], said["title"], content, citations=_enabled(said))
        case "guardContent":  # no dialect but this one marks what a guardrail is to look at
            return OpaquePart({kind: found})
        case _:
            return _media(kind, found)


def _thought(found: Json) -> ReasoningPart:
    if "redactedContent" in found:
        return ReasoningPart(form="encrypted", text=b64decode(found["redactedContent"]).decode(), format=ANTHROPIC)
    said = _fields(found["reasoningText"], "text", "signature")
    return ReasoningPart(form="text", text=said["text"], signature=said.get("signature"), format=ANTHROPIC)


def _enabled(found: Json) -> bool | None:
    return _fields(found["citations"], "enabled")["enabled"] if "citations" in found else None


def _citation(found: Json) -> Citation:
    said = _fields(found, "location", "title", "source", "sourceContent")
    ((name, place),) = _fields(said["location"], *PLACES).items()
    kind, index = PLACES[name]
    _fields(place, index, "start", "end")
    cited = [_fields(one, "text")["text"] for one in said.get("sourceContent", ())]
    return Citation(
        kind=kind,
        url=said.get("source"),
        title=said.get("title"),
        cited_text="".join(cited) if cited else None,
        source_begin=place.get("start"),
        source_end=place.get("end"),
        document=place.get(index),
    )


def _media(kind: str, found: Json) -> Part:
    said = _fields(found, "format", "source", *(("name", "context", "citations") if kind == "document" else ()))
    format_, source = said["format"], _fields(said["source"], "bytes", "s3Location", "text", "content")
    match kind:
        case "image":
            return ImagePart(_url(source, format_, IMAGES))
        case "video":
            return VideoPart(_url(source, format_, VIDEOS))
        case "audio":
            return AudioPart(source["bytes"], next(ours for ours, theirs in AUDIO.items() if theirs == format_))
        case "document":
            about: Json = {"title": said["name"], "context": said.get("context"), "citations": _enabled(said)}
            if "text" in source:
                return FilePart(text=source["text"], **about)
            if "content" in source:
                texts = tuple(TextPart(_fields(one, "text")["text"]) for one in source["content"])
                return FilePart(content=texts, **about)
            return FilePart(data=_url(source, format_, DOCUMENTS), **about)
        case _:
            raise AssertionError(f"no place for {kind}")


def _url(source: Json, format_: str, formats: dict[str, str]) -> str:
    if "s3Location" in source:
        url: str = _fields(source["s3Location"], "uri")["uri"]
        return url
    kind = next(theirs for theirs, ours in formats.items() if ours == format_)
    return f"data:{kind};base64,{source['bytes']}"


def _rest(found: Json, *known: str) -> Json:
    return {key: value for key, value in found.items() if key not in known}


def _tools(entries: list[Json], dialect: str) -> tuple[Tool, ...]:
    out: list[Tool] = []
    for entry in entries:
        ((kind, inner),) = _fields(entry, "toolSpec", "systemTool", "cachePoint").items()
        if kind == "cachePoint":
            out[-1] = replace(out[-1], cache=_mark(entry))
        elif kind == "systemTool":
            name = _fields(inner, "name")["name"]
            out.append(Tool(kind=kind, extra={"name": name}) if dialect == NAME else Tool(kind=RUNS[name]))
        else:
            spec = _fields(inner, "name", "inputSchema", "strict", "description")
            out.append(
                Tool(
                    kind="function",
                    name=spec["name"],
                    description=spec.get("description"),
                    parameters=_fields(spec["inputSchema"], "json")["json"],
                    strict=spec.get("strict"),
                )
            )
    return tuple(out)


def _choice(found: Json) -> ToolChoice:
    ((kind, inner),) = _fields(found, "auto", "any", "tool").items()
    if kind == "tool":
        return ToolChoice(mode="tool", name=_fields(inner, "name")["name"])
    _fields(inner)
    return ToolChoice(mode="required" if kind == "any" else "auto")


def _format(found: Json) -> ResponseFormat:
    shape = _fields(_fields(found, "textFormat")["textFormat"], "type", "structure")
    assert shape["type"] == "json_schema"
    said = _fields(_fields(shape["structure"], "jsonSchema")["jsonSchema"], "name", "description", "schema")
    return ResponseFormat(
        kind="json_schema",
        name=said.get("name"),
        description=said.get("description"),
        schema=msgspec.json.decode(said["schema"]),
    )
