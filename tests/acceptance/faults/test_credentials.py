"""Faults that are about us rather than about one request: stale connections, limits, refused credentials, and requests
that a provider finds fault with. Source: docs/reference/reliability.md, U16 and U18–U20."""

# ruff: noqa: N802 - names begin with the ids of the specification

import datetime
import email.utils
import json
from typing import Any

import openai
import pytest
from faults_upstream import Good, check_record, check_refusal, check_whole, good, refused
from faults_wire import Gateway, Wire, ask, chat, post

from trunkline.testing.gateway import MODEL, PROVIDER_KEY
from trunkline.testing.scripted import Close, HalfClose, Json, Rst, Script, ScriptedUpstream, Seen, Status

MESSAGES: Any = [{"role": "user", "content": "Say hello."}]


@pytest.mark.parametrize("end", [[Close()], [HalfClose()], [Rst()]], ids=["U16-fin", "U16-half", "U16-rst"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_a_stale_connection_is_replaced_and_nobody_notices(gateway: Gateway, end: Script, stream: bool) -> None:
    async with (
        ScriptedUpstream([Good(), *end], [Good()]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}) as running,
    ):
        for _ in range(2):
            check_whole(await ask(running.port, chat(stream=stream)), stream=stream)
        assert len(upstream.seen) == 2
        assert [record.attempts for record in await running.records()] == [(), ()]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_U16_a_connection_that_closes_on_the_next_request_is_replaced_once(
    gateway: Gateway, stream: bool
) -> None:
    async with (
        ScriptedUpstream([Good()], [Close()], [Good()]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}) as running,
    ):
        for _ in range(2):
            check_whole(await ask(running.port, chat(stream=stream)), stream=stream)
        assert [seen.connection for seen in upstream.seen] == [0, 0, 1]
        assert running.network.stale_retries == 1


async def test_U16_a_connection_is_used_again(gateway: Gateway) -> None:
    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:
        async with await Wire.open(running.port) as wire:
            for turn in range(6):
                await wire.send(post(chat(stream=turn % 2 == 0)))
                check_whole(await wire.answer(), stream=turn % 2 == 0)
        assert upstream.accepted == 1


NOW = 1_800_000_000.0
DATE = email.utils.format_datetime(datetime.datetime.fromtimestamp(NOW + 40, datetime.UTC), usegmt=True)
INFO = {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]}}

WAITS: dict[str, tuple[dict[str, str], Any, tuple[int, int] | None]] = {
    "seconds": ({"retry-after": "30"}, {}, (28, 30)),
    "fraction": ({"retry-after": "12.5"}, {}, (11, 13)),
    "date": ({"retry-after": "DATE"}, {}, (36, 41)),
    "ms": ({"retry-after-ms": "20000", "retry-after": "99"}, {}, (18, 20)),
    "reset-requests": ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m5s"}, {}, (63, 65)),
    "reset-tokens": ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.66s"}, {}, (6, 8)),
    "reset": ({"x-ratelimit-reset": "25"}, {}, (23, 25)),
    "retry-info": ({}, INFO, (15, 17)),
    "retry-info-in-a-list": ({}, [INFO], (15, 17)),
    "huge": ({"retry-after": "1000000000"}, {}, (598, 600)),
    "huge-ms": ({"retry-after-ms": "1e12"}, {}, (598, 600)),
    "none": ({}, {}, None),
    "garbage": ({"retry-after": "soon"}, {}, None),
    "nan": ({"retry-after": "nan"}, {}, None),
    "infinite": ({"retry-after": "inf"}, {}, None),
    "digits": ({"retry-after": "9" * 5000}, {}, None),
    "zero": ({"retry-after": "0"}, {}, (0, 0)),
    "negative": ({"retry-after": "-5"}, {}, (0, 0)),
    "past": ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, {}, (0, 0)),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize("name", WAITS, ids=lambda name: f"U18-{name}")
