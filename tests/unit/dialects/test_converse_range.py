"""Whatever Converse has words for comes back as it was said: written, read and written again, nothing differs."""

from typing import Any

import msgspec
from converse_help import endpoint
from converse_reader import read
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from reread import normal
from said_help import Conversation, conversations, data_of, numbers, some, texts

from trunkline.dialects.bedrock_converse.request_encoder import BETAS, MAX_MARKS
from trunkline.dialects.bedrock_converse.request_media import AUDIO
from trunkline.dialects.common.reasoning import ANTHROPIC
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import UPSTREAMS
from trunkline.families.lookup import family_of
from trunkline.families.traits import Family
from trunkline.model.citation import Citation
from trunkline.model.request import (
    AudioPart,
    CacheMark,
    FilePart,
    ImagePart,
    Message,
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
    VideoPart,
)

Json = dict[str, Any]

CONVERSE = UPSTREAMS["converse"]
MODELS = (
    "us.anthropic.claude-sonnet-4-20250514-v1:0", "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0", "us.anthropic.claude-opus-4-8", "us.amazon.nova-2-lite-v1:0",
    "amazon.nova-micro-v1:0", "openai.gpt-oss-120b-1:0", "openai.gpt-5.5", "moonshot.kimi-k2-thinking",
    "qwen.qwen3-32b-v1:0", "mistral.mistral-large-3-675b-instruct", "zai.glm-4.7-flash", "amazon.titan-text-lite-v1",
)  # fmt: skip
NAMES = ("look", "find_all")

schemas = st.sampled_from(
    [{"type": "object", "properties": {}, "additionalProperties": False},
     {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"const": 1}}, "required": ["a"]},
     {"type": "object", "properties": {"a": {"type": ["string", "null"], "description": "ü"}}}]
)  # fmt: skip
said: st.SearchStrategy[Part] = st.builds(TextPart, texts)
images: st.SearchStrategy[Part] = st.builds(
    ImagePart, st.sampled_from(["data:image/png;base64,AAAA", "data:image/jpeg;base64,/+8=", "s3://a/b.webp"])
)
videos: st.SearchStrategy[Part] = st.builds(
    VideoPart, st.sampled_from(["data:video/mp4;base64,AAAA", "data:video/3gpp;base64,AAAA", "s3://a/b.mov"])
)
sounds: st.SearchStrategy[Part] = st.builds(AudioPart, data_of, st.sampled_from(sorted(set(AUDIO.values()))))
found: st.SearchStrategy[Part] = st.builds(
    SearchResultPart,
    texts,
    texts,
    st.lists(st.builds(TextPart, texts), max_size=2).map(tuple),
    citations=st.sampled_from([None, True, False]),
)
document: st.SearchStrategy[Json] = st.one_of(
    st.sampled_from(["data:application/pdf;base64,AAAA", "data:text/csv;base64,AAAA", "s3://a/b.docx"]).map(
        lambda url: {"data": url}
    ),
    texts.map(lambda text: {"text": text}),
    st.lists(st.builds(TextPart, texts), max_size=2).map(lambda parts: {"content": tuple(parts)}),
)
citations = st.builds(
    Citation,
    kind=st.sampled_from(["char", "page", "block", "search_result"]),
    url=some(texts), title=some(texts), cited_text=st.none() | st.just("") | texts,
    source_begin=some(st.integers(0, 9)), source_end=some(st.integers(0, 9)), document=some(st.integers(0, 9)),
)  # fmt: skip
signed: st.SearchStrategy[Part] = st.builds(
    lambda text, signature: ReasoningPart(form="text", text=text, signature=signature, format=ANTHROPIC),
    st.just("") | texts,
    data_of,
)
sealed: st.SearchStrategy[Part] = st.builds(
    lambda text: ReasoningPart(form="encrypted", text=text, format=ANTHROPIC), data_of
)


def documents(kind: Family) -> st.SearchStrategy[Part]:
    return st.builds(
        lambda source, context, cited: FilePart(context=context, citations=cited, **source),
        document,
        some(texts),
        st.sampled_from([None, True, False] if kind.claude else [None, False]),
    )


def talks(kind: Family, *, thinks: bool) -> Conversation:
    cited: st.SearchStrategy[Part] = st.builds(
        lambda text, sources: TextPart(text, citations=tuple(sources)),
        texts,
        st.lists(citations, min_size=1, max_size=2),
    )
    inner = st.one_of(said, images, videos, found, documents(kind))
    return Conversation(
        beside=st.one_of(inner, sounds),
        model=st.one_of(said, cited, signed, sealed) if kind.claude else said,
        opens=signed if thinks else None,
        names=NAMES,
        results=st.tuples(st.lists(inner, min_size=1, max_size=2).map(tuple), st.sampled_from([None, True, False])),
    )


def thoughts(kind: Family) -> st.SearchStrategy[Reasoning | None]:
    """How the model can be told to think."""
    effort = st.sampled_from(kind.efforts)
    display = st.sampled_from([*([] if kind.hides_thinking else [None]), "summarized", "omitted"])
    ways: dict[str, st.SearchStrategy[Reasoning]] = {
        "adaptive": st.builds(Reasoning, adaptive=st.just(True), effort=some(effort), display=display),
        "budget": st.builds(Reasoning, max_tokens=st.integers(1024, 4000), display=display),
        "nova": st.one_of(
            st.just(Reasoning(enabled=False)), st.builds(Reasoning, effort=st.sampled_from(["low", "medium"]))
        ),
    }
    flat = st.builds(Reasoning, effort=effort)
    return st.none() if kind.thinking == "none" else st.none() | ways.get(kind.thinking, flat)


