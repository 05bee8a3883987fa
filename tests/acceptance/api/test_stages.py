"""Stages, steps and inner calls, in each dialect, streamed and not."""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from api_help import KEY, MODEL, Api, Reply, running, until
from msgspec.structs import replace
from test_dialects import ASKS, EACH, STREAMED, ask, error_type, frames

from trunkline.dialects.interfaces import Call
from trunkline.engine.stages import Answered, EventTransform, StageContext
from trunkline.model.errors import Forbidden
from trunkline.model.events import ChoiceEnded, Delta, Event, PartEnded, PartStarted
from trunkline.model.key import Key
from trunkline.model.pipeline import PipelineNote
from trunkline.model.record import GenerationRecord
from trunkline.model.request import Message, Request, TextPart
from trunkline.model.response import Choice, Part, Response
from trunkline.testing.scripted import Hang, Json, ScriptedUpstream
from trunkline.testing.two_step import TwoStep

FIRST, SECOND = "one two three", "second: one two three"
ENDS = {"chat": "[DONE]", "messages": "message_stop", "responses": "response.completed"}


def text_of(client: str, reply: Reply, *, stream: bool) -> str:
    """The text of the answer, as the dialect's own accumulator would have it."""
    if not stream:
        body = reply.json()
        match client:
            case "chat":
                return str(body["choices"][0]["message"]["content"])
            case "messages":
                return "|".join(block["text"] for block in body["content"])
            case _:
                return "|".join(
                    part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]
                )
    texts: dict[Any, str] = {}
    for frame in frames(reply):
        if client == "chat" and frame != "[DONE]":
            for choice in frame["choices"]:
                texts[0] = texts.get(0, "") + (choice["delta"].get("content") or "")
        elif frame == "[DONE]":
            continue
        elif client == "messages" and frame["type"] == "content_block_delta":
            texts[frame["index"]] = texts.get(frame["index"], "") + frame["delta"].get("text", "")
        elif client == "responses" and frame["type"] == "response.output_text.delta":
            at = (frame["output_index"], frame["content_index"])
            texts[at] = texts.get(at, "") + frame["delta"]
    return "|".join(texts[at] for at in sorted(texts))


def usage_of(client: str, reply: Reply, *, stream: bool) -> dict[str, Any]:
    if not stream:
        return dict(reply.json()["usage"])
    found = frames(reply)
    match client:
        case "chat":
            return dict(next(frame["usage"] for frame in reversed(found) if frame != "[DONE]" and frame.get("usage")))
        case "messages":
            return dict(next(frame["usage"] for frame in found if frame["type"] == "message_delta"))
        case _:
            return dict(found[-2]["response"]["usage"])


def tokens(client: str, usage: dict[str, Any]) -> tuple[int, int]:
    names = ("prompt_tokens", "completion_tokens") if client == "chat" else ("input_tokens", "output_tokens")
    return usage[names[0]], usage[names[1]]


def ends(client: str, reply: Reply) -> int:
    """How often the answer ends."""
    found = frames(reply)
    if client == "chat":  # the chunks of usage and of metadata say the end again
        chunks = [frame for frame in found if frame != "[DONE]" and not {"usage", "openrouter_metadata"} & {*frame}]
        return sum(bool(choice.get("finish_reason")) for chunk in chunks for choice in chunk["choices"])
    return sum(frame != "[DONE]" and frame["type"] == ENDS[client] for frame in found)


async def records(api: Api) -> tuple[GenerationRecord, list[GenerationRecord]]:
    """The client's own record, and the others."""
    every = await api.gateway.records()
    (own,) = [record for record in every if record.parent_id is None]
    others = [record for record in every if record.parent_id is not None]
    assert all(record.parent_id == own.id for record in others)
    return own, others


@STREAMED
@EACH
async def test_two_steps_are_one_answer(client: str, stream: bool, tmp_path: Path) -> None:
    async with running(tmp_path, stages=[TwoStep()]) as api:
        reply = await ask(api, client, stream=stream, two_step={}, **{"X-OpenRouter-Metadata": "enabled"})
        assert reply.status == 200, reply.body
        joined = text_of(client, reply, stream=stream)
        assert joined.replace("|", "") == FIRST + SECOND
        if stream:
            assert ends(client, reply) == 1
        own, steps = await records(api)
        assert [(step.purpose, step.status) for step in steps] == [("step", "completed")] * 2
        assert own.status == "completed"
        assert own.cost == 0
        assert own.inner_cost == sum(step.cost for step in steps) > 0
        assert own.id == reply.headers["x-generation-id"]
        usage = usage_of(client, reply, stream=stream)
        prompt, completion = tokens(client, usage)
        assert prompt == sum(step.usage.prompt for step in steps)
        assert completion == sum(step.usage.completion for step in steps)
        assert usage["cost"] == pytest.approx(own.inner_cost / 1e12)
        assert [note.name for note in own.pipeline] == ["two-step"]
        assert b'"pipeline":[{"type":"stage","name":"two-step"' in reply.body
        spent = (await api.get("/api/v1/key")).data["usage"]
        assert spent == pytest.approx(own.inner_cost / 1e12)


