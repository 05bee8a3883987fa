"""Responses requests: what is taken, what leaves for an upstream of the dialect, from it and from others."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from responses_help import CLIENT, ENDPOINT, RELAY, UPSTREAM, Wire, call_of

from trunkline.dialects.common.reasoning import ANTHROPIC, GEMINI, OPENAI, pack
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_responses.request_native import to_wire
from trunkline.dialects.registry import CLIENTS, COUNTERS
from trunkline.families.lookup import family_of
from trunkline.model.citation import Citation
from trunkline.model.errors import InvalidRequest, UpstreamGarbled
from trunkline.model.request import (
    AudioPart,
    CacheMark,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Reasoning,
    ReasoningPart,
    Request,
    ResponseFormat,
    Sampling,
    SearchResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
)

USER = Message(role="user", parts=(TextPart("Hi"),), plain=True)
CALL = ToolCallPart("c1", "f", '{"x":1}')
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}


def sent(request: Request, quirks: Quirks | None = None, model: str = "gpt-5") -> tuple[Wire, list[str]]:
    """The body that leaves, and the paths of what is lost."""
    encoded = UPSTREAM.encode(request, replace(ENDPOINT, upstream_model=model), quirks or Quirks())
    return msgspec.json.decode(encoded.body), [loss.path for loss in encoded.losses]


def asked(*messages: Message, **more: Any) -> Request:
    """A request of a client of Messages."""
    return Request(dialect="messages", messages=messages or (USER,), **more)


def relayed(body: Wire, quirks: Quirks | None = None) -> Wire:
    encoded = RELAY.request(call_of(body), ENDPOINT, quirks or Quirks())
    found: Wire = msgspec.json.decode(encoded.body)
    return found


# What clients send.


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [{}]}, "input[0].type"),
        ({"input": [{"type": 5}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "message", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
            "input[0].content[0].input_audio.data",
        ),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": "reasoning", "summary": ["x"]}]}, "input[0].summary[0]"),
        ({"input": [{"type": "reasoning", "summary": [], "signature": 5}]}, "input[0].signature"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f", "parameters": "x"}]}, "tools[0].parameters"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "any", "tools": []}}, "tool_choice.mode"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"text": {"verbosity": "shouting"}}, "text.verbosity"),
        ({"reasoning": {"effort": "low", "max_tokens": 5}}, "reasoning.max_tokens"),
        ({"metadata": {"a[b]": "c"}}, "metadata"),
        ({"temperature": 3}, "temperature"),
        ({"stop": ["a"] * 5}, "stop"),
    ],
)
def test_wrong(body: Wire, param: str) -> None:
    with pytest.raises(InvalidRequest) as found:
        call_of(body)
    assert found.value.param == param


def test_unknown_things_pass() -> None:
    body = {"input": [{"type": "hologram", "x": 1}, {"role": "user", "content": [{"type": "smell", "y": 2}]}], "z": 3}
    request = CLIENT.decode(call_of(body))
    assert to_wire(request) == {"model": "acme/small", **body}


EVERYTHING: list[Wire] = [
    {"role": "system", "content": "S"},
    {"type": "message", "id": "m1", "role": "developer", "content": [{"type": "input_text", "text": "D"}]},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "A", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
            {"type": "input_image", "image_url": "https://a.example/i.png", "detail": "low"},
            {"type": "input_image", "file_id": "f1", "image_url": None},
            {"type": "input_file", "file_url": "https://a.example/f.pdf"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            {"type": "input_video", "video_url": "https://a.example/v.mp4", "processing": "static"},
        ],
    },
    {
        "type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "T"}], "content": [],
        "encrypted_content": "gAAA", "status": "completed",
    },
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "n"},
    {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "text"},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary",
        "content": [
            {
                "type": "output_text", "text": "B", "logprobs": [],
                "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}],
            },
            {"type": "refusal", "refusal": "No."},
        ],
    },
    {"type": "function_call_output", "call_id": "c1", "output": "R", "status": None},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "R"}]},
    {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
    {"role": "assistant", "content": "plain"},
    {"type": "item_reference", "id": "x"},
    {"type": "compaction", "encrypted_content": "gBBB"},
    {"role": "assistant", "content": [{"type": "new_kind", "x": 1}]},
    {"role": "assistant", "content": None},
    {"type": "function_call_output", "call_id": "orphan", "output": "R"},
]  # fmt: skip


def test_what_says_nothing_comes_back() -> None:
    items: list[Wire] = [
        {"role": "user", "content": [
            {"type": "input_text", "text": "Hi", "cache_control": None},
            {"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": None},
            {"type": "input_image", "image_url": "", "detail": "low"},
            {"type": "input_file", "file_url": "", "file_id": "f1"}]},
        {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "A", "annotations": None}]},
    ]  # fmt: skip
    request = CLIENT.decode(call_of({"input": items}))
    assert msgspec.json.decode(msgspec.json.encode(to_wire(request)))["input"] == items


def test_every_item_comes_back() -> None:
    body: Wire = {
        "input": EVERYTHING, "instructions": "I", "stream": False, "include": None, "stop": "x", "top_k": 4,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": None}, "verbosity": "low"},
        "reasoning": {"effort": None, "summary": "auto"}, "cache_control": {"type": "ephemeral", "ttl": "1h"},
        "tools": [
            {"type": "function", "name": "f", "parameters": None, "strict": True, "defer_loading": True},
            {"type": "namespace", "name": "n", "description": "N", "x": 1, "tools": [
                {"type": "function", "name": "a"}, {"type": "custom", "name": "b"}]},
            {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
    }  # fmt: skip
    request = CLIENT.decode(call_of(body))
    assert msgspec.json.decode(msgspec.json.encode(to_wire(request))) == {"model": "acme/small", **body}
    assert [message.role for message in request.messages] == [
        "system", "system", "developer", "user", "assistant", "tool", "tool", "user", "assistant", "tool",
    ]  # fmt: skip
    turn = request.messages[4].parts
    assert [type(part).__name__ for part in turn] == [
        "ReasoningPart", "ReasoningPart", "ToolCallPart", "ToolCallPart", "OpaquePart", "TextPart", "RefusalPart",
    ]  # fmt: skip
    assert request.messages[3].parts[0] == TextPart("A", cache=CacheMark("12h", "prompt_cache_breakpoint"))
    assert isinstance(turn[2], ToolCallPart)
    assert turn[2].namespace == "n"
    assert request.tools is not None
    assert [(tool.kind, tool.name, tool.namespace) for tool in request.tools] == [
        ("function", "f", None), ("function", "a", "n"), ("custom", "b", "n"), ("web_search", "", None),
    ]  # fmt: skip
    assert request.tool_choice is not None
    assert (request.tool_choice.names, request.tool_choice.required) == (("f",), True)


def test_what_leaves_is_no_fault_of_form() -> None:
    """Ids, statuses and empty lists are how an item was written, and nothing of it is lost with them."""
    request = CLIENT.decode(call_of({"input": EVERYTHING[7:8]}))
    (message,) = request.messages
    for part in message.parts:
        assert not isinstance(part, OpaquePart)
        assert part.extra == {}


def test_what_goes_without_saying_is_lost_nowhere() -> None:
    body = {"store": False, "background": False, "truncation": "disabled", "include": []}
    request = CLIENT.decode(call_of(body))
    assert list(request.extra) == ["include"]
    assert to_wire(request) == {"model": "acme/small", "input": "Hi", **body}


def test_cursors_tools() -> None:
    body = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}, {"name": "g"}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }
    found = relayed(body)
    assert found["tools"] == [
        {"type": "function", "name": "f", "parameters": SCHEMA}, {"type": "function", "name": "g", "parameters": None},
    ]  # fmt: skip
    assert found["tool_choice"] == {"type": "function", "name": "f"}


@pytest.mark.parametrize(
    ("item", "forms"),
    [
        ({"encrypted_content": "gAAA"}, [("encrypted", "gAAA", None, OPENAI)]),
        ({"encrypted_content": "x", "format": "xai-responses-v1"}, [("encrypted", "x", None, "xai-responses-v1")]),
        ({"signature": "S", "format": ANTHROPIC}, [("text", "", "S", ANTHROPIC)]),
        ({"encrypted_content": pack(ANTHROPIC, None, "D")}, [("encrypted", "D", None, ANTHROPIC)]),
        (
            {"encrypted_content": pack(ANTHROPIC, None, "S"), "content": [{"type": "reasoning_text", "text": "T"}]},
            [("text", "T", "S", ANTHROPIC)],
        ),
        (
            {
                "signature": "S", "format": ANTHROPIC, "encrypted_content": pack(ANTHROPIC, None, "S"),
                "content": [{"type": "reasoning_text", "text": "T"}],
            },
            [("text", "T", "S", ANTHROPIC)],
        ),
        ({"content": [{"type": "reasoning_text", "text": "T"}]}, [("text", "T", None, None)]),
        ({}, [("summary", "", None, None)]),
    ],
)  # fmt: skip
def test_thoughts_of_every_kind(item: Wire, forms: list[tuple[Any, ...]]) -> None:
    found = {"type": "reasoning", "id": "rs_1", "summary": [], **item}
    (message,) = CLIENT.decode(call_of({"input": [found]})).messages
    parts = [part for part in message.parts if isinstance(part, ReasoningPart)]
    assert [(part.form, part.text, part.signature, part.format) for part in parts] == forms


# What leaves, from a client of this dialect.


def test_what_leaves() -> None:
    found = relayed({"models": ["a/b"], "provider": {"order": ["x"]}, "background": True, "x": 1, "top_k": 3})
    assert found == {
        "model": "small-1", "input": "Hi", "x": 1, "store": False, "include": ["reasoning.encrypted_content"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "asks"), [("gpt-4o", False), ("gpt-5", True), ("o3", True), ("gpt-5-chat-latest", False)]
)
def test_thoughts_are_asked_for_where_the_model_has_any(model: str, asks: bool) -> None:
    body, _ = sent(CLIENT.decode(call_of()), model=model)
    assert ("include" in body) == asks


def test_what_the_client_says_of_include_stands() -> None:
    assert relayed({"include": []})["include"] == []


def test_thoughts_of_others_do_not_leave() -> None:
    items: list[Wire] = [
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "rs_tmp_1", "summary": [], "encrypted_content": pack(GEMINI, "c", "S")},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA", "format": OPENAI},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": pack(OPENAI, "rs_9", "gBBB")},
    ]
    call = call_of({"input": items})
    for encoded in (RELAY.request(call, ENDPOINT, Quirks()), UPSTREAM.encode(CLIENT.decode(call), ENDPOINT, Quirks())):
        body = msgspec.json.decode(encoded.body)
        assert body["input"][1:] == [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "gBBB"},
        ]
        assert [loss.path for loss in encoded.losses] == ["input[].reasoning"]


def test_openrouters_way_to_think() -> None:
    assert relayed({"reasoning": {"enabled": True}})["reasoning"] == {"effort": "medium"}
    assert relayed({"reasoning": {"enabled": False}})["reasoning"] == {"effort": "none"}
    assert relayed({"reasoning": {"max_tokens": 800}, "max_output_tokens": 1000})["reasoning"] == {"effort": "high"}
    assert relayed({"reasoning": {"max_tokens": 800}}, Quirks(keep=("reasoning",)))["reasoning"] == {"max_tokens": 800}


def test_anthropics_marks_leave_as_openais() -> None:
    items = [{"role": "user", "content": [
        {"type": "input_text", "text": "A", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "input_text", "text": "B", "prompt_cache_breakpoint": {"mode": "explicit"}},
    ]}]  # fmt: skip
    tools = [{"type": "function", "name": "f", "parameters": None, "cache_control": {"type": "ephemeral"}}]
    call = call_of({"input": items, "tools": tools})
    for model, told in (("gpt-5.6", {"mode": "explicit", "ttl": "12h"}), ("gpt-5", None)):
        endpoint = replace(ENDPOINT, upstream_model=model)
        body = msgspec.json.decode(RELAY.request(call, endpoint, Quirks()).body)
        first, second = body["input"][0]["content"]
        assert first.get("prompt_cache_breakpoint") == told
        assert "cache_control" not in first
        assert second["prompt_cache_breakpoint"] == {"mode": "explicit"}
        assert body["tools"] == [{"type": "function", "name": "f", "parameters": None}]
    kept = msgspec.json.decode(RELAY.request(call, ENDPOINT, Quirks(keep=("cache_control",))).body)
    assert kept["input"] == items


EPHEMERAL: Any = {"type": "ephemeral"}
EXPLICIT: Any = {"mode": "explicit"}


@pytest.mark.parametrize(
    ("marks", "mark"),
    [
        ({"cache_control": {**EPHEMERAL, "ttl": None}}, CacheMark()),
        ({"cache_control": {**EPHEMERAL, "x": 1}, "prompt_cache_breakpoint": None}, CacheMark()),
        ({"cache_control": EPHEMERAL, "prompt_cache_breakpoint": EXPLICIT}, CacheMark(None, "prompt_cache_breakpoint")),
        ({"prompt_cache_breakpoint": {**EXPLICIT, "ttl": None}}, CacheMark(None, "prompt_cache_breakpoint")),
        ({"cache_control": None}, None),
    ],
)
def test_what_a_mark_says_beside_itself_comes_back_and_does_not_leave_for_openai(marks: Any, mark: Any) -> None:
    tool = {"type": "function", "name": "f", "parameters": None}
    said = {"type": "input_text", "text": "A"}
    body = {
        "input": [{"role": "user", "content": [{**said, **marks}]}],
        "tools": [{**tool, "cache_control": {**EPHEMERAL, "ttl": None}}],
        "cache_control": {**EPHEMERAL, "ttl": None},
    }
    call = call_of(body)
    request = CLIENT.decode(call)
    part = request.messages[0].parts[0]
    assert isinstance(part, TextPart)
    assert part.cache == mark
    back = to_wire(request)
    assert {key: back[key] for key in body} == body
    sent = msgspec.json.decode(RELAY.request(call, replace(ENDPOINT, upstream_model="gpt-5.6"), Quirks()).body)
    told = marks.get("prompt_cache_breakpoint") or (EXPLICIT if mark else None)
    assert sent["input"][0]["content"] == [{**said, **({"prompt_cache_breakpoint": told} if told else {})}]
    assert sent["tools"] == [tool]
    assert "cache_control" not in sent


def test_openrouters_words_for_a_tier() -> None:
    assert relayed({"service_tier": "fast"})["service_tier"] == "priority"
    assert relayed({"service_tier": "flex"})["service_tier"] == "flex"
    assert relayed({"service_tier": "fast"}, Quirks(keep=("service_tier",)))["service_tier"] == "fast"


def test_parameters_that_the_endpoint_does_not_take() -> None:
    endpoint = replace(ENDPOINT, parameters=frozenset({"top_p", "reasoning"}))
    call = call_of({"temperature": 1, "top_p": 0.5})
    for encoded in (RELAY.request(call, endpoint, Quirks()), UPSTREAM.encode(CLIENT.decode(call), endpoint, Quirks())):
        body = msgspec.json.decode(encoded.body)
        assert (body.get("temperature"), body["top_p"]) == (None, 0.5)


# What leaves, from a client of another.


def test_a_conversation_of_another_dialect() -> None:
    thought = ReasoningPart(form="encrypted", text="gAAA", id="rs_1", format=OPENAI)
    readable = ReasoningPart(form="summary", text="Sum", id="rs_1", format=OPENAI)
    answered = Message(role="tool", tool_call_id="c1", parts=(TextPart("R"),), plain=True)
    turn = Message(role="assistant", parts=(readable, thought, TextPart("Let me see."), CALL))
    system = Message(role="system", parts=(TextPart("S"),), plain=True)
    body, losses = sent(asked(system, USER, turn, answered))
    assert losses == []
    assert body["instructions"] == "S"
    assert body["input"] == [
        {"role": "user", "content": "Hi"},
        {
            "type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Sum"}],
            "encrypted_content": "gAAA",
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "R"},
    ]  # fmt: skip
    assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])


def test_calls_and_outputs_that_lack_their_other_half() -> None:
    orphan = Message(role="tool", tool_call_id="c9", parts=(TextPart("R"),), plain=True)
    body, losses = sent(asked(USER, orphan, Message(role="assistant", parts=(CALL,)), USER))
    assert body["input"][1:] == [
        {"role": "user", "content": [{"type": "input_text", "text": "R"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "no output was given for this call"},
        {"role": "user", "content": "Hi"},
    ]
    assert losses == ["messages[1].tool_call_id", "messages[3].tool_call_id"]


@pytest.mark.parametrize(
    "part",
    [
        ReasoningPart(form="text", text="T", signature="S", format=ANTHROPIC),
        ReasoningPart(form="encrypted", text="S", id="c1", format=GEMINI),
        ReasoningPart(form="summary", text="T", id="rs_1", format=OPENAI),
    ],
)
def test_a_thought_that_this_provider_cannot_read(part: ReasoningPart) -> None:
    """Also OpenAI's own without its encrypted content: nothing is stored, so nobody knows it."""
    body, losses = sent(asked(USER, Message(role="assistant", parts=(part, TextPart("Hi."))), USER))
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user"]
    assert losses == ["messages[1].reasoning"]


