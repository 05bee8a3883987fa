"""State of a request while its messages are written: turns, and the results in them."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

Json: TypeAlias = dict[str, Any]


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
    orphans: list[Result] = []
    """While calls are paired: the results that came in it."""

    @property
    def calls(self) -> list[str]:
        """The ids of the calls in it that the client is to answer."""
        uses = (block["toolUse"] for block in self.blocks if isinstance(block.get("toolUse"), dict))
        return [use["toolUseId"] for use in uses if use.get("type") in (None, "tool_use")]
