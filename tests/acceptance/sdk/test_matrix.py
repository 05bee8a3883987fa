"""The whole matrix: every capture of every upstream dialect, seen through each inbound dialect by its official SDK.

What the SDK assembles must be what the capture's `expected.json` says, as far as the client's dialect can say it; what
it cannot say must be in the loss report of the generation's record. Source: docs/reference/reliability.md, G4. Skipped
where ../shared is not
there.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import openai
import pytest
from readers import Ask, Failed, Heard, clients, joined
from sdk_help import WAYS, Bench, bench

from trunkline.model.record import GenerationRecord
from trunkline.testing.scripted import Json, Replay, Sse

CLIENTS = ("chat", "messages", "responses")
FOLDERS = {
    "chat": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic_messages",
    "gemini": "gemini",
    "converse": "bedrock_converse",
}
"""An upstream dialect → the folder of its captures."""

FINISH: dict[str, str] = {
    "stop": "stop", "end_turn": "stop", "STOP": "stop", "stop_sequence": "stop", "pause_turn": "stop",
    "completed": "stop", "length": "length", "max_tokens": "length", "MAX_TOKENS": "length",
    "incomplete:max_output_tokens": "length", "tool_calls": "tool_calls", "tool_use": "tool_calls",
    "function_call": "tool_calls", "content_filter": "content_filter", "refusal": "content_filter",
    "SAFETY": "content_filter", "RECITATION": "content_filter", "MODEL_ARMOR": "content_filter",
    "guardrail_intervened": "content_filter", "OTHER": "stop", "UNEXPECTED_TOOL_CALL": "error",
}  # fmt: skip
"""A provider's word → what it means."""
SAID: dict[str, dict[str, tuple[str, ...]]] = {
    "chat": {
        "stop": ("stop",), "length": ("length",), "tool_calls": ("tool_calls", "function_call"),
        "content_filter": ("content_filter",), "error": ("error",),
    },
    "messages": {
        "stop": ("end_turn", "stop_sequence", "pause_turn", "compaction"),
        "length": ("max_tokens", "model_context_window_exceeded"),
        "tool_calls": ("tool_use",), "content_filter": ("refusal",), "error": ("end_turn",),
    },
    "responses": {
        "stop": ("completed",), "length": ("incomplete:max_output_tokens",), "tool_calls": ("completed",),
        "content_filter": ("incomplete:content_filter",), "error": ("failed",),
    },
}  # fmt: skip
"""That, in each client's words."""


class Capture:
    def __init__(self, dialect: str, folder: Path) -> None:
        self.dialect = dialect
        self.name = folder.name
        self.file = next(path for path in folder.iterdir() if path.stem == "response" or "eventstream" in path.name)
        self.stream = self.file.suffix != ".json"
        self.body = self.file.read_bytes()
        self.expected: dict[str, Any] = msgspec.json.decode((folder / "expected.json").read_bytes())

    @property
    def status(self) -> int:
        return self.expected["http_status"] or 200

    @property
    def broken(self) -> bool:
        """An error is in it, it has no end, or nothing is in it."""
        ended = self.expected.get("terminal_event_seen", True) or self.expected.get("done_sentinel", False)
        return bool(self.expected["error"]) or not ended or not self.expected["assembled"]

    def script(self, chance: random.Random) -> Any:
        cuts = [chance.randrange(1, len(self.body)) for _ in range(chance.choice([0, 1, 5, 40]))]
        if self.file.suffix == ".sse":
            return Sse(self.body, cuts=cuts)
        kind = "application/json" if self.file.suffix == ".json" else "application/vnd.amazon.eventstream"
        return Replay(self.body, content_type=kind, cuts=cuts)


@pytest.fixture(scope="module")
def captures(shared: Callable[[str], Path]) -> dict[str, list[Capture]]:
    found: dict[str, list[Capture]] = {}
    for dialect, name in FOLDERS.items():
        folder = shared(f"fixtures/upstream/{name}")
        found[dialect] = [Capture(dialect, one) for one in sorted(folder.iterdir()) if one.is_dir()]
        assert len(found[dialect]) > 20
    return found


def settings(dialect: str) -> Any:
    return {"provider": {"dialect": dialect}}


