"""Annotations of a chat answer. Source: wire-common §17."""

from typing import Any

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
        begin=_count(inner.get("start_index")),
        end=_count(inner.get("end_index")),
        native=found,
    )


def encode(citation: Citation, *, same: bool, text: str = "") -> dict[str, Any] | None:
    """The annotation of *citation*; None where it names no address, which is all that an annotation can name.

    *same* says that it came in this dialect. *text* is the citing part's text so far: where the citation does not say
    what of the text it is for, it is for all of it.
    """
    if same and citation.native:
        return citation.native
    if citation.url is None:
        return None
    inner: dict[str, Any] = {
        "url": citation.url,
        "title": citation.title or "",
        "start_index": citation.begin if citation.begin is not None else 0,
        "end_index": citation.end if citation.end is not None else len(text),
    }
    if citation.cited_text is not None:
        inner["content"] = citation.cited_text
    return {"type": "url_citation", "url_citation": inner}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
