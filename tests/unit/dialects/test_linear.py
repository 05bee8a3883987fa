"""The work of every path grows with the size of what it reads, not with its square.

Work is what the interpreter counts: calls and lines, of which a loop in one line has one for each turn. Time is not
measured.
"""

import json
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.bedrock_converse.response_event_stream import event
from trunkline.dialects.google_genai.citations import Places
from trunkline.dialects.interfaces import Identity, Quirks
from trunkline.dialects.openai_chat.response_state import ToolCall, ToolCalls
from trunkline.dialects.registry import CLIENTS, RELAYS, UPSTREAMS
from trunkline.dialects.translation import Translation
from trunkline.engine.event_path import EventPath
from trunkline.model.endpoint import Endpoint
from trunkline.model.usage import Cost, Usage

Json = dict[str, Any]
IDENTITY = Identity(id="gen-1790000000-AbCdEfGhIjKlMnOpQrSt", model="x/y", provider="P", created=1)
FEW, MANY = 60, 240
USED = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def sse(bodies: Iterable[Json]) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(body).encode() for body in bodies)


def work(run: Callable[[], object]) -> int:
    """Calls and lines of Python that *run* takes."""
    count = 0

    def trace(frame: FrameType, kind: str, value: object) -> Any:
        nonlocal count
        del frame, kind, value
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


# Answers, by the upstream's dialect and what there is much of.


def chunk(*choices: Json, **more: Any) -> Json:
    return {"id": "u", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": list(choices), **more}


def choice(delta: Json, reason: str | None = None, index: int = 0) -> Json:
    return {"index": index, "delta": delta, "finish_reason": reason}


def call(at: int, **more: Any) -> Json:
    return {"id": f"call_{at}", "type": "function", "function": {"name": "f", "arguments": "{}"}, **more}


def chat_calls(size: int) -> bytes:
    calls = [chunk(choice({"tool_calls": [call(at, index=at)]})) for at in range(size)]
    return sse([*calls, chunk(choice({}, "tool_calls"), usage=USED)]) + b"data: [DONE]\n\n"


def chat_calls_without_index(size: int) -> bytes:
    calls = [chunk(choice({"tool_calls": [call(at)]})) for at in range(size)]
    return sse([*calls, chunk(choice({}, "tool_calls"))]) + b"data: [DONE]\n\n"


def chat_choices(size: int) -> bytes:
    said = [chunk(choice({"content": "a"}, None, at)) for at in range(size)]
    ended = [chunk(choice({}, "stop", at), usage=USED) for at in range(size)]
    return sse([*said, *ended]) + b"data: [DONE]\n\n"


def chat_body(size: int) -> bytes:
    calls = [call(at) for at in range(size)]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choices = [
        {"index": at, "message": {**message, "tool_calls": calls[:1]}, "finish_reason": "stop"} for at in range(size)
    ]
    choices[0]["message"] = message
    return json.dumps({**chunk(), "object": "chat.completion", "choices": choices, "usage": USED}).encode()


def message_start() -> Json:
    usage = {"input_tokens": 7, "output_tokens": 1}
    return {"type": "message_start", "message": {"id": "m", "content": [], "model": "x", "usage": usage}}


def messages_blocks(size: int) -> bytes:
    """Calls, all open at once."""
    use = {"type": "tool_use", "name": "f", "input": {}}
    begun = [
        {"type": "content_block_start", "index": at, "content_block": {**use, "id": f"t{at}"}} for at in range(size)
    ]
    delta = {"type": "input_json_delta", "partial_json": "{}"}
    said = [{"type": "content_block_delta", "index": at, "delta": delta} for at in range(size)]
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}}
    return sse([message_start(), *begun, *said, end, {"type": "message_stop"}])


def messages_searches(size: int) -> bytes:
    """A body with searches whose results come in another order."""
    use = {"type": "server_tool_use", "name": "web_search", "input": {"query": "q"}}
    content: list[Json] = [{**use, "id": f"s{at}"} for at in range(size)]
    content += [{"type": "web_search_tool_result", "tool_use_id": f"s{at}", "content": []} for at in range(size)][::-1]
    usage = {"input_tokens": 7, "output_tokens": 3}
    body = {"id": "m", "type": "message", "model": "x", "stop_reason": "end_turn", "usage": usage}
    return json.dumps({**body, "content": [*content, {"type": "text", "text": "a"}]}).encode()


def response(status: str, output: list[Json]) -> Json:
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    return {"id": "u", "created_at": 1, "model": "x", "status": status, "output": output, "usage": usage}


def function_call(at: int) -> Json:
    return {"type": "function_call", "id": f"fc{at}", "call_id": f"c{at}", "name": "f", "arguments": "{}"}


def responses_calls(size: int) -> bytes:
    """Calls, all open at once, that only their ids tell apart."""
    items = [function_call(at) for at in range(size)]
    added = [{"type": "response.output_item.added", "item": {**item, "arguments": ""}} for item in items]
    kind = "response.function_call_arguments.delta"
    said = [{"type": kind, "item_id": item["id"], "delta": "{}"} for item in items]
    done = [{"type": "response.output_item.done", "item": item} for item in items]
    end = {"type": "response.completed", "response": response("completed", items)}
    return sse([{"type": "response.created", "response": response("in_progress", [])}, *added, *said, *done, end])


