"""Messages as Converse takes them: turns that alternate, each call answered in the turn behind it.

What the client's dialect allows and this one does not is put right, and each putting right is a loss: results that
nobody asked for are said as the user's text, a call that nobody answered gets a result that says so, a result that
comes late is moved to where it belongs. A conversation begins with the user, and no turn is empty.

Source: Bedrock user guide, "Using the Converse API" and "Use a tool to complete a model response"; API reference,
"Message", read 2026-11-26.
"""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from trunkline.model.loss import Losses

Json: TypeAlias = dict[str, Any]
NOTHING = "(no content)"
"""Stands where something must be said and nothing is."""
NO_RESULT = "(no result: the tool was not run)"


class Result(Struct):
    """A tool's result: its block, and the cache mark behind it if there is one. `where` is its path."""

    id: str
    blocks: list[Json]
    where: str


class Turn(Struct):
    """One turn: the results that begin it, if it is the user's, and its blocks."""

    role: Literal["user", "assistant"]
    results: list[Result]
    blocks: list[Json]
    where: str

    @property
    def calls(self) -> list[str]:
        """The ids of the calls in it that the client is to answer."""
        uses = (block["toolUse"] for block in self.blocks if isinstance(block.get("toolUse"), dict))
        return [use["toolUseId"] for use in uses if use.get("type") in (None, "tool_use")]


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
        at = 0
        while at < len(self._turns):
            turn = self._turns[at]
            if turn.role == "assistant" and turn.calls:
                if at + 1 == len(self._turns):
                    self._turns.append(Turn("user", [], [], turn.where))
                self._answered(at, turn.calls)
            at += 1
        for at, turn in enumerate(self._turns):
            asked = self._turns[at - 1].calls if at else []
            self._orphans(turn, asked)

    def _answered(self, at: int, calls: list[str]) -> None:
        """Every one of *calls*, of the turn *at*, has a result in the next one, in their order."""
        here = self._turns[at + 1]
        found: list[Result] = []
        for id_ in calls:
            result = self._take(here, id_)
            for later in self._turns[at + 2 :]:
                if result is None and later.role == "user":
                    result = self._take(later, id_)
            if result is None:
                self._losses.add(f"{self._turns[at].where}.tool_calls", "a call without a result: one is made up")
                block = {"toolResult": {"toolUseId": id_, "content": [{"text": NO_RESULT}], "status": "error"}}
                result = Result(id_, [block], here.where)
            found.append(result)
        here.results = found + here.results

    @staticmethod
    def _take(turn: Turn, id_: str) -> Result | None:
        for result in turn.results:
            if result.id == id_:
                turn.results.remove(result)
                return result
        return None

    def _orphans(self, turn: Turn, asked: list[str]) -> None:
        """Results in *turn* that are not of *asked*, or the second of one, are said as text."""
        open_ = list(asked)
        said: list[Json] = []
        for result in list(turn.results):
            if result.id in open_:
                open_.remove(result.id)
                continue
            self._losses.add(result.where, "a result without a call: it is said as text")
            turn.results.remove(result)
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
