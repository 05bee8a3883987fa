"""Converse both ways round, for tests: a captured request in our words, and an answer of ours as Converse says it.

Nobody speaks Converse to us, so the product has neither; with them the tests show that nothing is lost on the way.
"""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import msgspec

from trunkline.dialects.bedrock_converse import eventstream
from trunkline.dialects.bedrock_converse.citations import decode as citation
from trunkline.model.endpoint import Endpoint
from trunkline.model.request import (
    CacheMark,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    Request,
    ResponseFormat,
    Sampling,
    SearchResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
)
from trunkline.model.response import Part as Answered
from trunkline.model.response import Response

Json = dict[str, Any]
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"


def endpoint(model: str = CLAUDE, parameters: Iterable[str] = ()) -> Endpoint:
    return Endpoint(
        model="acme/small",
        provider="bedrock",
        provider_name="Bedrock",
        upstream_model=model,
        dialect="converse",
        tag="bedrock",
        parameters=frozenset(parameters),
    )


def frames(*said: tuple[str, Json]) -> bytes:
    """A stream of the events *said*: names and bodies; a name that ends in `Exception` is one."""
    return b"".join(
        (eventstream.exception if name.endswith("Exception") else eventstream.event)(name, msgspec.json.encode(body))
        for name, body in said
    )


# A request, read.


def request_of(body: Json) -> Request:
    """The request in *body*, in our words."""
    extra = dict(body)
    messages = [_system(extra.pop("system"))] if extra.get("system") else []
    for said in extra.pop("messages"):
        messages += _message(said)
    config = dict(extra.pop("inferenceConfig", {}))
    if not config and "inferenceConfig" in body:
        extra["inferenceConfig"] = {}
    stops = config.pop("stopSequences", None)
    shape = extra.pop("outputConfig", None)
    told = extra.pop("toolConfig", None) or {}
    return Request(
        dialect="converse",
        messages=tuple(messages),
        sampling=Sampling(
            temperature=config.pop("temperature", None),
            top_p=config.pop("topP", None),
            stop=None if stops is None else tuple(stops),
        ),
        max_output=config.pop("maxTokens", None),
        tools=_tools(told["tools"]) if told else None,
        tool_choice=_choice(told["toolChoice"]) if "toolChoice" in told else None,
        response_format=None if shape is None else _format(shape),
        extra=extra,
    )


def _system(blocks: list[Json]) -> Message:
    return Message(role="system", parts=tuple(_parts(blocks)))


def _message(said: Json) -> list[Message]:
    out: list[Message] = []
    rest: list[Json] = []
    for block in said["content"]:
        result = block.get("toolResult") if said["role"] == "user" else None
        if result is None:
            rest.append(block)
            continue
        extra = {key: value for key, value in result.items() if key not in ("toolUseId", "content", "status")}
        failed = {"success": False, "error": True}.get(result.get("status"))
        out.append(
            Message(
                role="tool",
                tool_call_id=result["toolUseId"],
                parts=tuple(_parts(result["content"])),
                is_error=failed,
                extra=extra,
            )
        )
    if rest:
        out.append(Message(role=said["role"], parts=tuple(_parts(rest)), joined=bool(out)))
    return out


def _parts(blocks: list[Json]) -> list[Part]:
    out: list[Part] = []
    for block in blocks:
        match block:
            case {"cachePoint": {"type": "default", **rest}} if not rest and out:
                out[-1] = msgspec.structs.replace(out[-1], cache=CacheMark())
            case _:
                out.append(_part(block))
    return out


