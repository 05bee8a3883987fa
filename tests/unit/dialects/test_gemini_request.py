"""Requests of other dialects as they leave for Gemini, and what of them is lost."""

from typing import Any

import msgspec
import pytest
from gemini_help import FLASH, GEMINI, PRO, THREE, asked, endpoint, sent
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.common.reasoning import ANTHROPIC
from trunkline.dialects.common.reasoning import GEMINI as OURS
from trunkline.dialects.common.tool_pairing import NO_RESULT, NOTHING
from trunkline.dialects.google_genai.request_encoder import MAX_STOPS, SAMPLING, UNSAID
from trunkline.dialects.google_genai.request_messages import NAME, NO_SIGNATURE, STAND_IN, joined
from trunkline.dialects.google_genai.request_tools import RUNS
from trunkline.dialects.google_genai.token_count import GeminiCounter
from trunkline.dialects.interfaces import Quirks
from trunkline.families import gemini
from trunkline.families.lookup import UNKNOWN, family_of
from trunkline.model.errors import UpstreamGarbled
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
PNG = "data:image/png;base64,iVBORw0KGgo="
INLINE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
LITE, PRO_31, PRO_3 = "gemini-2.5-flash-lite", "gemini-3.1-pro-preview", "gemini-3-pro-preview"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
LOOK = Tool(kind="function", name="look", description="Look.", parameters=SCHEMA)
FIND = Tool(kind="function", name="find", parameters=SCHEMA)
VERTEX = Quirks(vertex=True)
CACHED = "Gemini caches by itself"


def message(role: Role, *parts: Part | str, **more: Any) -> Message:
    return Message(role=role, parts=tuple(TextPart(p) if isinstance(p, str) else p for p in parts), **more)


def user(*parts: Part | str, **more: Any) -> Message:
    return message("user", *parts, **more)


def model(*parts: Part | str, **more: Any) -> Message:
    return message("assistant", *parts, **more)


def call(id_: str = "t1", arguments: str = "{}", **more: Any) -> ToolCallPart:
    return ToolCallPart(id_, "look", arguments, **more)


def result(id_: str = "t1", *parts: Part | str, **more: Any) -> Message:
    return message("tool", *parts, tool_call_id=id_, **more)


def encode(
    *messages: Message,
    to: str = FLASH,
    quirks: Quirks | None = None,
    parameters: tuple[str, ...] = (),
    **more: Any,
) -> tuple[Json, dict[str, str]]:
    """The body, and what is lost: path → why."""
    fields: Json = {"dialect": "chat", "messages": messages or (user("Hi"),), **more}
    encoded = GEMINI.encode(Request(**fields), endpoint(to, parameters), quirks or Quirks())
    assert all(loss.direction == "request" for loss in encoded.losses)
    return msgspec.json.decode(encoded.body), {loss.path: loss.why for loss in encoded.losses}


def turns(*messages: Message, **more: Any) -> tuple[list[Json], dict[str, str]]:
    body, lost = encode(*messages, **more)
    return body["contents"], lost


def config(**more: Any) -> tuple[Json, list[str]]:
    body, lost = encode(**more)
    return body.get("generationConfig", {}), list(lost)


def test_the_least() -> None:
    assert encode() == ({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, {})


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("gemini-2.5-flash", "/models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash"),
        ("acme/odd name?", "/models/acme%2Fodd%20name%3F"),
        ("gemini-2.5-flash@001", "/models/gemini-2.5-flash@001"),
        ("tunedModels/mine-1", "/tunedModels/mine-1"),
    ],
)
def test_paths(name: str, path: str) -> None:
    assert GEMINI.path(name, stream=False) == f"{path}:generateContent"
    assert GEMINI.path(name, stream=True) == f"{path}:streamGenerateContent?alt=sse"
    assert GeminiCounter().path(name) == f"{path}:countTokens"


# Turns.


