"""Which endpoints may serve a call, and in which order they are tried.

A plan is a list of models, each with its endpoints in order: those of the first model come first, the next model is a
fallback for all of them. What is honoured of the `provider` object today is what would otherwise break a promise to
the caller (who may see the prompt, who may be asked, what it may cost); sorting by price and speed has its place in
`_ordered`. Source: openrouter-semantics §3–§5.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from msgspec import Struct

from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.errors import InvalidRequest, NoEndpoint
from trunkline.model.preferences import NO_PREFERENCES, MaxPrice, Preferences


class Candidates(Struct, frozen=True):
    """One model of a plan, and its endpoints in the order in which they are tried."""

    model: Model
    endpoints: tuple[Endpoint, ...]


Plan: TypeAlias = tuple[Candidates, ...]
Filter: TypeAlias = tuple[str, Callable[[Endpoint], bool]]
"""What the caller asked for, as it is named in errors; and whether an endpoint will do."""


def plan(
    models: Sequence[Model],
    preferences: Preferences = NO_PREFERENCES,
    says_all: Callable[[Endpoint], bool] = lambda _: True,
) -> Plan:
    """The endpoints of *models* that *preferences* allow, in order.

    *says_all* tells whether an endpoint takes all of the request, for `require_parameters`; it is asked last, and only
    where that is set.

    Raises:
        NoEndpoint: none is left; it says which filter took how many.
        InvalidRequest: a price that is no number.
    """
    if preferences is NO_PREFERENCES:
        every = tuple(Candidates(model, model.endpoints) for model in models if model.endpoints)
        if not every:
            raise _nothing_left(models, {})
        return every
    filters = _filters(preferences)
    if preferences.require_parameters:
        filters.append(("require_parameters", says_all))
    removed: dict[str, list[Endpoint]] = {}
    found: list[Candidates] = []
    for model in models:
        left = model.endpoints
        for name, passes in filters:
            gone = [endpoint for endpoint in left if not passes(endpoint)]
            if gone:
                removed.setdefault(name, []).extend(gone)
                left = tuple(endpoint for endpoint in left if passes(endpoint))
        if left:
            found.append(Candidates(model, _ordered(left, preferences)))
    if not found:
        raise _nothing_left(models, removed)
    return tuple(found)


def _filters(wanted: Preferences) -> list[Filter]:
    filters: list[Filter] = []
    if wanted.only is not None:
        only = _names(wanted.only)
        filters.append(("only", lambda endpoint: _named(endpoint, only)))
    if wanted.ignore:
        ignore = _names(wanted.ignore)
        filters.append(("ignore", lambda endpoint: not _named(endpoint, ignore)))
    if wanted.allow_fallbacks is False and wanted.order:
        order = _names(wanted.order)
        filters.append(("order", lambda endpoint: _named(endpoint, order)))
    if wanted.zdr:
        filters.append(("zdr", lambda endpoint: endpoint.data_policy.zdr is True))
    if wanted.data_collection == "deny":
        filters.append(("data_collection", lambda endpoint: endpoint.data_policy.training is False))
    if wanted.quantizations:
        allowed = frozenset(wanted.quantizations)
        filters.append(("quantizations", lambda endpoint: endpoint.quantization in allowed))
    if wanted.max_price is not None:
        filters += _price_filters(wanted.max_price)
    return filters


def _price_filters(ceiling: MaxPrice) -> list[Filter]:
    """Prices per million tokens against prices in pico-dollars per token: a factor of a million."""
    filters: list[Filter] = []
    for field in ("prompt", "completion", "request", "image"):
        given = getattr(ceiling, field)
        if given is None:
            continue
        try:
            most = Decimal(str(given)) * (10**12 if field in ("request", "image") else 10**6)
            if not most.is_finite():
                raise InvalidOperation
        except ArithmeticError as error:
            raise InvalidRequest(
                f"provider.max_price.{field}: not a number", param=f"provider.max_price.{field}"
            ) from error
        filters.append(("max_price", _below(field, most)))
    return filters


def _below(field: str, most: Decimal) -> Callable[[Endpoint], bool]:
    def passes(endpoint: Endpoint) -> bool:
        price = getattr(endpoint.price, field)
        return price is not None and price <= most

    return passes


def _names(given: Sequence[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in given)


def _named(endpoint: Endpoint, names: frozenset[str]) -> bool:
    """Whether *names* (lower case) holds the endpoint's tag, its provider's slug or its display name."""
    return (
        endpoint.tag.lower() in names or endpoint.provider.lower() in names or endpoint.provider_name.lower() in names
    )


def _ordered(endpoints: tuple[Endpoint, ...], wanted: Preferences) -> tuple[Endpoint, ...]:
    """Those that `order` names first, as it names them; the rest as configured."""
    ordered: list[Endpoint] = []
    for name in wanted.order or ():
        names = frozenset({name.lower()})
        ordered += [endpoint for endpoint in endpoints if endpoint not in ordered and _named(endpoint, names)]
    ordered += [endpoint for endpoint in endpoints if endpoint not in ordered]
    if wanted.allow_fallbacks is False and not wanted.order:
        ordered = ordered[:1]
    return tuple(ordered)


def _nothing_left(models: Sequence[Model], removed: dict[str, list[Endpoint]]) -> NoEndpoint:
    told = ", ".join(
        f"{len(gone)} removed by {name} ({', '.join(sorted({endpoint.provider_name for endpoint in gone}))})"
        for name, gone in removed.items()
    )
    ids = [model.id for model in models]
    excluded = {"zdr": "data_policy:zdr", "data_collection": "data_policy:training", "only": "allowed_providers",
                "order": "allowed_providers", "quantizations": "quantization"}  # fmt: skip
    return NoEndpoint(
        f"no endpoint for {', '.join(repr(id_) for id_ in ids)}: {told or 'none is configured'}",
        availability={
            "code": "constraint_filtered" if removed else "no_endpoints",
            "retryable": False,
            "requested_models": ids,
            "excluded_by": [excluded.get(name, name) for name in removed],
            "docs_url": "",
        },
    )
