"""Messages as Converse takes them: turns that alternate, each call answered in the turn behind it.

What the client's dialect allows and this one does not is put right, and each putting right is a loss: results that
nobody asked for are said as the user's text, a call that nobody answered gets a result that says so, a result that
comes late is moved to where it belongs. A conversation begins with the user, and no turn is empty.

Source: Bedrock user guide, "Using the Converse API" and "Use a tool to complete a model response"; API reference,
"Message", read 2026-11-26.
"""

from collections import defaultdict, deque
from typing import Any, Literal, TypeAlias

from trunkline.dialects.bedrock_converse.request_state import Result, Turn
from trunkline.model.loss import Losses

Json: TypeAlias = dict[str, Any]
NOTHING = "(no content)"
"""Stands where something must be said and nothing is."""
NO_RESULT = "(no result: the tool was not run)"


class Turns:
    """Collects turns; adjacent ones of one role are one."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._turns: list[Turn] = []

    @property
    def begun(self) -> bool:
        """Whether anybody has said anything."""
        return bool(self._turns)

    def say(self, role: Literal["user", "assistant"], blocks: list[Json], where: str) -> None:
        """*blocks* were said."""
        if blocks:
            self._turn(role, where).blocks.extend(blocks)

    def answer(self, result: Result) -> None:
        """A call was answered."""
        self._turn("user", result.where).results.append(result)

    def _turn(self, role: Literal["user", "assistant"], where: str) -> Turn:
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(Turn(role, [], [], where))
        return self._turns[-1]

    def wire(self) -> list[Json]:
        """The messages."""
        self._pair()
        if not self._turns or self._turns[0].role == "assistant":
            if self._turns:
                self._losses.add(self._turns[0].where, "a conversation begins with the user: one who says nothing does")
            self._turns.insert(0, Turn("user", [], [{"text": NOTHING}], ""))
        return [{"role": turn.role, "content": _content(turn)} for turn in self._turns]

    def _pair(self) -> None:
        """Every call has its result in the turn behind it, in order. Takes time in proportion to what was said."""
        waiting: dict[str, deque[tuple[int, Result]]] = defaultdict(deque)
        for at, turn in enumerate(self._turns):
            for result in turn.results:
                waiting[result.id].append((at, result))
            turn.orphans, turn.results = turn.results, []
        if self._turns and self._turns[-1].calls:
            self._turns.append(Turn("user", [], [], self._turns[-1].where))
        taken: set[int] = set()
        for at, turn in enumerate(self._turns):
            for id_ in turn.calls if turn.role == "assistant" else ():
                results = waiting[id_]
                while results and results[0][0] < at:  # a call behind it is not one that it answers
                    results.popleft()
                result = results.popleft()[1] if results else self._made_up(id_, turn)
                taken.add(id(result))
                self._turns[at + 1].results.append(result)
        for turn in self._turns:
            self._said(turn, [result for result in turn.orphans if id(result) not in taken])

    def _made_up(self, id_: str, turn: Turn) -> Result:
        self._losses.add(f"{turn.where}.tool_calls", "a call without a result: one is made up")
        block = {"toolResult": {"toolUseId": id_, "content": [{"text": NO_RESULT}], "status": "error"}}
        return Result(id_, [block], turn.where)

    def _said(self, turn: Turn, orphans: list[Result]) -> None:
        """Results that nobody asked for are said as text."""
        said: list[Json] = []
        for result in orphans:
            self._losses.add(result.where, "a result without a call: it is said as text")
            said.append({"text": f"Result of the tool call {result.id}:"})
            for block in result.blocks:
                inner = block.get("toolResult", {}).get("content") if "toolResult" in block else [block]
                said.extend(inner or ())
        turn.blocks[:0] = [block for block in said if not ("text" in block and not block["text"].strip())]


def _content(turn: Turn) -> list[Json]:
    content = [block for result in turn.results for block in result.blocks] + turn.blocks
    if any("document" in block for block in content) and not any("text" in block for block in content):
        content.append({"text": NOTHING})  # a document wants a text beside it
    return content or [{"text": NOTHING}]
