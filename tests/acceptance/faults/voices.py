"""How each upstream dialect says the same short answer, and how each client dialect hears it.

The answer is "Hello there", 7 tokens in and 3 out. A provider's pieces are what faults are spliced between.
"""

import json
from typing import Any

from faults_upstream import BODY, DONE, HELLO, JSON, ROLE, STOP, TEXT, THERE, USED, check_secrets
from faults_wire import Answer
from msgspec import Struct

from trunkline.dialects.bedrock_converse.response_event_stream import write

SECRET = "SECRET words about 127.0.0.1"


class Speaks(Struct, frozen=True, kw_only=True):
    """A provider. `head` has no content; `error` is the in-band form; `failed` a body that is an error, with 200."""

    head: bytes
    hello: bytes
    there: bytes
    end: bytes
    body: bytes
    error: bytes
    overloaded: bytes
    """The in-band form of 503, or of what is nearest to it."""
    refusal: bytes
    """The body of an error status."""
    garbled: bytes
    ping: bytes
    """What keeps a stream alive and says nothing."""
    unknown: bytes
    """An event of a kind that nobody knows."""
    done: bytes = b""
    content_type: str = "text/event-stream"
    marked: bool = True
    """Whether something in the stream says that it ends, so that what comes behind it does not count."""

    @property
    def stream(self) -> bytes:
        """The whole answer."""
        return self.head + self.hello + self.there + self.end + self.done


def sse(*bodies: dict[str, Any], named: bool = False) -> bytes:
    """Frames of *bodies*, with their type as the event's name where *named*."""
    return b"".join(
        (b"event: %s\n" % body["type"].encode() if named else b"") + b"data: %s\n\n" % json.dumps(body).encode()
        for body in bodies
    )


def _chat() -> Speaks:
    return Speaks(
        head=ROLE,
        hello=HELLO,
        there=THERE,
        end=STOP + USED,
        done=DONE,
        body=JSON,
        error=sse({"error": {"message": SECRET, "type": "server_error"}}),
        overloaded=sse({"error": {"message": SECRET, "code": 503}}),
        refusal=json.dumps({"error": {"message": SECRET, "type": "server_error", "code": "oops"}}).encode(),
        garbled=b"data: {not json}\n\n",
        ping=b": ping\n\n",
        unknown=sse({**BODY, "object": "chat.completion.chunk", "choices": [], "news": [1]}),
    )


def _messages() -> Speaks:
    message: dict[str, Any] = {
        "id": "up-1", "type": "message", "role": "assistant", "model": "x", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 1},
    }  # fmt: skip

    def delta(text: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}

    def error(kind: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": kind, "message": SECRET}}

    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    return Speaks(
        head=sse(
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            named=True,
        ),
        hello=sse(delta("Hello"), named=True),
        there=sse(delta(" there"), named=True),
        end=sse(
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 3}},
            {"type": "message_stop"},
            named=True,
        ),
        body=json.dumps(
            {
                **message,
                **ended,
                "content": [{"type": "text", "text": TEXT}],
                "usage": {"input_tokens": 7, "output_tokens": 3},
            }
        ).encode(),
        error=sse(error("api_error"), named=True),
        overloaded=sse(error("overloaded_error"), named=True),
        refusal=json.dumps(error("api_error")).encode(),
        garbled=b"event: content_block_delta\ndata: {not json}\n\n",
        ping=sse({"type": "ping"}, named=True),
        unknown=sse({"type": "news", "x": 1}, named=True),
    )


