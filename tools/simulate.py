"""Simulates how routing handles a day of outages, slowdowns, 429s and price changes at twelve endpoints.

`python tools/simulate.py [--seed N] [--hours H] [--svg FILE] [--page FILE]` prints the figures, draws the plot and
writes the tables of docs/routing-simulation.md. `--json FILE` stores the figures, so that a later page can compare them
with `--before FILE`. It simulates discrete events with its own clock and seeded randomness: the same seed gives the
same day.

Decisions are made by the gateway's own code: catalog, `Router`, statistics, credential rests, all with default
settings. The endpoints (`World`) and, in a few lines, the network and `Generation` (`Run`) are simulated. The day is
run four times: for each of `POLICIES` with and without troubles, with the same requests at the same prices.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush
from itertools import count
from math import ceil, pi, sin
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple, TypeAlias

from trunkline.catalog.catalog import build_catalog
from trunkline.catalog.config import EndpointSettings, ModelSettings, PriceSettings
from trunkline.dialects.interfaces import Call
from trunkline.dialects.registry import CLIENTS
from trunkline.engine.credentials import Credentials
from trunkline.engine.router import Route, Router, memory
from trunkline.ledger.cost import cost
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError, UpstreamFailed, UpstreamLimited, UpstreamUnreachable
from trunkline.model.key import ANONYMOUS
from trunkline.model.preferences import NO_PREFERENCES, Preferences
from trunkline.model.usage import Usage
from trunkline.providers.provider import Credential, Provider
from trunkline.routing.config import RoutingSettings
from trunkline.routing.endpoint_pool import Slot
from trunkline.routing.plan import Plan
from trunkline.routing.statistics import DOWN, STABLE

MODEL = "acme/large"
POLICIES: dict[str, Preferences] = {"draw": NO_PREFERENCES, "price": Preferences(sort="price")}
"""The request's preferences: none, which is the draw by 1/price², or `sort: price`."""

MOMENTS = ("three cheap ones gone", "blackout", "any other time")

Kind = Literal["down", "half", "slow", "limited"]
HOUR = 3600.0
BUCKET_S = 600.0
"""The resolution of the plot."""
HALF = 0.3
"""The failure rate of an endpoint that fails partially (`half`)."""
NOISE = 0.001
"""The failure rate of every healthy endpoint."""
SLOWER = 6.0
REFUSED_S, CONNECT_S, FIRST_BYTE_S = 0.05, 10.0, 120.0
"""When a call to a dead endpoint fails: refused, no connection, no response. The defaults of `timeouts`."""


class Site(NamedTuple):
    """A healthy endpoint: USD per million tokens, seconds to the first token, tokens per second."""

    name: str
    prompt: str
    completion: str
    latency_s: float
    speed: float


