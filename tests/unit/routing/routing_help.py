"""Plans of models made up by tests, in the order of the configuration."""

from collections.abc import Callable, Sequence

from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.preferences import NO_PREFERENCES, Preferences
from trunkline.routing.filters import Wanted, Wishes
from trunkline.routing.plan import Candidates, plan
from trunkline.routing.pool import Pool
from trunkline.routing.statistics import Statistics


def wanted_of(model: Model) -> Wanted:
    return Wanted(pool=Pool(model, lambda _: Statistics()))


def planned(
    models: Sequence[Model],
    preferences: Preferences = NO_PREFERENCES,
    says_all: Callable[[Endpoint], bool] = lambda _: True,
) -> tuple[Candidates, ...]:
    wishes = Wishes(preferences=preferences, says_all=says_all, default_sort="configured")
    return plan([wanted_of(model) for model in models], wishes, draw=lambda: 0.5).candidates
