"""The built-in provider `demo`: tries every path of the gateway without an account, at no cost.

It is a `Transport` that answers chat requests in this process. `demo/echo` says the last user message back, word by
word, and counts tokens. What else it does is asked for in the request's `demo` object (`Wishes`); docs/demo.md has
examples of each.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from trunkline.model.errors import UpstreamGarbled, UpstreamTimeout, UpstreamTruncated
from trunkline.ports import Clock, DirectTransport, Response, Transport, UpstreamRequest

Seconds = Annotated[float, Meta(ge=0, le=600)]
Count = Annotated[int, Meta(ge=0, le=100_000)]

_WORDS = re.compile(r"\S+\s*|\s+")


class Wishes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request may ask of the demo provider, in its `demo` object."""

    delay_s: Seconds = 0.0
    """Before the answer's head."""
    interval_s: Seconds = 0.0
    """Between two events of a stream."""
    events: Count | None = None
    """How many pieces of text to send, the message repeated or cut; default one for each word."""
    error: Annotated[int, Meta(ge=400, le=599)] | None = None
    """Answer with this status and an error body instead."""
    retry_after_s: Count | None = None
    """Sent with `error` as `Retry-After`."""
    error_after: Count | None = None
    """Send an error inside the stream after so many pieces."""
    cut_after: Count | None = None
    """Break the stream off, without an end, after so many pieces."""
    reasoning: str | None = None
    """Think this first."""
    tool_call: bool = False
    """Call the first tool on offer. Also done where `tool_choice` asks for a call."""
    arguments: dict[str, Any] = {}
    """What to call it with."""