SITES = (
    Site("alder", "0.10", "0.32", 0.6, 45),
    Site("beech", "0.10", "0.34", 0.5, 40),
    Site("cedar", "0.11", "0.33", 0.8, 60),
    Site("dogwood", "0.12", "0.36", 0.4, 55),
    Site("elm", "0.23", "0.40", 0.5, 70),
    Site("fir", "0.25", "0.55", 0.4, 80),
    Site("ginkgo", "0.35", "0.75", 0.7, 60),
    Site("hazel", "0.45", "0.80", 0.3, 110),
    Site("ivy", "0.59", "0.79", 0.2, 280),
    Site("juniper", "0.60", "0.90", 0.3, 150),
    Site("larch", "0.88", "0.88", 0.5, 90),
    Site("maple", "1.20", "1.60", 0.4, 75),
)
"""Market prices of one open model of 70 billion parameters: a few cheap endpoints close together, expensive ones
apart."""
CHEAP = 4
"""The number of cheap endpoints at the head of `SITES`, which get most requests and therefore most troubles."""
A_DAY: dict[Kind, float] = {"down": 2.0, "half": 2.0, "slow": 3.0, "limited": 6.0}
"""How often each trouble occurs per endpoint and day; twice as often for cheap ones."""
LENGTH_S: dict[Kind, tuple[float, float]] = {
    "down": (60, 2400), "half": (300, 3600), "slow": (600, 3600), "limited": (30, 300),
}  # fmt: skip
CALM_S = 240.0
"""The minimum time between two troubles of one endpoint."""
SETTLE_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A trouble of one endpoint for a while.

    `fails_after_s` applies to calls to an endpoint that is down. `hollow`: the model list of the provider is served
    during the trouble, so that a recovery probe is misled; for partial failures it always is.
    """

    site: int
    kind: Kind
    begins: float
    ends: float
    fails_after_s: float = REFUSED_S
    hollow: bool = False
    retry_after_s: float | None = None


class Change(NamedTuple):
    """A new price: *factor* times the previous one."""

    at: float
    site: int
    factor: Decimal


class World:
    """The events at `SITES` in *hours* hours; *density* times as many as on a usual day.

    In addition to the troubles of each endpoint, *disasters* disconnects three of the four cheap ones at the same time
    for ten minutes (a data centre), and once all of them for one to two minutes.
    """

    def __init__(self, seed: int, hours: float, density: float = 1.0, *, disasters: bool = True) -> None:
        random = Random(f"world {seed}")  # noqa: S311
        self.seed = seed
        self.seconds = hours * HOUR
        self.troubles: list[Trouble] = []
        self.moments: dict[str, tuple[float, float]] = {}
        """The disasters: when each begins and when it is certainly over."""
        if disasters:
            self._disasters(random)
        for site in range(len(SITES)):
            for kind, often in A_DAY.items():
                expected = often * density * hours / 24 * (2 if site < CHEAP else 1)
                for _ in range(int(expected) + (random.random() < expected % 1)):
                    self._add(random, site, kind)
        self.troubles.sort(key=lambda trouble: trouble.begins)
        changes = ceil(hours)
        self.changes = sorted(
            Change(
                random.uniform(0, self.seconds),
                random.randrange(len(SITES)),
                Decimal(random.choice((90, 95, 105, 110))) / 100,
            )
            for _ in range(changes)
        )

    def _disasters(self, random: Random) -> None:
        begins = self.seconds * 0.4
        self.moments["three cheap ones gone"] = begins, begins + 600
        for site in range(CHEAP - 1):
            self.troubles.append(
                Trouble(site=site, kind="down", begins=begins, ends=begins + 600, fails_after_s=CONNECT_S)
            )
        begins = self.seconds * 0.75
        self.moments["blackout"] = begins, begins + 120
        for site in range(len(SITES)):
            ends = begins + 60 + random.uniform(0, 60)
            self.troubles.append(Trouble(site=site, kind="down", begins=begins, ends=ends, hollow=site % 3 == 0))

    def _add(self, random: Random, site: int, kind: Kind) -> None:
        least, most = LENGTH_S[kind]
        begins, length = random.uniform(CALM_S, self.seconds), min(most, least * random.paretovariate(1.2))
        ends = begins + length
        if ends > self.seconds - CALM_S or any(
            other.site == site and other.begins - CALM_S < ends and begins < other.ends + CALM_S
            for other in self.troubles
        ):
            return  # not two at once
        self.troubles.append(
            Trouble(
                site=site,
                kind=kind,
                begins=begins,
                ends=ends,
                fails_after_s=random.choice((REFUSED_S, REFUSED_S, CONNECT_S, CONNECT_S, FIRST_BYTE_S)),
                hollow=kind == "half" or random.random() < 0.4,
                retry_after_s=random.choice((None, 2.0, 10.0, 30.0)),
            )
        )

    def calm(self) -> "World":
        """The same world without troubles: the same requests at the same prices."""
        calm = copy(self)
        calm.troubles, calm.moments = [], {}
        return calm

    def moment(self, when: float) -> str:
        """The disaster that *when* belongs to."""
        return next((name for name, (begins, over) in self.moments.items() if begins <= when < over), "any other time")

    def requests(self) -> Iterator[tuple[float, Usage]]:
        """Arrival times, two to five per second depending on the time of day, and usage."""
        random = Random(f"requests {self.seed}")  # noqa: S311
        now = 0.0
        while True:
            now += random.expovariate(3.5 - 1.5 * sin(2 * pi * now / (24 * HOUR) + 0.5))
            if now >= self.seconds:
                return
            prompt, completion = int(random.lognormvariate(7, 1)) + 1, int(random.lognormvariate(5, 0.8)) + 2
            yield now, Usage(prompt=prompt, completion=completion)


@dataclass(slots=True)
class Bucket:
    """Ten minutes. Money is in pico-dollars; `asked` and `served` count requests while an endpoint was up.

    `oracle` is the cost at the cheapest endpoint that was neither down, partially failing nor limited. A response that
    was cheaper, from a partially failing endpoint, counts as the oracle's cost. `law` is the expected cost of a draw by
    1/price² among the endpoints that the oracle chooses from.
    """

    by_site: list[int] = field(default_factory=lambda: [0] * len(SITES))
    asked: int = 0
    served: int = 0
    paid: int = 0
    oracle: int = 0
    law: float = 0.0


def expectation(costs: Sequence[int], slots: Sequence[Slot]) -> float:
    """The expected cost of a draw among *slots* by their weights, with *costs* per slot."""
    return sum(slot.weight * one for slot, one in zip(slots, costs, strict=True)) / sum(slot.weight for slot in slots)


def percentile(values: list[float], share: float) -> float:
    """The percentile of *values*; 0 where there are none."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else 0.0


