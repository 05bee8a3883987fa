"""Requests of chat: nothing of the client's is lost, and what is ours stays here."""

from typing import Any

import msgspec
import pytest
from chat_help import CHAT, ENDPOINT
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_chat.request_decoder import PARTS
from trunkline.dialects.openai_chat.request_encoder import DROPPABLE, OURS
from trunkline.dialects.openai_chat.request_native import to_wire
from trunkline.dialects.openai_chat.request_schema import NEEDS, ChatBody
from trunkline.dialects.openai_chat.vocabulary import SAMPLING
from trunkline.dialects.registry import RELAYS, UPSTREAMS
from trunkline.model.errors import InvalidRequest
from trunkline.model.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    VideoPart,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
TEXT = st.text(max_size=8)
MARKS = {
    "cache_control": st.sampled_from(
        [{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, {"ttl": None}, {"x": 1}]
    ),
    "prompt_cache_breakpoint": st.sampled_from([{"mode": "explicit"}, {"mode": "explicit", "ttl": None}, "x"]),
}
UNKNOWN = st.dictionaries(st.sampled_from(["x_a", "x_b", "tool_call", "reasoning_detail"]), JSON, max_size=2)
ANNOTATION = st.sampled_from([{"type": "url_citation", "url_citation": {"url": "u"}}, {"type": "file"}, {}])
IMAGE = {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}
EFFORT = st.sampled_from(["max", "high", "low", "none"])


def some(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]], null: bool = True) -> dict[str, Any]:
    """Some of *fields*, some of them null, and unknown ones beside them."""
    found = dict(draw(UNKNOWN))
    for key, values in fields.items():
        if draw(st.booleans()):
            found[key] = draw(st.none() | values if null else values)
    return found


@st.composite
def parts(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([*NEEDS, "novel"]))
    part = some(draw, MARKS)
    part["type"] = kind
    match NEEDS.get(kind):
        case "text" | "refusal":
            part[NEEDS[kind]] = draw(TEXT)
        case "image_url":
            part["image_url"] = some(draw, {"detail": TEXT}) | {"url": draw(TEXT)}
        case "input_audio":
            part["input_audio"] = some(draw, {}) | {"data": draw(TEXT), "format": draw(TEXT)}
        case "video_url":
            part["video_url"] = some(draw, {"processing": TEXT}) | {"url": draw(TEXT)}
        case "file":
            part["file"] = some(draw, {"file_data": TEXT, "filename": TEXT, "file_id": TEXT})
        case _:
            pass
    return part


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    call = some(draw, {}) | {"id": draw(TEXT)}
    if draw(st.booleans()):
        call |= {"type": "custom", "custom": some(draw, {}) | {"name": draw(TEXT), "input": draw(TEXT)}}
    else:
        call["function"] = some(draw, {}) | {"name": draw(TEXT), "arguments": draw(TEXT)}
        if draw(st.booleans()):
            call["type"] = draw(st.sampled_from(["function", "novel"]))
    return call


@st.composite
def details(draw: st.DrawFn) -> dict[str, Any]:
    fields = dict.fromkeys(("text", "summary", "data", "signature", "format", "id"), TEXT) | {
        "index": st.integers(0, 3)
    }
    kinds = ["reasoning.text", "reasoning.summary", "reasoning.encrypted", "reasoning.server_tool_call", "novel"]
    return some(draw, fields) | {"type": draw(st.sampled_from(kinds))}


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    role = draw(st.sampled_from(["system", "user", "assistant", "tool", "function"]))
    message = some(draw, {"name": TEXT, **MARKS})
    message["role"] = role
    if role == "assistant":
        message |= some(
            draw,
            {
                "content": TEXT | st.lists(parts(), max_size=3),
                "tool_calls": st.lists(calls(), max_size=2),
                "reasoning": TEXT,
                "reasoning_content": TEXT,
                "reasoning_details": st.lists(details(), max_size=2),
                "refusal": TEXT,
                "function_call": st.just({"name": "f", "arguments": "{}", "x": 1}),
                "annotations": st.lists(ANNOTATION, max_size=2),
                "audio": st.sampled_from(
                    [{"id": "a"}, {"transcript": "t"}, {"id": "a", "data": "", "transcript": "t"}]
                ),
                "images": st.lists(st.sampled_from([{"image_url": {"url": "u"}}, IMAGE, {**IMAGE, "x": None}])),
            },
        )
    elif role == "system":
        message["content"] = draw(TEXT)
    else:
        message["content"] = draw(TEXT | st.lists(parts(), max_size=3))
    if role == "function":
        message["name"] = draw(st.sampled_from(["f", "g"]))
    if role == "tool":
        message["tool_call_id"] = draw(st.text(min_size=1, max_size=4))
    return message


GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
ALLOWED = [{"type": "function", "function": {"name": "f"}}]


@st.composite
def tools(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return some(draw, {"parameters": UNKNOWN, **MARKS}) | {
            "type": draw(st.sampled_from(["openrouter:web_search", "novel"]))
        }
    if draw(st.booleans()):
        format_ = st.sampled_from([GRAMMAR, {"type": "text"}, {**GRAMMAR, "x": 1}])
        return some(draw, MARKS) | {"type": "custom", "custom": some(draw, {"format": format_}) | {"name": "c"}}
    function = some(draw, {"description": TEXT, "parameters": UNKNOWN, "strict": st.booleans()}) | {"name": "f"}
    return some(draw, MARKS) | {"function": function} | draw(st.sampled_from([{}, {"type": "function"}]))


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    body = some(
        draw,
        {
            "model": TEXT,
            "stream": st.booleans(),
            "stream_options": st.just({"include_usage": False, "x": 1}),
            "max_tokens": st.integers(1, 9),
            "max_completion_tokens": st.integers(1, 9),
            "temperature": st.sampled_from([0, 1, 0.5, 2]),
            "logit_bias": st.just({"1": 5}),
            "logprobs": st.booleans(),
            "top_logprobs": st.integers(0, 20),
            "seed": st.integers(-5, 2**62),
            "n": st.integers(1, 3),
            "stop": TEXT | st.lists(TEXT, max_size=4),
            "tools": st.lists(tools(), max_size=2),
            "parallel_tool_calls": st.booleans(),
            "user": TEXT,
            "metadata": st.dictionaries(st.sampled_from(["a", "b"]), TEXT),
            "modalities": st.lists(st.sampled_from(["text", "audio"])),
            "verbosity": st.just("low"),
            "service_tier": st.just("auto"),
            "tool_choice": st.sampled_from(
                [
                    "auto",
                    {"type": "function", "function": {"name": "f", "x": 1}, "x": 1},
                    {"type": "novel", "a": 1},
                    {"type": "custom", "custom": {"name": "c"}},
                    {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": ALLOWED}, "x": 1},
                    {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "novel"}]}},
                ]
            ),
            "response_format": st.sampled_from(
                [
                    {"type": "text"},
                    {"type": "json_schema", "json_schema": {"name": "s", "schema": {}, "strict": None, "x": 1}, "x": 1},
                    {"type": "grammar", "grammar": "g"},
                ]
            ),
            "plugins": st.just([{"id": "web"}]),
            "functions": st.just([{"name": "f", "x": 1}]),
            "function_call": st.sampled_from(["none", {"name": "f", "x": 1}]),
            "cache_control": st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": None}]),
        },
    )
    effort = draw(EFFORT)
    if draw(st.booleans()):
        body["reasoning"] = draw(
            st.sampled_from(
                [None, {}, {"effort": effort, "x": 1}, {"max_tokens": 5, "effort": None}, {"enabled": True}]
            )
        )
    if draw(st.booleans()):
        body["reasoning_effort"] = draw(st.sampled_from([None, effort]))
    body["messages"] = draw(st.lists(messages(), min_size=1, max_size=4))
    return body


@given(body=bodies())
def test_what_a_client_said_comes_back(body: dict[str, Any]) -> None:
    call = CHAT.parse(msgspec.json.encode(body))
    assert to_wire(CHAT.decode(call)) == body


