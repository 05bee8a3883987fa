"""Messages requests: what is taken and what is refused, and what it means in our words.

Source: OpenRouter's OpenAPI document, `MessagesRequest`.
"""

from typing import Any

import msgspec
import pytest
from messages_help import CLIENT, ENDPOINT, RELAY, Wire, call_of
from msgspec.structs import replace

from trunkline.dialects.common.reasoning import ANTHROPIC, GEMINI, OPENAI, pack
from trunkline.dialects.interfaces import Quirks
from trunkline.model.errors import InvalidRequest
from trunkline.model.request import (
    CacheMark,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Reasoning,
    ReasoningPart,
    Request,
    SearchResultPart,
    TextPart,
    ToolCallPart,
    ToolChoice,
)

TEXT: Wire = {"type": "text", "text": "Hi"}
PNG: Wire = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def user(*blocks: Any) -> Wire:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def decoded(body: Any = None) -> Request:
    return CLIENT.decode(call_of(body))


def parts(*blocks: Any) -> tuple[Any, ...]:
    return decoded(user(*blocks)).messages[0].parts


def relayed(body: Wire, quirks: Quirks | None = None) -> Wire:
    found: Wire = msgspec.json.decode(RELAY.request(call_of(body), ENDPOINT, quirks or Quirks()).body)
    return found