@dataclass(slots=True)
class Result:
    """The result of the day. `recoveries` are seconds, each with the trouble that ended."""

    buckets: list[Bucket]
    attempts: int = 0
    requests: int = 0
    served: int = 0
    in_blackout: int = 0
    """Requests that arrived while nothing was up; they are not counted elsewhere."""
    first_failed: int = 0
    """Counted requests whose first attempt failed."""
    half_first: int = 0
    dead_first: int = 0
    """Requests sent first to a partially failing endpoint, or to one that was down while another was up."""
    waited_s: float = 0.0
    """Seconds spent in failed attempts, of counted requests."""
    recoveries: list[tuple[float, Trouble]] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    """Seconds after an outage's end at which the endpoint was last avoided, within `SETTLE_S`."""
    overtaken: int = 0
    """Outages without a figure, because the next trouble came first."""
    failed_in: Counter[str] = field(default_factory=Counter)
    """Requests that failed while an endpoint was up, by the moment in which they arrived."""

    @property
    def success(self) -> float:
        return sum(one.served for one in self.buckets) / max(1, sum(one.asked for one in self.buckets))

    @property
    def cost_ratio(self) -> float:
        return sum(one.paid for one in self.buckets) / max(1, sum(one.oracle for one in self.buckets))

    @property
    def law_ratio(self) -> float:
        """The cost of the law by itself, relative to the oracle's, of all served requests."""
        return sum(one.law for one in self.buckets) / max(1, sum(one.oracle for one in self.buckets))

    def recovery(self, share: float) -> float:
        """A percentile of the recovery times, in seconds."""
        return percentile([seconds for seconds, _ in self.recoveries], share)

    def figures(self) -> dict[str, float]:
        return {
            "requests": self.requests,
            "success": round(self.success, 6),
            "failed while one was up": sum(one.asked - one.served for one in self.buckets),
            **{f"failed: {moment}": self.failed_in[moment] for moment in MOMENTS},
            "cost / oracle": round(self.cost_ratio, 4),
            "law / oracle": round(self.law_ratio, 4),
            "cost / law": round(self.cost_ratio / self.law_ratio, 4),
            "recoveries": len(self.recoveries),
            "recovery p50 s": round(self.recovery(0.5), 1),
            "recovery p95 s": round(self.recovery(0.95), 1),
            "recovery max s": round(self.recovery(1.0), 1),
            "settled p50 s": round(percentile(self.settled, 0.5), 1),
            "settled p95 s": round(percentile(self.settled, 0.95), 1),
            "settled max s": round(percentile(self.settled, 1.0), 1),
            "overtaken": self.overtaken,
            "attempts / request": round(self.attempts / self.requests, 4),
            "first attempt failed": round(self.first_failed / self.requests, 5),
            "sent first to the half dead": self.half_first,
            "sent first to the dead": self.dead_first,
            "waited in failed attempts, s / request": round(self.waited_s / self.requests, 3),
            "requests in the blackout": self.in_blackout,
        }


