"""Answers of other dialects as Messages, and what of them comes back with the next request."""

from typing import Any

import msgspec
import pytest
from messages_help import CLIENT, IDENTITY, Wire, answer, call_of, judged, whole, wire, written

from trunkline.dialects.common.reasoning import ANTHROPIC, GEMINI, OPENAI, pack
from trunkline.model.citation import Citation
from trunkline.model.errors import UpstreamOverloaded, UpstreamTruncated
from trunkline.model.events import ChoiceEnded, Delta, Event, Finished, FinishReason, PartEnded, PartStarted, Started
from trunkline.model.usage import Cost, Usage


def kinds(told: list[Wire]) -> list[str]:
    return [event["type"] for event in told]


def parts_back(message: Wire) -> tuple[Any, ...]:
    """What an upstream is told of the content when the client sends it back."""
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": message["content"]}]
    return CLIENT.decode(call_of({"messages": messages})).messages[1].parts


def test_text() -> None:
    told, message, losses = written(answer(whole(0, "text", "Hi.")))
    assert kinds(told) == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    assert losses == []
    assert (message["id"], message["model"], message["provider"]) == (IDENTITY.id, IDENTITY.model, IDENTITY.provider)
    assert message["content"] == [{"type": "text", "text": "Hi.", "citations": None}]
    assert told[0]["message"]["usage"]["input_tokens"] == IDENTITY.prompt_tokens, "our estimate, until we know"
    assert "cost" not in told[0]["message"]["usage"]
    assert told[-2]["usage"]["cost"] == 0


@pytest.mark.parametrize(
    ("reason", "stop", "said"),
    [
        ("stop", None, "end_turn"),
        ("stop", "END", "stop_sequence"),
        ("length", None, "max_tokens"),
        ("tool_calls", None, "tool_use"),
        ("content_filter", None, "refusal"),
        (None, None, "end_turn"),
    ],
)
def test_why_it_ended(reason: FinishReason | None, stop: str | None, said: str) -> None:
    events = answer(whole(0, "text", "Hi."))
    events[-2] = ChoiceEnded(reason=reason, native="whatever", stop=stop)
    _, message, _ = written(events)
    assert (message["stop_reason"], message["stop_sequence"]) == (said, stop)


def test_calls_that_were_told_in_turns_stand_one_behind_the_other() -> None:
    parts: list[Event] = [
        PartStarted(0, "text"), Delta(0, "I will."),
        PartStarted(1, "tool_call", id="a", name="f"), PartStarted(2, "tool_call", id="b", name="g"),
        Delta(2, '{"y":'), Delta(1, '{"x":'), Delta(2, "2}"), PartEnded(2), Delta(1, "1}"),
        Delta(0, " Now."), PartEnded(0), PartEnded(1),
    ]  # fmt: skip
    told, message, losses = written(answer(parts, reason="tool_calls"))
    assert [block["type"] for block in message["content"]] == ["text", "tool_use", "tool_use"]
    assert message["content"][0]["text"] == "I will. Now."
    assert [block["input"] for block in message["content"][1:]] == [{"x": 1}, {"y": 2}]
    assert losses == []
    first = next(at for at, event in enumerate(told) if event.get("delta", {}).get("text") == "I will.")
    assert first == 2, "what is open speaks at once"


def test_what_waits_is_let_out_at_the_end_all_the_same() -> None:
    encoder = CLIENT.encoder(call_of(stream=True), IDENTITY)
    events: list[Event] = [
        Started(dialect="chat"),
        PartStarted(0, "text"),
        PartStarted(1, "tool_call", id="a", name="f"),
    ]
    out = b"".join(map(encoder.encode, [*events, Delta(1, "{}")])) + encoder.finish(Usage(), Cost())
    assert kinds(wire(out)).count("content_block_stop") == 2


@pytest.mark.parametrize(("text", "given"), [("", {}), ("{}", {}), ('{"x":[1]}', {"x": [1]})])
def test_arguments(text: str, given: Wire) -> None:
    _, message, _ = written(answer(whole(0, "tool_call", text, id="a", name="f"), reason="tool_calls"))
    assert message["content"] == [
        {"type": "tool_use", "id": "a", "name": "f", "input": given, "caller": {"type": "direct"}}
    ]


