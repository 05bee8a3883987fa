"""A request as it leaves for generateContent and streamGenerateContent: the two take the same body.

Schemas go as JSON Schema, which newer models take (`responseJsonSchema`, `parametersJsonSchema`); where a provider's
`schema` quirk says gemini, in the older subset of OpenAPI's.

Sources: Gemini API, "generateContent" reference and "Thinking"; Firebase AI reference, "GenerationConfig", read
2026-11-26; openrouter-semantics §13.
"""

from typing import Any, TypeAlias

import msgspec

from trunkline.dialects.common.custom_tools import INPUT_SCHEMA
from trunkline.dialects.common.json_schema import SILENT, rooted, subset
from trunkline.dialects.google_genai.request_messages import NO_WORD, Writer, joined
from trunkline.dialects.google_genai.request_thinking import thinking
from trunkline.dialects.interfaces import Encoded, Quirks
from trunkline.families.lookup import family_of
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import Request, ResponseFormat, Tool, ToolChoice

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
RUNS = (
    ("web_search", "googleSearch"), ("openrouter:web_search", "googleSearch"), ("google_search", "googleSearch"),
    ("web_fetch", "urlContext"), ("openrouter:web_fetch", "urlContext"), ("url_context", "urlContext"),
    ("code_execution", "codeExecution"), ("code_interpreter", "codeExecution"),
)  # fmt: skip
"""Tools that Google runs itself: the beginning of what other dialects call one → its name here."""
NOT_LOST = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms", "usage",
     "stream_options", "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "include_reasoning",
     "reasoning", "speed", "fallbacks", "prompt_cache_options", "structured_outputs", "x_search_filter", "store",
     "include", "background", "image_config"}
)  # fmt: skip
"""Fields that tell us what to do, or have their place elsewhere: nothing is lost with them."""
NO_SCHEMA: Json = {"type": "object", "properties": {}}
MAX_STOPS = 5
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
    family = family_of(endpoint.upstream_model)
    writer = Writer(request, quirks, losses, wants=bool(family.levels))
    body: Json = {"contents": writer.contents}
    if writer.system:
        body["systemInstruction"] = {"parts": writer.system, "role": "user"}  # as Google's SDK says it
    _tools(body, request, quirks, losses)
    config = _config(request, endpoint, losses)
    if request.response_format is not None:
        _shape(config, request.response_format, quirks, losses)
    told = thinking(request, family, losses)
    if told:
        config["thinkingConfig"] = told
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
    if config.get("responseLogprobs") is False:
        config.pop("logprobs", None)
    elif "logprobs" in config:
        config["responseLogprobs"] = True
    if request.max_output is not None:
        config["maxOutputTokens"] = request.max_output
    stops = request.sampling.stop
    if stops:
        if len(stops) > MAX_STOPS:
            losses.add("stop", f"the provider takes {MAX_STOPS} sequences")
        config["stopSequences"] = list(stops[:MAX_STOPS])
    if request.modalities:
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
    runs: dict[str, str] = {}
    for at, tool in enumerate(request.tools or ()):
        where = f"tools[{at}]"
        if tool.cache is not None:
            losses.add(f"{where}.{tool.cache.spelling}", "Gemini caches by itself")
        if tool.kind in ("function", "custom") and tool.name:
            declared.append(_declaration(tool, where, quirks, losses))
        elif name := next((name for start, name in RUNS if tool.kind.startswith(start)), None):
            runs.setdefault(name, where)
            losses.extra(where, tool.extra, NO_WORD)
        else:
            losses.add(where, "a tool that this provider would have to run, and does not have")
    if not declared:
        if runs and not (request.tool_choice and request.tool_choice.mode == "none"):
            body["tools"] = [{name: {}} for name in runs]
        return
    for where in runs.values():
        losses.add(where, "Google runs no tools of its own beside functions")
    choice = request.tool_choice
    if choice is not None and choice.mode in ("tool", "allowed"):
        declared = _chosen(body, choice, request, declared, losses)
    elif choice is not None and choice.mode in MODES:
        body["toolConfig"] = {"functionCallingConfig": {"mode": MODES[choice.mode]}}
    elif choice is not None:
        losses.add("tool_choice", NO_WORD)
    body["tools"] = [{"functionDeclarations": declared}]
    if request.parallel_tool_calls is False:
        losses.add("parallel_tool_calls", NO_WORD)


def _declaration(tool: Tool, where: str, quirks: Quirks, losses: Losses) -> Json:
    body: Json = {"name": joined(tool.namespace, tool.name)}
    if tool.description is not None:
        body["description"] = tool.description
    schema = INPUT_SCHEMA if tool.kind == "custom" else tool.parameters
    if tool.kind == "custom" and tool.format is not None and tool.format.get("type") != "text":
        losses.add(f"{where}.format", "free-form input has no grammar here")
    if schema is not None:
        combined: tuple[str, ...] = ()
        if quirks.schema == "gemini":
            schema, combined = rooted(schema, ("anyOf", "oneOf"))
        found, gone = subset(schema, quirks.schema, alone=quirks.vertex)
        for path in (*combined, *gone):
            losses.add(f"{where}.parameters.{path}", "the provider's subset of JSON Schema has no such word")
        if not _empty(found):
            body["parameters" if quirks.schema == "gemini" else "parametersJsonSchema"] = found
    if tool.strict:
        losses.add(f"{where}.strict", NO_WORD)
    losses.extra(where, tool.extra, NO_WORD, but=("type", "defer_loading"))
    return body


def _empty(schema: Json) -> bool:
    """Whether *schema* is of any object, which Gemini refuses and takes for granted. One of no properties is another.

    That is said in JSON Schema alone (`additionalProperties: false`), and taken (recorded traffic).
    """
    if schema.get("additionalProperties") is False:
        return False
    says = {key for key, said in schema.items() if said not in ({}, [], True, False)} - SILENT - {"description"}
    return says <= {"type"} and schema.get("type") in (None, "object")


def _chosen(body: Json, choice: ToolChoice, request: Request, declared: list[Json], losses: Losses) -> list[Json]:
    """What is declared where only some tools may be called. Names alone cannot say so unless one must be called."""
    spaces = {tool.name: tool.namespace for tool in request.tools or ()}
    wanted = choice.names if choice.mode == "allowed" else (choice.name or "",)
    names = [joined(spaces.get(name), name) for name in wanted if name]
    found = [tool for tool in declared if tool["name"] in names]
    if not found:
        losses.add("tool_choice", "none of the tools that it names is there")
    elif choice.mode == "allowed" and not choice.required:
        return found
    else:
        allowed = [tool["name"] for tool in found]
        body["toolConfig"] = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": allowed}}
    return declared


def _shape(config: Json, shape: ResponseFormat, quirks: Quirks, losses: Losses) -> None:
    if shape.kind == "text":
        return
    if shape.kind not in ("json_object", "json_schema"):
        losses.add("response_format", NO_WORD)
        return
    config["responseMimeType"] = "application/json"
    if shape.schema is not None:
        schema, gone = subset(shape.schema, quirks.schema, alone=quirks.vertex)
        for path in gone:
            losses.add(f"response_format.{path}", "the provider's subset of JSON Schema has no such word")
        config["responseSchema" if quirks.schema == "gemini" else "responseJsonSchema"] = schema


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