@dataclass(slots=True)
class Asked:
    """A running request."""

    route: Route
    usage: Usage
    bucket: Bucket
    counts: bool
    oracle: int | None
    law: float
    came: float
    tried: int = 0


Action: TypeAlias = Callable[[], None]


class Run:
    """One day with one policy. `result` is complete after `live`."""

    def __init__(self, world: World, policy: str) -> None:
        self.world = world
        self.now = 0.0
        self._preferences = POLICIES[policy]
        self._by_price = policy == "price"
        self._random = Random(f"luck {world.seed}")  # noqa: S311
        self._draw = Random(f"draw {world.seed}")  # noqa: S311
        self._settings = RoutingSettings()
        self._memory = memory()
        self._credentials = Credentials(self._time)
        self._call = Call(envelope={}, model=MODEL, preferences=self._preferences)
        self._agenda: list[tuple[float, int, Action]] = []
        self._order = count()
        self._troubles: list[Trouble | None] = [None] * len(SITES)
        self._healing: dict[int, tuple[float, Trouble]] = {}
        """Sites whose outage is over, and since when they are not used again."""
        self._settling: dict[int, tuple[float, float]] = {}
        """The same sites, with the start and the last time at which each was avoided."""
        self._prices = [(Decimal(site.prompt), Decimal(site.completion)) for site in SITES]
        self._load()
        self.result = Result([Bucket() for _ in range(ceil(world.seconds / BUCKET_S))])

    def _time(self) -> float:
        return self.now

    def _load(self) -> None:
        """Build catalog and router, as a reload does."""
        providers = {
            site.name: Provider(
                slug=site.name,
                name=site.name.title(),
                base_url=f"https://{site.name}.example/v1",
                dialect="chat",
                credentials=(Credential(id=f"{site.name}#1", secret=site.name),),
            )
            for site in SITES
        }
        endpoints = tuple(
            EndpointSettings(
                provider=site.name,
                upstream_model="large-1",
                price=PriceSettings(prompt=prompt, completion=completion),
            )
            for site, (prompt, completion) in zip(SITES, self._prices, strict=True)
        )
        self.catalog = build_catalog(providers, {MODEL: ModelSettings(endpoints=endpoints)}, now=0)
        self.router = Router(
            self.catalog,
            self._settings,
            memory=self._memory,
            credentials=self._credentials,
            monotonic=self._time,
            draw=self._draw.random,
        )
        self._slots = self.router.pools[MODEL].slots
        self.endpoints = tuple(slot.endpoint for slot in self._slots)
        self._index = {endpoint.name: index for index, endpoint in enumerate(self.endpoints)}

    def _at(self, when: float, action: Action) -> None:
        heappush(self._agenda, (when, next(self._order), action))

    def live(self) -> Result:
        """Run the day."""
        for trouble in self.world.troubles:
            self._at(trouble.begins, lambda trouble=trouble: self._begin(trouble))  # type: ignore[misc]
            self._at(trouble.ends, lambda trouble=trouble: self._end(trouble))  # type: ignore[misc]
        for change in self.world.changes:
            self._at(change.at, lambda change=change: self._change(change))  # type: ignore[misc]
        self._at(self._settings.probe_s, self._probe)
        requests = self.world.requests()
        self._next(requests)
        while self._agenda:
            self.now, _, action = heappop(self._agenda)
            action()
        return self.result

    # What happens to the endpoints.

    def _begin(self, trouble: Trouble) -> None:
        if self._healing.pop(trouble.site, None) is not None:
            self.result.overtaken += 1
        self._settling.pop(trouble.site, None)
        self._troubles[trouble.site] = trouble

    def _end(self, trouble: Trouble) -> None:
        self._troubles[trouble.site] = None
        if trouble.kind in ("down", "half"):
            self._healing[trouble.site] = (self.now, trouble)
            self._settling[trouble.site] = (self.now, self.now)

    def _change(self, change: Change) -> None:
        prompt, completion = self._prices[change.site]
        exact = Decimal("0.0001")
        self._prices[change.site] = (
            (prompt * change.factor).quantize(exact),
            (completion * change.factor).quantize(exact),
        )
        self._load()

    def _probe(self) -> None:
        """Request the model lists of failing providers."""
        for endpoint in self.router.troubled():
            trouble = self._troubles[self._index[endpoint.name]]
            if trouble is None or trouble.kind != "down" or trouble.hollow:
                self.router.recovered(endpoint)
        if self.now < self.world.seconds:
            self._at(self.now + self._settings.probe_s, self._probe)

    # What a request does.

    def _next(self, requests: Iterator[tuple[float, Usage]]) -> None:
        for when, usage in requests:

            def ask(usage: Usage = usage) -> None:
                self._ask(usage)
                self._next(requests)

            self._at(when, ask)
            return

    def _ask(self, usage: Usage) -> None:
        result, bucket = self.result, self.result.buckets[int(self.now / BUCKET_S)]
        route = self.router.route(CLIENTS["chat"], self._call, ANONYMOUS, body_bytes=3 * usage.prompt)
        self.router.begin(route)
        up = [not trouble or trouble.kind not in ("down", "limited") for trouble in self._troubles]
        healthy = [index for index, trouble in enumerate(self._troubles) if not trouble or trouble.kind == "slow"]
        costs = [cost(usage, self.endpoints[index].price).total for index in healthy]
        best = min(costs, default=None)
        law = expectation(costs, [self._slots[index] for index in healthy]) if costs else 0.0
        self._watch(route.plan, healthy[costs.index(best)] if best is not None else None)
        counts = any(up)
        result.requests += 1
        result.in_blackout += not counts
        bucket.asked += counts
        first = self._troubles[self._index[route.plan.first.name]]
        result.half_first += first is not None and first.kind == "half"
        result.dead_first += first is not None and first.kind == "down" and counts
        self._attempt(Asked(route, usage, bucket, counts, best, law, self.now))

    def _attempt(self, asked: Asked) -> None:
        """Simulates an attempt of the engine."""
        endpoint = asked.route.plan.candidates[0].endpoints[asked.tried]
        asked.tried += 1
        self.result.attempts += 1
        provider = self.catalog.providers[endpoint.provider]
        try:
            credential = self._credentials.pick(provider)
        except TrunklineError as refused:
            self._failed(asked, endpoint, refused, 0.0)
            return
        site = SITES[self._index[endpoint.name]]
        trouble = self._troubles[self._index[endpoint.name]]
        kind = trouble.kind if trouble else None
        slower = SLOWER if kind == "slow" else 1.0
        latency_s = site.latency_s * slower * self._random.lognormvariate(0, 0.3)
        luck = self._random.random()
        if (trouble and (kind in ("down", "limited") or (kind == "half" and luck < HALF))) or luck < NOISE:
            error: TrunklineError
            if kind == "limited":
                assert trouble is not None
                error = UpstreamLimited("busy", retry_after_s=trouble.retry_after_s, upstream_status=429)
            elif trouble and kind == "down":
                error = UpstreamUnreachable("no connection")
                latency_s = min(trouble.fails_after_s, max(trouble.ends - self.now, REFUSED_S))
            else:
                error = UpstreamFailed("500", upstream_status=500)

            def fail() -> None:
                self._credentials.failed(provider, credential, error)
                self._failed(asked, endpoint, error, latency_s)

            self._at(self.now + latency_s, fail)
            return
        seconds = latency_s + asked.usage.completion * slower / site.speed

        def serve() -> None:
            self._credentials.served(provider, credential)
            self._served(asked, endpoint, latency_s, seconds)

        self._at(self.now + seconds, serve)

    def _failed(self, asked: Asked, endpoint: Endpoint, error: TrunklineError, seconds: float) -> None:
        if asked.counts:
            self.result.first_failed += asked.tried == 1
            self.result.waited_s += seconds
        self.router.failed(endpoint, error)
        if asked.tried < min(self._settings.max_attempts, len(SITES)):
            self._attempt(asked)
        elif asked.counts:
            self.result.failed_in[self.world.moment(asked.came)] += 1

    def _served(self, asked: Asked, endpoint: Endpoint, latency_s: float, seconds: float) -> None:
        self.router.served(
            asked.route, endpoint, self._call, ANONYMOUS, asked.usage, latency_s=latency_s, seconds=seconds, tools=None
        )
        bucket = asked.bucket
        self.result.served += 1
        bucket.by_site[self._index[endpoint.name]] += 1
        bucket.served += asked.counts
        if asked.oracle is not None:
            bucket.oracle += asked.oracle
            bucket.law += asked.law
            bucket.paid += max(asked.oracle, cost(asked.usage, endpoint.price).total)

    def _watch(self, plan: Plan, best: int | None) -> None:
        """Record which endpoints are used again. By price: when it is first again. By draw: when it is stable again."""
        for index, (since, last) in list(self._settling.items()):
            if self.now > since + SETTLE_S:
                self.result.settled.append(last - since)
                del self._settling[index]
            elif self.router.statistics(self.endpoints[index]).vitals.standing != STABLE:
                self._settling[index] = (since, self.now)
        for index, (since, trouble) in list(self._healing.items()):
            endpoint = self.endpoints[index]
            if self._by_price:
                standing = self.router.statistics(endpoint).vitals.standing
                back = plan.first is endpoint or (best != index and standing != DOWN)
            else:
                back = self.router.statistics(endpoint).vitals.standing == STABLE
            if back:
                self.result.recoveries.append((self.now - since, trouble))
                del self._healing[index]


