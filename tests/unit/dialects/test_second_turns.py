"""What a client says once more, or says little of: results, names, ids and marks, in every dialect."""

import re
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from converse_help import frames
from second_turn import again, calls, endpoint, first, heard, losses, sent

from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import CLIENTS, UPSTREAMS

Json = dict[str, Any]
MARK: Json = {"type": "ephemeral"}
PAIRS = [(client, upstream) for client in CLIENTS for upstream in UPSTREAMS if client != upstream]
"""Where the dialect changes; where it stays, what the client says is left as it is."""


# Lists with nothing in them.

EMPTY: dict[str, Json] = {
    "chat": {"stop": [], "tools": [], "modalities": []},
    "messages": {"stop_sequences": [], "tools": [], "system": []},
    "responses": {"tools": [], "include": []},
}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_empty_lists_say_nothing(client: str, upstream: str) -> None:
    for key, nothing in EMPTY[client].items():
        assert sent(client, first(client, **{key: nothing}), upstream) == sent(client, first(client), upstream), key
        assert losses(client, first(client, **{key: nothing}), upstream) == losses(client, first(client), upstream), key


# Results.

CALLED: dict[str, Json] = {
    "chat": {
        "role": "assistant", "content": None,
        "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    "messages": {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
    "responses": {"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{}"},
}  # fmt: skip
TOLD: dict[str, Any] = {
    "gemini": lambda body: body["contents"][2]["parts"][0]["functionResponse"]["response"],
    "converse": lambda body: body["messages"][2]["content"][0]["toolResult"]["content"],
    "messages": lambda body: body["messages"][2]["content"][0].get("content"),
    "chat": lambda body: body["messages"][2]["content"],
    "responses": lambda body: body["input"][2]["output"],
}
"""An upstream's dialect → where the result is."""


def text_of(found: Any) -> Any:
    """The text of a result, where it is one."""
    match found:
        case [{"text": text}]:
            return text
        case None | []:
            return ""
        case _:
            return found


@pytest.mark.parametrize("said", ["null", "[1,null]", "5", "", "true", '"a"'])
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_results_of_any_kind(client: str, upstream: str, said: str) -> None:
    body = again(client, first(client, ["f"]), [CALLED[client]], {"t1": said})
    found = TOLD[upstream](sent(client, body, upstream))
    if upstream == "gemini":  # where a null would be no result, its word stands
        assert found == {"output": said if said in ("", "null") else msgspec.json.decode(said)}
    elif upstream == "converse" and not said:
        assert found == [{"text": "(no content)"}]
    else:
        assert text_of(found) == said


# Ids of calls that Gemini leaves out, or gives twice.


def gemini(ids: list[str | None], *, sse: bool) -> bytes:
    """An answer of parallel calls with *ids*."""
    parts: list[Json] = [
        {"functionCall": {"name": "fgf"[at % 3], "args": {"a": str(at)}, **({} if id_ is None else {"id": id_})}}
        for at, id_ in enumerate(ids)
    ]
    parts[0]["thoughtSignature"] = "c2ln"
    body = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    return b"data: " + msgspec.json.encode(body) + b"\r\n\r\n" if sse else msgspec.json.encode(body)


@pytest.mark.parametrize("sse", [False, True])
@pytest.mark.parametrize("ids", [[None] * 3, ["x"] * 3, ["x", None, "x"], ["", "", ""]])
@pytest.mark.parametrize("client", CLIENTS)
def test_every_result_finds_its_call(client: str, ids: list[str | None], sse: bool) -> None:
    asked = first(client, ["f", "g"])
    said = heard(client, asked, "gemini", gemini(ids, sse=sse), sse=sse)
    found = [id_ for id_, _ in calls(client, said)]
    assert len(set(found)) == 3
    body = again(client, asked, said, {found[at]: f"r{at}" for at in (2, 0, 1)})
    for quirks in (Quirks(), Quirks(vertex=True)):
        contents = sent(client, body, "gemini", quirks=quirks)["contents"]
        made = [part["functionCall"] for part in contents[1]["parts"] if "functionCall" in part]
        told = [part["functionResponse"] for part in contents[2]["parts"]]
        assert [one["args"]["a"] for one in made] == ["0", "1", "2"]
        if quirks.vertex:
            assert [one["name"] for one in told] == ["f", "g", "f"]
            assert [one["response"]["output"] for one in told] == ["r0", "r1", "r2"]
        else:
            results = {one["id"]: (one["name"], one["response"]["output"]) for one in told}
            assert [results[one["id"]] for one in made] == [("f", "r0"), ("g", "r1"), ("f", "r2")]
    whole = sent(client, body, "converse")["messages"]
    uses = [block["toolUse"] for block in whole[1]["content"] if "toolUse" in block]
    answers = {one["toolResult"]["toolUseId"]: one["toolResult"]["content"] for one in whole[2]["content"]}
    assert [answers[use["toolUseId"]] for use in uses] == [[{"text": f"r{at}"}] for at in range(3)]


# Cache marks.


def marked() -> Json:
    """A request with a mark on each thing that takes one, and on the whole."""
    text = {"type": "text", "text": "a", "cache_control": MARK}
    return {
        **first("messages", ["f"]), "system": [text], "messages": [{"role": "user", "content": [text, {**text}]}],
    }  # fmt: skip


def test_marks_become_cache_points() -> None:
    body = marked()
    body["tools"][0]["cache_control"] = {**MARK, "ttl": "1h"}
    point = {"cachePoint": {"type": "default"}}
    found = sent("messages", body, "converse")
    assert found["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert found["system"] == [{"text": "a"}, point]
    assert found["messages"][0]["content"] == [{"text": "a"}, point] * 2
    assert not losses("messages", body, "converse")
    whole = sent("messages", first("messages", cache_control=MARK), "converse")
    assert whole["messages"][0]["content"] == [{"text": "Hi"}, point]


def test_marks_are_reported_where_there_are_none() -> None:
    body = marked()
    body["tools"][0]["cache_control"] = MARK
    body["cache_control"] = MARK
    assert {path for path, why in losses("messages", body, "gemini").items() if "caches by itself" in why} == {
        "tools[0].cache_control", "messages[0].content[0].cache_control", "messages[1].content[0].cache_control",
        "messages[1].content[1].cache_control", "cache_control",
    }  # fmt: skip
    assert b"cache" not in msgspec.json.encode(sent("messages", body, "gemini"))


# What is large.

LARGE = b64encode(bytes(range(256)) * (20 * 2**20 // 256)).decode()


def large(client: str, kind: str) -> Json:
    """A request with *kind*: an image, or a PDF."""
    url = f"data:{kind};base64,{LARGE}"
    image, source = kind.startswith("image"), {"type": "base64", "media_type": kind, "data": LARGE}
    parts: dict[str, Json] = {
        "chat": {"type": "image_url", "image_url": {"url": url}}
        if image
        else {"type": "file", "file": {"filename": "a.pdf", "file_data": url}},
        "messages": {"type": "image" if image else "document", "source": source},
        "responses": {"type": "input_image", "image_url": url, "detail": "auto"}
        if image
        else {"type": "input_file", "filename": "a.pdf", "file_data": url},
    }
    turn = [{"role": "user", "content": [parts[client]]}]
    return {**first(client), "input" if client == "responses" else "messages": turn}


@pytest.mark.parametrize("kind", ["image/png", "application/pdf"])
@pytest.mark.parametrize("client", CLIENTS)
def test_large_parts_keep_their_bytes(client: str, kind: str) -> None:
    near = CLIENTS[client]
    request = near.decode(near.parse(msgspec.json.encode(large(client, kind))))
    for upstream, far in UPSTREAMS.items():
        encoded = far.encode(request, endpoint(upstream), Quirks())
        assert (encoded.body.count(LARGE.encode()), encoded.losses) == (1, ()), upstream


# Names.

NAMES = ["a.b", "a b.c", "x" * 70, "2look", "Ünï", "mcp.server/look"]
TAKEN = {
    "chat": r"[A-Za-z0-9_-]{1,64}", "responses": r"[A-Za-z0-9_-]{1,64}", "messages": r"[A-Za-z0-9_-]{1,128}",
    "converse": r"[A-Za-z0-9_-]{1,64}", "gemini": r"[A-Za-z_][A-Za-z0-9_.-]{0,63}",
}  # fmt: skip
OFFERED: dict[str, Any] = {
    "chat": lambda body: body["tools"][0]["function"]["name"],
    "responses": lambda body: body["tools"][0]["name"],
    "messages": lambda body: body["tools"][0]["name"],
    "converse": lambda body: body["toolConfig"]["tools"][0]["toolSpec"]["name"],
    "gemini": lambda body: body["tools"][0]["functionDeclarations"][0]["name"],
}
FORCED: dict[str, Any] = {
    "chat": lambda body: body["tool_choice"]["function"]["name"],
    "responses": lambda body: body["tool_choice"]["name"],
    "messages": lambda body: body["tool_choice"]["name"],
    "converse": lambda body: body["toolConfig"]["toolChoice"]["tool"]["name"],
    "gemini": lambda body: body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"][0],
}
CHOICE: dict[str, Any] = {
    "chat": lambda name: {"type": "function", "function": {"name": name}},
    "messages": lambda name: {"type": "tool", "name": name},
    "responses": lambda name: {"type": "function", "name": name},
}


def _sse(*events: Json) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(one.get("type", "")).encode(), msgspec.json.encode(one)) for one in events
    )


def calling(upstream: str, name: str) -> bytes:
    """A stream of *upstream* that calls *name*."""
    match upstream:
        case "converse":
            return frames(
                ("messageStart", {"role": "assistant"}),
                (
                    "contentBlockStart",
                    {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t1", "name": name}}},
                ),
                ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}),
                ("contentBlockStop", {"contentBlockIndex": 0}),
                ("messageStop", {"stopReason": "tool_use"}),
                ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}),
            )
        case "gemini":
            part = {"functionCall": {"name": name, "args": {}}}
            return _sse({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]})
        case "messages":
            use = {"type": "tool_use", "id": "t1", "name": name, "input": {}}
            return _sse(
                {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}},
                {"type": "content_block_start", "index": 0, "content_block": use},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}},
                {"type": "message_stop"},
            )
        case "responses":
            item = {"type": "function_call", "id": "i", "call_id": "t1", "name": name, "arguments": "{}"}
            added = {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}}
            done = {"type": "response.output_item.done", "output_index": 0, "item": item}
            answer = {"id": "r", "object": "response", "model": "m", "status": "completed", "output": [item]}
            return _sse(
                {"type": "response.created", "response": {**answer, "status": "in_progress", "output": []}},
                added, done, {"type": "response.completed", "response": answer},
            )  # fmt: skip
        case _:
            call = {"index": 0, "id": "t1", "type": "function", "function": {"name": name, "arguments": "{}"}}
            choice = {"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"}
            return _sse({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}) + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("client", "upstream", "name"),
    [(*pair, name) for pair in PAIRS for name in NAMES if len(name) <= 64 or pair[0] != "chat"],  # chat's are shorter
)
def test_a_name_fits_and_comes_back(client: str, upstream: str, name: str) -> None:
    asked = first(client, [name])
    forced = sent(client, {**asked, "tool_choice": CHOICE[client](name)}, upstream)
    there = OFFERED[upstream](forced)
    assert re.fullmatch(TAKEN[upstream], there)
    assert FORCED[upstream](forced) == there
    said = heard(client, asked, upstream, calling(upstream, there), sse=True)
    ((id_, back),) = calls(client, said)
    assert back == name
    told = msgspec.json.encode(sent(client, again(client, asked, said, {id_: "r"}), upstream)).decode()
    assert told.count(f'"{there}"') >= 2
    assert there == name or f'"{name}"' not in told


@pytest.mark.parametrize("how", ["tool", "allowed"])
@pytest.mark.parametrize("upstream", ["converse", "gemini"])
def test_a_tool_in_a_namespace_can_be_chosen(upstream: str, how: str) -> None:
    inner = {"type": "function", "name": "look.up", "parameters": {"type": "object", "properties": {}}}
    one: Json = {"type": "function", "name": "look.up"}
    choice = one if how == "tool" else {"type": "allowed_tools", "mode": "required", "tools": [one]}
    tools = [{"type": "namespace", "name": "mcp", "description": "d", "tools": [inner]}]
    found = sent("responses", first("responses", tools=tools, tool_choice=choice), upstream)
    assert "look" in OFFERED[upstream](found)
    if how == "tool" or upstream == "gemini":
        assert FORCED[upstream](found) == OFFERED[upstream](found)
    else:
        assert found["toolConfig"]["toolChoice"] == {"any": {}}
