"""Requests of other dialects as they leave for Converse, and what of them is lost."""

from base64 import b64decode
from typing import Any

import msgspec
import pytest
from converse_help import CLAUDE, endpoint
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.bedrock_converse.request_normalization import NO_RESULT, NOTHING
from trunkline.dialects.bedrock_converse.request_thinking import WORDS
from trunkline.dialects.common.reasoning import ANTHROPIC, GEMINI
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import UPSTREAMS
from trunkline.families.efforts import nearest_effort
from trunkline.families.lookup import FAMILIES, family_of
from trunkline.model.citation import Citation
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
    Role,
    Sampling,
    SearchResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    VideoPart,
)

Json = dict[str, Any]
OPUS = "anthropic.claude-opus-4-7"
SONNET_46 = "us.anthropic.claude-sonnet-4-6"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
NOVA = "amazon.nova-micro-v1:0"
OSS = "openai.gpt-oss-120b-1:0"
LLAMA = "us.meta.llama4-scout-17b-instruct-v1:0"
PNG = "data:image/png;base64,iVBORw0KGgo="
LOOK = Tool(kind="function", name="look", parameters={"type": "object", "properties": {}})


def user(*parts: Part | str, **more: Any) -> Message:
    return message("user", *parts, **more)


def message(role: Role, *parts: Part | str, **more: Any) -> Message:
    return Message(role=role, parts=tuple(TextPart(p) if isinstance(p, str) else p for p in parts), **more)


def call(id_: str = "t1", arguments: str = "{}") -> ToolCallPart:
    return ToolCallPart(id_, "look", arguments)


def result(id_: str, *parts: Part | str, **more: Any) -> Message:
    return message("tool", *parts, tool_call_id=id_, **more)


def encode(
    *messages: Message, model: str = CLAUDE, quirks: Quirks | None = None, parameters: tuple[str, ...] = (), **more: Any
) -> tuple[Json, dict[str, str]]:
    """The body, and what is lost: path → why."""
    fields: Json = {"dialect": "chat", "messages": messages or (user("Hi"),), **more}
    request = Request(**fields)
    encoded = UPSTREAMS["converse"].encode(request, endpoint(model, parameters), quirks or Quirks())
    return msgspec.json.decode(encoded.body), {loss.path: loss.why for loss in encoded.losses}


def turns(*messages: Message, **more: Any) -> tuple[list[Json], dict[str, str]]:
    body, lost = encode(*messages, **more)
    return body["messages"], lost


def test_the_least() -> None:
    assert encode() == ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, {})


def test_paths() -> None:
    converse = UPSTREAMS["converse"]
    assert converse.path("amazon.nova-micro-v1:0", stream=False) == "/model/amazon.nova-micro-v1%3A0/converse"
    assert converse.path("arn:aws:x/y", stream=True) == "/model/arn%3Aaws%3Ax%2Fy/converse-stream"


# Turns.


def test_system_messages_stand_apart() -> None:
    body, lost = encode(message("system", "A"), message("developer", "B"), user("Hi"), message("system", "C"))
    assert body["system"] == [{"text": "A"}, {"text": "B"}, {"text": "C"}]
    assert list(lost) == ["messages[3]"]


def test_turns_alternate() -> None:
    found, lost = turns(user("a"), user("b"), message("assistant", "c"), message("assistant", "d"), user("e"))
    assert [turn["role"] for turn in found] == ["user", "assistant", "user"]
    assert found[0]["content"] == [{"text": "a"}, {"text": "b"}]
    assert not lost


def test_a_conversation_begins_with_the_user() -> None:
    found, lost = turns(message("assistant", "Hello"), user("Hi"))
    assert found[0] == {"role": "user", "content": [{"text": NOTHING}]}
    assert list(lost) == ["messages[0]"]


def test_nothing_to_say() -> None:
    assert turns(user("  ")) == ([{"role": "user", "content": [{"text": NOTHING}]}], {})
    assert [turn["role"] for turn in turns(user("a"), message("assistant", ""), user("b"))[0]] == ["user"]


def test_an_answer_that_was_begun_ends_without_blanks() -> None:
    found, _ = turns(user("a"), message("assistant", "It is \n"))
    assert found[-1] == {"role": "assistant", "content": [{"text": "It is"}]}


