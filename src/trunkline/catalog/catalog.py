"""The catalog: every model and endpoint, built when the configuration loads or a provider's model list is fetched.

A model that several providers serve under one id is one model with several endpoints: first those of the configuration,
in its order, then those of fetched model lists, in the order of the providers. Where the configuration names a provider
and an upstream model, the provider's list fills the fields that the configuration omits, and does not add a second
endpoint.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from trunkline.catalog.config import EndpointSettings, ModelSettings
from trunkline.catalog.model_list_parser import PARAMETERS, ListedModel
from trunkline.catalog.model_names import ModelNames, ResolvedModel
from trunkline.catalog.prices import UNKNOWN, Facts, look_up
from trunkline.model.endpoint import Endpoint, Model, Price
from trunkline.providers.provider import DEMO, Provider

ModelLists = Mapping[str, tuple[ListedModel, ...]]
"""The fetched model lists, by provider slug."""

DEMO_MODEL = "demo/echo"
_DEMO = ListedModel(
    id="echo",
    name="Demo: Echo",
    description="Streams the last user message back. Built in, free, and needs no key of a provider.",
    context_length=128_000,
    price=Price(prompt=0, completion=0, source="configuration"),
    input=frozenset({"text"}),
)


class Catalog:
    """Models by id and alias. Immutable: a new model list makes a new catalog."""

    __slots__ = ("_names", "models", "providers")

    def __init__(self, models: Iterable[Model], providers: Mapping[str, Provider]) -> None:
        self.models: tuple[Model, ...] = tuple(models)
        self.providers: Mapping[str, Provider] = MappingProxyType(dict(providers))
        self._names = ModelNames(self.models)

    def find(self, name: str) -> Model | None:
        """The model that *name* stands for, with or without suffixes; None where there is none."""
        named = self._names.resolve(name)
        return None if named is None else named.model

    def resolve(self, name: str) -> ResolvedModel | None:
        """As `find`, with the strategy and the suffixes of the name."""
        return self._names.resolve(name)


def build_catalog(
    providers: Mapping[str, Provider],
    models: Mapping[str, ModelSettings],
    lists: ModelLists | None = None,
    *,
    now: float,
) -> Catalog:
    """Build the catalog from the configured *models* and the *lists* of *providers*. `demo/echo` is always included.

    *now* is Unix seconds: prices change by date.
    """
    lists = lists or {}
    providers = {**providers, DEMO.slug: DEMO}
    builder = _Builder(providers, lists, now)
    for model_id, settings in models.items():
        builder.add_configured(model_id, settings)
    for slug, provider in providers.items():
        for model in _discovered_models(provider, lists.get(slug, ())):
            builder.add_listed(provider, model)
    return Catalog(builder.models.values(), providers)


def _discovered_models(provider: Provider, said: tuple[ListedModel, ...]) -> tuple[ListedModel, ...]:
    """The models of *provider* that are available without being configured."""
    if provider.slug == DEMO.slug:
        return (_DEMO,)
    if not provider.discover:
        return ()
    return said or tuple(ListedModel(id=name) for name in provider.known_models)


def model_id(provider: Provider, upstream_model: str) -> str:
    """The id of a listed model: its own if it is `author/slug`, else prefixed with the provider's author."""
    name = upstream_model.removeprefix(provider.model_id_prefix) or upstream_model
    return name if name.count("/") == 1 and name[0] != "/" and name[-1] != "/" else f"{_author(provider)}/{name}"


def _author(provider: Provider) -> str:
    return provider.author or provider.slug