def test_system_messages_stand_apart() -> None:
    body, lost = encode(message("system", "A"), message("developer", "B"), user("Hi"), message("system", "C"))
    assert body["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}, {"text": "C"}], "role": "user"}
    assert list(lost) == ["messages[3]"]


def test_system_messages_alone() -> None:
    body, lost = encode(message("system", "A"), message("system", "B"))
    assert body["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}], "role": "user"}
    assert body["contents"] == [{"role": "user", "parts": [{"text": NOTHING}]}]
    assert not lost


def test_turns_alternate() -> None:
    found, lost = turns(user("a"), user("b"), model("c"), model("d"), user("e"), user(""))
    assert [turn["role"] for turn in found] == ["user", "model", "user"]
    assert found[0]["parts"] == [{"text": "a"}, {"text": "b"}]
    assert not lost


def test_a_conversation_begins_with_the_user() -> None:
    found, lost = turns(model("Hello"), user("Hi"))
    assert found[0] == {"role": "user", "parts": [{"text": NOTHING}]}
    assert list(lost) == ["messages[0]"]


def test_a_name_stands_before_what_is_said() -> None:
    assert turns(user("Hi", name="ann"))[0][0]["parts"] == [{"text": "ann: Hi"}]


def test_calls_and_results_name_the_function() -> None:
    found, lost = turns(
        user("a"),
        model("b", call("t1", '{"x": 1}'), ToolCallPart("t2", "find", "")),
        result("t2", "two", is_error=True),
        result("t1", '{"y": 2}'),
        user("and"),
    )
    assert not lost
    assert found[1]["parts"][1:] == [
        {"functionCall": {"id": "t1", "name": "look", "args": {"x": 1}}},
        {"functionCall": {"id": "t2", "name": "find", "args": {}}},
    ]
    assert found[2]["parts"] == [
        {"functionResponse": {"id": "t1", "name": "look", "response": {"y": 2}}},
        {"functionResponse": {"id": "t2", "name": "find", "response": {"error": "two"}}},
        {"text": "and"},
    ]


def test_vertex_takes_no_ids() -> None:
    found, _ = turns(user("a"), model(call()), result("t1", "x"), quirks=VERTEX)
    assert found[1]["parts"] == [{"functionCall": {"name": "look", "args": {}}}]
    assert found[2]["parts"] == [{"functionResponse": {"name": "look", "response": {"output": "x"}}}]


@pytest.mark.parametrize(
    ("said", "failed", "response"),
    [
        ("plain", None, {"output": "plain"}),
        ("[1, 2]", None, {"output": [1, 2]}),
        ("3", False, {"output": 3}),
        ("null", None, {"output": "null"}),
        ("", None, {"output": ""}),
        ('{"a": 1}', False, {"a": 1}),
        ('{"a": 1}', True, {"error": {"a": 1}}),
        ("no", True, {"error": "no"}),
    ],
)
def test_results(said: str, failed: bool | None, response: Json) -> None:
    found, lost = turns(user("a"), model(call()), result("t1", said, is_error=failed))
    assert found[2]["parts"][0]["functionResponse"]["response"] == response
    assert not lost


def test_what_a_result_holds_beside_text_stands_behind_all_results() -> None:
    pdf = FilePart(data="data:application/pdf;base64,JVBERi0=", filename="a.pdf")
    found, lost = turns(
        user("a"),
        model(call("t1"), call("t2")),
        result("t1", "one", ImagePart(PNG)),
        result("t2", pdf, "two"),
        user("b"),
    )
    first, second, image, document, text = found[2]["parts"]
    assert first["functionResponse"]["response"] == {"output": "one"}
    assert second["functionResponse"]["response"] == {"output": "two"}
    assert image == INLINE
    assert document == {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}}
    assert text == {"text": "b"}
    assert not lost


def test_what_of_a_result_is_lost_is_named_by_its_place() -> None:
    marked = TextPart("one", cache=CacheMark(), extra={"shade": 1})
    _, lost = turns(user("a"), model(call()), result("t1", marked, OpaquePart({"type": "hologram"})))
    assert set(lost) == {
        "messages[2].content[0].cache_control",
        "messages[2].content[0].shade",
        "messages[2].content[1]",
    }


def test_a_call_that_nobody_answered() -> None:
    found, lost = turns(user("a"), model(call()), user("b"))
    assert found[2]["parts"] == [
        {"functionResponse": {"id": "t1", "name": "look", "response": {"error": NO_RESULT}}},
        {"text": "b"},
    ]
    assert len(lost) == 1


def test_a_result_without_a_call() -> None:
    found, lost = turns(user("a"), result("t9", "nine"), model("c"), user("d"))
    assert "t9" in found[0]["parts"][1]["text"]
    assert found[0]["parts"][2] == {"text": "nine"}
    assert list(lost) == ["messages[1]"]


@pytest.mark.parametrize(
    ("arguments", "args", "lossy"),
    [("[1]", {"input": "[1]"}, True), ("{", {"input": "{"}, True), ("{}", {}, False), ("", {}, False)],
)
def test_arguments_that_are_no_object(arguments: str, args: Json, lossy: bool) -> None:
    found, lost = turns(user("a"), model(call("t1", arguments)), result("t1", "x"))
    assert found[1]["parts"][0]["functionCall"]["args"] == args
    assert list(lost) == (["messages[1].content[0].arguments"] if lossy else [])


def test_free_form_input() -> None:
    found, lost = turns(user("a"), model(call("t1", "SELECT", custom=True)), result("t1", "x"))
    assert (found[1]["parts"][0]["functionCall"]["args"], lost) == ({"input": "SELECT"}, {})


# Names.


@pytest.mark.parametrize(
    ("namespace", "name", "written"),
    [
        (None, "look", "look"),
        (None, "a.b-c_d", "a.b-c_d"),
        ("mcp", "look", "mcp__look"),
        (None, "2look", "_2look"),
        (None, "-look", "_-look"),
        (None, "look at:it", "look_at_it"),
        (None, "é", "_"),
    ],
)
def test_names(namespace: str | None, name: str, written: str) -> None:
    assert joined(namespace, name) == written


@given(namespace=st.none() | st.text(max_size=80), name=st.text(max_size=80))
def test_every_name_can_be_taken(namespace: str | None, name: str) -> None:
    assert NAME.fullmatch(joined(namespace, name))


def test_long_names_stay_apart() -> None:
    names = {joined("n" * 60, f"{'x' * 20}{at}") for at in range(20)}
    assert len(names) == 20


def test_a_name_that_gemini_refuses_is_the_same_everywhere() -> None:
    odd = Tool(kind="function", name="2 looks", parameters=SCHEMA)
    body, lost = encode(
        user("a"),
        model(ToolCallPart("t1", "2 looks", "{}")),
        result("t1", "x"),
        tools=(odd,),
        tool_choice=ToolChoice(mode="tool", name="2 looks"),
    )
    assert body["tools"][0]["functionDeclarations"][0]["name"] == "_2_looks"
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["_2_looks"]
    assert body["contents"][1]["parts"][0]["functionCall"]["name"] == "_2_looks"
    assert body["contents"][2]["parts"][0]["functionResponse"]["name"] == "_2_looks"
    assert not lost, "it comes back by its own name"


# Parts.


def test_images_documents_and_more() -> None:
    found, lost = turns(
        user(
            ImagePart(PNG),
            ImagePart("https://a.example/a.JPG?x=1"),
            ImagePart("gs://bucket/b"),
            VideoPart("https://www.youtube.com/watch?v=x"),
            VideoPart("data:video/webm;base64,AAAA"),
            AudioPart("AAAA", "mp3"),
            AudioPart("AAAA", "opus"),
            FilePart(data="https://a.example/r.pdf", filename="r.pdf"),
            FilePart(data="data:;base64,AAAA", context="c"),
            FilePart(text="plain", title="T"),
            FilePart(text="bare"),
            FilePart(content=(TextPart("x"), ImagePart(PNG)), title="U"),
            SearchResultPart("https://a.example", "V", (TextPart("y"), TextPart("z"))),
        )
    )
    assert not lost
    assert found[0]["parts"] == [
        INLINE,
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a.example/a.JPG?x=1"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "gs://bucket/b"}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "https://www.youtube.com/watch?v=x"}},
        {"inlineData": {"mimeType": "video/webm", "data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/opus", "data": "AAAA"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://a.example/r.pdf"}},
        {"text": "c"},
        {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
        {"text": "T\nplain"},
        {"text": "bare"},
        {"text": "U"},
        {"text": "x"},
        INLINE,
        {"text": "V (https://a.example)\ny\nz"},
    ]


@pytest.mark.parametrize(
    ("said", "data", "told"),
    [
        ("image/PNG", "AAAA", "image/png"),
        ("image/jpg", "AAAA", "image/jpeg"),
        ("", "iVBORw0KGgo=", "image/png"),
        ("image/*", "R0lGODlh", "image/gif"),
        ("", "AAAA", "image/jpeg"),
        ("image/webp;charset=x", "AAAA", "image/webp"),
    ],
)
def test_the_type_of_an_image(said: str, data: str, told: str) -> None:
    found, lost = turns(user(ImagePart(f"data:{said};base64,{data}")))
    assert found[0]["parts"] == [{"inlineData": {"mimeType": told, "data": data}}]
    assert not lost


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(file_id="f"),
        ImagePart("s3://bucket/a.png"),
        FilePart(file_id="f"),
        FilePart(),
        VideoPart("nonsense"),
        OpaquePart({"type": "hologram"}),
    ],
)
def test_what_cannot_be_shown(part: Part) -> None:
    found, lost = turns(user("a", part))
    assert found == [{"role": "user", "parts": [{"text": "a"}]}]
    assert list(lost) == ["messages[0].content[1]"]


def test_what_other_dialects_say_beside() -> None:
    said = model(TextPart("b", extra={"shade": 1, "none": None}), RefusalPart("no"), extra={"mood": "glad"})
    cited = FilePart(text="p", citations=True), SearchResultPart("s", "t", citations=True)
    body, lost = encode(
        user("a", *cited), said, user("c", cache=CacheMark()), extra={"hints": 1, "plugins": [], "nothing": None},
        user="u", verbosity="low", service_tier="flex", cache=CacheMark(), betas=("x-1",), metadata={"a": "b"},
        prompt_cache_key="k",
    )  # fmt: skip
    assert body["contents"][1]["parts"] == [{"text": "b"}, {"text": "no"}]
    assert set(lost) == {
        "messages[0].content[1].citations", "messages[0].content[2].citations", "messages[1].content[0].shade",
        "messages[1].mood", "messages[2].cache_control", "hints", "user", "verbosity", "service_tier",
        "cache_control", "anthropic-beta: x-1", "metadata", "prompt_cache_key",
    }  # fmt: skip
    assert lost["cache_control"] == CACHED


# Thoughts of earlier turns.

SIGNATURE = ReasoningPart(form="encrypted", text="sig", format=OURS)
OF_CALL = ReasoningPart(form="encrypted", text="sig", format=OURS, id="t1")
THOUGHT = ReasoningPart(form="text", text="Hm", format=OURS)


def test_a_signature_goes_back_on_its_call() -> None:
    found, lost = turns(
        user("a"), model(THOUGHT, OF_CALL, call("t1"), call("t2")), result("t1"), result("t2"), to=THREE
    )
    first, second = found[1]["parts"]
    assert first["thoughtSignature"] == "sig"
    assert "thoughtSignature" not in second
    assert not lost


def test_a_signature_of_no_call_stands_behind_what_was_said() -> None:
    found, lost = turns(user("a"), model(THOUGHT, "b", SIGNATURE), user("c"))
    assert found[1]["parts"] == [{"text": "b"}, {"text": "", "thoughtSignature": "sig"}]
    assert not lost


def test_gemini_3_wants_a_signature_on_the_first_call_of_the_current_turn() -> None:
    said = (user("a"), model(call("t1")), result("t1"), user("b"), model(call("t2"), call("t3")), result("t2"))
    found, lost = turns(*said, result("t3"), to=THREE)
    assert "thoughtSignature" not in found[1]["parts"][0]
    assert found[3]["parts"][0]["thoughtSignature"] == STAND_IN
    assert "thoughtSignature" not in found[3]["parts"][1]
    assert lost == {"messages[4].content[0].signature": NO_SIGNATURE}
    assert turns(*said, result("t3"), to=FLASH)[1] == {}


@pytest.mark.parametrize(
    "part",
    [
        ReasoningPart(form="text", text="Hm", signature="s", format=ANTHROPIC),
        ReasoningPart(form="encrypted", text="s", format="openai-responses-v1", id="t1"),
        ReasoningPart(form="plain", text="Hm"),
        THOUGHT,
    ],
)
def test_other_thoughts_are_dropped(part: ReasoningPart) -> None:
    found, lost = turns(user("a"), model(part, "b", call("t1")), result("t1"))
    assert found[1]["parts"] == [{"text": "b"}, {"functionCall": {"id": "t1", "name": "look", "args": {}}}]
    assert list(lost) == ["messages[1].content[0]"]


def test_a_provider_that_takes_anothers_thoughts() -> None:
    odd = ReasoningPart(form="encrypted", text="s", format=ANTHROPIC)
    found, lost = turns(user("a"), model("b", odd), user("c"), quirks=Quirks(reasoning_format=ANTHROPIC))
    assert (found[1]["parts"][1], lost) == ({"text": "", "thoughtSignature": "s"}, {})


# Thinking.


def thought(to: str, reasoning: Reasoning, **more: Any) -> tuple[Json | None, list[str]]:
    found, lost = config(to=to, reasoning=reasoning, **more)
    return found.get("thinkingConfig"), lost


@pytest.mark.parametrize(
    ("to", "reasoning", "told"),
    [
        (FLASH, Reasoning(max_tokens=4000), {"includeThoughts": True, "thinkingBudget": 4000}),
        (FLASH, Reasoning(max_tokens=-1), {"includeThoughts": True, "thinkingBudget": -1}),
        (FLASH, Reasoning(max_tokens=0), {"thinkingBudget": 0}),
        (FLASH, Reasoning(effort="none"), {"thinkingBudget": 0}),
        (FLASH, Reasoning(enabled=False), {"thinkingBudget": 0}),
        (FLASH, Reasoning(enabled=False, effort="low"), {"thinkingBudget": 0}),
        (FLASH, Reasoning(adaptive=True), {"includeThoughts": True, "thinkingBudget": -1}),
        (FLASH, Reasoning(effort="high"), {"includeThoughts": True, "thinkingBudget": 13_107}),
        (FLASH, Reasoning(effort="low", exclude=True), {"includeThoughts": False, "thinkingBudget": 3276}),
        (FLASH, Reasoning(effort="low", display="omitted"), {"includeThoughts": False, "thinkingBudget": 3276}),
        (FLASH, Reasoning(), None),
        (LITE, Reasoning(effort="none"), {"thinkingBudget": 0}),
        (PRO, Reasoning(effort="medium"), {"includeThoughts": True, "thinkingBudget": 8192}),
        (THREE, Reasoning(effort="minimal"), {"includeThoughts": True, "thinkingLevel": "minimal"}),
        (THREE, Reasoning(effort="medium"), {"includeThoughts": True, "thinkingLevel": "medium"}),
        (THREE, Reasoning(effort="xhigh"), {"includeThoughts": True, "thinkingLevel": "high"}),
        (THREE, Reasoning(max_tokens=4000), {"includeThoughts": True, "thinkingBudget": 4000}),
        (THREE, Reasoning(max_tokens=4000, effort="high"), {"includeThoughts": True, "thinkingBudget": 4000}),
        (THREE, Reasoning(adaptive=True), {"includeThoughts": True}),
        (PRO_31, Reasoning(effort="minimal"), {"includeThoughts": True, "thinkingLevel": "low"}),
        (PRO_31, Reasoning(effort="medium"), {"includeThoughts": True, "thinkingLevel": "medium"}),
        (PRO_3, Reasoning(effort="medium"), {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-12-flash", Reasoning(effort="low"), {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemma-3-27b-it", Reasoning(effort="none"), {"thinkingBudget": 0}),
    ],
)
def test_how_each_model_is_told_to_think(to: str, reasoning: Reasoning, told: Json | None) -> None:
    assert thought(to, reasoning) == (told, [])


@pytest.mark.parametrize(
    ("to", "reasoning", "told", "path"),
    [
        (PRO, Reasoning(effort="none"), {"thinkingBudget": 128}, "reasoning"),
        (PRO, Reasoning(max_tokens=0), {"thinkingBudget": 128}, "reasoning"),
        (THREE, Reasoning(effort="none"), {"thinkingLevel": "minimal"}, "reasoning"),
        (PRO_31, Reasoning(enabled=False), {"thinkingLevel": "low"}, "reasoning"),
        (PRO, Reasoning(max_tokens=50), {"includeThoughts": True, "thinkingBudget": 128}, "reasoning.max_tokens"),
        (FLASH, Reasoning(max_tokens=99_999), {"includeThoughts": True, "thinkingBudget": 24_576},
         "reasoning.max_tokens"),
        (LITE, Reasoning(max_tokens=9), {"includeThoughts": True, "thinkingBudget": 512}, "reasoning.max_tokens"),
        (FLASH, Reasoning(effort="none", summary="detailed"), {"thinkingBudget": 0}, "reasoning.summary"),
        (FLASH, Reasoning(effort="none", mode="pro"), {"thinkingBudget": 0}, "reasoning.mode"),
    ],
)  # fmt: skip
def test_what_of_thinking_is_lost(to: str, reasoning: Reasoning, told: Json, path: str) -> None:
    assert thought(to, reasoning) == (told, [path])


def test_thoughts_leave_room_for_an_answer() -> None:
    told, lost = thought(FLASH, Reasoning(effort="high"), max_output=1000)
    assert (told, lost) == ({"includeThoughts": True, "thinkingBudget": 800}, [])


def test_what_of_thinking_only_its_own_dialect_knows() -> None:
    assert thought(FLASH, Reasoning(extra={"type": "between_tools"})) == (None, ["reasoning.type"])


REASONING = st.builds(
    Reasoning,
    effort=st.sampled_from([None, "max", "xhigh", "high", "medium", "low", "minimal", "none"]),
    max_tokens=st.none() | st.integers(-1, 200_000),
    enabled=st.sampled_from([None, True, False]),
    exclude=st.sampled_from([None, True, False]),
    adaptive=st.sampled_from([None, True]),
)


@given(
    reasoning=REASONING,
    to=st.sampled_from([FLASH, PRO, LITE, THREE, PRO_31, PRO_3, "other"]),
    most=st.none() | st.integers(1, 99_999),
)
def test_a_level_or_a_budget_and_within_what_the_model_takes(reasoning: Reasoning, to: str, most: int | None) -> None:
    told = thought(to, reasoning, max_output=most)[0] or {}
    family = family_of(to)
    assert not {"thinkingLevel", "thinkingBudget"} <= told.keys()
    if "thinkingLevel" in told:
        assert told["thinkingLevel"] in family.levels
    budget = told.get("thinkingBudget", -1)
    if budget == 0:
        assert family.stops_thinking
    elif budget != -1 and not family.levels:
        assert family.least_budget <= budget <= (family.most_budget or budget)


def test_every_family_is_somebodys() -> None:
    names = (PRO_3, PRO_31, THREE, PRO, LITE, FLASH)
    assert tuple(map(family_of, names)) == gemini.FAMILY
    assert family_of("models/Gemini-3.5-Flash") == gemini.FAMILY[2]
    assert family_of("gemini-2.0-flash") == UNKNOWN


# Settings.


def test_sampling() -> None:
    said = Sampling(
        temperature=0.5, top_p=0.9, top_k=3, seed=7, presence_penalty=0.1, frequency_penalty=0.2, n=2, logprobs=True,
        top_logprobs=4, stop=("a", "b"),
    )  # fmt: skip
    found, lost = config(sampling=said, max_output=9)
    assert found == {
        "temperature": 0.5, "topP": 0.9, "topK": 3, "seed": 7, "presencePenalty": 0.1, "frequencyPenalty": 0.2,
        "candidateCount": 2, "responseLogprobs": True, "logprobs": 4, "stopSequences": ["a", "b"],
        "maxOutputTokens": 9,
    }  # fmt: skip
    assert not lost
    assert set(SAMPLING) | {*UNSAID, "stop"} == {field.name for field in msgspec.structs.fields(Sampling)}


def test_what_gemini_has_no_word_for() -> None:
    said = Sampling(top_a=0.1, min_p=0.2, repetition_penalty=1.1, logit_bias={"1": 2.0}, stop=tuple("abcdefg"))
    found, lost = config(sampling=said)
    assert found == {"stopSequences": list("abcdefg"[:MAX_STOPS])}
    assert set(lost) == {*UNSAID, "stop"}


@pytest.mark.parametrize(
    ("logprobs", "top", "told"),
    [
        (True, None, {"responseLogprobs": True}),
        (None, 3, {"responseLogprobs": True, "logprobs": 3}),
        (True, 0, {"responseLogprobs": True, "logprobs": 0}),
        (False, 3, {"responseLogprobs": False}),
    ],
)
def test_log_probabilities(logprobs: bool | None, top: int | None, told: Json) -> None:
    assert config(sampling=Sampling(logprobs=logprobs, top_logprobs=top)) == (told, [])


def test_parameters_that_an_endpoint_does_not_take() -> None:
    found, lost = config(sampling=Sampling(temperature=1, seed=7, n=2), parameters=("temperature",))
    assert (found, lost) == ({"temperature": 1, "candidateCount": 2}, ["seed"])


def test_modalities_and_images() -> None:
    extra = {"image_config": {"aspect_ratio": "16:9", "image_size": "2K", "mood": "glad"}}
    found, lost = config(modalities=("text", "image", "audio", "smell"), extra=extra)
    assert found == {
        "responseModalities": ["TEXT", "IMAGE", "AUDIO", "SMELL"],
        "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
    }
    assert lost == ["image_config.mood"]


def test_shapes() -> None:
    shape = ResponseFormat(kind="json_schema", name="s", schema={"type": "object", "additionalProperties": False})
    json = {"responseMimeType": "application/json"}
    assert config(response_format=ResponseFormat(kind="text")) == ({}, [])
    assert config(response_format=ResponseFormat(kind="json_object")) == (json, [])
    assert config(response_format=shape) == ({**json, "responseJsonSchema": shape.schema}, [])
    assert config(response_format=shape, quirks=Quirks(schema="gemini")) == (
        {**json, "responseSchema": {"type": "object"}},
        ["response_format.additionalProperties"],
    )
    assert config(response_format=ResponseFormat(kind="grammar")) == ({}, ["response_format"])


def test_quirks_of_a_provider() -> None:
    safety = [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "OFF"}]
    body, lost = encode(
        message("system", "A"), user("b"), quirks=Quirks(body={"safetySettings": safety}, drop=("systemInstruction",))
    )
    assert body == {"contents": [{"role": "user", "parts": [{"text": "b"}]}], "safetySettings": safety}
    assert list(lost) == ["systemInstruction"]


# Tools.


def test_functions() -> None:
    bare = Tool(kind="function", name="bare", parameters={"type": "object", "properties": {}})
    free = Tool(kind="custom", name="sql", format={"type": "grammar", "syntax": "lark"})
    spaced = Tool(kind="function", name="read", namespace="files", parameters=SCHEMA, strict=True, cache=CacheMark())
    body, lost = encode(tools=(LOOK, bare, free, spaced))
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "look", "description": "Look.", "parametersJsonSchema": SCHEMA},
                {"name": "bare"},
                {
                    "name": "sql",
                    "parametersJsonSchema": {
                        "type": "object",
                        "properties": {"input": {"type": "string"}},
                        "required": ["input"],
                    },
                },
                {"name": "files__read", "parametersJsonSchema": SCHEMA},
            ]
        }
    ]
    assert set(lost) == {"tools[2].format", "tools[3].cache_control", "tools[3].strict"}


