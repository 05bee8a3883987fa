"""A gateway and a client for its other routes, and OpenRouter's own schemas as far as these tests need them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from openai import DefaultAsyncHttpxClient

from trunkline.engine.stages import Stage
from trunkline.plugins.order import STAGES
from trunkline.ports import Response, UpstreamRequest
from trunkline.settings import parse
from trunkline.testing.gateway import KEY as KEY
from trunkline.testing.gateway import RunningGateway, running_gateway
from trunkline.transport.demo import DemoTransport

OTHER = "sk-test-other-0123456789abcd"
"""A key without a limit, as `KEY` is."""
POOR = "sk-test-poor-0123456789abcde"
"""A key that has `LIMIT`."""
LIMIT = 0.0005
MODEL = "acme/priced"
CHAT = "/api/v1/chat/completions"
LATE = "acme/alias"


async def until(true: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait until *true* is."""
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Counting:
    """Counts what reaches the provider."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        send = DemoTransport.send

        async def counted(transport: DemoTransport, request: UpstreamRequest) -> Response:
            self.calls += 1
            return await send(transport, request)

        monkeypatch.setattr(DemoTransport, "send", counted)


class Reply(msgspec.Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def data(self) -> Any:
        return self.json()["data"]


class Api:
    """The gateway's routes."""

    def __init__(self, gateway: RunningGateway, http: Any) -> None:
        self.gateway = gateway
        self._http = http

    async def get(
        self, path: str, key: str | None = KEY, method: str = "GET", body: Any = None, **headers: str
    ) -> Reply:
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        content = None if body is None else msgspec.json.encode(body)
        answer = await self._http.request(method, self.gateway.url + path, headers=headers, content=content)
        return Reply(answer.status_code, {n.lower(): v for n, v in answer.headers.items()}, answer.content)

    async def chat(self, key: str | None = KEY, path: str = CHAT, **more: Any) -> Reply:
        """Ask the demo provider, at a price."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "one two three"}], **more}
        return await self.get(path, key, "POST", body)


@contextlib.asynccontextmanager
async def running(
    folder: Path, *, stages: Sequence[Stage] = STAGES, database: str | None = None, **more: Any
) -> AsyncGenerator[Api, None]:
    """A gateway whose one provider is `demo`, with a model at a price and three keys; *stages* are installed in it.

    *database* is as that of `running_gateway`.
    """
    price = {"prompt": 1.0, "completion": 4.0}
    endpoint = {"provider": "demo", "upstream_model": "echo", "price": price, "max_output": 100}
    blocks = {
        "keys": [
            {"name": "tests", "secret": KEY},
            {"name": "other", "secret": OTHER},
            {"name": "poor", "secret": POOR, "limit_usd": LIMIT},
        ],
        "models": {MODEL: {"endpoints": [endpoint], "context_length": 8192, "aliases": [LATE], "name": "Priced"}},
        **more,
    }
    settings = parse(msgspec.json.encode(blocks), {})
    http = DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=30)
    async with running_gateway(settings, folder=folder, stages=stages, database_url=database) as gateway, http:
        yield Api(gateway, http)


# ── OpenRouter's schemas ─────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _document(path: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_bytes(), Loader=loader)  # a safe one, either way


def check(shared: Callable[[str], Path], path: str, body: Any, status: int = 200, method: str = "get") -> None:
    """Is *body* what the specification says that *path* answers?"""
    document = _document(shared("spec/openrouter-openapi.yaml"))
    answer = document["paths"][path][method]["responses"][str(status)]
    faults = list(_faults(document, answer["content"]["application/json"]["schema"], body, "$"))
    assert not faults, "\n".join(faults[:10])


_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _faults(document: Any, schema: Any, value: Any, at: str) -> Any:
    """Where *value* is not as *schema*, as far as references, types, enums, alternatives and members go."""
    if "$ref" in schema:
        found = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        yield from _faults(document, found, value, at)
        return
    if value is None and schema.get("nullable"):
        return
    for one in schema.get("allOf", ()):
        yield from _faults(document, one, value, at)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices and all(list(_faults(document, one, value, at)) for one in choices):
        yield f"{at}: {value!r} is none of the alternatives"
    kinds = schema.get("type")
    if kinds is not None:
        kinds = [kinds] if isinstance(kinds, str) else kinds
        fits = any(
            isinstance(value, _KINDS[kind]) and not (isinstance(value, bool) and kind != "boolean") for kind in kinds
        )
        if not fits:
            yield f"{at}: {value!r} is not {' or '.join(kinds)}"
            return
    # OpenRouter's schemas list its own providers; a gateway's are its operator's.
    if "enum" in schema and value not in schema["enum"] and not at.endswith(".provider_name"):
        yield f"{at}: {value!r} is not among {schema['enum']}"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{at}.{name}: missing"
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from _faults(document, inner, value[name], f"{at}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(document, schema.get("items", {}), item, f"{at}[{index}]")
