"""The query parameters of `GET /models`: which models are listed, in which order, on which page. Pure.

A filter on a fact that is not known of a model (its price, its release date, a benchmark) leaves the model out. A sort
by a fact keeps models of which it is not known last, in the order of the catalog.

Sources: OpenRouter's OpenAPI document, `GET /models`; Anthropic, "List Models" (`after_id`, `before_id`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from trunkline.catalog.response_bodies import (
    INPUT_MODALITIES,
    OUTPUT_MODALITIES,
    PUBLIC_PARAMETERS,
    StatsSource,
    architecture,
    model_object,
)
from trunkline.dialects.common.json_input import printable
from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.errors import InvalidRequest

DEFAULT_LIMIT: Final = 500
MAX_LIMIT: Final = 1000
MAX_TEXT: Final = 1024
"""Characters of one parameter."""
CATEGORIES: Final = (
    "programming", "roleplay", "marketing", "marketing/seo", "technology", "science", "translation", "legal",
    "finance", "health", "trivia", "academia",
)  # fmt: skip
SORTS: Final = (
    "most-popular", "newest", "top-weekly", "pricing-low-to-high", "pricing-high-to-low", "context-high-to-low",
    "throughput-high-to-low", "latency-low-to-high", "intelligence-high-to-low", "coding-high-to-low",
    "agentic-high-to-low", "design-arena-elo-high-to-low",
)  # fmt: skip
UNKNOWN_FACTS: Final = (
    "min_intelligence_index", "max_intelligence_index", "min_coding_index", "max_coding_index", "min_agentic_index",
    "max_agentic_index", "min_tool_success_rate", "max_tool_success_rate",
)  # fmt: skip
"""Bounds on facts that are known of no model."""
_DAY_S: Final = 86_400

Test = Callable[[Model], bool]


class Page(Struct, frozen=True):
    """Entries of one page. `next_offset` is None on the last page; `has_more` is for Anthropic's clients."""

    entries: list[dict[str, Any]]
    total: int
    next_offset: int | None
    has_more: bool


def list_models(
    models: Iterable[Model], query: Mapping[str, str], *, now: float, stats: StatsSource, base: str
) -> Page:
    """The page of *models* that *query* asks for.

    Args:
        models: the catalog's, in its order. Hidden ones are left out.
        query: the parameters of the request.
        now: Unix seconds.
        stats: the measurements of an endpoint.
        base: the beginning of links, such as `/api/v1`.

    Raises:
        InvalidRequest: a parameter has an invalid value; `param` names it.
    """
    tests = list(_tests(query, now))
    found = [model for model in models if not model.hidden and all(test(model) for test in tests)]
    found = _sorted(found, _choice(query, "sort", SORTS), stats)
    return _page([entry for model in found for entry in _entries(model, base)], query)


def count_models(models: Iterable[Model], query: Mapping[str, str]) -> int:
    """How many entries a list of *models* with the output modalities of *query* has.

    Raises:
        InvalidRequest: a parameter has an invalid value; `param` names it.
    """
    test = _output_test(query)
    return sum(1 + len(model.aliases) for model in models if not model.hidden and test(model))


def _entries(model: Model, base: str) -> Iterable[dict[str, Any]]:
    """The entry of *model*, and one for each of its aliases."""
    entry = model_object(model, base=base)
    yield entry
    for alias in model.aliases:
        yield {**entry, "id": alias}


def _tests(query: Mapping[str, str], now: float) -> Iterable[Test]:
    """What a model must pass."""
    yield _output_test(query)
    if "category" in query:
        _choice(query, "category", CATEGORIES)
        yield _never
    for name in UNKNOWN_FACTS:
        if _number(query, name) is not None:
            yield _never
    if words := _words(query, "supported_parameters", PUBLIC_PARAMETERS):
        yield lambda model: all(any(word in one.parameters for one in model.endpoints) for word in words)
    if kinds := _words(query, "input_modalities", INPUT_MODALITIES):
        yield lambda model: kinds <= set(architecture(model)["input_modalities"])
    if text := _text(query, "q").lower():
        yield lambda model: text in model.id.lower() or text in model.name.lower()
    if family := _text(query, "arch").lower():
        yield lambda model: architecture(model)["tokenizer"].lower().startswith(family)
    if authors := _words(query, "model_authors"):
        yield lambda model: model.id.partition("/")[0].lower() in authors
    if names := _words(query, "providers"):
        yield _with_endpoint(lambda one: one.provider.lower() in names or one.provider_name.lower() in names)
    if "zdr" in query:
        _choice(query, "zdr", ("true",))
        yield _with_endpoint(lambda one: one.data_policy.zdr is True)
    if region := _choice(query, "region", ("eu", "us")):
        yield _with_endpoint(lambda one: one.region is not None and one.region.lower().startswith(region))
    if wanted := _choice(query, "distillable", ("true", "false")):
        yield lambda model: model.distillable is (wanted == "true")
    yield from _bounds(query, now)


def _bounds(query: Mapping[str, str], now: float) -> Iterable[Test]:
    """What a model's numbers must pass."""
    facts: tuple[tuple[str, str, Callable[[Model], float | None]], ...] = (
        ("context", "", _context),
        ("min_price", "max_price", lambda model: _usd(model, "prompt")),
        ("min_output_price", "max_output_price", lambda model: _usd(model, "completion")),
        ("min_age_days", "max_age_days", lambda model: (now - model.created) / _DAY_S if model.created else None),
    )
    for least_name, most_name, fact in facts:
        least, most = _number(query, least_name), _number(query, most_name)
        if least is not None or most is not None:
            yield _between(fact, least, most)