async def test_a_limited_credential_rests_as_it_was_told(gateway: Gateway, name: str, stream: bool) -> None:
    headers, body, wait = WAITS[name]
    if headers.get("retry-after") == "DATE":
        then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=40)
        headers = {"retry-after": email.utils.format_datetime(then, usegmt=True)}
    async with ScriptedUpstream([Json(body, 429, headers)]) as bad, good() as other:
        async with gateway({"bad": f"{bad.origin}/v1"}) as running:
            answer = await ask(running.port, chat(stream=stream))
            check_refusal(answer, (429,), ("rate_limit_exceeded",), "bad")
            await check_record(running, answer, "failed", provider="bad", causes=1)
            if wait is not None and wait[0]:
                assert wait[0] <= int(answer.headers["retry-after"]) <= wait[1] + 1
                assert answer.headers["x-should-retry"] == "true"
            asked = len(bad.seen)
            assert asked == 1
            answer = await ask(running.port, chat(stream=stream))
            check_refusal(answer, (429,), ("rate_limit_exceeded",), "bad")
            if wait is None:
                assert len(bad.seen) == asked, "for a second, where nobody said how long"
            elif wait[1]:
                assert len(bad.seen) == asked
                assert wait[0] - 2 <= int(answer.headers["retry-after"]) <= wait[1] + 1
            else:
                assert len(bad.seen) == asked + 1
        bad.seen.clear()
        async with gateway({"bad": f"{bad.origin}/v1", "good": f"{other.origin}/v1"}) as running:
            for _ in range(2):
                check_whole(await ask(running.port, chat(stream=stream)), stream=stream)
            assert len(bad.seen) == (2 if wait == (0, 0) else 1)


async def test_U18_the_other_credential_is_used_and_the_smallest_wait_is_told(gateway: Gateway) -> None:
    def choose(seen: Any) -> Script:
        if seen.headers["authorization"].endswith("one"):
            return [Json({}, 429, {"retry-after": "50"})]
        served.append(seen)
        return [Json({}, 429, {"retry-after": "20"}) if len(served) > 1 else Good()]

    served: list[Any] = []
    keys = {"credentials": [{"api_key": f"{PROVIDER_KEY}-one"}, {"api_key": f"{PROVIDER_KEY}-two"}]}
    async with (
        ScriptedUpstream(choose=choose) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, provider=keys) as running,
    ):
        answers = [await ask(running.port, chat(stream=False)) for _ in range(4)]
        assert sum(answer.status == 200 for answer in answers) == 1
        check_refusal(answers[-1], (429,), ("rate_limit_exceeded",), "a")
        assert 17 <= int(answers[-1].headers["retry-after"]) <= 20
        assert len(upstream.seen) == 3
        assert answers[-1].json["error"]["metadata"]["retry_after"] <= 20


async def test_U18_the_official_client_raises_and_waits_as_told(gateway: Gateway) -> None:
    async with (
        ScriptedUpstream([Json({}, 429, {"retry-after": "500"})]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}) as running,
    ):
        for stream in (True, False):
            async with openai.AsyncOpenAI(base_url=running.api, api_key=running.key) as client:
                with pytest.raises(openai.RateLimitError):
                    await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=stream)
        assert len(upstream.seen) == 1


DENIED = {
    "U19-401": (401, {"error": {"message": "Incorrect API key SECRET", "code": "invalid_api_key"}}),
    "U19-402": (402, {"error": {"message": "SECRET account has no money"}}),
    "U19-403": (403, {"error": {"message": "SECRET project is closed"}}),
    "U19-429-money": (429, {"error": {"message": "SECRET", "code": "insufficient_quota"}}),
    "U19-empty": (401, None),
}


@pytest.mark.parametrize("name", DENIED)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_a_refused_credential_is_ours_and_leaves_the_pool(
    gateway: Gateway, name: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    status, body = DENIED[name]
    action = Status(status) if body is None else Json(body, status)
    async with ScriptedUpstream([action]) as bad, good() as other:
        async with gateway({"bad": f"{bad.origin}/v1"}) as running:
            answer = await ask(running.port, chat(stream=stream))
            check_refusal(answer, (502,), ("provider_unavailable",), "bad")
            assert answer.headers["x-should-retry"] == "false"
            record = await check_record(running, answer, "failed", provider="bad", causes=1)
            assert record.attempts[0].status == status
            check_refusal(await ask(running.port, chat(stream=stream)), (502,), ("provider_unavailable",), "bad")
            assert len(bad.seen) == 1, "it is in quarantine"
            async with openai.AsyncOpenAI(base_url=running.api, api_key=running.key) as client:
                with pytest.raises(openai.InternalServerError):
                    await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=stream)
            assert len(await running.records()) == 3, "the client did not try again"
        assert any("was refused with status" in line for line in caplog.messages), "somebody must be told"
        assert PROVIDER_KEY not in caplog.text
        bad.seen.clear()
        async with gateway({"bad": f"{bad.origin}/v1", "good": f"{other.origin}/v1"}) as running:
            for _ in range(3):
                check_whole(await ask(running.port, chat(stream=stream)), stream=stream)
            assert len(bad.seen) == 1