@given(
    body=bodies(),
    quirks=st.builds(
        Quirks,
        stream_usage=st.booleans(),
        max_output_field=st.sampled_from([None, "max_tokens", "max_completion_tokens"]),
        drop=st.sampled_from([(), ("user", "seed")]),
        keep=st.sampled_from([(), ("reasoning",), ("plugins",)]),
    ),
    parameters=st.sampled_from([frozenset[str](), frozenset({"temperature", "seed"})]),
)
def test_both_ways_send_the_same(body: dict[str, Any], quirks: Quirks, parameters: frozenset[str]) -> None:
    endpoint = replace(ENDPOINT, parameters=parameters)
    sent = send(body, quirks, endpoint=endpoint)
    assert sent["model"] == "small-1"
    assert OURS.isdisjoint(set(sent) - set(quirks.keep))
    for key, value in body.items():
        if key.startswith("x_") or key in ("messages", "tools", "tool_choice", "response_format", "metadata"):
            assert sent[key] == value, "unknown fields reach the upstream"
    assert set(quirks.drop).isdisjoint(sent)
    if parameters:
        assert (DROPPABLE & set(sent)) <= parameters


def send(body: dict[str, Any], quirks: Quirks = Quirks(), endpoint: Any = ENDPOINT) -> dict[str, Any]:  # noqa: B008
    """What leaves for the upstream, which is the same either way."""
    call = CHAT.parse(msgspec.json.encode(body))
    relayed: dict[str, Any] = msgspec.json.decode(RELAYS["chat", "chat"].request(call, endpoint, quirks).body)
    translated = msgspec.json.decode(UPSTREAMS["chat"].encode(CHAT.decode(call), endpoint, quirks).body)
    assert translated == relayed
    return relayed


HI = [{"role": "user", "content": "Hi"}]


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "acme/small", "messages": HI, **fields}


def test_ours_is_removed_unless_the_provider_keeps_it() -> None:
    ours: dict[str, Any] = dict.fromkeys(OURS) | {"plugins": [{"id": "web"}], "transforms": []}
    assert set(send(chat(**ours))) == {"model", "messages"}
    assert set(send(chat(**ours), Quirks(keep=("plugins", "transforms")))) == {
        "model",
        "messages",
        "plugins",
        "transforms",
    }


@pytest.mark.parametrize(
    ("given_", "sent"),
    [
        ({"reasoning": {"effort": "high"}}, "high"),
        ({"reasoning": {"enabled": True}}, "medium"),
        ({"reasoning": {"max_tokens": 100}}, "medium"),
        ({"reasoning": {"enabled": False}}, "none"),
        ({"reasoning": {"effort": "low", "enabled": False}}, "low"),
        ({"reasoning": {}}, None),
        ({"reasoning": {"exclude": True}}, None),
        ({"reasoning": None}, None),
        ({"reasoning": {"effort": "high"}, "reasoning_effort": "high"}, "high"),
        ({"reasoning": {"max_tokens": 9}, "reasoning_effort": "low"}, "low"),
    ],
)
def test_reasoning_in_the_short_word(given_: dict[str, Any], sent: str | None) -> None:
    assert send(chat(**given_)).get("reasoning_effort") == sent


