"""Access tokens: asked for once, kept, renewed; and the JWT that they are asked for with."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from trunkline.model.errors import TrunklineError, UpstreamDenied, UpstreamFailed, UpstreamUnreachable
from trunkline.ports import Response, UpstreamRequest
from trunkline.providers import google_accounts
from trunkline.providers.authentication import EXPIRY_MARGIN_S, Authenticator
from trunkline.providers.google_accounts import AccountUnusable
from trunkline.providers.provider import Credential, Provider

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any = KEY) -> str:
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


SERVICE = {
    "type": "service_account",
    "project_id": "p",
    "private_key_id": "kid-1",
    "private_key": pem(),
    "client_email": "svc@p.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
    "universe_domain": "googleapis.com",
}
USER = {"type": "authorized_user", "client_id": "c i", "client_secret": "s&s", "refresh_token": "r"}
VERTEX = Provider(slug="v", name="V", base_url="https://h/v1", dialect="gemini")


class Clock:
    def __init__(self) -> None:
        self.time = 1_790_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class Answer:
    headers: Mapping[str, str] = {}

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def read(self, limit: int) -> bytes:
        return self._body[:limit]

    async def pump(self, on_chunk: Callable[[bytes], None]) -> None:
        on_chunk(self._body)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None: ...

    def release(self) -> None: ...


class Endpoint:
    """A token endpoint that answers by script, and takes a moment for it."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers: list[Answer | Exception] = list(answers)
        self.asked: list[UpstreamRequest] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, request: UpstreamRequest) -> Response:
        self.asked.append(request)
        await self.gate.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None: ...


def tokens(*names: str, life: int = 3600) -> Iterable[Answer]:
    return (Answer(200, {"access_token": name, "expires_in": life, "token_type": "Bearer"}) for name in names)


def credential(said: Mapping[str, Any] = USER) -> Credential:
    return Credential(id="v#1", auth="google", secret="", account=google_accounts.load_account(json.dumps(said)))


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_the_assertion() -> None:
    account = google_accounts.load_account(json.dumps(SERVICE))
    said = parse_qs(google_accounts.token_request_body(account, 1_790_000_000.9).decode())
    assert said["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    header, claims, signature = said["assertion"][0].split(".")
    assert decoded(header) == {"alg": "RS256", "typ": "JWT", "kid": "kid-1"}
    assert decoded(claims) == {
        "iss": SERVICE["client_email"],
        "sub": SERVICE["client_email"],
        "aud": SERVICE["token_uri"],
        "iat": 1_790_000_000,
        "exp": 1_790_003_600,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
    }
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    KEY.public_key().verify(raw, f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"private_key": ""}, "a required field is missing"),
        ({"client_email": ""}, "a required field is missing"),
        ({"type": "external_account"}, "neither a service account nor"),
        ({"type": ""}, "neither a service account nor"),
        ({"token_uri": "http://oauth2.example/token"}, "not an https address"),
        ({"token_uri": "file:///etc/passwd"}, "not an https address"),
        ({"token_uri": 3}, "not valid service account JSON"),
    ],
)
def test_an_account_that_cannot_be_used(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(AccountUnusable, match=why):
        google_accounts.load_account(json.dumps(SERVICE | changed))


def test_missing_package_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.providers.google_accounts.find_spec", lambda name: None)
    with pytest.raises(AccountUnusable, match=r"pip install 'trunkline\[vertex\]'"):
        google_accounts.load_account(json.dumps(SERVICE))
    assert google_accounts.load_account(json.dumps(USER)).kind == "authorized_user", "which signs nothing"


@pytest.mark.parametrize("key", ["no key", pem(ec.generate_private_key(ec.SECP256R1()))])
async def test_a_private_key_that_cannot_sign(key: str) -> None:
    authority = Authenticator(Clock(), Endpoint())
    with pytest.raises(UpstreamDenied, match="the service account cannot be used: its private key") as caught:
        await authority.token(credential(SERVICE | {"private_key": key}))
    assert key not in str(caught.value)


async def test_token_request() -> None:
    endpoint = Endpoint(*tokens("t"))
    assert await Authenticator(Clock(), endpoint).token(credential()) == "t"
    (asked,) = endpoint.asked
    assert asked.origin == "https://oauth2.googleapis.com"
    assert asked.head.startswith(b"POST /token HTTP/1.1\r\nhost: oauth2.googleapis.com\r\n")
    assert b"\r\ncontent-type: application/x-www-form-urlencoded\r\n" in asked.head
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["c i"],
        "client_secret": ["s&s"],
        "refresh_token": ["r"],
    }