def keys_of(*names: str, **more: Any) -> dict[str, Any]:
    """A provider with a credential for each of *names*, with which it ends."""
    return {"credentials": [{"api_key": f"{PROVIDER_KEY}-{name}"} for name in names], **more}


def key_of(seen: Seen) -> str:
    return seen.headers["authorization"].rpartition("-")[2]


CREDENTIAL_FAULTS = {
    "401": Status(401),
    "402": Status(402),
    "403": Status(403),
    "429": Status(429, {"retry-after": "30"}),
    "429-now": Status(429, {"retry-after": "0"}),
    "429-untold": Status(429),
}


@pytest.mark.parametrize("fault", CREDENTIAL_FAULTS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_U19_a_request_goes_on_with_the_next_credential(
    gateway: Gateway, fault: str, path: str, stream: bool
) -> None:
    """Within the request: every client gets its answer, whichever credential's turn it was."""

    def choose(seen: Seen) -> Script:
        return [CREDENTIAL_FAULTS[fault] if key_of(seen) in ("one", "two") else Good()]

    asked = chat(stream=stream)
    if "responses" in path:
        asked = {"model": asked["model"], "input": "Say hello.", "stream": stream}
    async with (
        ScriptedUpstream(choose=choose) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, provider=keys_of("one", "two", "three")) as running,
    ):
        for _ in range(3):
            assert (
                await ask(running.port, {**asked, "max_tokens": 9} if "messages" in path else asked, path=path)
            ).status == 200
        records = await running.records()
        assert [record.status for record in records] == ["completed"] * 3
        asked_keys = [key_of(seen) for seen in upstream.seen]
        assert asked_keys.count("three") == 3
        if fault != "429-now":  # the others rest from then on
            assert sorted(asked_keys) == ["one", "three", "three", "three", "two"]


async def test_U19_every_credential_is_tried_once_and_then_the_next_endpoint(gateway: Gateway) -> None:
    async with (
        ScriptedUpstream(choose=lambda _: [Status(429, {"retry-after": "0"})]) as limited,
        good() as other,
        gateway(
            {"a": f"{limited.origin}/v1", "b": f"{other.origin}/v1"}, provider=keys_of("one", "two", "three")
        ) as running,
    ):
        check_whole(await ask(running.port, chat(stream=True)), stream=True)
        assert sorted(key_of(seen) for seen in limited.seen) == ["one", "three", "two"]
        assert len(other.seen) == 1


@pytest.mark.parametrize("scope", ["model", "credential"])
async def test_U18_a_limit_is_of_a_model_unless_the_operator_says_otherwise(gateway: Gateway, scope: str) -> None:
    def choose(seen: Seen) -> Script:
        return [Status(429, {"retry-after": "60"}) if json.loads(seen.body)["model"] == "busy" else Good()]

    endpoint = {"provider": "a", "price": {"prompt": 1, "completion": 1}}
    models = {f"acme/{name}": {"endpoints": [{**endpoint, "upstream_model": name}]} for name in ("busy", "free")}
    async with (
        ScriptedUpstream(choose=choose) as upstream,
        gateway(
            {"a": f"{upstream.origin}/v1"}, provider=keys_of("one", rate_limit_scope=scope), models=models
        ) as running,
    ):
        assert (await ask(running.port, {**chat(stream=False), "model": "acme/busy"})).status == 429
        assert (await ask(running.port, {**chat(stream=False), "model": "acme/busy"})).status == 429
        status = (await ask(running.port, {**chat(stream=False), "model": "acme/free"})).status
        assert status == (200 if scope == "model" else 429)
        assert len(upstream.seen) == (2 if scope == "model" else 1)


