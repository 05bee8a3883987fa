"""A request as it leaves for generateContent and streamGenerateContent: the two take the same body.

Schemas go as JSON Schema, which newer models take (`responseJsonSchema`, `parametersJsonSchema`); where a provider's
`schema` quirk says gemini, in the older subset of OpenAPI's.

Sources: Gemini API, "generateContent" reference and "Thinking"; Firebase AI reference, "GenerationConfig", read
2026-11-26; OpenRouter, "Reasoning tokens".
"""

from typing import Any, TypeAlias

import msgspec

from trunkline.dialects.common.json_schema import to_subset
from trunkline.dialects.google_genai import request_tools
from trunkline.dialects.google_genai.request_messages import NO_WORD, Writer
from trunkline.dialects.google_genai.request_thinking import thinking
from trunkline.dialects.interfaces import Encoded, Quirks
from trunkline.families.lookup import family_of
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import Request, ResponseFormat

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
MODALITIES = {"text": "TEXT", "image": "IMAGE", "audio": "AUDIO"}
NOT_LOST = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms", "usage",
     "stream_options", "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "include_reasoning",
     "reasoning", "speed", "fallbacks", "prompt_cache_options", "structured_outputs", "x_search_filter", "store",
     "include", "background", "image_config"}
)  # fmt: skip
"""Fields that tell us what to do, or have their place elsewhere: nothing is lost with them."""
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
    request_tools.put(body, request, quirks, losses)
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


def _shape(config: Json, shape: ResponseFormat, quirks: Quirks, losses: Losses) -> None:
    if shape.kind == "text":
        return
    if shape.kind not in ("json_object", "json_schema"):
        losses.add("response_format", NO_WORD)
        return
    config["responseMimeType"] = "application/json"
    if shape.schema is not None:
        schema, gone = to_subset(shape.schema, quirks.schema, alone=quirks.vertex)
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
