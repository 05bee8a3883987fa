"""Whatever a Messages client says comes back field by field: read and written again it is what a relay sends."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_help import CLIENT, ENDPOINT, RELAY, UPSTREAM
from msgspec.structs import replace

from trunkline.dialects.interfaces import Quirks

NEWEST = replace(ENDPOINT, upstream_model="claude-opus-4-8")
Json = dict[str, Any]
Dicts = st.SearchStrategy[Json]

texts = st.sampled_from(["", "Hi", "ü 😀\n", '"signature":""', "<b>"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | texts, lambda inner: st.lists(inner, max_size=2), max_leaves=3
)
cache = st.sampled_from(
    [{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral", "ttl": None}, None]
)
enabled = st.sampled_from([None, {"enabled": True}, {"enabled": False}, {"enabled": True, "novel": 1}])


def thing(type_: str | None, *, may: Json | None = None, **must: Any) -> Dicts:
    """An object of this type with what it must have, and may; now and then with what nobody knows."""
    fixed: Json = {**({} if type_ is None else {"type": st.just(type_)}), **must}
    return st.fixed_dictionaries(fixed, optional={"novel": anything, **(may or {})})


text = thing("text", text=texts, may={"cache_control": cache, "citations": st.sampled_from([None, []])})
cited = thing(
    "text",
    text=texts,
    citations=st.just([{"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None}]),
)
source = st.one_of(
    thing("base64", media_type=st.just("application/pdf"), data=st.just("AAAA")),
    thing("url", url=st.just("https://a/b")),
    thing("file", file_id=st.just("file_1")),
)
image = thing("image", source=source, may={"cache_control": cache})
plain = st.one_of(
    thing("text", media_type=st.just("text/plain"), data=texts),
    thing("content", content=texts | st.lists(text, max_size=2)),
)
about = {"title": st.none() | texts, "context": st.none() | texts, "citations": enabled, "cache_control": cache}
document = thing("document", source=source | plain, may=about)
found = thing(
    "search_result",
    source=texts,
    title=texts,
    content=st.lists(text, max_size=2),
    may={"citations": enabled, "cache_control": cache},
)
novel = thing("novel_block", may={"content": anything, "cache_control": cache})
result = thing(
    "tool_result",
    tool_use_id=st.just("toolu_1"),
    may={
        "content": st.none() | texts | st.lists(st.one_of(text, image, document, found, novel), max_size=2),
        "is_error": st.none() | st.booleans(),
        "cache_control": cache,
    },
)
given_ = st.dictionaries(st.sampled_from(["a", "b"]), anything, max_size=2)
call = thing("tool_use", id=st.just("toolu_1"), name=st.just("f"), input=given_, may={"cache_control": cache})
signed = thing("thinking", thinking=texts, signature=st.just("RXJj"))
sealed = thing("redacted_thinking", data=st.just("RXJj"))
server = thing("server_tool_use", id=st.just("srvtoolu_1"), name=st.just("web_search"), input=given_)


def message(role: str, block: Dicts) -> Dicts:
    content = texts | st.lists(block, max_size=4)
    may = {"clear_at": st.sampled_from([None, "never"]), "output_config": st.none()}
    return thing(None, role=st.just(role), content=content, may=may)


messages = st.lists(
    st.one_of(
        message("user", st.one_of(text, image, document, found, result, novel)),
        message("assistant", st.one_of(text, cited, call, signed, sealed, server, novel)),
        message("system", st.one_of(text, novel)),
    ),
    min_size=1,
    max_size=5,
)
schema = st.sampled_from([{}, {"type": "object", "properties": {"a": {"anyOf": []}}}])
tool = st.one_of(
    thing(
        None,
        name=st.just("f"),
        input_schema=schema,
        may={
            "type": st.sampled_from([None, "custom"]), "description": st.none() | texts, "cache_control": cache,
            "strict": st.none() | st.booleans(), "defer_loading": st.booleans(),
        },
    ),
    thing("web_search_20250305", name=st.just("web_search"), may={"max_uses": st.none() | st.just(1)}),
    thing("openrouter:datetime", may={"parameters": st.just({})}),
)  # fmt: skip
parallel = {"disable_parallel_tool_use": st.booleans()}
choice = st.one_of(
    thing("auto", may=parallel),
    thing("any", may=parallel),
    thing("none"),
    thing("tool", name=st.just("f"), may=parallel),
)
display = {"display": st.sampled_from([None, "omitted"])}
thinking = st.one_of(
    thing("enabled", budget_tokens=st.just(2000), may=display),
    thing("adaptive", may={**display, "block_binding": st.just({})}),
    thing("disabled"),
    thing("between_tools"),
)
output = thing(
    None,
    may={
        "effort": st.sampled_from([None, "low", "max"]),
        "format": st.none() | thing("json_schema", schema=schema),
        "task_budget": st.just({"type": "tokens", "total": 20000}),
    },
)
bodies = st.fixed_dictionaries(
    {"max_tokens": st.just(9), "messages": messages},
    optional={
        "system": st.none() | texts | st.lists(text, max_size=2),
        "stream": st.none() | st.booleans(),
        "temperature": st.sampled_from([None, 0, 0.5]),
        "top_p": st.sampled_from([None, 1]),
        "top_k": st.sampled_from([None, 5]),
        "stop_sequences": st.none() | st.lists(texts, max_size=2),
        "tools": st.none() | st.lists(tool, max_size=3),
        "tool_choice": st.none() | choice,
        "thinking": st.none() | thinking,
        "output_config": st.none() | output,
        "context_management": st.none() | st.just({"edits": []}),
        "metadata": st.none() | thing(None, may={"user_id": st.none() | texts}),
        "service_tier": st.sampled_from([None, "auto", "novel"]),
        "speed": st.sampled_from([None, "fast"]),
        "cache_control": cache,
        "novel": anything,
        "user": st.none() | texts,
    },
)


@settings(max_examples=300, deadline=None)
@given(body=bodies)
def test_every_field_of_a_request_comes_back(body: Json) -> None:
    asked = CLIENT.parse(msgspec.json.encode({"model": "m", **body}))
    sent = {"model": NEWEST.upstream_model, **{key: said for key, said in body.items() if key != "user"}}
    relayed = RELAY.request(asked, NEWEST, Quirks())
    assert msgspec.json.decode(relayed.body) == sent
    translated = UPSTREAM.encode(CLIENT.decode(asked), NEWEST, Quirks())
    assert msgspec.json.decode(translated.body) == sent
    assert relayed.losses == translated.losses == ()
    assert relayed.headers == translated.headers
    again = UPSTREAM.encode(CLIENT.decode(asked), NEWEST, Quirks())
    assert again == translated
