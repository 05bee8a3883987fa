"""Metrics: counters as plain integers, converted to the Prometheus text format by a scrape.

Names: docs/reference/metrics.md.

Counting is a dictionary look-up and an addition. It needs no label objects, and no locks since one event loop counts
and scrapes. Label values come from the configuration (models, providers) and from our tables (statuses, causes), never
from a request, so their number is bounded. prometheus_client is imported by the first scrape.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

from trunkline.model.record import GenerationRecord

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

FOLD = 32
"""Generations that are counted together: counting each by itself costs three times as much."""
BUCKETS_MS = (25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000)
"""Upper bounds of the histograms of first-token and total time, in milliseconds."""


class _Times:
    __slots__ = ("counts", "sum_ms")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_MS) + 1)
        self.sum_ms = 0

    def add(self, milliseconds: int) -> None:
        self.counts[bisect_left(BUCKETS_MS, milliseconds)] += 1
        self.sum_ms += milliseconds

    def buckets(self) -> list[tuple[str, float]]:
        total, found = 0, []
        for bound, count in zip((*(str(ms / 1000) for ms in BUCKETS_MS), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class _Row:
    """The counters of one model and provider."""

    __slots__ = ("completion", "cost", "first_token", "prompt", "statuses", "total")

    def __init__(self) -> None:
        self.statuses: dict[str, int] = {}
        self.prompt = 0
        self.completion = 0
        self.cost = 0
        self.first_token = _Times()
        self.total = _Times()


class Metrics:
    """All metrics of one process.

    `gauges` and `counters` are further metrics: name, help, and a function that a scrape calls for the value. Those of
    `labelled` have the name of their label too, and a value for each of the label's values.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}
        self._waiting: list[GenerationRecord] = []
        """Finished generations that are not counted yet."""
        self._upstream_errors: dict[tuple[str, str], int] = {}
        self._refused: dict[str, int] = {}
        self._looked_up = {"hit": 0, "miss": 0}
        self.in_flight = 0
        self.gauges: list[tuple[str, str, Callable[[], float]]] = []
        self.counters: list[tuple[str, str, Callable[[], float]]] = []
        self.labelled: list[tuple[str, str, str, Callable[[], Mapping[str, float]]]] = []

    def generation(self, done: GenerationRecord) -> None:
        """Count one finished generation."""
        self._waiting.append(done)
        if len(self._waiting) >= FOLD:
            self._count_waiting()

    def _count_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            self._count(done)

    def _count(self, done: GenerationRecord) -> None:
        key = (done.model, done.provider or "")
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
        row.statuses[done.status] = row.statuses.get(done.status, 0) + 1
        row.prompt += done.usage.prompt
        row.completion += done.usage.completion
        row.cost += done.cost
        row.total.add(done.total_ms)
        if done.first_token_ms is not None:
            row.first_token.add(done.first_token_ms)

    def upstream_error(self, provider: str, cause: str) -> None:
        """Count one failed attempt: *cause* is the error's class name."""
        key = (provider, cause)
        self._upstream_errors[key] = self._upstream_errors.get(key, 0) + 1

    def refused(self, error_type: str) -> None:
        """Count one request that was refused with *error_type*."""
        self._refused[error_type] = self._refused.get(error_type, 0) + 1

    def looked_up(self, *, hit: bool) -> None:
        """Count one look-up in the response cache."""
        self._looked_up["hit" if hit else "miss"] += 1

    def text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(cast("Collector", self))  # it is one by its method `collect`
        return generate_latest(registry)

    def collect(self) -> "Iterator[Metric]":
        """Yield every metric; `prometheus_client` calls it at a scrape."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        self._count_waiting()
        labels = ["model", "provider"]
        requests = CounterMetricFamily("trunkline_requests", "Generations by outcome.", labels=[*labels, "status"])
        tokens = CounterMetricFamily("trunkline_tokens", "Tokens by direction.", labels=[*labels, "direction"])
        cost = CounterMetricFamily("trunkline_cost_usd", "What keys were charged, in USD.", labels=labels)
        first = HistogramMetricFamily("trunkline_first_token_seconds", "Time to the first content.", labels=labels)
        total = HistogramMetricFamily("trunkline_duration_seconds", "Time to the answer's end.", labels=labels)
        for key, row in self._rows.items():
            for status, count in row.statuses.items():
                requests.add_metric([*key, status], count)
            tokens.add_metric([*key, "prompt"], row.prompt)
            tokens.add_metric([*key, "completion"], row.completion)
            cost.add_metric(list(key), row.cost / 1e12)
            first.add_metric(list(key), row.first_token.buckets(), sum_value=row.first_token.sum_ms / 1000)
            total.add_metric(list(key), row.total.buckets(), sum_value=row.total.sum_ms / 1000)
        errors = CounterMetricFamily(
            "trunkline_upstream_errors", "Failed attempts by kind.", labels=["provider", "kind"]
        )
        for pair, count in self._upstream_errors.items():
            errors.add_metric(list(pair), count)
        refused = CounterMetricFamily("trunkline_refused", "Requests that were not accepted.", labels=["error_type"])
        for kind, count in self._refused.items():
            refused.add_metric([kind], count)
        cached = CounterMetricFamily(
            "trunkline_response_cache", "Requests that asked the response cache.", labels=["result"]
        )
        for result, count in self._looked_up.items():
            cached.add_metric([result], count)
        yield from (requests, tokens, cost, first, total, errors, refused, cached)
        yield GaugeMetricFamily("trunkline_in_flight", "Generations under way.", value=self.in_flight)
        for name, text, value in self.gauges:
            yield GaugeMetricFamily(name, text, value=value())
        for name, text, value in self.counters:
            yield CounterMetricFamily(name, text, value=value())
        for name, text, label, values in self.labelled:
            family = CounterMetricFamily(name, text, labels=[label])
            for each, number in values().items():
                family.add_metric([each], number)
            yield family
