"""Credentials that are no plain keys, through a whole gateway: access tokens that end (U45), and signatures."""

# ruff: noqa: N802 - names begin with the ids of the specification

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from faults_upstream import Good, check_refusal, check_whole
from faults_wire import Gateway, ask, chat

from trunkline.providers.sigv4 import sign
from trunkline.testing.gateway import MODEL
from trunkline.testing.scripted import Exchange, Json, Script, ScriptedUpstream, Seen

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
REFUSED: Any = {"error": {"code": 401, "message": "Request had invalid authentication credentials."}}


class Google:
    """A provider with a token endpoint beside it: tokens are counted, and can be taken back."""

    def __init__(self) -> None:
        self.asked = 0
        self.refused = 0
        self.revoked: set[str] = set()
        self.grants = True

    def __call__(self, seen: Seen) -> Script:
        if seen.path == "/token":
            self.asked += 1
            if not self.grants:
                return [Json({"error": "invalid_grant", "error_description": "account is gone"}, status=400)]
            return [Slow(), Json({"access_token": f"ya29.{self.asked}", "expires_in": 3599, "token_type": "Bearer"})]
        if seen.headers["authorization"].removeprefix("Bearer ") in self.revoked:
            self.refused += 1
            return [Json(REFUSED, status=401)]
        return [Good()]


class Slow:
    """Long enough for others to wait, too."""

    async def play(self, exchange: Exchange) -> None:
        await asyncio.sleep(0.05)


def account(origin: str) -> dict[str, Any]:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    said = {
        "type": "service_account",
        "client_email": "svc@p.iam.gserviceaccount.com",
        "private_key": pem,
        "private_key_id": "1",
        "token_uri": f"{origin}/token",
    }
    return {"auth": "google", "credentials": [{"service_account": json.dumps(said)}]}


async def test_U45_calls_that_come_at_once_ask_for_one_token_and_renew_it_once(gateway: Gateway) -> None:
    google = Google()
    async with (
        ScriptedUpstream(choose=google) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, provider=account(upstream.origin)) as running,
    ):
        for answer in await asyncio.gather(*(ask(running.port, chat(stream=n % 2 == 0)) for n in range(6))):
            assert answer.status == 200
        assert google.asked == 1
        google.revoked.add("ya29.1")
        for answer in await asyncio.gather(*(ask(running.port, chat(stream=False)) for _ in range(6))):
            check_whole(answer, stream=False)
        assert google.refused >= 1
        assert google.asked == 2
        assert all(record.attempts == () for record in await running.records())
        form = next(parse_qs(seen.body.decode()) for seen in upstream.seen if seen.path == "/token")
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        assert form["assertion"][0].count(".") == 2


async def test_U45_an_account_that_gets_no_token_rests_and_its_words_stay_with_us(gateway: Gateway) -> None:
    google = Google()
    google.grants = False
    async with (
        ScriptedUpstream(choose=google) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, provider=account(upstream.origin)) as running,
    ):
        answer = await ask(running.port, chat(stream=False))
        check_refusal(answer, (502,), ("provider_unavailable",), "a")
        assert "account is gone" not in answer.body.decode()
        await ask(running.port, chat(stream=False))
        assert google.asked == 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_every_call_is_signed(gateway: Gateway, stream: bool) -> None:
    keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "SECRET-marker", "session_token": "SESSION-marker"}
    async with (
        ScriptedUpstream([Good()]) as upstream,
        gateway(
            {"a": f"{upstream.origin}/v1"},
            provider={"auth": "sigv4", "region": "us-east-1", "credentials": [keys]},
        ) as running,
    ):
        check_whole(await ask(running.port, chat(stream=stream)), stream=stream)
        (seen,) = upstream.seen
        assert seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        assert "/us-east-1/bedrock/aws4_request" in seen.headers["authorization"]
        assert seen.headers["x-amz-security-token"] == "SESSION-marker"
        assert "SECRET-marker" not in str(seen.headers)
        when = datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        again = sign(
            method="POST",
            host=upstream.origin.removeprefix("http://"),
            path=seen.path,
            query="",
            headers=(),
            body=seen.body,
            access_key_id="AKIDEXAMPLE",
            secret_access_key="SECRET-marker",
            session_token="SESSION-marker",
            region="us-east-1",
            service="bedrock",
            now=when.timestamp(),
        )
        assert dict(again)["authorization"] == seen.headers["authorization"], "what left is what was signed"


ANSWER: Any = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_700_000_000,
    "status": "completed",
    "model": "x",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello there", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
}


async def test_a_further_dialect_is_relayed_to_its_own_address(gateway: Gateway) -> None:
    def choose(seen: Seen) -> Script:
        return [Json(ANSWER)] if seen.path == "/responses-here/v1/responses" else [Good()]

    async with ScriptedUpstream(choose=choose) as upstream:
        also = {"also": {"responses": f"{upstream.origin}/responses-here/v1"}, "quirks": {"body": {"odd": 1}}}
        async with gateway({"a": f"{upstream.origin}/v1"}, provider=also) as running:
            check_whole(await ask(running.port, chat(stream=False)), stream=False)
            body = {"model": MODEL, "input": "Say hello.", "store": False}
            answer = await ask(running.port, body, path="/api/v1/responses")
            assert answer.status == 200, answer.body
            assert answer.json["output"][0]["content"][0]["text"] == "Hello there"
        chat_, responses = upstream.seen
        assert (chat_.path, responses.path) == ("/v1/chat/completions", "/responses-here/v1/responses")
        assert json.loads(chat_.body)["odd"] == 1
        assert "odd" not in json.loads(responses.body), "a quirk of the main dialect"
        assert json.loads(responses.body)["input"] == "Say hello."
        assert chat_.headers["authorization"] == responses.headers["authorization"]