def test_results_begin_the_turn_behind_their_calls() -> None:
    found, lost = turns(
        user("a"),
        message("assistant", "b", call("t1", '{"x": 1}'), call("t2", "")),
        user("and", joined=True),
        result("t2", "two", is_error=True),
        result("t1", "one", is_error=False),
    )
    assert not lost
    assert found[1]["content"][1:] == [
        {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"x": 1}}},
        {"toolUse": {"toolUseId": "t2", "name": "look", "input": {}}},
    ]
    assert found[2]["content"] == [
        {"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}], "status": "success"}},
        {"toolResult": {"toolUseId": "t2", "content": [{"text": "two"}], "status": "error"}},
        {"text": "and"},
    ]


def test_a_call_that_nobody_answered() -> None:
    made_up = {"toolResult": {"toolUseId": "t1", "content": [{"text": NO_RESULT}], "status": "error"}}
    for tail in ((), (user("b"),), (message("assistant", "c"), user("d"))):
        found, lost = turns(user("a"), message("assistant", call()), *tail)
        assert found[2]["content"][0] == made_up
        assert len(lost) == 1


def test_a_result_without_a_call() -> None:
    found, lost = turns(user("a"), result("t9", "nine", ImagePart(PNG)), message("assistant", "c"), user("d"))
    heading, *said = found[0]["content"]
    assert "t9" in heading["text"]
    assert said == [{"text": "nine"}, {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}, {"text": "a"}]
    assert list(lost) == ["messages[1]"]


def test_a_second_result_of_one_call() -> None:
    found, lost = turns(user("a"), message("assistant", call()), result("t1", "one"), result("t1", "more"))
    assert [next(iter(block)) for block in found[2]["content"]] == ["toolResult", "text", "text"]
    assert list(lost) == ["messages[3]"]


def test_a_result_that_comes_late() -> None:
    found, lost = turns(
        user("a"), message("assistant", call()), user("wait"), message("assistant", "ok"), user("so"), result("t1", "x")
    )
    assert found[2]["content"] == [{"toolResult": {"toolUseId": "t1", "content": [{"text": "x"}]}}, {"text": "wait"}]
    assert found[4]["content"] == [{"text": "so"}]
    assert not lost


def test_one_id_in_two_turns() -> None:
    found, lost = turns(
        user("a"), message("assistant", call()), result("t1", "one"), message("assistant", call()), result("t1", "two")
    )
    texts = [found[at]["content"][0]["toolResult"]["content"] for at in (2, 4)]
    assert texts == [[{"text": "one"}], [{"text": "two"}]]
    assert not lost


def test_ids_that_converse_does_not_take() -> None:
    long = "call_" + "x" * 100
    found, lost = turns(user("a"), message("assistant", call(long), call("a b/c")), result("a b/c"), result(long))
    ids = [block["toolUse"]["toolUseId"] for block in found[1]["content"]]
    assert ids == [block["toolResult"]["toolUseId"] for block in found[2]["content"]]
    assert all(len(id_) <= 64 and id_.replace("_", "").isalnum() for id_ in ids)
    assert not lost
    assert found[2]["content"][0]["toolResult"]["content"] == [{"text": NOTHING}]


@pytest.mark.parametrize(("arguments", "given"), [("[1]", "[1]"), ("{", "{"), ("{}", None), (" ", None)])
def test_arguments_that_are_no_object(arguments: str, given: str | None) -> None:
    found, lost = turns(user("a"), message("assistant", call("t1", arguments)), result("t1", "x"))
    expected = {} if given is None else {"arguments": given}
    assert found[1]["content"][0]["toolUse"]["input"] == expected
    assert list(lost) == ([] if given is None else ["messages[1].content[0].arguments"])


PIECES = st.one_of(
    st.just(user("u")),
    st.just(message("system", "s")),
    st.just(message("assistant", "a")),
    st.sampled_from(["t1", "t2", "t3"]).map(lambda id_: message("assistant", call(id_))),
    st.just(message("assistant", call("t1"), call("t2"))),
    st.sampled_from(["t1", "t2", "t3"]).map(lambda id_: result(id_, "r")),
    st.just(user(" ")),
)


@given(messages=st.lists(PIECES, max_size=12))
def test_whatever_was_said_it_can_be_taken(messages: list[Message]) -> None:
    """Turns alternate and are not empty; each call is answered in the next turn, and nothing else is."""
    body, _ = encode(*messages)
    found = body["messages"]
    assert [turn["role"] for turn in found] == [("user", "assistant")[at % 2] for at in range(len(found))]
    asked: list[str] = []
    for turn in found:
        assert turn["content"]
        results = [block["toolResult"]["toolUseId"] for block in turn["content"] if "toolResult" in block]
        assert sorted(results) == sorted(asked)
        assert all("toolResult" in block for block in turn["content"][: len(results)])
        asked = [block["toolUse"]["toolUseId"] for block in turn["content"] if "toolUse" in block]
        if asked:
            assert "toolConfig" in body
    assert not asked


# Parts.


def test_images_documents_and_more() -> None:
    pdf = "data:application/pdf;base64,JVBERi0="
    found, lost = turns(
        user(
            "look",
            ImagePart(PNG),
            ImagePart("s3://bucket/a.jpg"),
            VideoPart("data:video/mp4;base64,AAAA"),
            AudioPart("AAAA", "mp3"),
            FilePart(data=pdf, filename="my_report  v2.pdf", citations=True, context="c"),
            FilePart(data=pdf, title="my-report v2-pdf"),
            FilePart(text="plain", title="***"),
            FilePart(content=(TextPart("a"), TextPart("b"))),
            FilePart(data="data:text/csv,a%2Cb"),
            SearchResultPart("https://a.example", "T", (TextPart("x"),), citations=True),
        )
    )
    assert not lost
    assert found[0]["content"][1:] == [
        {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}},
        {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}},
        {"audio": {"format": "mp3", "source": {"bytes": "AAAA"}}},
        {
            "document": {
                "format": "pdf",
                "name": "my-report v2-pdf",
                "source": {"bytes": "JVBERi0="},
                "context": "c",
                "citations": {"enabled": True},
            }
        },
        {"document": {"format": "pdf", "name": "my-report v2-pdf (2)", "source": {"bytes": "JVBERi0="}}},
        {"document": {"format": "txt", "name": "Document", "source": {"text": "plain"}}},
        {"document": {"format": "txt", "name": "Document (2)", "source": {"content": [{"text": "a"}, {"text": "b"}]}}},
        {"document": {"format": "csv", "name": "Document (3)", "source": {"bytes": "YSxi"}}},
        {
            "searchResult": {
                "source": "https://a.example",
                "title": "T",
                "content": [{"text": "x"}],
                "citations": {"enabled": True},
            }
        },
    ]


