"""Answers of other dialects as Responses, and what of them comes back with the next request."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from openai.types.responses import Response
from openai.types.responses.response_stream_event import ResponseStreamEvent
from pydantic import TypeAdapter
from responses_help import CLIENT, IDENTITY, Wire, call_of, wire, written

from trunkline.dialects.common.reasoning import ANTHROPIC, GEMINI, OPENAI, pack
from trunkline.dialects.openai_responses.response_parts import ENDS, STARTS
from trunkline.model.citation import Citation
from trunkline.model.errors import UpstreamLimited, UpstreamTruncated
from trunkline.model.events import ChoiceEnded, Delta, Event, Finished, Noted, PartEnded, PartKind, PartStarted, Started
from trunkline.model.request import ReasoningPart
from trunkline.model.usage import Cost, Usage

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def whole(index: int, kind: PartKind, text: str = "", signature: str | None = None, **more: Any) -> Iterator[Event]:
    """A part in one piece."""
    yield PartStarted(index, kind, **more)
    if text or signature is not None:
        yield Delta(index, text, signature=signature)
    yield PartEnded(index)


def answer(*parts: Iterator[Event], reason: Any = "stop", native: str | None = None, **more: Any) -> list[Event]:
    """A whole answer of Anthropic's, say, of these parts."""
    events: list[Event] = [Started(id="m1", model="m", dialect="messages", **more)]
    for part in parts:
        events += part
    return [*events, ChoiceEnded(reason=reason, native=native), Finished()]


def kinds(told: list[Wire]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in told]


def judged(told: list[Wire]) -> None:
    """OpenAI's own types take every event."""
    for event in told:
        EVENT.validate_python(event, strict=False)


def items_back(whole_response: Wire) -> tuple[Any, ...]:
    """What an upstream is told of the output when an official client sends it back, without fields it does not know."""
    output = [
        {key: said for key, said in item.items() if key not in ("signature", "format")}
        for item in whole_response["output"]
    ]
    request = CLIENT.decode(call_of({"input": [{"role": "user", "content": "Hi"}, *output]}))
    return request.messages[1].parts