def test_the_older_schemas() -> None:
    odd = Tool(kind="function", name="f", parameters={**SCHEMA, "additionalProperties": False})
    body, lost = encode(tools=(odd,), quirks=Quirks(schema="gemini"))
    assert body["tools"][0]["functionDeclarations"] == [{"name": "f", "parameters": SCHEMA}]
    assert list(lost) == ["tools[0].parameters.additionalProperties"]


@pytest.mark.parametrize(
    ("parameters", "old", "new", "lost"),
    [
        ({"$ref": "#/$defs/A", "$defs": {"A": SCHEMA}}, SCHEMA, True, []),
        ({"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": SCHEMA}}, SCHEMA, True, ["anyOf"]),
        ({"allOf": [SCHEMA]}, SCHEMA, True, []),
        ({"type": "object", "additionalProperties": {"type": "string"}}, None, True, ["additionalProperties"]),
        ({"type": "object", "properties": {}, "additionalProperties": False, "description": "d"}, None, True,
         ["additionalProperties"]),
        ({"type": "object", "properties": {}}, None, False, []),
        ({"$schema": "x"}, None, False, []),
    ],
)  # fmt: skip
def test_the_root_of_a_tools_schema(parameters: Json, old: Json | None, new: bool, lost: list[str]) -> None:
    tools = (Tool(kind="function", name="f", parameters=parameters),)
    for vertex in (True, False):
        body, losses = encode(tools=tools, quirks=Quirks(schema="gemini", vertex=vertex))
        assert body["tools"][0]["functionDeclarations"][0].get("parameters") == old
        assert list(losses) == [f"tools[0].parameters.{path}" for path in lost]
    body, losses = encode(tools=tools)
    assert body["tools"][0]["functionDeclarations"][0].get("parametersJsonSchema") == (parameters if new else None)
    assert not losses


