"""Choosing endpoints while the gateway runs: the catalog's pools, what is known of them, where conversations were.

`routing` decides; this hands it what it needs, and hears what came of it.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct

from trunkline.catalog.catalog import Catalog
from trunkline.catalog.model_names import ResolvedModel
from trunkline.dialects.common.json_input import printable
from trunkline.dialects.common.token_estimate import request_tokens
from trunkline.dialects.interfaces import Call, Client
from trunkline.engine.credentials import Credentials
from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.errors import InvalidRequest, TrunklineError, UnknownModel, UpstreamLimited
from trunkline.model.key import Key
from trunkline.model.policy import Policy
from trunkline.model.preferences import NO_PREFERENCES, Preferences, Sort
from trunkline.model.replica_events import AttemptEnded, EndpointRecovered, ReplicaEvent, StickyRouteSet
from trunkline.model.usage import Usage
from trunkline.routing.config import RoutingSettings
from trunkline.routing.endpoint_pool import EndpointPool, has_cache_discount
from trunkline.routing.filters import FLEX, NO_CRITERIA, PRIORITY, Criteria, RequestedModel
from trunkline.routing.order import MIN_PROVIDERS, Draw
from trunkline.routing.plan import Plan, make_plan
from trunkline.routing.requirements import NO_REQUIREMENTS, Requirements, requirements_of
from trunkline.routing.statistics import Statistics
from trunkline.routing.sticky_routing import Conversations, conversation_digest, sticky_ttl_s

BYTES_PER_TOKEN = 3
"""Of a body: fewer than prose has, so that what is sure to fit is not looked at twice."""
MAX_NAMES = 10_000
"""Spellings of models' names, suffixes and all, whose route is kept."""
SORTS = {"nitro": "throughput", "floor": "price", "exacto": "exacto"}
SUFFIX_TIERS = {"nitro": PRIORITY, "floor": FLEX}
_TIERS = {"fast": PRIORITY, "priority": PRIORITY, "flex": FLEX}
_SHAPES = {"chat": ("tools", "response_format", "verbosity"), "messages": ("tools", "output_config", "output_format"),
           "responses": ("tools", "text")}  # fmt: skip
"""A client dialect → the fields that may ask for one of `SOFT`."""
_MEDIA = re.compile(rb'"type"\s*:\s*"(?:input_)?(?:image|audio|file|document|video)')
"""What every part with something else than text has, and little beside it."""
_PROMPT = ("messages", "input", "system", "instructions")
_MARK = rb'"(?:cache_control|prompt_cache_breakpoint)"\s*:\s*(?:\{[^{}]*\}|null|true)'
_MARKS = re.compile(rb"(?<=\{)\s*" + _MARK + rb"\s*,?|,\s*" + _MARK)
"""What may be cached, on a part of a message: clients move it on from turn to turn."""


class _Turn(Struct, gc=False):
    """As much of a message as tells conversations apart."""

    role: str = ""


_MESSAGES = msgspec.json.Decoder(list[Raw])
_TURN = msgspec.json.Decoder(_Turn)


class Route(Struct, frozen=True, kw_only=True, gc=False):
    """A plan and what it was made for. `conversation` is what the client's is known by, None where nothing is kept."""

    plan: Plan
    named: tuple[ResolvedModel, ...]
    conversation: bytes | None = None
    told: bool = False
    """The client named its session, so that it stays whatever the cache did."""
    requested: str = ""

    @property
    def strategy(self) -> str:
        """How the first model was found, in the words of `openrouter_metadata`."""
        return "free" if "free" in self.named[0].suffixes else self.named[0].strategy


class StatisticsByName(dict[str, Statistics]):
    """By an endpoint's name; made when first asked for."""

    def __missing__(self, name: str) -> Statistics:
        found = self[name] = Statistics()
        return found


class Memory(Struct, frozen=True, kw_only=True):
    """What outlives a reload of the configuration."""

    statistics: StatisticsByName
    conversations: Conversations


def memory() -> Memory:
    """With nothing in it."""
    return Memory(statistics=StatisticsByName(), conversations=Conversations())