async def test_token_is_cached_until_shortly_before_expiry() -> None:
    clock, endpoint = Clock(), Endpoint(*tokens("a", "b"))
    authority = Authenticator(clock, endpoint)
    assert await authority.token(credential()) == "a"
    clock.time += 3600 - EXPIRY_MARGIN_S - 1
    assert await authority.token(credential()) == "a"
    clock.time += 2
    assert await authority.token(credential()) == "b"
    assert len(endpoint.asked) == 2


async def test_short_lived_token_is_used_for_half_its_lifetime() -> None:
    clock, endpoint = Clock(), Endpoint(*tokens("a", "b", life=60))
    authority = Authenticator(clock, endpoint)
    assert await authority.token(credential()) == "a"
    clock.time += 29
    assert await authority.token(credential()) == "a"
    clock.time += 2
    assert await authority.token(credential()) == "b"


async def test_concurrent_calls_fetch_once() -> None:
    endpoint = Endpoint(*tokens("a"))
    endpoint.gate.clear()
    authority = Authenticator(Clock(), endpoint)
    calls = [asyncio.create_task(authority.token(credential())) for _ in range(20)]
    await asyncio.sleep(0)
    calls[0].cancel()  # who asked first goes away: the next one asks
    await asyncio.sleep(0)
    endpoint.gate.set()
    assert await asyncio.gather(*calls[1:]) == ["a"] * 19
    assert len(endpoint.asked) == 2


async def test_concurrent_calls_share_a_failed_fetch() -> None:
    clock, endpoint = Clock(), Endpoint(UpstreamUnreachable("no route"), *tokens("a"))
    endpoint.gate.clear()
    authority = Authenticator(clock, endpoint)
    calls = [asyncio.create_task(authority.token(credential())) for _ in range(20)]
    await asyncio.sleep(0)
    endpoint.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, UpstreamUnreachable) for one in results)
    assert len({id(one) for one in results}) == 20, "each is told of its own attempt"
    assert len(endpoint.asked) == 1
    clock.time += 1
    assert await authority.token(credential()) == "a"


async def test_refused_token_is_renewed_once() -> None:
    endpoint = Endpoint(*tokens("a", "b"))
    authority = Authenticator(Clock(), endpoint)
    assert await authority.token(credential()) == "a"
    renewed = await asyncio.gather(*(authority.token(credential(), refused="a") for _ in range(5)))
    assert renewed == ["b"] * 5
    assert await authority.token(credential()) == "b"
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, {"error": "invalid_grant"}), UpstreamDenied),
        (Answer(401, {"error": "invalid_client"}), UpstreamDenied),
        (Answer(503, b"<html>"), UpstreamFailed),
        (Answer(200, b"<html>"), UpstreamFailed),
        (Answer(200, {"id_token": "x"}), UpstreamFailed),
        (Answer(200, {"access_token": "a\r\nb", "expires_in": 1}), UpstreamFailed),
    ],
)
async def test_invalid_token_responses(answer: Answer, kind: type[TrunklineError]) -> None:
    with pytest.raises(kind) as caught:
        await Authenticator(Clock(), Endpoint(answer)).token(credential())
    assert caught.value.another_endpoint


async def test_two_accounts_have_two_tokens() -> None:
    authority = Authenticator(Clock(), Endpoint(*tokens("a", "b")))
    assert await authority.token(credential()) == "a"
    assert await authority.token(credential(USER | {"refresh_token": "other"})) == "b"
    assert await authority.token(credential()) == "a"


async def test_headers_of_a_model_list_request() -> None:
    authority = Authenticator(Clock(), Endpoint(*tokens("t")))
    url = "https://h/v1/models?pageSize=5"
    assert await authority.headers(VERTEX, credential(), url, "gemini") == (("authorization", "Bearer t"),)
    plain = Credential(id="v#2", secret="k")
    assert await authority.headers(VERTEX, plain, url, "gemini") == (("authorization", "Bearer k"),)
    aws = Credential(id="v#3", auth="sigv4", secret="s", access_key_id="AKID", session_token="st")
    found = dict(await authority.headers(VERTEX, aws, url, "converse"))
    assert set(found) == {"authorization", "x-amz-date", "x-amz-security-token"}
    assert found["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
