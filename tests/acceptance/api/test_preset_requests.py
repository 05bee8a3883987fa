"""Presets through a running gateway: made with a body of any dialect, used in all three."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_help import KEY, MODEL, OTHER, POOR, Api, check, running, until
from openai import DefaultAsyncHttpxClient
from test_dialects import ASKS, EACH, MESSAGES, RESPONSES, STREAMED, ask, error_type, frames, settings

from trunkline.app.clock import SystemClock
from trunkline.model.key import ANONYMOUS
from trunkline.presets.fields import encode_raw
from trunkline.storage import PresetStore, open_database
from trunkline.testing.gateway import running_gateway
from trunkline.testing.scripted import Json, ScriptedUpstream, Sse

PRESETS = "/api/v1/presets"
REFERENCES: list[dict[str, Any]] = [
    {"model": "@preset/mine"}, {"preset": "mine"}, {"model": f"{MODEL}@preset/mine"},
]  # fmt: skip
MAKES = {"chat": "chat/completions", "messages": "messages", "responses": "responses"}
"""A dialect → the end of the path that makes a preset with its bodies."""
SYSTEM = "Say it in one word."
BODIES: dict[str, dict[str, Any]] = {
    "chat": {
        "model": MODEL, "max_tokens": 7, "stop": ["END"], "temperature": 0.25, "stream": True,
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Not kept."}],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    },
    "messages": {
        "model": MODEL, "max_tokens": 7, "stop_sequences": ["END"], "temperature": 0.25, "system": SYSTEM,
        "messages": [{"role": "user", "content": "Not kept."}], "stream": True,
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
    },
    "responses": {
        "model": MODEL, "max_output_tokens": 7, "stop": ["END"], "temperature": 0.25, "instructions": SYSTEM,
        "input": "Not kept.", "stream": True,
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}],
    },
}  # fmt: skip


async def make(api: Api, dialect: str, body: Any, slug: str = "mine", key: str = KEY) -> Any:
    return await api.get(f"{PRESETS}/{slug}/{MAKES[dialect]}", key, "POST", body)


def answer() -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return Json(
        {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    )


def streamed() -> Sse:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    said = {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}]}
    end = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {**chunk, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}
    lines = b"".join(b"data: " + msgspec.json.encode(one) + b"\n\n" for one in (said, end, usage))
    return Sse(lines + b"data: [DONE]\n\n")


@STREAMED
@EACH
@pytest.mark.parametrize("origin", BODIES)
async def test_made_with_any_dialect_used_in_each(origin: str, client: str, stream: bool, tmp_path: Path) -> None:
    async with ScriptedUpstream([streamed() if stream else answer()]) as upstream:
        made = settings("chat", f"{upstream.origin}/v1")
        async with (
            running_gateway(made, folder=tmp_path) as gateway,
            DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=30) as http,
        ):
            api = Api(gateway, http)
            created = await make(api, origin, BODIES[origin])
            assert created.status == 200, created.body
            assert created.data["designated_version"]["system_prompt"] == SYSTEM
            assert b"Not kept" not in created.body
            bare = {key: said for key, said in ASKS[client][1].items() if key not in ("model", "max_tokens")}
            for reference in REFERENCES:
                got = await api.get(ASKS[client][0], KEY, "POST", {**bare, **reference, "stream": stream})
                assert got.status == 200, got.body
                assert b"Hi" in got.body
                if stream:
                    assert frames(got)
            for seen in upstream.seen:
                body = msgspec.json.decode(seen.body)
                assert body["messages"][0]["role"] in ("system", "developer")
                assert SYSTEM in str(body["messages"][0]["content"])
                assert "one two three" in str(body["messages"][1]["content"])
                assert len(body["messages"]) == 2
                assert (body["temperature"], body["stop"]) == (0.25, ["END"])
                assert 7 in (body.get("max_tokens"), body.get("max_completion_tokens"))
                assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]
                assert "preset" not in body
                assert body.get("stream", False) is stream
            records = await gateway.records()
            assert [record.preset_id for record in records] == [created.data["id"]] * 3
            told = await api.get(f"/api/v1/generation?id={records[0].id}")
            assert told.data["preset_id"] == created.data["id"]


OWN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "chat": (
        {"messages": [{"role": "system", "content": "Mine."}, *ASKS["chat"][1]["messages"]]},
        {"type": "function", "function": {"name": "look", "description": "New."}},
    ),
    "messages": ({"system": "Mine."}, {"name": "look", "description": "New.", "input_schema": {}}),
    "responses": ({"instructions": "Mine."}, {"type": "function", "name": "look", "description": "New."}),
}
"""A client dialect → a system text of the caller's, and a tool."""