AT = "messages[0].content[0]"
WRONG: list[tuple[Wire, str]] = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    (user("Hi"), AT),
    (user({}), f"{AT}.type"),
    (user({"type": 5}), f"{AT}.type"),
    (user({"type": "text"}), f"{AT}.text"),
    (user({"type": "text", "text": 5}), f"{AT}.text"),
    (user({**TEXT, "cache_control": {}}), f"{AT}.cache_control.type"),
    (user({**TEXT, "cache_control": {"type": "persistent"}}), f"{AT}.cache_control.type"),
    (user({**TEXT, "cache_control": {"type": "ephemeral", "ttl": "2h"}}), f"{AT}.cache_control.ttl"),
    (user({"type": "image"}), f"{AT}.source"),
    (user({"type": "image", "source": "x"}), f"{AT}.source"),
    (user({"type": "image", "source": {}}), f"{AT}.source.type"),
    (user({"type": "image", "source": {"type": "base64", "data": "x"}}), f"{AT}.source.media_type"),
    (user({"type": "image", "source": {"type": "base64", "media_type": "image/png"}}), f"{AT}.source.data"),
    (user({"type": "image", "source": {"type": "url"}}), f"{AT}.source.url"),
    (user({"type": "image", "source": {"type": "file"}}), f"{AT}.source.file_id"),
    (user({"type": "document", "source": {"type": "text"}}), f"{AT}.source.data"),
    (user({"type": "document", "source": {"type": "content"}}), f"{AT}.source.content"),
    (user({"type": "document", "source": {"type": "content", "content": 5}}), f"{AT}.source.content"),
    (user({"type": "document", "source": {"type": "content", "content": [5]}}), f"{AT}.source.content[0]"),
    (
        user({"type": "document", "source": {"type": "content", "content": [{"type": "text"}]}}),
        f"{AT}.source.content[0].text",
    ),
    (user({"type": "document", "source": PNG, "title": 5}), f"{AT}.title"),
    (user({"type": "tool_use", "name": "f"}), f"{AT}.id"),
    (user({"type": "tool_use", "id": "a"}), f"{AT}.name"),
    (user({"type": "tool_use", "id": 5, "name": "f"}), f"{AT}.id"),
    (user({"type": "tool_result"}), f"{AT}.tool_use_id"),
    (user({"type": "tool_result", "tool_use_id": "a", "content": 5}), f"{AT}.content"),
    (user({"type": "tool_result", "tool_use_id": "a", "content": ["x"]}), f"{AT}.content[0]"),
    (user({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}), f"{AT}.content[0].text"),
    (user({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image"}]}), f"{AT}.content[0].source"),
    (
        user({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image", "source": {"type": "url"}}]}),
        f"{AT}.content[0].source.url",
    ),
    (
        user({"type": "tool_result", "tool_use_id": "a", "content": [{**TEXT, "cache_control": 5}]}),
        f"{AT}.content[0].cache_control",
    ),
    (user({"type": "tool_result", "tool_use_id": "a", "is_error": "yes"}), f"{AT}.is_error"),
    (user({"type": "thinking"}), f"{AT}.thinking"),
    (user({"type": "thinking", "thinking": "Hm.", "signature": 5}), f"{AT}.signature"),
    (user({"type": "redacted_thinking"}), f"{AT}.data"),
    (user({"type": "server_tool_use", "name": "web_search"}), f"{AT}.id"),
    (user({"type": "search_result", "title": "T"}), f"{AT}.source"),
    (user({"type": "search_result", "source": "s"}), f"{AT}.title"),
    (user({"type": "search_result", "source": {"type": "url"}, "title": "T"}), f"{AT}.source"),
    ({"model": 5}, "model"),
    ({"model": None}, "model"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "9"}, "max_tokens"),
    ({"system": 5}, "system"),
    ({"system": [{"text": "x"}]}, "system[0].type"),
    ({"system": [{"type": "text"}]}, "system[0].text"),
    ({"stream": "yes"}, "stream"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": 3}, "temperature"),
    ({"top_p": 2}, "top_p"),
    ({"top_k": 0.5}, "top_k"),
    ({"stop_sequences": "END"}, "stop_sequences"),
    ({"stop_sequences": [5]}, "stop_sequences[0]"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "f", "input_schema": "x"}]}, "tools[0].input_schema"),
    ({"tools": [{"type": "custom", "name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"type": 5}]}, "tools[0].type"),
    ({"tools": [{"type": "bash_20250124", "name": 5}]}, "tools[0].name"),
    ({"tool_choice": "auto"}, "tool_choice"),
    ({"tool_choice": {"type": "perhaps"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "any", "disable_parallel_tool_use": 5}}, "tool_choice.disable_parallel_tool_use"),
    ({"thinking": {}}, "thinking.type"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
    ({"output_config": {"effort": "extreme"}}, "output_config.effort"),
    ({"output_config": {"format": {}}}, "output_config.format.type"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ({"context_management": []}, "context_management"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ({"speed": "slow"}, "speed"),
    ({"cache_control": {"ttl": "5m"}}, "cache_control.type"),
    ({"models": "m"}, "models"),
    ({"fallbacks": [{}]}, "fallbacks[0].model"),
    ({"fallbacks": [{"model": "m", "max_tokens": 5}]}, "fallbacks[0].max_tokens"),
    ({"fallbacks": [{"model": "m"}] * 4}, "fallbacks"),
    ({"fallbacks": [{"model": "m"}], "models": ["n"]}, "fallbacks"),
    ({"route": "best"}, "route"),
    ({"user": "u" * 257}, "user"),
    ({"session_id": "s" * 257}, "session_id"),
    ({"stop_server_tools_when": []}, "stop_server_tools_when"),
    ({"provider": {"order": 5}}, "provider.order"),
]


@pytest.mark.parametrize(("body", "param"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_refused(body: Wire, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call_of(body)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"messages":[{"role":"user","content":"x"}]'])
def test_bodies_that_are_none(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        CLIENT.parse(body)


def test_without_messages() -> None:
    for body in (b'{"model":"m"}', b'{"model":"m","messages":null}', b'{"model":"m","messages":[]}'):
        with pytest.raises(InvalidRequest, match="messages is required") as caught:
            CLIENT.parse(body)
        assert caught.value.param == "messages"


@pytest.mark.parametrize("key", ["model", "messages", "provider"])
def test_nothing_that_counts_is_said_twice(key: str) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"provider":{},"%s":null}' % key.encode()
    with pytest.raises(InvalidRequest) as caught:
        CLIENT.parse(body)
    assert caught.value.param == key


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": None},
        {"fallbacks": None, "models": ["m"]},
        {"fallbacks": [], "models": ["m"]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": []}]},
        user({"type": "novel", "x": 1}),
        user({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "novel"}]}),
        {"tools": [{"type": "novel_20990101", "x": 1}]},
        {"thinking": {"type": "between_tools"}},
        {"thinking": {"type": "novel", "x": 1}},
        {"service_tier": "novel"},
        {"novel": {"x": 1}},
    ],
)
def test_what_is_taken_and_passed_on(body: Wire) -> None:
    got = relayed(body)
    for key, said in body.items():
        if key not in ("fallbacks", "models") and said is not None:
            assert got[key] == said


def test_what_routing_needs() -> None:
    call = call_of(
        {"models": ["a", "b"], "session_id": "s", "metadata": {"user_id": "u"}, "provider": {"order": ["acme"]}}
    )
    assert (call.model, call.models, call.session_id, call.user) == ("acme/small", ("a", "b"), "s", "u")
    assert call.preferences.order == ["acme"]
    assert (call.stream, call.max_output) == (False, 99)
    fallbacks = call_of({"fallbacks": [{"model": "a"}, {"model": "b"}], "user": "v"}, stream=True)
    assert (fallbacks.models, fallbacks.user, fallbacks.stream) == (("a", "b"), "v", True)


# What it means.


def test_system_text() -> None:
    first = decoded({"system": "Be brief."}).messages[0]
    assert first == Message(role="system", parts=(TextPart("Be brief."),), plain=True)
    first = decoded({"system": [{**TEXT, "cache_control": {"type": "ephemeral"}}]}).messages[0]
    assert first == Message(role="system", parts=(TextPart("Hi", cache=CacheMark()),))


def test_tool_results_are_messages_of_their_own() -> None:
    body = user(
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b", "content": [TEXT], "is_error": True},
        TEXT,
        {"type": "tool_result", "tool_use_id": "c"},
    )
    assert decoded(body).messages == (
        Message(role="tool", tool_call_id="a", parts=(TextPart("1"),), plain=True),
        Message(role="tool", tool_call_id="b", parts=(TextPart("Hi"),), is_error=True, joined=True),
        Message(role="user", parts=(TextPart("Hi"),), joined=True),
        Message(role="tool", tool_call_id="c", joined=True),
    )


def test_documents() -> None:
    assert parts({"type": "image", "source": PNG}) == (ImagePart("data:image/png;base64,iVBORw0KGgo="),)
    assert parts({"type": "image", "source": {"type": "file", "file_id": "f"}}) == (ImagePart(file_id="f"),)
    found = parts(
        {
            "type": "document",
            "source": {"type": "url", "url": "https://a"},
            "title": "T",
            "citations": {"enabled": True},
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}, "context": "C"},
        {"type": "document", "source": {"type": "content", "content": [TEXT]}},
        {"type": "search_result", "source": "s", "title": "T", "content": [TEXT]},
        {"type": "container_upload", "file_id": "f"},
    )
    assert found == (
        FilePart(data="https://a", title="T", citations=True),
        FilePart(text="a", context="C"),
        FilePart(content=(TextPart("Hi"),)),
        SearchResultPart("s", "T", content=(TextPart("Hi"),)),
        OpaquePart({"type": "container_upload", "file_id": "f"}),
    )


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"signature": "SIG"}, ReasoningPart("text", "Hm.", signature="SIG", format=ANTHROPIC)),
        ({"signature": ""}, ReasoningPart("plain", "Hm.", extra={"signature": ""})),
        ({}, ReasoningPart("plain", "Hm.")),
        ({"signature": pack(GEMINI, "a", "SIG")}, ReasoningPart("text", "Hm.", "SIG", GEMINI, "a")),
        ({"signature": pack(OPENAI, "rs_1", "")}, ReasoningPart("summary", "Hm.", format=OPENAI, id="rs_1")),
    ],
    ids=["signed", "empty", "none", "foreign", "summary"],
)
def test_thoughts(block: Wire, part: ReasoningPart) -> None:
    assert parts({"type": "thinking", "thinking": "Hm.", **block}) == (part,)


def test_redacted_thoughts() -> None:
    assert parts({"type": "redacted_thinking", "data": "D"}) == (ReasoningPart("encrypted", "D", format=ANTHROPIC),)
    found = parts({"type": "redacted_thinking", "data": pack(OPENAI, "rs_1", "D")})
    assert found == (ReasoningPart("encrypted", "D", format=OPENAI, id="rs_1"),)


def test_calls() -> None:
    (part,) = parts({"type": "tool_use", "id": "a", "name": "f", "input": {"x": [1, None]}})
    assert part == ToolCallPart("a", "f", '{"x":[1,null]}')
    (part,) = parts({"type": "tool_use", "id": "a", "name": "f"})
    assert part == ToolCallPart("a", "f", "{}")


@pytest.mark.parametrize(
    ("body", "reasoning"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, Reasoning(max_tokens=9, enabled=True)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Reasoning(adaptive=True, display="omitted")),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        ({"thinking": {"type": "between_tools"}}, Reasoning(extra={"type": "between_tools"})),
        ({"output_config": {"effort": "low"}}, Reasoning(effort="low")),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            Reasoning(adaptive=True, effort="max"),
        ),
        ({}, None),
    ],
)
def test_thinking(body: Wire, reasoning: Reasoning | None) -> None:
    assert decoded(body).reasoning == reasoning


@pytest.mark.parametrize(
    ("choice", "found", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(mode="auto"), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice(mode="required"), False),
        ({"type": "tool", "name": "f"}, ToolChoice(mode="tool", name="f"), None),
        ({"type": "none"}, ToolChoice(mode="none"), None),
    ],
)
def test_tool_choice(choice: Wire, found: ToolChoice, parallel: bool | None) -> None:
    request = decoded({"tool_choice": choice})
    assert (request.tool_choice, request.parallel_tool_calls) == (found, parallel)


