"""A request of generateContent, read: the encoder's inverse, for tests.

Nobody speaks Gemini to us, so the product has no such reader; with it the tests show that nothing of a request is lost.
All goes through the fields of the vocabulary, and a field without a place in it is refused. What an operator says of
all requests (`safetySettings` …) is read as the provider's quirks, since that is what says it.

Source: Gemini API, "generateContent" reference, and google-genai's types; the API takes `camelCase` and `snake_case`.
"""

import re
from collections import deque
from typing import Any

import msgspec
from msgspec import Struct

from trunkline.dialects.common.reasoning import GEMINI
from trunkline.dialects.interfaces import Quirks
from trunkline.model.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    Reasoning,
    ReasoningPart,
    Request,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    VideoPart,
)

Json = dict[str, Any]

OPERATORS = frozenset({"safetySettings", "modelArmorConfig"})
"""What a provider's quirk `body` says."""
RUN = {"googleSearch": "web_search", "urlContext": "web_fetch", "codeExecution": "code_execution"}
CHOICES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
SOUNDS = {"audio/mp4": "m4a", "audio/pcm": "pcm16"}
SAMPLING = {
    "temperature": "temperature", "topP": "top_p", "topK": "top_k", "seed": "seed", "candidateCount": "n",
    "presencePenalty": "presence_penalty", "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs", "logprobs": "top_logprobs",
}  # fmt: skip


class Read(Struct, frozen=True):
    """A request, and how the provider is configured that was sent it."""

    request: Request
    quirks: Quirks


def read(body: Json, *, vertex: bool = False) -> Read:
    """The request in *body*, as a chat client's. *vertex*: it went there, where calls have no ids."""
    said = _fields(body, "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", *OPERATORS)
    turns = _Turns()
    system = said.get("systemInstruction")
    messages = [] if system is None else [Message(role="system", parts=_system(system))]
    messages += [message for turn in said["contents"] for message in turns.read(turn)]
    tools, old = _tools(said.get("tools", []))
    config = _fields(
        said.get("generationConfig", {}), *SAMPLING, "maxOutputTokens", "stopSequences", "responseModalities",
        "responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig", "imageConfig",
    )  # fmt: skip
    old = old or "responseSchema" in config
    modalities, image = config.get("responseModalities"), config.get("imageConfig")
    request = Request(
        dialect="chat",
        messages=tuple(messages),
        sampling=_sampling(config),
        max_output=config.get("maxOutputTokens"),
        tools=tuple(tools) or None,
        tool_choice=_choice(said["toolConfig"]) if "toolConfig" in said else None,
        response_format=_shape(config),
        reasoning=_reasoning(config["thinkingConfig"]) if "thinkingConfig" in config else None,
        modalities=None if modalities is None else tuple(one.lower() for one in modalities),
        extra={} if image is None else {"image_config": _image_config(image)},
    )
    operators = {key: value for key, value in said.items() if key in OPERATORS}
    return Read(request, Quirks(schema="gemini" if old else "full", vertex=vertex, body=operators))


def camel(key: str) -> str:
    """*key* as the API itself spells it."""
    return re.sub("_([a-z])", lambda letter: letter[1].upper(), key)


def _fields(found: Json, *known: str) -> Json:
    """*found*, whose fields are *known*, by the API's own spelling of them."""
    fields = {camel(key): value for key, value in found.items()}
    assert len(fields) == len(found), f"a field is said twice: {list(found)}"
    assert fields.keys() <= set(known), f"no place for {sorted(fields.keys() - set(known))}"
    return fields


def _system(found: Json) -> tuple[Part, ...]:
    said = _fields(found, "role", "parts")
    assert said.get("role", "user") == "user"  # it says nothing: the API takes any, and none
    return tuple(TextPart(**_fields(part, "text")) for part in said["parts"])


class _Turns:
    """Reads the turns of one conversation: a call and its result have one id, whether or not the wire names it."""

    def __init__(self) -> None:
        self._calls = 0
        self._open: deque[tuple[str, str]] = deque()
        """Ids and names of the calls that are not answered yet."""

    def read(self, turn: Json) -> list[Message]:
        said = _fields(turn, "role", "parts")
        if said["role"] == "model":
            return [Message(role="assistant", parts=tuple(part for one in said["parts"] for part in self._model(one)))]
        results = [self._result(one) for one in said["parts"] if _said(one) == {"functionResponse"}]
        rest = tuple(_part(one) for one in said["parts"] if _said(one) != {"functionResponse"})
        return [*results, *([Message(role="user", parts=rest, joined=bool(results))] if rest else [])]

    def _model(self, found: Json) -> list[Part]:
        said = _fields(found, "text", "functionCall", "thoughtSignature", "inlineData", "fileData")
        signature = said.pop("thoughtSignature", None)
        if "functionCall" in said:
            call = self._call(said["functionCall"])
            return [call] if signature is None else [_signed(signature, call.id), call]
        told = [] if said == {"text": ""} else [_part(said)]
        return told if signature is None else [*told, _signed(signature, None)]

    def _call(self, found: Json) -> ToolCallPart:
        said = _fields(found, "id", "name", "args")
        self._calls += 1
        id_ = said.get("id", f"call-{self._calls}")
        self._open.append((id_, said["name"]))
        return ToolCallPart(id_, said["name"], _text(said["args"]))

    def _result(self, found: Json) -> Message:
        said = _fields(_fields(found, "functionResponse")["functionResponse"], "id", "name", "response")
        id_ = said.get("id") or next(id_ for id_, name in self._open if name == said["name"])
        self._open.remove((id_, said["name"]))
        match said["response"]:
            case {"error": error, **rest} if not rest:
                return Message(role="tool", tool_call_id=id_, parts=_told(error), is_error=True)
            case {"output": output, **rest} if not rest and not isinstance(output, dict):
                return Message(role="tool", tool_call_id=id_, parts=_told(output))
            case response:
                return Message(role="tool", tool_call_id=id_, parts=(TextPart(_text(response)),))