def test_parts_of_every_kind() -> None:
    parts = (
        ImagePart("https://a.example/i.png"),
        FilePart(data="data:application/pdf;base64,QUJD", title="About"),
        FilePart(data="https://a.example/f.pdf", filename="f.pdf"),
        FilePart(text="plain"),
        FilePart(content=(TextPart("inner"),), citations=True),
        SearchResultPart(source="https://a.example", title="A", content=(TextPart("found"),)),
        AudioPart("QUJD", "mp3"),
        OpaquePart({"type": "x"}),
    )
    body, losses = sent(asked(Message(role="user", parts=parts)))
    assert body["input"][0]["content"] == [
        {"type": "input_image", "detail": "auto", "image_url": "https://a.example/i.png"},
        {"type": "input_text", "text": "About"},
        {"type": "input_file", "filename": "file.pdf", "file_data": "data:application/pdf;base64,QUJD"},
        {"type": "input_file", "file_url": "https://a.example/f.pdf"},
        {"type": "input_text", "text": "plain"},
        {"type": "input_text", "text": "inner"},
        {"type": "input_text", "text": "A\nhttps://a.example\nfound"},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
    ]
    assert losses == ["messages[0].content[4].citations", "messages[0].content[7]"]


@pytest.mark.parametrize(
    ("model", "marks"),
    [("gpt-5.6-sol", True), ("openai/gpt-6", True), ("gpt-5.5", False), ("gpt-5", False), ("o3", False)],
)
def test_cache_marks_where_the_model_takes_them(model: str, marks: bool) -> None:
    assert family_of(model).cache_breakpoints == marks
    message = Message(role="user", parts=(TextPart("A", cache=CacheMark("1h")), TextPart("B", cache=CacheMark())))
    body, losses = sent(asked(message), model=model)
    assert losses == []
    first, second = body["input"][0]["content"]
    assert first.get("prompt_cache_breakpoint") == ({"mode": "explicit", "ttl": "12h"} if marks else None)
    assert second.get("prompt_cache_breakpoint") == ({"mode": "explicit"} if marks else None)


