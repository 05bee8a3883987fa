"""What an upstream's status means (U17–U21), how long it asks us to wait (U18), and an error inside a 200."""

import json
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
from chat_help import CHAT
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.common.openai_errors import from_object
from trunkline.dialects.common.upstream_errors import MAX_REST_S, retry_after
from trunkline.dialects.registry import UPSTREAMS
from trunkline.model.errors import (
    MAX_UPSTREAM_WORDS,
    ContextTooLong,
    TrunklineError,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamLimited,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)

NOW = 1_790_000_000.0
HTML = b"<html><body>Bad gateway at 10.0.0.1</body></html>"


def told(message: Any = "words", **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


def answer(status: int, body: bytes = b"", **headers: str) -> TrunklineError:
    return UPSTREAMS["chat"].error(status, {key.replace("_", "-"): value for key, value in headers.items()}, body, NOW)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, told(), UpstreamRejected),
        (400, told("This model's maximum context length is 8192 tokens"), ContextTooLong),
        (400, told("x", code="context_length_exceeded"), ContextTooLong),
        (400, told("prompt is too long: 200001 tokens"), ContextTooLong),
        (400, told("The total length of all messages is too long."), ContextTooLong),
        (413, b"", ContextTooLong),
        (422, told(), UpstreamRejected),
        (401, told(), UpstreamDenied),
        (402, told(), UpstreamDenied),
        (403, told(), UpstreamDenied),
        (404, told(), UpstreamFailed),
        (408, told(), UpstreamTimeout),
        (410, told(), UpstreamFailed),
        (429, told(), UpstreamLimited),
        (429, told(code="insufficient_quota"), UpstreamDenied),
        (429, told(type="insufficient_quota"), UpstreamDenied),
        (429, told(code="enforced_spend_limit_reached"), UpstreamDenied),
        (500, told(), UpstreamFailed),
        (500, HTML, UpstreamFailed),
        (500, b"", UpstreamFailed),
        (502, HTML, UpstreamFailed),
        (503, HTML, UpstreamOverloaded),
        (504, b"", UpstreamTimeout),
        (524, HTML, UpstreamTimeout),
        (529, told(), UpstreamOverloaded),
        (101, b"", UpstreamFailed),
        (204, b"", UpstreamFailed),
        (302, HTML, UpstreamFailed),
        (308, b"", UpstreamFailed),
        (418, told(), UpstreamFailed),
    ],
)
def test_status(status: int, body: bytes, kind: type[TrunklineError]) -> None:
    error = answer(status, body)
    assert type(error) is kind
    assert error.upstream_status == status
    assert "<" not in error.message
    assert error.raw is None or "<" not in error.raw


@given(status=st.integers(100, 599), body=st.binary(max_size=50) | st.just(b"[" * 100_000))
def test_any_answer_is_an_error_of_ours(status: int, body: bytes) -> None:
    assert isinstance(answer(status, body), TrunklineError)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (told("no", code="bad_thing"), "bad_thing", "no"),
        (told("no", type="bad_type"), "bad_type", "no"),
        (told("no", code=None, type="bad_type"), "bad_type", "no"),
        (told("no", code=42), "42", "no"),
        (b'{"error":"no"}', None, "no"),
        (b'{"message":"no","code":"c"}', "c", "no"),
        (b'{"detail":"no"}', None, "no"),
        (b'{"detail":[{"loc":["a"]}]}', None, '[{"loc":["a"]}]'),
        (b'[{"error":{"message":"no","code":400}}]', "400", "no"),
        (told("Provider returned error", metadata={"raw": "no"}), None, "Provider returned error: no"),
        (told("no", code="a whole sentence of words"), None, "no"),
        (told("no", code="x" * 65), None, "no"),
        (told("<html>no</html>"), None, None),
        (b'{"error":null}', None, None),
        (b'{"error":[]}', None, None),
        (b"[]", None, None),
        (HTML, None, None),
        (b"\xff", None, None),
    ],
)
def test_where_the_words_are(body: bytes, code: str | None, words: str | None) -> None:
    error = answer(400, body)
    assert (error.provider_code, error.raw) == (code, words)


