"""AWS signatures, by AWS' own examples (the SigV4 test suite; "Signature calculation examples"), read 2026-11-26."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis.strategies import binary, text

from trunkline.providers.sigv4 import sign

KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
WHEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()


def signed(
    method: str = "GET",
    host: str = "example.amazonaws.com",
    path: str = "/",
    query: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    session_token: str | None = None,
    service: str = "service",
) -> dict[str, str]:
    return dict(
        sign(
            method=method,
            host=host,
            path=path,
            query=query,
            headers=headers,
            body=body,
            access_key_id=KEY,
            secret_access_key=SECRET,
            session_token=session_token,
            region="us-east-1",
            service=service,
            now=WHEN,
        )
    )


def test_get_vanilla() -> None:
    assert signed() == {
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    }


def test_list_users() -> None:
    found = signed(
        host="iam.amazonaws.com",
        query="Version=2010-05-08&Action=ListUsers",
        headers=(("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),),
        service="iam",
    )
    assert found["authorization"].endswith(
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


def test_a_session_is_part_of_what_is_signed() -> None:
    found = signed(session_token="t")
    assert found["x-amz-security-token"] == "t"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token" in found["authorization"]
    assert found["authorization"] != signed(session_token="u")["authorization"]


@given(body=binary(max_size=40), path=text("abc:%/.", max_size=9))
def test_what_leaves_is_what_was_signed(body: bytes, path: str) -> None:
    proof = signed("POST", body=body, path=f"/{path}")["authorization"]
    assert proof == signed("POST", body=body, path=f"/{path}")["authorization"]
    assert proof != signed("POST", body=body + b"x", path=f"/{path}")["authorization"]
    assert proof != signed("POST", body=body, path=f"/{path}x")["authorization"]
    assert proof != signed("PUT", body=body, path=f"/{path}")["authorization"]
    assert SECRET not in proof