def test_tools_of_another_dialect() -> None:
    tools = (
        Tool(kind="function", name="f", description="F", parameters=SCHEMA, cache=CacheMark()),
        Tool(kind="custom", name="g", format={"type": "text"}),
        Tool(kind="web_search_20250305", extra={"name": "web_search", "max_uses": 3, "allowed_domains": ["a.example"]}),
        Tool(kind="computer_20250124", extra={"name": "computer"}),
    )
    choice = ToolChoice(mode="tool", name="f")
    body, losses = sent(asked(tools=tools, tool_choice=choice, parallel_tool_calls=False))
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "F", "parameters": SCHEMA, "strict": False},
        {"type": "custom", "name": "g", "format": {"type": "text"}},
        {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}},
    ]
    assert body["tool_choice"] == {"type": "function", "name": "f"}
    assert body["parallel_tool_calls"] is False
    assert losses == ["tools[2].max_uses", "tools[3]"]


def test_settings_of_another_dialect() -> None:
    request = replace(
        asked(max_output=5, user="u", metadata={"a": "b"}, service_tier="standard_only", verbosity="low"),
        dialect="chat",
        sampling=Sampling(temperature=0.5, top_k=3, seed=1, stop=("x",), n=2, top_logprobs=2, logprobs=True),
        response_format=ResponseFormat(kind="json_schema", name="a b", schema=SCHEMA),
        extra={"logit": 1, "usage": {}},
    )
    body, losses = sent(request)
    assert body["max_output_tokens"] == 16
    assert (body["temperature"], body["top_logprobs"]) == (0.5, 2)
    assert "message.output_text.logprobs" in body["include"]
    assert body["service_tier"] == "default"
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "a_b", "schema": SCHEMA, "strict": False}, "verbosity": "low",
    }  # fmt: skip
    assert losses == ["top_k", "seed", "stop", "n", "logit"]


