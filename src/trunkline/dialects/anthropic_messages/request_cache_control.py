"""Marks of what may be cached. Sources: OpenRouter's OpenAPI document, `MessagesRequest`; OpenRouter, "Prompt caching".

Claude takes four of them, and none that is to be kept for an hour behind one of five minutes.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

from trunkline.model.loss import Losses
from trunkline.model.request import CacheMark

Json: TypeAlias = dict[str, Any]

MAX_MARKS = 4
"""Cache marks in one request."""
TTLS = {"5m": "5m", "1h": "1h", "30m": "5m", "12h": "1h"}
"""How long to keep it → the nearest that there is."""
UNMARKED = frozenset({"thinking", "redacted_thinking"})
"""Blocks that take no mark."""


def cache_control(mark: CacheMark) -> Json:
    """*mark* on the wire."""
    return {"type": "ephemeral", **({"ttl": TTLS[mark.ttl]} if mark.ttl in TTLS else {})}


def put(blocks: list[Json], mark: CacheMark | None, where: str, losses: Losses) -> None:
    """Put *mark* on the last of *blocks*, which are said at *where*, that takes one."""
    if mark is None:
        return
    for block in reversed(blocks):
        if block["type"] not in UNMARKED:
            block["cache_control"] = cache_control(mark)
            return
    losses.add(f"{where}.{mark.spelling}", "nothing is left that takes it")


def limit(body: Json, losses: Losses) -> None:
    """Of more marks than the provider takes, the last ones: they say the most. An hour does not follow five minutes."""
    marked = list(_marked(body))
    allowed = MAX_MARKS - ("cache_control" in body)
    surplus = max(len(marked) - allowed, 0)
    for block in marked[:surplus]:
        del block["cache_control"]
        losses.add("cache_control", f"the provider takes {MAX_MARKS} marks: the last ones are sent")
    short = False
    for block in [*marked[surplus:], *([body] if "cache_control" in body else ())]:
        if block["cache_control"].get("ttl") != "1h":
            short = True
        elif short:
            block["cache_control"] = {"type": "ephemeral"}
            losses.add("cache_control.ttl", "what is kept for an hour stands before what is not: five minutes are sent")


def _marked(body: Json) -> Iterator[Json]:
    """All that has a mark, in the order in which the provider reads it."""
    system = body.get("system")
    found: list[Json] = [*body.get("tools", ()), *(system if isinstance(system, list) else ())]
    for message in body["messages"]:
        for block in message["content"]:
            inner = block.get("content")
            found += [*(inner if isinstance(inner, list) else ()), block]
    return (one for one in found if "cache_control" in one)
