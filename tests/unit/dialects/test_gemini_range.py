"""Whatever Gemini has words for comes back as it was said: written, read and written again, nothing differs."""

from typing import Any

import msgspec
import pytest
from gemini_help import FLASH, GEMINI, PRO, THREE, asked, endpoint, sent
from gemini_reader import read
from hypothesis import given, settings
from hypothesis import strategies as st
from reread import normal
from said_help import Conversation, arguments, conversations, data_of, numbers, some, texts

from trunkline.dialects.common.reasoning import GEMINI as FORMAT
from trunkline.dialects.interfaces import Quirks
from trunkline.model.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Part,
    Reasoning,
    ReasoningPart,
    Request,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolChoice,
    VideoPart,
)

Json = dict[str, Any]

OLDEST = "gemini-1.5-flash"
MODELS = (OLDEST, FLASH, PRO, THREE, "gemini-3-pro-preview")
QUIRKS = (Quirks(), Quirks(schema="gemini"), Quirks(schema="gemini", vertex=True), Quirks(vertex=True))
LEVELS = {THREE: ("minimal", "low", "medium", "high"), "gemini-3-pro-preview": ("low", "high")}
BUDGETS = {FLASH: (1, 24_576), PRO: (128, 32_768), OLDEST: (1, 10**6)}
NAMES = ("look", "find_all", "_a.b-c")

described = st.fixed_dictionaries({}, optional={"description": texts, "nullable": st.booleans()})
leaves = st.sampled_from(
    [{"type": "string"}, {"type": "string", "enum": ["a", "b"]}, {"type": "integer", "format": "int32", "minimum": 0},
     {"type": "number", "maximum": 1.5}, {"type": "boolean"}, {"type": "string", "format": "date-time"}]
)  # fmt: skip


def _object(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    properties = st.dictionaries(st.sampled_from(["a", "b", "type"]), inner, min_size=1, max_size=2)
    return properties.flatmap(
        lambda found: st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.just(found)},
            optional={"required": st.just(list(found)), "propertyOrdering": st.just(list(found)), "title": texts},
        )
    )


def _grown(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    listed = st.builds(lambda one, more: {"type": "array", "items": one, **more}, inner, described)
    return st.one_of(listed, _object(inner))


older = _object(st.recursive(st.builds(lambda one, more: {**one, **more}, leaves, described), _grown, max_leaves=4))
"""Schemas of the older kind, which are JSON Schemas too."""
newer = st.one_of(
    older,
    st.sampled_from(
        [{"type": "object", "properties": {}, "additionalProperties": False},
         {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {"const": 1}}}}},
         {"type": "object", "properties": {"a": {"oneOf": [{"type": "null"}, {"type": ["string", "null"]}]}}}]
    ),
)  # fmt: skip

images = st.sampled_from(
    [ImagePart("data:image/png;base64,iVBORw0KGgo="), ImagePart("https://a.example/b.webp?c=d.pdf")]
)
sounds = st.builds(AudioPart, data_of, st.sampled_from(["wav", "mp3", "flac", "ogg", "m4a", "aac", "aiff", "pcm16"]))
videos = st.builds(
    VideoPart, st.sampled_from(["https://a.example/b.mov", "data:video/mp4;base64,AAAA", "gs://a/b.webm"])
)
files = st.builds(
    FilePart,
    data=st.sampled_from(["data:application/pdf;base64,JV_-", "https://a.example/b.pdf", "data:text/csv;base64,YQ=="]),
)
said = st.builds(TextPart, texts)
beside: st.SearchStrategy[Part] = st.one_of(said, images, sounds, videos, files)
alone = st.builds(lambda data: ReasoningPart(form="encrypted", text=data, format=FORMAT), data_of)


def signed(id_: str, data: str) -> ReasoningPart:
    return ReasoningPart(form="encrypted", text=data, format=FORMAT, id=id_)