@pytest.mark.parametrize(
    ("asks", "wire"),
    [
        (Reasoning(effort="high"), {"effort": "high", "summary": "auto"}),
        (Reasoning(max_tokens=800), {"effort": "high", "summary": "auto"}),
        (Reasoning(effort="low", exclude=True), {"effort": "low"}),
        (Reasoning(enabled=False), {"effort": "none"}),
        (Reasoning(adaptive=True), {"summary": "auto"}),
        (Reasoning(adaptive=True, display="omitted"), None),
        (Reasoning(enabled=True, summary="detailed"), {"effort": "medium", "summary": "detailed"}),
    ],
)
def test_how_much_to_think(asks: Reasoning, wire: Any) -> None:
    assert sent(asked(reasoning=asks, max_output=1000))[0].get("reasoning") == wire


def test_what_cannot_be_said_is_reported() -> None:
    cited = TextPart("A", citations=(Citation(kind="url", url="u"),), extra={"y": 1})
    failed = Message(role="tool", tool_call_id="c1", parts=(TextPart("R"),), is_error=True)
    turn = Message(role="assistant", parts=(cited, CALL), name="n")
    _, losses = sent(
        asked(USER, turn, failed, Message(role="assistant", parts=(TextPart("So"),)), modalities=("audio",))
    )
    assert losses == [
        "messages[1].name", "messages[1].content[0].citations", "messages[1].content[0].y", "messages[2].is_error",
        "messages[3]", "modalities",
    ]  # fmt: skip