@pytest.mark.parametrize(
    "part",
    [
        ImagePart("https://a.example/a.png"),
        ImagePart("data:image/tiff;base64,AAAA"),
        ImagePart("data:image/png;base64,%%%"),
        ImagePart(file_id="f"),
        FilePart(file_id="f"),
        FilePart(data="https://a.example/a.pdf"),
        FilePart(data="data:application/zip;base64,AAAA"),
        AudioPart("AAAA", "aiff"),
        VideoPart("https://a.example/v.mp4"),
        OpaquePart({"type": "hologram"}),
    ],
)
def test_what_cannot_be_shown(part: Part) -> None:
    found, lost = turns(user("a", part))
    assert found == [{"role": "user", "content": [{"text": "a"}]}]
    assert list(lost) == ["messages[0].content[1]"]


def test_base64_as_clients_write_it() -> None:
    found, lost = turns(user(ImagePart("data:image/png;base64,iVBO\nRw0K"), ImagePart("data:image/png;base64,_-8")))
    assert [block["image"]["source"]["bytes"] for block in found[0]["content"]] == ["iVBORw0K", "/+8="]
    assert not lost


def test_a_document_wants_a_text_beside_it() -> None:
    found, _ = turns(user(FilePart(text="plain")))
    assert found[0]["content"][1] == {"text": NOTHING}


def test_the_models_turn_takes_no_images() -> None:
    found, lost = turns(user("a"), message("assistant", "b", ImagePart(PNG)), user("c"))
    assert found[1]["content"] == [{"text": "b"}]
    assert list(lost) == ["messages[1].content[1]"]


def test_a_refusal_is_said_as_text() -> None:
    assert turns(user("a"), message("assistant", RefusalPart("no")), user("c"))[0][1]["content"] == [{"text": "no"}]


def test_citations_of_an_earlier_turn() -> None:
    cited = Citation(kind="char", document=1, source_begin=2, source_end=3, title="T", cited_text="c", native={"x": 1})
    web = Citation(kind="url", url="https://a.example")
    found, lost = turns(user("a"), message("assistant", TextPart("b", citations=(cited,))), user("c"))
    assert found[1]["content"] == [
        {
            "citationsContent": {
                "content": [{"text": "b"}],
                "citations": [
                    {
                        "location": {"documentChar": {"documentIndex": 1, "start": 2, "end": 3}},
                        "title": "T",
                        "sourceContent": [{"text": "c"}],
                    }
                ],
            }
        }
    ]
    assert not lost
    for model, one in ((CLAUDE, web), (NOVA, cited)):
        found, lost = turns(user("a"), message("assistant", TextPart("b", citations=(one,))), user("c"), model=model)
        assert found[1]["content"] == [{"text": "b"}]
        assert list(lost) == ["messages[1].content[0].citations"]