def test_text() -> None:
    told, response, losses = written(answer(whole(0, "text", "Hi."), native="end_turn"))
    assert kinds(told) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    judged(told)
    assert losses == ()
    assert response["output_text"] == "Hi."
    assert response["id"] == IDENTITY.id
    assert response["usage"]["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    (item,) = response["output"]
    assert item["id"].startswith("msg_tmp_")
    assert item["status"] == "completed"
    Response.model_validate(response)


def test_the_request_is_repeated() -> None:
    body = {
        "instructions": "Be brief.", "temperature": 0.5, "max_output_tokens": 99, "metadata": {"a": "b"},
        "text": {"verbosity": "low"}, "reasoning": {"effort": "low", "enabled": True}, "user": "u",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "top_logprobs": None,
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }  # fmt: skip
    told, response, _ = written(answer(whole(0, "text", "Hi.")), body)
    for found in (told[0]["response"], told[1]["response"], response):
        assert found["instructions"] == "Be brief."
        assert (found["temperature"], found["top_p"], found["max_output_tokens"]) == (0.5, None, 99)
        assert found["text"] == {"format": {"type": "text"}, "verbosity": "low"}
        assert found["reasoning"] == {"effort": "low", "summary": None}
        assert found["tools"] == [{"type": "function", "name": "f", "parameters": {}}]
        assert found["tool_choice"] == {"type": "function", "name": "f"}
        assert (found["store"], found["previous_response_id"], found["background"]) == (False, None, False)
        assert "top_logprobs" not in found
    assert told[0]["response"]["output"] == []


def test_parts_of_one_message_stay_together() -> None:
    _, response, _ = written(answer(whole(0, "text", "A"), whole(1, "text", "B"), whole(2, "refusal", "No.")))
    (item,) = response["output"]
    assert [part["type"] for part in item["content"]] == ["output_text", "output_text", "refusal"]


def test_a_signed_thought() -> None:
    thought = whole(0, "reasoning", "Hm.", "SIG", form="text", format=ANTHROPIC)
    told, response, _ = written(answer(thought, whole(1, "text", "Hi.")))
    assert kinds(told)[2:8] == [
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done",
        "output_item.done",
    ]  # fmt: skip
    item = response["output"][0]
    assert item["id"].startswith("rs_tmp_")
    assert item["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert (item["signature"], item["format"], item["summary"]) == ("SIG", ANTHROPIC, [])
    assert item["encrypted_content"] == pack(ANTHROPIC, None, "SIG")
    found = items_back(response)[0]
    assert (found.form, found.text, found.signature, found.format) == ("text", "Hm.", "SIG", ANTHROPIC)


@pytest.mark.parametrize(
    ("thought", "form", "text", "signature"),
    [
        (whole(0, "reasoning", "", "SIG", form="text", format=ANTHROPIC), "text", "", "SIG"),
        (whole(0, "reasoning", "DATA", form="encrypted", format=ANTHROPIC), "encrypted", "DATA", None),
    ],
    ids=["withheld", "redacted"],
)
def test_a_withheld_thought_is_no_redacted_one(
    thought: Iterator[Event], form: str, text: str, signature: str | None
) -> None:
    _, response, _ = written(answer(thought, whole(1, "text", "Hi.")))
    found = items_back(response)[0]
    assert (found.form, found.text, found.signature, found.format) == (form, text, signature, ANTHROPIC)


def test_the_signature_of_a_call() -> None:
    """Gemini's: it names the call, and comes before it."""
    sealed = whole(0, "reasoning", "SIG", form="encrypted", id="call_9", format=GEMINI)
    _, response, _ = written(answer(sealed, whole(1, "tool_call", "{}", id="call_9", name="f"), reason="tool_calls"))
    thought, call = response["output"]
    assert thought["id"].startswith("rs_tmp_")
    assert thought["encrypted_content"] == pack(GEMINI, "call_9", "SIG")
    assert call["call_id"] == "call_9"
    first, _ = items_back(response)
    assert isinstance(first, ReasoningPart)
    assert (first.form, first.id, first.text, first.format) == ("encrypted", "call_9", "SIG", GEMINI)


def test_a_thought_of_openais_from_elsewhere() -> None:
    """Its summary and its encrypted content are one item again, with the id it had."""
    parts = (
        whole(0, "reasoning", "Sum", form="summary", id="rs_1", format=OPENAI),
        whole(1, "reasoning", "gAAA", form="encrypted", id="rs_1", format=OPENAI),
    )
    told, response, _ = written(answer(*parts, whole(2, "text", "Hi.")))
    item = response["output"][0]
    assert (item["id"], item["encrypted_content"]) == ("rs_1", "gAAA")
    assert item["summary"] == [{"type": "summary_text", "text": "Sum"}]
    assert "reasoning_summary_text.delta" in kinds(told)
    judged(told)
    assert [part.format for part in items_back(response)[:2]] == [OPENAI, OPENAI]


def test_an_empty_thought_is_not_told() -> None:
    _, response, _ = written(answer(whole(0, "reasoning", form="plain"), whole(1, "text", "Hi.")))
    assert [item["type"] for item in response["output"]] == ["message"]


def test_calls_that_are_interleaved() -> None:
    """One item at a time, each whole."""
    events = answer(reason="tool_calls")
    pieces: list[Event] = [
        PartStarted(0, "tool_call", id="a", name="f"), Delta(0, '{"x"'), PartStarted(1, "tool_call", id="b", name="g"),
        Delta(1, "[1"), Delta(0, ":1}"), Delta(1, "]"), PartEnded(0), PartEnded(1),
    ]  # fmt: skip
    told, response, _ = written([events[0], *pieces, *events[1:]])
    calls = response["output"]
    assert [(call["call_id"], call["name"], call["arguments"]) for call in calls] == [
        ("a", "f", '{"x":1}'), ("b", "g", "[1]"),
    ]  # fmt: skip
    order = [event["output_index"] for event in told if "output_index" in event]
    assert order == sorted(order)
    judged(told)


def test_ids_are_unique() -> None:
    parts = (whole(at, "tool_call", "{}", id=id_, name="f") for at, id_ in enumerate(["a", "a", None]))
    _, response, _ = written(answer(*parts, reason="tool_calls"))
    assert len({call["call_id"] for call in response["output"]}) == 3
    assert all(call["call_id"] and call["id"] for call in response["output"])


FILES: Wire = {
    "type": "namespace",
    "name": "mcp__files",
    "description": "Files.",
    "tools": [{"type": "function", "name": "read"}],
}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "s: x"}
CODEX: Wire = {"tools": [FILES, {"type": "custom", "name": "apply_patch", "format": GRAMMAR}]}


@pytest.mark.parametrize("name", ["read", "mcp__files__read", "mcp__files.read", "mcp__filesread"])
def test_a_name_comes_back_with_its_namespace(name: str) -> None:
    _, response, _ = written(answer(whole(0, "tool_call", "{}", id="a", name=name), reason="tool_calls"), CODEX)
    (call,) = response["output"]
    assert (call["namespace"], call["name"]) == ("mcp__files", "read")


@pytest.mark.parametrize(
    ("form", "said", "meant"),
    [("custom", "*** Begin", "*** Begin"), (None, '{"input":"*** Begin"}', "*** Begin"), (None, "{broken", "{broken")],
)
def test_free_form_input(form: str | None, said: str, meant: str) -> None:
    """Also where an upstream that knows none gave it as JSON."""
    call = whole(0, "tool_call", said, id="a", name="apply_patch", form=form)
    told, response, _ = written(answer(call, reason="tool_calls"), CODEX)
    (item,) = response["output"]
    assert (item["type"], item["input"]) == ("custom_tool_call", meant)
    assert "".join(event["delta"] for event in told if event["type"].endswith("input.delta")) == meant
    judged(told)


def test_citations() -> None:
    cited = (
        Citation(kind="url", url="https://a.example", title="A", cited_text="x"),
        Citation(kind="page", document=0, source_begin=1, source_end=2),
    )
    part: list[Event] = [PartStarted(0, "text"), Delta(0, "Four."), Delta(0, citations=cited), PartEnded(0)]
    told, response, losses = written(answer(iter(part)))
    note = {
        "type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 5,
        "content": "x",
    }  # fmt: skip
    assert response["output"][0]["content"][0]["annotations"] == [note]
    assert [event["annotation"] for event in told if "annotation" in event] == [note]
    assert losses == ("citations",)
    judged(told)


def test_tools_that_the_provider_ran() -> None:
    found = {"content": [{"type": "web_search_result", "url": "https://a.example", "title": "A"}]}
    ran = {"content": {"stdout": "3\n", "stderr": ""}}
    parts = (
        whole(0, "server_tool_call", '{"query":"q"}', id="s1", name="web_search"),
        whole(1, "server_tool_result", id="s1", extra=found),
        whole(2, "server_tool_call", '{"code":"1+2"}', id="s2", name="code_execution"),
        whole(3, "server_tool_result", id="s2", extra=ran),
        whole(4, "server_tool_call", "{}", id="s3", name="advisor"),
        whole(5, "text", "3"),
    )
    told, response, losses = written(answer(*parts))
    search, code, _ = response["output"]
    assert search["action"] == {
        "type": "search", "query": "q", "sources": [{"type": "url", "url": "https://a.example"}],
    }  # fmt: skip
    assert (code["type"], code["code"], code["outputs"]) == (
        "code_interpreter_call", "1+2", [{"type": "logs", "logs": "3\n"}],
    )  # fmt: skip
    assert losses == ("advisor",)
    assert [kind for kind in kinds(told) if kind.startswith("web_search")] == [
        "web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed",
    ]  # fmt: skip


def test_an_image() -> None:
    told, response, _ = written(answer(whole(0, "image", "data:image/png;base64,QUJD")))
    (item,) = response["output"]
    assert (item["type"], item["status"], item["result"]) == (
        "image_generation_call", "completed", "data:image/png;base64,QUJD",
    )  # fmt: skip
    judged(told)


def test_what_has_no_place_is_lost() -> None:
    extra = {"metrics": {"ms": 5}, "nothing": None}
    parts = (whole(0, "audio", "QUJD"), whole(1, "opaque", extra={"x": 1}), whole(2, "text", "Hi.", extra={"y": 2}))
    events = answer(*parts, extra=extra)
    events[1:1] = [Noted({"timings": {}})]
    second: list[Event] = [*whole(3, "text", "Other", choice=1), ChoiceEnded(1, reason="stop")]
    _, response, losses = written([*events[:-2], *second, *events[-2:]])
    assert set(losses) == {"metrics", "timings", "audio", "opaque", "parts[2].y", "choices[1]"}
    assert response["output_text"] == "Hi."


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        (None, "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("error", "failed", None),
    ],
)
def test_why_it_ended(reason: Any, status: str, details: Any) -> None:
    told, response, _ = written(answer(whole(0, "text", "Hi."), reason=reason))
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert told[-1]["type"] == f"response.{status}"
    assert response["output"][0]["status"] == ("incomplete" if status == "incomplete" else "completed")
    assert (response["error"] is None) == (status != "failed")