def test_a_chat_request() -> None:
    """From bytes to bytes."""
    chat = CLIENTS["chat"]
    told = {
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "reasoning_effort": "low",
    }
    body, losses = sent(chat.decode(chat.parse(msgspec.json.encode(told))))
    assert losses == []
    assert body == {
        "model": "gpt-5", "instructions": "S", "input": [{"role": "user", "content": "Hi"}], "store": False,
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}],
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
    }  # fmt: skip


# Counting.


def test_the_question_how_many_tokens() -> None:
    counter = COUNTERS["responses"]
    request = CLIENT.decode(call_of({"instructions": "I", "temperature": 1, "include": [], "stream": True}))
    assert counter.path("m") == "/responses/input_tokens"
    body = msgspec.json.decode(counter.encode(request, ENDPOINT, Quirks()).body)
    assert body == {"model": "small-1", "instructions": "I", "input": "Hi"}
    assert counter.decode(b'{"object":"response.input_tokens","input_tokens":11}') == 11
    for wrong in (b"{}", b'{"input_tokens":-1}', b'{"input_tokens":true}', b"[]", b"<html>"):
        with pytest.raises(UpstreamGarbled):
            counter.decode(wrong)
    told = msgspec.json.decode(CLIENT.counted(11, estimated=False))
    assert told == {"object": "response.input_tokens", "input_tokens": 11}