# What leaves for a provider of the dialect.


def test_ours_stays_here() -> None:
    body = {"models": ["a"], "provider": {}, "plugins": [], "session_id": "s", "user": "u", "trace": {}, "novel": 1}
    got = relayed(body)
    assert got.keys() == {"model", "max_tokens", "messages", "novel"}
    assert got["model"] == ENDPOINT.upstream_model
    kept = relayed(body, Quirks(keep=("session_id",), drop=("novel",), model_in_body=False))
    assert kept.keys() == {"session_id", "max_tokens", "messages"}


@pytest.mark.parametrize(
    ("model", "most", "sent"),
    [("claude-sonnet-4-5", None, 8192), ("claude-3-haiku-20240307", None, 4096), ("claude-sonnet-4-5", 64000, 64000)],
)
def test_an_output_limit_is_always_said(model: str, most: int | None, sent: int) -> None:
    endpoint = replace(ENDPOINT, upstream_model=model, max_output=most)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    for told in (body, {**body, "max_tokens": None}):
        call = CLIENT.parse(msgspec.json.encode(told))
        assert msgspec.json.decode(RELAY.request(call, endpoint, Quirks()).body)["max_tokens"] == sent


@pytest.mark.parametrize("text", ['say "signature":"" please', "http://x-v1:80", '"unknown:', pack(GEMINI, "a", "b")])
def test_texts_that_look_like_thoughts(text: str) -> None:
    """They only cost a translation, in which nothing is lost."""
    body = {**user({**TEXT, "text": text, "novel": 1}), "system": text, "metadata": {}, "top_k": 5, "novel": None}
    got = relayed(body)
    assert got.pop("model") == ENDPOINT.upstream_model
    assert got == {"max_tokens": 99, **body}