def test_a_stream_that_fails() -> None:
    encoder = CLIENT.encoder(call_of(stream=True), IDENTITY)
    out = b""
    for event in answer(whole(0, "reasoning", "Hm.", form="plain"), whole(1, "text", "Half an"))[:-3]:
        out += encoder.encode(event)
    out += encoder.fail(UpstreamTruncated("the provider's stream ended before its answer did"), Usage(prompt=2), Cost())
    told = wire(out)
    judged(told)
    response = told[-1]["response"]
    assert told[-1]["type"] == "response.failed"
    assert response["status"] == "failed"
    assert response["error"] == {"code": "server_error", "message": "the provider's stream ended before its answer did"}
    assert response["error_type"] == "provider_unavailable"
    assert response["usage"]["input_tokens"] == 2
    assert response["output_text"] == "Half an"
    assert response["output"][1]["status"] == "incomplete"


def test_a_stream_that_fails_at_once_has_its_beginning() -> None:
    encoder = CLIENT.encoder(call_of(stream=True), IDENTITY)
    told = wire(encoder.fail(UpstreamLimited("rate limited by the provider"), None, None))
    assert kinds(told) == ["created", "in_progress", "failed"]
    assert told[-1]["response"]["error"]["code"] == "rate_limit_exceeded"
    assert "usage" not in told[-1]["response"]


def test_every_kind_of_part_is_written() -> None:
    assert STARTS.keys() == ENDS.keys() == set(get_args(PartKind))
