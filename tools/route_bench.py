"""Benchmark of routing decisions: `python tools/route_bench.py`. Takes some ten seconds and uses no network.

Prints the median of `Router.route` in microseconds over 20,000 calls of each kind, parsed beforehand, and the fastest
decile, which is more reliable on a busy machine. Nothing is asserted: compare figures of the same machine only.
"""

import random
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

import msgspec

from trunkline.catalog.catalog import Catalog
from trunkline.dialects.interfaces import Call
from trunkline.dialects.registry import CLIENTS
from trunkline.engine.credentials import Credentials
from trunkline.engine.router import Router, memory
from trunkline.model.endpoint import DataPolicy, Endpoint, Model, Price
from trunkline.model.key import ANONYMOUS
from trunkline.providers.provider import Provider
from trunkline.routing.config import RoutingSettings

CALLS = 20_000
ENDPOINTS = 10
MILLION = 1_000_000
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PREFERENCES = {
    "order": ["p3", "p1/fp8"],
    "only": [f"p{number}" for number in range(9)],
    "ignore": ["p8"],
    "quantizations": ["fp8", "bf16", "fp4"],
    "max_price": {"prompt": 8, "completion": "16"},
    "data_collection": "deny",
    "sort": "throughput",
    "preferred_min_throughput": {"p50": 20, "p90": 5},
    "preferred_max_latency": 3,
}
NO_ORDER = {name: said for name, said in PREFERENCES.items() if name != "order"}


def model(id_: str, *, caching: bool) -> Model:
    """A model with `ENDPOINTS` endpoints, each at its own provider."""
    endpoints = tuple(
        Endpoint(
            model=id_,
            provider=f"p{number}",
            provider_name=f"Provider {number}",
            upstream_model="m",
            dialect="chat",
            tag=f"p{number}/fp8" if number % 2 else f"p{number}",
            context_length=128_000,
            quantization="fp8" if number % 2 else "bf16",
            price=Price(
                prompt=(number + 1) * MILLION,
                completion=(number + 2) * MILLION,
                cache_read=number * MILLION if caching else None,
            ),
            data_policy=DataPolicy(training=False),
        )
        for number in range(ENDPOINTS)
    )
    return Model(id=id_, name=id_, endpoints=endpoints)


def router(models: int, *, caching: bool = False) -> Router:
    """A router over *models* models whose endpoints have all served some calls."""
    providers = {
        f"p{number}": Provider(
            slug=f"p{number}", name=f"Provider {number}", base_url="https://p.example/v1", dialect="chat"
        )
        for number in range(ENDPOINTS)
    }
    catalog = Catalog((model(f"bench/m{number}", caching=caching) for number in range(models)), providers)
    kept, draw = memory(), random.Random(1)  # noqa: S311 - loads are spread, no secrets made
    for one in catalog.models:
        for endpoint in one.endpoints:
            for _ in range(5):
                kept.statistics[endpoint.name].served(
                    time.monotonic(), latency_s=draw.uniform(0.2, 3), tokens=100, seconds=draw.uniform(1, 10)
                )
    return Router(
        catalog,
        RoutingSettings(),
        memory=kept,
        credentials=Credentials(time.monotonic),
        monotonic=time.monotonic,
        draw=draw.random,
    )


def call(number: int, **fields: Any) -> tuple[Call, int]:
    """A parsed chat request for the model of that number, and its length."""
    said = {"model": f"bench/m{number}", "messages": [{"role": "user", "content": "Why is the sky blue?"}], **fields}
    body = msgspec.json.encode(said)
    return CLIENTS["chat"].parse(body), len(body)


def measured(decider: Router, calls: list[tuple[Call, int]]) -> tuple[float, float]:
    """The median time of a routing decision on *calls*, and the fastest decile, in microseconds."""
    client = CLIENTS["chat"]
    tick: Callable[[], int] = time.perf_counter_ns
    taken: list[int] = []
    for number in range(CALLS):
        asked, length = calls[number % len(calls)]
        begun = tick()
        decider.route(client, asked, ANONYMOUS, body_bytes=length)
        taken.append(tick() - begun)
    return median(taken) / 1000, quantiles(taken, n=10)[0] / 1000


def main() -> None:
    """Print a line for each kind."""
    few, many, cached = router(3), router(300), router(3, caching=True)
    kinds: list[tuple[str, Router, list[tuple[Call, int]]]] = [
        ("3 models, nothing asked", few, [call(number) for number in range(3)]),
        ("300 models, nothing asked", many, [call(number) for number in range(300)]),
        ("with a prompt cache to stay at", cached, [call(0)]),
        ("tools", few, [call(0, tools=[TOOL])]),
        ("three models, tried in turn", few, [call(0, models=["bench/m1", "bench/m2"])]),
        ("every preference", few, [call(0, provider=PREFERENCES)]),
        ("every preference but order", few, [call(0, provider=NO_ORDER)]),
    ]
    print(f"Router.route, {ENDPOINTS} endpoints a model, {CALLS:,} calls: the median, and the fastest tenth")
    for name, decider, calls in kinds:
        middle, least = measured(decider, calls)
        print(f"  {name:<32}{middle:8.1f} µs{least:8.1f} µs")


if __name__ == "__main__":
    main()