def live(world: World) -> dict[str, Result]:
    """The result of each policy in *world*."""
    return {policy: Run(world, policy).live() for policy in POLICIES}


Figures: TypeAlias = dict[str, dict[str, dict[str, float]]]
"""`day` and `calm` → the policy → its figures."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines)


ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("served, of the requests that came while an endpoint was up", "success", "{:.3%}", "99.9 %"),
    ("failed, in all", "failed while one was up", "{:.0f}", ""),
    ("… when three of the four cheap ones lost their connection", "failed: three cheap ones gone", "{:.0f}", ""),
    ("… in the blackout, and one was back", "failed: blackout", "{:.0f}", ""),
    ("… at any other time", "failed: any other time", "{:.0f}", ""),
    ("cost, times the oracle\u2019s", "cost / oracle", "**{:.3f}**", "1.10"),
    ("recovery, median", "recovery p50 s", "{:.0f} s", ""),
    ("recovery, 95th percentile", "recovery p95 s", "{:.0f} s", ""),
    ("recovery, longest", "recovery max s", "{:.0f} s", "60 s"),
    ("last held back, median", "settled p50 s", "{:.0f} s", ""),
    ("last held back, 95th percentile", "settled p95 s", "{:.0f} s", ""),
    ("first attempts that failed", "first attempt failed", "{:.2%}", ""),
    ("seconds waited in failed attempts, for each request", "waited in failed attempts, s / request", "{:.3f}", ""),
    ("requests sent first to one that was half dead", "sent first to the half dead", "{:.0f}", ""),
    ("requests sent first to one that was down", "sent first to the dead", "{:.0f}", ""),
)
"""The table's row, the figure, its format, and its goal."""
COMPARED = frozenset({
    "failed while one was up", "failed: three cheap ones gone", "failed: blackout", "cost / oracle", "recovery p95 s",
    "recovery max s", "settled p95 s", "first attempt failed", "waited in failed attempts, s / request",
    "sent first to the half dead", "sent first to the dead",
})  # fmt: skip
"""The figures that are compared with earlier ones."""


