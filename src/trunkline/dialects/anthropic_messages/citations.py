"""Citations, read and written. Source: OpenRouter's OpenAPI document, `MessagesRequest`."""

from typing import Any

from trunkline.dialects.common.lenient_json import count
from trunkline.model.citation import Citation, CitationKind

PLACES: dict[str, tuple[CitationKind, str, str, str]] = {
    "char_location": ("char", "document_index", "start_char_index", "end_char_index"),
    "page_location": ("page", "document_index", "start_page_number", "end_page_number"),
    "content_block_location": ("block", "document_index", "start_block_index", "end_block_index"),
    "search_result_location": ("search_result", "search_result_index", "start_block_index", "end_block_index"),
}
"""A citation's type → our kind, and the keys of the source's number, the begin and the end."""
_TYPES = {kind: (name, keys) for name, (kind, *keys) in PLACES.items()}


def decode(found: dict[str, Any]) -> Citation:
    """One citation in our words."""
    kind = found.get("type")
    if kind == "web_search_result_location":
        return Citation(
            kind="url",
            url=_text(found.get("url")),
            title=_text(found.get("title")),
            cited_text=_text(found.get("cited_text")),
            native=found,
        )
    if not isinstance(kind, str) or kind not in PLACES:
        return Citation(kind="opaque", native=found)
    ours, index, begin, end = PLACES[kind]
    return Citation(
        kind=ours,
        url=_text(found.get("source")),
        title=_text(found.get("title", found.get("document_title"))),
        cited_text=_text(found.get("cited_text")),
        source_begin=count(found.get(begin)),
        source_end=count(found.get(end)),
        document=count(found.get(index)),
        file_id=_text(found.get("file_id")),
        native=found,
    )


def encode(citation: Citation, *, same: bool, output: bool = True) -> dict[str, Any] | None:
    """The citation on the wire; None where there is no word for its kind.

    *same*: it came in this dialect. *output*: it is part of an answer, where some keys are always there.
    """
    if same and (citation.native or citation.kind == "opaque"):
        return promised(citation.native) if output else citation.native
    if citation.kind == "url" and citation.url is not None:
        return {
            "type": "web_search_result_location",
            "url": citation.url,
            "title": citation.title,
            "cited_text": citation.cited_text or "",
            "encrypted_index": "",
        }
    if citation.kind not in _TYPES:
        return None
    name, (index, begin, end) = _TYPES[citation.kind]
    body: dict[str, Any] = {
        "type": name,
        "cited_text": citation.cited_text or "",
        index: citation.document or 0,
        begin: citation.source_begin or 0,
        end: citation.source_end or 0,
    }
    if citation.kind == "search_result":
        return {**body, "source": citation.url or "", "title": citation.title}
    body["document_title"] = citation.title
    return {**body, "file_id": citation.file_id} if output else body


def promised(found: dict[str, Any]) -> dict[str, Any]:
    """*found*, a citation of an answer, with the key that those of documents always have."""
    lacks = found.get("type") in ("char_location", "page_location", "content_block_location") and "file_id" not in found
    return {**found, "file_id": None} if lacks else found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
