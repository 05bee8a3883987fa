"""Claude's answers through Bedrock's InvokeModel, which are Messages inside. Skipped where ../shared is not there."""

from pathlib import Path
from typing import Any

import msgspec
from chat_help import Shared

from trunkline.dialects.anthropic_messages.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.bedrock_converse.response_invoke_stream import InvokeDecoder
from trunkline.dialects.interfaces import Decoder
from trunkline.model.events import check
from trunkline.model.response import fold
from trunkline.testing.golden import decode, slices

FOLDER = "fixtures/upstream/bedrock_invoke"


def _decoder(body: Path) -> Decoder:
    return InvokeDecoder(StreamDecoder()) if body.suffix == ".bin" else BodyDecoder()


def test_what_is_read(shared: Shared) -> None:
    seen = 0
    for folder in sorted(shared(FOLDER).iterdir()):
        body = next(folder.glob("response.*"))
        expected: dict[str, Any] = msgspec.json.decode((folder / "expected.json").read_bytes())
        events, error = decode(_decoder(body), [body.read_bytes()])
        assert error is None, (folder.name, error)
        check(events)
        assert decode(_decoder(body), slices(body.read_bytes(), {1, 7, 100, 333})) == (events, None), folder.name
        found, assembled, used = fold(events), expected["assembled"], expected["usage"]
        (choice,) = found.choices
        assert "".join(part.text for part in choice.parts if part.kind == "text") == assembled["text"], folder.name
        calls = [
            (part.id, part.name, msgspec.json.decode(part.text)) for part in choice.parts if part.kind == "tool_call"
        ]
        assert calls == [(one["id"], one["name"], one["arguments"]) for one in assembled["tool_calls"]], folder.name
        assert choice.native == assembled["finish_reason"], folder.name
        assert found.usage is not None, folder.name
        assert (found.usage.prompt, found.usage.completion) == (used["prompt_total"], used["output_total"]), folder.name
        seen += 1
    assert seen >= 7