@pytest.mark.parametrize(
    ("choice", "told", "declared"),
    [
        (None, None, ["look", "find"]),
        (ToolChoice(mode="auto"), {"mode": "AUTO"}, ["look", "find"]),
        (ToolChoice(mode="none"), {"mode": "NONE"}, ["look", "find"]),
        (ToolChoice(mode="required"), {"mode": "ANY"}, ["look", "find"]),
        (ToolChoice(mode="tool", name="find"), {"mode": "ANY", "allowedFunctionNames": ["find"]}, ["look", "find"]),
        (ToolChoice(mode="allowed", names=("find",), required=True),
         {"mode": "ANY", "allowedFunctionNames": ["find"]}, ["look", "find"]),
        (ToolChoice(mode="allowed", names=("find", "web_search")), None, ["find"]),
    ],
)  # fmt: skip
def test_which_tool_to_call(choice: ToolChoice | None, told: Json | None, declared: list[str]) -> None:
    body, lost = encode(tools=(LOOK, FIND), tool_choice=choice)
    assert body.get("toolConfig", {}).get("functionCallingConfig") == told
    assert [one["name"] for one in body["tools"][0]["functionDeclarations"]] == declared
    assert not lost


@pytest.mark.parametrize(
    "choice", [ToolChoice(mode="tool", name="gone"), ToolChoice(mode="allowed"), ToolChoice(mode="opaque", kind="x")]
)
def test_choices_that_cannot_be_said(choice: ToolChoice) -> None:
    body, lost = encode(tools=(LOOK,), tool_choice=choice)
    assert "toolConfig" not in body
    assert list(lost) == ["tool_choice"]


