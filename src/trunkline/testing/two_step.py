"""A stage for tests: a generation of two steps, with an inner call where one is asked for.

The second step is asked what the first one answered. A client asks for it with a field of its body:

    {"model": "demo/echo", "messages": […], "two_step": {}}                          two steps
    {…, "two_step": {"model": "acme/other"}}                                         the second by another model
    {…, "two_step": {"ask": "demo/echo"}}                                            an inner call between the two

It shows all that a loop (of tools, of advisors) needs of the engine, and nothing else.
"""

from typing import Any

import msgspec
from msgspec.structs import replace

from trunkline.dialects.interfaces import Call
from trunkline.engine.stages import Answered, StageContext, StepResult
from trunkline.model.key import Key
from trunkline.model.pipeline import PipelineNote
from trunkline.model.request import Message, Request, TextPart
from trunkline.model.response import Response

FIELD = "two_step"


class TwoStep:
    """A `StepStage` that wants exactly two steps, and a `RequestStage` that takes its own field out of the request."""

    name = "two-step"
    fields = frozenset({FIELD})
    inner = False
    costs = "a second model call; the request is encoded again"

    def active(self, call: Call, key: Key) -> bool:
        """As `Stage.active`."""
        del key
        return FIELD in call.envelope

    async def prepare(self, request: Request, generation: StageContext) -> Request | Answered:
        """As `RequestStage.prepare`."""
        del generation
        return replace(request, extra={name: value for name, value in request.extra.items() if name != FIELD})

    async def following(self, step: StepResult, generation: StageContext) -> Request | None:
        """As `StepStage.following`."""
        if step.number == 2:
            return None
        wishes: dict[str, Any] = msgspec.json.decode(generation.call.envelope[FIELD])
        answer = text_of(step.response)
        if "ask" in wishes:
            question = replace(step.request, model=wishes["ask"], messages=(_user(f"inner: {answer}"),))
            answer = text_of(await generation.ask(question, purpose="advisor"))
        generation.note(PipelineNote(type="stage", name=self.name, summary="two steps", data={"steps": 2}))
        return replace(
            step.request, model=wishes.get("model", step.request.model), messages=(_user(f"second: {answer}"),)
        )


def text_of(response: Response) -> str:
    """The text of the first choice."""
    return "".join(part.text for part in response.choices[0].parts if part.kind == "text") if response.choices else ""


def _user(text: str) -> Message:
    return Message(role="user", parts=(TextPart(text),))