def test_what_other_dialects_say_beside() -> None:
    said = message("assistant", TextPart("b", extra={"shade": 1, "none": None}), name="bob", extra={"mood": "glad"})
    _, lost = turns(
        user("a"), said, user("c"), extra={"hints": 1, "plugins": [], "nothing": None}, user="u", verbosity="low"
    )
    assert set(lost) == {
        "messages[1].content[0].shade", "messages[1].name", "messages[1].mood", "hints", "user", "verbosity",
    }  # fmt: skip


# Thoughts of earlier turns.

SIGNED = ReasoningPart(form="text", text="Hm", signature="c2ln", format=ANTHROPIC)
SEALED = ReasoningPart(form="encrypted", text="EuYB", format=ANTHROPIC)


def test_signed_thoughts_go_back_to_their_family() -> None:
    found, lost = turns(user("a"), message("assistant", SIGNED, SEALED, "b"), user("c"))
    first, second, _ = found[1]["content"]
    assert first == {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "c2ln"}}}
    assert b64decode(second["reasoningContent"]["redactedContent"]) == b"EuYB"
    assert not lost


@pytest.mark.parametrize(
    ("part", "model"),
    [
        (SIGNED, NOVA_2),
        (SEALED, OSS),
        (ReasoningPart(form="text", text="Hm", signature="s", format=GEMINI), CLAUDE),
        (ReasoningPart(form="encrypted", text="s", format=GEMINI, id="t1"), CLAUDE),
        (ReasoningPart(form="text", text="Hm", signature="s"), CLAUDE),
        (ReasoningPart(form="text", text="Hm", format=ANTHROPIC), CLAUDE),
        (ReasoningPart(form="plain", text="Hm"), CLAUDE),
        (ReasoningPart(form="summary", text="Hm", format="openai-responses-v1"), CLAUDE),
    ],
)
def test_other_thoughts_are_dropped(part: ReasoningPart, model: str) -> None:
    found, lost = turns(user("a"), message("assistant", part, "b"), user("c"), model=model)
    assert found[1]["content"] == [{"text": "b"}]
    assert list(lost) == ["messages[1].content[0].reasoning"]


def test_an_empty_thought_is_not_sent() -> None:
    empty = ReasoningPart(form="text", format=ANTHROPIC)
    found, lost = turns(user("a"), message("assistant", empty, "b"), user("c"))
    assert (found[1]["content"], lost) == ([{"text": "b"}], {})


# Thinking.


def own(body: Json) -> Json:
    fields: Json = body.get("additionalModelRequestFields", {})
    return fields


