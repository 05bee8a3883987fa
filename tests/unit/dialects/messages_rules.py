"""What Anthropic answers 400 to: a strict provider's checks of a request.

Sources: Anthropic's API reference, "Create a Message"; guides "Extended thinking", "Prompt caching", "Implement tool
use", "Migration guide" (no answer is begun for Claude 4.6 and newer), read 2026-11-26.
"""

import re
from typing import Any

Json = dict[str, Any]
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
KINDS = {
    "user": {"text", "image", "document", "search_result", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
}
"""Who says it → what of it can come from another dialect."""
UNMARKED = ("thinking", "redacted_thinking")
NO_BEGINNING = re.compile(r"-4-[6-9]|claude-[a-z]+-5")
"""Models that take no answer begun for them."""
NO_SAMPLING = re.compile(r"-4-[7-9]|claude-[a-z]+-5")

SYSTEM_WITHIN = re.compile(r"opus-4-8|claude-[a-z]+-5")


def accept(body: Json, signature: str | None = None) -> None:
    """Raise AssertionError where Claude would answer 400. *signature*: the only one that it has given."""
    assert body["max_tokens"] >= 1
    messages = body["messages"]
    _system(messages, body["model"])
    messages = [message for message in messages if message["role"] != "system"]
    assert [message["role"] for message in messages] == [("user", "assistant")[at % 2] for at in range(len(messages))]
    assert messages
    for message in messages:
        assert message["content"], "a turn says something"
        for block in message["content"]:
            assert block["type"] in KINDS[message["role"]], block["type"]
            _block(block, signature)
    _pairs(messages)
    _offered(body)
    _thinking(body, messages)
    assert len(_marked(body)) + ("cache_control" in body) <= 4
    if messages[-1]["role"] == "assistant":
        assert not NO_BEGINNING.search(body["model"]), "a conversation ends with the user"
        assert messages[-1]["content"][-1]["type"] == "text"
        assert messages[-1]["content"][-1]["text"] == messages[-1]["content"][-1]["text"].rstrip()
    for block in body.get("system", ()):
        _block(block, signature)
    for stop in body.get("stop_sequences", ()):
        assert stop.strip()
    if NO_SAMPLING.search(body["model"]):
        assert not {"temperature", "top_p", "top_k"} & body.keys()
    elif "-4-" in body["model"]:
        assert not {"temperature", "top_p"} <= body.keys()


def _system(messages: list[Json], model: str) -> None:
    """Those within stand behind the user's, and are the last or before the model's."""
    roles = [message["role"] for message in messages]
    for at, role in enumerate(roles):
        if role == "system":
            assert SYSTEM_WITHIN.search(model)
            assert messages[at].keys() == {"role", "content"}
            assert at
            assert roles[at - 1] == "user"
            assert roles[at + 1 : at + 2] in ([], ["assistant"])
            for block in messages[at]["content"]:
                assert block["type"] == "text"
                _block(block, None)


def _block(block: Json, signature: str | None) -> None:
    if block["type"] == "text":
        assert block["text"].strip(), "text says something"
    if block["type"] == "thinking":
        assert block["signature"], "a thought is signed"
        assert signature in (None, block["signature"])
    if block["type"] == "redacted_thinking":
        assert block["data"]
        assert signature in (None, block["data"])
    if block["type"] in UNMARKED:
        assert "cache_control" not in block
    if block["type"] == "tool_use":
        assert NAME.fullmatch(block["name"])
        assert NAME.fullmatch(block["id"])
        assert isinstance(block["input"], dict)
    if block["type"] == "tool_result" and isinstance(block.get("content"), list):
        assert block["content"]
        for inner in block["content"]:
            assert inner["type"] in ("text", "image", "document", "search_result")
            _block(inner, signature)
    if "cache_control" in block:
        assert block["cache_control"].get("ttl", "5m") in ("5m", "1h")


def _pairs(messages: list[Json]) -> None:
    """Each call is answered in the turn behind it, results first, and nothing else is."""
    open_: list[str] = []
    seen: set[str] = set()
    for message in messages:
        results = [block["tool_use_id"] for block in message["content"] if block["type"] == "tool_result"]
        assert sorted(results) == sorted(open_)
        head = message["content"][: len(results)]
        assert all(block["type"] == "tool_result" for block in head), "results come first"
        open_ = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
        assert not seen & set(open_)
        assert len(set(open_)) == len(open_), "ids are unique"
        seen |= set(open_)
    assert not open_


def _offered(body: Json) -> None:
    tools = body.get("tools", ())
    names = [tool["name"] for tool in tools]
    assert len(names) == len(set(names)), "names are unique"
    for tool in tools:
        assert NAME.fullmatch(tool["name"])
        assert tool["input_schema"]["type"] == "object"
        assert not {"anyOf", "oneOf", "allOf"} & tool["input_schema"].keys()
    choice = body.get("tool_choice")
    if choice is not None:
        assert tools
        assert choice["type"] != "tool" or choice["name"] in names
        assert "disable_parallel_tool_use" not in choice or choice["type"] != "none"


def _thinking(body: Json, turns: list[Json]) -> None:
    thinking = body.get("thinking", {"type": "disabled"})
    assert 0 <= body.get("temperature", 1) <= 1
    if thinking["type"] == "disabled":
        return
    assert body.get("tool_choice", {}).get("type") not in ("any", "tool")
    assert body.get("temperature", 1) == 1
    assert body.get("top_p", 1) >= 0.95
    assert "top_k" not in body
    if thinking["type"] == "enabled":
        assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]
        last = next(turn for turn in reversed(turns) if turn["role"] == "assistant" or turn is turns[0])
        answered = any(block["type"] == "tool_result" for block in turns[-1]["content"])
        if last["role"] == "assistant" and (answered or last is turns[-1]):
            assert last["content"][0]["type"] in UNMARKED, "a turn that is gone on with begins with a thought"
            assert last is not turns[-1], "no answer is begun for a model that thinks"


def _marked(body: Json) -> list[Json]:
    """All that has a cache mark."""
    found: list[Json] = [*body.get("tools", ()), *body.get("system", ())]
    for message in body["messages"]:
        for block in message["content"]:
            inner = block.get("content")
            found += [block, *(inner if isinstance(inner, list) else ())]
    return [one for one in found if "cache_control" in one]