def sections(found: Figures, before: Figures | None) -> dict[str, str]:
    """The tables of the page by name; `before` only where there are earlier figures."""
    day, calm = found["day"], found["calm"]
    head = ["", "the draw", "`sort: price`"]
    made = {
        "figures": table(
            [*head, "goal"],
            [[name, *(_written(form, day[one][key]) for one in POLICIES), goal] for name, key, form, goal in ROWS],
        ),
        "cost": table(
            [
                "cost, times the oracle\u2019s",
                "the law 1/price², computed",
                "the draw, measured",
                "the draw ÷ the law",
                "`sort: price`, measured",
            ],
            [
                [
                    name,
                    f"{figures['draw']['law / oracle']:.3f}",
                    f"{figures['draw']['cost / oracle']:.3f}",
                    f"**{figures['draw']['cost / law']:.3f}**",
                    f"{figures['price']['cost / oracle']:.3f}",
                ]
                for name, figures in (("the day", day), ("the same day, nothing goes wrong", calm))
            ],
        ),
    }
    if before is not None:
        made["before"] = table(
            ["the same day, before → after", *head[1:]],
            [
                [
                    name,
                    *(
                        f"{_written(form, before['day'][one][key])} → {_written(form, day[one][key])}"
                        for one in POLICIES
                    ),
                ]
                for name, key, form, _ in ROWS
                if key in COMPARED
            ],
        )
    return made


