"""The routes that are not inference: what they say, to whom, and in OpenRouter's own schemas."""

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from api_help import CHAT, KEY, LATE, LIMIT, MODEL, OTHER, POOR, Api, Reply, check, running

Shared = Callable[[str], Path]

PREFIXES = ("/api/v1", "/v1")


def cost_of(reply: Reply) -> Decimal:
    return Decimal(str(reply.json()["usage"]["cost"]))


async def spent(api: Api, key: str) -> Decimal:
    return Decimal(str((await api.get("/api/v1/key", key)).data["usage"]))


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_key(prefix: str, tmp_path: Path, shared: Shared) -> None:
    async with running(tmp_path) as api:
        before = await api.get(f"{prefix}/key", POOR)
        assert before.status == 200
        assert (before.data["limit"], before.data["limit_remaining"], before.data["usage"]) == (LIMIT, LIMIT, 0)
        cost = cost_of(await api.chat(POOR))
        assert cost > 0
        after = (await api.get(f"{prefix}/key", POOR)).data
        assert Decimal(str(after["usage"])) == cost
        assert Decimal(str(after["limit_remaining"])) == Decimal(str(LIMIT)) - cost
        for name in ("usage_daily", "usage_weekly", "usage_monthly"):
            assert Decimal(str(after[name])) == cost
        other = (await api.get(f"{prefix}/key", OTHER)).data
        assert (other["usage"], other["limit"], other["limit_remaining"]) == (0, None, None)
        assert POOR not in str(after), "a label is no secret"
        check(shared, "/key", before.json())


async def test_key_after_the_journal_was_flushed(tmp_path: Path) -> None:
    """The sum is the same wherever the records are at the moment."""
    async with running(tmp_path) as api:
        total = Decimal(0)
        for _ in range(3):
            total += cost_of(await api.chat())
            assert await spent(api, OTHER) == 0
            first = (await api.get("/api/v1/key")).data
            await api.gateway.parts.flusher.flush()
            second = (await api.get("/api/v1/key")).data
            assert first == second
            assert Decimal(str(second["usage_daily"])) == total


async def test_credits(tmp_path: Path, shared: Shared) -> None:
    async with running(tmp_path) as api:
        cost = cost_of(await api.chat(POOR))
        found = await api.get("/api/v1/credits", POOR)
        assert found.data["total_credits"] == LIMIT
        assert Decimal(str(found.data["total_usage"])) == cost
        check(shared, "/credits", found.json())


async def test_generation(tmp_path: Path, shared: Shared) -> None:
    async with running(tmp_path) as api:
        made = await api.chat(user="ann", session_id="s-1")
        id_ = made.headers["x-generation-id"]
        check(shared, "/generation", (await api.get(f"/api/v1/generation?id={id_}")).json())
        for _ in range(2):  # from the journal, then from the database
            for prefix in PREFIXES:
                found = await api.get(f"{prefix}/generation?id={id_}")
                assert found.status == 200
                assert found.data["id"] == id_
                assert Decimal(str(found.data["total_cost"])) == cost_of(made)
                assert (found.data["external_user"], found.data["session_id"]) == ("ann", "s-1")
            assert (await api.get(f"/api/v1/generation?id={id_}", OTHER)).status == 404
            assert (await api.get(f"/api/v1/generation?id={id_}", None)).status == 401
            await api.gateway.parts.flusher.flush()
        unknown = await api.get("/api/v1/generation?id=gen-1-nothing", OTHER)
        others = await api.get(f"/api/v1/generation?id={id_}", OTHER)
        assert others.body.replace(id_.encode(), b"") == unknown.body.replace(b"gen-1-nothing", b""), "not told apart"
        assert (await api.get("/api/v1/generation")).status == 400


async def test_models(tmp_path: Path, shared: Shared) -> None:
    async with running(tmp_path) as api:
        for path in ("/api/v1/models", "/v1/models", "/api/v1/models/user"):
            found = await api.get(path, None)  # without a key, as on OpenRouter
            assert found.status == 200
            (model,) = [model for model in found.data if model["id"] == MODEL]
            assert (model["name"], model["context_length"]) == ("Priced", 8192)
            assert Decimal(model["pricing"]["prompt"]) == Decimal("0.000001")
            assert Decimal(model["pricing"]["completion"]) == Decimal("0.000004")
            assert "demo/echo" in {model["id"] for model in found.data}
        check(shared, "/models", found.json())
        count = await api.get("/api/v1/models/count", None)
        assert count.data["count"] == len(found.data)
        check(shared, "/models/count", count.json())
        one = await api.get(f"/api/v1/model/{MODEL}", None)
        assert one.data["id"] == MODEL
        check(shared, "/model/{author}/{slug}", one.json())
        assert (await api.get(f"/api/v1/model/{LATE}", None)).data["id"] == MODEL


