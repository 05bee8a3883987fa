"""A client of each dialect that hears an answer and asks again with it, as SDKs do: for tests of what comes back."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from matrix_help import IDENTITY, frames

from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import CLIENTS, UPSTREAMS
from trunkline.dialects.translation import Translation
from trunkline.model.endpoint import Endpoint
from trunkline.model.usage import Cost, Usage

Json = dict[str, Any]
SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}}
MODELS = {
    "chat": "gpt-4o", "responses": "gpt-4o", "messages": "claude-sonnet-4-5", "gemini": "gemini-3-flash-preview",
    "converse": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
}  # fmt: skip


def endpoint(upstream: str, model: str | None = None) -> Endpoint:
    return Endpoint(
        model="acme/small", provider="p", provider_name="P", upstream_model=model or MODELS[upstream],
        dialect=upstream, tag="p",
    )  # fmt: skip


def first(client: str, names: Iterable[str] = (), **more: Any) -> Json:
    """What a *client* asks first; its tools are *names*."""
    tools: dict[str, Any] = {
        "chat": lambda name: {"type": "function", "function": {"name": name, "parameters": SCHEMA}},
        "messages": lambda name: {"name": name, "input_schema": SCHEMA},
        "responses": lambda name: {"type": "function", "name": name, "parameters": SCHEMA},
    }
    turn = [{"role": "user", "content": "Hi"}]
    said: Json = {"model": "acme/small", **({"input": turn} if client == "responses" else {"messages": turn}), **more}
    if client == "messages":
        said.setdefault("max_tokens", 4096)
    offered = [tools[client](name) for name in names]
    return {**said, "tools": offered} if offered else said


def sent(client: str, body: Json, upstream: str, *, model: str | None = None, quirks: Quirks | None = None) -> Json:
    """What leaves for *upstream*."""
    near = CLIENTS[client]
    request = near.decode(near.parse(msgspec.json.encode(body)))
    encoded = UPSTREAMS[upstream].encode(request, endpoint(upstream, model), quirks or Quirks())
    return msgspec.json.decode(encoded.body, type=Json)


def losses(client: str, body: Json, upstream: str, *, model: str | None = None) -> dict[str, str]:
    """What is lost on the way: path → why."""
    near = CLIENTS[client]
    request = near.decode(near.parse(msgspec.json.encode(body)))
    found = UPSTREAMS[upstream].encode(request, endpoint(upstream, model), Quirks()).losses
    return {loss.path: loss.why for loss in found}


def heard(client: str, body: Json, upstream: str, answer: bytes, *, sse: bool) -> list[Json]:
    """The messages or items that the client has of *answer*; it streams where the upstream does (*sse*)."""
    call = CLIENTS[client].parse(msgspec.json.encode({**body, "stream": sse}))
    through = Translation(
        UPSTREAMS[upstream].decoder(sse=sse), CLIENTS[client].encoder(call, IDENTITY), streamed=sse, call=call
    )
    out = through.feed(answer)
    if not through.ended:
        out += through.close()
    out += through.finish(Usage(), Cost())
    return HEARD[client](frames(out) if sse else msgspec.json.decode(out))


def again(client: str, body: Json, said: list[Json], results: Mapping[str, Any] | None = None) -> Json:
    """The second request: what was said, and the *results* of its calls by id, in this order."""
    told = [RESULTS[client](id_, result) for id_, result in (results or {}).items()]
    if client == "messages" and told:
        told = [{"role": "user", "content": told}]
    rest = told or [{"role": "user", "content": "Go on."}]
    key = "input" if client == "responses" else "messages"
    return {**body, key: [*body[key], *said, *rest]}


def calls(client: str, said: list[Json]) -> list[tuple[str, str]]:
    """Ids and names of the calls in *said*."""
    match client:
        case "chat":
            return [(one["id"], one["function"]["name"]) for one in said[0].get("tool_calls", ())]
        case "messages":
            return [(one["id"], one["name"]) for one in said[0]["content"] if one["type"] == "tool_use"]
        case _:
            return [(one["call_id"], one["name"]) for one in said if one["type"] == "function_call"]


RESULTS = {
    "chat": lambda id_, result: {"role": "tool", "tool_call_id": id_, "content": result},
    "messages": lambda id_, result: {"type": "tool_result", "tool_use_id": id_, "content": result},
    "responses": lambda id_, result: {"type": "function_call_output", "call_id": id_, "output": result},
}


def _chat(found: Any) -> list[Json]:
    if isinstance(found, dict):
        return [found["choices"][0]["message"]]
    whole: Json = {"role": "assistant", "content": ""}
    calls_: dict[int, Json] = {}
    for _, chunk in found:
        for choice in chunk["choices"] if isinstance(chunk, dict) else ():
            delta = choice["delta"]
            whole["content"] += delta.get("content") or ""
            whole.setdefault("reasoning_details", []).extend(delta.get("reasoning_details") or ())
            for piece in delta.get("tool_calls") or ():
                call = calls_.setdefault(
                    piece["index"], {"type": "function", "function": {"name": "", "arguments": ""}}
                )
                call["id"] = call.get("id") or piece.get("id")
                call["function"]["name"] += piece["function"].get("name") or ""
                call["function"]["arguments"] += piece["function"].get("arguments") or ""
    return [{**whole, "tool_calls": list(calls_.values())} if calls_ else whole]


def _messages(found: Any) -> list[Json]:
    if isinstance(found, dict):
        return [{"role": "assistant", "content": found["content"]}]
    blocks: list[Json] = []
    for name, event in found:
        if name == "content_block_start":
            blocks.append({**event["content_block"]})
        elif name == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "input_json_delta":
                blocks[-1]["json"] = blocks[-1].get("json", "") + delta["partial_json"]
            elif delta["type"] != "citations_delta":
                key = delta["type"].removesuffix("_delta")
                blocks[-1][key] = blocks[-1].get(key, "") + delta[key]
        elif name == "content_block_stop" and "json" in blocks[-1]:
            blocks[-1]["input"] = msgspec.json.decode(blocks[-1].pop("json") or "{}")
    return [{"role": "assistant", "content": blocks}]


def _responses(found: Any) -> list[Json]:
    if isinstance(found, dict):
        return list(found["output"])
    done = [event["response"]["output"] for name, event in found if name == "response.completed"]
    return list(done[0])


HEARD = {"chat": _chat, "messages": _messages, "responses": _responses}