@pytest.mark.parametrize("form", ["as it is", "crossed"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("dialect", FOLDERS)
async def test_what_the_sdk_makes_of_it(
    captures: dict[str, list[Capture]],
    dialect: str,
    client: str,
    form: str,
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    ways = WAYS if client == dialect else ("auto",)
    for way in ways:
        chance = random.Random(f"{dialect} {client} {form} {way}")
        folder = tmp_path / way
        folder.mkdir()
        async with bench(folder, way, **settings(dialect)) as all_three, clients(all_three.gateway) as askers:
            # Those with an error in them last: some of these errors make the credential rest.
            for capture in sorted(captures[dialect], key=lambda one: one.broken):
                if capture.status != 200:
                    continue
                with subtests.test(f"{capture.name} {way}"):
                    all_three.script = capture.script(chance)
                    stream = capture.stream == (form == "as it is")
                    await _judge(capture, client, askers[client], all_three, stream=stream)


async def _judge(capture: Capture, client: str, asker: Ask, all_three: Bench, *, stream: bool) -> None:
    before = len(await all_three.gateway.records())
    heard = await asker(stream=stream)
    records = await all_three.gateway.records()
    assert len(records) == before + 1, "one request, one record"
    record = records[-1]
    if capture.broken:
        _compare_broken(capture, heard, record)
        return
    native = capture.expected["assembled"]["finish_reason"]
    if isinstance(heard.raised, Failed) and FINISH.get(native) == "error":
        return  # the provider's word for an answer that went wrong
    if heard.raised is not None:
        raise AssertionError(record.error or heard.raised) from heard.raised
    compare(capture, client, heard, record)


def compare(capture: Capture, client: str, heard: Heard, record: GenerationRecord) -> None:
    """*heard*, against what the capture holds; what is missing must be in the loss report."""
    wanted = capture.expected["assembled"]
    lost = " ".join(f"{loss.path} {loss.why}" for loss in record.losses).lower()
    refusal = wanted["refusal"] or ""
    assert heard.text in (wanted["text"], wanted["text"] + refusal)
    if heard.deltas is not None and not (client == capture.dialect and capture.name.startswith("lmstudio")):
        # LM Studio says arguments in its last events alone.
        assert heard.deltas == (heard.text, "".join(arguments for _, _, arguments in heard.calls))
    assert refusal in (heard.refusal, "", *([refusal] if refusal in heard.text or "refusal" in lost else []))
    _compare_reasoning(capture, heard, lost)
    _compare_calls(capture, heard, client == capture.dialect)
    if heard.citations or client != capture.dialect:
        _compare_citations(wanted, heard, lost)
    else:  # where the provider put them, beside the message
        assert all(citation["url"] in str(heard.raw) for citation in wanted["citations"])
    _compare_finish(capture, client, heard, record)
    if wanted["images"] and not heard.images:
        assert "image" in lost
    else:
        assert heard.images == [image["sha256"] for image in wanted["images"]]
    if wanted["audio"] and client != "chat":
        assert "audio" in lost
    if wanted["server_tools"] and not heard.server_tools and client != capture.dialect:
        assert any(word in lost for word in ("tool", "compaction", "fallback", "opaque")), record.losses
    _compare_usage(capture, client, heard, record)


def _compare_reasoning(capture: Capture, heard: Heard, lost: str) -> None:
    wanted = capture.expected["assembled"]
    told = joined(heard.reasoning)
    if wanted["reasoning"] or not told:
        assert told == joined(wanted["reasoning"])
    for opaque in wanted["reasoning_opaque"]:
        assert opaque["sha256"] in heard.opaque or "reasoning" in lost or "signature" in lost, (opaque, lost)


CUT = "anthropic--incomplete-partial-json-response--s0"
"""Arguments that end in the middle of a string; Anthropic's accumulator closes it."""


def _compare_calls(capture: Capture, heard: Heard, same: bool) -> None:
    wanted = capture.expected["assembled"]
    if wanted["finish_reason"] == "function_call":
        return  # expected.json does not count the legacy call; other dialects say it as any other
    assert [name for _, name, _ in heard.calls] == [call["name"] for call in wanted["tool_calls"]]
    assert len({id_ for id_, _, _ in heard.calls}) == len(heard.calls), "ids are unique"
    for (id_, _, arguments), call in zip(heard.calls, wanted["tool_calls"], strict=True):
        if call["id"]:
            assert id_ == call["id"]
        if capture.name == CUT and not same:
            assert not arguments.endswith("}")  # as the model left them
        elif call["arguments"] is not None and not isinstance(call["arguments"], str):
            assert msgspec.json.decode(arguments or "{}") == call["arguments"]
        elif call.get("arguments_raw") and same:
            assert arguments == call["arguments_raw"]


def _compare_citations(wanted: dict[str, Any], heard: Heard, lost: str) -> None:
    if not wanted["citations"]:
        return  # of Bedrock's streams expected.json counts none
    urls = {citation.get("url") for citation in wanted["citations"]} - {None}
    if urls and urls == {_flat(citation).get("url") for citation in heard.citations}:
        return  # Gemini's are one for each place that cites, expected.json's one for each source
    if len(heard.citations) == len(wanted["citations"]):
        flat = [_flat(citation) for citation in heard.citations]
        for said, citation in zip(flat, wanted["citations"], strict=True):
            for key in ("url", "title", "cited_text", "file_id"):
                if citation.get(key) and said.get(key):
                    assert said[key] == citation[key]
        return
    assert "citation" in lost or "annotation" in lost, (heard.citations, wanted["citations"], lost)


def _flat(citation: dict[str, Any]) -> dict[str, Any]:
    inner = citation.get(citation["type"])
    return {**citation, **inner} if isinstance(inner, dict) else citation


def _compare_finish(capture: Capture, client: str, heard: Heard, record: GenerationRecord) -> None:
    native = capture.expected["assembled"]["finish_reason"]
    if native is None:
        return
    if client == capture.dialect and client != "chat":
        assert heard.finish == native or native in ("complete", "queued", "in_progress")
        return
    assert record.native_finish_reason is not None
    if native in FINISH:
        meant = FINISH[native]
        allowed = SAID[client][meant]
        if heard.calls and meant == "stop":  # Gemini's STOP; but Anthropic's end_turn, where code of its own called
            allowed += SAID[client]["tool_calls"]
        assert heard.finish in allowed, (heard.finish, native)


def _compare_usage(capture: Capture, client: str, heard: Heard, record: GenerationRecord) -> None:
    expected = capture.expected["usage"]
    if not expected or expected["prompt_total"] is None:
        return  # the provider reported none: ours is an estimate
    assert not record.usage.estimated
    assert heard.usage["prompt"] == expected["prompt_total"]
    assert heard.usage["completion"] == expected["output_total"]
    for ours, theirs in (("cached", "cache_read"), ("cache_write", "cache_write"), ("reasoning", "reasoning")):
        if expected.get(theirs) is not None and not (record.usage.inconsistent and client == "messages"):
            assert heard.usage[ours] == expected[theirs], ours
    assert heard.cost is None or heard.cost >= 0


def _compare_broken(capture: Capture, heard: Heard, record: GenerationRecord) -> None:
    assert heard.raised is not None, capture.name
    assert isinstance(heard.raised, openai.APIError | anthropic.APIError | Failed)
    assert record.status in ("failed", "partial")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("dialect", FOLDERS)
async def test_refusals(
    captures: dict[str, list[Capture]],
    dialect: str,
    client: str,
    stream: bool,
    tmp_path: Path,
    subtests: pytest.Subtests,
) -> None:
    refused = [capture for capture in captures[dialect] if capture.status != 200]
    assert refused
    for number, capture in enumerate(refused):
        # Each has a gateway of its own: after a 401 or a 429 the credential rests.
        with subtests.test(capture.name):
            folder = tmp_path / str(number)
            folder.mkdir()
            async with bench(folder, **settings(dialect)) as all_three, clients(all_three.gateway) as askers:
                all_three.script = Json(capture.body, status=capture.status)
                heard = await askers[client](stream=stream)
                _compare_refusal(capture, client, heard)
                (record,) = await all_three.gateway.records()
                assert (record.status, record.cost) == ("failed", 0)


MEANT = {400: 400, 401: 502, 403: 502, 404: 502, 413: 400, 422: 400, 429: 429}
"""An upstream's status → the caller's.

Source: docs/reference/reliability.md, "Error contract"; a 404 is ours to mend, as a 401 is.
"""


def _compare_refusal(capture: Capture, client: str, heard: Heard) -> None:
    error = heard.raised
    assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError)
    assert error.status_code == MEANT[capture.status]
    body: Any = error.body
    if client == "messages":
        assert body["type"] == "error"
        assert body["error"]["error_type"]
        assert body["request_id"].startswith("gen-")
        body = body["error"]
    else:
        assert body["metadata"]["error_type"]
    assert body["message"]