@EACH
async def test_a_request_that_names_no_stage_goes_as_ever(client: str, tmp_path: Path) -> None:
    async with running(tmp_path, stages=[TwoStep()]) as api:
        reply = await ask(api, client)
        assert text_of(client, reply, stream=False) == FIRST
        (record,) = await api.gateway.records()
        assert record.way == ("relay" if client == "chat" else "translate")
        assert record.inner_usage is None
        assert b"pipeline" not in reply.body


@STREAMED
@EACH
async def test_an_inner_call_has_its_record_and_is_in_the_cost(client: str, stream: bool, tmp_path: Path) -> None:
    async with running(tmp_path, stages=[TwoStep()]) as api:
        reply = await ask(api, client, stream=stream, two_step={"ask": MODEL})
        assert text_of(client, reply, stream=stream).replace("|", "") == f"{FIRST}second: inner: {FIRST}"
        own, others = await records(api)
        assert sorted(record.purpose or "" for record in others) == ["advisor", "step", "step"]
        (advisor,) = [record for record in others if record.purpose == "advisor"]
        assert advisor.key_id == own.key_id
        assert advisor.cost > 0
        assert own.inner_cost == sum(record.cost for record in others)
        assert usage_of(client, reply, stream=stream)["cost"] == pytest.approx(own.inner_cost / 1e12)


@STREAMED
@EACH
async def test_a_second_step_that_fails(client: str, stream: bool, tmp_path: Path) -> None:
    async with ScriptedUpstream([Json({"error": {"message": "no"}}, status=500)]) as upstream:
        broken = {"provider": "acme", "upstream_model": "m", "price": {"prompt": 1.0, "completion": 1.0}}
        price = {"prompt": 1.0, "completion": 4.0}
        models = {
            "acme/broken": {"endpoints": [broken]},
            MODEL: {"endpoints": [{"provider": "demo", "upstream_model": "echo", "price": price}]},
        }
        acme = {"acme": {"base_url": f"{upstream.origin}/v1", "credentials": [{"api_key": "sk-fake"}]}}
        async with running(tmp_path, stages=[TwoStep()], models=models, providers=acme) as api:
            reply = await ask(api, client, stream=stream, two_step={"model": "acme/broken"})
            own, steps = await records(api)
            assert [step.status for step in steps] == ["completed", "failed"]
            assert own.inner_cost == steps[0].cost > 0
            assert own.error_type == "provider_unavailable"
            if not stream:
                assert reply.status == 502
                assert error_type(client, reply.json()) == "provider_unavailable"
                assert own.status == "failed"
                return
            assert reply.status == 200
            assert own.status == "partial"
            assert text_of(client, reply, stream=True) == FIRST
            last = [frame for frame in frames(reply) if frame != "[DONE]"]
            match client:
                case "chat":
                    errors = [frame for frame in last if "error" in frame]
                    assert errors[-1]["choices"][0]["finish_reason"] == "error"
                case "messages":
                    assert last[-1]["type"] == "error"
                case _:
                    assert last[-1]["type"] == "response.failed"


@EACH
async def test_a_client_that_leaves_ends_every_call(client: str, tmp_path: Path) -> None:
    async with ScriptedUpstream([Hang()], [Hang()]) as upstream:
        slow = {"provider": "acme", "upstream_model": "m"}
        price = {"prompt": 1.0, "completion": 4.0}
        models = {
            "acme/slow": {"endpoints": [slow]},
            MODEL: {"endpoints": [{"provider": "demo", "upstream_model": "echo", "price": price}]},
        }
        acme = {"acme": {"base_url": f"{upstream.origin}/v1", "credentials": [{"api_key": "sk-fake"}]}}
        async with running(tmp_path, stages=[TwoStep()], models=models, providers=acme) as api:
            for wish, purposes in ({"ask": "acme/slow"}, {"advisor", "step"}), ({"model": "acme/slow"}, {"step"}):
                before = {record.id for record in await api.gateway.records()}
                seen = len(upstream.seen)
                path, body = ASKS[client]
                call = asyncio.create_task(api.get(path, KEY, "POST", {**body, "stream": True, "two_step": wish}))
                await until(lambda seen=seen: len(upstream.seen) > seen)  # type: ignore[misc]
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                await until(lambda: not api.gateway.app.state.metrics.in_flight)
                found = [record for record in await api.gateway.records() if record.id not in before]
                (own,) = [record for record in found if record.parent_id is None]
                assert own.status == "cancelled"
                assert {record.purpose for record in found if record is not own} == purposes
                statuses = sorted(record.status for record in found if record is not own)
                assert statuses == ["cancelled", "completed"], found
                assert own.inner_cost == sum(record.cost for record in found if record is not own)
            await until(lambda: api.gateway.network.connections_open == api.gateway.network.connections_idle)