async def test_U19_a_refused_credential_rests_for_all_models_and_a_forbidden_one_for_its_model(
    gateway: Gateway,
) -> None:
    statuses = {"unauthorized": 401, "forbidden": 403}

    def choose(seen: Seen) -> Script:
        found = statuses.get(json.loads(seen.body)["model"])
        return [Good() if found is None else Status(found)]

    for model, status in statuses.items():
        endpoint = {"provider": "a", "price": {"prompt": 1, "completion": 1}}
        models = {f"acme/{name}": {"endpoints": [{**endpoint, "upstream_model": name}]} for name in (model, "free")}
        async with (
            ScriptedUpstream(choose=choose) as upstream,
            gateway({"a": f"{upstream.origin}/v1"}, provider=keys_of("one"), models=models) as running,
        ):
            assert (await ask(running.port, {**chat(stream=False), "model": f"acme/{model}"})).status == 502
            answer = await ask(running.port, {**chat(stream=False), "model": "acme/free"})
            assert answer.status == (502 if status == 401 else 200)


REJECTED = {
    "U20-context": (400, {"error": {"message": "This model's maximum context length is 8192 tokens.",
                                    "code": "context_length_exceeded"}}, "context_length_exceeded"),
    "U20-policy": (400, {"error": {"message": "The response was filtered by the content management policy.",
                                   "code": "content_filter"}}, "content_policy_violation"),
    "U20-400": (400, {"error": {"message": "temperature must be below 2", "param": "temperature"}}, "invalid_request"),
    "U20-422": (422, {"detail": [{"loc": ["body", "x"], "msg": "field required"}]}, "invalid_request"),
    "U20-413": (413, {"error": {"message": "too large"}}, "context_length_exceeded"),
}  # fmt: skip


@pytest.mark.parametrize("name", REJECTED)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_what_a_provider_finds_wrong_is_told(gateway: Gateway, name: str, stream: bool) -> None:
    status, body, kind = REJECTED[name]
    async with ScriptedUpstream([Json(body, status)]) as bad, gateway({"bad": f"{bad.origin}/v1"}) as running:
        answer = await ask(running.port, chat(stream=stream))
        check_refusal(answer, (400, 413), (kind,), "bad")
        words = json.dumps(body)
        assert answer.json["error"]["message"].split(" ")[-1].strip('."}]') in words
        await check_record(running, answer, "failed", provider="bad", causes=1)
        async with openai.AsyncOpenAI(base_url=running.api, api_key=running.key) as client:
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=stream)
        assert len(bad.seen) == 2, "the client's own fault is not tried again"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_U20_a_rejected_request_is_not_shown_to_the_next_endpoint(gateway: Gateway, stream: bool) -> None:
    async with (
        ScriptedUpstream([Json({"error": {"message": "no"}}, 400)]) as bad,
        good() as other,
        gateway({"bad": f"{bad.origin}/v1", "good": f"{other.origin}/v1"}) as running,
    ):
        assert (await ask(running.port, chat(stream=stream))).status == 400
        assert other.seen == []


async def test_what_three_endpoints_did_wrong_is_told_in_order(gateway: Gateway) -> None:
    async with ScriptedUpstream([Status(500)]) as one, ScriptedUpstream([Json({}, 429, {"retry-after": "9"})]) as two:
        with refused() as three:
            providers = {"one": one.origin, "two": two.origin, "three": three, "four": one.origin}
            async with gateway({slug: f"{origin}/v1" for slug, origin in providers.items()}) as running:
                answer = await ask(running.port, chat(stream=True))
                check_refusal(answer, (502,), ("provider_unavailable",), "three")
                before = answer.json["error"]["metadata"]["previous_errors"]
                assert [(error["provider"], error["code"]) for error in before] == [("one", 500), ("two", 429)]
                record = await check_record(running, answer, "failed", provider="three", causes=3)
                causes = [attempt.cause for attempt in record.attempts]
                assert causes == ["UpstreamFailed", "UpstreamLimited", "UpstreamUnreachable"]


@pytest.mark.parametrize("status", [400, 401, 429, 500], ids=lambda status: f"U20-echo-{status}")
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_a_key_that_a_provider_repeats_goes_no_further(gateway: Gateway, status: int, stream: bool) -> None:
    def choose(seen: Seen) -> Script:
        return [Json({"error": {"message": f"what is {seen.headers['authorization']} at 8?"}}, status)]

    async with (
        ScriptedUpstream(choose=choose) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}) as running,
    ):
        answer = await ask(running.port, chat(stream=stream))
        assert answer.status == (502 if status in (401, 500) else status)
        await check_record(running, answer, "failed", provider="a", causes=1)
        assert PROVIDER_KEY not in answer.body.decode()
