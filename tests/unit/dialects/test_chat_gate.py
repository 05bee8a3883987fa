"""Answers of other dialects, as a client of chat gets them; and what is lost on the way."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from chat_help import CHAT, IDENTITY
from matrix_help import frames

from trunkline.dialects.interfaces import Call
from trunkline.model.citation import Citation
from trunkline.model.events import (
    ChoiceEnded,
    Delta,
    Event,
    Finished,
    Item,
    Noted,
    PartEnded,
    PartStarted,
    Reported,
    Started,
    check,
)
from trunkline.model.usage import Cost, Usage


def answer(*events: Event, dialect: str = "messages", end: ChoiceEnded | None = None, extra: Any = None) -> list[Event]:
    ended = end or ChoiceEnded(reason="stop", native="end_turn")
    every = [Started(id="m1", dialect=dialect, extra=extra or {}), *events, ended, Finished()]
    check(every)
    return every


def part(index: int, kind: Any, *texts: str, **more: Any) -> list[Event]:
    return [PartStarted(index, kind, **more), *(Delta(index, text) for text in texts), PartEnded(index)]


def told(events: Iterable[Event], usage: Usage = Usage()) -> tuple[dict[str, Any], dict[str, Any], list[str]]:  # noqa: B008
    """The message, the whole body, and the paths of the losses; a stream says the same as the body."""
    events = list(events)
    encoder, streamer = (CHAT.encoder(Call(envelope={}, stream=stream), IDENTITY) for stream in (False, True))
    out = b""
    for event in events:
        encoder.encode(event)
        out += streamer.encode(event)
    body = msgspec.json.decode(encoder.finish(usage, Cost()))
    out += streamer.finish(usage, Cost())
    assert encoder.losses == streamer.losses
    assert all(loss.direction == "response" for loss in encoder.losses)
    message = body["choices"][0]["message"]
    assert _summed(out) == {key: message[key] for key in _summed(out)}
    return message, body, [loss.path for loss in encoder.losses]


def _summed(out: bytes) -> dict[str, Any]:
    """The lists of a streamed message, and its text."""
    sums: dict[str, Any] = {}
    for _, chunk in frames(out):
        delta = chunk["choices"][0]["delta"] if chunk != "[DONE]" else {}
        for key in ("annotations", "images"):
            if key in delta:
                sums.setdefault(key, []).extend(delta[key])
        if delta.get("content"):
            sums["content"] = sums.get("content", "") + delta["content"]
        for detail in delta.get("reasoning_details", ()):
            _add(sums.setdefault("reasoning_details", []), detail)
    return sums


def _add(details: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    known = next((detail for detail in details if detail["index"] == piece["index"]), None)
    if known is None:
        details.append(dict(piece))
    else:
        known.update({key: said for key, said in piece.items() if key not in ("text", "data")})
        for key in ("text", "data"):
            if key in piece:
                known[key] = known.get(key, "") + piece[key]


def test_thoughts_keep_their_signatures_formats_and_ids() -> None:
    thought: list[Event] = [
        PartStarted(0, "reasoning", form="text", format="anthropic-claude-v1"),
        Delta(0, "h"),
        Delta(0, "m"),
        Delta(0, signature="s1g"),
        PartEnded(0),
    ]
    sealed = part(1, "reasoning", "b64", form="encrypted", format="openai-responses-v1", id="rs_1")
    message, _, lost = told(answer(*thought, *sealed, *part(2, "text", "Hi")))
    assert message["reasoning"] == "hm"
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, "text": "hm", "signature": "s1g"},
        {"type": "reasoning.encrypted", "id": "rs_1", "format": "openai-responses-v1", "index": 1, "data": "b64"},
    ]
    assert not lost


def test_a_tool_that_the_provider_ran_is_a_detail() -> None:
    search = part(
        0, "server_tool_call", '{"query":', '"x"}', id="srv_1", name="web_search", extra={"type": "server_tool_use"}
    )
    found = {"type": "web_search_tool_result", "content": [{"url": "https://a", "encrypted_content": "e"}]}
    message, _, lost = told(
        answer(*search, *part(1, "server_tool_result", id="srv_1", extra=found), *part(2, "text", "Hi"))
    )
    (detail,) = message["reasoning_details"]
    assert detail == {
        "type": "reasoning.server_tool_call",
        "format": None,
        "index": 0,
        "tool_name": "web_search",
        "arguments": '{"query":"x"}',
        "result": '[{"url":"https://a","encrypted_content":"e"}]',
        "tool_call_id": "srv_1",
    }
    assert message["content"] == "Hi"
    assert not lost


def test_a_tool_without_a_result_and_a_result_without_a_tool() -> None:
    call = part(0, "server_tool_call", id="srv_1", name="web_search")
    message, _, lost = told(answer(*call, *part(1, "server_tool_result", "text", id="other")))
    (detail,) = message["reasoning_details"]
    assert (detail["arguments"], detail["result"]) == ("{}", "")
    assert lost == ["server_tool_result"]


def test_places_of_citations_are_counted_over_the_whole_message() -> None:
    web = Citation(kind="url", url="https://a", title="A", cited_text="q", native={"encrypted_index": "e"})
    placed = Citation(kind="url", url="https://b", begin=1, end=2, native={"theirs": 1})
    document = Citation(kind="char", document=0, native={"document_title": "D"})
    events: list[Event] = [
        *part(0, "text", "Known: "),
        PartStarted(1, "text"),
        Delta(1, "it "),
        Delta(1, "is", citations=(web, document)),
        Delta(1, citations=(placed,)),
        PartEnded(1),
    ]
    message, _, lost = told(answer(*events))
    assert message["content"] == "Known: it is"
    assert message["annotations"] == [
        {"type": "url_citation", "url_citation": {"url": "https://a", "title": "A", "start_index": 7, "end_index": 12,
                                                  "content": "q"}},
        {"type": "url_citation", "url_citation": {"url": "https://b", "title": "", "start_index": 8, "end_index": 9}},
    ]  # fmt: skip
    assert lost == ["citations.encrypted_index", "citations"]


def test_what_is_in_the_upstreams_words_stays_away() -> None:
    events: list[Event] = [
        *part(0, "text", "Hi", extra={"theirs": 1}, item=Item(0, {"theirs": 2})),
        *part(1, "opaque", extra={"type": "compaction", "content": [{"theirs": 1}]}),
        *part(2, "tool_call", "{}", id="c", name="f", extra={"theirs": 1, "at": 3}),
        Noted({"theirs_too": 1, "status": "completed"}),
        Reported(Usage(prompt=1, extra={"server_tool_use": {"web_search_requests": 1}})),
    ]
    usage = Usage(prompt=1, extra={"server_tool_use": {"web_search_requests": 1}})
    end = ChoiceEnded(reason="stop", native="stop_sequence", stop="END", extra={"theirs_at_the_end": 1})
    message, body, lost = told(answer(*events, end=end, extra={"service_tier": "flex", "alien": 1}), usage)
    assert b"theirs" not in msgspec.json.encode(body)
    assert "server_tool_use" not in body["usage"]
    assert body["service_tier"] == "flex"
    assert body["choices"][0]["native_finish_reason"] == "stop_sequence"
    assert message["content"] == "Hi"
    assert lost == [
        "alien",
        "text.theirs",
        "compaction",
        "tool_call.theirs",
        "theirs_too",
        "usage.server_tool_use",
        "stop_sequence",
        "theirs_at_the_end",
    ]


def test_a_stream_of_citations_and_images_can_be_put_together_by_openais_sdk() -> None:
    """Its accumulator takes a second list of what has no index for an error."""
    cite = Citation(kind="url", url="https://a", title="A")
    events: list[Event] = [
        PartStarted(0, "text"),
        Delta(0, "a", citations=(cite,)),
        Delta(0, "b", citations=(cite,)),
        PartEnded(0),
        *part(1, "image", "data:image/png;base64,AA=="),
        *part(2, "image", "data:image/png;base64,AAA="),
    ]
    streamer = CHAT.encoder(Call(envelope={}, stream=True), IDENTITY)
    out = b"".join(map(streamer.encode, answer(*events)))
    deltas = [chunk["choices"][0]["delta"] for _, chunk in frames(out)]
    (notes,) = [delta["annotations"] for delta in deltas if "annotations" in delta]
    assert [note["url_citation"]["end_index"] for note in notes] == [1, 2]
    assert [image["index"] for delta in deltas for image in delta.get("images", ())] == [0, 1]


def test_an_image_in_pieces_is_one() -> None:
    message, _, _ = told(
        answer(*part(0, "image", "data:image/png;", "base64,AA==", extra={"theirs": 1}), dialect="gemini")
    )
    assert message["images"] == [{"type": "image_url", "index": 0, "image_url": {"url": "data:image/png;base64,AA=="}}]


def test_audio_without_a_form_is_data() -> None:
    message, _, _ = told(answer(*part(0, "audio", "AA=="), dialect="gemini"))
    assert message["audio"] == {"data": "AA=="}


def test_logprobs_have_every_field() -> None:
    events: list[Event] = [
        PartStarted(0, "text"),
        Delta(0, "a", logprobs={"content": [{"token": "a", "logprob": -1}]}),
        PartEnded(0),
    ]
    _, body, _ = told(answer(*events, dialect="responses"))
    assert body["choices"][0]["logprobs"] == {
        "content": [{"token": "a", "logprob": -1, "bytes": None, "top_logprobs": []}],
        "refusal": None,
    }


@pytest.mark.parametrize("dialect", ["messages", "responses", "gemini", "converse"])
def test_usage_in_chats_terms(dialect: str) -> None:
    usage = Usage(prompt=30, completion=9, cached=10, cache_write=5, cache_write_1h=2, reasoning=4)
    _, body, _ = told(answer(*part(0, "text", "a"), dialect=dialect), usage)
    said = body["usage"]
    assert (said["prompt_tokens"], said["completion_tokens"], said["total_tokens"]) == (30, 9, 39)
    assert (
        said["prompt_tokens_details"] | {"cached_tokens": 10, "cache_write_tokens": 5} == said["prompt_tokens_details"]
    )
    assert said["completion_tokens_details"]["reasoning_tokens"] == 4


def test_an_answer_of_chat_passes_as_it_is() -> None:
    events = answer(*part(0, "text", "Hi"), Noted({"x_groq": {"id": "r"}}), dialect="chat", extra={"timings": 1})
    _, body, lost = told(events, Usage(extra={"search_context_size": "low"}))
    assert (body["x_groq"], body["timings"]) == ({"id": "r"}, 1)
    assert body["usage"]["search_context_size"] == "low"
    assert not lost