def test_a_thought_that_was_put_back() -> None:
    """Of an answer, as `common.signatures` remembers it: its parts share the id of their item."""
    thoughts = (
        ReasoningPart(form="summary", text="T", id="rs_1", format=OPENAI),
        ReasoningPart(form="encrypted", text="gAAA", id="rs_1", format=OPENAI),
    )
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    request = CLIENT.decode(call_of({"input": [call]}))
    (turn,) = request.messages
    body, losses = sent(replace(request, messages=(replace(turn, parts=(*thoughts, *turn.parts)),)))
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "T"}]}
    assert body["input"] == [{**thought, "encrypted_content": "gAAA"}, call]
    assert losses == []


OPENROUTER = Quirks(keep=("plugins", "reasoning"))


def test_openrouter_takes_what_its_clients_say() -> None:
    """Also what an official client could keep only because we packed it."""
    packed = {
        "type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "T"}],
        "encrypted_content": pack(ANTHROPIC, None, "S"),
    }  # fmt: skip
    marked = {"type": "input_text", "text": "A", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    items = [{"role": "user", "content": [marked]}, packed]
    body = relayed({"input": items, "top_k": 3, "cache_control": {"type": "ephemeral"}, "models": ["x"]}, OPENROUTER)
    assert body["input"][0] == items[0]
    assert body["input"][1] == {
        "type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "T"}],
        "signature": "S", "format": ANTHROPIC,
    }  # fmt: skip
    assert (body["top_k"], body["cache_control"]) == (3, {"type": "ephemeral"})
    assert "models" not in body


def test_thoughts_and_marks_of_another_dialect_for_openrouter() -> None:
    turn = Message(
        role="assistant",
        parts=(ReasoningPart(form="text", text="T", signature="S", format=ANTHROPIC), TextPart("Hi.")),
    )
    asks = Message(role="user", parts=(TextPart("A", cache=CacheMark("1h")),))
    body, losses = sent(asked(asks, turn, USER), OPENROUTER)
    assert losses == []
    assert body["input"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert body["input"][1] == {
        "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "T"}], "signature": "S",
        "format": ANTHROPIC,
    }  # fmt: skip


def test_optional_arguments_stay_optional_where_nobody_asked_for_strictness() -> None:
    """OpenAI's strict mode has every argument required; a tool that is not strict must not be made so."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    tool = Tool(kind="function", name="look", parameters=schema)
    request = Request(dialect="messages", messages=(USER,), tools=(tool,))
    quirks = Quirks(schema="openai_strict")
    (loose,) = msgspec.json.decode(UPSTREAM.encode(request, ENDPOINT, quirks).body)["tools"]
    assert (loose["parameters"], loose["strict"]) == (schema, False)
    strict = replace(request, tools=(replace(tool, strict=True),))
    (tight,) = msgspec.json.decode(UPSTREAM.encode(strict, ENDPOINT, quirks).body)["tools"]
    assert tight["parameters"]["required"] == ["a"]
    assert tight["strict"] is True
