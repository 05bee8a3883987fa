"""Errors of Messages, both ways, and counts.

Sources: OpenRouter, "Errors and debugging"; docs/reference/reliability.md, "Error contract".
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from messages_help import CLIENT, ENDPOINT, UPSTREAM, call_of

from trunkline.dialects.anthropic_messages.errors import STATUSES, TYPES, from_object
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import COUNTERS
from trunkline.model import errors
from trunkline.model.errors import AttemptRecord, InvalidRequest, Overloaded, TrunklineError, UpstreamGarbled


def leaves(kind: type[TrunklineError] = TrunklineError) -> Iterator[type[TrunklineError]]:
    for below in kind.__subclasses__():
        yield below
        yield from leaves(below)


@pytest.mark.parametrize("kind", list(leaves()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_type(kind: type[TrunklineError]) -> None:
    error = kind("what is wrong")
    assert error.kind in TYPES, "the table is total"
    said = TYPES[error.kind]
    assert said in STATUSES
    body = msgspec.json.decode(CLIENT.error(error, "gen-1"))
    assert (body["type"], body["request_id"]) == ("error", "gen-1")
    assert (body["error"]["type"], body["error"]["error_type"]) == (said, error.kind)
    assert body["error"]["message"]
    if kind is errors.Internal:
        assert "what is wrong" not in body["error"]["message"]
        assert "metadata" not in body


def test_statuses() -> None:
    assert CLIENT.status(InvalidRequest("x")) == 400
    assert CLIENT.status(Overloaded("x")) == 529
    assert CLIENT.status(errors.UpstreamTimeout("x")) == 504


def test_the_field_at_fault_and_what_was_tried() -> None:
    error = errors.AllAttemptsFailed("x", attempts=(AttemptRecord(provider="Acme", model="acme/small", status=500),))
    body = msgspec.json.decode(CLIENT.error(error, None))
    assert body["request_id"] is None
    assert body["metadata"]["previous_errors"]
    body = msgspec.json.decode(CLIENT.error(InvalidRequest("x", param="messages[0]"), None))
    assert body["metadata"] == {"param": "messages[0]"}


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", errors.UpstreamRejected),
        (401, "authentication_error", errors.UpstreamDenied),
        (402, "billing_error", errors.UpstreamDenied),
        (403, "permission_error", errors.UpstreamDenied),
        (404, "not_found_error", errors.UpstreamFailed),
        (413, "request_too_large", errors.ContextTooLong),
        (429, "rate_limit_error", errors.UpstreamLimited),
        (500, "api_error", errors.UpstreamFailed),
        (529, "overloaded_error", errors.UpstreamOverloaded),
    ],
)
def test_what_a_provider_says(status: int, kind: str, error: type[TrunklineError]) -> None:
    """As an answer of its own, and inside of a stream: the same."""
    body = {"type": "error", "error": {"type": kind, "message": "words"}, "request_id": "req_1"}
    found = UPSTREAM.error(status, {}, msgspec.json.encode(body), 0.0)
    for one in (found, from_object(body["error"])):
        assert type(one) is error
        assert (one.raw, one.provider_code) == ("words", kind)


def test_a_prompt_that_is_too_long() -> None:
    words = "prompt is too long: 208310 tokens > 200000 maximum"
    body = msgspec.json.encode({"type": "error", "error": {"type": "invalid_request_error", "message": words}})
    assert isinstance(UPSTREAM.error(400, {}, body, 0.0), errors.ContextTooLong)


@pytest.mark.parametrize("found", [None, 5, "words", [], {}, {"type": 5, "message": 6}, {"type": "novel_error"}])
def test_errors_of_any_form(found: Any) -> None:
    assert isinstance(from_object(found), errors.UpstreamFailed)
    for body in (found, {"error": found}):
        assert isinstance(UPSTREAM.error(500, {}, msgspec.json.encode(body), 0.0), errors.UpstreamFailed)


def test_counting() -> None:
    counter = COUNTERS["messages"]
    assert counter.path("m") == "/messages/count_tokens"
    body = {"system": "Be brief.", "max_tokens": 9, "temperature": 0.5, "stream": True, "metadata": {"user_id": "u"}}
    encoded = counter.encode(CLIENT.decode(call_of(body)), ENDPOINT, Quirks())
    assert msgspec.json.decode(encoded.body) == {
        "model": ENDPOINT.upstream_model,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
    }
    assert counter.decode(b'{"input_tokens":7,"x":1}') == 7
    assert msgspec.json.decode(CLIENT.counted(7, estimated=True)) == {"input_tokens": 7}


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b"{}", b'{"input_tokens":null}', b'{"input_tokens":true}', b'{"input_tokens":-1}']
)
def test_counts_that_are_none(body: bytes) -> None:
    with pytest.raises(UpstreamGarbled):
        COUNTERS["messages"].decode(body)
