"""The configuration's `routing` block, and what keys may say of the same."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from trunkline.model.policy import Policy

Names = tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...]


class PolicySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ceiling on who may serve requests: what a request asks for narrows it and never widens it."""

    only: Names | None = None
    """Providers or endpoints (slugs, names, tags) that alone may be used."""
    ignore: Names = ()
    """Providers or endpoints that may not be used."""
    regions: Names | None = None
    """Regions in which prompts may be processed; an endpoint whose region is not known is in none."""
    models: Names | None = None
    """Models that alone may be used: ids, or patterns such as `acme/*`."""
    zdr: bool = False
    """Endpoints alone that keep nothing."""
    data_collection: Literal["allow", "deny"] = "allow"
    """`deny`: endpoints alone that are known not to train on prompts."""

    def policy(self, whose: str) -> Policy | None:
        """For routing; None where it says nothing."""
        if self == PolicySettings():
            return None
        return Policy(
            scope=whose,
            only=None if self.only is None else _lower(self.only),
            ignore=_lower(self.ignore),
            regions=None if self.regions is None else _lower(self.regions),
            models=self.models,
            zdr=self.zdr,
            private=self.data_collection == "deny",
        )


def _lower(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


class RoutingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How endpoints are chosen, where a request does not say."""

    default_model: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """The model of requests that name none; without it they are refused."""
    default_sort: Literal["price", "throughput", "latency", "exacto", "configured"] | None = None
    """What endpoints are sorted by; `configured` is the order of this file. Default: those without recent trouble by a
    draw in which a price twice as high is a quarter as likely, then the rest by price."""
    policy: PolicySettings = PolicySettings()
    """For the requests of all keys."""
    max_attempts: Annotated[int, Meta(ge=1, le=20)] = 3
    """Endpoints of one model that are asked before the next model is."""
    sticky: bool = True
    """Whether a conversation stays where its prompt cache is."""
    probe_s: Annotated[float, Meta(ge=0)] = 10.0
    """How often a provider in trouble is asked for its model list, which costs nothing, to see whether it answers
    again, in seconds; 0 is never."""
    hedge_after_s: Annotated[float, Meta(gt=0)] | None = None
    """After so many seconds without the beginning of an answer the next endpoint is asked too, and the first that
    begins answers. The other call may be billed all the same. Default: never."""
