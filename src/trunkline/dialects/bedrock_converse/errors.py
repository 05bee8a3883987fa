"""Errors of Bedrock, before the answer and within it, in our words.

Source: Bedrock API reference, "ConverseStream" (errors and response elements) and "Common errors", read 2026-11-26.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.dialects.common.upstream_errors import classify
from trunkline.model.errors import ContextTooLong, TrunklineError, UpstreamFailed, UpstreamRejected

STATUS = {
    "accessdenied": 403,
    "expiredtoken": 403,
    "incompletesignature": 403,
    "invalidclienttokenid": 403,
    "invalidsignature": 403,
    "missingauthenticationtoken": 403,
    "notauthorized": 403,
    "optinrequired": 403,
    "unrecognizedclient": 403,
    "internalfailure": 500,
    "internalserver": 500,
    "modelerror": 424,
    "modelnotready": 503,
    "modelstreamerror": 424,
    "modeltimeout": 504,
    "requestentitytoolarge": 413,
    "requestexpired": 403,
    "resourcenotfound": 404,
    "servicequotaexceeded": 429,
    "serviceunavailable": 503,
    "throttling": 429,
    "toomanyrequests": 429,
    "validation": 400,
}
"""An error's name, in lower case and without `Exception` or `Error` at its end → the status that it stands for."""

_CONTEXT = re.compile(
    r"input tokens exceed|input is too long|exceed\w* (?:the )?(?:maximum|max|model'?s) (?:input |context |token)?"
    r"(?:length|tokens|limit|size)|expected maxLength: \d+, actual",
    re.IGNORECASE,
)
"""How models on Bedrock say that a prompt is too long, beyond what all providers say."""
_ENDPOINT = re.compile(
    r"model identifier is invalid|on-demand throughput isn|reached the end of its life|"
    r"marked by provider as Legacy|could not resolve the foundation model",
    re.IGNORECASE,
)
"""A 400 that is about the endpoint as it is configured here, and not about the request."""
_END = re.compile(r"(?:exception|error)$")
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def from_response(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TrunklineError:
    """What an upstream's answer with *status* means; see `upstream_errors.classify`."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        found = None
    said: dict[str, Any] = found if isinstance(found, dict) else {}
    code = named(headers.get("x-amzn-errortype")) or named(said.get("__type")) or named(said.get("code"))
    text = body[:65536].decode("utf-8", "replace")
    return _error(_status(code) or status, status, headers, code, _words(said), text, now)


def from_frame(name: str, payload: bytes, words: str = "") -> TrunklineError:
    """What an exception inside a stream means; *name* is its type, or an error's code, which comes with its *words*."""
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, ValueError):
        found = None
    said: dict[str, Any] = found if isinstance(found, dict) else {}
    code, told = named(name), _words(said) or words or None
    original = said.get("originalStatusCode")
    status = original if original in (429, 503, 529) else _status(code)
    if status in (None, 404, 424, 500):
        return UpstreamFailed("the provider reported an error", raw=told, provider_code=code)
    return _error(status, status, {}, code, told, "", 0.0)


def named(said: Any) -> str | None:
    """The name of an error: `com.amazon.coral.validate#ValidationException:http://…` is `ValidationException`."""
    if not isinstance(said, str):
        return None
    name = said.partition(":")[0].rpartition("#")[2].strip()
    return name if _CODE.fullmatch(name) else None


def _status(code: str | None) -> int | None:
    return None if code is None else STATUS.get(_END.sub("", code.lower()))


def _words(said: dict[str, Any]) -> str | None:
    for key in ("message", "Message", "originalMessage"):
        words = said.get(key)
        if isinstance(words, str) and words:
            return words
    return None


def _error(
    status: int, told: int, headers: Mapping[str, str], code: str | None, words: str | None, body: str, now: float
) -> TrunklineError:
    """The error of *status*; *told* is the one that the upstream answered with."""
    if status == 400 and words is not None and _ENDPOINT.search(words) is not None:
        return UpstreamFailed("the provider does not serve this model", raw=words, provider_code=code)
    found = classify(status, headers, code=code, words=words, body=body, now=now)
    if type(found) is UpstreamRejected and words is not None and _CONTEXT.search(words) is not None:
        found = ContextTooLong(words, raw=words, provider_code=code)
    found.upstream_status = told
    return found
