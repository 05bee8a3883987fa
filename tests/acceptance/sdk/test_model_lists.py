"""Lists of models, read to their end by three official SDKs, with more models than one page has."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import anthropic
import httpx
from openrouter import OpenRouter
from sdk_help import bench

from trunkline.testing.gateway import MODEL, RunningGateway

MANY = 520


def client_of(gateway: RunningGateway) -> anthropic.AsyncAnthropic:
    http = anthropic.DefaultAsyncHttpxClient(trust_env=False, verify=False)
    return anthropic.AsyncAnthropic(api_key=gateway.key, base_url=gateway.url, http_client=http, max_retries=0)


async def test_sdks_read_a_long_list_to_its_end(tmp_path: Path) -> None:
    endpoint = {"provider": "acme", "upstream_model": "m"}
    models = {f"acme/m{number}": {"endpoints": [endpoint]} for number in range(MANY)}
    http = httpx.AsyncClient(trust_env=False, verify=False, timeout=20)
    async with http, bench(tmp_path, models=models) as all_three:
        gateway = all_three.gateway
        wanted = {*models, "demo/echo"}
        found = [model.id async for model in all_three.client.models.list()]
        assert sorted(found) == sorted(wanted)
        async with client_of(gateway) as theirs:
            for limit in (7, 100, 1000):
                listed = [model.id async for model in theirs.models.list(limit=limit)]
                assert sorted(listed) == sorted(wanted)
        sdk = OpenRouter(api_key=gateway.key, server_url=gateway.api, async_client=http, retry_config=None)
        offset, seen = 0, list[str]()
        page: Any = await sdk.models.list_async(offset=offset, limit=500)
        while page is not None:
            seen += [model.id for model in page.result.data]
            following = page.next()
            assert isinstance(following, Awaitable)
            page = await following
            assert len(seen) <= len(wanted)
        assert sorted(seen) == sorted(wanted)


async def test_one_model_is_retrieved_by_its_id_or_alias(tmp_path: Path) -> None:
    models = {MODEL: {"aliases": ["small"], "endpoints": [{"provider": "acme", "upstream_model": "m"}]}}
    async with bench(tmp_path, models=models) as all_three, client_of(all_three.gateway) as theirs:
        for name in (MODEL, "small"):
            assert (await all_three.client.models.retrieve(name)).id == name
            found = await theirs.models.retrieve(name)
            assert (found.id, found.type) == (name, "model")
