"""Tools that a provider of another dialect ran, as items of this one.

Source: OpenRouter's OpenAPI document, `OpenResponsesResult`.

Providers say much of them, each in its own words; the item of this dialect has room for what was asked, and for the
addresses or the logs that came of it.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.model.events import Extra

KINDS = {
    "web_search": "web_search_call",
    "web_search_call": "web_search_call",
    "openrouter:web_search": "web_search_call",
    "google_search": "web_search_call",
    "googleSearch": "web_search_call",
    "web_fetch": "web_search_call",
    "url_context": "web_search_call",
    "code_execution": "code_interpreter_call",
    "bash_code_execution": "code_interpreter_call",
    "code_interpreter": "code_interpreter_call",
    "file_search": "file_search_call",
}
"""A tool's name → the item that its call is; calls of other tools are lost."""

PREFIX = {"web_search_call": "ws_tmp", "code_interpreter_call": "ci_tmp", "file_search_call": "fs_tmp"}
PROGRESS = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
}
"""What a stream says of an item between its beginning and its end, where nobody else did."""

MAX_SOURCES = 100
_any = msgspec.json.Decoder()


def asked(kind: str, arguments: str) -> dict[str, Any]:
    """The fields of an item of *kind* that say what was asked, from the call's *arguments*."""
    try:
        found = _any.decode(arguments.encode()) if arguments else {}
    except (msgspec.DecodeError, RecursionError, ValueError):
        found = {}
    said: dict[str, Any] = found if isinstance(found, dict) else {}
    if kind == "web_search_call":
        queries = [query for query in _list(said.get("queries")) if isinstance(query, str)]
        url = said.get("url")
        if isinstance(url, str) and "query" not in said and not queries:
            return {"action": {"type": "open_page", "url": url}}
        query = said.get("query")
        action: dict[str, Any] = {"type": "search", "query": query if isinstance(query, str) else " ".join(queries)}
        return {"action": {**action, "queries": queries} if queries else action}
    if kind == "file_search_call":
        return {
            "queries": [query for query in _list(said.get("queries") or said.get("query")) if isinstance(query, str)]
        }
    code = next((said[key] for key in ("code", "command", "input") if isinstance(said.get(key), str)), arguments)
    return {"code": code, "container_id": "", "outputs": None}


def answered(item: dict[str, Any], native: Extra) -> bool:
    """Put what came of the call, as its provider says it in *native*, into *item*; False where nothing fits."""
    if item["type"] == "web_search_call" and item["action"]["type"] == "search":
        urls = dict.fromkeys(url for url in _found(native, frozenset({"url", "uri"})) if url.startswith("http"))
        item["action"]["sources"] = [{"type": "url", "url": url} for url in list(urls)[:MAX_SOURCES]]
        return True
    if item["type"] == "code_interpreter_call":
        logs = [said for said in _found(native, frozenset({"stdout", "stderr", "output", "logs"})) if said]
        item["outputs"] = [{"type": "logs", "logs": "\n".join(logs)}]
        return True
    return False


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _found(value: Any, keys: frozenset[str], depth: int = 0) -> Iterator[str]:
    """The texts under *keys*, wherever they stand in *value*."""
    if depth > 8:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys and isinstance(inner, str):
                yield inner
            else:
                yield from _found(inner, keys, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner, keys, depth + 1)
