"""Settings: the configuration's `routing` block, and the policy of a key."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from trunkline.model.policy import Policy

Names = tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...]


class PolicySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A restriction of the endpoints that may serve requests. Requests can narrow it but not widen it."""

    only: Names | None = None
    """Only these providers or endpoints (slugs, names, tags) may be used."""
    ignore: Names = ()
    """These providers or endpoints may not be used."""
    regions: Names | None = None
    """Prompts may be processed only in these regions. Endpoints of unknown region are excluded."""
    models: Names | None = None
    """Only these models may be used: ids, or patterns such as `acme/*`."""
    zdr: bool = False
    """Only endpoints with zero data retention."""
    data_collection: Literal["allow", "deny"] = "allow"
    """`deny`: only endpoints that are known not to train on prompts."""

    def policy(self, whose: str) -> Policy | None:
        """Convert to a routing policy; None where nothing is restricted."""
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
    """How endpoints are selected where a request has no preference."""

    default_model: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """The model of requests without a model; without it, they are refused."""
    default_sort: Literal["price", "throughput", "latency", "exacto", "configured"] | None = None
    """The sort key of endpoints; `configured` is the order of this file. Default: first the endpoints without recent
    failures, by a weighted random draw in which twice the price means a quarter of the probability, then the others by
    price."""
    policy: PolicySettings = PolicySettings()
    """The policy for requests of all keys."""
    max_attempts: Annotated[int, Meta(ge=1, le=20)] = 3
    """The maximum number of endpoints of one model that are tried before the next model."""
    sticky: bool = True
    """Whether a conversation is routed to the endpoint that has its prompt cache."""
    probe_s: Annotated[float, Meta(ge=0)] = 10.0
    """The interval in seconds in which the model list of a failing provider is requested, which is free, to detect its
    recovery; 0 disables it."""
    hedge_after_s: Annotated[float, Meta(gt=0)] | None = None
    """After this many seconds without the start of a response, the next endpoint is called too, and the response that
    starts first is used. The other call may still be billed. Default: never."""
