"""Types that the shared modules exchange."""

from msgspec import Struct


class Frame(Struct, frozen=True):
    """One event: its `event:` name ("" where none was given) and its data lines joined by LF."""

    data: bytes
    event: str = ""


class ToolNames(Struct, frozen=True):
    """What the client calls its tools: one name → namespace and name; the names of tools of free-form input."""

    spaced: dict[str, tuple[str | None, str]] = {}
    custom: frozenset[str] = frozenset()


class RequestedReasoning(Struct, frozen=True):
    """What a request says of thinking, in one shape: off; or an effort, a budget in tokens, or neither (adaptive)."""

    off: bool = False
    effort: str | None = None
    budget: int | None = None


class NamedFunction(Struct, frozen=True):
    """A function or a custom tool, by its name."""

    name: str = ""


class NamedTool(Struct, frozen=True):
    """A tool of a request, of whichever dialect, by its name."""

    name: str = ""
    function: NamedFunction = NamedFunction()
    custom: NamedFunction = NamedFunction()
