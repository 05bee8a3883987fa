"""Tool names for dialects without namespaces: at most 64 letters, digits, `_` and `-`.

Source: OpenRouter's OpenAPI document, `ChatRequest`.

A tool in a namespace keeps its name if no other tool has the same one; otherwise it becomes `namespace__name`. Other
characters become `_`. A name that is too long is cut and gets a digest, which keeps it unique. `tool_renaming` maps the
names in an answer back to the client's names.
"""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256

from trunkline.model.request import Tool

MAX_NAME = 64
JOIN = "__"
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")
Key = tuple[str | None, str]
"""A namespace (None for none) and a name in it."""


def fit_name(name: str) -> str:
    """Return *name* if it is valid, else a valid name made from it."""
    fitting = _FORBIDDEN.sub("_", name) or "_"
    if len(fitting) <= MAX_NAME:
        return fitting
    return f"{fitting[: MAX_NAME - 9]}_{sha256(name.encode()).hexdigest()[:8]}"


class Names:
    """The wire names of the tools of one request."""

    __slots__ = ("_names",)

    def __init__(self, tools: Iterable[Tool]) -> None:
        keys = [(tool.namespace, tool.name) for tool in tools if tool.name]
        bare = Counter(name for _, name in dict.fromkeys(keys))
        self._names: dict[Key, str] = {}
        for space, name in keys:
            wanted = name if space is None or bare[name] == 1 else f"{space}{JOIN}{name}"
            self._names.setdefault((space, name), fit_name(wanted))

    def of(self, namespace: str | None, name: str) -> str:
        """Return the wire name of the tool *name* in *namespace*; `fit_name` if the request does not offer it."""
        return self._names.get((namespace, name)) or fit_name(name)
