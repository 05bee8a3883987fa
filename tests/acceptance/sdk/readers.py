"""What each inbound dialect's official SDK makes of an answer, in one shape to compare.

Streams are put together by the SDK's own accumulator where it has one.
"""

import contextlib
import hashlib
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import msgspec
from anthropic import AsyncAnthropic
from anthropic import DefaultAsyncHttpxClient as AnthropicHttp
from msgspec import Struct, field
from openai import APIError, AsyncOpenAI
from sdk_help import HELLO, Got, ask, sdk

from trunkline.dialects.common.reasoning import unpack
from trunkline.testing.gateway import MODEL, RunningGateway

Call = tuple[str, str, str]
"""Id, name, raw arguments."""


class Heard(Struct, kw_only=True):
    """One answer, whatever the dialect. `raised` is how it ended where it did not end well."""

    text: str = ""
    deltas: tuple[str, str] | None = None
    """Text and arguments as deltas said them, where those can differ from the last event's."""
    reasoning: str = ""
    opaque: list[str] = field(default_factory=list)
    """SHA-256 of each signature or encrypted thought, unpacked where it travelled in another's words."""
    calls: list[Call] = field(default_factory=list)
    citations: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""
    finish: str | None = None
    native: str | None = None
    images: list[str] = field(default_factory=list)
    server_tools: list[str] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)
    cost: float | None = None
    raised: Exception | None = None
    raw: Any = None
    """The SDK's object, for a closer look."""


Ask = Callable[..., Awaitable[Heard]]


def digests(text: str) -> Iterator[str]:
    """The SHA-256 of an opaque string, and of that as the bytes of a blob, which is what Bedrock calls it."""
    yield hashlib.sha256(text.encode()).hexdigest()
    yield hashlib.sha256(b64encode(text.encode())).hexdigest()


def _opaque(*texts: str | None) -> list[str]:
    """Digests of those of *texts* that hold anything, of their data where they carry another dialect's."""
    said = ((unpack(text) or ("", None, text))[2] for text in texts if text)
    return [found for text in said if text for found in digests(text)]


def image_digest(url: str) -> str:
    """The SHA-256 of the bytes in a data URL or bare base64."""
    return hashlib.sha256(b64decode(url.partition("base64,")[2] or url)).hexdigest()


# Chat.


def from_chat(got: Got) -> Heard:
    """A chat completion."""
    heard = Heard(raised=got.raised, raw=got.completion)
    if got.completion is None or not got.completion.choices:
        return heard
    message = got.choice.message
    more = message.model_extra or {}
    heard.text, heard.reasoning, heard.calls = got.text, got.reasoning, got.calls
    for detail in more.get("reasoning_details") or ():
        heard.opaque += _opaque(detail.get("signature"), detail.get("data"))
        if detail["type"] == "reasoning.server_tool_call":
            heard.server_tools.append(detail.get("tool_name") or "")
    heard.citations = [note if isinstance(note, dict) else note.to_dict() for note in message.annotations or ()]
    heard.refusal = message.refusal or ""
    heard.finish, heard.native = got.choice.finish_reason, got.native
    heard.images = [image_digest(image["image_url"]["url"]) for image in more.get("images") or ()]
    if got.usage is not None:
        into, out = got.usage.prompt_tokens_details, got.usage.completion_tokens_details
        heard.usage = {
            "prompt": got.usage.prompt_tokens,
            "completion": got.usage.completion_tokens,
            "cached": into.cached_tokens,
            "cache_write": into.cache_write_tokens,
            "reasoning": out.reasoning_tokens,
        }
        heard.cost = got.usage.cost
    return heard


async def ask_chat(client: AsyncOpenAI, *, stream: bool, **more: Any) -> Heard:
    """Ask in chat."""
    return from_chat(await ask(client, stream=stream, **more))


# Messages.