def _said(part: Json) -> set[str]:
    return {camel(key) for key in part}


def _signed(signature: str, id_: str | None) -> ReasoningPart:
    return ReasoningPart(form="encrypted", text=signature, format=GEMINI, id=id_)


def _text(found: Any) -> str:
    return msgspec.json.encode(found).decode()


def _told(found: Any) -> tuple[TextPart, ...]:
    """What a function gave: text is text, unless it looks like JSON; anything else is JSON."""
    if not isinstance(found, str):
        return (TextPart(_text(found)),)
    try:
        msgspec.json.decode(found)
    except msgspec.DecodeError:
        return (TextPart(found),) if found else ()
    return (TextPart(_text(found)),)


def _part(found: Json) -> Part:
    said = _fields(found, "text", "inlineData", "fileData")
    if "text" in said:
        return TextPart(**_fields(said, "text"))
    if "fileData" in said:
        where = _fields(said["fileData"], "mimeType", "fileUri")
        return _media(where["mimeType"], where["fileUri"])
    blob = _fields(said["inlineData"], "mimeType", "data")
    kind: str = blob["mimeType"]
    data = blob["data"]
    if kind.startswith("audio/"):
        return AudioPart(data, SOUNDS.get(kind) or kind.removeprefix("audio/"))
    return _media(kind, f"data:{kind};base64,{data}")


def _media(kind: str, url: str) -> Part:
    if kind.startswith("image/"):
        return ImagePart(url)
    return VideoPart(url) if kind.startswith("video/") else FilePart(data=url)


def _tools(entries: list[Json]) -> tuple[list[Tool], bool]:
    """The tools, and whether their schemas are of the older kind."""
    tools: list[Tool] = []
    old = False
    for entry in entries:
        ((kind, inner),) = _fields(entry, "functionDeclarations", *RUN).items()
        if kind in RUN:
            _fields(inner)
            tools.append(Tool(kind=RUN[kind]))
            continue
        for found in inner:
            said = _fields(found, "name", "description", "parameters", "parametersJsonSchema")
            old = old or "parameters" in said
            schema = said.get("parameters", said.get("parametersJsonSchema"))
            tools.append(
                Tool(kind="function", name=said["name"], description=said.get("description"), parameters=schema)
            )
    return tools, old


def _choice(found: Json) -> ToolChoice:
    config = _fields(_fields(found, "functionCallingConfig")["functionCallingConfig"], "mode", "allowedFunctionNames")
    match config.get("allowedFunctionNames"), CHOICES[config["mode"]]:
        case [name], "required":
            return ToolChoice(mode="tool", name=name)
        case [*names], "required" if names:
            return ToolChoice(mode="allowed", names=tuple(names), required=True)
        case None, "auto":
            return ToolChoice(mode="auto")
        case None, "none":
            return ToolChoice(mode="none")
        case None, "required":
            return ToolChoice(mode="required")
        case _:
            raise AssertionError(f"no place for {config}")


def _sampling(config: Json) -> Sampling:
    stops = config.get("stopSequences")
    said = {ours: config[theirs] for theirs, ours in SAMPLING.items() if theirs in config}
    return Sampling(**said, stop=None if stops is None else tuple(stops))


def _shape(config: Json) -> ResponseFormat | None:
    schema = config.get("responseSchema", config.get("responseJsonSchema"))
    if "responseMimeType" not in config:
        assert schema is None, "a schema without its media type"
        return None
    assert config["responseMimeType"] == "application/json"
    return ResponseFormat(kind="json_object" if schema is None else "json_schema", schema=schema)


def _reasoning(found: Json) -> Reasoning:
    said = _fields(found, "includeThoughts", "thinkingBudget", "thinkingLevel")
    shown = said.pop("includeThoughts", None)
    if shown is None:  # who shows nothing, and does not say so, wants none
        return Reasoning(enabled=False)
    exclude = None if shown else True
    if not said:
        return Reasoning(adaptive=True, exclude=exclude)
    return Reasoning(max_tokens=said.get("thinkingBudget"), effort=said.get("thinkingLevel"), exclude=exclude)


def _image_config(found: Json) -> Json:
    names = {"aspectRatio": "aspect_ratio", "imageSize": "image_size"}
    return {names[key]: value for key, value in _fields(found, *names).items()}
