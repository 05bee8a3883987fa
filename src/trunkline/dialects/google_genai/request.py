"""A request as it leaves for generateContent and streamGenerateContent: the two take the same body.

Schemas go as JSON Schema, which newer models take (`responseJsonSchema`, `parametersJsonSchema`); where a provider's
`schema` quirk says gemini, in the older subset of OpenAPI's.

Sources: Gemini API, "generateContent" reference and "Thinking"; Firebase AI reference, "GenerationConfig", read
2026-11-26; openrouter-semantics §13.
"""

import re
from typing import Any, TypeAlias

import msgspec

from trunkline.dialects.base import Encoded, Quirks
from trunkline.dialects.google_genai.history import NO_WORD, Writer
from trunkline.dialects.reasoning import Wanted, budget_of, wanted
from trunkline.dialects.schema import subset
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import Reasoning, Request, ResponseFormat, Tool, ToolChoice

Json: TypeAlias = dict[str, Any]

SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""Our sampling parameters → Gemini's."""
UNSAID = ("top_a", "min_p", "repetition_penalty", "logit_bias")
MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
MODALITIES = {"text": "TEXT", "image": "IMAGE", "audio": "AUDIO"}
LEVELS = {"max": "high", "xhigh": "high", "high": "high", "medium": "medium", "low": "low", "minimal": "minimal"}
"""An effort → Gemini 3's `thinkingLevel`."""
NOT_LOST = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms", "usage",
     "stream_options", "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "include_reasoning",
     "reasoning", "speed", "fallbacks", "prompt_cache_options", "structured_outputs", "x_search_filter", "store",
     "include", "background", "image_config"}
)  # fmt: skip
"""Fields that tell us what to do, or have their place elsewhere: nothing is lost with them."""
NO_SCHEMA: Json = {"type": "object", "properties": {}}
FREE_TEXT: Json = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""The schema that stands for a tool of free-form input."""
MAX_STOPS = 5
_LEVELS = re.compile(r"gemini-(?:[3-9]|\d\d)")
"""Models that are told a level of thinking, not a budget, and want signatures back."""

_json = msgspec.json.Encoder()


def encode(request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Upstream.encode`."""
    losses = Losses()
    body = to_wire(request, endpoint, quirks, losses)
    for key in quirks.drop:
        if body.pop(key, None) is not None:
            losses.add(key, "the provider does not take it")
    body.update(quirks.body)
    return Encoded(body=_json.encode(body), losses=losses.found())


def to_wire(request: Request, endpoint: Endpoint, quirks: Quirks, losses: Losses) -> Json:
    """The body, and among *losses* what it does not say."""
    levels = _LEVELS.search(endpoint.upstream_model.lower()) is not None
    writer = Writer(request, quirks.reasoning_format, losses, wants=levels)
    body: Json = {"contents": writer.contents}
    if writer.system:
        body["systemInstruction"] = {"parts": writer.system}
    _tools(body, request, quirks, losses)
    config = _config(request, endpoint, losses)
    if request.response_format is not None:
        _shape(config, request.response_format, quirks, losses)
    thinking = _thinking(request, losses, levels=levels)
    if thinking:
        config["thinkingConfig"] = thinking
    if config:
        body["generationConfig"] = config
    _lost(request, losses)
    return body


def _config(request: Request, endpoint: Endpoint, losses: Losses) -> Json:
    config: Json = {}
    for name, key in SAMPLING.items():
        said = getattr(request.sampling, name)
        if said is None:
            continue
        if endpoint.parameters and name != "n" and name not in endpoint.parameters:
            losses.add(name, "the endpoint does not take it")
        else:
            config[key] = said
    if request.max_output is not None:
        config["maxOutputTokens"] = request.max_output
    stops = request.sampling.stop
    if stops:
        if len(stops) > MAX_STOPS:
            losses.add("stop", f"the provider takes {MAX_STOPS} sequences")
        config["stopSequences"] = list(stops[:MAX_STOPS])
    if request.modalities is not None:
        config["responseModalities"] = [MODALITIES.get(one, one.upper()) for one in request.modalities]
    image = request.extra.get("image_config")
    if isinstance(image, dict):
        known = {"aspect_ratio": "aspectRatio", "image_size": "imageSize"}
        told = {known[key]: said for key, said in image.items() if key in known}
        if told:
            config["imageConfig"] = told
        losses.extra("image_config", image, NO_WORD, but=known)
    for name in UNSAID:
        if getattr(request.sampling, name) is not None:
            losses.add(name, NO_WORD)
    return config


