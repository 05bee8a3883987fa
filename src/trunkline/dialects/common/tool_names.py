"""Names of tools as chat takes them: no namespaces, at most 64 letters, digits, `_` and `-`. Source: wire-chat §3.

A tool in a namespace keeps its bare name where no other tool has it, and is `namespace__name` else. Characters that
chat does not take become `_`; what is too long is cut, and a digest keeps it from being another's. Who reads the answer
finds the way back by asking what each of the client's tools was called.
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
"""A namespace, None for none, and a name in it."""


def fit_name(name: str) -> str:
    """*name* as chat takes it: itself where it can be."""
    fitting = _FORBIDDEN.sub("_", name) or "_"
    if len(fitting) <= MAX_NAME:
        return fitting
    return f"{fitting[: MAX_NAME - 9]}_{sha256(name.encode()).hexdigest()[:8]}"


class Names:
    """What the tools of one request are called on the wire."""

    __slots__ = ("_names",)

    def __init__(self, tools: Iterable[Tool]) -> None:
        keys = [(tool.namespace, tool.name) for tool in tools if tool.name]
        bare = Counter(name for _, name in dict.fromkeys(keys))
        self._names: dict[Key, str] = {}
        for space, name in keys:
            wanted = name if space is None or bare[name] == 1 else f"{space}{JOIN}{name}"
            self._names.setdefault((space, name), fit_name(wanted))

    def of(self, namespace: str | None, name: str) -> str:
        """The name on the wire of the tool *name* in *namespace*; of one that is not on offer the name as it fits."""
        return self._names.get((namespace, name)) or fit_name(name)