def tools(kind: Family, *, used: bool) -> st.SearchStrategy[tuple[Tool, ...] | None]:
    functions = st.lists(
        st.builds(
            Tool,
            kind=st.just("function"),
            name=st.sampled_from(NAMES),
            description=some(texts),
            parameters=schemas,
            strict=st.sampled_from([None, True]),
            cache=marks if "tools" in kind.cache_marks else st.none(),
        ),
        min_size=1,
        max_size=2,
        unique_by=lambda tool: tool.name,
    )
    first = {name: start for start, name in reversed(kind.server_tools)}
    others = [Tool(kind=start) for start in first.values()]
    if kind.claude:
        others.append(Tool(kind="bash_20250124", name="bash", extra={"novel": 1}))
    more = st.lists(st.sampled_from(others), unique_by=lambda tool: tool.kind) if others else st.just([])
    offered = st.builds(lambda one, two: (*one, *two), functions, more)
    return offered if used else st.none() | offered


def choices(kind: Family, offered: tuple[Tool, ...] | None, *, thinks: bool) -> st.SearchStrategy[ToolChoice | None]:
    if not offered:
        return st.none()
    free = [None, ToolChoice(mode="auto")]
    forced = [
        ToolChoice(mode="required"),
        *([ToolChoice(mode="tool", name=offered[0].name)] if kind.forced_tool else []),
    ]
    return st.sampled_from(free if thinks else [*free, *forced])


marks = st.sampled_from([None, CacheMark(), CacheMark(ttl="1h")])


@st.composite
def marked(draw: st.DrawFn, kind: Family, messages: tuple[Message, ...], room: int) -> tuple[Message, ...]:
    """*messages* with at most *room* marks, where the model takes them, and documents under names of their own."""
    told: list[Message] = []
    names = 0
    for message in messages:
        place = "system" if message.role == "system" else "messages"
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, FilePart):
                names += 1
                part = replace(part, title=f"Document {names}")
            mark = draw(marks) if room and place in kind.cache_marks and message.role != "tool" else None
            if mark is not None and not isinstance(part, ReasoningPart | RefusalPart):
                room -= 1
                part = _with(part, mark)
            parts.append(part)
        mark = draw(marks) if room and place in kind.cache_marks and message.role == "tool" else None
        room -= mark is not None
        told.append(replace(message, parts=tuple(parts), cache=mark))
    return tuple(told)


def _with(part: Part, mark: CacheMark) -> Part:
    return replace(part, cache=mark)


@st.composite
def samplings(draw: st.DrawFn, kind: Family, *, thinks: bool) -> Sampling:
    stop = draw(some(st.lists(texts, min_size=1, max_size=3).map(tuple)))
    if thinks or kind.no_sampler:
        return Sampling(stop=stop)
    temperature = draw(some(numbers))
    return Sampling(
        temperature=temperature,
        top_p=None if kind.one_sampler and temperature is not None else draw(some(numbers)),
        top_k=None if kind.top_k is None else draw(some(st.integers(1, 99))),
        stop=stop,
    )


@st.composite
def asks(draw: st.DrawFn) -> tuple[Request, str]:
    """A request in the words that Converse has for a model, and the model."""
    model = draw(st.sampled_from(MODELS))
    kind = family_of(model, endpoint(model).model)
    reasoning = draw(thoughts(kind))
    thinks = kind.claude and reasoning is not None
    messages = draw(conversations(talks(kind, thinks=thinks)))
    used = any(isinstance(part, ToolCallPart) for message in messages for part in message.parts)
    offered = draw(tools(kind, used=used))
    room = MAX_MARKS - sum(tool.cache is not None for tool in offered or ())
    request = Request(
        dialect="messages",
        messages=draw(marked(kind, messages, room)),
        sampling=draw(samplings(kind, thinks=thinks)),
        max_output=draw(some(st.integers(5000, 9999))),
        tools=offered,
        tool_choice=draw(choices(kind, offered, thinks=thinks)),
        response_format=draw(
            some(st.builds(ResponseFormat, kind=st.just("json_schema"), schema=schemas, name=some(texts),
                           description=some(texts)))
        ) if kind.structured_output else None,
        reasoning=reasoning,
        verbosity=draw(some(st.sampled_from(kind.efforts)))
        if kind.thinking == "adaptive" and reasoning is None
        else None,
        betas=tuple(draw(st.lists(st.sampled_from(sorted(BETAS)), unique=True, max_size=2))) if kind.claude else (),
        service_tier=draw(st.sampled_from([None, "default", "flex", "priority", "reserved"])),
        metadata=draw(st.sampled_from([None, {"a": "b c", "user:id": ""}])),
    )  # fmt: skip
    return request, model


OPERATOR = {"guardrailConfig": {"guardrailIdentifier": "a", "guardrailVersion": "DRAFT"}}


@settings(max_examples=500)
@given(asked=asks(), body=st.sampled_from([{}, OPERATOR]))
def test_whatever_it_has_words_for_comes_back(asked: tuple[Request, str], body: Json) -> None:
    request, model = asked
    first = CONVERSE.encode(request, endpoint(model), Quirks(body=body))
    assert not first.losses
    written: Json = msgspec.json.decode(first.body)
    again = read(written)
    assert again.request == request
    assert again.quirks == Quirks(body=body)
    second = CONVERSE.encode(again.request, endpoint(model), again.quirks)
    assert normal(msgspec.json.decode(second.body)) == normal(written)