@pytest.mark.parametrize(
    ("model", "reasoning", "fields"),
    [
        (CLAUDE, Reasoning(max_tokens=4000), {"thinking": {"type": "enabled", "budget_tokens": 4000}}),
        (CLAUDE, Reasoning(max_tokens=100), {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (CLAUDE, Reasoning(effort="high"), {"thinking": {"type": "enabled", "budget_tokens": 13107}}),
        (CLAUDE, Reasoning(enabled=True), {"thinking": {"type": "enabled", "budget_tokens": 8192}}),
        (CLAUDE, Reasoning(effort="none"), {}),
        (CLAUDE, Reasoning(enabled=False), {}),
        (CLAUDE, Reasoning(), {}),
        (SONNET_46, Reasoning(adaptive=True), {"thinking": {"type": "adaptive"}}),
        (SONNET_46, Reasoning(effort="xhigh"), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        (
            OPUS,
            Reasoning(effort="minimal"),
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}},
        ),
        (
            OPUS,
            Reasoning(effort="xhigh", display="omitted"),
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "xhigh"}},
        ),
        (NOVA_2, Reasoning(effort="low"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        (NOVA_2, Reasoning(effort="max"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (NOVA_2, Reasoning(effort="none"), {"reasoningConfig": {"type": "disabled"}}),
        (OSS, Reasoning(effort="medium"), {"reasoning_effort": "medium"}),
        ("openai.gpt-5.6-luna", Reasoning(effort="none"), {"reasoning": {"effort": "none"}}),
        ("openai.gpt-5.6-luna", Reasoning(effort="minimal"), {"reasoning": {"effort": "low"}}),
        ("qwen.qwen3-32b-v1:0", Reasoning(effort="high"), {"reasoning_config": "high"}),
        (LLAMA, Reasoning(effort="none"), {}),
    ],
)
def test_how_each_family_is_told_to_think(model: str, reasoning: Reasoning, fields: Json) -> None:
    body, lost = encode(model=model, reasoning=reasoning)
    assert own(body) == fields
    assert not lost


@pytest.mark.parametrize(
    ("model", "reasoning", "path"),
    [
        (LLAMA, Reasoning(effort="low"), "reasoning"),
        (OSS, Reasoning(effort="none"), "reasoning.effort"),
        (OSS, Reasoning(max_tokens=8000), "reasoning.max_tokens"),
        (OPUS, Reasoning(max_tokens=8000), "reasoning.max_tokens"),
        (CLAUDE, Reasoning(effort="low", summary="auto"), "reasoning.summary"),
        (CLAUDE, Reasoning(adaptive=True), "reasoning.adaptive"),
        (OSS, Reasoning(effort="low", display="omitted"), "reasoning.display"),
        (OSS, Reasoning(effort="low", extra={"depth": 3}), "reasoning.depth"),
    ],
)
def test_what_of_thinking_is_lost(model: str, reasoning: Reasoning, path: str) -> None:
    assert list(encode(model=model, reasoning=reasoning)[1]) == [path]


def test_verbosity_is_an_effort() -> None:
    body, lost = encode(model=SONNET_46, verbosity="low")
    assert (own(body), lost) == ({"output_config": {"effort": "low"}}, {})
    body, lost = encode(model=SONNET_46, verbosity="low", reasoning=Reasoning(effort="high"))
    assert (own(body)["output_config"], lost) == ({"effort": "high"}, {})
    assert list(encode(model=NOVA, verbosity="low")[1]) == ["verbosity"]


def test_a_budget_stays_below_the_output_limit() -> None:
    body, lost = encode(reasoning=Reasoning(max_tokens=8000), max_output=5000)
    assert (own(body)["thinking"]["budget_tokens"], lost) == (4999, {})
    body, lost = encode(reasoning=Reasoning(effort="low"), max_output=1024)
    assert (own(body), list(lost)) == ({}, ["reasoning"])


def test_thinking_gives_way_to_a_tool_that_is_forced() -> None:
    for choice in (ToolChoice(mode="required"), ToolChoice(mode="tool", name="look")):
        body, lost = encode(tools=(LOOK,), tool_choice=choice, reasoning=Reasoning(effort="low"))
        assert (own(body), list(lost)) == ({}, ["reasoning"])


def test_thinking_wants_the_thought_before_the_call() -> None:
    tail = (result("t1", "x"),)
    body, lost = encode(user("a"), message("assistant", call()), *tail, reasoning=Reasoning(effort="low"))
    assert (own(body), list(lost)) == ({}, ["reasoning"])
    body, lost = encode(user("a"), message("assistant", SIGNED, call()), *tail, reasoning=Reasoning(effort="low"))
    assert ("thinking" in own(body), lost) == (True, {})
    body, lost = encode(user("a"), message("assistant", call()), *tail, reasoning=Reasoning(effort="low"), model=OPUS)
    assert ("thinking" in own(body), lost) == (True, {})


def test_thinking_gives_way_to_an_answer_that_was_begun() -> None:
    body, lost = encode(user("a"), message("assistant", "It is"), reasoning=Reasoning(effort="low"))
    assert (own(body), list(lost)) == ({}, ["reasoning"])


def test_sampling_gives_way_to_thinking() -> None:
    sampling = Sampling(temperature=0.2, top_k=5, top_p=0.5)
    body, lost = encode(reasoning=Reasoning(effort="low"), sampling=sampling)
    assert ("inferenceConfig" in body, set(own(body))) == (False, {"thinking"})
    assert set(lost) == {"temperature", "top_k", "top_p"}


def test_novas_highest_effort_takes_no_limit() -> None:
    body, lost = encode(model=NOVA_2, reasoning=Reasoning(effort="high"), max_output=100)
    assert own(body)["reasoningConfig"]["maxReasoningEffort"] == "medium"
    assert list(lost) == ["reasoning.effort"]


def test_an_endpoint_that_does_not_think() -> None:
    body, lost = encode(reasoning=Reasoning(effort="low"), parameters=("temperature",))
    assert (list(body), list(lost)) == (["messages"], ["reasoning"])
    body, _ = encode(reasoning=Reasoning(effort="low"), parameters=("reasoning",))
    assert "thinking" in own(body)


def test_the_tables_are_total() -> None:
    assert {one.thinking for one in FAMILIES} <= set(WORDS)
    for one in FAMILIES:
        for effort in ("max", "xhigh", "high", "medium", "low", "minimal", "whatever"):
            assert nearest_effort(effort, one.efforts) in one.efforts


@pytest.mark.parametrize(
    ("model", "thinking", "shows", "one_sampler", "structured"),
    [
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "budget", False, False, False),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "budget", False, False, False),
        ("global.anthropic.claude-sonnet-4-20250514-v1:0", "budget", False, False, False),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "budget", False, True, False),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "budget", False, True, True),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", "budget", False, True, True),
        ("us.anthropic.claude-opus-4-6-v1", "adaptive", False, True, True),
        ("anthropic.claude-opus-4-7", "adaptive", True, True, True),
        ("anthropic.claude-sonnet-5", "adaptive", True, True, True),
        ("anthropic.claude-mythos-preview", "adaptive", True, True, True),
        ("us.amazon.nova-2-lite-v1:0", "nova", False, False, False),
        ("amazon.nova-pro-v1:0", "none", False, False, False),
        ("openai.gpt-oss-20b-1:0", "reasoning_effort", False, False, True),
        ("global.openai.gpt-5.6-sol", "reasoning", False, False, True),
        ("moonshot.kimi-k2-thinking", "reasoning_effort", False, False, True),
        ("us.deepseek.r1-v1:0", "none", False, False, False),
        ("deepseek.v3-v1:0", "none", False, False, True),
        ("zai.glm-4.7-flash", "none", False, False, True),
        ("mistral.mistral-large-3-675b-instruct", "none", False, False, True),
        ("cohere.command-r-v1:0", "none", False, False, False),
    ],
)
def test_which_family_a_model_is_of(
    model: str, thinking: str, shows: bool, one_sampler: bool, structured: bool
) -> None:
    found = family_of(model, endpoint(model).model)
    assert (found.thinking, found.hides_thinking, found.one_sampler, found.structured_output) == (
        thinking,
        shows,
        one_sampler,
        structured,
    )
    assert found.claude is ("claude" in model)