def test_thoughts_of_others_stay_here() -> None:
    own = {"type": "thinking", "thinking": "Hm.", "signature": "SIG"}
    foreign = [
        {"type": "thinking", "thinking": "Hm.", "signature": pack(GEMINI, "a", "SIG")},
        {"type": "redacted_thinking", "data": pack(OPENAI, "rs", "D")},
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "thinking", "thinking": "Hm."},
    ]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [*foreign, own, TEXT]}]
    body = {"messages": [*messages, {"role": "user", "content": "Go on"}]}
    encoded = RELAY.request(call_of(body), ENDPOINT, Quirks())
    assert msgspec.json.decode(encoded.body)["messages"][1]["content"] == [own, TEXT]
    assert [loss.path for loss in encoded.losses] == [f"messages[1].content[{at}]" for at in range(4)]


def test_providers_of_other_models_get_their_thoughts_back() -> None:
    """DeepSeek and others speak Messages, and sign nothing."""
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [thought, TEXT]}]
    endpoint = replace(ENDPOINT, model="deepseek/deepseek-v4", upstream_model="deepseek-v4")
    encoded = RELAY.request(call_of({"messages": messages}), endpoint, Quirks())
    assert msgspec.json.decode(encoded.body)["messages"] == messages
    assert encoded.losses == ()