def test_one_call_at_a_time() -> None:
    assert list(encode(tools=(LOOK,), parallel_tool_calls=False)[1]) == ["parallel_tool_calls"]
    assert not encode(tools=(LOOK,), parallel_tool_calls=True)[1]


@pytest.mark.parametrize(("kind", "name"), [*RUNS, ("web_search_20250305", "googleSearch")])
def test_tools_that_google_runs(kind: str, name: str) -> None:
    assert encode(tools=(Tool(kind=kind),))[0]["tools"] == [{name: {}}]
    none = encode(tools=(Tool(kind=kind),), tool_choice=ToolChoice(mode="none"))
    assert "tools" not in none[0]


def test_tools_that_google_runs_not() -> None:
    body, lost = encode(tools=(Tool(kind="web_search"), Tool(kind="file_search"), LOOK))
    assert list(body["tools"][0]) == ["functionDeclarations"]
    assert set(lost) == {"tools[0]", "tools[1]"}
    assert list(encode(tools=(Tool(kind="web_search", extra={"max_uses": 3}),))[1]) == ["tools[0].max_uses"]


# Counting.


def counted(quirks: Quirks) -> Json:
    asked = (message("system", "A"), user("Hi"))
    request = Request(dialect="chat", messages=asked, tools=(LOOK,), tool_choice=ToolChoice(mode="none"))
    body = GeminiCounter().encode(request, endpoint("models/gemini-2.5-pro"), quirks).body
    return msgspec.json.decode(body, type=Json)