@EACH
async def test_the_request_wins_and_its_system_text_comes_second(client: str, tmp_path: Path) -> None:
    async with ScriptedUpstream([answer()]) as upstream:
        made = settings("chat", f"{upstream.origin}/v1")
        async with (
            running_gateway(made, folder=tmp_path) as gateway,
            DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=30) as http,
        ):
            api = Api(gateway, http)
            body = {
                **BODIES["chat"],
                "tools": [*BODIES["chat"]["tools"], {"type": "function", "function": {"name": "g"}}],
            }
            await make(api, "chat", {**body, "model": "nobody/knows"})
            path, usual = ASKS[client]
            own, tool = OWN[client]
            request = {**usual, **own, "tools": [tool], "temperature": 1, "preset": "mine"}
            reply = await api.get(path, KEY, "POST", request)
            assert reply.status == 200, reply.body
            sent = msgspec.json.decode(upstream.seen[-1].body)
            text = "".join(str(one["content"]) for one in sent["messages"])
            assert text.index(SYSTEM) < text.index("Mine.") < text.index("one two three")
            assert sent["temperature"] == 1
            assert sent["stop"] == ["END"]
            assert [one["function"]["name"] for one in sent["tools"]] == ["look", "g"]
            assert sent["tools"][0]["function"]["description"] == "New."


