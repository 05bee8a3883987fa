"""Requests of other dialects, as they leave for providers of chat; and what is lost on the way."""

from typing import Any

import msgspec
import pytest
from chat_help import CHAT, ENDPOINT
from msgspec.structs import replace

from trunkline.dialects.common.custom_tools import INPUT_SCHEMA
from trunkline.dialects.common.ids import pseudonym
from trunkline.dialects.common.tool_names import MAX_NAME, Names, fit_name
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_chat.request_messages import MAX_ID, NO_RESULT
from trunkline.dialects.openai_chat.request_translated import KNOWN_TIERS, TIERS
from trunkline.dialects.registry import UPSTREAMS
from trunkline.model.citation import Citation
from trunkline.model.endpoint import Endpoint
from trunkline.model.request import (
    CacheMark,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    ResponseFormat,
    Sampling,
    SearchResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
)

SIGNED = ReasoningPart("text", "hm", signature="s1g", format="anthropic-claude-v1")
SEALED = ReasoningPart("encrypted", "b64", id="rs_1", format="openai-responses-v1")
CALL = ToolCallPart("call_1", "add", '{"a":1}')


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts or (TextPart("Hi"),))


def assistant(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def result(*parts: Part, id_: str = "call_1", is_error: bool | None = None) -> Message:
    return Message(role="tool", parts=parts or (TextPart("3"),), tool_call_id=id_, is_error=is_error)


NO_QUIRKS = Quirks()


def send(
    *messages: Message,
    quirks: Quirks = NO_QUIRKS,
    endpoint: Endpoint = ENDPOINT,
    dialect: str = "messages",
    **more: Any,
) -> tuple[dict[str, Any], dict[str, str]]:
    """The body that leaves, and the losses: path → why. What leaves is a chat request by our own checks."""
    request = Request(dialect=dialect, messages=messages or (user(),), **more)
    encoded = UPSTREAMS["chat"].encode(request, endpoint, quirks)
    CHAT.parse(encoded.body)
    assert all(loss.direction == "request" for loss in encoded.losses)
    return msgspec.json.decode(encoded.body), {loss.path: loss.why for loss in encoded.losses}


def test_a_plain_conversation_loses_nothing() -> None:
    body, lost = send(
        Message(role="developer", parts=(TextPart("Be brief."),)),
        user(),
        assistant(TextPart("Hel"), TextPart("lo"), CALL),
        result(),
        max_output=9,
    )
    assert not lost
    assert body == {
        "model": "small-1",
        "max_completion_tokens": 9,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": "Hello",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        ],
    }


def test_a_result_that_comes_late_moves_to_its_call() -> None:
    body, lost = send(user(), assistant(CALL), user(TextPart("and?")), result())
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "user"]
    assert not lost


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    body, lost = send(user(), assistant(CALL, ToolCallPart("call_2", "add", "{}")), result(), user())
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "tool", "user"]
    assert body["messages"][3] == {"role": "tool", "tool_call_id": "call_2", "content": NO_RESULT}
    assert list(lost) == ["messages[1].content[1]"]


@pytest.mark.parametrize(
    "messages", [(user(), result()), (user(), assistant(CALL), result(), result()), (result(), assistant(CALL))]
)
def test_a_result_without_its_call_is_text(messages: tuple[Message, ...]) -> None:
    body, lost = send(*messages)
    calls = [call["id"] for message in body["messages"] for call in message.get("tool_calls", ())]
    assert [m["tool_call_id"] for m in body["messages"] if m["role"] == "tool"] == calls
    assert {"role": "user", "content": "3"} in body["messages"]
    assert any("without its call" in why for why in lost.values())


def test_losses_of_responses_are_in_its_words() -> None:
    _, lost = send(user(), result(), dialect="responses")
    assert list(lost) == ["input[1]"]


def test_an_answer_in_several_messages_is_one() -> None:
    body, _ = send(
        user(), assistant(TextPart("a")), assistant(CALL), assistant(ToolCallPart("call_2", "add", "")), assistant(),
        result(id_="call_2"), result(),
    )  # fmt: skip
    _, said, *results = body["messages"]
    assert said["content"] == "a"
    assert [call["function"]["arguments"] for call in said["tool_calls"]] == ['{"a":1}', "{}"]
    assert [message["tool_call_id"] for message in results] == ["call_1", "call_2"]