def test_words_are_cut() -> None:
    error = answer(400, told("x" * 5000))
    assert error.message == error.raw == "x" * MAX_UPSTREAM_WORDS


def test_content_policy_has_its_own_word() -> None:
    assert answer(400, told("flagged", code="content_filter")).kind == "content_policy_violation"
    assert answer(400, told("The response was filtered by our content management policy")).kind == (
        "content_policy_violation"
    )
    assert answer(400, told("nope")).kind == "invalid_request"


def rfc_3339(seconds: int) -> str:
    return datetime.fromtimestamp(NOW + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({}, "", None),
        ({"retry-after": "7"}, "", 7.0),
        ({"retry-after": "1.5"}, "", 1.5),
        ({"retry-after": "0"}, "", 0.0),
        ({"retry-after": "-5"}, "", 0.0),
        ({"retry-after": "1000000000"}, "", MAX_REST_S),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": ""}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "inf"}, "", None),
        ({"retry-after": "9" * 400}, "", None),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, "", 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, "", 0.0),
        ({"retry-after": formatdate(NOW + 30)}, "", 30.0),
        ({"retry-after": formatdate(NOW + 86400, usegmt=True)}, "", MAX_REST_S),
        ({"retry-after": "Mon, 99 Foo 2026 00:00:00 GMT"}, "", None),
        ({"retry-after-ms": "250"}, "", 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, "", 9.0),
        ({"x-ratelimit-reset": "12"}, "", 12.0),
        ({"x-ratelimit-reset": "1790000020"}, "", 20.0),
        ({"x-ratelimit-reset": "1790000020000"}, "", 20.0),
        ({"x-ratelimit-reset": "garbage"}, "", None),
        ({"x-ratelimit-reset-requests": "1m2.5s", "x-ratelimit-remaining-requests": "0"}, "", 62.5),
        ({"x-ratelimit-reset-tokens": "120ms", "x-ratelimit-remaining-tokens": "0"}, "", 0.12),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"}, "", 360.0),
        ({"x-ratelimit-reset-tokens": "1h", "x-ratelimit-remaining-tokens": "0"}, "", MAX_REST_S),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "5"}, "", None),
        # Cerebras, by span of time
        ({"x-ratelimit-reset-tokens-minute": "11.38", "x-ratelimit-remaining-tokens-minute": "0"}, "", 11.38),
        ({"x-ratelimit-reset-requests-day": "33011.4", "x-ratelimit-remaining-requests-day": "14"}, "", None),
        # Anthropic; the last limit to be whole again
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": rfc_3339(5),
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": rfc_3339(40),
                "anthropic-ratelimit-output-tokens-remaining": "9",
                "anthropic-ratelimit-output-tokens-reset": rfc_3339(60),
            },
            "",
            40.0,
        ),
        ({"x-ratelimit-reset": "2026-13-99T00:00:00Z"}, "", None),
        ({"x-ratelimit-reset": "2026-09-21"}, "", None),
        ({}, '{"details":[{"@type":"…RetryInfo","retryDelay": "17s"}]}', 17.0),
        ({}, '{"retryDelay":"0.5s"}', 0.5),
        ({}, '{"retryDelay":"soon"}', None),
        ({"retry-after": "3"}, '{"retryDelay":"17s"}', 3.0),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], body: str, wait: float | None) -> None:
    found = retry_after(headers, body, NOW)
    assert found == (None if wait is None else pytest.approx(wait))


@given(
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset"]), st.text(max_size=40)
    ),
    body=st.text(max_size=40),
)
def test_a_wait_is_within_bounds_whatever_was_said(headers: dict[str, str], body: str) -> None:
    found = retry_after(headers, body, NOW)
    assert found is None or 0 <= found <= MAX_REST_S