class _Message(Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None


class _Body(Struct):
    messages: list[_Message]
    model: str = ""
    stream: bool | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: Any = None
    demo: Wishes = Wishes()


_decoder = msgspec.json.Decoder(_Body)
_json = msgspec.json.encode


class DemoTransport:
    """A `Transport` without a network."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def send(self, request: UpstreamRequest) -> Response:
        """As `Transport.send`."""
        try:
            body = _decoder.decode(request.body)
        except msgspec.ValidationError as error:
            return _DemoResponse(_error(400, f"demo: {error}"), 400, {}, request.timeouts.total_s)
        wishes = body.demo
        if wishes.delay_s:
            await asyncio.sleep(min(wishes.delay_s, request.timeouts.first_byte_s))
            if wishes.delay_s > request.timeouts.first_byte_s:
                raise UpstreamTimeout(f"no answer within {request.timeouts.first_byte_s:g} s", maybe_billed=True)
        if wishes.error is not None:
            headers = {} if wishes.retry_after_s is None else {"retry-after": str(wishes.retry_after_s)}
            said = _error(wishes.error, f"the demo provider was asked to fail with status {wishes.error}")
            return _DemoResponse(said, wishes.error, headers, request.timeouts.total_s)
        answer = _Answer(body, int(self._clock.now()))
        pieces = answer.stream() if body.stream else answer.whole()
        return _DemoResponse(pieces, 200, {}, request.timeouts.total_s)

    async def close(self) -> None:
        """Nothing is open."""


async def _error(status: int, message: str) -> AsyncIterator[bytes]:
    yield _json({"error": {"message": message, "type": "demo_error", "code": status}})


class _Answer:
    """One answer of the demo model."""

    def __init__(self, body: _Body, created: int) -> None:
        self._body = body
        self._wishes = body.demo
        self._created = created
        self._prompt = sum(len(_text(message)) for message in body.messages)
        users = [message for message in body.messages if message.role == "user"]
        self._said = _text(users[-1]) if users else ""

    def _pieces(self) -> list[str]:
        words = _WORDS.findall(self._said) or [""]
        count = self._wishes.events
        return words if count is None else [words[at % len(words)] for at in range(count)]

    def _call(self) -> dict[str, Any] | None:
        asked = self._body.tool_choice == "required" or isinstance(self._body.tool_choice, dict)
        if not self._body.tools or not (self._wishes.tool_call or asked):
            return None
        function = self._body.tools[0].get("function") or {}
        said = {"name": function.get("name", "tool"), "arguments": _json(self._wishes.arguments).decode()}
        return {"index": 0, "id": "call_demo_0", "type": "function", "function": said}

    def _usage(self, pieces: int) -> dict[str, Any]:
        prompt = -(-self._prompt // 4)
        thought = -(-len(self._wishes.reasoning or "") // 4)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": pieces + thought,
            "total_tokens": prompt + pieces + thought,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": "demo-1", "object": kind, "created": self._created, "model": self._body.model}

    def _frame(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return b"data: %s\n\n" % _json({**self._head("chat.completion.chunk"), "choices": [choice]})

    async def stream(self) -> AsyncIterator[bytes]:
        """The answer as a stream."""
        wishes, pieces, call = self._wishes, self._pieces(), self._call()
        yield self._frame({"role": "assistant", "content": ""})
        if wishes.reasoning:
            yield self._frame({"reasoning": wishes.reasoning})
        for at, piece in enumerate(pieces if call is None else []):
            if at in (wishes.error_after, wishes.cut_after):
                break
            if wishes.interval_s and at:
                await asyncio.sleep(wishes.interval_s)
            yield self._frame({"content": piece})
        if wishes.cut_after is not None:
            raise UpstreamTruncated("the provider's connection ended before its answer did")
        if wishes.error_after is not None:
            yield b"data: %s\n\n" % _json({"error": {"message": "the demo provider was asked to fail", "code": 500}})
            return
        if call is not None:
            yield self._frame({"tool_calls": [call]})
        yield self._frame({}, "stop" if call is None else "tool_calls")
        usage = self._usage(len(pieces))
        yield b"data: %s\n\n" % _json({**self._head("chat.completion.chunk"), "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    async def whole(self) -> AsyncIterator[bytes]:
        """The answer as one JSON body."""
        pieces, call = self._pieces(), self._call()
        message: dict[str, Any] = {"role": "assistant", "content": "".join(pieces)}
        if call is not None:
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        if self._wishes.reasoning:
            message["reasoning"] = self._wishes.reasoning
        reason = "stop" if call is None else "tool_calls"
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        yield _json({**self._head("chat.completion"), "choices": [choice], "usage": self._usage(len(pieces))})


def _text(message: _Message) -> str:
    content = message.content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return content or ""


class _DemoResponse:
    """A `Response` over an iterator of pieces."""

    def __init__(self, pieces: AsyncIterator[bytes], status: int, headers: Mapping[str, str], total_s: float) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces
        self._total_s = total_s
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._over = False
        self._pump: asyncio.Task[None] | None = None

    async def read(self, limit: int) -> bytes:
        """As `Response.read`."""
        body = b"".join([piece async for piece in self._pieces])
        if len(body) > limit:
            raise UpstreamGarbled(f"the body is longer than {limit} bytes")
        return body

    async def pump(self, on_chunk: Callable[[bytes], None]) -> None:
        """As `Response.pump`."""
        self._pump = asyncio.ensure_future(self._run(on_chunk))
        try:
            await asyncio.wait_for(asyncio.shield(self._pump), self._total_s)
        except TimeoutError as error:
            raise UpstreamTimeout(f"no end within {self._total_s:g} s", maybe_billed=True) from error
        except asyncio.CancelledError:
            if self._over and self._pump.cancelled():
                raise UpstreamTruncated("the connection was closed") from None
            raise
        finally:
            self._pump.cancel()
            self._pump = None  # it holds its error, whose frames hold us

    async def _run(self, on_chunk: Callable[[bytes], None]) -> None:
        async for piece in self._pieces:
            await self._flowing.wait()
            on_chunk(piece)
            if self._over:
                return

    def pause(self) -> None:
        """As `Response.pause`."""
        self._flowing.clear()

    def resume(self) -> None:
        """As `Response.resume`."""
        self._flowing.set()

    def abort(self) -> None:
        """As `Response.abort`."""
        self._over = True
        if self._pump is not None:
            self._pump.cancel()

    def release(self) -> None:
        """As `Response.release`."""
        self._over = True


class Switch:
    """A `Transport` that sends `demo://` origins to the demo provider and all others to the network."""

    def __init__(self, network: DirectTransport, demo: Transport) -> None:
        self._network = network
        self._demo = demo

    def send(self, request: UpstreamRequest) -> Awaitable[Response]:
        """As `Transport.send`."""
        return (self._demo if request.origin.startswith("demo:") else self._network).send(request)

    def begin(
        self, request: UpstreamRequest, on_chunk: Callable[[bytes], None], on_end: Callable[[bool], None]
    ) -> Response | None:
        """As `DirectTransport.begin`; the demo provider always waits."""
        return None if request.origin.startswith("demo:") else self._network.begin(request, on_chunk, on_end)

    def headed(self, response: Response) -> Awaitable[Response]:
        """As `DirectTransport.headed`."""
        return self._network.headed(response)

    async def close(self) -> None:
        """Close both."""
        await self._network.close()
        await self._demo.close()