def test_what_a_result_holds_beside_text_follows_as_the_users() -> None:
    image = ImagePart("data:image/png;base64,AA==")
    body, lost = send(user(), assistant(CALL), result(TextPart("see"), image), user(TextPart("ok")))
    _, _, tool, more, last = body["messages"]
    assert tool["content"] == "see"
    assert more["role"] == "user"
    assert more["content"][-1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert last == {"role": "user", "content": "ok"}
    assert list(lost) == ["messages[2].content"]
    body, _ = send(user(), assistant(CALL), result(image))
    assert body["messages"][2]["content"]


@pytest.mark.parametrize(
    ("said", "sent"), [("no file", "Error: no file"), ("Error 5", "Error 5"), ("<error>x", "Error: <error>x")]
)
def test_a_result_says_that_its_tool_failed(said: str, sent: str) -> None:
    body, _ = send(user(), assistant(CALL), result(TextPart(said), is_error=True))
    assert body["messages"][2]["content"] == sent
    body, _ = send(user(), assistant(CALL), Message(role="tool", tool_call_id="call_1", is_error=True))
    assert body["messages"][2]["content"] == "Error"


def test_an_id_that_is_too_long_is_shortened_alike() -> None:
    long = "toolu_" + "x" * 60
    body, lost = send(user(), assistant(ToolCallPart(long, "add", "{}")), result(id_=long))
    (call,) = body["messages"][1]["tool_calls"]
    assert len(call["id"]) <= MAX_ID
    assert body["messages"][2]["tool_call_id"] == call["id"]
    assert not lost


def test_documents() -> None:
    text = FilePart(text="Lorem", title="T", context="C", citations=True)
    parts = FilePart(content=(TextPart("a"), ImagePart("https://i")), title="T")
    pdf = FilePart(data="data:application/pdf;base64,AA==", title="Report")
    body, lost = send(user(text, parts, pdf, FilePart(file_id="file_1"), ImagePart(file_id="file_2")))
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "T\nC\n\nLorem"},
        {"type": "text", "text": "T"},
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://i"}},
        {"type": "file", "file": {"filename": "Report.pdf", "file_data": "data:application/pdf;base64,AA=="}},
    ]
    assert set(lost) == {f"messages[0].content[{at}]" for at in (3, 4)} | {"messages[0].content[0].citations"}
    body, lost = send(user(FilePart(file_id="file_1")), dialect="responses")
    assert body["messages"][0]["content"] == [{"type": "file", "file": {"file_id": "file_1"}}]
    assert not lost


def test_search_results_are_text_that_nobody_cites() -> None:
    found = SearchResultPart("https://a", "A", (TextPart("x"), TextPart("y")), citations=True)
    body, lost = send(user(found))
    assert body["messages"][0]["content"] == "A\nhttps://a\n\nx\ny"
    assert list(lost) == ["messages[0].content[0].citations"]


def test_what_chat_has_no_part_for_is_lost() -> None:
    cited = TextPart("a", citations=(Citation(kind="char", document=0),))
    messages = (
        Message(role="system", parts=(TextPart("s"), ImagePart("https://i"))),
        user(
            OpaquePart({"type": "container_upload"}), TextPart("u", extra={"theirs": 1, "nothing": None, "empty": []})
        ),
        assistant(cited, ImagePart("https://i"), RefusalPart("no")),
    )
    body, lost = send(*messages)
    assert [message["content"] for message in body["messages"]] == ["s", "u", "a"]
    assert body["messages"][2]["refusal"] == "no"
    assert set(lost) == {
        "messages[0].content", "messages[1].content[0]", "messages[1].content[1].theirs",
        "messages[2].content[0].citations", "messages[2].content[1]",
    }  # fmt: skip


MARKED = TextPart("u", cache=CacheMark(ttl="1h"))


@pytest.mark.parametrize(
    ("spelling", "sent", "whole"),
    [
        ("cache_control", {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}),
        ("prompt_cache_breakpoint", {"mode": "explicit", "ttl": "30m"}, None),
    ],
)
def test_cache_marks_as_the_provider_spells_them(spelling: Any, sent: Any, whole: Any) -> None:
    tool = Tool(kind="function", name="f", cache=CacheMark())
    body, lost = send(user(MARKED), quirks=Quirks(cache_marks=spelling), cache=CacheMark(), tools=(tool,))
    assert body["messages"][0]["content"] == [{"type": "text", "text": "u", spelling: sent}]
    assert body.get(spelling) == whole
    assert ("cache_control" in body["tools"][0]) == (spelling == "cache_control")
    assert list(lost) == ([] if spelling == "cache_control" else ["tools[0].cache_control"])