def _written(form: str, figure: float) -> str:
    return form.format(figure).replace("%", " %")


def filled(page: str, made: Mapping[str, str]) -> str:
    """*page* with the text between `<!-- simulated: NAME -->` and `<!-- end -->` replaced.

    Raises:
        ValueError: the page has no such place.
    """
    for name, text in made.items():
        marks = re.compile(rf"(<!-- simulated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, places = marks.subn(lambda match, text=text: f"{match[1]}\n{text}\n\n{match[2]}", page)  # type: ignore[misc]
        if places != 1:
            raise ValueError(f"{places} places for {name}")
    return page


WIDTH, LEFT, RIGHT = 1000, 78, 20
INK, PALE = "#24292f", "#d0d7de"
COLOURS = ("#1f6feb", "#388bfd", "#79c0ff", "#a5d6ff", "#1a7f37", "#4ac26b", "#aceebb", "#9a6700", "#d4a72c", "#eac54f",
           "#bc4c00", "#fb8f44")  # fmt: skip
KINDS: dict[Kind, tuple[str, str]] = {
    "down": ("#cf222e", "down"),
    "half": ("#fd8c73", "fails 3 calls of 10"),
    "limited": ("#8250df", "429"),
    "slow": ("#e3b341", "slow"),
}
LINES = {"draw": ("#0969da", "the draw"), "price": ("#bc4c00", "sort: price")}


class Plot:
    """An SVG with, from top to bottom: the events, who served, the cost, the share of served requests."""

    def __init__(self, world: World, results: dict[str, Result]) -> None:
        self.world = world
        self.results = results
        self._parts: list[str] = []
        self._top = 0.0

    def draw(self) -> str:
        self._bands()
        for policy, result in self.results.items():
            self._shares(f"Who served, {LINES[policy][1]}", result)
        self._lines(
            "Cost, times the oracle\u2019s",
            lambda one: one.paid / one.oracle if one.oracle else None,
            1.0,
            2.0,
            "{:.1f}",
        )
        self._lines("Served, % of requests while an endpoint was up",
                    lambda one: 100 * one.served / one.asked if one.asked else None, 95.0, 100.0, "{:.0f}")  # fmt: skip
        height = self._top + 12
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" '
            f'font-size="12" fill="{INK}">\n<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )

    def _x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.world.seconds

    def _rect(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def _text(self, x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{text}</text>')

    def _title(self, title: str) -> None:
        self._top += 26
        self._text(LEFT, self._top, title, bold=True)
        self._top += 8

    def _legend(self, entries: list[tuple[str, str]]) -> None:
        x = WIDTH - RIGHT - sum(26 + 7 * len(label) for _, label in entries)
        for colour, label in entries:
            self._rect(x, self._top - 18, 11, 11, colour)
            self._text(x + 15, self._top - 8, label)
            x += 26 + 7 * len(label)

    def _hours(self, height: float) -> None:
        """The axis below a chart of this *height*."""
        hours = self.world.seconds / HOUR
        step = 2 if hours > 6 else 0.25
        self._top += height
        for number in range(int(hours / step) + 1):
            x = self._x(number * step * HOUR)
            self._parts.append(f'<path d="M{x:.1f} {self._top:.1f}v4" stroke="{INK}"/>')
            self._text(x, self._top + 16, f"{number * step:g}", anchor="middle")
        self._top += 18

    def _bands(self) -> None:
        row = 14
        self._title("What happened, the cheapest endpoint first (hours)")
        self._legend([*KINDS.values(), ("#dafbe1", "well")])
        for index, site in enumerate(SITES):
            y = self._top + index * row
            self._text(LEFT - 12, y + 10.5, site.name, anchor="end")
            self._rect(LEFT - 9, y, 5, row - 2, COLOURS[index])
            self._rect(LEFT, y, self._x(self.world.seconds) - LEFT, row - 2, "#dafbe1")
            for trouble in self.world.troubles:
                if trouble.site == index:
                    x = self._x(trouble.begins)
                    self._rect(x, y, max(1.2, self._x(trouble.ends) - x), row - 2, KINDS[trouble.kind][0])
        self._hours(row * len(SITES))

    def _shares(self, title: str, result: Result) -> None:
        height = 130.0
        self._title(title + ", share of requests in ten minutes")
        below = [0.0] * len(result.buckets)
        for index, site in enumerate(SITES):
            above = [
                low + one.by_site[index] / max(1, sum(one.by_site))
                for low, one in zip(below, result.buckets, strict=True)
            ]
            points = [
                f"{self._x(min(self.world.seconds, (number + edge) * BUCKET_S)):.1f} "
                f"{self._top + height * (1 - values[number]):.1f}"
                for values, numbers, edges in (
                    (above, range(len(above)), (0, 1)),
                    (below, reversed(range(len(below))), (1, 0)),
                )
                for number in numbers
                for edge in edges
            ]
            self._parts.append(
                f'<path d="M{"L".join(points)}Z" fill="{COLOURS[index]}"><title>{site.name}</title></path>'
            )
            middle = (below[0] + above[0]) / 2
            if above[0] - below[0] > 0.07:
                self._text(LEFT - 6, self._top + height * (1 - middle) + 4, site.name, anchor="end")
            below = above
        self._hours(height)

    def _lines(self, title: str, value: Callable[[Bucket], float | None], least: float, most: float, form: str) -> None:
        height = 100.0
        self._title(title)
        self._legend(list(LINES.values()))
        for step in range(6):
            y, at = self._top + height * (1 - step / 5), least + (most - least) * step / 5
            self._parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{PALE}"/>')
            self._text(LEFT - 6, y + 4, form.format(at), anchor="end")
        for policy, result in self.results.items():
            points = [
                f"{self._x((number + 0.5) * BUCKET_S):.1f} "
                f"{self._top + height * (1 - (min(most, max(least, found)) - least) / (most - least)):.1f}"
                for number, one in enumerate(result.buckets)
                if (found := value(one)) is not None
            ]
            self._parts.append(
                f'<path d="M{"L".join(points)}" fill="none" stroke="{LINES[policy][0]}" stroke-width="1.8"/>'
            )
        self._hours(height)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--density", type=float, default=1.0, help="of troubles; 1 is a usual day")
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--page", type=Path, help="whose tables are written")
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    parser.add_argument("--before", type=Path, help="figures that were kept, to compare with on the page")
    args = parser.parse_args()
    world = World(args.seed, args.hours, args.density)
    results = live(world)
    found: Figures = {
        name: {policy: result.figures() for policy, result in lived.items()}
        for name, lived in (("day", results), ("calm", live(world.calm())))
    }
    columns = [(name, policy) for name in found for policy in POLICIES]
    print(f"{'':42}", *(f"{name + ', ' + policy:>12}" for name, policy in columns))
    for figure in found["day"]["draw"]:
        print(f"{figure:42}", *(f"{found[name][policy][figure]:>12.8g}" for name, policy in columns))
    if args.svg is not None:
        args.svg.write_text(Plot(world, results).draw(), "utf-8")
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if args.page is not None:
        before = None if args.before is None else json.loads(args.before.read_text("utf-8"))
        args.page.write_text(filled(args.page.read_text("utf-8"), sections(found, before)), "utf-8")


if __name__ == "__main__":
    main()
