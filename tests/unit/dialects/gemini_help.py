"""Gemini's answers both ways round, for tests: an answer of ours as generateContent says it.

Nobody speaks it to us, so the product has no such thing; with it the tests show that nothing is lost on the way.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from trunkline.dialects.google_genai.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import CLIENTS, UPSTREAMS
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError
from trunkline.model.events import Event
from trunkline.model.request import Request
from trunkline.model.response import Choice, Response
from trunkline.model.response import Part as Answered
from trunkline.model.usage import Usage
from trunkline.testing.golden import decode

Json = dict[str, Any]
GEMINI = UPSTREAMS["gemini"]
FLASH, PRO, THREE = "gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-flash-preview"


def endpoint(model: str = FLASH, parameters: Iterable[str] = ()) -> Endpoint:
    return Endpoint(
        model="acme/small",
        provider="google",
        provider_name="Google",
        upstream_model=model,
        dialect="gemini",
        tag="google",
        parameters=frozenset(parameters),
    )


def asked(client: str, body: Json) -> Request:
    """What a *client* asks with *body*, in our words."""
    speaks = CLIENTS[client]
    return speaks.decode(speaks.parse(msgspec.json.encode({"model": "acme/small", **body})))


def sent(request: Request, model: str = FLASH, quirks: Quirks | None = None) -> tuple[Json, dict[str, str]]:
    """The body that leaves, and its losses: path → why."""
    encoded = GEMINI.encode(request, endpoint(model), quirks or Quirks())
    return msgspec.json.decode(encoded.body), {loss.path: loss.why for loss in encoded.losses}


def read(*chunks: Json, cut: bool = False) -> tuple[list[Event], TrunklineError | None]:
    """The events of a stream of *chunks*, and the error that ended it. *cut*: as one list, not as a stream."""
    if cut:
        return decode(BodyDecoder(), [msgspec.json.encode(list(chunks))])
    return decode(StreamDecoder(), [b"data: " + msgspec.json.encode(chunk) + b"\r\n\r\n" for chunk in chunks])


def candidate(*parts: Json, finish: str | None = None, **more: Any) -> Json:
    """A chunk with one candidate of *parts*."""
    said: Json = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}
    return {"candidates": [{**said, "finishReason": finish} if finish else said]}


# An answer, written, and what it is compared with: a stream's chunks put together, by the same rules.


def body_of(response: Response) -> Json:
    """The JSON body that says *response*, in the form of `merged`."""
    body: Json = {**response.extra, "responseId": response.id or None, "modelVersion": response.model or None}
    candidates = [_candidate(choice) for choice in response.choices if not _blocked(choice, response)]
    body["candidates"] = candidates or None
    tier = body.pop("service_tier", None)
    usage = None if response.usage is None else _usage(response.usage)
    body["usageMetadata"] = usage
    if usage is not None and tier is not None:
        usage["serviceTier"] = "standard" if tier == "default" else tier
    return _said(body)


def _said(body: Json) -> Json:
    return {key: value for key, value in body.items() if value is not None}


def _blocked(choice: Choice, response: Response) -> bool:
    return not choice.parts and response.extra.get("promptFeedback", {}).get("blockReason") == choice.native


def _candidate(choice: Choice) -> Json:
    parts: list[Json] = []
    signature: str | None = None
    for part in choice.parts:
        if part.kind == "reasoning" and part.form == "encrypted" and part.id is None:
            if "thoughtSignature" not in (parts[-1] if parts else {}):
                parts = parts or [{}]
                parts[-1] = {**parts[-1], "thoughtSignature": part.text}
        elif part.kind == "reasoning" and part.form == "encrypted":
            signature = part.text
        else:
            parts.append(_said({**_part(part), "thoughtSignature": signature or part.extra.get("thoughtSignature")}))
            signature = None
    cited = [one.native for part in choice.parts for one in part.citations if "uri" in one.native]
    return _said(
        {
            **choice.extra,
            "index": choice.index or None,
            "parts": parts or None,
            "finishReason": choice.native,
            "citations": cited or None,
            "logprobs": [_token(token) for part in choice.parts for token in (part.logprobs or {}).get("content", ())]
            or None,
        }
    )


def _token(found: Any) -> Json:
    tops = [{"token": one["token"], "logProbability": one["logprob"]} for one in found["top_logprobs"]]
    return {"token": found["token"], "logProbability": found["logprob"], "top": tops}


def _part(part: Answered) -> Json:
    match part.kind:
        case "text":
            return {"text": part.text}
        case "reasoning":
            return {"text": part.text, "thought": True}
        case "tool_call":
            made_up = (part.id or "").startswith("call_")
            call = {"id": None if made_up else part.id, "name": part.name, "args": msgspec.json.decode(part.text)}
            return {"functionCall": _said({**call, **part.extra})}
        case "image":
            kind, _, data = part.text.removeprefix("data:").partition(";base64,")
            return {"inlineData": {"mimeType": kind, "data": data}}
        case _:
            return part.extra


def _usage(usage: Usage) -> Json:
    tools = sum(one["tokenCount"] for one in usage.extra.get("toolUsePromptTokensDetails", ()))
    return _said(
        {
            **usage.extra,
            "promptTokenCount": usage.prompt - tools,
            "toolUsePromptTokenCount": tools or None,
            "candidatesTokenCount": usage.completion - (usage.reasoning or 0) or None,
            "thoughtsTokenCount": usage.reasoning,
            "cachedContentTokenCount": usage.cached,
            "totalTokenCount": usage.total,
        }
    )


def merged(chunks: list[Json]) -> Json:
    """*chunks* as one answer: adjacent texts joined, pieces of calls put together, the last word on each field."""
    whole: Json = {}
    candidates: dict[int, Json] = {}
    for chunk in chunks:
        for found in chunk.get("candidates", ()):
            _merge(candidates.setdefault(found.get("index", 0), {"parts": []}), found)
        whole.update({key: value for key, value in chunk.items() if key != "candidates"})
    whole.pop("createTime", None)  # seconds alone are kept of it
    if candidates:
        whole["candidates"] = [_said({**one, "parts": one["parts"] or None}) for one in candidates.values()]
    usage = whole.get("usageMetadata")
    if usage is not None and "promptTokenCount" not in usage:
        del whole["usageMetadata"]
    return whole


def _merge(into: Json, found: Json) -> None:
    for part in found.get("content", {}).get("parts", ()):
        _merge_part(into["parts"], dict(part))
    sources = found.get("citationMetadata", {})
    new = [one for one in sources.get("citations", sources.get("citationSources", ())) if "uri" in one]
    into["citations"] = [*(into.get("citations") or ()), *(o for o in new if o not in (into.get("citations") or ()))]
    into["citations"] = into["citations"] or None
    if "groundingMetadata" in found:
        into["groundingMetadata"] = {**(into.get("groundingMetadata") or {}), **found["groundingMetadata"]} or None
    logprobs = found.get("logprobsResult")
    if logprobs is not None:
        into["logprobs"] = [
            {**_bare(one), "top": [_bare(other) for other in top["candidates"]]}
            for one, top in zip(logprobs["chosenCandidates"], logprobs["topCandidates"], strict=True)
        ]
    known = ("content", "citationMetadata", "groundingMetadata", "logprobsResult", "index")
    into.update({key: value for key, value in found.items() if key not in known})
    if found.get("index"):
        into["index"] = found["index"]


def _bare(token: Json) -> Json:
    return {"token": token["token"], "logProbability": token.get("logProbability", 0.0)}


def _merge_part(parts: list[Json], part: Json) -> None:
    last = parts[-1] if parts else {}
    call, open_ = part.get("functionCall", {}), last.get("functionCall", {})
    if open_.get("willContinue"):
        for piece in call.get("partialArgs", ()):
            key = piece["jsonPath"].removeprefix("$.")
            open_.setdefault("args", {})[key] = open_.get("args", {}).get(key, "") + piece.get("stringValue", "")
        if not call.get("willContinue"):
            del open_["willContinue"]
            open_.setdefault("args", {})
        return
    if call:
        call = dict(call) if call.get("willContinue") else {"args": {}, **call}
        parts.append({**part, "functionCall": call})
        return
    same = "text" in part and "text" in last and part.get("thought") == last.get("thought")
    if same and "thoughtSignature" not in last:
        parts[-1] = {**last, **part, "text": last["text"] + part["text"]}
    elif part not in ({"text": ""}, {}):
        parts.append(part)
