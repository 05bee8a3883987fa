"""Bodies that are not chat requests: each is refused, and the field at fault is named."""

import json
from typing import Any

import pytest
from chat_help import CHAT
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.common.json_input import MAX_FIELDS, envelope, printable
from trunkline.model.errors import InvalidRequest

HI = {"role": "user", "content": "Hi"}
LONG = "x" * 600


def one(**fields: Any) -> dict[str, Any]:
    return {"messages": [HI], **fields}


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [fields]}


FIELDS: list[tuple[dict[str, Any], str]] = [
    ({}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    (message(content="Hi"), "messages[0].role"),
    (message(role="robot", content="Hi"), "messages[0].role"),
    (message(role=1, content="Hi"), "messages[0].role"),
    (message(role="user"), "messages[0].content"),
    (message(role="user", content=None), "messages[0].content"),
    (message(role="user", content=5), "messages[0].content"),
    (message(role="system"), "messages[0].content"),
    (message(role="user", content=["Hi"]), "messages[0].content[0]"),
    (message(role="user", content=[{"text": "Hi"}]), "messages[0].content[0].type"),
    (message(role="user", content=[{"type": "text"}]), "messages[0].content[0].text"),
    (message(role="user", content=[{"type": "text", "text": 1}]), "messages[0].content[0].text"),
    (message(role="user", content=[{"type": "image_url"}]), "messages[0].content[0].image_url"),
    (message(role="user", content=[{"type": "image_url", "image_url": "u"}]), "messages[0].content[0].image_url"),
    (message(role="user", content=[{"type": "image_url", "image_url": {}}]), "messages[0].content[0].image_url.url"),
    (message(role="user", content=[{"type": "input_audio"}]), "messages[0].content[0].input_audio"),
    (
        message(role="user", content=[{"type": "input_audio", "input_audio": {"data": "x"}}]),
        "messages[0].content[0].input_audio.format",
    ),
    (message(role="user", content=[{"type": "video_url"}]), "messages[0].content[0].video_url"),
    (message(role="user", content=[{"type": "input_video"}]), "messages[0].content[0].video_url"),
    (message(role="user", content=[{"type": "file"}]), "messages[0].content[0].file"),
    (message(role="user", content=[{"type": "file", "file": {"file_id": 1}}]), "messages[0].content[0].file.file_id"),
    (
        message(role="system", content=[{"type": "image_url", "image_url": {"url": "u"}}]),
        "messages[0].content[0].type",
    ),
    (message(role="tool", content="3"), "messages[0].tool_call_id"),
    (message(role="assistant", tool_calls=[{}]), "messages[0].tool_calls[0].id"),
    (message(role="assistant", tool_calls=[{"id": "a", "function": {}}]), "messages[0].tool_calls[0].function.name"),
    (
        message(role="assistant", tool_calls=[{"id": "a", "function": {"name": "f", "arguments": {}}}]),
        "messages[0].tool_calls[0].function.arguments",
    ),
    (message(role="assistant", reasoning_details={}), "messages[0].reasoning_details"),
    (one(model=5), "model"),
    (one(models="a"), "models"),
    (one(models=[1]), "models[0]"),
    (one(route="best"), "route"),
    (one(stream="yes"), "stream"),
    (one(stream_options=[]), "stream_options"),
    (one(stream_options={"include_usage": 1}), "stream_options.include_usage"),
    (one(max_tokens=0), "max_tokens"),
    (one(max_tokens=-1), "max_tokens"),
    (one(max_tokens=1.5), "max_tokens"),
    (one(max_tokens="5"), "max_tokens"),
    (one(max_tokens=2**31), "max_tokens"),
    (one(max_tokens=10**30), "max_tokens"),
    (one(max_completion_tokens=True), "max_completion_tokens"),
    (one(temperature=2.1), "temperature"),
    (one(temperature=-0.1), "temperature"),
    (one(temperature="hot"), "temperature"),
    (one(top_p=1.1), "top_p"),
    (one(top_k=-1), "top_k"),
    (one(top_a=-1), "top_a"),
    (one(min_p=2), "min_p"),
    (one(frequency_penalty=-2.1), "frequency_penalty"),
    (one(presence_penalty=3), "presence_penalty"),
    (one(repetition_penalty=2.5), "repetition_penalty"),
    (one(seed=1.5), "seed"),
    (one(n=0), "n"),
    (one(n=129), "n"),
    (one(logprobs=1), "logprobs"),
    (one(top_logprobs=21), "top_logprobs"),
    (one(stop=["a"] * 5), "stop"),
    (one(stop=5), "stop"),
    (one(tools={}), "tools"),
    (one(tools=[{"type": "function"}]), "tools[0].function"),
    (one(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
    (one(tools=[{"type": "function", "function": {"name": ""}}]), "tools[0].function.name"),
    (one(tools=[{"type": "function", "function": {"name": "x" * 65}}]), "tools[0].function.name"),
    (one(tools=[{"type": "function", "function": {"name": "f", "parameters": []}}]), "tools[0].function.parameters"),
    (one(tools=[{"type": "a"}] * 2049), "tools"),
    (one(tool_choice="always"), "tool_choice"),
    (one(tool_choice=1), "tool_choice"),
    (one(tool_choice={}), "tool_choice.type"),
    (one(tool_choice={"type": "function"}), "tool_choice.function.name"),
    (one(parallel_tool_calls="no"), "parallel_tool_calls"),
    (one(response_format="json"), "response_format"),
    (one(response_format={}), "response_format.type"),
    (one(response_format={"type": "json_schema"}), "response_format.json_schema"),
    (one(response_format={"type": "json_schema", "json_schema": {}}), "response_format.json_schema.name"),
    (one(response_format={"type": "json_schema", "json_schema": {"name": "a b"}}), "response_format.json_schema.name"),
    (one(prediction={"type": "magic", "content": "x"}), "prediction.type"),
    (one(reasoning="high"), "reasoning"),
    (one(reasoning={"effort": "huge"}), "reasoning.effort"),
    (one(reasoning={"effort": "low", "max_tokens": 5}), "reasoning.max_tokens"),
    (one(reasoning={"effort": "low"}, reasoning_effort="high"), "reasoning_effort"),
    (one(reasoning_effort="huge"), "reasoning_effort"),
    (one(modalities=["smell"]), "modalities[0]"),
    (one(service_tier="gold"), "service_tier"),
    (one(provider="acme"), "provider"),
    (one(provider={"onyl": ["acme"]}), "provider.onyl"),
    (one(provider={"only": "acme"}), "provider.only"),
    (one(provider={"quantizations": ["fp5"]}), "provider.quantizations[0]"),
    (one(provider={"data_collection": "maybe"}), "provider.data_collection"),
    (one(plugins={}), "plugins"),
    (one(stop_server_tools_when=[]), "stop_server_tools_when"),
    (one(max_tool_calls=-1), "max_tool_calls"),
    (one(cache_control={"type": "forever"}), "cache_control.type"),
    (one(session_id="x" * 257), "session_id"),
    (one(user="x" * 257), "user"),
    (one(user=5), "user"),
    (one(metadata=[]), "metadata"),
    (one(metadata={str(n): "" for n in range(17)}), "metadata"),
    (one(metadata={"k" * 65: ""}), "metadata"),
    (one(metadata={"a[0]": ""}), "metadata"),
    (one(metadata={"a": LONG}), "metadata"),
    (one(verbosity="silent"), "verbosity"),
    (one(speed="light"), "speed"),
    (one(debug={"echo_upstream_body": "yes"}), "debug.echo_upstream_body"),
    (one(transforms="middle-out"), "transforms"),
]


@pytest.mark.parametrize(("body", "param"), FIELDS, ids=[f"{param}-{at}" for at, (_, param) in enumerate(FIELDS)])
def test_the_field_at_fault_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        CHAT.parse(json.dumps(body).encode())
    assert caught.value.param == param
    assert caught.value.message.startswith(param)
    assert caught.value.http_status == 400
    assert len(caught.value.message) < 300


def raw(value: bytes, key: bytes = b"seed") -> bytes:
    return b'{"messages":[{"role":"user","content":"Hi"}],"%s":%s}' % (key, value)


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "space": b"  \n",
    "half": b'{"messages":[',
    "no object": b"[]",
    "a string": b'"messages"',
    "null": b"null",
    "trailing comma": b'{"messages":[],}',
    "single quotes": b"{'messages':[]}",
    "two bodies": raw(b"1") * 2,
    "NaN": raw(b"NaN", b"temperature"),
    "Infinity": raw(b"Infinity", b"temperature"),
    "1e999": raw(b"1e999", b"temperature"),
    "not UTF-8": raw(b'"\xff"', b"user"),
    "not UTF-8 in an unknown field": raw(b'"\xff"', b"novel"),
    "mark": b"\xef\xbb\xbf" + raw(b"1"),
    "UTF-16": raw(b"1").decode().encode("utf-16"),
    "UTF-16 without a mark": raw(b"1").decode().encode("utf-16-le"),
    "NUL": b"\x00" + raw(b"1"),
    "control character": raw(b'"a\nb"', b"user"),
    "deep list": raw(b"[" * 100_000 + b"]" * 100_000, b"novel"),
    "deep object": raw(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"novel"),
    "deep and not closed": b"[" * 100_000,
    "a million keys": b'{"messages":[{"role":"user","content":"Hi"}]'
    + b"".join(b',"k%d":1' % n for n in range(1_000_000))
    + b"}",
    "a long number": raw(b"9" * 10_000_000),
    "a long fraction": raw(b"1." + b"9" * 5000 + b"e999999", b"temperature"),
    "lone surrogate": raw(b'"\\ud800"', b"user"),
    "lone surrogate amid text": raw(b'"a\\ud800b"', b"user"),
    "low surrogate first": raw(b'"\\udc00\\ud800"', b"model"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        CHAT.parse(body)
    assert caught.value.http_status == 400
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("key", ["model", "messages", "provider"])
@pytest.mark.parametrize("spelling", ["plain", "escaped", "spaced"])
def test_what_decides_who_is_asked_is_not_said_twice(key: str, spelling: str) -> None:
    again = {"plain": f'"{key}":', "escaped": f'"\\u{ord(key[0]):04x}{key[1:]}":', "spaced": f'"{key}" \n:'}[spelling]
    value = {"model": '"a"', "messages": '[{"role":"user","content":"Hi"}]', "provider": "{}"}
    rest = ",".join(f'"{name}":{value[name]}' for name in value)
    with pytest.raises(InvalidRequest) as caught:
        CHAT.parse(f"{{{rest},{again}{value[key]}}}".encode())
    assert caught.value.param == key
    assert "twice" in caught.value.message


def test_of_other_keys_the_last_counts() -> None:
    call = CHAT.parse(b'{"messages":[{"role":"user","content":"Hi"}],"user":"a","user":"b"}')
    assert call.user == "b"
    assert bytes(call.envelope["user"]) == b'"b"'


def test_the_words_of_a_prompt_are_no_keys() -> None:
    words = 'say {"model":"x","model":"y","messages":[]} and \\u006dodel'
    body = {"model": "a", "messages": [{"role": "user", "content": words, "model": "in here"}], "provider": {}}
    assert CHAT.parse(json.dumps(body).encode()).model == "a"
    assert CHAT.parse(json.dumps(body).replace("\\\\u006d", "\\u006d").encode()).model == "a"


def test_the_number_of_fields_is_bounded() -> None:
    most = {str(n): n for n in range(MAX_FIELDS)}
    assert len(envelope(json.dumps(most).encode(), ())) == MAX_FIELDS
    with pytest.raises(InvalidRequest, match="more than"):
        envelope(json.dumps({**most, "a": 1}).encode(), ())


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_are_an_internal_error(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        CHAT.parse(body)


WHATEVER = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(
    fields=st.dictionaries(
        st.sampled_from(sorted({param.split(".")[0].split("[")[0] for _, param in FIELDS})), WHATEVER
    )
)
def test_no_json_is_an_internal_error(fields: dict[str, Any]) -> None:
    try:
        CHAT.decode(CHAT.parse(json.dumps(one() | fields).encode()))
    except InvalidRequest as error:
        assert error.message  # noqa: PT017  (either is right)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a", "a"), ("a\r\nb", "a\\r\\nb"), ("x" * 200, "x" * 100 + "…"), ("ü", "ü"), ("\x1b[1m", "\\x1b[1m")],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
