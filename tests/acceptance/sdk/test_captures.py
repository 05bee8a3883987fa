"""Captured provider traffic, through a running gateway, read by the official SDK. Skipped where ../shared is not there.

Every capture is sent in random slices, asked for as it is (a stream as a stream, a body as a body) and crossed, relayed
and translated. Source: docs/reference/reliability.md, G2 and G4; what the SDK must make of each is in its
`expected.json`.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from sdk_help import WAYS, Bench, Got, ask, bench

from trunkline.testing.scripted import Json, Replay, Sse

FOLDER = "fixtures/upstream/openai_chat"

REASONING_NOT_SEEN = {
    "openrouter--2-searches-transparently-returning-citations-and-usage-counters--n0",
    "snowflake--snowflake-thinking-streaming--s0",
}
"""Reasoning that stands in `reasoning_details` alone: the SDK knows no such field, so expected.json has none."""

STATUS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.InternalServerError,
    404: openai.InternalServerError,
    429: openai.RateLimitError,
}
"""An upstream's status → what the SDK must raise. Source: docs/reference/reliability.md, "Error contract".

401 is our credential and becomes 502. So does 404: the gateway knows the model, it is the operator's name for it at the
provider, or the provider, that is wrong, and another provider may well have it.
"""


class Capture:
    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.sse = (folder / "response.sse").exists()
        self.body = (folder / ("response.sse" if self.sse else "response.json")).read_bytes()
        self.expected: dict[str, Any] = msgspec.json.decode((folder / "expected.json").read_bytes())

    @property
    def refused(self) -> bool:
        return (self.expected["http_status"] or 200) != 200

    @property
    def broken(self) -> bool:
        """An error is in it, or it has no end. `[DONE]` is an end even where no finish reason came."""
        ended = self.expected.get("terminal_event_seen", True) or self.expected["done_sentinel"]
        return bool(self.expected["error"]) or not ended

    def script(self, chance: random.Random) -> Any:
        cuts = [chance.randrange(1, len(self.body)) for _ in range(chance.choice([0, 1, 5, 40]))]
        return Sse(self.body, cuts=cuts) if self.sse else Replay(self.body, cuts=cuts)


@pytest.fixture(scope="module")
def captures(shared: Callable[[str], Path]) -> list[Capture]:
    found = [Capture(folder) for folder in sorted(shared(FOLDER).iterdir()) if folder.is_dir()]
    assert len(found) > 40
    return found


@pytest.mark.parametrize("relay", WAYS)
@pytest.mark.parametrize("form", ["as it is", "crossed"])
async def test_what_the_sdk_makes_of_it(
    captures: list[Capture], relay: str, form: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    chance = random.Random(f"{relay} {form}")
    count = 0
    async with bench(tmp_path, relay) as all_three:
        for capture in captures:
            if capture.refused:
                continue
            count += 1
            with subtests.test(capture.name):
                stream = capture.sse == (form == "as it is")
                all_three.script = capture.script(chance)
                got = await ask(all_three.client, stream=stream)
                if capture.broken:
                    _compare_broken(capture, got, stream=stream)
                else:
                    assert got.raised is None
                    _compare(capture, got)
        assert len(await all_three.gateway.records()) == count, "one request, one record"


def _compare(capture: Capture, got: Got) -> None:
    expected = capture.expected["assembled"]
    assert got.completion is not None
    assert len(got.completion.choices) == expected["choices"]
    for choice, wanted in zip(got.completion.choices, [expected, *expected.get("other_choices", [])], strict=True):
        assert (choice.message.content or "") == wanted["text"]
    if capture.name not in REASONING_NOT_SEEN:
        # The blank lines between separate blocks are expected.json's own.
        assert got.reasoning.replace("\n", "") == expected["reasoning"].replace("\n", "")
    assert got.calls == [(call["id"], call["name"], call["arguments_raw"] or "") for call in expected["tool_calls"]]
    if expected["finish_reason"] is not None:
        # OpenRouter's captures have its own word, with the provider's beside it.
        assert expected["finish_reason"] in (got.native, got.choice.finish_reason)
        assert got.choice.finish_reason in ("stop", "length", "tool_calls", "content_filter", "function_call")
    assert (got.choice.message.refusal or "") == (expected["refusal"] or "")
    if expected["audio"]:
        assert got.choice.message.audio is not None
    _compare_usage(capture, got)


def _compare_usage(capture: Capture, got: Got) -> None:
    expected, usage = capture.expected["usage"], got.usage
    assert usage is not None
    assert usage.cost >= 0
    if not expected or expected["prompt_total"] is None:
        return  # the provider reported none: ours is an estimate
    assert (usage.prompt_tokens, usage.completion_tokens) == (expected["prompt_total"], expected["output_total"])
    if expected["cache_read"] is not None:
        assert usage.prompt_tokens_details.cached_tokens == expected["cache_read"]
    if expected["reasoning"] is not None:
        assert usage.completion_tokens_details.reasoning_tokens == expected["reasoning"]


def _compare_broken(capture: Capture, got: Got, *, stream: bool) -> None:
    """An error in the stream where one has begun, else an error status; what came before it is not lost."""
    assert isinstance(got.raised, openai.APIError)
    expected = capture.expected["assembled"]
    if expected is None or not stream or not (expected["text"] or expected["reasoning"]):
        assert isinstance(got.raised, openai.APIStatusError), "nothing had been said: the status tells"
        said = _said(capture)
        assert isinstance(got.raised, STATUS.get(said, openai.InternalServerError))
        return
    assert not isinstance(got.raised, openai.APIStatusError)
    assert got.text == expected["text"]
    assert got.reasoning == expected["reasoning"]
    # The SDK raises before it takes in the chunk that carries the error and `finish_reason: "error"`.
    assert got.choice.finish_reason in (None, expected["finish_reason"])


def _said(capture: Capture) -> int:
    """The status that the error in the body names, 0 for none."""
    error = capture.expected["error"] or {}
    inner = error.get("error") or error.get("body") or {}
    code = inner.get("status") or inner.get("code")
    return code if isinstance(code, int) else 0


@pytest.mark.parametrize("relay", WAYS)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
async def test_refusals(
    captures: list[Capture], relay: str, stream: bool, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    refused = [capture for capture in captures if capture.refused]
    assert len(refused) >= 5
    for number, capture in enumerate(refused):
        status = capture.expected["http_status"]
        # Each has a gateway of its own: after a 401 or a 429 the credential rests.
        with subtests.test(capture.name):
            folder = tmp_path / str(number)
            folder.mkdir()
            async with bench(folder, relay) as all_three:
                all_three.script = Json(capture.body, status=status)
                got = await ask(all_three.client, stream=stream)
                await _compare_refusal(all_three, status, got)


async def _compare_refusal(all_three: Bench, status: int, got: Got) -> None:
    assert type(got.raised) is STATUS[status]
    assert isinstance(got.raised, openai.APIStatusError)
    if status in (401, 404):
        assert got.raised.status_code == 502
    body: Any = got.raised.body
    assert body["code"] == got.raised.status_code
    assert body["message"]
    assert body["metadata"]["error_type"]
    (record,) = await all_three.gateway.records()
    assert (record.status, record.cost, record.http_status) == ("failed", 0, got.raised.status_code)
    assert len(all_three.upstream.seen) == 1, "one endpoint, one try"