def _part(block: Json) -> Part:
    match block:
        case {"text": str(text)}:
            return TextPart(text)
        case {"toolUse": dict(use)}:
            given = msgspec.json.encode(use["input"]).decode()
            return ToolCallPart(use["toolUseId"], use["name"], given, extra=_rest(use, "toolUseId", "name", "input"))
        case {"reasoningContent": {"reasoningText": dict(thought)}}:
            signature, format_ = thought.get("signature"), "anthropic-claude-v1"
            return ReasoningPart(form="text", text=thought["text"], signature=signature, format=format_)
        case {"searchResult": dict(found)}:
            content = tuple(TextPart(one["text"]) for one in found["content"])
            enabled = found["citations"]["enabled"] if "citations" in found else None
            return SearchResultPart(found["source"], found["title"], content, citations=enabled)
        case {"image": {"format": str(format_), "source": {"bytes": str(data)}}}:
            return ImagePart(f"data:image/{format_};base64,{data}")
        case {"document": {"format": "pdf", "name": str(name), "source": {"bytes": str(data)}}}:
            return FilePart(data=f"data:application/pdf;base64,{data}", filename=name)
        case {"citationsContent": {"content": [{"text": str(text)}], "citations": list(cited)}}:
            return TextPart(text, citations=tuple(map(citation, cited)))
        case _:
            return OpaquePart(block)


def _rest(found: Json, *known: str) -> Json:
    return {key: value for key, value in found.items() if key not in known}


def _tools(entries: list[Json]) -> tuple[Tool, ...]:
    out: list[Tool] = []
    for entry in entries:
        match entry:
            case {"toolSpec": dict(spec)}:
                known = ("name", "inputSchema", "strict", "description")
                out.append(
                    Tool(
                        kind="function",
                        name=spec["name"],
                        parameters=spec["inputSchema"]["json"],
                        strict=spec.get("strict"),
                        description=spec.get("description"),
                        extra=_rest(spec, *known),
                    )
                )
            case {"cachePoint": _}:
                out[-1] = msgspec.structs.replace(out[-1], cache=CacheMark())
            case _:
                ((kind, inner),) = entry.items()
                out.append(Tool(kind=kind, extra=inner))
    return tuple(out)


def _choice(said: Json) -> ToolChoice:
    ((kind, inner),) = said.items()
    if kind == "tool":
        return ToolChoice(mode="tool", name=inner["name"])
    return ToolChoice(mode="required" if kind == "any" else "auto")


def _format(shape: Json) -> ResponseFormat:
    inner = shape["textFormat"]["structure"]["jsonSchema"]
    return ResponseFormat(
        kind="json_schema",
        name=inner.get("name"),
        description=inner.get("description"),
        schema=msgspec.json.decode(inner["schema"]),
    )


# An answer, written.


def body_of(response: Response) -> Json:
    """The JSON body that says *response*."""
    assert response.usage is not None
    choice, usage = response.choices[0], response.usage
    body: Json = {
        "output": {"message": {"role": "assistant", "content": [_block(part) for part in choice.parts]}},
        "stopReason": choice.native,
        **choice.extra,
        **response.extra,
    }
    cached, written = usage.cached or 0, usage.cache_write or 0
    said = {
        "inputTokens": usage.prompt - cached - written,
        "outputTokens": usage.completion,
        "totalTokens": usage.total,
        "cacheReadInputTokens": usage.cached,
        "cacheWriteInputTokens": usage.cache_write,
    }
    body["usage"] = {**{key: value for key, value in said.items() if value is not None}, **usage.extra}
    return body


def _block(part: Answered) -> Json:
    match part.kind:
        case "text" if part.citations:
            cited: Json = {"citations": [one.native for one in part.citations]}
            return {"citationsContent": {"content": [{"text": part.text}], **cited}}
        case "text":
            return {"text": part.text}
        case "reasoning" if part.form == "encrypted":
            return {"reasoningContent": {"redactedContent": b64encode(part.text.encode()).decode()}}
        case "reasoning":
            signed = {} if part.signature is None else {"signature": part.signature}
            return {"reasoningContent": {"reasoningText": {"text": part.text, **signed}}}
        case "tool_call" | "server_tool_call":
            use = {"toolUseId": part.id, "name": part.name, "input": msgspec.json.decode(part.text), **part.extra}
            return {"toolUse": use}
        case "server_tool_result":
            return {"toolResult": part.extra}
        case "image":
            head, _, data = part.text.partition(",")
            assert head == f"data:image/{part.extra['format']};base64"
            return {"image": {**part.extra, "source": {"bytes": data}}}
        case _:
            return part.extra