def test_ai_studio_counts_a_whole_request() -> None:
    asked = counted(Quirks())["generateContentRequest"]
    assert asked["model"] == "models/gemini-2.5-pro"
    assert asked.keys() == {"model", "contents", "systemInstruction", "tools", "toolConfig"}


def test_vertex_counts_fields() -> None:
    assert counted(VERTEX).keys() == {"contents", "systemInstruction", "tools"}


def test_counts() -> None:
    assert GeminiCounter().decode(b'{"totalTokens":31,"totalBillableCharacters":96}') == 31


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"totalTokens":-1}', b'{"totalTokens":true}', b'{"totalTokens":"9"}']
)
def test_counts_that_are_none(body: bytes) -> None:
    with pytest.raises(UpstreamGarbled):
        GeminiCounter().decode(body)


# Whatever is asked.

PIECES = st.one_of(
    st.just(user("u")),
    st.just(message("system", "s")),
    st.just(model("a")),
    st.just(model(THOUGHT, SIGNATURE)),
    st.sampled_from(["t1", "t2", "t3"]).map(lambda id_: model(OF_CALL, call(id_))),
    st.just(model(call("t1"), "x", call("t2"))),
    st.sampled_from(["t1", "t2", "t3"]).map(lambda id_: result(id_, "r", ImagePart(PNG))),
    st.just(user("")),
)


