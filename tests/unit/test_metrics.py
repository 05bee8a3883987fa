"""Counters in Prometheus' form."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from trunkline.model.record import GenerationRecord
from trunkline.model.usage import Usage
from trunkline.observe.metrics import BUCKETS_MS, Metrics

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(metrics: Metrics) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def generation(**more: Any) -> GenerationRecord:
    fields: dict[str, Any] = {
        "id": "gen-1",
        "created": 0.0,
        "key_id": "k",
        "status": "completed",
        "api_type": "chat",
        "model": "acme/small",
        "requested": "acme/small",
        "provider": "Acme",
        "usage": Usage(prompt=10, completion=5),
        "cost": 250_000_000,
        "first_token_ms": 40,
        "total_ms": 900,
    }
    return GenerationRecord(**(fields | more))


def test_nothing_yet() -> None:
    found = samples(Metrics())
    results = [("trunkline_response_cache_total", frozenset({("result", result)})) for result in ("hit", "miss")]
    assert found == dict.fromkeys([("trunkline_in_flight", frozenset()), *results], 0)


def test_what_is_counted() -> None:
    metrics = Metrics()
    metrics.generation(generation())
    metrics.generation(generation(total_ms=1500, first_token_ms=None))
    metrics.generation(generation(status="failed", provider=None, usage=Usage(), cost=0, first_token_ms=None))
    metrics.upstream_error("acme", "UpstreamTimeout")
    metrics.upstream_error("acme", "UpstreamTimeout")
    metrics.refused("rate_limit_exceeded")
    metrics.in_flight = 3
    found = samples(metrics)
    acme = {"model": "acme/small", "provider": "Acme"}
    assert value(found, "trunkline_requests_total", **acme, status="completed") == 2
    assert value(found, "trunkline_requests_total", model="acme/small", provider="", status="failed") == 1
    assert value(found, "trunkline_tokens_total", **acme, direction="prompt") == 20
    assert value(found, "trunkline_tokens_total", **acme, direction="completion") == 10
    assert value(found, "trunkline_cost_usd_total", **acme) == 0.0005
    assert value(found, "trunkline_first_token_seconds_count", **acme) == 1
    assert value(found, "trunkline_first_token_seconds_sum", **acme) == 0.04
    assert value(found, "trunkline_duration_seconds_count", **acme) == 2
    assert value(found, "trunkline_duration_seconds_sum", **acme) == 2.4
    assert value(found, "trunkline_duration_seconds_bucket", **acme, le="0.5") == 0
    assert value(found, "trunkline_duration_seconds_bucket", **acme, le="1.0") == 1
    assert value(found, "trunkline_duration_seconds_bucket", **acme, le="2.5") == 2
    assert value(found, "trunkline_duration_seconds_bucket", **acme, le="+Inf") == 2
    assert value(found, "trunkline_upstream_errors_total", provider="acme", kind="UpstreamTimeout") == 2
    assert value(found, "trunkline_refused_total", error_type="rate_limit_exceeded") == 1
    assert value(found, "trunkline_in_flight") == 3


@given(times=st.lists(st.integers(0, 400_000), max_size=20))
def test_buckets_are_cumulative_and_hold_their_bound(times: list[int]) -> None:
    metrics = Metrics()
    for milliseconds in [0, *times]:
        metrics.generation(generation(total_ms=milliseconds))
    found = samples(metrics)
    for bound in BUCKETS_MS:
        counted = value(
            found, "trunkline_duration_seconds_bucket", model="acme/small", provider="Acme", le=str(bound / 1000)
        )
        assert counted == sum(milliseconds <= bound for milliseconds in [0, *times])


def test_gauges_are_asked_at_each_scrape() -> None:
    metrics = Metrics()
    readings = iter([1.0, 2.5])
    metrics.gauges.append(("trunkline_open_connections", "Connections.", lambda: next(readings)))
    assert value(samples(metrics), "trunkline_open_connections") == 1
    assert value(samples(metrics), "trunkline_open_connections") == 2.5


@given(names=st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_any_name_is_one_label(names: list[str]) -> None:
    r"""Quotes, newlines and backslashes end no label: a name in the configuration may have them."""
    metrics = Metrics()
    names = [name.replace("\r", "").replace("\x00", "") for name in names]
    for name in names:
        metrics.generation(generation(model=name))
    text = metrics.text().decode()
    rows = {key for key in metrics._rows if key[1] == "Acme"}
    assert len(rows) == len(set(names))
    assert text.count("trunkline_cost_usd_total{") == len(rows)


def test_the_number_of_series_does_not_grow_with_requests() -> None:
    metrics = Metrics()

    def call(number: int) -> None:
        more = {"id": f"gen-{number}", "key_id": str(number), "requested": f"typo-{number}", "user": str(number)}
        metrics.generation(generation(**more, total_ms=number, upstream_id=str(number), error=str(number)))
        metrics.upstream_error("acme", "UpstreamFailed")
        metrics.refused("invalid_request")

    call(1)
    before = len(samples(metrics))
    for number in range(200):
        call(number)
    assert len(samples(metrics)) == before


def test_what_is_documented_by_the_text() -> None:
    metrics = Metrics()
    metrics.generation(generation())
    for family in text_string_to_metric_families(metrics.text().decode()):
        assert family.name.startswith("trunkline_")
        assert family.documentation.endswith(".")