def _with_default_tiers(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Set the tier `default` on endpoints without a tier where the same provider has separate endpoints for tiers."""
    tiered = {endpoint.provider for endpoint in endpoints if endpoint.service_tier}
    return tuple(
        replace(endpoint, service_tier="default")
        if endpoint.provider in tiered and endpoint.service_tier is None
        else endpoint
        for endpoint in endpoints
    )


class _Builder:
    """Collects models. A model id that was added before gets further endpoints."""

    def __init__(self, providers: Mapping[str, Provider], lists: ModelLists, now: float) -> None:
        self.models: dict[str, Model] = {}
        self._providers = providers
        self._listed = {(slug, model.id): model for slug, models in lists.items() for model in models}
        self._now = now
        self._configured: set[tuple[str, str]] = set()
        """Provider and upstream model of each configured endpoint."""

    def add_configured(self, model_id: str, settings: ModelSettings) -> None:
        """Add a model of the configuration."""
        endpoints = tuple(self._configured_endpoint(model_id, settings, endpoint) for endpoint in settings.endpoints)
        self.models[model_id] = Model(
            id=model_id,
            name=settings.name or model_id,
            endpoints=_with_default_tiers(endpoints),
            description=settings.description,
            context_length=settings.context_length,
            aliases=settings.aliases,
            created=settings.created,
            distillable=settings.distillable,
            hidden=settings.hidden,
        )

    def add_listed(self, provider: Provider, said: ListedModel) -> None:
        """Add a model of a provider's list, or its endpoint to the existing model."""
        if (provider.slug, said.id) in self._configured:
            return
        name = model_id(provider, said.id)
        model = self.models.get(name)
        if model is None:
            alias = f"{provider.slug}/{name.partition('/')[2]}" if _author(provider) != provider.slug else name
            model = Model(
                id=name,
                name=said.name or name,
                endpoints=(),
                created=said.created,
                description=said.description,
                context_length=said.context_length,
                aliases=(alias,) if alias != name else (),
            )
        elif any(endpoint.tag == provider.slug for endpoint in model.endpoints):
            return  # two upstream ids with the same model id: the first one is used
        endpoint = self._listed_endpoint(model, provider, said)
        self.models[name] = msgspec.structs.replace(
            model,
            endpoints=(*model.endpoints, endpoint),
            context_length=model.context_length or endpoint.context_length,
        )

    def _configured_endpoint(self, model_id: str, model: ModelSettings, settings: EndpointSettings) -> Endpoint:
        provider = self._providers[settings.provider]
        said = self._listed.get((provider.slug, settings.upstream_model))
        if provider.slug == DEMO.slug:
            said = _DEMO
        if provider.slug != DEMO.slug:  # it is also listed under its own name
            self._configured.add((provider.slug, settings.upstream_model))
        price = settings.price.to_price() if settings.price else self._price(provider, settings.upstream_model, said)
        listed = settings.parameters
        return Endpoint(
            model=model_id,
            provider=provider.slug,
            provider_name=provider.name,
            upstream_model=settings.upstream_model,
            dialect=provider.dialect,
            tag=settings.tag
            or (f"{provider.slug}/{settings.service_tier}" if settings.service_tier else provider.slug),
            context_length=settings.context_length or model.context_length or (said.context_length if said else None),
            max_output=settings.max_output or (said.max_output if said else None),
            quantization=settings.quantization,
            price=price,
            parameters=PARAMETERS if listed is None else frozenset(listed),
            input=None if settings.input is None else frozenset(settings.input),
            output=frozenset(settings.output),
            data_policy=provider.data_policy,
            region=settings.region or provider.region or None,
            service_tier=settings.service_tier,
        )

    def _listed_endpoint(self, model: Model, provider: Provider, said: ListedModel) -> Endpoint:
        facts = self._facts(provider, said.id) if said.price is None or said.context_length is None else UNKNOWN
        return Endpoint(
            model=model.id,
            provider=provider.slug,
            provider_name=provider.name,
            upstream_model=said.id,
            dialect=provider.dialect,
            tag=provider.slug,
            context_length=said.context_length or facts.context_length,
            max_output=said.max_output,
            price=said.price or facts.price or Price(),
            parameters=said.parameters,
            input=said.input,
            output=said.output,
            data_policy=provider.data_policy,
            region=provider.region or None,
        )

    def _price(self, provider: Provider, upstream_model: str, said: ListedModel | None) -> Price:
        return (said and said.price) or self._facts(provider, upstream_model).price or Price()

    def _facts(self, provider: Provider, upstream_model: str) -> Facts:
        """Look up the upstream's name, then the name without the provider's prefix."""
        facts = look_up(provider.price_source, upstream_model, self._now)
        if facts is UNKNOWN and provider.model_id_prefix:
            facts = look_up(provider.price_source, upstream_model.removeprefix(provider.model_id_prefix), self._now)
        return facts