def _tools(body: Json, request: Request, quirks: Quirks, losses: Losses) -> None:
    declared: list[Json] = []
    for at, tool in enumerate(request.tools or ()):
        where = f"tools[{at}]"
        if tool.kind not in ("function", "custom") or not tool.name:
            losses.add(where, "a tool that this provider would have to run, and does not have")
            continue
        declared.append(_declaration(tool, where, quirks, losses))
        if tool.cache is not None:
            losses.add(f"{where}.{tool.cache.spelling}", "Gemini caches by itself")
    if not declared:
        return
    body["tools"] = [{"functionDeclarations": declared}]
    choice = request.tool_choice
    if choice is not None and (said := _choice(choice, losses)) is not None:
        body["toolConfig"] = {"functionCallingConfig": said}
    if request.parallel_tool_calls is False:
        losses.add("parallel_tool_calls", NO_WORD)


def _declaration(tool: Tool, where: str, quirks: Quirks, losses: Losses) -> Json:
    body: Json = {"name": tool.name if tool.namespace is None else f"{tool.namespace}__{tool.name}"}
    if tool.description is not None:
        body["description"] = tool.description
    schema = FREE_TEXT if tool.kind == "custom" else tool.parameters
    if tool.kind == "custom" and tool.format is not None and tool.format.get("type") != "text":
        losses.add(f"{where}.format", "free-form input has no grammar here")
    if schema is not None and (schema.get("properties") or schema.get("type") not in (None, "object")):
        found, gone = subset(schema, quirks.schema)
        for path in gone:
            losses.add(f"{where}.parameters.{path}", "the provider's subset of JSON Schema has no such word")
        body["parameters" if quirks.schema == "gemini" else "parametersJsonSchema"] = found
    if tool.strict:
        losses.add(f"{where}.strict", NO_WORD)
    losses.extra(where, tool.extra, NO_WORD, but=("type", "defer_loading"))
    return body


def _choice(choice: ToolChoice, losses: Losses) -> Json | None:
    match choice.mode:
        case "auto" | "none" | "required":
            return {"mode": MODES[choice.mode]}
        case "tool" if choice.name:
            return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
        case "allowed":
            if not choice.required:
                losses.add("tool_choice", "which tools are allowed can be said only where one must be called")
                return {"mode": "AUTO"}
            return {"mode": "ANY", "allowedFunctionNames": list(choice.names)}
        case _:
            losses.add("tool_choice", NO_WORD)
            return None


def _shape(config: Json, shape: ResponseFormat, quirks: Quirks, losses: Losses) -> None:
    if shape.kind == "text":
        return
    if shape.kind not in ("json_object", "json_schema"):
        losses.add("response_format", NO_WORD)
        return
    config["responseMimeType"] = "application/json"
    if shape.schema is not None:
        schema, gone = subset(shape.schema, quirks.schema)
        for path in gone:
            losses.add(f"response_format.{path}", "the provider's subset of JSON Schema has no such word")
        config["responseSchema" if quirks.schema == "gemini" else "responseJsonSchema"] = schema


def _thinking(request: Request, losses: Losses, *, levels: bool) -> Json:
    reasoning = request.reasoning
    want = wanted(reasoning)
    if reasoning is not None:
        for name in ("summary", "context", "mode"):
            if getattr(reasoning, name) is not None and not (name == "summary" and reasoning.summary == "auto"):
                losses.add(f"reasoning.{name}", NO_WORD)
    if want is None or reasoning is None:
        return {}
    if want.off:
        return {"thinkingLevel": "minimal"} if levels else {"thinkingBudget": 0}
    shown: Json = {"includeThoughts": not _hidden(reasoning)}
    return {**shown, **_how_much(want, request, levels=levels)}


def _hidden(reasoning: Reasoning) -> bool:
    return bool(reasoning.exclude) or reasoning.display == "omitted"


def _how_much(want: Wanted, request: Request, *, levels: bool) -> Json:
    if want.budget is not None:
        return {"thinkingBudget": want.budget}
    if want.effort is None:
        return {} if levels else {"thinkingBudget": -1}
    if levels:
        return {"thinkingLevel": LEVELS.get(want.effort, "medium")}
    return {"thinkingBudget": budget_of(want.effort, request.max_output)}


def _lost(request: Request, losses: Losses) -> None:
    """What is said beside the messages, and cannot be said here."""
    for key in ("user", "verbosity", "prompt_cache_key", "metadata"):
        if getattr(request, key):
            losses.add(key, NO_WORD)
    if request.service_tier not in (None, "auto", "default", "standard", "standard_only"):
        losses.add("service_tier", NO_WORD)
    if request.cache is not None:
        losses.add(request.cache.spelling, "Gemini caches by itself")
    for beta in request.betas:
        losses.add(f"anthropic-beta: {beta}", NO_WORD)
    losses.extra("", request.extra, NO_WORD, but=NOT_LOST)