def test_cache_marks_are_lost_where_there_are_none() -> None:
    whole = Message(role="tool", parts=(TextPart("3"),), tool_call_id="call_1", cache=CacheMark())
    body, lost = send(user(MARKED), assistant(replace(CALL, cache=CacheMark())), whole, cache=CacheMark())
    assert b"cache" not in msgspec.json.encode(body)
    assert set(lost) == {
        "messages[0].content[0].cache_control", "messages[1].content[0].cache_control", "messages[2].cache_control",
        "cache_control",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "format_", "sent", "lost"),
    [
        (None, None, {}, ["[0]", "[1]"]),
        ("reasoning_content", None, {"reasoning_content": "hm"}, ["[0].signature", "[1].data"]),
        ("reasoning", None, {"reasoning": "hm"}, ["[0].signature", "[1].data"]),
        (
            "reasoning_details",
            None,
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "hm", "signature": "s1g", "format": "anthropic-claude-v1",
                     "index": 0},
                    {"type": "reasoning.encrypted", "data": "b64", "format": "openai-responses-v1", "id": "rs_1",
                     "index": 1},
                ]
            },
            [],
        ),
        (
            "reasoning_details",
            "openai-responses-v1",
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "hm", "index": 0},
                    {"type": "reasoning.encrypted", "data": "b64", "format": "openai-responses-v1", "id": "rs_1",
                     "index": 1},
                ]
            },
            ["[0].signature"],
        ),
    ],
)  # fmt: skip
def test_earlier_thoughts(field: Any, format_: Any, sent: dict[str, Any], lost: list[str]) -> None:
    quirks = Quirks(reasoning_field=field, reasoning_format=format_)
    body, found = send(user(), assistant(SIGNED, SEALED, TextPart("a")), quirks=quirks)
    assert body["messages"][1] == {"role": "assistant", "content": "a", **sent}
    assert list(found) == [f"messages[1].content{path}" for path in lost]


def test_geminis_signature_stands_on_its_call() -> None:
    sign = ReasoningPart("encrypted", "c2ln", id="call_1", format="google-gemini-v1")
    body, lost = send(user(), assistant(sign, CALL), result(), quirks=Quirks(reasoning_format="google-gemini-v1"))
    (call,) = body["messages"][1]["tool_calls"]
    assert call["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert not lost


@pytest.mark.parametrize(
    ("kind", "reasoning", "sent", "lost"),
    [
        ("effort", Reasoning(effort="high"), {"reasoning_effort": "high"}, []),
        ("effort", Reasoning(max_tokens=8000), {"reasoning_effort": "medium"}, ["reasoning.max_tokens"]),
        ("effort", Reasoning(enabled=False), {"reasoning_effort": "none"}, []),
        ("effort", Reasoning(adaptive=True), {}, []),
        ("effort", Reasoning(effort="low", summary="auto"), {"reasoning_effort": "low"}, ["reasoning.summary"]),
        ("reasoning", Reasoning(max_tokens=8000), {"reasoning": {"max_tokens": 8000}}, []),
        ("reasoning", Reasoning(adaptive=True), {"reasoning": {"enabled": True}}, []),
        ("reasoning", Reasoning(effort="low", max_tokens=9), {"reasoning": {"effort": "low"}}, []),
        ("thinking", Reasoning(effort="high"), {"thinking": {"type": "enabled"}}, ["reasoning.effort"]),
        ("thinking", Reasoning(max_tokens=8000), {"thinking": {"type": "enabled", "budget_tokens": 8000}}, []),
        ("thinking", Reasoning(effort="none"), {"thinking": {"type": "disabled"}}, []),
        ("enable_thinking", Reasoning(max_tokens=8), {"enable_thinking": True, "thinking_budget": 8}, []),
        ("enable_thinking", Reasoning(effort="high"), {"enable_thinking": True, "thinking_budget": 12800}, []),
        ("enable_thinking", Reasoning(enabled=False), {"enable_thinking": False}, []),
    ],
)
def test_how_a_provider_is_told_to_think(kind: Any, reasoning: Reasoning, sent: Any, lost: list[str]) -> None:
    body, found = send(quirks=Quirks(reasoning_request=kind), reasoning=reasoning, max_output=16_000)
    said = {key: value for key, value in body.items() if "reason" in key or "think" in key}
    assert said == sent
    assert list(found) == lost


def test_tools_of_every_kind() -> None:
    tools = (
        Tool(kind="function", name="f", description="d", parameters={"type": "object"}, strict=True),
        Tool(kind="custom", name="patch", format={"type": "grammar", "syntax": "lark", "definition": "x"}),
        Tool(kind="web_search_20250305", name="web_search"),
    )
    body, lost = send(tools=tools, parallel_tool_calls=False, tool_choice=ToolChoice(mode="tool", name="f"))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["f", "patch"]
    assert body["tools"][0]["function"] == {
        "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True,
    }  # fmt: skip
    assert body["tools"][1]["function"]["parameters"] == INPUT_SCHEMA
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False
    assert set(lost) == {"tools[1].format", "tools[2]"}
    body, _ = send(tools=tools, quirks=Quirks(custom_tools=True))
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
    assert body["tools"][1] == {"type": "custom", "custom": {"name": "patch", "format": grammar}}


def test_free_input_of_earlier_calls() -> None:
    call = ToolCallPart("c", "patch", "text", custom=True)
    body, _ = send(user(), assistant(call), result(id_="c"))
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"input":"text"}'
    body, _ = send(user(), assistant(call), result(id_="c"), quirks=Quirks(custom_tools=True))
    assert body["messages"][1]["tool_calls"][0]["custom"] == {"name": "patch", "input": "text"}