@pytest.mark.parametrize("text", ["Hi", "[1]", '"x"', "5", '{"x"', "{]"])
def test_arguments_that_are_no_object(text: str) -> None:
    encoder = CLIENT.encoder(call_of(), IDENTITY)
    for event in answer(whole(0, "tool_call", text, id="a", name="f"), reason="tool_calls"):
        encoder.encode(event)
    message = msgspec.json.decode(encoder.finish(Usage(), Cost()))
    assert isinstance(message["content"][0]["input"], dict)
    judged([], message)


def test_calls_have_ids_that_differ() -> None:
    calls = [whole(at, "tool_call", "{}", id=id_, name="f") for at, id_ in enumerate(["a", "a", None, ""])]
    _, message, _ = written(answer(*calls, reason="tool_calls"))
    ids = [block["id"] for block in message["content"]]
    assert ids[0] == "a"
    assert len(set(ids)) == 4
    assert all(id_.startswith("toolu") for id_ in ids[1:])


@pytest.mark.parametrize("text", ["", 'say "hi"\n', "a\\b ü"])
def test_free_form_input_stands_in_an_object(text: str) -> None:
    pieces: list[Event] = [
        PartStarted(0, "tool_call", id="a", name="f", form="custom"),
        *(Delta(0, one) for one in text),
        PartEnded(0),
    ]
    _, message, losses = written(answer(pieces, reason="tool_calls"))
    assert message["content"][0]["input"] == {"input": text}
    assert losses == ["tool_use.input"]


def test_a_signed_thought() -> None:
    thought = whole(0, "reasoning", "Hm.", "SIG", form="text", format=ANTHROPIC)
    told, message, losses = written(answer(thought, whole(1, "text", "Hi."), dialect="converse"))
    assert message["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": "SIG"}
    assert [event["delta"]["type"] for event in told if event["type"] == "content_block_delta"] == [
        "thinking_delta", "signature_delta", "text_delta",
    ]  # fmt: skip
    assert losses == []


@pytest.mark.parametrize(
    ("form", "text", "signature", "format_", "id_"),
    [
        ("text", "Hm.", "SIG", GEMINI, None),
        ("text", "Hm.", "SIG", "xai-responses-v1", "rs_1"),
        ("encrypted", "DATA", None, OPENAI, "rs_1"),
        ("encrypted", "DATA", None, GEMINI, "call_1"),
        ("encrypted", "DATA", None, ANTHROPIC, None),
        ("summary", "Hm.", None, OPENAI, "rs_1"),
    ],
)
def test_thoughts_of_others_come_back_as_they_were(
    form: str, text: str, signature: str | None, format_: str, id_: str | None
) -> None:
    thought = whole(0, "reasoning", text, signature, form=form, format=format_, id=id_)
    _, message, losses = written(answer(thought, whole(1, "text", "Hi."), dialect="responses"))
    found = parts_back(message)[0]
    assert (found.form, found.text, found.signature, found.format, found.id) == (form, text, signature, format_, id_)
    assert losses == []


def test_a_thought_that_nobody_signed() -> None:
    _, message, losses = written(answer(whole(0, "reasoning", "Hm.", form="plain"), whole(1, "text", "Hi.")))
    assert message["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": ""}
    assert losses == []
    assert parts_back(message)[0].form == "plain"


def test_signatures_are_packed_by_whose_they_are() -> None:
    _, message, _ = written(answer(whole(0, "reasoning", "Hm.", "SIG", form="text", format=GEMINI)))
    assert message["content"][0]["signature"] == pack(GEMINI, None, "SIG")


def test_a_refusal_is_text() -> None:
    _, message, losses = written(answer(whole(0, "refusal", "No."), reason="content_filter"))
    assert message["content"] == [{"type": "text", "text": "No.", "citations": None}]
    assert message["stop_reason"] == "refusal"
    assert losses == []


@pytest.mark.parametrize(
    ("citation", "said"),
    [
        (
            Citation(kind="url", url="https://a", title="A", cited_text="c"),
            {"type": "web_search_result_location", "url": "https://a", "title": "A", "cited_text": "c",
             "encrypted_index": ""},
        ),
        (
            Citation(kind="page", document=1, title="D", cited_text="c", source_begin=2, source_end=3),
            {"type": "page_location", "document_index": 1, "document_title": "D", "cited_text": "c",
             "start_page_number": 2, "end_page_number": 3, "file_id": None},
        ),
        (
            Citation(kind="search_result", document=0, url="s", cited_text="c", source_begin=0, source_end=1),
            {"type": "search_result_location", "search_result_index": 0, "source": "s", "title": None,
             "cited_text": "c", "start_block_index": 0, "end_block_index": 1},
        ),
    ],
    ids=["url", "page", "search_result"],
)  # fmt: skip
def test_citations(citation: Citation, said: Wire) -> None:
    parts: list[Event] = [PartStarted(0, "text"), Delta(0, "So."), Delta(0, citations=(citation,)), PartEnded(0)]
    _, message, losses = written(answer(parts))
    assert message["content"][0]["citations"] == [said]
    assert losses == []


