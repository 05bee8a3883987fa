"""Errors of ours on the wire. Source: docs/reference/reliability.md, "Error contract"."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from chat_help import CHAT, IDENTITY, converter, read

from trunkline.dialects.common.openai_errors import TYPES
from trunkline.dialects.interfaces import Call
from trunkline.dialects.openai_chat.response_encoder import BodyEncoder
from trunkline.model import errors
from trunkline.model.errors import AttemptRecord, TrunklineError
from trunkline.model.usage import Cost, Usage


def leaves(kind: type[TrunklineError] = TrunklineError) -> Iterator[type[TrunklineError]]:
    for below in kind.__subclasses__():
        yield below
        yield from leaves(below)


CONTRACT = {
    "InvalidRequest": (400, "invalid_request_error"),
    "PayloadTooLarge": (413, "invalid_request_error"),
    "Unauthenticated": (401, "authentication_error"),
    "OutOfCredit": (402, "insufficient_quota"),
    "Forbidden": (403, "permission_error"),
    "UnknownModel": (400, "invalid_request_error"),
    "NotFound": (404, "not_found_error"),
    "NoEndpoint": (404, "model_not_found"),
    "RequestTimeout": (408, "timeout_error"),
    "IdempotencyRunning": (409, "invalid_request_error"),
    "IdempotencyMismatch": (422, "invalid_request_error"),
    "RateLimited": (429, "rate_limit_error"),
    "ClientGone": (499, "api_error"),
    "UpstreamRejected": (400, "invalid_request_error"),
    "ContextTooLong": (400, "invalid_request_error"),
    "UpstreamUnreachable": (502, "api_error"),
    "UpstreamLimited": (429, "rate_limit_error"),
    "UpstreamDenied": (502, "api_error"),
    "UpstreamOverloaded": (503, "overloaded_error"),
    "UpstreamTimeout": (504, "timeout_error"),
    "UpstreamFailed": (502, "api_error"),
    "UpstreamTruncated": (502, "api_error"),
    "UpstreamGarbled": (502, "api_error"),
    "AllAttemptsFailed": (502, "api_error"),
    "Overloaded": (503, "overloaded_error"),
    "DatabaseUnavailable": (503, "overloaded_error"),
    "Internal": (500, "api_error"),
}


def wire(error: TrunklineError) -> dict[str, Any]:
    body = json.loads(CHAT.error(error, "gen-1"))
    assert set(body) == {"error", "user_id"}
    found: dict[str, Any] = body["error"]
    return found


def test_the_contract_names_every_class() -> None:
    assert set(CONTRACT) == {kind.__name__ for kind in leaves()}


@pytest.mark.parametrize("name", CONTRACT)
def test_wire_form(name: str) -> None:
    kind: type[TrunklineError] = getattr(errors, name)
    found = wire(kind("what is wrong", param="model"))
    assert (found["code"], found["type"]) == CONTRACT[name]
    assert found["metadata"]["error_type"] == kind.error_type
    if kind is errors.Internal:
        assert found["message"] == "Internal Server Error"
        assert found["param"] is None
    else:
        assert found["message"] == "what is wrong"
        assert found["param"] == "model"


def test_types_is_total() -> None:
    assert {kind.error_type for kind in leaves()} <= set(TYPES)
    assert "content_policy_violation" in TYPES


def test_everything_that_is_known_of_an_error() -> None:
    found = wire(
        errors.UpstreamRejected(
            "no",
            provider="Acme",
            provider_code="bad",
            raw="their words",
            retry_after_s=2.5,
            metadata={"more": 1},
            availability={"code": "x"},
            attempts=(AttemptRecord(provider="Other", model="m", status=500, cause="UpstreamFailed"),),
        )
    )
    assert found["availability"] == {"code": "x"}
    assert found["metadata"] == {
        "error_type": "invalid_request",
        "provider_name": "Acme",
        "is_byok": False,
        "provider_code": "bad",
        "provider_error_code": "bad",
        "raw": "their words",
        "retry_after": 2.5,
        "previous_errors": [{"provider": "Other", "code": 500, "status": 500, "message": "UpstreamFailed"}],
        "more": 1,
    }


@pytest.mark.parametrize("kind", list(leaves()))
def test_words_of_an_upstream_only_for_4xx(kind: type[TrunklineError]) -> None:
    error = kind("x", raw="their words" + "x" * 5000, upstream_status=400)
    shown = "raw" in wire(error)["metadata"]
    assert shown == (400 <= error.http_status < 500 and kind is not errors.Internal)
    assert len(error.raw or "") == 1000


@pytest.mark.parametrize("wants_usage", [True, False])
@pytest.mark.parametrize("way", ["relay", "translate"])
def test_in_a_stream(way: Any, wants_usage: bool) -> None:
    through = converter(way, sse=True, stream=True, wants_usage=wants_usage)
    out = through.feed(b'data: {"id":"1","created":5,"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n')
    out += through.fail(errors.UpstreamTimeout("too slow"), Usage(prompt=1, completion=1), Cost())
    *frames, done, rest = out.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    failed = chunks[1]
    assert failed["error"]["code"] == 504
    assert failed["error"]["metadata"]["error_type"] == "timeout"
    assert failed["choices"] == [
        {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": None}
    ]
    assert (failed["id"], failed["model"], failed["created"]) == (IDENTITY.id, IDENTITY.model, 5)
    assert ("usage" in chunks[-1]) is wants_usage
    _, error = read(out, stream=True)
    assert isinstance(error, errors.UpstreamTimeout)


def test_a_body_that_failed_is_an_error_body() -> None:
    for encoder in (BodyEncoder(IDENTITY), converter("relay", sse=False, stream=False)):
        with pytest.raises(errors.UpstreamTimeout):
            encoder.fail(errors.UpstreamTimeout("x"), None, None)


def test_the_encoder_is_what_was_asked_for() -> None:
    assert isinstance(CHAT.encoder(Call(envelope={}), IDENTITY), BodyEncoder)
    assert not isinstance(CHAT.encoder(Call(envelope={}, stream=True), IDENTITY), BodyEncoder)