def tools(quirks: Quirks) -> st.SearchStrategy[tuple[Tool, ...] | None]:
    functions = st.lists(
        st.builds(
            Tool,
            kind=st.just("function"),
            name=st.sampled_from(NAMES),
            description=st.none() | st.just("") | texts,
            parameters=st.none() | (older if quirks.schema == "gemini" else newer),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda tool: tool.name,
    )
    runs = st.lists(st.sampled_from(["web_search", "web_fetch", "code_execution"]), min_size=1, unique=True)
    return st.one_of(st.none(), functions.map(tuple), runs.map(lambda kinds: tuple(Tool(kind=kind) for kind in kinds)))


def choices(offered: tuple[Tool, ...] | None) -> st.SearchStrategy[ToolChoice | None]:
    names = [tool.name for tool in offered or () if tool.name]
    if not names:
        return st.none()
    several = st.lists(st.sampled_from(names), min_size=2, unique=True) if len(names) > 1 else st.nothing()
    return st.one_of(
        st.sampled_from([None, *(ToolChoice(mode=mode) for mode in ("auto", "none", "required"))]),
        st.builds(ToolChoice, mode=st.just("tool"), name=st.sampled_from(names)),
        several.map(
            lambda found: ToolChoice(mode="allowed", names=tuple(sorted(found, key=names.index)), required=True)
        ),
    )


def thoughts(model: str) -> st.SearchStrategy[Reasoning | None]:
    hidden = st.sampled_from([None, True])
    budgets = st.integers(*BUDGETS[model]) | st.just(-1) if model in BUDGETS else st.integers(1, 99_999) | st.just(-1)
    wanted = [st.none(), st.builds(Reasoning, max_tokens=budgets, exclude=hidden)]
    if model in LEVELS:
        wanted.append(st.builds(Reasoning, effort=st.sampled_from(LEVELS[model]), exclude=hidden))
        wanted.append(st.builds(Reasoning, adaptive=st.just(True), exclude=hidden))
    elif model != PRO:
        wanted.append(st.just(Reasoning(enabled=False)))
    return st.one_of(wanted)


logprobs: st.SearchStrategy[Json] = st.sampled_from([{}, {"logprobs": False}, {"logprobs": True}]) | st.integers(
    0, 5
).map(lambda count: {"logprobs": True, "top_logprobs": count})
sampling = st.builds(
    lambda more, **said: Sampling(**said, **more),
    logprobs,
    temperature=some(numbers), top_p=some(numbers), top_k=some(st.integers(1, 99)), seed=some(st.integers(-9, 2**31)),
    presence_penalty=some(numbers), frequency_penalty=some(numbers), n=some(st.integers(1, 8)),
    stop=some(st.lists(st.text(min_size=1), min_size=1, max_size=5).map(tuple)),
)  # fmt: skip


def shapes(quirks: Quirks) -> st.SearchStrategy[ResponseFormat | None]:
    schema = older if quirks.schema == "gemini" else newer | st.just({})
    return st.one_of(
        st.none(),
        st.just(ResponseFormat(kind="json_object")),
        st.builds(ResponseFormat, kind=st.just("json_schema"), schema=schema),
    )


@st.composite
def asks(draw: st.DrawFn) -> tuple[Request, str, Quirks]:
    """A request in the words that Gemini has, the model it is for, and how the provider is configured."""
    model, quirks = draw(st.sampled_from(MODELS)), draw(st.sampled_from(QUIRKS))
    talk = Conversation(beside=beside, model=st.one_of(said, alone), signed=signed, sign=model in LEVELS, names=NAMES)
    offered = draw(tools(quirks))
    request = Request(
        dialect="chat",
        messages=draw(conversations(talk)),
        sampling=draw(sampling),
        max_output=draw(some(st.integers(1, 99_999))),
        tools=offered,
        tool_choice=draw(choices(offered)),
        response_format=draw(shapes(quirks)),
        reasoning=draw(thoughts(model)),
        modalities=draw(st.sampled_from([None, ("text",), ("text", "image"), ("audio",)])),
        extra=draw(st.sampled_from([{}, {"image_config": {"aspect_ratio": "16:9", "image_size": "2K"}}])),
    )
    return request, model, quirks


@settings(max_examples=400)
@given(found=asks())
def test_whatever_it_has_words_for_comes_back(found: tuple[Request, str, Quirks]) -> None:
    request, model, quirks = found
    first = GEMINI.encode(request, endpoint(model), quirks)
    assert not first.losses
    body: Json = msgspec.json.decode(first.body)
    again = read(body, vertex=quirks.vertex)
    assert again.request == request
    assert again.quirks.schema in ("full", quirks.schema)  # full where there is no schema, too
    second = GEMINI.encode(again.request, endpoint(model), quirks)
    assert normal(msgspec.json.decode(second.body)) == normal(body)


@settings(max_examples=100)
@given(body=st.fixed_dictionaries({"a": arguments, "b": arguments}))
def test_a_functions_result_is_what_it_was(body: Json) -> None:
    """Whatever JSON a function gives, it is read as what is written so again; null alone is the text `null`."""
    outputs = [{"output": body["a"]}, {"error": body["b"]}]
    for response in (body, *(one for one in outputs if None not in one.values())):
        contents: list[Json] = [
            {"role": "user", "parts": [{"text": "a"}]},
            {"role": "model", "parts": [{"functionCall": {"id": "c", "name": "f", "args": body}}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "c", "name": "f", "response": response}}]},
        ]
        written, losses = sent(read({"contents": contents}).request)
        assert normal(written) == normal({"contents": contents})
        assert not losses


@pytest.mark.parametrize("client", ["chat", "responses", "messages"])
def test_every_client_can_say_that_a_tool_takes_nothing(client: str) -> None:
    closed: Json = {"type": "object", "properties": {}, "additionalProperties": False}
    body: dict[str, Json] = {
        "chat": {
            "messages": [{"role": "user", "content": "a"}],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": closed}}],
        },
        "responses": {"input": "a", "tools": [{"type": "function", "name": "f", "parameters": closed}]},
        "messages": {
            "messages": [{"role": "user", "content": "a"}], "max_tokens": 9,
            "tools": [{"name": "f", "input_schema": closed}],
        },
    }  # fmt: skip
    written, _ = sent(asked(client, body[client]))
    assert written["tools"] == [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": closed}]}]