def test_the_wait_is_on_the_error() -> None:
    assert answer(429, told(), retry_after="7").retry_after_s == 7
    assert answer(503, b"", retry_after="7").retry_after_s == 7


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ({"code": 429, "message": "x"}, UpstreamLimited),
        ({"code": "503"}, UpstreamOverloaded),
        ({"code": "rate_limit_exceeded"}, UpstreamLimited),
        ({"code": "insufficient_quota"}, UpstreamDenied),
        ({"code": "context_length_exceeded"}, ContextTooLong),
        ({"type": "invalid_request_error"}, UpstreamRejected),
        ({"type": "overloaded_error"}, UpstreamOverloaded),
        ({"code": 200}, UpstreamFailed),
        ({"code": "4" * 5000}, UpstreamFailed),
        ({"code": True}, UpstreamFailed),
        ({"message": ["x"]}, UpstreamFailed),
        ("words", UpstreamFailed),
        (5, UpstreamFailed),
        ([], UpstreamFailed),
    ],
)
def test_an_error_inside_a_200(found: Any, kind: type[TrunklineError]) -> None:
    assert type(from_object(found)) is kind


def test_words_of_our_credential_do_not_reach_the_client() -> None:
    for status in (401, 403, 404, 500, 503):
        error = answer(status, told("account org-secret"))
        assert error.raw == "account org-secret", "for the record"
        assert b"org-secret" not in CHAT.error(error, None)
    assert b"words" in CHAT.error(answer(400, told()), None)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        # Gemini and xAI answer 400 to a key that they don't know; it is not the caller's fault.
        (400, {"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}, UpstreamDenied),
        (400, {"error": {"message": "API key expired. Please renew the API key."}}, UpstreamDenied),
        (
            400,
            {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***"},
            UpstreamDenied,
        ),
        (400, {"error": {"message": "messages[0]: 'API key not valid' is no role"}}, UpstreamRejected),
        # Alibaba: an unpaid bill. Moonshot and Z.AI: an empty account, which waiting does not fill.
        (
            400,
            {"error": {"code": "Arrearage", "message": "Access denied, account not in good standing"}},
            UpstreamDenied,
        ),
        (429, {"error": {"type": "exceeded_current_quota_error", "message": "check your billing"}}, UpstreamDenied),
        (429, {"error": {"code": "1113", "message": "Insufficient balance or no resource package."}}, UpstreamDenied),
        (429, {"error": {"code": "1302", "message": "High concurrency usage of this API"}}, UpstreamLimited),
        (429, {"error": {"type": "rate_limit_reached_error", "message": "max RPM: 3"}}, UpstreamLimited),
        (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error"}}, UpstreamDenied),  # DeepSeek
        # Mistral's validation, Perplexity's and llama.cpp's long prompts, Hugging Face's bare words, NVIDIA's problem.
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "store"], "msg": "x"}]}, UpstreamRejected),
        (
            400,
            {"error": {"type": "too_many_prompt_tokens", "message": "The total length of all messages is too long."}},
            ContextTooLong,
        ),
        (
            400,
            {
                "error": {
                    "type": "exceed_context_size_error",
                    "message": "request (9 tokens) exceeds the available context size",
                }
            },
            ContextTooLong,
        ),
        (400, {"error": "The model does not exist."}, UpstreamRejected),
        (404, {"status": 404, "title": "Not Found", "detail": "Function not found"}, UpstreamFailed),
        (
            498,
            {"error": {"message": "Flex tier capacity exceeded", "type": "capacity_exceeded"}},
            UpstreamFailed,
        ),  # Groq
    ],
)
def test_forms_of_single_providers(status: int, body: Any, kind: type[TrunklineError]) -> None:
    assert type(answer(status, json.dumps(body).encode())) is kind
