"""The official `openai` SDK in front of a gateway, and what comes of an answer in one shape."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion

from trunkline.settings import Settings
from trunkline.testing.gateway import MODEL, RunningGateway, running_gateway, settings_for
from trunkline.testing.scripted import Script, ScriptedUpstream, Seen

HELLO: Any = [{"role": "user", "content": "Say hello."}]
WAYS = ("auto", "never")
"""`server.relay`: bytes pass where they may, or everything is translated."""


class Bench:
    """A scripted upstream, a gateway before it, and the SDK before that. `script` is what the upstream plays next."""

    def __init__(self) -> None:
        self.script: Any = ()
        self.upstream = ScriptedUpstream(choose=self._choose)
        self.gateway: RunningGateway = cast("RunningGateway", None)
        self.client: AsyncOpenAI = cast("AsyncOpenAI", None)

    def _choose(self, seen: Seen) -> Script:
        del seen
        return cast("Script", self.script)

    @property
    def sent(self) -> Any:
        """The body that reached the upstream last."""
        return msgspec.json.decode(self.upstream.seen[-1].body)

    async def raw(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """A request without the SDK: status, headers, body."""
        async with DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=20) as http:
            headers = {"authorization": f"Bearer {self.gateway.key}", **headers}
            content = None if body is None else msgspec.json.encode(body)
            answer = await http.request(method, self.gateway.url + path, content=content, headers=headers)
            return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content


@contextlib.asynccontextmanager
async def bench(
    folder: Path, relay: str = "auto", make: Callable[[str], Settings] | None = None, **more: Any
) -> AsyncGenerator[Bench, None]:
    """All three, with `settings_for` and *more*, or with what *make* makes of the upstream's base URL."""
    all_three = Bench()
    async with all_three.upstream as upstream:
        url = f"{upstream.origin}/v1"
        server = {"relay": relay, **more.pop("server", {})}
        settings = settings_for({"acme": url}, server=server, **more) if make is None else make(url)
        async with running_gateway(settings, folder=folder) as gateway:
            all_three.gateway = gateway
            async with sdk(gateway) as client:
                all_three.client = client
                yield all_three


def sdk(gateway: RunningGateway, base_url: str | None = None, **more: Any) -> AsyncOpenAI:
    """The SDK as its documentation says, but for the machine's proxies and for retries, which would hide things."""
    http = DefaultAsyncHttpxClient(trust_env=False, verify=False)
    return AsyncOpenAI(
        base_url=base_url or gateway.api, api_key=gateway.key, max_retries=0, timeout=20, http_client=http, **more
    )


class Got(Struct, kw_only=True):
    """What the SDK makes of an answer. `raised` is how it ended where it did not end well."""

    completion: ChatCompletion | None = None
    raised: Exception | None = None
    """With what had come until then in `completion`."""
    streamed_native: str | None = None

    @property
    def choice(self) -> Any:
        assert self.completion is not None
        return self.completion.choices[0]

    @property
    def text(self) -> str:
        return self.choice.message.content or ""

    @property
    def reasoning(self) -> str:
        return (self.choice.message.model_extra or {}).get("reasoning") or ""

    @property
    def calls(self) -> list[tuple[str, str, str]]:
        """Id, name and raw arguments of each tool call."""
        found: list[tuple[str, str, str]] = []
        for call in self.choice.message.tool_calls or []:
            inner = call.to_dict()
            said = inner.get("function") or inner.get("custom") or {}
            found.append((call.id, said.get("name", ""), said.get("arguments") or said.get("input") or ""))
        return found

    @property
    def native(self) -> str | None:
        """The provider's own finish reason. Of a stream it is read off the chunks: the accumulator leaves it out."""
        return self.streamed_native or (self.choice.model_extra or {}).get("native_finish_reason")

    @property
    def usage(self) -> Any:
        assert self.completion is not None
        return self.completion.usage


async def ask(client: AsyncOpenAI, *, stream: bool, **more: Any) -> Got:
    """Ask, and let the SDK put the answer together: by its own accumulator where it is a stream."""
    more = {"model": MODEL, "messages": HELLO, **more}
    if not stream:
        try:
            return Got(completion=await client.chat.completions.create(**more))
        except Exception as error:
            return Got(raised=error)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    native: str | None = None
    try:
        more.setdefault("stream_options", {"include_usage": True})
        async with await client.chat.completions.create(stream=True, **more) as chunks:
            async for chunk in chunks:
                state.handle_chunk(chunk)
                for choice in chunk.choices:
                    native = (choice.model_extra or {}).get("native_finish_reason") or native
    except Exception as error:
        return Got(raised=error, completion=_snapshot(state))
    return Got(completion=_snapshot(state), streamed_native=native)


def _snapshot(state: "ChatCompletionStreamState[None]") -> ChatCompletion | None:
    """What has come. `get_final_completion` would raise for `length` and `content_filter`, which are answers too."""
    try:
        return cast("ChatCompletion", state.current_completion_snapshot)
    except AssertionError:  # nothing has come
        return None