# Request stages and event stages.


class Shout:
    """Changes requests and answers, refuses or answers by itself, as the field `shout` asks."""

    name = "shout"
    fields = frozenset({"shout"})
    inner = False
    costs = "nothing"

    def active(self, call: Call, key: Key) -> bool:
        del key
        return "shout" in call.envelope

    async def prepare(self, request: Request, generation: StageContext) -> Request | Answered:
        wish = bytes(generation.call.envelope["shout"])
        if wish == b'"refuse"':
            raise Forbidden("shout: nobody shouts here", param="shout")
        if wish == b'"answer"':
            part = Part(kind="text", text="HUSH")
            return Answered(Response(model="house/rule", choices=[Choice(parts=[part], reason="stop")]), cost=7)
        generation.note(PipelineNote(type="plugin", name="shout", data={"wish": wish.decode()}))
        told = Message(role="user", parts=(TextPart("four five six"),))
        extra = {name: value for name, value in request.extra.items() if name != "shout"}
        return replace(request, messages=(told,), extra=extra)


class Upper:
    """Holds a part's text back until it is whole, and adds a part of its own behind it."""

    def __init__(self) -> None:
        self._held: dict[int, str] = {}
        self.flushed = False

    def feed(self, event: Event) -> Iterable[Event]:
        match event:
            case PartStarted(index=index, kind="text"):
                self._held[index] = ""
                return (event,)
            case Delta(index=index, text=text) if index in self._held:
                self._held[index] += text
                return ()
            case PartEnded(index=index) if index in self._held:
                own = (PartStarted(-1, "text"), Delta(-1, "!"), PartEnded(-1))
                return (Delta(index, self._held[index].upper()), event, *own)
            case ChoiceEnded():
                return (event,)
            case _:
                return (event,)

    def flush(self) -> Iterable[Event]:
        self.flushed = True
        return ()


class ShoutBack(Shout):
    """The same, for answers too."""

    def __init__(self) -> None:
        self.transforms: list[Upper] = []

    def open(self, request: Request, generation: StageContext) -> EventTransform:
        del request, generation
        self.transforms.append(Upper())
        return self.transforms[-1]


@STREAMED
@EACH
async def test_a_request_stage_changes_what_is_asked(client: str, stream: bool, tmp_path: Path) -> None:
    async with running(tmp_path, stages=[Shout()]) as api:
        reply = await ask(api, client, stream=stream, shout="please", **{"X-OpenRouter-Metadata": "enabled"})
        assert text_of(client, reply, stream=stream) == "four five six"
        (record,) = await api.gateway.records()
        assert record.way == ("relay" if client == "chat" else "translate")
        assert [note.data for note in record.pipeline] == [{"wish": '"please"'}]
        assert b'"pipeline":[{"type":"plugin","name":"shout"' in reply.body


@STREAMED
@EACH
async def test_an_event_stage_changes_the_answer(client: str, stream: bool, tmp_path: Path) -> None:
    stage = ShoutBack()
    async with running(tmp_path, stages=[stage]) as api:
        reply = await ask(api, client, stream=stream, shout="please")
        assert text_of(client, reply, stream=stream).replace("|", "") == "FOUR FIVE SIX!"
        (record,) = await api.gateway.records()
        assert record.way == "translate"
        assert record.cost > 0
        assert [transform.flushed for transform in stage.transforms] == [True]


@STREAMED
@EACH
async def test_a_stage_ends_the_call(client: str, stream: bool, tmp_path: Path) -> None:
    async with running(tmp_path, stages=[Shout()]) as api:
        refused = await ask(api, client, stream=stream, shout="refuse")
        assert refused.status == 403
        assert "nobody shouts here" in refused.body.decode()
        answered = await ask(api, client, stream=stream, shout="answer")
        assert answered.status == 200
        assert text_of(client, answered, stream=stream) == "HUSH"
        first, second = await api.gateway.records()
        assert (first.status, first.error_type, first.http_status) == ("failed", Forbidden.error_type, 403)
        assert (second.status, second.way, second.cost) == ("completed", "stage", 7)
        assert second.provider is None


# The example of the guide.

GUIDE = Path(__file__).parents[3] / "docs/guides/extending.md"


def example() -> Any:
    """The stage that docs/guides/extending.md shows, as printed."""
    (code,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    return names["MaskWord"]()


@STREAMED
@EACH
@pytest.mark.parametrize("word", ["two", "o t", "one two three", "absent", "e"])
async def test_the_stage_of_the_guide(client: str, stream: bool, word: str, tmp_path: Path) -> None:
    async with running(tmp_path, stages=[example()]) as api:
        reply = await ask(api, client, stream=stream, mask=word)
        assert reply.status == 200, reply.body
        assert text_of(client, reply, stream=stream) == FIRST.replace(word, "*" * len(word))
        plain = await ask(api, client, stream=stream)
        assert text_of(client, plain, stream=stream) == FIRST
