"""A model that thinks, calls a tool and wants its thought back: what each dialect's provider says, and insists on.

`answer` is the first turn as the provider writes it. `check` is a strict provider: it raises where the second request
lacks the signature, has another one, has a call without its result or blocks in an order that the provider refuses.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

SIGNATURE = "RXJjQmVqMExxVA+/c2lnbmF0dXJl=="
THOUGHT = "The weather must be looked up."
CITY = {"city": "Oslo"}
RESULT = "4 degrees, rain"
TOOL = "get_weather"


class Provider(Struct, frozen=True, kw_only=True):
    """One upstream dialect's model."""

    dialect: str
    call_id: str
    answer: dict[str, Any]
    check: Callable[[Any], None]
    quirks: dict[str, Any] = {}
    upstream_model: str = "llama-upstream-name"


def _check_messages(body: Any) -> None:
    user, assistant, result = body["messages"]
    assert [user["role"], assistant["role"], result["role"]] == ["user", "assistant", "user"]
    thinking, call = assistant["content"]
    assert (thinking["type"], thinking["thinking"], thinking["signature"]) == ("thinking", THOUGHT, SIGNATURE)
    assert (call["type"], call["id"], call["name"], call["input"]) == ("tool_use", "toolu_1", TOOL, CITY)
    (answered,) = result["content"]
    assert (answered["type"], answered["tool_use_id"]) == ("tool_result", "toolu_1")
    assert RESULT in msgspec.json.encode(answered["content"]).decode()
    assert [tool["name"] for tool in body["tools"]] == [TOOL]


def _check_responses(body: Any) -> None:
    kinds = [item.get("type", "message") for item in body["input"]]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
    _, thought, call, result = body["input"]
    assert (thought["id"], thought["encrypted_content"]) == ("rs_1", SIGNATURE)
    assert (call["call_id"], call["name"], msgspec.json.decode(call["arguments"])) == ("call_1", TOOL, CITY)
    assert result["call_id"] == "call_1"
    assert RESULT in msgspec.json.encode(result["output"]).decode()
    assert body["store"] is False
    assert "reasoning.encrypted_content" in body["include"]


def _check_gemini(body: Any) -> None:
    assert [turn["role"] for turn in body["contents"]] == ["user", "model", "user"]
    _, model, result = body["contents"]
    calls = [part for part in model["parts"] if "functionCall" in part]
    (call,) = calls
    assert call["thoughtSignature"] == SIGNATURE
    assert (call["functionCall"]["name"], call["functionCall"]["args"]) == (TOOL, CITY)
    assert model["parts"][-1] is call
    (answered,) = result["parts"]
    assert answered["functionResponse"]["name"] == TOOL
    assert RESULT in msgspec.json.encode(answered["functionResponse"]["response"]).decode()


def _check_converse(body: Any) -> None:
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    _, assistant, result = body["messages"]
    thinking, call = assistant["content"]
    assert thinking["reasoningContent"]["reasoningText"] == {"text": THOUGHT, "signature": SIGNATURE}
    assert call["toolUse"] == {"toolUseId": "tooluse_1", "name": TOOL, "input": CITY}
    (answered,) = result["content"]
    assert answered["toolResult"]["toolUseId"] == "tooluse_1"
    assert RESULT in msgspec.json.encode(answered["toolResult"]["content"]).decode()


def _check_chat(body: Any) -> None:
    user, assistant, result = body["messages"]
    assert [user["role"], assistant["role"], result["role"]] == ["user", "assistant", "tool"]
    (detail,) = assistant["reasoning_details"]
    assert (detail["type"], detail["text"], detail["signature"], detail["format"]) == (
        "reasoning.text", THOUGHT, SIGNATURE, "anthropic-claude-v1",
    )  # fmt: skip
    (call,) = assistant["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call_1", TOOL)
    assert msgspec.json.decode(call["function"]["arguments"]) == CITY
    assert result["tool_call_id"] == "call_1"
    assert RESULT in msgspec.json.encode(result["content"]).decode()


PROVIDERS = {
    "messages": Provider(
        dialect="messages",
        call_id="toolu_1",
        answer={
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": [
                {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE},
                {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": CITY},
            ],
            "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 9},
        },
        check=_check_messages,
        upstream_model="claude-sonnet-4-5",
    ),
    "responses": Provider(
        dialect="responses",
        call_id="call_1",
        answer={
            "id": "resp_1", "object": "response", "created_at": 1790000000, "status": "completed", "model": "gpt-5",
            "output": [
                {
                    "type": "reasoning", "id": "rs_1", "encrypted_content": SIGNATURE,
                    "summary": [{"type": "summary_text", "text": THOUGHT}],
                },
                {
                    "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": TOOL,
                    "arguments": msgspec.json.encode(CITY).decode(), "status": "completed",
                },
            ],
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [],
            "tool_choice": "auto", "parallel_tool_calls": True, "temperature": 1, "top_p": 1,
            "usage": {
                "input_tokens": 9, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 18,
            },
        },
        check=_check_responses,
        upstream_model="gpt-5",
    ),
    "gemini": Provider(
        dialect="gemini",
        call_id="call_1",
        answer={
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [
                            {"text": THOUGHT, "thought": True},
                            {
                                "functionCall": {"id": "call_1", "name": TOOL, "args": CITY},
                                "thoughtSignature": SIGNATURE,
                            },
                        ],
                    },
                    "finishReason": "STOP", "index": 0,
                }
            ],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 18},
            "modelVersion": "gemini-3-pro", "responseId": "r1",
        },
        check=_check_gemini,
        upstream_model="gemini-3-pro",
    ),
    "converse": Provider(
        dialect="converse",
        call_id="tooluse_1",
        answer={
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": SIGNATURE}}},
                        {"toolUse": {"toolUseId": "tooluse_1", "name": TOOL, "input": CITY}},
                    ],
                }
            },
            "stopReason": "tool_use", "usage": {"inputTokens": 9, "outputTokens": 9, "totalTokens": 18},
            "metrics": {"latencyMs": 5},
        },
        check=_check_converse,
        upstream_model="anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    "chat": Provider(
        dialect="chat",
        call_id="call_1",
        answer={
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1790000000, "model": "claude",
            "choices": [
                {
                    "index": 0, "finish_reason": "tool_calls",
                    "message": {
                        "role": "assistant", "content": None,
                        "reasoning_details": [
                            {
                                "type": "reasoning.text", "text": THOUGHT, "signature": SIGNATURE,
                                "format": "anthropic-claude-v1", "index": 0,
                            }
                        ],
                        "tool_calls": [
                            {
                                "id": "call_1", "type": "function",
                                "function": {"name": TOOL, "arguments": msgspec.json.encode(CITY).decode()},
                            }
                        ],
                    },
                }
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        },
        check=_check_chat,
        quirks={"reasoning_field": "reasoning_details", "keep": ["reasoning"]},
    ),
}  # fmt: skip