def test_an_arn_is_known_by_our_own_name() -> None:
    arn = endpoint("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc")
    assert not family_of(arn.upstream_model, arn.model).claude
    assert family_of(arn.upstream_model, "anthropic/claude-opus-4.7").hides_thinking


# Tools.


def test_tools() -> None:
    custom = Tool(kind="custom", name="sql", description="d")
    spaced = Tool(kind="function", name="read", namespace="files", strict=True, parameters={"type": "object"})
    body, lost = encode(tools=(msgspec.structs.replace(LOOK, description=""), custom, spaced))
    assert not lost
    assert [tool["toolSpec"] for tool in body["toolConfig"]["tools"]] == [
        {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {}}}},
        {
            "name": "sql",
            "description": "d",
            "inputSchema": {
                "json": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
            },
        },
        {"name": "files__read", "strict": True, "inputSchema": {"json": {"type": "object"}}},
    ]
    found, _ = turns(
        user("a"), message("assistant", ToolCallPart("t1", "sql", "select", custom=True)), result("t1", "x")
    )
    assert found[1]["content"][0]["toolUse"]["input"] == {"input": "select"}


@pytest.mark.parametrize(
    ("choice", "model", "told", "lost"),
    [
        (ToolChoice(mode="auto"), CLAUDE, {"auto": {}}, []),
        (ToolChoice(mode="required"), CLAUDE, {"any": {}}, []),
        (ToolChoice(mode="tool", name="look"), CLAUDE, {"tool": {"name": "look"}}, []),
        (ToolChoice(mode="tool", name="look"), OSS, {"any": {}}, []),
        (ToolChoice(mode="allowed", names=("look",)), CLAUDE, {"auto": {}}, []),
        (ToolChoice(mode="allowed", names=("look",), required=True), CLAUDE, {"any": {}}, []),
        (ToolChoice(mode="opaque", kind="web_search"), CLAUDE, None, ["tool_choice"]),
    ],
)
def test_choices(choice: ToolChoice, model: str, told: Json | None, lost: list[str]) -> None:
    other = msgspec.structs.replace(LOOK, name="other")
    body, found = encode(tools=(LOOK, other), tool_choice=choice, model=model)
    assert body["toolConfig"].get("toolChoice") == told
    assert list(found) == lost
    only = choice.mode == "allowed" or (choice.mode == "tool" and model == OSS)
    assert len(body["toolConfig"]["tools"]) == (1 if only else 2)


