"""What a chat client's request means, and what a chat answer says to clients of other dialects."""

from typing import Any

import msgspec
import pytest
from chat_help import CHAT, ENDPOINT, carry

from trunkline.dialects.common.openai_usage import decode as decode_usage
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_chat.request_native import to_wire
from trunkline.dialects.openai_chat.response_decoder import BodyDecoder
from trunkline.dialects.registry import RELAYS, UPSTREAMS
from trunkline.model.citation import Citation
from trunkline.model.errors import InvalidRequest
from trunkline.model.events import check
from trunkline.model.loss import Losses
from trunkline.model.request import (
    CacheMark,
    ImagePart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolChoice,
)
from trunkline.model.response import Response, fold
from trunkline.testing.golden import decode

HI = {"role": "user", "content": "Hi"}


def meant(*messages: dict[str, Any], **more: Any) -> Request:
    """What a body says; it comes back as it was."""
    body = {"messages": list(messages) or [HI], **more}
    request = CHAT.decode(CHAT.parse(msgspec.json.encode(body)))
    assert to_wire(request) == body
    return request


def said(**fields: Any) -> tuple[Any, ...]:
    """The parts of an assistant's message."""
    return meant({"role": "assistant", **fields}).messages[0].parts


EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}


def test_cache_marks() -> None:
    text = {"type": "text", "text": "a", "cache_control": EPHEMERAL}
    openai = {"type": "text", "text": "b", "prompt_cache_breakpoint": {"mode": "explicit"}}
    both = {**text, "prompt_cache_breakpoint": {"mode": "explicit"}}
    more = {"type": "text", "text": "c", "cache_control": {"type": "ephemeral", "ttl": None, "x": 1}}
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}
    request = meant(
        {"role": "user", "content": [text, openai, both, more]},
        {"role": "tool", "tool_call_id": "c", "content": "3", "cache_control": EPHEMERAL},
        tools=[tool],
        cache_control={"type": "ephemeral"},
    )
    hour, usual = CacheMark(ttl="1h"), CacheMark()
    assert [part.cache for part in request.messages[0].parts if isinstance(part, TextPart)] == [
        hour, CacheMark(spelling="prompt_cache_breakpoint"), hour, usual,
    ]  # fmt: skip
    assert request.messages[1].cache == hour
    assert request.tools is not None
    assert request.tools[0].cache == usual
    assert request.cache == usual


@pytest.mark.parametrize(
    "fields", [{"reasoning": "hm"}, {"reasoning_content": "hm"}, {"reasoning": "hm", "reasoning_content": "hm"}]
)
def test_a_thought_that_is_a_string(fields: dict[str, Any]) -> None:
    (thought, _) = said(content="a", **fields)
    assert (thought.form, thought.text) == ("plain", "hm")
    losses = Losses()
    losses.extra("", thought.extra, "")
    assert not losses, "how it was spelled is no loss"


def test_details_say_more_than_the_string_beside_them() -> None:
    details = [
        {"type": "reasoning.text", "text": "h", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.summary", "summary": "m", "format": "openai-responses-v1", "id": "rs_1"},
        {"type": "reasoning.encrypted", "data": "x", "id": "call_1", "format": "google-gemini-v1"},
        {"type": "reasoning.server_tool_call", "tool_name": "t", "arguments": "{}", "result": "r"},
    ]
    parts = said(content="a", reasoning="hm", reasoning_details=details)
    thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
    assert [(part.form, part.text, part.signature, part.format, part.id) for part in thoughts] == [
        ("text", "h", "s", "anthropic-claude-v1", None),
        ("summary", "m", None, "openai-responses-v1", "rs_1"),
        ("encrypted", "x", None, "google-gemini-v1", "call_1"),
    ]
    assert isinstance(parts[3], OpaquePart)
    request = meant({"role": "assistant", "content": "a", "reasoning": "other", "reasoning_details": details})
    assert request.messages[0].extra == {"reasoning": "other"}
    assert (
        meant({"role": "assistant", "content": "a", "reasoning": "hm", "reasoning_details": details}).messages[0].extra
        == {}
    )


def test_annotations_are_citations_of_the_text() -> None:
    inner = {"url": "https://a", "title": "A", "start_index": 0, "end_index": 1}
    notes = [{"type": "url_citation", "url_citation": inner}, {"type": "file", "file": {"hash": "h"}}]
    (text,) = said(content="a", annotations=notes)
    assert text.citations == (
        Citation(kind="url", url="https://a", title="A", begin=0, end=1, native=notes[0]),
        Citation(kind="opaque", native=notes[1]),
    )
    (text,) = said(content=[{"type": "text", "text": "a"}], annotations=notes)
    assert len(text.citations) == 2
    two = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert not any(part.citations for part in said(content=two, annotations=notes))
    said(content="a", annotations=[])
    said(content="a", annotations=[{}])


def test_what_stands_beside_the_content() -> None:
    assert said(content=None, refusal="no") == (RefusalPart("no", extra={"refusal": None}),)
    (part,) = said(images=[{"type": "image_url", "image_url": {"url": "https://i", "detail": "low"}}])
    assert isinstance(part, ImagePart)
    assert (part.url, part.detail) == ("https://i", "low")
    said(images=[{"image_url": {"url": "https://i"}, "index": 0}])
    (part,) = said(content=None, audio={"id": "audio_1", "transcript": "Hello", "data": "AA=="})
    assert part.text == "Hello"
    assert said(content=None, audio={"id": "audio_1"}) == ()
    said(content="a", audio={"id": "audio_1", "transcript": "Hello"})
    part = {"type": "image_url", "image_url": {"url": "u"}, "images": None}
    assert said(content=[part]) == (OpaquePart(part),)


def test_functions_of_old() -> None:
    request = meant(
        HI,
        {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}},
        {"role": "function", "name": "add", "content": "3"},
        functions=[{"name": "add", "parameters": {"type": "object"}}],
        function_call={"name": "add"},
    )
    call = request.messages[1].parts[0]
    assert isinstance(call, ToolCallPart)
    assert (request.messages[2].role, request.messages[2].tool_call_id) == ("tool", call.id)
    assert request.tools is not None
    assert request.tools[0].name == "add"
    assert request.tool_choice == ToolChoice(mode="tool", name="add")
    assert meant(function_call="auto").tool_choice == ToolChoice(mode="auto")
    with pytest.raises(InvalidRequest) as caught:
        meant({"role": "function", "content": "3"})
    assert caught.value.param == "messages[0].name"