def _responses() -> Speaks:
    part = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    response: dict[str, Any] = {
        "id": "up-1", "object": "response", "created_at": 1_700_000_000, "model": "x", "status": "in_progress",
        "output": [], "error": None, "incomplete_details": None, "usage": None,
    }  # fmt: skip
    usage = {
        "input_tokens": 7, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 10,
    }  # fmt: skip
    done = {**response, "status": "completed", "output": [item], "usage": usage}
    at = {"item_id": "msg_1", "output_index": 0}

    def delta(text: str) -> bytes:
        said = {"type": "response.output_text.delta", **at, "content_index": 0, "delta": text, "logprobs": []}
        return sse(said, named=True)

    def failed(code: str) -> dict[str, Any]:
        return {**response, "status": "failed", "error": {"code": code, "message": SECRET}}

    return Speaks(
        head=sse(
            {"type": "response.created", "response": response},
            {"type": "response.in_progress", "response": response},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**item, "status": "in_progress", "content": []},
            },
            {"type": "response.content_part.added", **at, "content_index": 0, "part": {**part, "text": ""}},
            named=True,
        ),
        hello=delta("Hello"),
        there=delta(" there"),
        end=sse(
            {"type": "response.output_text.done", **at, "content_index": 0, "text": TEXT, "logprobs": []},
            {"type": "response.content_part.done", **at, "content_index": 0, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": done},
            named=True,
        ),
        body=json.dumps(done).encode(),
        error=sse({"type": "error", "code": "server_error", "message": SECRET, "param": None}, named=True),
        overloaded=sse({"type": "response.failed", "response": failed("server_error")}, named=True),
        refusal=json.dumps({"error": {"message": SECRET, "type": "server_error", "code": "oops"}}).encode(),
        garbled=b"event: response.output_text.delta\ndata: {not json}\n\n",
        ping=b": ping\n\n",
        unknown=sse({"type": "response.news", "x": 1}, named=True),
    )


def _gemini() -> Speaks:
    def chunk(text: str, **more: Any) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}
        return {"candidates": [candidate], "modelVersion": "x", "responseId": "up-1"}

    usage = {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}

    def error(code: int, status: str) -> dict[str, Any]:
        return {"error": {"code": code, "message": SECRET, "status": status}}

    return Speaks(
        head=sse(chunk("")),
        hello=sse(chunk("Hello")),
        there=sse(chunk(" there")),
        end=sse({**chunk("", finishReason="STOP"), "usageMetadata": usage}),
        body=json.dumps({**chunk(TEXT, finishReason="STOP"), "usageMetadata": usage}).encode(),
        error=sse(error(500, "INTERNAL")),
        overloaded=sse(error(503, "UNAVAILABLE")),
        refusal=json.dumps(error(500, "INTERNAL")).encode(),
        garbled=b"data: {not json}\n\n",
        ping=b": ping\n\n",
        unknown=sse({"news": 1, "responseId": "up-1"}),
        marked=False,
    )


def _converse() -> Speaks:
    def frame(kind: str, body: dict[str, Any], exception: bool = False) -> bytes:
        name = "exception" if exception else "event"
        headers = {f":{name}-type": kind, ":content-type": "application/json", ":message-type": name}
        return write(headers, json.dumps(body).encode())

    def delta(text: str) -> bytes:
        return frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})

    usage = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
    whole = bytearray(delta("Hello"))
    whole[-6] ^= 1
    return Speaks(
        head=frame("messageStart", {"role": "assistant"}),
        hello=delta("Hello"),
        there=delta(" there"),
        end=frame("contentBlockStop", {"contentBlockIndex": 0})
        + frame("messageStop", {"stopReason": "end_turn"})
        + frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
        body=json.dumps(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
                "stopReason": "end_turn",
                "usage": usage,
                "metrics": {"latencyMs": 1},
            }
        ).encode(),
        error=frame("internalServerException", {"message": SECRET}, exception=True),
        overloaded=frame("serviceUnavailableException", {"message": SECRET}, exception=True),
        refusal=json.dumps({"message": SECRET}).encode(),
        garbled=bytes(whole),
        ping=b"",
        unknown=frame("news", {"x": 1}),
        content_type="application/vnd.amazon.eventstream",
    )