@pytest.mark.parametrize(
    ("choice", "sent", "offered", "lost"),
    [
        (ToolChoice(mode="auto"), "auto", ["f", "g"], []),
        (ToolChoice(mode="required"), "required", ["f", "g"], []),
        (ToolChoice(mode="allowed", names=("g",), required=True), "required", ["g"], []),
        (ToolChoice(mode="allowed", names=("g",)), "auto", ["g"], []),
        (ToolChoice(mode="opaque", kind="mcp"), None, ["f", "g"], ["tool_choice"]),
        (ToolChoice(mode="tool", name="gone"), None, ["f", "g"], ["tool_choice"]),
    ],
)
def test_which_tool_is_wanted(choice: ToolChoice, sent: Any, offered: list[str], lost: list[str]) -> None:
    tools = (Tool(kind="function", name="f"), Tool(kind="function", name="g"))
    body, found = send(tools=tools, tool_choice=choice)
    assert body.get("tool_choice") == sent
    assert [tool["function"]["name"] for tool in body["tools"]] == offered
    assert list(found) == lost


def test_without_tools_nothing_is_said_of_them() -> None:
    search = Tool(kind="web_search", name="web_search")
    body, lost = send(tools=(search,), tool_choice=ToolChoice(mode="required"), parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)
    assert set(lost) == {"tools[0]", "tool_choice"}


def test_names() -> None:
    tools = [
        Tool(kind="function", name="read", namespace="fs"),
        Tool(kind="function", name="read", namespace="db"),
        Tool(kind="function", name="write", namespace="fs"),
        Tool(kind="function", name="mcp.tool/" + "x" * 90),
    ]
    names = Names(tools)
    said = [names.of(tool.namespace, tool.name) for tool in tools]
    assert said[:3] == ["fs__read", "db__read", "write"]
    assert len(said[3]) == MAX_NAME
    assert said[3].startswith("mcp_tool_x")
    assert fit_name("x" * 70) != fit_name("x" * 71)
    assert names.of(None, "gone") == "gone"
    call = ToolCallPart("c", "read", "{}", namespace="db")
    choice = ToolChoice(mode="tool", name="write")
    body, _ = send(user(), assistant(call), result(id_="c"), tools=tuple(tools[:3]), tool_choice=choice)
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == "db__read"
    assert body["tool_choice"]["function"]["name"] == "write"


@pytest.mark.parametrize(
    ("found", "sent", "lost"),
    [
        (ResponseFormat(kind="json_object"), {"type": "json_object"}, []),
        (
            ResponseFormat(kind="json_schema", schema={"type": "object"}, strict=True),
            {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}, "strict": True}},
            [],
        ),
        (ResponseFormat(kind="grammar"), None, ["response_format"]),
    ],
)
def test_the_shape_of_the_answer(found: ResponseFormat, sent: Any, lost: list[str]) -> None:
    body, why = send(response_format=found)
    assert body.get("response_format") == sent
    assert list(why) == lost


@pytest.mark.parametrize(
    ("tier", "sent"), [("auto", "auto"), ("standard_only", "default"), ("fast", "priority"), ("batch", None)]
)
def test_service_tiers(tier: str, sent: str | None) -> None:
    body, lost = send(service_tier=tier)
    assert body.get("service_tier") == sent
    assert list(lost) == ([] if sent else ["service_tier"])
    assert set(TIERS.values()) <= KNOWN_TIERS


def test_parameters() -> None:
    endpoint = replace(ENDPOINT, max_output=100, parameters=frozenset({"temperature"}))
    sampling = Sampling(temperature=1, top_k=5, stop=("a", "b", "c", "d", "e"))
    extra = {"context_management": {"edits": []}, "store": False, "provider": {}, "safety_identifier": "s"}
    body, lost = send(sampling=sampling, max_output=500, endpoint=endpoint, extra=extra, verbosity="low", user="u")
    assert body["max_completion_tokens"] == 100
    assert body["stop"] == ["a", "b", "c", "d"]
    assert (body["temperature"], body["verbosity"], body["user"]) == (1, "low", pseudonym("u"))
    assert set(lost) == {"stop[4]", "top_k", "context_management", "safety_identifier"}
    body, lost = send(extra=extra, dialect="responses")
    assert body["safety_identifier"] == "s"
    assert list(lost) == ["context_management"]