def test_a_citation_without_a_word_is_a_loss() -> None:
    note = Citation(kind="file", file_id="f")
    _, message, losses = written(answer([PartStarted(0, "text"), Delta(0, "So.", citations=(note,)), PartEnded(0)]))
    assert message["content"][0]["citations"] is None
    assert losses == ["citations.file"]


def test_what_has_no_word() -> None:
    parts: list[Event] = [
        PartStarted(0, "text"),
        Delta(0, "Hi.", logprobs={"content": [{}]}),
        PartEnded(0),
        PartStarted(1, "text", choice=1),
        Delta(1, "Ho."),
        PartEnded(1),
        *whole(2, "image", "data:image/png;base64,AA=="),
        *whole(3, "audio", "AA=="),
        *whole(4, "server_tool_result", id="s", name="web_search_call"),
        *whole(5, "opaque", extra={"type": "novel"}),
    ]
    events = [*answer(parts)[:-1], ChoiceEnded(1, reason="stop"), Finished()]
    _, message, losses = written(events)
    assert [block["text"] for block in message["content"]] == ["Hi."]
    assert set(losses) == {
        "logprobs", "choices[1]", "images", "audio", "server_tool_result.web_search_call", "opaque.novel",
    }  # fmt: skip


def test_usage_in_this_dialects_terms() -> None:
    usage = Usage(prompt=100, completion=50, cached=30, cache_write=20, cache_write_1h=5, reasoning=10)
    told, message, _ = written(answer(whole(0, "text", "Hi.")), usage)
    said = message["usage"]
    assert (said["input_tokens"], said["output_tokens"]) == (50, 50)
    assert (said["cache_read_input_tokens"], said["cache_creation_input_tokens"]) == (30, 20)
    assert said["cache_creation"] == {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5}
    assert said["output_tokens_details"] == {"thinking_tokens": 10}
    assert {key: told[-2]["usage"][key] for key in ("input_tokens", "output_tokens")} == {
        "input_tokens": 50,
        "output_tokens": 50,
    }


@pytest.mark.parametrize(
    "usage", [Usage(prompt=5, cached=9, cache_write=9, cache_write_1h=20), Usage(), Usage(cached=1)]
)
def test_usage_that_contradicts_itself_is_never_negative(usage: Usage) -> None:
    _, message, _ = written(answer(whole(0, "text", "Hi.")), usage)
    said = message["usage"]
    counts = [said["input_tokens"], said["cache_read_input_tokens"], *(said["cache_creation"] or {}).values()]
    assert all(count >= 0 for count in counts if count is not None)


@pytest.mark.parametrize("error", [UpstreamTruncated("cut"), UpstreamOverloaded("full")])
def test_an_error_ends_a_stream(error: Any) -> None:
    encoder = CLIENT.encoder(call_of(stream=True), IDENTITY)
    events: list[Event] = [Started(dialect="chat"), PartStarted(0, "text"), Delta(0, "Hel")]
    told = wire(b"".join(map(encoder.encode, events)) + encoder.fail(error, None, None))
    assert told[-1]["type"] == "error"
    assert told[-1]["error"]["error_type"] == error.kind
    assert "message_stop" not in kinds(told)


def test_the_metadata_that_was_asked_for() -> None:
    for stream in (True, False):
        encoder = CLIENT.encoder(call_of(stream=stream), IDENTITY)
        out = b"".join(map(encoder.encode, answer(whole(0, "text", "Hi."))))
        out += encoder.finish(Usage(), Cost(), {"attempt": 1})
        last = wire(out)[-1] if stream else msgspec.json.decode(out)
        assert last["openrouter_metadata"] == {"attempt": 1}


def test_a_ping_keeps_the_connection() -> None:
    assert CLIENT.keep_alive == b'event: ping\ndata: {"type":"ping"}\n\n'