class Router:
    """Routes requests over *catalog*. *monotonic* gives seconds, *draw* uniform numbers; *tell* is told every fact."""

    def __init__(
        self,
        catalog: Catalog,
        settings: RoutingSettings,
        *,
        memory: Memory,
        credentials: Credentials,
        monotonic: Callable[[], float],
        draw: Draw,
        publish: Callable[[ReplicaEvent], None] | None = None,
    ) -> None:
        self.catalog = catalog
        self.settings = settings
        self._memory = memory
        self._credentials = credentials
        self._monotonic = monotonic
        self._draw = draw
        self._publish = publish
        self._policy = settings.policy.policy("account")
        self.pools: dict[str, EndpointPool] = {
            model.id: EndpointPool(model, lambda endpoint: memory.statistics[endpoint.name]) for model in catalog.models
        }
        self._requested_models: dict[ResolvedModel, RequestedModel] = {}
        self._only: dict[str, tuple[tuple[RequestedModel, ...], Route]] = {}
        """A name as clients say it → the route of a call that asks for nothing else, where there is one endpoint."""

    # Who is asked.

    def route(
        self,
        client: Client,
        call: Call,
        key: Key,
        *,
        body_bytes: int,
        session_id: str | None = None,
        is_expressible: Callable[[Endpoint], bool] | None = None,
    ) -> Route:
        """Who is asked for *call*, in which order.

        Raises:
            InvalidRequest: no model is named, or a preference is not what it should be.
            UnknownModel: a name that is not in the catalog.
            NoEndpoint: every endpoint was ruled out; it says by what.
        """
        if not call.models and (only := self._only.get(call.model or "")) is not None:
            wanted, route = only
            if self._criteria(client, call, key, wanted, body_bytes, is_expressible) is NO_CRITERIA:
                return route
        named = self.named(call)
        wanted = tuple([self._requested_model(one) for one in named])
        now = self._monotonic()
        several = len(wanted) > 1
        choice = False
        for one in wanted:
            pool = one.pool
            if several or len(pool.slots) > 1:
                choice = True
                pool.refresh(now)
        wishes = self._criteria(client, call, key, wanted, body_bytes, is_expressible)
        conversation: bytes | None = None
        told = False
        before = None
        if choice and self.settings.sticky and any(one.pool.has_cache_discount for one in wanted):
            conversation, told = _conversation(call, session_id)
            if conversation is not None and not wishes.preferences.order:
                before = self._before(key, conversation, now)
        found = make_plan(
            wanted, wishes, draw=self._draw, is_resting=self._rests if choice and self._credentials.resting else None,
            previous_endpoint=before,
        )  # fmt: skip
        route = Route(
            plan=found,
            named=named,
            conversation=conversation,
            told=told,
            requested=call.model or (call.models[0] if call.models else ""),
        )
        if wishes is NO_CRITERIA and not choice and not call.models and call.model and len(self._only) < MAX_NAMES:
            self._only[call.model] = (wanted, route)
        return route

    def begin(self, route: Route) -> None:
        """*route* is going to be carried out."""
        trial = route.plan.trial
        if trial is not None:
            trial.pool.claim_trial(trial)

    def named(self, call: Call) -> tuple[ResolvedModel, ...]:
        """The models that *call* names, in its order. Raises as `route` does."""
        if not call.models and call.model:
            named = self.catalog.resolve(call.model)
            if named is not None:
                return (named,)
        names = [name for name in (call.model, *call.models) if name]
        if not names and self.settings.default_model is not None:
            names = [self.settings.default_model]
        if not names:
            raise InvalidRequest("model: missing", param="model")
        found: list[ResolvedModel] = []
        for name in names:
            named = self.catalog.resolve(name)
            if named is None:
                raise _unknown(name, names, param="model" if name == call.model else "models")
            if all(named.model is not other.model or named.suffixes != other.suffixes for other in found):
                found.append(named)
        return tuple(found)

    def _requested_model(self, named: ResolvedModel) -> RequestedModel:
        found = self._requested_models.get(named)
        if found is None:
            suffixes = named.suffixes
            found = RequestedModel(
                pool=self.pools[named.model.id],
                sort=next((SORTS[suffix] for suffix in reversed(suffixes) if suffix in SORTS), None),
                suffix_tier=next(
                    (SUFFIX_TIERS[suffix] for suffix in reversed(suffixes) if suffix in SUFFIX_TIERS), None
                ),
                free="free" in suffixes,
                extended="extended" in suffixes,
            )
            self._requested_models[named] = found
        return found

    def _criteria(
        self,
        client: Client,
        call: Call,
        key: Key,
        wanted: Sequence[RequestedModel],
        body_bytes: int,
        is_expressible: Callable[[Endpoint], bool] | None,
    ) -> Criteria:
        asks = self._requirements(client, call, wanted, body_bytes)
        preferences = call.preferences
        if "route" in call.envelope:
            preferences = _with_route(preferences, bytes(call.envelope["route"]))
        policies: tuple[Policy, ...] = ()
        if self._policy is not None or key.policy is not None:
            policies = tuple(policy for policy in (self._policy, key.policy) if policy is not None)
        default_sort = self.settings.default_sort
        if asks is NO_REQUIREMENTS and preferences is NO_PREFERENCES and not policies and default_sort is None:
            return NO_CRITERIA
        return Criteria(
            preferences=preferences,
            requirements=asks,
            policies=policies,
            default_sort=default_sort,
            is_expressible=is_expressible or (lambda _: True),
        )

    def _requirements(
        self, client: Client, call: Call, wanted: Sequence[RequestedModel], body_bytes: int
    ) -> Requirements:
        """What *call* asks of endpoints, read as far as any of them could be ruled out by it."""
        envelope = call.envelope
        output = call.max_output or 0
        tools = "tools" in envelope and bytes(envelope["tools"]) not in (b"null", b"[]")
        tier: str | None = None
        matters = False
        for one in wanted:
            pool = one.pool
            changed = call.request
            if changed is not None or _needs_whole_request(
                pool, client.name, envelope, body_bytes // BYTES_PER_TOKEN + output
            ):
                request = changed or client.decode(call)
                return requirements_of(request, tokens=request_tokens(request), tier=_tier(envelope))
            if pool.tiers:
                tier = _tier(envelope)
            matters = matters or bool(
                pool.tiers or output > pool.smallest_max_output or (tools and len(pool.slots) >= MIN_PROVIDERS)
            )
        return Requirements(max_output=call.max_output, tier=tier, tools=tools) if matters else NO_REQUIREMENTS

    def _rests(self, endpoint: Endpoint) -> bool:
        return self._credentials.rests(self.catalog.providers[endpoint.provider], endpoint.upstream_model)

    def _before(self, key: Key, conversation: bytes, now: float) -> Callable[[Model], str | None]:
        conversations = self._memory.conversations
        return lambda model: conversations.find(conversation_digest(key.id, model, conversation), now)

    # What came of it.

    def served(
        self,
        route: Route,
        endpoint: Endpoint,
        call: Call,
        key: Key,
        usage: Usage,
        *,
        latency_s: float | None,
        seconds: float,
        tools: bool | None,
    ) -> None:
        """*endpoint* has answered, the first token after *latency_s* and the last after *seconds*."""
        tokens = usage.completion
        now = self._monotonic()
        self._memory.statistics[endpoint.name].served(
            now, latency_s=latency_s, tokens=tokens, seconds=seconds, tools=tools
        )
        if self._publish is not None:
            self._publish(AttemptEnded(endpoint.name, "served", latency_s, tokens, seconds, tools))
        if (
            route.conversation is not None
            and (route.told or usage.cached or usage.cache_write)
            and has_cache_discount(endpoint)
        ):
            pool = self.pools.get(endpoint.model)
            if pool is None:
                return
            name, length = conversation_digest(key.id, pool.model, route.conversation), sticky_ttl_s(call)
            self._memory.conversations.record(name, endpoint.name, now + length)
            if self._publish is not None:
                self._publish(StickyRouteSet(name, endpoint.name, length))

    def failed(self, endpoint: Endpoint, error: TrunklineError) -> None:
        """An attempt at *endpoint* ended in *error*, which is the provider's."""
        limited = isinstance(error, UpstreamLimited)
        self._failed(endpoint.name, self._monotonic(), limited=limited)
        if self._publish is not None:
            self._publish(AttemptEnded(endpoint.name, "limited" if limited else "failed"))

    def _failed(self, name: str, now: float, *, limited: bool) -> None:
        statistics = self._memory.statistics[name]
        if limited:
            statistics.limited(now)
            return
        statistics.failed(now)
        pool = self.pools.get(name.partition("@")[0])
        if pool is not None:
            pool.invalidate()

    def recovered(self, endpoint: Endpoint) -> None:
        """A probe of *endpoint*'s provider was answered."""
        self._recovered(endpoint.name, self._monotonic())
        if self._publish is not None:
            self._publish(EndpointRecovered(endpoint.name))

    def _recovered(self, name: str, now: float) -> None:
        self._memory.statistics[name].recovered(now)
        pool = self.pools.get(name.partition("@")[0])
        if pool is not None:
            pool.invalidate()

    def troubled(self) -> list[Endpoint]:
        """Endpoints whose state a probe could end."""
        return [
            slot.endpoint for pool in self.pools.values() for slot in pool.slots if slot.statistics.troubled
        ]  # fmt: skip

    def apply_replica_event(self, fact: ReplicaEvent, age_s: float = 0.0) -> None:
        """Another replica has told *fact* so long ago; those of credentials are not for here.

        The seconds of a fact are those that are left.
        """
        then = self._monotonic() - age_s
        match fact:
            case AttemptEnded(endpoint=name, outcome="served"):
                self._memory.statistics[name].served(
                    then,
                    latency_s=fact.latency_s, tokens=fact.tokens, seconds=fact.seconds, tools=fact.tools,
                )  # fmt: skip
            case AttemptEnded(endpoint=name, outcome=outcome):
                self._failed(name, then, limited=outcome == "limited")
            case EndpointRecovered(endpoint=name):
                self._recovered(name, then)
            case StickyRouteSet():
                self._memory.conversations.record(
                    fact.conversation, fact.endpoint, self._monotonic() + fact.seconds
                )  # fmt: skip
            case _:
                pass

    def statistics(self, endpoint: Endpoint) -> Statistics:
        """Of *endpoint*."""
        return self._memory.statistics[endpoint.name]


