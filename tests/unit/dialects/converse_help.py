"""Converse's answers both ways round, for tests: an answer of ours as Converse says it.

Nobody speaks it to us, so the product has no such thing; with it the tests show that nothing is lost on the way.
"""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import msgspec

from trunkline.dialects.bedrock_converse import response_event_stream as event_stream
from trunkline.model.endpoint import Endpoint
from trunkline.model.response import Part as Answered
from trunkline.model.response import Response

Json = dict[str, Any]
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"


def endpoint(model: str = CLAUDE, parameters: Iterable[str] = ()) -> Endpoint:
    return Endpoint(
        model="acme/small",
        provider="bedrock",
        provider_name="Bedrock",
        upstream_model=model,
        dialect="converse",
        tag="bedrock",
        parameters=frozenset(parameters),
    )


def frames(*said: tuple[str, Json]) -> bytes:
    """A stream of the events *said*: names and bodies; a name that ends in `Exception` is one."""
    return b"".join(
        (event_stream.exception if name.endswith("Exception") else event_stream.event)(name, msgspec.json.encode(body))
        for name, body in said
    )


# An answer, written.


def body_of(response: Response) -> Json:
    """The JSON body that says *response*."""
    assert response.usage is not None
    choice, usage = response.choices[0], response.usage
    body: Json = {
        "output": {"message": {"role": "assistant", "content": [_block(part) for part in choice.parts]}},
        "stopReason": choice.native,
        **choice.extra,
        **response.extra,
    }
    cached, written = usage.cached or 0, usage.cache_write or 0
    said = {
        "inputTokens": usage.prompt - cached - written,
        "outputTokens": usage.completion,
        "totalTokens": usage.total,
        "cacheReadInputTokens": usage.cached,
        "cacheWriteInputTokens": usage.cache_write,
    }
    body["usage"] = {**{key: value for key, value in said.items() if value is not None}, **usage.extra}
    return body


def _block(part: Answered) -> Json:
    match part.kind:
        case "text" if part.citations:
            cited: Json = {"citations": [one.native for one in part.citations]}
            return {"citationsContent": {"content": [{"text": part.text}], **cited}}
        case "text":
            return {"text": part.text}
        case "reasoning" if part.form == "encrypted":
            return {"reasoningContent": {"redactedContent": b64encode(part.text.encode()).decode()}}
        case "reasoning":
            signed = {} if part.signature is None else {"signature": part.signature}
            return {"reasoningContent": {"reasoningText": {"text": part.text, **signed}}}
        case "tool_call" | "server_tool_call":
            use = {"toolUseId": part.id, "name": part.name, "input": msgspec.json.decode(part.text), **part.extra}
            return {"toolUse": use}
        case "server_tool_result":
            return {"toolResult": part.extra}
        case "image":
            head, _, data = part.text.partition(",")
            assert head == f"data:image/{part.extra['format']};base64"
            return {"image": {**part.extra, "source": {"bytes": data}}}
        case _:
            return part.extra
