"""Requests of other dialects, as they leave for providers of Messages; and what is lost on the way."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_help import CLIENT, ENDPOINT, UPSTREAM
from messages_rules import accept
from msgspec.structs import replace

from trunkline.dialects.anthropic_messages.request_encoder import USUAL_OUTPUT
from trunkline.dialects.anthropic_messages.request_normalization import GO_ON
from trunkline.dialects.common.ids import pseudonym
from trunkline.dialects.common.reasoning import ANTHROPIC, OPENAI
from trunkline.dialects.common.tool_pairing import NO_RESULT, NOTHING
from trunkline.dialects.interfaces import Quirks
from trunkline.model.request import (
    AudioPart,
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
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    VideoPart,
)

Json = dict[str, Any]
SIGNED = ReasoningPart("text", "hm", signature="s1g", format=ANTHROPIC)
CALL = ToolCallPart("call_1", "add", '{"a":1}')
ADD = Tool(kind="function", name="add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
HI: Json = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
MARK = {"type": "ephemeral"}
OLD, NEW, NEWEST = "claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-4-8"


def user(*parts: Part, **more: Any) -> Message:
    return Message(role="user", parts=parts or (TextPart("Hi"),), **more)


def assistant(*parts: Part, **more: Any) -> Message:
    return Message(role="assistant", parts=parts, **more)


def result(*parts: Part, id_: str = "call_1", **more: Any) -> Message:
    return Message(role="tool", parts=parts or (TextPart("3"),), tool_call_id=id_, **more)


def send(*messages: Message, model: str = OLD, dialect: str = "chat", **more: Any) -> tuple[Json, dict[str, str]]:
    """The body that leaves, which a strict provider takes, and the losses: path → why."""
    request = Request(dialect=dialect, messages=messages or (user(),), **more)
    encoded = UPSTREAM.encode(request, replace(ENDPOINT, model="x/y", upstream_model=model), Quirks())
    body = msgspec.json.decode(encoded.body)
    assert body["model"] == model
    accept(body)
    assert all(loss.direction == "request" for loss in encoded.losses)
    return body, {loss.path: loss.why for loss in encoded.losses}


def test_a_plain_conversation_loses_nothing() -> None:
    body, lost = send(
        Message(role="system", parts=(TextPart("Be brief."),), plain=True),
        Message(role="developer", parts=(TextPart("In French."),)),
        user(),
        assistant(SIGNED, TextPart("Hello"), CALL),
        result(),
        user(TextPart("And?")),
        tools=(ADD,),
        max_output=9,
        user="u",
        sampling=Sampling(temperature=0.5, top_k=5, stop=("END",)),
    )
    assert not lost
    assert body == {
        "model": OLD,
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "In French."}],
        "messages": [
            HI,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s1g"},
                    {"type": "text", "text": "Hello"},
                    {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "3"}]},
                    {"type": "text", "text": "And?"},
                ],
            },
        ],
        "temperature": 0.5,
        "top_k": 5,
        "stop_sequences": ["END"],
        "tools": [{"name": "add", "input_schema": ADD.parameters}],
        "metadata": {"user_id": pseudonym("u")},
    }


def test_the_output_limit_is_always_said() -> None:
    assert send()[0]["max_tokens"] == USUAL_OUTPUT


# Turns.


def test_turns_alternate_and_results_come_first() -> None:
    body, lost = send(user(), user(TextPart("there")), assistant(CALL), user(TextPart("and?")), result())
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]
    assert not lost


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    body, lost = send(user(), assistant(CALL), user(TextPart("never mind")))
    made_up = body["messages"][2]["content"][0]
    assert (made_up["tool_use_id"], made_up["content"], made_up["is_error"]) == ("call_1", NO_RESULT, True)
    assert list(lost) == ["messages[1].tool_calls"]


def test_a_result_without_its_call_is_text() -> None:
    body, lost = send(user(), result())
    assert [block["type"] for block in body["messages"][0]["content"]] == ["text", "text", "text"]
    assert list(lost) == ["messages[1]"]


def test_calls_whose_ids_are_used_again() -> None:
    """Some providers count their calls anew in every turn."""
    body, lost = send(user(), assistant(CALL), result(), assistant(CALL, CALL), result(TextPart("4")), result())
    calls = [block["id"] for turn in body["messages"][1::2] for block in turn["content"]]
    results = [block["tool_use_id"] for turn in body["messages"][2::2] for block in turn["content"]]
    assert calls == results
    assert len(set(calls)) == 3
    assert body["messages"][4]["content"][0]["content"] == [{"type": "text", "text": "4"}]
    assert not lost


@pytest.mark.parametrize("id_", ["a|b.c", "", "x" * 200])
def test_ids_that_the_provider_does_not_take(id_: str) -> None:
    body, lost = send(user(), assistant(ToolCallPart(id_, "add", "{}")), result(id_=id_))
    assert body["messages"][1]["content"][0]["id"] == body["messages"][2]["content"][0]["tool_use_id"] != id_
    assert not lost


def test_a_conversation_begins_with_the_user() -> None:
    body, lost = send(assistant(TextPart("Hello")), user())
    assert body["messages"][0] == {"role": "user", "content": [{"type": "text", "text": NOTHING}]}
    assert list(lost) == ["messages[0]"]


BRIEF = Message(role="developer", parts=(TextPart("Be brief."),))


@pytest.mark.parametrize(
    ("messages", "kept"),
    [
        ((user(), BRIEF), True),
        ((user(), BRIEF, BRIEF, assistant(TextPart("Hello")), user()), True),
        ((user(), BRIEF, user()), False),
        ((user(), assistant(TextPart("Hello")), BRIEF, user()), False),
        ((user(), BRIEF, assistant(SIGNED), user()), False),
    ],
    ids=["last", "before_the_model", "between", "behind_the_model", "before_nothing"],
)
def test_a_system_message_within(messages: tuple[Message, ...], kept: bool) -> None:
    body, lost = send(*messages, dialect="responses")
    blocks = [{"type": "text", "text": "Be brief."}] * messages.count(BRIEF)
    assert body["system"] == blocks
    assert f"input[{messages.index(BRIEF)}]" in lost
    body, lost = send(*messages, dialect="responses", model=NEWEST)
    assert body.get("system") == (None if kept else blocks)
    assert body["messages"].count({"role": "system", "content": blocks}) == kept
    assert (f"input[{messages.index(BRIEF)}]" in lost) != kept


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_texts_that_say_nothing_stay_here(text: str) -> None:
    body, lost = send(
        Message(role="system", parts=(TextPart(text),)), user(TextPart("Hi"), TextPart(text)), assistant(TextPart(text))
    )
    assert body["messages"] == [HI]
    assert "system" not in body
    assert not lost


def test_an_answer_that_was_begun() -> None:
    body, lost = send(user(), assistant(TextPart("Once upon ")))
    assert body["messages"][-1] == {"role": "assistant", "content": [{"type": "text", "text": "Once upon"}]}
    assert not lost
    body, lost = send(user(), assistant(TextPart("Once upon ")), model=NEW)
    assert body["messages"][-1]["content"] == [{"type": "text", "text": GO_ON}]
    assert list(lost) == ["messages[1]"]


def test_names_of_who_speaks() -> None:
    body, lost = send(user(name="Ann"), assistant(TextPart("Hello"), name="Bot"), user())
    assert body["messages"][0]["content"] == [{"type": "text", "text": "Ann: Hi"}]
    assert list(lost) == ["messages[1].name"]


# Thoughts.


@pytest.mark.parametrize(
    "part",
    [
        ReasoningPart("plain", "hm"),
        ReasoningPart("summary", "hm", format=OPENAI, id="rs_1"),
        ReasoningPart("encrypted", "b64", format=OPENAI, id="rs_1"),
        ReasoningPart("text", "hm", signature="s", format="google-gemini-v1"),
    ],
    ids=["plain", "summary", "encrypted", "gemini"],
)
def test_thoughts_that_claude_has_not_signed_stay_here(part: ReasoningPart) -> None:
    body, lost = send(user(), assistant(part, TextPart("Hello")), user())
    assert body["messages"][1]["content"] == [{"type": "text", "text": "Hello"}]
    assert list(lost) == ["messages[1].content[0]"]


def test_redacted_thoughts_go_back() -> None:
    body, lost = send(user(), assistant(ReasoningPart("encrypted", "b64", format=ANTHROPIC), TextPart("Hello")), user())
    assert body["messages"][1]["content"][0] == {"type": "redacted_thinking", "data": "b64"}
    assert not lost


def test_a_thought_that_nothing_came_of() -> None:
    body, lost = send(user(), assistant(SIGNED), user(TextPart("Well?")))
    assert len(body["messages"]) == 1
    assert list(lost) == ["messages.reasoning"]


def test_a_turn_with_thoughts_begins_with_one() -> None:
    body, lost = send(user(), assistant(TextPart("Hello"), SIGNED, CALL), result())
    assert [block["type"] for block in body["messages"][1]["content"]] == ["text", "tool_use"]
    assert list(lost) == ["messages.reasoning"]


# How to think.


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "effort"),
    [
        (OLD, Reasoning(effort="high"), {"type": "enabled", "budget_tokens": 16000}, None),
        (OLD, Reasoning(max_tokens=2000), {"type": "enabled", "budget_tokens": 2000}, None),
        (OLD, Reasoning(max_tokens=5), {"type": "enabled", "budget_tokens": 1024}, None),
        (OLD, Reasoning(max_tokens=50000), {"type": "enabled", "budget_tokens": 19999}, None),
        (OLD, Reasoning(enabled=True), {"type": "enabled", "budget_tokens": 10000}, None),
        (NEW, Reasoning(effort="high"), {"type": "adaptive"}, "high"),
        (NEW, Reasoning(effort="xhigh"), {"type": "adaptive"}, "max"),
        (NEW, Reasoning(effort="minimal"), {"type": "adaptive"}, "low"),
        (NEW, Reasoning(max_tokens=19000), {"type": "adaptive"}, "max"),
        (NEWEST, Reasoning(effort="xhigh"), {"type": "adaptive", "display": "summarized"}, "xhigh"),
        (NEWEST, Reasoning(effort="low", display="omitted"), {"type": "adaptive", "display": "omitted"}, "low"),
        (OLD, Reasoning(effort="none"), None, None),
        (NEW, Reasoning(enabled=False), None, None),
    ],
)
def test_how_each_family_is_told_to_think(
    model: str, reasoning: Reasoning, thinking: Json | None, effort: str | None
) -> None:
    body, _ = send(model=model, reasoning=reasoning, max_output=20000)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


def test_the_limit_exceeds_the_budget() -> None:
    body, lost = send(reasoning=Reasoning(max_tokens=30000))
    assert body["max_tokens"] > body["thinking"]["budget_tokens"] == 30000
    assert not lost
    body, lost = send(reasoning=Reasoning(effort="low"), max_output=1000)
    assert "thinking" not in body
    assert list(lost) == ["reasoning"]


@pytest.mark.parametrize(
    ("messages", "more"),
    [
        ((user(), assistant(CALL), result()), {}),
        ((user(), assistant(TextPart("Once"))), {}),
        ((user(),), {"tools": (ADD,), "tool_choice": ToolChoice(mode="required")}),
        ((user(),), {"tools": (ADD,), "tool_choice": ToolChoice(mode="tool", name="add")}),
    ],
    ids=["call_without_thought", "begun", "any", "tool"],
)
def test_where_it_cannot_think(messages: tuple[Message, ...], more: Json) -> None:
    body, lost = send(*messages, reasoning=Reasoning(effort="high"), **more)
    assert "thinking" not in body
    assert list(lost) == ["reasoning"]


def test_it_goes_on_thinking_where_its_call_came_with_a_thought() -> None:
    body, lost = send(user(), assistant(SIGNED, CALL), result(), reasoning=Reasoning(effort="high"))
    assert body["thinking"]["type"] == "enabled"
    assert not lost


# Sampling.


def test_sampling_gives_way_to_thinking() -> None:
    sampling = Sampling(temperature=0.3, top_k=5)
    body, lost = send(sampling=sampling, reasoning=Reasoning(effort="low"))
    assert not {"temperature", "top_k"} & body.keys()
    assert list(lost) == ["temperature", "top_k"]


def test_a_temperature_or_top_p() -> None:
    body, lost = send(sampling=Sampling(temperature=1.5, top_p=0.9))
    assert (body["temperature"], "top_p" in body) == (1, False)
    assert list(lost) == ["temperature", "top_p"]
    body, lost = send(sampling=Sampling(temperature=0.5, top_p=0.9), model="claude-3-5-haiku-latest")
    assert (body["temperature"], body["top_p"], lost) == (0.5, 0.9, {})


def test_the_newest_take_no_sampling() -> None:
    _, lost = send(sampling=Sampling(temperature=1, top_p=0.9, top_k=5), model=NEWEST)
    assert list(lost) == ["top_p", "top_k"]  # a temperature of 1 is what it has anyway
    body, lost = send(sampling=Sampling(top_p=1, top_k=1), model=NEWEST)
    assert (body.keys() & {"top_p", "top_k"}, list(lost)) == (set(), ["top_k"])  # which is not


def test_what_messages_cannot_say() -> None:
    sampling = Sampling(
        seed=1, n=2, logprobs=True, top_logprobs=2, frequency_penalty=1, presence_penalty=1, repetition_penalty=1,
        min_p=0.1, top_a=0.1, logit_bias={"1": 1}, stop=("a", " "),
    )  # fmt: skip
    body, lost = send(
        sampling=sampling, metadata={"a": "b"}, modalities=("text", "audio"), prompt_cache_key="k", verbosity="low",
        service_tier="priority", response_format=ResponseFormat(kind="json_object"), extra={"novel": 1},
    )  # fmt: skip
    assert body["stop_sequences"] == ["a"]
    assert set(lost) == {
        "seed", "n", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "repetition_penalty",
        "min_p", "top_a", "logit_bias", "stop", "metadata", "modalities", "prompt_cache_key", "verbosity",
        "service_tier", "response_format", "novel",
    }  # fmt: skip


# Tools.


def test_tools() -> None:
    body, lost = send(
        tools=(
            replace(ADD, description="Adds.", cache=CacheMark("12h")),
            Tool(kind="custom", name="patch", format={"type": "grammar", "syntax": "lark", "definition": "x"}),
            Tool(kind="function", name="find", namespace="files"),
            Tool(kind="function", name="web.search"),
            Tool(kind="web_search_preview"),
            replace(ADD, description="Adds again."),
        ),
        tool_choice=ToolChoice(mode="tool", name="find"),
        parallel_tool_calls=False,
    )
    assert [tool["name"] for tool in body["tools"]] == ["add", "patch", "files__find", "web_search"]
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert body["tool_choice"] == {"type": "tool", "name": "files__find", "disable_parallel_tool_use": True}
    assert list(lost) == ["tools[1].format", "tools[4]", "tools[5]"]


@pytest.mark.parametrize(
    ("choice", "said", "lost"),
    [
        (ToolChoice(mode="auto"), {"type": "auto"}, []),
        (ToolChoice(mode="none"), {"type": "none"}, []),
        (ToolChoice(mode="required"), {"type": "any"}, []),
        (ToolChoice(mode="allowed", names=("add",)), {"type": "auto"}, []),
        (ToolChoice(mode="allowed", names=("add",), required=True), {"type": "any"}, []),
        (ToolChoice(mode="tool", name="gone"), None, ["tool_choice"]),
        (ToolChoice(mode="opaque", kind="novel"), None, ["tool_choice"]),
    ],
)
def test_tool_choice(choice: ToolChoice, said: Json | None, lost: list[str]) -> None:
    body, found = send(tools=(ADD, Tool(kind="function", name="sub", namespace="n")), tool_choice=choice)
    assert body.get("tool_choice") == said
    assert list(found) == lost
    assert len(body["tools"]) == (1 if choice.mode == "allowed" else 2)


def test_schemas_have_no_choice_at_their_root() -> None:
    schema = {
        "properties": {"a": {"anyOf": [{"type": "string"}]}},
        "anyOf": [{"required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}],
        "allOf": [{"properties": {"c": {}}, "required": ["c"]}],
    }
    body, lost = send(tools=(Tool(kind="function", name="f", parameters=schema),))
    found = body["tools"][0]["input_schema"]
    assert found["properties"].keys() == {"a", "b", "c"}
    assert found["properties"]["a"] == {"anyOf": [{"type": "string"}]}
    assert (found["type"], found["required"]) == ("object", ["c"])
    assert list(lost) == ["tools[0].parameters.allOf", "tools[0].parameters.anyOf"]


STRICT = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}


def test_strict_schemas_are_in_claudes_subset() -> None:
    shape = ResponseFormat(kind="json_schema", name="r", schema=STRICT, strict=True)
    tools = (Tool(kind="function", name="f", parameters=STRICT, strict=True), replace(ADD, name="g", strict=False))
    request = Request(dialect="chat", messages=(user(),), tools=tools, response_format=shape)
    encoded = UPSTREAM.encode(request, ENDPOINT, Quirks())
    body = msgspec.json.decode(encoded.body)
    said = {**STRICT, "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    assert body["output_config"]["format"] == {"type": "json_schema", "schema": said}
    assert body["tools"][0] == {"name": "f", "input_schema": said, "strict": True}
    assert body["tools"][1] == {"name": "g", "input_schema": ADD.parameters}
    lost = [loss.path for loss in encoded.losses]
    assert lost == ["tools[0].parameters.properties.a.minimum", "response_format.properties.a.minimum"]


def test_older_models_are_not_strict() -> None:
    body, lost = send(
        tools=(Tool(kind="function", name="f", parameters=STRICT, strict=True),),
        response_format=ResponseFormat(kind="json_schema", schema=STRICT),
        model="claude-3-7-sonnet-latest",
    )
    assert body["tools"] == [{"name": "f", "input_schema": STRICT}]
    assert "output_config" not in body
    assert list(lost) == ["tools[0].strict", "response_format"]


@pytest.mark.parametrize(
    ("part", "given", "lost"),
    [
        (ToolCallPart("call_1", "f", ""), {}, 0),
        (ToolCallPart("call_1", "f", "[1]"), {"input": "[1]"}, 1),
        (ToolCallPart("call_1", "f", "{"), {"input": "{"}, 1),
        (ToolCallPart("call_1", "f", "{}", custom=True), {"input": "{}"}, 0),
    ],
    ids=["none", "list", "broken", "custom"],
)
def test_arguments_are_an_object(part: ToolCallPart, given: Json, lost: int) -> None:
    body, found = send(user(), assistant(part), result())
    assert body["messages"][1]["content"][0]["input"] == given
    assert len(found) == lost


def test_results() -> None:
    body, lost = send(
        user(),
        assistant(CALL),
        result(TextPart("no"), ImagePart("data:image/png;base64,AAAA"), is_error=True, cache=CacheMark()),
    )
    assert body["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "call_1",
            "content": [
                {"type": "text", "text": "no"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ],
            "is_error": True,
            "cache_control": MARK,
        }
    ]
    assert not lost


# Images and files.


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (ImagePart("https://a/b.png"), {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}),
        (
            FilePart(data="data:application/pdf;base64,AAAA", filename="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
                "title": "a.pdf",
            },
        ),
        (
            FilePart(data="data:text/csv;base64,YSxi"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
        ),
        (
            FilePart(data="https://a/b.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}},
        ),
        (RefusalPart("No."), {"type": "text", "text": "No."}),
    ],
    ids=["image", "pdf", "text", "address", "refusal"],
)
def test_what_can_be_said(part: Part, block: Json) -> None:
    body, lost = send(user(part))
    assert body["messages"][0]["content"] == [block]
    assert not lost


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(file_id="file-1"),
        ImagePart(),
        ImagePart("data:image/tiff;base64,AAAA"),
        FilePart(file_id="file-1"),
        FilePart(data="data:application/zip;base64,AAAA"),
        FilePart(data="data:text/plain;base64,/w=="),
        AudioPart("AA", "wav"),
        VideoPart("https://a/b.mp4"),
        OpaquePart({"type": "novel"}),
    ],
    ids=lambda part: f"{type(part).__name__}",
)
def test_what_cannot_be_said(part: Part) -> None:
    body, lost = send(user(TextPart("Hi"), part))
    assert body["messages"] == [HI]
    assert list(lost) == ["messages[0].content[1]"]


# Cache marks.


def test_marks_stand_on_what_takes_them() -> None:
    body, lost = send(
        Message(role="system", parts=(TextPart("Be brief.", cache=CacheMark("30m", "prompt_cache_breakpoint")),)),
        user(cache=CacheMark()),
        assistant(TextPart("Hello"), ToolCallPart("call_1", "add", "{}", cache=CacheMark())),
        result(),
        cache=CacheMark(),
    )
    assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert body["messages"][0]["content"][0]["cache_control"] == MARK
    assert body["messages"][1]["content"][1]["cache_control"] == MARK
    assert body["cache_control"] == MARK
    assert not lost


def test_of_more_marks_than_four_the_last_ones_are_sent() -> None:
    texts = [TextPart(f"{at}", cache=CacheMark()) for at in range(6)]
    body, lost = send(user(*texts), tools=(replace(ADD, cache=CacheMark()),))
    assert [("cache_control" in block) for block in body["messages"][0]["content"]] == [False] * 2 + [True] * 4
    assert "cache_control" not in body["tools"][0]
    assert list(lost) == ["cache_control"]


def test_an_hour_does_not_stand_behind_five_minutes() -> None:
    body, lost = send(user(TextPart("a", cache=CacheMark()), TextPart("b", cache=CacheMark("1h"))))
    assert [block["cache_control"] for block in body["messages"][0]["content"]] == [MARK, MARK]
    assert list(lost) == ["cache_control.ttl"]


def test_marks_that_nothing_takes() -> None:
    mark = CacheMark()
    _, lost = send(user(), assistant(SIGNED, cache=mark), user(TextPart(" ", cache=mark), TextPart("Well?")))
    assert {"messages[1].cache_control", "messages[2].content[0].cache_control"} <= set(lost)


# Whatever it is.

texts = st.sampled_from(["Hi", "", " ", "yes ", "no\n"])
cache = st.none() | st.builds(CacheMark, st.sampled_from([None, "5m", "1h", "30m", "12h"]))
text = st.builds(TextPart, texts, cache=cache)
ids = st.sampled_from(["call_1", "call_2", "a.b|c", "x" * 200, ""])
names = st.sampled_from(["add", "web.search", "x" * 150, "ns:tool"])
urls = st.sampled_from(["", "https://a/b", "data:image/png;base64,AA==", "data:application/pdf;base64,AA==", "data:,x"])
said = st.one_of(
    text,
    st.builds(ImagePart, urls, file_id=st.sampled_from([None, "file-1"])),
    st.builds(FilePart, data=st.none() | urls, filename=st.just("a"), cache=cache),
    st.just(FilePart(text="t")),
    st.just(AudioPart("AA", "wav")),
)
thoughts = st.builds(
    ReasoningPart,
    st.sampled_from(["plain", "text", "summary", "encrypted"]),
    st.sampled_from(["", "hm"]),
    signature=st.sampled_from([None, "s1g"]),
    format=st.sampled_from([None, ANTHROPIC, OPENAI]),
)
arguments = st.sampled_from(["", "{}", '{"a":1}', "[1]", "{", '"x"'])
calls = st.builds(ToolCallPart, ids, names, arguments, custom=st.booleans(), cache=cache)
answered = st.one_of(text, thoughts, calls, st.builds(RefusalPart, texts))


def many(parts: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[Any]:
    return st.lists(parts, max_size=most).map(tuple)


messages = st.one_of(
    st.builds(Message, role=st.sampled_from(["system", "developer"]), parts=many(text, 2), cache=cache),
    st.builds(Message, role=st.just("user"), parts=many(said, 2), name=st.sampled_from([None, "Ann"]), cache=cache),
    st.builds(Message, role=st.just("assistant"), parts=many(answered, 3), cache=cache),
    st.builds(
        Message, role=st.just("tool"), parts=many(said, 2), tool_call_id=ids, plain=st.booleans(), cache=cache,
        is_error=st.sampled_from([None, True, False]),
    ),
)  # fmt: skip
tools = st.builds(
    Tool,
    kind=st.sampled_from(["function", "custom", "web_search"]),
    name=names,
    parameters=st.sampled_from([None, {}, STRICT, {"anyOf": [{"properties": {"a": {}}}]}]),
    strict=st.sampled_from([None, True, False]),
    cache=cache,
)
choices = st.builds(
    ToolChoice,
    mode=st.sampled_from(["none", "auto", "required", "tool", "allowed", "opaque"]),
    name=names,
    names=many(names, 2),
    required=st.booleans(),
)
reasonings = st.builds(
    Reasoning,
    effort=st.sampled_from([None, "none", "minimal", "low", "high", "max"]),
    max_tokens=st.sampled_from([None, 1, 1024, 5000, 200000]),
    enabled=st.sampled_from([None, True, False]),
)
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([None, 0, 1, 2]),
    top_p=st.sampled_from([None, 0.5, 1]),
    top_k=st.sampled_from([None, 5]),
    stop=st.sampled_from([None, (), ("a", " ")]),
)
requests = st.builds(
    Request,
    dialect=st.sampled_from(["chat", "responses"]),
    messages=many(messages, 6),
    tools=st.none() | many(tools, 3),
    tool_choice=st.none() | choices,
    parallel_tool_calls=st.sampled_from([None, True, False]),
    reasoning=st.none() | reasonings,
    sampling=samplings,
    max_output=st.sampled_from([None, 1, 1500, 40000]),
    response_format=st.none() | st.just(ResponseFormat(kind="json_schema", schema=STRICT)),
    verbosity=st.sampled_from([None, "low"]),
    cache=cache,
)


@settings(max_examples=300, deadline=None)
@given(request=requests, model=st.sampled_from([OLD, NEW, NEWEST, "claude-3-5-haiku-latest"]))
def test_whatever_another_dialect_says_claude_takes_it(request: Request, model: str) -> None:
    encoded = UPSTREAM.encode(request, replace(ENDPOINT, model="x/y", upstream_model=model), Quirks())
    accept(msgspec.json.decode(encoded.body))
    again = UPSTREAM.encode(request, replace(ENDPOINT, model="x/y", upstream_model=model), Quirks())
    assert again == encoded, "nothing of the request was changed"


# A Messages client's own request, where it has to be written anew.


def test_places_in_losses_are_the_clients() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    body = {
        "model": "m",
        "system": "Be brief.",
        "messages": [
            {"role": "system", "content": "In French.", "clear_at": "never"},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [call, thought]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}, thought]},
                    {"type": "text", "text": "And?"},
                    thought,
                ],
            },
        ],
    }
    endpoint = replace(ENDPOINT, upstream_model=NEWEST)
    encoded = UPSTREAM.encode(CLIENT.decode(CLIENT.parse(msgspec.json.encode(body))), endpoint, Quirks())
    assert [loss.path for loss in encoded.losses] == [
        "messages[2].content[1]",
        "messages[3].content[0].content[1]",
        "messages[3].content[2]",
    ]
    sent = msgspec.json.decode(encoded.body)
    assert sent["system"] == body["system"]
    assert sent["messages"][:2] == body["messages"][:2]
    assert sent["messages"][3]["content"][1:] == [{"type": "text", "text": "And?"}]
