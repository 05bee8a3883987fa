"""Plans of models made up by tests, in the order of the configuration."""

from collections.abc import Callable, Sequence

from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.preferences import NO_PREFERENCES, Preferences
from trunkline.routing.endpoint_pool import EndpointPool
from trunkline.routing.filters import Criteria, RequestedModel
from trunkline.routing.plan import Candidates, make_plan
from trunkline.routing.statistics import Statistics


def wanted_of(model: Model) -> RequestedModel:
    return RequestedModel(pool=EndpointPool(model, lambda _: Statistics()))


def planned(
    models: Sequence[Model],
    preferences: Preferences = NO_PREFERENCES,
    says_all: Callable[[Endpoint], bool] = lambda _: True,
) -> tuple[Candidates, ...]:
    wishes = Criteria(preferences=preferences, is_expressible=says_all, default_sort="configured")
    return make_plan([wanted_of(model) for model in models], wishes, draw=lambda: 0.5).candidates