@EACH
async def test_an_unknown_one_is_named_in_the_dialects_own_envelope(client: str, tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        unknown: list[tuple[dict[str, Any], str]] = [
            ({"model": "@preset/none"}, "model"),
            ({"preset": "none"}, "preset"),
            ({"preset": "none", "model": None}, "preset"),
            ({"model": f"{MODEL}@preset/none"}, "model"),
            ({"model": "@preset/" + "x" * 5000}, "model"),
            ({"model": "@preset/\x00\n"}, "model"),
        ]
        for fields, param in unknown:
            reply = await ask(api, client, **fields)
            assert reply.status == 404, reply.body
            assert error_type(client, reply.json()) == "not_found"
            message = reply.json()["error"]["message"]
            assert message.startswith(f"{param}: there is no preset '")
            assert len(message) < 250
        assert "'none'" in (await ask(api, client, preset="none")).json()["error"]["message"]
        wrong: list[dict[str, Any]] = [{"preset": 5}, {"preset": {"slug": "x"}}, {"preset": "a", "model": "@preset/b"}]
        for fields in wrong:
            reply = await ask(api, client, **fields)
            assert reply.status == 400, reply.body
            assert "preset" in reply.json()["error"]["message"]


@EACH
async def test_who_only_speaks_of_presets_is_not_bothered(client: str, tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        reply = await ask(api, client, user="preset", plugins=[{"id": "fusion", "preset": "x"}])
        assert reply.status == 200, reply.body
        assert (await ask(api, client, preset=None)).status == 200


@EACH
async def test_a_model_is_needed_somewhere(client: str, tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        await make(api, "chat", {"temperature": 1})
        reply = await ask(api, client, model="@preset/mine")
        assert reply.status == 400
        assert "model: missing" in reply.json()["error"]["message"]
        await make(api, "chat", {"models": [MODEL]})
        assert (await ask(api, client, model="@preset/mine")).status == 200


@pytest.mark.parametrize("client", ["messages", "responses"])
async def test_counting_counts_the_preset(client: str, tmp_path: Path) -> None:
    path = {"messages": f"{MESSAGES}/count_tokens", "responses": f"{RESPONSES}/input_tokens"}[client]
    async with running(tmp_path) as api:
        bare = (await ask(api, client, path)).json()["input_tokens"]
        await make(api, "messages", {"system": "word " * 500})
        assert (await ask(api, client, path, preset="mine")).json()["input_tokens"] > bare + 300
        assert (await ask(api, client, path, preset="none")).status == 404


async def test_what_a_preset_adds_is_reserved_too(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        await make(api, "chat", {"messages": [{"role": "system", "content": "word " * 1000}]}, key=POOR)
        body = {"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
        assert (await api.get(ASKS["chat"][0], POOR, "POST", body)).status == 200
        assert (await api.get(ASKS["chat"][0], POOR, "POST", {**body, "preset": "mine"})).status == 402


async def test_what_the_dialect_cannot_say_of_a_preset_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        await make(api, "chat", {"seed": 5, "model": MODEL})
        reply = await ask(api, "messages", model="@preset/mine", **{"X-OpenRouter-Metadata": "enabled"})
        losses = reply.json()["openrouter_metadata"]["translation"]["losses"]
        assert [loss["path"] for loss in losses] == ["preset.seed"]
        record = (await api.get(f"/api/v1/generation?id={reply.json()['id']}")).data
        assert record["translation"] == losses


async def test_an_error_in_a_merged_request_names_the_preset(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        await make(api, "chat", {"reasoning": {"max_tokens": 2000}, "model": MODEL})
        reply = await ask(api, "chat", preset="mine", temperature="hot")
        assert reply.status == 400
        assert reply.json()["error"]["message"].startswith("temperature: ")
        assert reply.json()["error"]["message"].endswith("(with the preset 'mine')")


# The routes.


async def test_made_listed_and_read_as_documented(shared: Any, tmp_path: Path) -> None:
    async with running(tmp_path, presets={"shared": True}) as api:
        versions: list[Any] = []
        for number, dialect in enumerate(BODIES, 1):
            reply = await make(api, dialect, BODIES[dialect], key=OTHER)
            assert reply.status == 200, reply.body
            check(shared, f"/presets/{{slug}}/{MAKES[dialect]}", reply.json(), method="post")
            versions.append(reply.data["designated_version"])
            assert versions[-1]["version"] == number
            assert reply.data["designated_version_id"] == versions[-1]["id"]
            assert versions[-1]["creator_id"] == "other"
            assert versions[-1]["config"]["stop"] == ["END"]
        await make(api, "chat", {}, "second")
        listed = await api.get(PRESETS)
        check(shared, "/presets", listed.json())
        assert [one["slug"] for one in listed.data] == ["second", "mine"]
        assert listed.json()["total_count"] == 2
        assert "designated_version" not in listed.data[0]
        assert [one["slug"] for one in (await api.get(f"{PRESETS}?limit=1&offset=1")).data] == ["mine"]
        one = await api.get(f"{PRESETS}/mine", OTHER)
        check(shared, "/presets/{slug}", one.json())
        assert one.data["designated_version"] == versions[-1]
        history = await api.get(f"{PRESETS}/mine/versions")
        check(shared, "/presets/{slug}/versions", history.json())
        assert history.data == versions
        assert history.json()["total_count"] == 3
        assert (await api.get(f"{PRESETS}/mine/versions?offset=1&limit=1")).data == versions[1:2]
        second = await api.get("/v1/presets/mine/versions/2")
        check(shared, "/presets/{slug}/versions/{version}", second.json())
        assert second.data == versions[1]
        assert await api.gateway.records() == [], "no model was asked"


async def test_what_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, server={"max_body_bytes": 400_000}) as api:
        await make(api, "chat", {})
        for path, status in {
            PRESETS: 200, f"{PRESETS}/none": 404, f"{PRESETS}/none/versions": 404, f"{PRESETS}/none/versions/1": 404,
            f"{PRESETS}/mine/versions/2": 404, f"{PRESETS}/mine/versions/0": 404, f"{PRESETS}/mine/versions/x": 404,
            f"{PRESETS}/mine/versions/{'9' * 40}": 404, f"{PRESETS}/mine/versions/²": 404, f"{PRESETS}?limit=101": 400,
            f"{PRESETS}?limit=0": 400, f"{PRESETS}?limit=x": 400, f"{PRESETS}?offset=-1": 400,
            f"{PRESETS}?offset={'9' * 30}": 400, f"{PRESETS}/mine/versions?offset=999999": 200,
            f"{PRESETS}/%00%ff": 404, f"{PRESETS}/mine/nothing": 404,
        }.items():  # fmt: skip
            reply = await api.get(path)
            assert reply.status == status, (path, reply.body)
            if status != 200:
                assert reply.json()["error"]["code"] == status
        for path in (PRESETS, f"{PRESETS}/mine", f"{PRESETS}/mine/versions", f"{PRESETS}/mine/versions/1"):
            assert (await api.get(path, "sk-wrong")).status == 401
        assert (await make(api, "chat", {}, key="sk-wrong")).status == 401
        for slug in ("-x", "a%20b", "x" * 65, "a:b", "%C3%BC", ".x", "@x", "%00"):
            reply = await make(api, "chat", {}, slug)
            assert reply.status == 400, (slug, reply.body)
            assert reply.json()["error"]["message"].startswith("slug: ")
        for slug in ("a", "A.b_c-1", "x" * 64):
            assert (await make(api, "chat", {}, slug)).status == 200
        assert (await api.get(f"{PRESETS}/mine", method="DELETE")).status == 405


HOSTILE = [
    b"", b"{", b"[]", b"5", b"null", b'"x"', b"\xff\xfe", b"{}" * 2, b'{"model": "\\ud800"}', b'{"x": 1e999}',
    b'{"messages": 5, "system": 5, "instructions": 5, "input": 5, "temperature": "x"}', b'{"tools": {}}',
    b'{"tools": [[]]}', b'{"tools": [{"type": []}]}', b'{"tool_choice": 5}', b'{"model": 5}', b'{"models": [5]}',
    b'{"model": "a", "model": "b"}', b'{"a":' * 3000 + b"1" + b"}" * 3000, b'{"cache_enabled": 1}',
    b'{"cache_ttl_seconds": 1.5}', b'{"reasoning": 5, "thinking": 5, "output_config": 5, "text": 5}',
    b'{"messages": [{"role": "system", "content": [5]}], "tools": [5]}', b'{"provider": {"nothing": 1}}',
    msgspec.json.encode({str(number): 1 for number in range(2000)}), msgspec.json.encode({"x": "y" * 300_000}),
    b'{"model": "@preset/other"}',
]  # fmt: skip


@pytest.mark.parametrize("dialect", MAKES)
async def test_hostile_bodies_make_nothing(dialect: str, tmp_path: Path) -> None:
    async with running(tmp_path, server={"max_body_bytes": 400_000}) as api:
        for body in HOSTILE:
            path = f"{api.gateway.url}{PRESETS}/bad/{MAKES[dialect]}"
            reply = await api._http.post(path, content=body, headers={"authorization": f"Bearer {KEY}"})  # pyright: ignore[reportPrivateUsage]
            assert reply.status_code == 400, (body[:80], reply.content)
            assert reply.json()["error"]["message"]
        path = f"{api.gateway.url}{PRESETS}/bad/{MAKES[dialect]}"
        large = await api._http.post(path, content=b"x" * 500_000, headers={"authorization": f"Bearer {KEY}"})  # pyright: ignore[reportPrivateUsage]
        assert large.status_code == 413
        assert (await api.get(PRESETS)).json()["total_count"] == 0


async def test_odd_ones_that_were_made_never_break_a_request(tmp_path: Path) -> None:
    odd: list[dict[str, Any]] = [
        {"tools": [{"type": "custom"}]}, {"tool_choice": {"type": "allowed_tools"}}, {"stop": list("abcd")},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}, {"x": 10**40, "models": []},
        {"tools": [{"type": "mcp", "server_label": [1]}], "tool_choice": {"type": "mcp"}},
        {"reasoning": {"effort": "max"}},
        {"messages": [{"role": "system", "content": "\x00"}]}, {"n": 3}, {"audio": {}, "modalities": ["audio"]},
    ]  # fmt: skip
    async with running(tmp_path) as api:
        for number, body in enumerate(odd):
            made = await make(api, "chat", body, f"odd{number}")
            assert made.status == 200, made.body
        for number, client in itertools.product(range(len(odd)), ASKS):
            reply = await ask(api, client, preset=f"odd{number}")
            assert reply.status in (200, 400, 404), (odd[number], client, reply.body)


async def test_another_workers_preset_is_there_within_a_moment(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        assert (await ask(api, "chat", preset="late")).status == 404
        database = await open_database(f"sqlite:///{tmp_path / 'trunkline.db'}")
        await PresetStore(database, SystemClock()).put("late", {"model": encode_raw(MODEL)}, None, "x")
        await database.close()
        await until(lambda: api.gateway.app.state.presets.find("late") is not None, 5)
        assert (await ask(api, "chat", model="@preset/late")).status == 200


async def test_without_keys_anybody_makes_them(tmp_path: Path) -> None:
    async with running(tmp_path, auth={"required": False}) as api:
        reply = await api.get(f"{PRESETS}/mine/messages", None, "POST", {"model": MODEL})
        assert reply.status == 200
        assert reply.data["designated_version"]["creator_id"] == ANONYMOUS.name


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The URL of a gateway's database; None for a file of its own."""
    monkeypatch.chdir(tmp_path)
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


async def texts(api: Api, dialect: str, key: str) -> tuple[str | None, Any]:
    """What *key* reads under the slug `mine` and in the list."""
    one = await api.get(f"{PRESETS}/mine", key)
    every = await api.get(PRESETS, key)
    assert one.status in (200, 404)
    text = None if one.status == 404 else one.data["designated_version"]["system_prompt"]
    return text, [preset["slug"] for preset in every.data]


def with_system(dialect: str, text: str) -> dict[str, Any]:
    """A body of *dialect* with the system text *text*."""
    if dialect == "chat":
        return {"model": MODEL, "messages": [{"role": "system", "content": text}]}
    return {"model": MODEL, {"messages": "system", "responses": "instructions"}[dialect]: text}


@EACH
async def test_a_preset_belongs_to_the_key_that_made_it(client: str, tmp_path: Path, database: str | None) -> None:
    async with running(tmp_path, database=database) as api:
        mine = await make(api, client, with_system(client, "Mine."))
        assert mine.status == 200
        for path in ("mine", "mine/versions", "mine/versions/1"):
            assert (await api.get(f"{PRESETS}/{path}", OTHER)).status == 404
        assert await texts(api, client, OTHER) == (None, [])
        path, body, *_ = ASKS[client]
        used = {**body, "model": "@preset/mine"}
        refused = await api.get(path, OTHER, "POST", used)
        assert refused.status == 404
        assert b"there is no preset" in refused.body
        theirs = await make(api, client, with_system(client, "Theirs."), key=OTHER)
        assert theirs.status == 200
        assert theirs.data["id"] != mine.data["id"]
        assert theirs.data["designated_version"]["version"] == 1
        assert await texts(api, client, KEY) == ("Mine.", ["mine"])
        assert await texts(api, client, OTHER) == ("Theirs.", ["mine"])
        for key, made in ((KEY, mine), (OTHER, theirs)):
            answered = await api.get(path, key, "POST", used)
            assert answered.status == 200, answered.body
            told = await api.get(f"/api/v1/generation?id={answered.headers['x-generation-id']}", key)
            assert told.data["preset_id"] == made.data["id"]


@EACH
async def test_the_operator_can_let_all_keys_share(client: str, tmp_path: Path, database: str | None) -> None:
    async with running(tmp_path, database=database) as api:
        assert (await make(api, client, with_system(client, "Mine."))).status == 200
    async with running(tmp_path, database=database, presets={"shared": True}) as api:
        assert await texts(api, client, KEY) == (None, [])
        assert (await make(api, client, with_system(client, "First."))).status == 200
        second = await make(api, client, with_system(client, "Second."), key=OTHER)
        assert second.data["designated_version"]["version"] == 2
        for key in (KEY, OTHER):
            assert await texts(api, client, key) == ("Second.", ["mine"])
            assert (await ask(api, client, model="@preset/mine")).status == 200
    async with running(tmp_path, database=database) as api:
        assert await texts(api, client, KEY) == ("Mine.", ["mine"])
        assert await texts(api, client, OTHER) == ("Second.", ["mine"])
        assert (await make(api, client, with_system(client, "Own."), key=OTHER)).status == 200
        assert await texts(api, client, OTHER) == ("Own.", ["mine"])
        assert await texts(api, client, POOR) == ("Second.", ["mine"])


@pytest.mark.parametrize("path", ["/api/v1/messages/count_tokens", "/api/v1/responses/input_tokens", "/api/v1/route"])
async def test_whoever_only_counts_or_plans_needs_the_preset_too(path: str, tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        assert (await make(api, "chat", BODIES["chat"])).status == 200
        body: dict[str, Any] = {"model": "@preset/mine", "messages": [{"role": "user", "content": "one"}]}
        if "responses" in path:
            body = {"model": "@preset/mine", "input": "one"}
        assert (await api.get(path, KEY, "POST", body)).status == 200
        assert (await api.get(path, OTHER, "POST", body)).status == 404
