"""Types of the modules in `dialects.common`."""

from msgspec import Struct


class Frame(Struct, frozen=True):
    """One server-sent event: its `event:` name ("" if absent) and its data lines joined by LF."""

    data: bytes
    event: str = ""


class ToolNames(Struct, frozen=True):
    """The client's tool names: name on the wire → (namespace, name), and the names of custom tools."""

    spaced: dict[str, tuple[str | None, str]] = {}
    custom: frozenset[str] = frozenset()


class RequestedReasoning(Struct, frozen=True):
    """Normalized reasoning settings of a request: off, an effort, a budget in tokens, or none of them (adaptive)."""

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
