"""Annotations of a chat answer, and the sources that some providers name beside it.

Sources: OpenRouter, "Web search"; Perplexity's and xAI's references, read 2026-11-26.
"""

from typing import Any

from trunkline.dialects.common.lenient_json import count
from trunkline.model.citation import Citation


def decode(found: dict[str, Any]) -> Citation:
    """One annotation in our words."""
    inner = found.get("url_citation")
    if found.get("type") != "url_citation" or not isinstance(inner, dict):
        return Citation(kind="opaque", native=found)
    return Citation(
        kind="url",
        url=_text(inner.get("url")),
        title=_text(inner.get("title")),
        cited_text=_text(inner.get("content")),
        begin=count(inner.get("start_index")),
        end=count(inner.get("end_index")),
        native=found,
    )


def sources(top: dict[str, Any]) -> tuple[Citation, ...]:
    """What an answer as a whole names as its sources: Perplexity's `search_results`, or addresses alone (xAI).

    They have no native form: their own dialect has them where they came.
    """
    results = top.get("search_results")
    found = [
        Citation(kind="url", url=one["url"], title=_text(one.get("title")), cited_text=_text(one.get("snippet")))
        for one in (results if isinstance(results, list) else ())
        if isinstance(one, dict) and isinstance(one.get("url"), str)
    ]
    if not found:
        urls = top.get("citations")
        found = [Citation(kind="url", url=url) for url in (urls if isinstance(urls, list) else ()) if _text(url)]
    return tuple(found)


def encode(citation: Citation, *, same: bool) -> dict[str, Any] | None:
    """The annotation of *citation*; None where it names no address, or is said elsewhere in the same answer.

    *same* says that it came in this dialect.
    """
    if same:
        return citation.native or None
    if citation.url is None:
        return None
    inner: dict[str, Any] = {
        "url": citation.url,
        "title": citation.title or "",
        "start_index": citation.begin or 0,
        "end_index": citation.end or 0,
    }
    if citation.cited_text is not None:
        inner["content"] = citation.cited_text
    return {"type": "url_citation", "url_citation": inner}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
