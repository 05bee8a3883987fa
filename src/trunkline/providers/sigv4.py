"""AWS Signature Version 4 as a pure function.

Source: docs.aws.amazon.com, "Create a signed AWS API request" (IAM User Guide), read 2026-11-26. All services except S3
require the path's segments to be encoded once more than they are sent.
"""

import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


def sign(
    *,
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    access_key_id: str,
    secret_access_key: str,
    session_token: str | None,
    region: str,
    service: str,
    now: float,
) -> tuple[tuple[str, str], ...]:
    """The headers to add to *headers*, which are signed too; names are lower-case.

    *path* is as sent, percent-encoded once. *query* is without its question mark, `a=1&b=2`. *host* is the value of the
    `host` header. *now* is Unix seconds.
    """
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    added = [("x-amz-date", moment)]
    if session_token:
        added.append(("x-amz-security-token", session_token))
    signed = sorted([("host", host), *((name.lower(), " ".join(value.split())) for name, value in headers), *added])
    names = ";".join(name for name, _ in signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed)
    canonical = "\n".join((method, quote(path or "/", "/-_.~"), _query(query), lines, names, digest))
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret_access_key}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    proof = f"{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return (*added, ("authorization", proof))


def _query(query: str) -> str:
    """The query with its fields sorted; a field without a value gets an empty one."""
    fields = (field.partition("=") for field in query.split("&") if field)
    # Sorted by name first: as text `a-b=1` is less than `a=2`, but it must follow it.
    return "&".join(f"{name}={value}" for name, value in sorted((name, value) for name, _, value in fields))
