"""The built-in provider `demo`: every path of the gateway can be tried without an account, at no cost.

It is a `Transport` that responds to chat requests in this process. `demo/echo` repeats the last user message word by
word, and counts tokens. The request's object `demo` (`DemoOptions`) asks for more; docs/reference/demo.md has examples.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec

from trunkline.model.errors import UpstreamGarbled, UpstreamTimeout, UpstreamTruncated
from trunkline.ports import Clock, DirectTransport, Response, Transport, UpstreamRequest
from trunkline.transport.demo_request import DemoMessage, DemoRequest

_WORDS = re.compile(r"\S+\s*|\s+")


_decoder = msgspec.json.Decoder(DemoRequest)
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
        options = body.demo
        if options.delay_s:
            await asyncio.sleep(min(options.delay_s, request.timeouts.first_byte_s))
            if options.delay_s > request.timeouts.first_byte_s:
                raise UpstreamTimeout(f"no answer within {request.timeouts.first_byte_s:g} s", maybe_billed=True)
        if options.error is not None:
            headers = {} if options.retry_after_s is None else {"retry-after": str(options.retry_after_s)}
            failure = _error(options.error, f"the demo provider was asked to fail with status {options.error}")
            return _DemoResponse(failure, options.error, headers, request.timeouts.total_s)
        completion = _Completion(body, int(self._clock.now()))
        pieces = completion.stream() if body.stream else completion.whole()
        return _DemoResponse(pieces, 200, {}, request.timeouts.total_s)

    async def close(self) -> None:
        """Nothing is open."""


async def _error(status: int, message: str) -> AsyncIterator[bytes]:
    yield _json({"error": {"message": message, "type": "demo_error", "code": status}})


class _Completion:
    """The response to one request."""

    def __init__(self, body: DemoRequest, created: int) -> None:
        self._body = body
        self._options = body.demo
        self._created = created
        self._prompt = sum(len(_text(message)) for message in body.messages)
        users = [message for message in body.messages if message.role == "user"]
        self._text = _text(users[-1]) if users else ""

    def _pieces(self) -> list[str]:
        words = _WORDS.findall(self._text) or [""]
        count = self._options.events
        return words if count is None else [words[at % len(words)] for at in range(count)]

    def _call(self) -> dict[str, Any] | None:
        asked = self._body.tool_choice == "required" or isinstance(self._body.tool_choice, dict)
        if not self._body.tools or not (self._options.tool_call or asked):
            return None
        function = self._body.tools[0].get("function") or {}
        called = {"name": function.get("name", "tool"), "arguments": _json(self._options.arguments).decode()}
        return {"index": 0, "id": "call_demo_0", "type": "function", "function": called}

    def _usage(self, pieces: int) -> dict[str, Any]:
        prompt = -(-self._prompt // 4)
        thought = -(-len(self._options.reasoning or "") // 4)
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
        """Yield the response as a stream of events."""
        options, pieces, call = self._options, self._pieces(), self._call()
        yield self._frame({"role": "assistant", "content": ""})
        if options.reasoning:
            yield self._frame({"reasoning": options.reasoning})
        for at, piece in enumerate(pieces if call is None else []):
            if at in (options.error_after, options.cut_after):
                break
            if options.interval_s and at:
                await asyncio.sleep(options.interval_s)
            yield self._frame({"content": piece})
        if options.cut_after is not None:
            raise UpstreamTruncated("the provider's connection ended before its answer did")
        if options.error_after is not None:
            yield b"data: %s\n\n" % _json({"error": {"message": "the demo provider was asked to fail", "code": 500}})
            return
        if call is not None:
            yield self._frame({"tool_calls": [call]})
        yield self._frame({}, "stop" if call is None else "tool_calls")
        usage = self._usage(len(pieces))
        yield b"data: %s\n\n" % _json({**self._head("chat.completion.chunk"), "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    async def whole(self) -> AsyncIterator[bytes]:
        """Yield the response as one JSON body."""
        pieces, call = self._pieces(), self._call()
        message: dict[str, Any] = {"role": "assistant", "content": "".join(pieces)}
        if call is not None:
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        if self._options.reasoning:
            message["reasoning"] = self._options.reasoning
        reason = "stop" if call is None else "tool_calls"
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        yield _json({**self._head("chat.completion"), "choices": [choice], "usage": self._usage(len(pieces))})


def _text(message: DemoMessage) -> str:
    content = message.content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return content or ""


class _DemoResponse:
    """A `Response` whose body is an iterator of pieces."""

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
            self._pump = None  # it refers to its error, whose frames refer to this object

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