async def test_endpoints(tmp_path: Path, shared: Shared) -> None:
    async with running(tmp_path) as api:
        found = await api.get(f"/api/v1/models/{MODEL}/endpoints", None)
        assert found.status == 200
        assert found.data["id"] == MODEL
        (endpoint,) = found.data["endpoints"]
        assert endpoint["provider_name"] == "Demo"
        assert endpoint["max_completion_tokens"] == 100
        assert Decimal(endpoint["pricing"]["completion"]) == Decimal("0.000004")
        missing = await api.get("/api/v1/models/acme/nothing/endpoints", None)
        assert missing.status == 404
        assert missing.json()["error"]["code"] == 404
        check(shared, "/models/{author}/{slug}/endpoints", found.json())


async def test_providers(tmp_path: Path, shared: Shared) -> None:
    async with running(tmp_path) as api:
        found = await api.get("/api/v1/providers", None)
        assert [provider["slug"] for provider in found.data] == ["demo"]
        check(shared, "/providers", found.json())


async def test_health(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        for path in ("/health/live", "/health/ready"):
            found = await api.get(path, None)
            assert (found.status, found.json()) == (200, {"status": "ok"})
        api.gateway.parts.journal.healthy = False
        assert (await api.get("/health/live", None)).status == 200
        ready = await api.get("/health/ready", None)
        assert (ready.status, ready.json()["status"]) == (503, "unavailable")
        refused = await api.chat()
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1
        api.gateway.parts.journal.healthy = True
        api.gateway.app.state.draining = True
        assert (await api.get("/health/ready", None)).json()["reason"] == "draining"
        assert (await api.chat()).status == 503


def counted(text: str, name: str) -> float:
    """The sum over a metric's labels."""
    lines = [line for line in text.splitlines() if re.match(rf"{name}(\{{| )", line)]
    assert lines, f"no {name}"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def test_metrics(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        await api.chat()
        await api.chat(stream=True)
        await api.chat(demo={"error": 500})
        await api.chat("sk-wrong")
        found = await api.get("/metrics", None)
        text = found.body.decode()
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    for name in re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE):
        assert name.startswith("trunkline_")
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(r"[a-z_]+(\{.*\})? [0-9.e+-]+(Inf|NaN)?", line), line
    assert MODEL in text
    assert "sk-" not in text
    assert "one two three" not in text


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def envelope(reply: Reply, status: int, kind: str) -> dict[str, Any]:
    """The error object, after its form was looked at. Source: docs/reference/reliability.md, "Error contract"."""
    assert reply.status == status
    assert reply.headers["content-type"] == "application/json"
    error: dict[str, Any] = reply.json()["error"]
    assert error["code"] == status
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["metadata"]["error_type"] == kind
    return error


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("key", [None, "sk-wrong"])
async def test_401(prefix: str, key: str | None, tmp_path: Path, shared: Shared) -> None:
    async with running(tmp_path) as api:
        for path in ("/key", "/credits", "/generation?id=gen-1-x"):
            reply = await api.get(prefix + path, key)
            envelope(reply, 401, "authentication")
        for stream in (True, False):
            reply = await api.chat(key, f"{prefix}/chat/completions", stream=stream)
            envelope(reply, 401, "authentication")
            assert "x-generation-id" in reply.headers
        check(shared, "/chat/completions", reply.json(), 401, "post")
        assert await api.gateway.records() == []


async def test_a_stranger_learns_nothing_of_the_body(tmp_path: Path) -> None:
    """Auth comes first: whatever is wrong with the body, the answer is the same."""
    async with running(tmp_path) as api:
        for body in (b"{", b"[]", {"model": "acme/nothing"}):
            content = None if isinstance(body, bytes) else body
            reply = await api.get(CHAT, "sk-wrong", "POST", content)
            envelope(reply, 401, "authentication")


@pytest.mark.parametrize("stream", [True, False])
async def test_402(stream: bool, tmp_path: Path, shared: Shared) -> None:
    async with running(tmp_path) as api:
        reply = await api.chat(POOR, stream=stream, max_tokens=1_000_000)
        error = envelope(reply, 402, "payment_required")
        assert "fewer max_tokens" in error["message"]
        check(shared, "/chat/completions", reply.json(), 402, "post")
        assert (await api.chat(POOR, stream=stream)).status == 200, "a smaller one still fits"


async def test_404(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        for path in ("/api/v1/nothing", "/api/v2/models", "/v1/", "/nothing"):
            for method in ("GET", "POST"):
                envelope(await api.get(path, method=method), 404, "not_found")


async def test_405(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        for method, path in (("POST", "/api/v1/models"), ("DELETE", "/api/v1/key"), ("PUT", "/health/live")):
            reply = await api.get(path, method=method)
            assert reply.status == 405
            assert reply.json()["error"]["code"] == 405
            assert "GET" in reply.headers["allow"]
        for prefix in PREFIXES:
            for method in ("GET", "DELETE", "PUT"):
                reply = await api.get(f"{prefix}/chat/completions", method=method)
                assert reply.status == 405, (method, reply.status)
                assert reply.json()["error"]["code"] == 405
                assert "POST" in reply.headers["allow"]


async def test_a_websocket_is_told_to_use_http(tmp_path: Path) -> None:
    upgrade = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": "eA==",
        "sec-websocket-version": "13",
    }
    async with running(tmp_path) as api:
        for path in ("/v1/responses", "/api/v1/responses", "/v1/chat/completions"):
            reply = await api.get(path, **upgrade)
            assert (reply.status, reply.headers["upgrade"]) == (426, "HTTP/1.1")
            assert reply.json()["error"]["code"] == 426


LISTED, LOCAL, FOREIGN = "https://a.example", "http://localhost:3000", "https://evil.example"


@pytest.mark.parametrize(
    ("allowed", "readers"),
    [(None, {LOCAL}), ([], set()), ([LISTED], {LISTED}), (["*"], {LISTED, LOCAL, FOREIGN})],
    ids=["default", "none", "listed", "any"],
)
async def test_pages_of_allowed_origins_may_read(tmp_path: Path, allowed: list[str] | None, readers: set[str]) -> None:
    """CORS headers are sent to allowed origins alone, whatever the route and its response."""
    async with running(tmp_path, server={"allowed_origins": allowed}) as api:
        for origin in (LISTED, LOCAL, FOREIGN):
            asked = {"origin": origin}
            preflight = asked | {"access-control-request-method": "POST", "access-control-request-headers": "x-a"}
            body = {"model": MODEL, "messages": [{"role": "user", "content": "one"}]}
            replies = [
                await api.get(CHAT, None, "OPTIONS", **preflight),
                await api.get("/api/v1/models", None, "OPTIONS", **preflight),
                await api.get("/api/v1/models", **asked),
                await api.get("/api/v1/key", "sk-wrong", **asked),
                await api.get(CHAT, KEY, "POST", body, **asked),
                await api.get(CHAT, KEY, "POST", body | {"stream": True}, **asked),
                await api.get(CHAT, "sk-wrong", "POST", body, **asked),
            ]
            for reply in replies:
                allow = reply.headers.get("access-control-allow-origin")
                assert allow in ({"*", origin} if origin in readers else {None}), (origin, reply.status, allow)
        assert "access-control-allow-origin" not in (await api.get("/api/v1/models")).headers or "*" in (allowed or [])


async def test_a_model_nobody_has(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        reply = await api.chat(model="acme/nothing")
        assert reply.status == 400
        assert "acme/nothing is not a valid model ID" in reply.json()["error"]["message"]
        assert await api.gateway.records() == []


async def test_without_keys(tmp_path: Path) -> None:
    async with running(tmp_path, auth={"required": False}) as api:
        for key in (None, "sk-wrong"):
            assert (await api.chat(key)).status == 200
            assert (await api.get("/api/v1/key", key)).status == 200
        records = await api.gateway.records()
        assert len({record.key_id for record in records}) == 1
        assert await spent(api, "sk-wrong") > 0
        assert await spent(api, OTHER) == 0, "a key we know is that key"
