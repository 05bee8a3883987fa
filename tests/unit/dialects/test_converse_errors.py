"""What Bedrock's errors mean, before an answer and within it."""

from typing import Any

import msgspec
import pytest
from converse_help import frames

from trunkline.dialects.bedrock_converse import response_event_stream as event_stream
from trunkline.dialects.bedrock_converse.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.registry import UPSTREAMS
from trunkline.model.errors import (
    ContextTooLong,
    TrunklineError,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamLimited,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)
from trunkline.testing.golden import decode

CONVERSE = UPSTREAMS["converse"]


def error(status: int, name: str, message: str = "words", header: bool = True) -> TrunklineError:
    body: dict[str, Any] = {"message": message}
    headers = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"} if header else {}
    if not header:
        body["__type"] = f"com.amazon.coral.service#{name}"
    return CONVERSE.error(status, headers, msgspec.json.encode(body), 0.0)


@pytest.mark.parametrize("header", [True, False], ids=["header", "__type"])
@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (400, "ValidationException", UpstreamRejected),
        (403, "AccessDeniedException", UpstreamDenied),
        (403, "ExpiredTokenException", UpstreamDenied),
        (400, "UnrecognizedClientException", UpstreamDenied),
        (404, "ResourceNotFoundException", UpstreamFailed),
        (408, "ModelTimeoutException", UpstreamTimeout),
        (424, "ModelErrorException", UpstreamFailed),
        (429, "ModelNotReadyException", UpstreamOverloaded),
        (429, "ThrottlingException", UpstreamLimited),
        (400, "ThrottlingException", UpstreamLimited),
        (400, "ServiceQuotaExceededException", UpstreamLimited),
        (500, "InternalServerException", UpstreamFailed),
        (503, "ServiceUnavailableException", UpstreamOverloaded),
        (500, "NeverHeardOfException", UpstreamFailed),
    ],
)
def test_each_name(status: int, name: str, expected: type[TrunklineError], header: bool) -> None:
    found = error(status, name, header=header)
    assert type(found) is expected
    assert (found.provider_code, found.upstream_status, found.raw) == (name, status, "words")


@pytest.mark.parametrize(
    "message",
    [
        "Input is too long for requested model.",
        "The model returned the following errors: prompt is too long: 208310 tokens > 200000 maximum",
        "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
        "This model's maximum context length is 32768 tokens. Please reduce the length of the prompt",
        "Malformed input request: expected maxLength: 300000, actual: 412345.",
    ],
)
def test_a_prompt_that_is_too_long(message: str) -> None:
    assert type(error(400, "ValidationException", message)) is ContextTooLong


@pytest.mark.parametrize(
    "message",
    [
        "The provided model identifier is invalid.",
        "Invocation of model ID anthropic.claude-sonnet-4 with on-demand throughput isn\u2019t supported.",
        "This model version has reached the end of its life.",
    ],
)
def test_a_model_that_is_not_there_is_not_the_callers_fault(message: str) -> None:
    found = error(400, "ValidationException", message)
    assert type(found) is UpstreamFailed
    assert found.another_endpoint


def test_other_bodies() -> None:
    assert type(CONVERSE.error(503, {}, b"<html>", 0.0)) is UpstreamOverloaded
    assert type(CONVERSE.error(500, {"x-amzn-errortype": "<x>"}, b"[1]", 0.0)) is UpstreamFailed
    told = CONVERSE.error(429, {"retry-after": "3"}, b'{"Message":"slow down"}', 0.0)
    assert (told.raw, told.retry_after_s) == ("slow down", 3.0)


BEGUN = (
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
)


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("throttlingException", {"message": "m"}, UpstreamLimited),
        ("modelStreamErrorException", {"message": "m", "originalStatusCode": 500}, UpstreamFailed),
        ("modelStreamErrorException", {"message": "m", "originalStatusCode": 429}, UpstreamLimited),
        ("validationException", {"message": "m"}, UpstreamRejected),
        ("validationException", {"message": "Input is too long for requested model."}, ContextTooLong),
        ("serviceUnavailableException", {"message": "m"}, UpstreamOverloaded),
        ("internalServerException", {"message": "m"}, UpstreamFailed),
        ("modelTimeoutException", {"message": "m"}, UpstreamTimeout),
        ("newException", {"message": "m"}, UpstreamFailed),
        ("newException", {"message": 1}, UpstreamFailed),
    ],
)
def test_exceptions_within_a_stream(name: str, body: dict[str, Any], expected: type[TrunklineError]) -> None:
    events, found = decode(StreamDecoder(), [frames(*BEGUN, (name, body))])
    assert isinstance(found, TrunklineError)
    assert type(found) is expected
    assert found.provider_code == name
    assert len(events) == 3, "what came before it is given out"


def test_an_error_within_a_stream() -> None:
    """What is no exception of the service's model has its words in headers."""
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "boom"}
    events, found = decode(StreamDecoder(), [frames(*BEGUN) + event_stream.write(headers, b"")])
    assert type(found) is UpstreamFailed
    assert (found.raw, found.provider_code, len(events)) == ("boom", "InternalFailure", 3)


def test_an_error_with_status_200() -> None:
    body = b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}'
    assert type(decode(BodyDecoder(), [body])[1]) is UpstreamFailed
    _, found = decode(BodyDecoder(), [b'{"__type":"ThrottlingException","message":"m"}'])
    assert type(found) is UpstreamLimited
    assert found.raw == "m"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"output":{"message":{"content":[1]}}}'])
def test_bodies_that_are_none(body: bytes) -> None:
    assert type(decode(BodyDecoder(), [body])[1]) is UpstreamGarbled


def test_a_page_of_html() -> None:
    with pytest.raises(UpstreamFailed):
        CONVERSE.streamed(b"<html>")
    assert CONVERSE.streamed(b" ") is None
    assert CONVERSE.streamed(b' {"output"') is False
    assert CONVERSE.streamed(b"\x01\x00\x00\x00") is True