UPSTREAMS: dict[str, Speaks] = {
    "chat": _chat(), "messages": _messages(), "responses": _responses(), "gemini": _gemini(), "converse": _converse(),
}  # fmt: skip


# What a client of each dialect got.


def text_of(client: str, answer: Answer) -> str:
    """The text of an answer, streamed or not; up to an error, if it ends in one."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        return "".join(_pieces(client, answer))
    body = answer.json
    match client:
        case "chat":
            return str(body["choices"][0]["message"]["content"])
        case "messages":
            return "".join(block["text"] for block in body["content"])
        case _:
            return str(body["output_text"])


def _pieces(client: str, answer: Answer) -> list[str]:
    frames = [frame for frame in answer.frames if frame != "[DONE]"]
    match client:
        case "chat":
            return [one["delta"].get("content") or "" for frame in frames for one in frame["choices"]]
        case "messages":
            return [frame["delta"].get("text", "") for frame in frames if frame["type"] == "content_block_delta"]
        case _:
            return [frame["delta"] for frame in frames if frame["type"] == "response.output_text.delta"]


def check_whole(client: str, answer: Answer, *, stream: bool) -> None:
    """The right answer, to its end."""
    assert answer.status == 200, answer.body[:500]
    assert answer.whole
    assert text_of(client, answer) == TEXT
    assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    if stream:
        assert ends_of(client, answer) == "whole", answer.body[-500:]


def ends_of(client: str, answer: Answer) -> str:
    """How a stream ends: `whole`, `error`, or `cut`, which it never may."""
    frames = answer.frames
    match client:
        case "chat":
            if frames[-1] != "[DONE]":
                return "cut"
            return "error" if any("error" in frame for frame in frames[:-1]) else "whole"
        case "messages":
            return {"message_stop": "whole", "error": "error"}.get(frames[-1]["type"], "cut")
        case _:
            if frames[-1] != "[DONE]":
                return "cut"
            kinds = {"response.completed": "whole", "response.incomplete": "whole", "response.failed": "error"}
            return kinds.get(frames[-2]["type"], "cut")


def check_broken(client: str, answer: Answer, kinds: tuple[str, ...]) -> None:
    """A stream that ends in its dialect's in-band error; nothing of what came before it is lost."""
    assert answer.status == 200, answer.body[:500]
    assert answer.whole, "the client must see the error's end"
    assert ends_of(client, answer) == "error", answer.body[-800:]
    text = text_of(client, answer)
    assert text
    assert TEXT.startswith(text)
    assert kind_of(client, _error_in(client, answer)) in kinds
    check_secrets(answer)


def _error_in(client: str, answer: Answer) -> Any:
    match client:
        case "chat":
            return next(frame for frame in answer.frames if "error" in frame)
        case "messages":
            return answer.frames[-1]
        case _:
            return answer.frames[-2]["response"]


def kind_of(client: str, body: Any) -> str:
    """The `error_type` in an error's body, or in what carries it in a stream."""
    match client:
        case "messages":
            assert body["type"] == "error"
            return str(body["error"]["error_type"])
        case "responses" if "error_type" in body:
            assert body["status"] == "failed"
            assert set(body["error"]) >= {"code", "message"}
            return str(body["error_type"])
        case _:
            assert isinstance(body["error"]["code"], int)
            return str(body["error"]["metadata"]["error_type"])


def check_refusal(client: str, answer: Answer, statuses: tuple[int, ...], kinds: tuple[str, ...]) -> None:
    """An error status with the dialect's envelope, and with nothing in it that is ours alone."""
    expected = tuple(529 if client == "messages" and status == 503 else status for status in statuses)
    assert answer.status in expected, answer.body[:500]
    assert answer.whole
    assert answer.headers["content-type"] == "application/json"
    assert kind_of(client, answer.json) in kinds
    if client == "messages":
        assert answer.json["request_id"] == answer.id
    check_secrets(answer)