def responses_untold(size: int) -> bytes:
    """Items that only the last event has."""
    begun = {"type": "response.created", "response": response("in_progress", [])}
    items = [function_call(at) for at in range(size)]
    return sse([begun, {"type": "response.completed", "response": response("completed", items)}])


def responses_body(size: int) -> bytes:
    return json.dumps(response("completed", [function_call(at) for at in range(size)])).encode()


def candidate(parts: list[Json], reason: str | None = None, index: int = 0) -> Json:
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}
    found = {"content": {"role": "model", "parts": parts}, "index": index, "finishReason": reason}
    return {"candidates": [found], "modelVersion": "x", "responseId": "u", "usageMetadata": usage}


def gemini_parts(size: int) -> bytes:
    parts: list[Json] = [{"functionCall": {"name": "f", "args": {}}}, {"text": "a"}, {"text": "b", "thought": True}]
    return sse([*(candidate([parts[at % 3]]) for at in range(size)), candidate([{"text": "e"}], "STOP")])


def gemini_choices(size: int) -> bytes:
    said = [candidate([{"text": "a"}], None, at) for at in range(size)]
    return sse([*said, *(candidate([], "STOP", at) for at in range(size))])


def gemini_body(size: int) -> bytes:
    return json.dumps(candidate([{"functionCall": {"name": "f", "args": {}}}] * size, "STOP")).encode()


def converse_calls(size: int) -> bytes:
    """Calls, all open at once."""
    frames: list[tuple[str, Json]] = [("messageStart", {"role": "assistant"})]
    for at in range(size):
        use = {"toolUse": {"toolUseId": f"t{at}", "name": "f"}}
        frames.append(("contentBlockStart", {"contentBlockIndex": at, "start": use}))
    for at in range(size):
        frames.append(("contentBlockDelta", {"contentBlockIndex": at, "delta": {"toolUse": {"input": "{}"}}}))
    usage = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
    frames += [("messageStop", {"stopReason": "tool_use"}), ("metadata", {"usage": usage})]
    return b"".join(event(name, json.dumps(body).encode()) for name, body in frames)


ANSWERS: list[tuple[str, bool, Callable[[int], bytes]]] = [
    ("chat", True, chat_calls),
    ("chat", True, chat_calls_without_index),
    ("chat", True, chat_choices),
    ("chat", False, chat_body),
    ("messages", True, messages_blocks),
    ("messages", False, messages_searches),
    ("responses", True, responses_calls),
    ("responses", True, responses_untold),
    ("responses", False, responses_body),
    ("gemini", True, gemini_parts),
    ("gemini", True, gemini_choices),
    ("gemini", False, gemini_body),
    ("converse", True, converse_calls),
]
ASKED: dict[str, Json] = {
    "chat": {"messages": [{"role": "user", "content": "a"}]},
    "messages": {"messages": [{"role": "user", "content": "a"}], "max_tokens": 99},
    "responses": {"input": "a"},
}


def parsed(client: str, *, stream: bool) -> Any:
    return CLIENTS[client].parse(json.dumps({"model": "x/y", "stream": stream, **ASKED[client]}).encode())


def translated(client: str, upstream: str, body: bytes, *, sse: bool, stream: bool) -> Callable[[], object]:
    """One way from *upstream* to *client*, in slices of the network's size."""
    asked = parsed(client, stream=stream)

    def run() -> None:
        decoder = UPSTREAMS[upstream].decoder(sse=sse)
        through(Translation(decoder, CLIENTS[client].encoder(asked, IDENTITY), streamed=stream, call=asked), body)

    return run


def through(converter: Any, body: bytes) -> None:
    for at in range(0, len(body), 16384):
        converter.feed(body[at : at + 16384])
    if not converter.ended:
        converter.close()
    converter.finish(Usage(prompt=1, completion=1), Cost())


def linear(make: Callable[[int], Callable[[], object]]) -> None:
    make(FEW)()  # what is made once is made
    few, many = work(make(FEW)), work(make(MANY))
    assert many / few < 1.3 * MANY / FEW


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("upstream", "frames", "answer"), ANSWERS, ids=lambda value: getattr(value, "__name__", None))
def test_a_translated_answer(
    upstream: str, frames: bool, answer: Callable[[int], bytes], client: str, stream: bool
) -> None:
    linear(lambda size: translated(client, upstream, answer(size), sse=frames, stream=stream))