@pytest.mark.parametrize(
    ("field", "given_", "sent"),
    [
        (None, {"max_tokens": 5}, {"max_tokens": 5}),
        ("max_completion_tokens", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("max_tokens", {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ("max_tokens", {"max_completion_tokens": 5, "max_tokens": 7}, {"max_tokens": 5}),
        ("max_completion_tokens", {"max_completion_tokens": 5, "max_tokens": 7}, {"max_completion_tokens": 5}),
        ("max_tokens", {"max_completion_tokens": None, "max_tokens": 7}, {"max_tokens": 7}),
        ("max_completion_tokens", {"max_completion_tokens": None, "max_tokens": 7}, {"max_completion_tokens": 7}),
        ("max_tokens", {}, {}),
    ],
)
def test_the_output_limit_under_the_name_that_is_taken(field: Any, given_: dict[str, Any], sent: Any) -> None:
    found = send(chat(**given_), Quirks(max_output_field=field))
    assert {key: value for key, value in found.items() if key.startswith("max_")} == sent


@pytest.mark.parametrize(
    ("given_", "usage", "sent"),
    [
        ({"stream": True}, True, {"include_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": False, "x": 1}}, True, {"include_usage": True, "x": 1}),
        ({"stream": True, "stream_options": None}, True, {"include_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": True}}, False, None),
        ({"stream_options": {"include_usage": True}}, True, None),
        ({"stream": False}, True, None),
    ],
)
def test_usage_is_asked_for_where_it_is_given(given_: dict[str, Any], usage: bool, sent: Any) -> None:
    assert send(chat(**given_), Quirks(stream_usage=usage)).get("stream_options") == sent


def test_parameters_that_an_endpoint_lacks_are_left_out() -> None:
    given_ = chat(temperature=1, seed=1, top_k=2, n=2, tools=[], max_tokens=5)
    endpoint = replace(ENDPOINT, parameters=frozenset({"temperature"}))
    assert set(send(given_, endpoint=endpoint)) == {"model", "messages", "temperature", "n", "tools", "max_tokens"}
    assert "seed" in send(given_)


def test_what_routing_reads() -> None:
    call = CHAT.parse(
        msgspec.json.encode(
            chat(
                models=["a", "b"],
                stream=True,
                stream_options={"include_usage": True},
                max_tokens=5,
                n=2,
                provider={"only": ["acme"], "sort": {"by": "price"}},
                session_id="s",
                user="u",
            )
        )
    )
    assert (call.model, call.models, call.stream, call.max_output) == ("acme/small", ("a", "b"), True, 5)
    assert (call.choices, call.wants_usage, call.session_id, call.user) == (2, True, "s", "u")
    assert call.preferences.only == ["acme"]
    assert CHAT.parse(msgspec.json.encode(chat(max_tokens=5, max_completion_tokens=6))).max_output == 6
    assert CHAT.parse(msgspec.json.encode(chat(max_tokens=5, max_completion_tokens=None))).max_output == 5


def test_a_request_of_another_dialect_is_written_from_the_vocabulary_alone() -> None:
    parts_ = (TextPart("t", extra={"theirs": 1}), ImagePart("u"), AudioPart("d", "wav"), VideoPart("v"), FilePart("f"))
    assistant = (ReasoningPart("text", "hm", signature="s"), ToolCallPart("id", "f", "{}", extra={"theirs": 1}))
    request = Request(
        dialect="messages",
        messages=(Message(role="user", parts=parts_), Message(role="assistant", parts=assistant)),
        max_output=5,
        tools=(Tool(kind="function", name="f", extra={"theirs": 1}),),
        extra={"theirs": 1},
    )
    quirks = Quirks(reasoning_field="reasoning_details")
    sent = msgspec.json.decode(UPSTREAMS["chat"].encode(request, ENDPOINT, quirks).body)
    assert b"theirs" not in msgspec.json.encode(sent)
    assert [part["type"] for part in sent["messages"][0]["content"]] == [
        "text", "image_url", "input_audio", "video_url", "file",
    ]  # fmt: skip
    assert sent["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "id", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}],
    }
    assert sent["max_completion_tokens"] == 5
    CHAT.parse(msgspec.json.encode(sent))


def test_a_value_nobody_can_hold_is_the_callers_fault_on_either_way() -> None:
    body = b'{"messages":[{"role":"user","content":"Hi"}],"novel":' + b"9" * 5000 + b"}"
    call = CHAT.parse(body)
    with pytest.raises(InvalidRequest):
        CHAT.decode(call)


def test_tables_are_total() -> None:
    known = set(ChatBody.__struct_fields__)
    assert set(SAMPLING) <= known
    assert set(NEEDS) == set(PARTS)
    assert OURS - known <= {"gateway", "x_search_filter"}
