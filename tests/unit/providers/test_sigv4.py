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


def test_get_vanilla_query_order_key_case() -> None:
    proof = signed(query="Param2=value2&Param1=value1")["authorization"]
    assert proof.endswith("Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")


def test_a_query_is_in_the_order_of_its_names() -> None:
    """As botocore 1.44 signs it: `a` before `a-b`, and a field without a value."""
    proof = signed(query="a-b=1&a=2&aB=3&empty")["authorization"]
    assert proof.endswith("Signature=5626b721162084b4239abaf64bf4023837adc5b5136b8c045a50dafe717ea468")


def test_model_id_that_is_an_arn() -> None:
    """As botocore 1.44 signs it: what is quoted in the path is quoted once more."""
    found = signed(
        "POST",
        host="bedrock-runtime.us-east-1.amazonaws.com",
        path="/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123"
        "/converse-stream",
        headers=(("content-type", "application/json"),),
        body=b'{"messages":[]}',
        session_token="t/o==",
        service="bedrock",
    )
    assert found["authorization"].endswith(
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
        "Signature=ab76ce177ebfe52ddd2c0edceeab481f0a54ada8c340c2ad5ff91da17d821042"
    )


def test_a_session_is_part_of_what_is_signed() -> None:
    found = signed(session_token="t")
    assert found["x-amz-security-token"] == "t"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token" in found["authorization"]
    assert found["authorization"] != signed(session_token="u")["authorization"]


@given(body=binary(max_size=40), path=text("abc:%/.", max_size=9))
def test_sent_request_matches_the_signature(body: bytes, path: str) -> None:
    proof = signed("POST", body=body, path=f"/{path}")["authorization"]
    assert proof == signed("POST", body=body, path=f"/{path}")["authorization"]
    assert proof != signed("POST", body=body + b"x", path=f"/{path}")["authorization"]
    assert proof != signed("POST", body=body, path=f"/{path}x")["authorization"]
    assert proof != signed("PUT", body=body, path=f"/{path}")["authorization"]
    assert SECRET not in proof