def _needs_whole_request(pool: EndpointPool, client: str, envelope: dict[str, Raw], tokens: int) -> bool:
    """Whether an endpoint of *pool* may be ruled out by something that only the whole request tells."""
    if tokens > pool.smallest_context or "modalities" in envelope:
        return True
    if not pool.all_support_preferred and any(field in envelope for field in _SHAPES[client]):
        return True
    if pool.any_input == pool.all:
        return False
    return any(_MEDIA.search(bytes(envelope[field])) for field in _PROMPT if field in envelope)


def _unknown(name: str, names: Sequence[str], *, param: str) -> UnknownModel:
    return UnknownModel(
        f"{printable(name)} is not a valid model ID",
        param=param,
        availability={
            "code": "model_not_found",
            "retryable": False,
            "requested_models": [printable(one) for one in names],
            "docs_url": "",
        },
    )


def _tier(envelope: dict[str, Raw]) -> str | None:
    """The service tier that is asked for. `speed: fast` is `priority`; what conflicts with it stands as written."""
    for field in ("service_tier", "speed"):
        said = envelope.get(field)
        if said is not None:
            word = bytes(said).strip(b'"').decode(errors="replace")
            tier = _TIERS.get(word)
            if tier is not None:
                return tier
            if word == "default":
                return word
    return None