@pytest.mark.parametrize(
    ("upstream", "frames", "answer"),
    [one for one in ANSWERS if (one[0], one[0]) in RELAYS],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_relayed_answer(upstream: str, frames: bool, answer: Callable[[int], bytes]) -> None:
    asked = parsed(upstream, stream=frames)

    def make(size: int) -> Callable[[], object]:
        body = answer(size)
        return lambda: through(RELAYS[upstream, upstream].converter(asked, IDENTITY, sse=frames), body)

    linear(make)


@pytest.mark.parametrize(("upstream", "frames", "answer"), ANSWERS, ids=lambda value: getattr(value, "__name__", None))
def test_an_answer_that_stages_work_on(upstream: str, frames: bool, answer: Callable[[int], bytes]) -> None:
    def make(size: int) -> Callable[[], object]:
        body = answer(size)

        def run() -> None:
            path = EventPath(CLIENTS["chat"], parsed("chat", stream=True), (), holds_end=True)
            encoder, decoder = path.encoder_for(IDENTITY), UPSTREAMS[upstream].decoder(sse=frames)
            for one in [*decoder.feed(body), *decoder.close()]:
                encoder.encode(one)
            assert path.response.choices
            path.end()

        return run

    linear(make)


# Requests


def request(client: str, messages: list[Json], **more: Any) -> bytes:
    asked = {key: said for key, said in ASKED[client].items() if key not in ("messages", "input")}
    return json.dumps(
        {"model": "x/y", **asked, ("input" if client == "responses" else "messages"): messages, **more}
    ).encode()


def asked_calls(client: str, size: int) -> bytes:
    """Calls that all have one id, and their results behind them."""
    user: Json = {"role": "user", "content": "a"}
    match client:
        case "chat":
            calls = [call(0) for _ in range(size)]
            answered: list[Json] = [{"role": "tool", "tool_call_id": "call_0", "content": "r"} for _ in range(size)]
            return request(client, [user, {"role": "assistant", "content": None, "tool_calls": calls}, *answered])
        case "messages":
            uses = [{"type": "tool_use", "id": "c", "name": "f", "input": {}} for _ in range(size)]
            results = [{"type": "tool_result", "tool_use_id": "c", "content": "r"} for _ in range(size)]
            said: list[Json] = [{"role": "assistant", "content": uses}, {"role": "user", "content": results}]
            return request(client, [user, *said])
        case _:
            outputs = [{"type": "function_call_output", "call_id": "c0", "output": "r"} for _ in range(size)]
            return request(client, [user, *(function_call(0) for _ in range(size)), *outputs])


def asked_tools(client: str, size: int) -> bytes:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    names = [f"f{at}" for at in range(size)]
    tools: dict[str, list[Json]] = {
        "chat": [{"type": "function", "function": {"name": name, "parameters": schema}} for name in names],
        "messages": [{"name": name, "input_schema": schema} for name in names],
        "responses": [{"type": "function", "name": name, "parameters": schema} for name in names],
    }
    return request(client, [{"role": "user", "content": "a"}], tools=tools[client])


def asked_marks(client: str, size: int) -> bytes:
    kind = "input_text" if client == "responses" else "text"
    mark = {} if client == "responses" else {"cache_control": {"type": "ephemeral"}}
    return request(client, [{"role": "user", "content": [{"type": kind, "text": "a", **mark} for _ in range(size)]}])


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("asked", [asked_calls, asked_tools, asked_marks])
def test_a_request(asked: Callable[[str, int], bytes], client: str, upstream: str) -> None:
    model = {"converse": "anthropic.claude-sonnet-4-5-20250929-v1:0"}.get(upstream, "m")
    endpoint = Endpoint(
        model="x/y", provider="p", provider_name="P", upstream_model=model, dialect=upstream, tag="p", max_output=99
    )

    def make(size: int) -> Callable[[], object]:
        body = asked(client, size)

        def run() -> None:
            near = CLIENTS[client]
            UPSTREAMS[upstream].encode(near.decode(near.parse(body)), endpoint, Quirks())

        return run

    linear(make)


# What replaced a search through all that came before finds the same.


def found_by_search(calls: list[ToolCall], index: int | None, id_: str, name: str) -> ToolCall:
    """As `ToolCalls.find`, by its definition: the last call that may be meant, unless the fragment begins another."""
    for known in reversed(calls):
        other_id = bool(id_ and known.id and known.id != id_)
        if known.wire_index != index if index is not None else other_id:
            continue
        same = name == known.name and (index is not None or id_ == known.id != "")
        if other_id or (name and known.part >= 0 and not same):
            break
        known.id = known.id or id_
        return known
    calls.append(ToolCall(len(calls), index, id_))
    return calls[-1]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 0, 1, 2]),
            st.sampled_from(["", "a", "b", "c"]),
            st.sampled_from(["", "f", "g"]),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_fragments_belong_to_the_same_calls(fragments: list[tuple[int | None, str, str, bool]]) -> None:
    calls, searched = ToolCalls(), list[ToolCall]()
    for index, id_, name, arguments in fragments:
        one, other = calls.find(index, id_, name), found_by_search(searched, index, id_, name)
        for state in (one, other):
            state.take_name(name)
            if arguments:
                state.part = state.number
        assert one.number == other.number
    assert list(calls) == searched


@given(st.text(alphabet="aé€😀", max_size=3000), st.integers(0, 13000))
def test_an_offset_in_bytes_is_as_many_characters(said: str, offset: int) -> None:
    data = said.encode()
    characters = len(data[:offset].decode("utf-8", "ignore")) + max(offset - len(data), 0)
    assert Places(said, 0).of(offset, None)["begin"] == characters