def test_no_tools_are_wanted() -> None:
    body, lost = encode(tools=(LOOK,), tool_choice=ToolChoice(mode="none"))
    assert ("toolConfig" in body, lost) == (False, {})
    used = (user("a"), message("assistant", call()), result("t1", "x"))
    body, lost = encode(*used, tools=(LOOK,), tool_choice=ToolChoice(mode="none"))
    assert ("toolChoice" in body["toolConfig"], list(lost)) == (False, ["tool_choice"])


def test_tools_that_were_used_and_are_not_sent_again() -> None:
    body, lost = encode(user("a"), message("assistant", call()), result("t1", "x"))
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["look"]
    assert not lost


def test_tools_of_others() -> None:
    body, lost = encode(tools=(Tool(kind="web_search"), LOOK))
    assert len(body["toolConfig"]["tools"]) == 1
    assert list(lost) == ["tools[0]"]
    bash = Tool(kind="bash_20250124", name="bash", extra={"max_characters": 9})
    body, lost = encode(dialect="messages", tools=(bash,), betas=("computer-use-2025-01-24",))
    assert not lost
    assert "toolConfig" not in body
    assert own(body) == {
        "tools": [{"type": "bash_20250124", "name": "bash", "max_characters": 9}],
        "anthropic_beta": ["computer-use-2025-01-24"],
    }
    assert list(encode(dialect="messages", tools=(bash,), model=NOVA)[1]) == ["tools[0]"]


def test_tools_that_bedrock_runs() -> None:
    search = Tool(kind="web_search_20250305", name="web_search", extra={"max_uses": 3})
    body, lost = encode(tools=(search, Tool(kind="web_search"), Tool(kind="code_interpreter"), LOOK), model=NOVA_2)
    names = [next(iter(tool.values()))["name"] for tool in body["toolConfig"]["tools"]]
    assert names == ["nova_grounding", "nova_code_interpreter", "look"]
    assert list(lost) == ["tools[0].max_uses"]


# Cache.

MARK = CacheMark()
POINT = {"cachePoint": {"type": "default"}}


