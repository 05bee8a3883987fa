"""OpenRouter's own SDK, for its strict types: every capture, in chat and in Responses, as a stream and as one body.

It validates each event and each body against OpenRouter's schemas of its own day. Skipped where ../shared is not there.
"""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from openrouter import OpenRouter
from openrouter.errors import ResponseValidationError
from sdk_help import HELLO, Bench, bench
from test_matrix import FOLDERS, Capture, settings

from trunkline.testing.gateway import MODEL

NEWER = (
    "custom",  # chat has calls with free-form input, the SDK only functions
    "function_call",  # chat's legacy finish reason
)
"""What OpenAI's chat has, and this SDK has no type for."""


@pytest.fixture(scope="module")
def captures(shared: Callable[[str], Path]) -> list[Capture]:
    found = [
        Capture(dialect, folder)
        for dialect, name in FOLDERS.items()
        for folder in sorted(shared(f"fixtures/upstream/{name}").iterdir())
    ]
    return [capture for capture in found if capture.status == 200 and not capture.broken]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize("client", ["chat", "responses"])
@pytest.mark.parametrize("dialect", FOLDERS)
async def test_its_types_take_it(
    captures: list[Capture], dialect: str, client: str, stream: bool, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    chance = random.Random(f"{dialect} {client}")
    http = httpx.AsyncClient(trust_env=False, verify=False, timeout=20)
    async with http, bench(tmp_path, **settings(dialect)) as all_three:
        gateway = all_three.gateway
        sdk = OpenRouter(api_key=gateway.key, server_url=gateway.api, async_client=http, retry_config=None)
        for capture in captures:
            if capture.dialect != dialect:
                continue
            with subtests.test(capture.name):
                all_three.script = capture.script(chance)
                text = await _said(ASK[client](sdk, all_three, stream=stream))
                wanted = capture.expected["assembled"]
                assert text in (None, wanted["text"], wanted["text"] + (wanted["refusal"] or ""))


async def _said(answer: Awaitable[str]) -> str | None:
    """The text; None for what the SDK is known to have no type for."""
    try:
        return await answer
    except ResponseValidationError as error:
        if any(word in str(error) for word in NEWER):
            return None
        raise


async def _chat(sdk: Any, all_three: Bench, *, stream: bool) -> str:
    answer = await sdk.chat.send_async(model=MODEL, messages=HELLO, stream=stream)
    if not stream:
        return _text(answer.choices[0].message.content)
    text = ""
    async with answer as events:
        async for chunk in events:
            text += "".join(choice.delta.content or "" for choice in chunk.choices if not choice.index)
    return text


async def _responses(sdk: Any, all_three: Bench, *, stream: bool) -> str:
    answer = await sdk.responses.send_async(model=MODEL, input="Say hello.", stream=stream)
    if not stream:
        return _text(answer.output_text)
    text, last = "", ""
    async with answer as events:
        async for event in events:
            kind = getattr(event, "type", "")
            last = kind or last
            if kind == "response.output_text.delta":
                text += event.delta
    assert last in ("response.completed", "response.incomplete", "response.failed")
    return text


def _text(said: Any) -> str:
    return said if isinstance(said, str) else ""


ASK: dict[str, Any] = {"chat": _chat, "responses": _responses}