def _between(fact: Callable[[Model], float | None], least: float | None, most: float | None) -> Test:
    def test(model: Model) -> bool:
        found = fact(model)
        return found is not None and (least is None or found >= least) and (most is None or found <= most)

    return test


def _never(model: Model) -> bool:
    del model
    return False


def _with_endpoint(wanted: Callable[[Endpoint], bool]) -> Test:
    return lambda model: any(wanted(one) for one in model.endpoints)


def _output_test(query: Mapping[str, str]) -> Test:
    """By default, models that write text."""
    kinds = _words(query, "output_modalities", (*OUTPUT_MODALITIES, "all")) or {"text"}
    if "all" in kinds:
        return lambda _: True
    return lambda model: not model.endpoints or any(kinds & one.output for one in model.endpoints)


def _context(model: Model) -> float | None:
    return model.context_length or (model.endpoints[0].context_length if model.endpoints else None)


def _usd(model: Model, part: str) -> float | None:
    """A price of the first endpoint, in USD per million tokens."""
    pico = getattr(model.endpoints[0].price, part) if model.endpoints else None
    return None if pico is None else pico / 1e6


def _sorted(models: list[Model], sort: str | None, stats: StatsSource) -> list[Model]:
    """*models* in the order that *sort* names; those without the fact last."""

    def average(model: Model) -> float | None:
        prompt, completion = _usd(model, "prompt"), _usd(model, "completion")
        return None if prompt is None or completion is None else (prompt + completion) / 2

    def measured(name: str, best: Callable[[Iterable[float]], float]) -> Callable[[Model], float | None]:
        def fact(model: Model) -> float | None:
            found = [getattr(stats(one), name) for one in model.endpoints]
            values = [one.p50 for one in found if one is not None]
            return best(values) if values else None

        return fact

    facts: dict[str, tuple[Callable[[Model], float | None], bool]] = {
        "newest": (lambda model: model.created or None, True),
        "pricing-low-to-high": (average, False),
        "pricing-high-to-low": (average, True),
        "context-high-to-low": (_context, True),
        "throughput-high-to-low": (measured("throughput", max), True),
        "latency-low-to-high": (measured("latency", min), False),
    }
    if sort not in facts:
        return models
    fact, falling = facts[sort]
    known = [(found, model) for model in models if (found := fact(model)) is not None]
    known.sort(key=lambda one: one[0], reverse=falling)
    ordered = [model for _, model in known]
    return [*ordered, *(model for model in models if fact(model) is None)]


def _page(entries: list[dict[str, Any]], query: Mapping[str, str]) -> Page:
    """The page that `offset` and `limit`, or `after_id` and `before_id`, ask for; without any, everything."""
    offset, limit = _whole(query, "offset", 0, 2**31), _whole(query, "limit", 1, MAX_LIMIT)
    ids = [entry["id"] for entry in entries]
    first, last = 0, len(entries)
    if "after_id" in query:
        first = _position(ids, query, "after_id") + 1
    elif offset is not None:
        first = min(offset, last)
    if "before_id" in query:
        last = _position(ids, query, "before_id")
        if limit is not None:
            first = max(first, last - limit)
        return Page(entries[first:last], len(entries), None, first > 0)
    if offset is not None or limit is not None or "after_id" in query:
        last = min(last, first + (limit or DEFAULT_LIMIT))
    more = last < len(entries)
    return Page(entries[first:last], len(entries), last if more else None, more)


def _position(ids: Sequence[str], query: Mapping[str, str], name: str) -> int:
    if query[name] not in ids:
        raise InvalidRequest(f"{name}: no model {printable(query[name])}", param=name)
    return ids.index(query[name])


# Values of parameters.


def _text(query: Mapping[str, str], name: str) -> str:
    said = query.get(name, "").strip()
    if len(said) > MAX_TEXT:
        raise InvalidRequest(f"{name}: longer than {MAX_TEXT} characters", param=name)
    return said


def _words(query: Mapping[str, str], name: str, known: Sequence[str] | None = None) -> set[str]:
    """The comma-separated words of a parameter, in lower case."""
    words = {word.strip().lower() for word in _text(query, name).split(",")} - {""}
    for word in sorted(words):
        if known is not None and word not in known:
            raise InvalidRequest(f"{name}: {printable(word)} is none of {', '.join(known)}", param=name)
    return words


def _choice(query: Mapping[str, str], name: str, known: Sequence[str]) -> str | None:
    said = _text(query, name)
    if said and said not in known:
        raise InvalidRequest(f"{name}: {printable(said)} is none of {', '.join(known)}", param=name)
    return said or None


def _number(query: Mapping[str, str], name: str) -> float | None:
    said = _text(query, name)
    if not said or said == "null":
        return None
    try:
        found = float(said)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise InvalidRequest(f"{name}: expected a number that is not negative", param=name)
    return found


def _whole(query: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    said = _text(query, name)
    if not said or said == "null":
        return None
    found = int(said) if said.isascii() and said.isdecimal() and len(said) < 12 else -1
    if not least <= found <= most:
        raise InvalidRequest(f"{name}: expected a whole number from {least} to {most}", param=name)
    return found
