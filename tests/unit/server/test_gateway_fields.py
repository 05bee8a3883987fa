"""Fields addressed to the gateway are carried out, or refused by name; they are never accepted without effect."""

from typing import Any

import msgspec
import pytest

from trunkline.dialects.interfaces import Call
from trunkline.dialects.registry import CLIENTS
from trunkline.model.errors import InvalidRequest
from trunkline.server.gateway_fields import apply_gateway_fields

TURN = {"role": "user", "content": "x"}
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [TURN]},
    "messages": {"model": "m", "messages": [TURN], "max_tokens": 9},
    "responses": {"model": "m", "input": "x"},
}


def parsed(dialect: str, **fields: Any) -> Call:
    return apply_gateway_fields(CLIENTS[dialect].parse(msgspec.json.encode(BODIES[dialect] | fields)))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"gateway": {"redact": {"email": True}}}, "gateway.redact"),
    ({"gateway": {"redact": {"custom": ["Falcon"]}}}, "gateway.redact"),
    ({"gateway": {"redact": True}}, "gateway.redact"),
    ({"gateway": {"tags": [{"name": "a", "description": "b", "models": ["m"]}]}}, "gateway.tags"),
    ({"gateway": {"tags": ["code"]}}, "gateway.tags"),
    ({"gateway": {"planningTriggerScore": 0.6}}, "gateway.planningTriggerScore"),
    ({"gateway": {"imageGenerationModel": "m"}}, "gateway.imageGenerationModel"),
    ({"gateway": {"chatHistoryCompression": {"enabled": True}}}, "gateway.chatHistoryCompression"),
    ({"gateway": {"chatHistoryCompression": {}}}, "gateway.chatHistoryCompression"),
    ({"gateway": {"chatHistoryOptimization": {"score": 0.5}}}, "gateway.chatHistoryOptimization"),
    ({"gateway": {"mediaOptimization": True}}, "gateway.mediaOptimization"),
    ({"gateway": {"toolOptimization": {"enabled": True}}}, "gateway.toolOptimization"),
    ({"gateway": {"skills": {"skillIds": ["a"]}}}, "gateway.skills"),
    ({"gateway": {"skills": {"enableAutoSearch": True}}}, "gateway.skills"),
    ({"gateway": {"later": 1}}, "gateway.later"),
    ({"gateway": {"zdr": "yes"}}, "gateway.zdr"),
    ({"gateway": {"only": "acme"}}, "gateway.only"),
    ({"gateway": {"order": [1]}}, "gateway.order"),
    ({"gateway": []}, "gateway"),
    ({"gateway": "redact"}, "gateway"),
    ({"plugins": [{"id": "web"}, {"id": "moderation"}]}, "plugins[1].id"),
    ({"plugins": [{"id": "armor"}]}, "plugins[0].id"),
    ({"plugins": [{"id": "alignment", "rules": []}]}, "plugins[0].id"),
    ({"guardrails": ["pii"]}, "guardrails"),
    ({"safeguards": [{"type": "dangerous_tool_use"}]}, "safeguards"),
]


@pytest.mark.parametrize("dialect", BODIES)
@pytest.mark.parametrize(("fields", "param"), REFUSED, ids=[str(fields) for fields, _ in REFUSED])
def test_what_is_not_carried_out_is_refused(dialect: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(dialect, **fields)
    assert refused.value.param == param
    assert refused.value.message.startswith(f"{param}: ")


@pytest.mark.parametrize("dialect", BODIES)
@pytest.mark.parametrize(
    "fields",
    [
        {"gateway": None},
        {"gateway": {}},
        {"gateway": {"redact": None, "tags": [], "mediaOptimization": False}},
        {"gateway": {"redact": {"email": False, "custom": []}}},
        {"gateway": {"chatHistoryCompression": {"enabled": False, "score": 0.6}, "toolOptimization": None}},
        {"gateway": {"skills": {"skillIds": [], "enableAutoSearch": False}}},
        {"gateway": {"zdr": False, "only": None, "order": []}},
        {"plugins": [{"id": "armor", "enabled": False}]},
        {"guardrails": None, "safeguards": None},
        {"guardrails": []},
    ],
    ids=str,
)
def test_what_asks_for_nothing_is_accepted(dialect: str, fields: dict[str, Any]) -> None:
    assert parsed(dialect, **fields).preferences == parsed(dialect).preferences


@pytest.mark.parametrize("dialect", BODIES)
def test_routing_fields_narrow_the_preferences(dialect: str) -> None:
    found = parsed(dialect, gateway={"zdr": True, "only": ["a", "b"], "order": ["b"]}).preferences
    assert (found.zdr, found.only, found.order) == (True, ["a", "b"], ["b"])
    found = parsed(
        dialect,
        provider={"zdr": True, "only": ["B", "c"], "order": ["c"]},
        gateway={"zdr": False, "only": ["a", "b"], "order": ["b"]},
    ).preferences
    assert (found.zdr, found.only, found.order) == (True, ["b"], ["c"])
    with pytest.raises(InvalidRequest) as refused:
        parsed(dialect, provider={"only": ["c"]}, gateway={"only": ["a"]})
    assert refused.value.param == "gateway.only"
