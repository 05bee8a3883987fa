"""What leaves, but for its body: path, headers, authentication."""

from collections.abc import Mapping
from typing import Any

import pytest

from trunkline.dialects.interfaces import Encoded, Quirks, Upstream
from trunkline.dialects.openai_chat import ChatUpstream
from trunkline.dialects.registry import COUNTERS, UPSTREAMS
from trunkline.engine.targets import Kind, Target, Targets
from trunkline.model.endpoint import Endpoint
from trunkline.ports import Response, Timeouts, UpstreamRequest
from trunkline.providers.authentication import Authenticator
from trunkline.providers.google_accounts import GoogleAccount
from trunkline.providers.provider import Credential, Provider
from trunkline.providers.sigv4 import sign

PLAIN = Credential(id="acme#1", secret="k")
AWS = Credential(id="acme#2", auth="sigv4", secret="s", access_key_id="AKID", session_token="st")
ACCOUNT = GoogleAccount(kind="authorized_user", client_id="c", client_secret="s", refresh_token="r")
GOOGLE = Credential(id="acme#3", auth="google", secret="", account=ACCOUNT)
LIMITS = Timeouts()


class Clock:
    def now(self) -> float:
        return 1_790_000_000.0

    def monotonic(self) -> float:
        return 5.0


class Answer:
    headers: Mapping[str, str] = {}

    def __init__(self, status: int, body: bytes = b"") -> None:
        self.status = status
        self.aborted = False
        self._body = body

    async def read(self, limit: int) -> bytes:
        return self._body

    async def pump(self, on_chunk: Any) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def release(self) -> None: ...