def from_message(message: Any) -> Heard:
    """An Anthropic message."""
    heard = Heard(raw=message, finish=message.stop_reason)
    thoughts: list[str] = []
    for block in message.content:
        found: dict[str, Any] = block.to_dict()
        match found:
            case {"type": "text", "text": text}:
                heard.text += text
                heard.citations += found.get("citations") or []
            case {"type": "thinking", "thinking": text, "signature": signature}:
                thoughts.append(text)
                heard.opaque += _opaque(signature)
            case {"type": "redacted_thinking", "data": data}:
                heard.opaque += _opaque(data)
            case {"type": "tool_use", "id": id_, "name": name, "input": given}:
                heard.calls.append((id_, name, msgspec.json.encode(given).decode()))
            case {"type": kind}:
                heard.server_tools.append(kind)
            case _:
                raise AssertionError(found)
    heard.reasoning = "\n\n".join(thought for thought in thoughts if thought)
    usage = message.usage.to_dict()
    cached, written = usage["cache_read_input_tokens"] or 0, usage["cache_creation_input_tokens"] or 0
    heard.usage = {
        "prompt": usage["input_tokens"] + cached + written,
        "completion": usage["output_tokens"],
        "cached": cached,
        "cache_write": written,
        "reasoning": (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    }
    heard.cost = usage.get("cost")
    return heard


async def ask_messages(client: AsyncAnthropic, *, stream: bool, **more: Any) -> Heard:
    """Ask in Messages."""
    more = {"model": MODEL, "messages": HELLO, "max_tokens": 1000, **more}
    if not stream:
        try:
            return from_message(await client.messages.create(**more))
        except Exception as error:
            return Heard(raised=error)
    manager = client.messages.stream(**more)
    try:
        async with manager as events:
            async for _ in events:
                pass
            return from_message(await events.get_final_message())
    except Exception as error:
        return Heard(raised=error)


# Responses.


def from_response(response: Any) -> Heard:
    """A Responses object."""
    heard = Heard(raw=response, finish=_ended(response))
    thoughts: list[str] = []
    for item in response.output:
        found: dict[str, Any] = item.to_dict()
        match found["type"]:
            case "message":
                for part in found["content"]:
                    heard.text += part.get("text") or ""
                    heard.refusal += part.get("refusal") or ""
                    heard.citations += part.get("annotations") or []
            case "reasoning":
                thoughts += [part["text"] for part in found.get("summary") or ()]
                thoughts += [part["text"] for part in found.get("content") or ()]
                opaque = _opaque(found.get("signature"), found.get("encrypted_content"))
                heard.opaque += list(dict.fromkeys(opaque))
            case "function_call":
                heard.calls.append((found["call_id"], found["name"], found["arguments"]))
            case "custom_tool_call":
                heard.calls.append((found["call_id"], found["name"], found["input"]))
            case kind:
                heard.server_tools.append(kind)
                if kind == "image_generation_call" and found.get("result"):
                    heard.images.append(image_digest(found["result"]))
    heard.reasoning = "\n\n".join(thought for thought in thoughts if thought)
    usage = response.usage
    if usage is not None:
        heard.usage = {
            "prompt": usage.input_tokens,
            "completion": usage.output_tokens,
            "cached": usage.input_tokens_details.cached_tokens,
            "cache_write": (usage.input_tokens_details.model_extra or {}).get("cache_write_tokens")
            or getattr(usage.input_tokens_details, "cache_write_tokens", 0)
            or 0,
            "reasoning": usage.output_tokens_details.reasoning_tokens,
        }
        heard.cost = (usage.model_extra or {}).get("cost")
    return heard


def _ended(response: Any) -> str:
    details = response.incomplete_details
    return response.status if details is None or details.reason is None else f"{response.status}:{details.reason}"


class Failed(Exception):
    """`response.failed`: the SDK yields it and does not raise."""


async def ask_responses(client: AsyncOpenAI, *, stream: bool, **more: Any) -> Heard:
    """Ask in Responses. Of a stream, what its deltas add up to must be what its last event holds."""
    more = {"model": MODEL, "input": HELLO, **more}
    try:
        if not stream:
            return from_response(await client.responses.create(**more))
        deltas: dict[str, list[str]] = {"text": [], "arguments": []}
        last: Any = None
        numbers: list[int] = []
        stream_of: Any = await client.responses.create(stream=True, **more)
        async with stream_of as events:
            async for event in events:
                numbers.append(event.sequence_number)
                if event.type == "response.output_text.delta":
                    deltas["text"].append(event.delta)
                elif event.type in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
                    deltas["arguments"].append(event.delta)
                elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                    assert last is None, "one terminal event"
                    last = event.response
    except (APIError, AssertionError) as error:
        return Heard(raised=error)
    assert last is not None, "a stream ends in a terminal event"
    assert numbers == list(range(len(numbers)))
    heard = from_response(last)
    if last.status == "failed":
        heard.raised = Failed(last.error)
        return heard
    heard.deltas = ("".join(deltas["text"]), "".join(deltas["arguments"]))
    return heard


@contextlib.asynccontextmanager
async def clients(gateway: RunningGateway) -> AsyncGenerator[dict[str, Ask]]:
    """How to ask in each dialect, by its name."""
    async with (
        sdk(gateway) as openai,
        AsyncAnthropic(
            base_url=gateway.url + "/api",
            api_key=gateway.key,
            max_retries=0,
            timeout=20,
            http_client=AnthropicHttp(trust_env=False, verify=False),
        ) as anthropic,
    ):

        async def chat(**more: Any) -> Heard:
            return await ask_chat(openai, **more)

        async def messages(**more: Any) -> Heard:
            return await ask_messages(anthropic, **more)

        async def responses(**more: Any) -> Heard:
            return await ask_responses(openai, **more)

        yield {"chat": chat, "messages": messages, "responses": responses}


def joined(texts: Iterable[str]) -> str:
    """*texts* without line ends: where one block ended and the next began is not said everywhere."""
    return "".join(texts).replace("\n", "")
