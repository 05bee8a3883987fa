"""`require_parameters`: what a request asks for, and who lacks it."""

import pytest
from routing_help import planned

from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.errors import NoEndpoint
from trunkline.model.preferences import Preferences
from trunkline.model.request import Message, Reasoning, Request, ResponseFormat, Sampling, TextPart, Tool
from trunkline.routing.requirements import unsupported_parameters, used_parameters

REQUEST = Request(
    dialect="messages",
    messages=(Message(role="user", parts=(TextPart("Hi"),)),),
    sampling=Sampling(temperature=0.0, stop=("END",)),
    max_output=10,
    tools=(Tool(kind="function", name="look"),),
    reasoning=Reasoning(effort="low"),
    response_format=ResponseFormat(kind="json_schema", name="shape", schema={}),
)
ALL = frozenset({"temperature", "stop", "max_tokens", "tools", "reasoning", "response_format", "structured_outputs"})


def endpoint(provider: str, parameters: frozenset[str]) -> Endpoint:
    return Endpoint(
        model="acme/small", provider=provider, provider_name=provider, upstream_model="small-1", dialect="chat",
        tag=provider, parameters=parameters,
    )  # fmt: skip


def test_used_parameters() -> None:
    assert used_parameters(REQUEST) == ALL
    assert used_parameters(Request(dialect="chat", messages=())) == frozenset()


@pytest.mark.parametrize("name", sorted(ALL))
def test_unsupported_parameter_is_reported(name: str) -> None:
    assert unsupported_parameters(REQUEST, ALL - {name}) == {name}


def test_synonymous_parameters() -> None:
    other = (ALL - {"max_tokens", "reasoning"}) | {"max_completion_tokens", "reasoning_effort"}
    assert unsupported_parameters(REQUEST, other) == frozenset()


def test_endpoint_without_parameters_supports_all() -> None:
    assert unsupported_parameters(REQUEST, frozenset()) == frozenset()


def test_is_expressible_is_called_only_for_require_parameters() -> None:
    able, unable = endpoint("able", ALL), endpoint("unable", ALL - {"tools"})
    model = Model(id="acme/small", name="small", endpoints=(unable, able))

    def says_all(one: Endpoint) -> bool:
        return not unsupported_parameters(REQUEST, one.parameters)

    (every,) = planned([model], Preferences(require_parameters=False), says_all)
    assert every.endpoints == (unable, able)
    (some,) = planned([model], Preferences(require_parameters=True), says_all)
    assert some.endpoints == (able,)
    with pytest.raises(NoEndpoint, match="1 removed by require_parameters") as raised:
        planned(
            [Model(id="acme/small", name="small", endpoints=(unable,))], Preferences(require_parameters=True), says_all
        )
    assert raised.value.availability is not None
    assert raised.value.availability["excluded_by"] == ["require_parameters"]