class Net:
    """Answers token questions with token-1, token-2 …, and calls by script."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.calls: list[UpstreamRequest] = []
        self.tokens = 0

    async def send(self, request: UpstreamRequest) -> Response:
        if request.origin == "https://oauth2.googleapis.com":
            self.tokens += 1
            return Answer(200, b'{"access_token": "token-%d", "expires_in": 3600}' % self.tokens)
        self.calls.append(request)
        return self.answers.pop(0)

    async def close(self) -> None: ...


def target(net: Net | None = None, client: str = "chat", model: str = "m", **more: Any) -> Target:
    said: dict[str, Any] = {"base_url": "https://api.acme.example/v1", "dialect": "chat"} | more
    provider = Provider(slug="acme", name="Acme", **said)
    endpoint = Endpoint(
        model="a/m", provider="acme", provider_name="Acme", upstream_model=model, dialect=provider.dialect, tag="acme"
    )
    return Targets(Authenticator(Clock(), net or Net()), UPSTREAMS, COUNTERS).of(endpoint, provider, client)


def lines(request: UpstreamRequest) -> list[str]:
    text = request.head.decode()
    assert text.endswith("\r\n")
    return text.split("\r\n")[:-1]


def head(made: Target, credential: Credential = PLAIN, kind: Kind = "body", **more: Any) -> list[str]:
    return lines(made.request(credential, Encoded(body=b"{}", **more), LIMITS, kind))


def test_a_plain_key() -> None:
    found = head(target(), headers=(("x-more", "1"),))
    assert found[0] == "POST /v1/chat/completions HTTP/1.1"
    assert found[1] == "host: api.acme.example"
    assert "authorization: Bearer k" in found
    assert found[-1] == "x-more: 1"
    assert not any(line.startswith(("content-length", "anthropic")) for line in found)
    assert not any(line.startswith("authorization") for line in head(target(), Credential(id="none", secret="")))


class Messages(ChatUpstream):
    name = "messages"

    def path(self, model: str, *, stream: bool) -> str:
        return "/messages"


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> None:
    upstreams: dict[str, Upstream] = UPSTREAMS
    monkeypatch.setitem(upstreams, "messages", Messages())


@pytest.mark.usefixtures("messages")
def test_a_further_dialect_has_its_own_address_header_and_version() -> None:
    made: dict[str, Any] = {
        "also": {"messages": "https://api.acme.example/anthropic/v1"},
        "also_auth": {"messages": ("x-api-key", "")},
        "quirks": Quirks(path="/odd/{model}", body={"odd": 1}, drop=("store",), keep=("plugins",)),
    }
    found = head(target(client="messages", **made))
    assert found[0] == "POST /anthropic/v1/messages HTTP/1.1"
    assert "x-api-key: k" in found
    assert "anthropic-version: 2023-06-01" in found
    assert not any(line.startswith("authorization") for line in found)
    assert target(client="messages", **made).quirks == Quirks(keep=("plugins",))
    chat = head(target(client="responses", **made))
    assert chat[0] == "POST /v1/odd/m HTTP/1.1", "a quirk's path is the main dialect's"
    assert "authorization: Bearer k" in chat


@pytest.mark.usefixtures("messages")
def test_the_version_of_the_configuration_is_the_only_one() -> None:
    found = head(target(dialect="messages", headers=(("anthropic-version", "2030-01-01"),)))
    assert [line for line in found if line.startswith("anthropic-version")] == ["anthropic-version: 2030-01-01"]


def test_a_model_cannot_leave_its_place_in_the_path() -> None:
    quirks = Quirks(path="/models/{model}:rawPredict", stream_path="/models/{model}:streamRawPredict")
    made = target(model="../x?y#z/claude@1 é", quirks=quirks)
    assert made.path("body") == "/v1/models/..%2Fx%3Fy%23z%2Fclaude@1%20%C3%A9:rawPredict"
    assert made.path("stream").endswith(":streamRawPredict")
    assert head(made, kind="stream")[0].count(" ") == 2


def test_each_request_is_signed_with_its_body() -> None:
    made = target(region="us-east-1")
    one = lines(made.request(AWS, Encoded(body=b"{}"), LIMITS, "body"))
    two = lines(made.request(AWS, Encoded(body=b'{"a":1}'), LIMITS, "body"))
    expected = sign(
        method="POST",
        host="api.acme.example",
        path="/v1/chat/completions",
        query="",
        headers=(),
        body=b"{}",
        access_key_id="AKID",
        secret_access_key="s",
        session_token="st",
        region="us-east-1",
        service="bedrock",
        now=1_790_000_000.0,
    )
    assert one[-len(expected) :] == [f"{name}: {value}" for name, value in expected]
    assert one[-1] != two[-1]
    assert one[: -len(expected)] == two[: -len(expected)]
    assert not any("Bearer" in line for line in one)


async def test_a_token_is_fetched_first() -> None:
    net = Net(Answer(200), Answer(200))
    made = target(net)
    for _ in range(2):
        response = await made.send(net, GOOGLE, Encoded(body=b"{}"), LIMITS, "body")
        assert response.status == 200
    assert net.tokens == 1
    assert all("authorization: Bearer token-1" in lines(call) for call in net.calls)


async def test_a_refused_token_is_renewed_once() -> None:
    refused = Answer(401)
    net = Net(refused, Answer(200), Answer(401), Answer(401))
    made = target(net)
    response = await made.send(net, GOOGLE, Encoded(body=b"{}"), LIMITS, "stream")
    assert response.status == 200
    assert refused.aborted
    assert [line for call in net.calls for line in lines(call) if line.startswith("authorization")] == [
        "authorization: Bearer token-1",
        "authorization: Bearer token-2",
    ]
    assert net.calls[0].body == net.calls[1].body == b"{}"
    assert (await made.send(net, GOOGLE, Encoded(body=b"{}"), LIMITS, "body")).status == 401, "not for ever"
    assert net.tokens == 3


async def test_a_plain_key_that_is_refused_is_not_tried_again() -> None:
    net = Net(Answer(401))
    assert (await target(net).send(net, PLAIN, Encoded(body=b"{}"), LIMITS, "body")).status == 401
    assert len(net.calls) == 1
    assert net.tokens == 0
