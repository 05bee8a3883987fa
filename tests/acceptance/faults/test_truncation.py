"""No stream that was cut short ends as if it were whole: every capture, cut behind each of its events, through the
gateway. Source: docs/reference/reliability.md, G3, U13 and U14."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_upstream import check_broken
from faults_wire import Gateway, Wire, chat, post

from trunkline.testing.scripted import Action, Close, Rst, Script, ScriptedUpstream, Seen, Sse

SHARED = Path(os.environ.get("TRUNKLINE_SHARED") or Path(__file__).parents[4] / "shared")
FOLDER = SHARED / "fixtures" / "upstream" / "openai_chat"
CAPTURES = sorted(path.parent.name for path in FOLDER.glob("*/response.sse"))
EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)", re.DOTALL)


def finished(stream: bytes) -> bool:
    """Whether every choice that began in *stream* has its finish reason: then only the `[DONE]` is missing."""
    seen: dict[int, bool] = {}
    for block in EVENT.findall(stream):
        data = b"".join(line.removeprefix(b"data:") for line in block.splitlines() if line.startswith(b"data:")).strip()
        for choice in (json.loads(data).get("choices") or []) if data.startswith(b"{") else []:
            number = choice.get("index", 0)
            seen[number] = seen.get(number, False) or bool(choice.get("finish_reason"))
    return bool(seen) and all(seen.values())


ENDS: dict[str, Callable[[bytes], list[Action]]] = {
    "end": lambda body: [Sse(body)],
    "fin": lambda body: [Sse(body, end=False), Close()],
    "rst": lambda body: [Sse(body, end=False), Rst()],
}


@pytest.mark.parametrize("relay", ["auto", "never"], ids=["relayed", "translated"])
@pytest.mark.parametrize("capture", CAPTURES or ["none"])
async def test_a_stream_that_is_cut_never_ends_well(gateway: Gateway, capture: str, relay: str) -> None:
    if capture == "none":
        pytest.skip(f"no captures under {FOLDER}")
    stream = (FOLDER / capture / "response.sse").read_bytes()
    edges = [found.end() for found in EVENT.finditer(stream)]
    edges = [edge for edge in (0, *edges) if b"[DONE]" not in stream[:edge] and stream[edge:].strip()]
    scripts: list[Script] = [[Sse(stream)]]

    def choose(seen: Seen) -> Script:
        del seen
        return scripts[-1]

    async with (
        ScriptedUpstream(choose=choose) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
        await Wire.open(running.port) as wire,
    ):
        asked = post(chat(stream=True))
        await wire.send(asked)
        whole = await wire.answer()
        if whole.status != 200 or any("error" in frame for frame in whole.frames[:-1]):
            expected = ["failed", "partial"]  # it is a capture of an error
        else:
            expected = ["completed"]
        statuses: list[str] = []
        for edge in edges:
            for end, actions in ENDS.items():
                if end == "end" and finished(stream[:edge]):
                    continue  # the body ended in order, and nothing of the answer is missing
                scripts.append(actions(stream[:edge]))
                await wire.send(asked)
                answer = await wire.answer()
                if answer.status == 200:
                    check_broken(answer, KINDS, content=False, finished=True)
                    statuses.append("partial")
                else:
                    assert answer.status in (400, 429, 502, 503, 504), (edge, end, answer.body[:300])
                    statuses.append("failed")
        records = {record.id: record.status for record in await running.records()}
        assert len(records) == 1 + len(statuses)
        assert records.pop(whole.id) in expected
        assert sorted(records.values()) == sorted(statuses)
        assert statuses


KINDS = (
    "provider_unavailable", "provider_overloaded", "rate_limit_exceeded", "timeout", "content_policy_violation",
    "invalid_request",
)  # fmt: skip