def _with_route(preferences: Preferences, route: bytes) -> Preferences:
    """`route`, which is deprecated, as `sort.partition`, where that is not said.

    Source: OpenRouter, "Model fallbacks".
    """
    partition = {b'"fallback"': "model", b'"sort"': "none"}.get(route)
    sort = preferences.sort
    if partition is None or (isinstance(sort, Sort) and sort.partition is not None):
        return preferences
    by = sort.by if isinstance(sort, Sort) else sort
    return msgspec.structs.replace(preferences, sort=Sort(by=by, partition=partition))  # type: ignore[arg-type]


def _conversation(call: Call, session_id: str | None) -> tuple[bytes | None, bool]:
    """What the conversation of *call* is known by, and whether the client said so.

    Source: OpenRouter, "Prompt caching" (sticky routing).
    """
    if session_id:
        return b"s" + session_id.encode(), True
    envelope = call.envelope
    said = envelope.get("prompt_cache_key")
    if said is not None and bytes(said) != b"null":
        return b"k" + bytes(said), False
    hashed = blake2b(digest_size=16)
    for field in ("system", "instructions"):
        if field in envelope:
            hashed.update(_unmarked(bytes(envelope[field])))
    prompt = envelope.get("messages") or envelope.get("input")
    if prompt is None:
        return None, False
    for part in _beginning(bytes(prompt)):
        hashed.update(b"\0")
        hashed.update(_unmarked(part))
    return b"h" + hashed.digest(), False


def _unmarked(part: bytes) -> bytes:
    """*part* of a prompt without the marks of what may be cached."""
    return _MARKS.sub(b"", part) if b'"cache_control"' in part or b'"prompt_cache_breakpoint"' in part else part


def _beginning(prompt: bytes) -> list[bytes]:
    """The first system message and the first that is none."""
    if not prompt.startswith(b"["):
        return [prompt]
    found: dict[bool, bytes] = {}
    for message in _MESSAGES.decode(prompt):
        raw = bytes(message)
        try:
            system = _TURN.decode(raw).role in ("system", "developer")
        except msgspec.DecodeError:  # an odd one: `input` takes what has no role
            system = False
        found.setdefault(system, raw)
        if not system:
            break
    return list(found.values())