def test_custom_tools_and_choices() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
    custom = {"type": "custom", "custom": {"name": "p", "description": "d", "format": grammar}}
    request = meant(tools=[custom], tool_choice={"type": "custom", "custom": {"name": "p"}})
    assert request.tools is not None
    tool = request.tools[0]
    assert (tool.kind, tool.name, tool.description) == ("custom", "p", "d")
    assert tool.format == {"type": "grammar", "syntax": "lark", "definition": "x"}
    assert request.tool_choice == ToolChoice(mode="tool", kind="custom", name="p")
    names = [{"type": "function", "function": {"name": "f"}}]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": names}}
    assert meant(tool_choice=allowed).tool_choice == ToolChoice(mode="allowed", names=("f",), required=True)
    odd = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "mcp"}]}}
    choice = meant(tool_choice=odd).tool_choice
    assert choice is not None
    assert choice.mode == "opaque"


def test_flat_tools_are_made_chats() -> None:
    flat = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": None, "x": 1}
    free = {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
    nested = {"type": "function", "function": {"name": "g"}}
    call = CHAT.parse(msgspec.json.encode({"messages": [HI], "tools": [flat, free, nested]}))
    for encoded in (
        RELAYS["chat", "chat"].request(call, ENDPOINT, Quirks()),
        UPSTREAMS["chat"].encode(CHAT.decode(call), ENDPOINT, Quirks()),
    ):
        grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
        assert msgspec.json.decode(encoded.body)["tools"] == [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": None}, "x": 1},
            {"type": "custom", "custom": {"name": "p", "format": grammar}},
            nested,
        ]


def both_ways(quirks: Quirks, *messages: dict[str, Any], **more: Any) -> tuple[dict[str, Any], list[str]]:
    """What leaves, and the paths of the losses: the same either way."""
    call = CHAT.parse(msgspec.json.encode({"messages": [HI, *messages], **more}))
    relayed = RELAYS["chat", "chat"].request(call, ENDPOINT, quirks)
    translated = UPSTREAMS["chat"].encode(CHAT.decode(call), ENDPOINT, quirks)
    body = msgspec.json.decode(relayed.body)
    assert body == msgspec.json.decode(translated.body)
    assert relayed.losses == translated.losses
    return body, [loss.path for loss in relayed.losses]


DETAIL = {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize(
    ("given_", "lost"),
    [
        ({"reasoning": "hm"}, []),
        ({"reasoning_content": "hm"}, []),
        ({"reasoning": "hm", "reasoning_content": "hm"}, []),
        ({"reasoning": "hm", "reasoning_details": [DETAIL]}, ["messages[1].reasoning_details[0]"]),
        ({"reasoning_details": [DETAIL]}, ["messages[1].reasoning_details[0]"]),
        ({"reasoning_details": [{**DETAIL, "signature": None}]}, []),
    ],
)
def test_thoughts_go_back_under_the_providers_name(field: Any, given_: Any, lost: list[str]) -> None:
    body, found = both_ways(Quirks(reasoning_field=field), {"role": "assistant", "content": "a", **given_})
    assert body["messages"][1] == {"role": "assistant", "content": "a", field: "hm"}
    assert found == lost


def test_without_a_quirk_thoughts_go_back_as_they_came() -> None:
    message = {"role": "assistant", "content": "a", "reasoning": "hm", "reasoning_details": [DETAIL]}
    for field in (None, "reasoning_details"):
        body, lost = both_ways(Quirks(reasoning_field=field), message)
        assert body["messages"][1] == message
        assert not lost


def test_geminis_signatures_go_back_on_the_calls() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    sign = {"type": "reasoning.encrypted", "data": "c2ln", "id": "call_1", "format": "google-gemini-v1"}
    message = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_details": [sign]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "3"}
    body, _ = both_ways(Quirks(reasoning_format="google-gemini-v1"), message, result)
    assert body["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**call, "extra_content": {"google": {"thought_signature": "c2ln"}}}],
    }


@pytest.mark.parametrize(
    ("kind", "given_", "sent", "lost"),
    [
        ("thinking", {"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}}, ["reasoning.effort"]),
        ("thinking", {"reasoning": {"enabled": False}}, {"thinking": {"type": "disabled"}}, []),
        ("thinking", {"reasoning": {"effort": "low"}, "thinking": {"type": "x"}}, {"thinking": {"type": "x"}}, []),
        ("enable_thinking", {"reasoning": {"max_tokens": 9}}, {"enable_thinking": True, "thinking_budget": 9}, []),
        ("enable_thinking", {"reasoning_effort": "none"}, {"enable_thinking": False}, []),
        ("reasoning", {"reasoning": {"max_tokens": 9}}, {"reasoning": {"max_tokens": 9}}, []),
    ],
)
def test_the_providers_words_for_thinking(kind: Any, given_: Any, sent: Any, lost: list[str]) -> None:
    body, found = both_ways(Quirks(reasoning_request=kind), **given_)
    assert {key: value for key, value in body.items() if "reason" in key or "think" in key} == sent
    assert found == lost


def test_what_is_left_out_is_lost() -> None:
    body, lost = both_ways(Quirks(drop=("seed", "user"), body={"reasoning_split": True}), seed=1, user=None)
    assert set(body) == {"model", "messages", "reasoning_split"}
    assert lost == ["seed"]
    body, _ = both_ways(Quirks(model_in_body=False), model="m")
    assert "model" not in body


def answered(message: dict[str, Any], **more: Any) -> tuple[Response, bytes]:
    """What a body means, and what a client of chat gets of it."""
    whole = {"role": "assistant", "content": None, **message}
    body = {"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": whole}], **more}
    raw = msgspec.json.encode(body)
    events, error = decode(BodyDecoder(), [raw])
    assert error is None
    check(events)
    return fold(events), carry("translate", [raw], sse=False, stream=False).out


def test_a_calls_signature_is_a_thought_before_it() -> None:
    call = {
        "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }  # fmt: skip
    response, out = answered({"tool_calls": [call]})
    thought, made = response.choices[0].parts
    assert (thought.kind, thought.form, thought.format, thought.id, thought.text) == (
        "reasoning", "encrypted", "google-gemini-v1", "call_1", "c2ln",
    )  # fmt: skip
    assert made.kind == "tool_call"
    message = msgspec.json.decode(out)["choices"][0]["message"]
    assert message["tool_calls"] == [{"index": 0, **call}]
    assert "reasoning_details" not in message


@pytest.mark.parametrize(
    ("top", "cited"),
    [
        (
            {
                "search_results": [{"url": "https://a", "title": "A", "snippet": "s"}, {"no": 1}],
                "citations": ["https://a"],
            },
            (Citation(kind="url", url="https://a", title="A", cited_text="s"),),
        ),
        ({"citations": ["https://a", 3]}, (Citation(kind="url", url="https://a"),)),
        ({"citations": {}, "search_results": "x"}, ()),
    ],
)
def test_sources_of_the_answer_are_citations_for_others(top: dict[str, Any], cited: tuple[Citation, ...]) -> None:
    response, out = answered({"content": "Hi [1]"}, **top)
    assert tuple(response.choices[0].parts[0].citations) == cited
    body = msgspec.json.decode(out)
    assert "annotations" not in body["choices"][0]["message"]
    assert {key: body[key] for key in top} == top


def test_annotations_are_preferred_to_sources() -> None:
    note = {
        "type": "url_citation",
        "url_citation": {"url": "https://b", "title": "B", "start_index": 0, "end_index": 1},
    }
    response, out = answered({"content": "Hi", "annotations": [note]}, citations=["https://a"])
    assert [citation.url for citation in response.choices[0].parts[0].citations] == ["https://b"]
    assert msgspec.json.decode(out)["choices"][0]["message"]["annotations"] == [note]


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}},
        {"prompt_tokens_details": {"cached_tokens": 4, "cache_creation_tokens": 3}},
        {"prompt_tokens_details": {"cached_tokens": 4, "cache_creation_input_tokens": 3}},
        {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
    ],
)
def test_written_tokens_by_any_name(more: dict[str, Any]) -> None:
    usage = decode_usage({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, **more})
    assert usage is not None
    assert (usage.cached, usage.cache_write, usage.inconsistent) == (4, 3, False)