def test_marks() -> None:
    body, lost = encode(
        message("system", TextPart("s", cache=CacheMark(ttl="1h"))),
        user(TextPart("a", cache=CacheMark(ttl="5m")), "b"),
        message("assistant", call()),
        result("t1", TextPart("x", cache=MARK)),
        tools=(msgspec.structs.replace(LOOK, cache=MARK),),
    )
    assert not lost
    assert body["system"] == [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert body["messages"][0]["content"] == [{"text": "a"}, POINT, {"text": "b"}]
    assert body["messages"][2]["content"][1] == POINT
    assert body["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "x"}]
    assert body["toolConfig"]["tools"][1] == POINT


def test_a_mark_behind_everything() -> None:
    body, _ = encode(user("a", cache=MARK), cache=MARK)
    assert body["messages"][0]["content"] == [{"text": "a"}, POINT]
    body, _ = encode(cache=MARK)
    assert body["messages"][0]["content"][-1] == POINT


def test_marks_that_are_too_many() -> None:
    body, lost = encode(
        message("system", TextPart("s", cache=MARK)), user(*(TextPart(text, cache=MARK) for text in "abc")), cache=MARK
    )
    assert POINT in body["system"]
    assert not lost
    body, lost = encode(
        message("system", TextPart("s", cache=MARK)), user(*(TextPart(text, cache=MARK) for text in "abcd"))
    )
    assert body["system"] == [{"text": "s"}]
    assert body["messages"][0]["content"].count(POINT) == 4
    assert list(lost) == ["cache_control"]


def test_models_that_take_no_marks() -> None:
    body, lost = encode(
        user(TextPart("a", cache=MARK)), tools=(msgspec.structs.replace(LOOK, cache=MARK),), cache=MARK, model=OSS
    )
    assert b"cachePoint" not in msgspec.json.encode(body)
    assert set(lost) == {"messages[0].content[0].cache_control", "tools[0].cache_control", "cache_control"}
    body, lost = encode(user(TextPart("a", cache=MARK)), tools=(msgspec.structs.replace(LOOK, cache=MARK),), model=NOVA)
    assert (POINT in body["messages"][0]["content"], list(lost)) == (True, ["tools[0].cache_control"])


# The rest.


def test_sampling() -> None:
    sampling = Sampling(temperature=1.5, top_p=0.9, top_k=40, stop=("END", " "), seed=1, logprobs=False, n=2)
    body, lost = encode(sampling=sampling, max_output=100)
    assert body["inferenceConfig"] == {"maxTokens": 100, "temperature": 1, "topP": 0.9, "stopSequences": ["END"]}
    assert own(body) == {"top_k": 40}
    assert body["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert set(lost) == {"temperature", "stop", "seed", "n"}
    body, lost = encode(sampling=Sampling(top_k=40, stop=("END",)), model=NOVA)
    assert own(body) == {"inferenceConfig": {"topK": 40}}
    assert ("additionalModelResponseFieldPaths" in body, lost) == (False, {})
    assert list(encode(sampling=Sampling(top_k=40), model=LLAMA)[1]) == ["top_k"]
    body, lost = encode(sampling=Sampling(temperature=0.5, top_p=0.9), model=SONNET_46)
    assert (body["inferenceConfig"], list(lost)) == ({"temperature": 0.5}, ["top_p"])
    body, lost = encode(sampling=sampling, parameters=("top_p",))
    assert body["inferenceConfig"] == {"topP": 0.9}
    assert {"temperature", "top_k", "stop"} <= set(lost)


@pytest.mark.parametrize(
    "model",
    [OPUS, "us.anthropic.claude-sonnet-5-v1:0", "anthropic.claude-haiku-4-8", "anthropic.claude-mythos-preview"],
)
def test_the_newest_take_no_sampling(model: str) -> None:
    sampling = Sampling(temperature=1.5, top_p=0.9, top_k=1, stop=("END",))
    for reasoning in (None, Reasoning(effort="low")):
        body, lost = encode(sampling=sampling, max_output=9000, model=model, reasoning=reasoning)
        assert body["inferenceConfig"] == {"maxTokens": 9000, "stopSequences": ["END"]}
        assert "top_k" not in body.get("additionalModelRequestFields", {})
        assert lost == dict.fromkeys(("temperature", "top_p", "top_k"), "the model takes none")
    body, lost = encode(sampling=Sampling(temperature=1, top_p=1.0), model=model)
    assert (list(body), lost) == (["messages"], {})  # which is what it does anyway


def test_the_shape_of_the_answer() -> None:
    shape = ResponseFormat(kind="json_schema", name="n", description="d", schema={"type": "object"}, strict=True)
    body, lost = encode(response_format=shape, model=OPUS)
    assert not lost
    assert body["outputConfig"] == {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": '{"type":"object"}', "name": "n", "description": "d"}},
        }
    }
    assert list(encode(response_format=shape, model=NOVA)[1]) == ["response_format"]
    assert list(encode(response_format=ResponseFormat(kind="json_object"), model=OPUS)[1]) == ["response_format"]
    assert encode(response_format=ResponseFormat(kind="text")) == encode()


def test_what_stands_beside() -> None:
    metadata = {"team": "a b", "bad": "<x>", **{f"k{at}": "" for at in range(20)}}
    body, lost = encode(service_tier="flex", metadata=metadata, betas=("made-up-1", "context-1m-2025-08-07"))
    assert body["serviceTier"] == {"type": "flex"}
    assert (len(body["requestMetadata"]), body["requestMetadata"]["team"]) == (16, "a b")
    assert own(body) == {"anthropic_beta": ["context-1m-2025-08-07"]}
    assert {"metadata.bad", "metadata.k15", "anthropic-beta: made-up-1"} <= set(lost)
    assert encode(service_tier="auto", parallel_tool_calls=True, modalities=("text",)) == encode()
    lost = encode(service_tier="scale", parallel_tool_calls=False, modalities=("text", "audio"))[1]
    assert set(lost) == {"service_tier", "parallel_tool_calls", "modalities"}


def test_quirks() -> None:
    quirks = Quirks(drop=("serviceTier",), body={"guardrailConfig": {"guardrailIdentifier": "g"}})
    body, lost = encode(service_tier="flex", quirks=quirks)
    assert body.keys() == {"messages", "guardrailConfig"}
    assert list(lost) == ["serviceTier"]


def test_paths_are_in_the_words_of_who_asked() -> None:
    _, lost = encode(user(ImagePart(file_id="f"), "a"), dialect="responses")
    assert list(lost) == ["input[0].content[0]"]