@given(messages=st.lists(PIECES, max_size=12), to=st.sampled_from([FLASH, THREE]), vertex=st.booleans())
def test_whatever_was_said_it_can_be_taken(messages: list[Message], to: str, vertex: bool) -> None:
    """Turns alternate and are not empty; each call is answered in the next turn, by name and in order."""
    body, _ = encode(*messages, to=to, quirks=Quirks(vertex=vertex))
    asked: list[Json] = []
    found = body["contents"]
    assert [turn["role"] for turn in found] == [("user", "model")[at % 2] for at in range(len(found))]
    for turn in found:
        assert turn["parts"]
        results = [part["functionResponse"] for part in turn["parts"] if "functionResponse" in part]
        assert [(one.get("id"), one["name"]) for one in results] == [(one.get("id"), one["name"]) for one in asked]
        assert all("functionResponse" in part for part in turn["parts"][: len(results)])
        asked = [part["functionCall"] for part in turn["parts"] if "functionCall" in part]
    assert not asked


# What each client says back.

CHAT_BACK: Json = {
    "messages": [
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "sig", "format": OURS, "id": "t1"}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "r"},
    ]
}
MESSAGES_BACK: Json = {
    "max_tokens": 2048,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "messages": [
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": f"{OURS}::"},
                {"type": "redacted_thinking", "data": f"{OURS}:t1:sig"},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r"}]},
    ],
}
RESPONSES_BACK: Json = {
    "input": [
        {"role": "user", "content": "a"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": f"{OURS}:t1:sig"},
        {"type": "function_call", "call_id": "t1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "t1", "output": "r"},
    ]
}


@pytest.mark.parametrize(
    ("client", "body"), [("chat", CHAT_BACK), ("messages", MESSAGES_BACK), ("responses", RESPONSES_BACK)]
)
def test_a_signature_comes_back_through_every_client(client: str, body: Json) -> None:
    found, lost = sent(asked(client, body), THREE)
    assert found["contents"] == [
        {"role": "user", "parts": [{"text": "a"}]},
        {
            "role": "model",
            "parts": [{"functionCall": {"id": "t1", "name": "look", "args": {}}, "thoughtSignature": "sig"}],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "t1", "name": "look", "response": {"output": "r"}}}],
        },
    ]
    assert not lost


def test_a_request_of_anthropics() -> None:
    body: Json = {
        "max_tokens": 9,
        "system": [
            {"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "B"},
        ],
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1}}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "no"},
                            {
                                "type": "image",
                                "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
                            },
                        ],
                    },
                    {"type": "text", "text": "b"},
                ],
            },
        ],
        "tools": [{"name": "look", "input_schema": SCHEMA}, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "tool", "name": "look"},
        "top_k": 3,
        "stop_sequences": ["x"],
    }
    found, lost = sent(asked("messages", body))
    assert found["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}], "role": "user"}
    assert found["contents"][2]["parts"] == [
        {"functionResponse": {"id": "t1", "name": "look", "response": {"error": "no"}}},
        INLINE,
        {"text": "b"},
    ]
    assert found["tools"] == [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": SCHEMA}]}]
    assert found["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}}
    assert found["generationConfig"] == {"topK": 3, "maxOutputTokens": 9, "stopSequences": ["x"]}
    assert len(lost) == 2
    assert "tools[1]" in lost
