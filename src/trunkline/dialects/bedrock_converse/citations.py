"""Citations, read and written. Source: Bedrock API reference, "Citation" and "CitationLocation", read 2026-11-26."""

from typing import Any

from trunkline.model.citation import Citation, CitationKind

PLACES: dict[str, tuple[CitationKind, str]] = {
    "documentChar": ("char", "documentIndex"),
    "documentPage": ("page", "documentIndex"),
    "documentChunk": ("block", "documentIndex"),
    "searchResultLocation": ("search_result", "searchResultIndex"),
}
"""A location's name → our kind, and the key that numbers its source."""
_NAMES = {kind: (name, index) for name, (kind, index) in PLACES.items()}


def decode(found: Any) -> Citation:
    """One citation in our words."""
    if not isinstance(found, dict):
        return Citation(kind="opaque", native={"citation": found})
    location = found.get("location")
    title, source = _text(found.get("title")), _text(found.get("source"))
    for name, place in location.items() if isinstance(location, dict) else ():
        if not isinstance(place, dict):
            continue
        if name == "web":
            url, cited = _text(place.get("url")) or source, _cited(found)
            return Citation(kind="url", url=url, title=title, cited_text=cited, native=found)
        if name in PLACES:
            kind, index = PLACES[name]
            return Citation(
                kind=kind,
                url=source,
                title=title,
                cited_text=_cited(found),
                source_begin=_count(place.get("start")),
                source_end=_count(place.get("end")),
                document=_count(place.get(index)),
                native=found,
            )
    return Citation(kind="opaque", url=source, title=title, cited_text=_cited(found), native=found)


def encode(citation: Citation, *, same: bool) -> dict[str, Any] | None:
    """The citation of an earlier answer; None where there is no word for its kind. *same*: it came in this dialect."""
    if same and citation.native:
        return citation.native
    if citation.kind not in _NAMES:
        return None
    name, index = _NAMES[citation.kind]
    place = {index: citation.document, "start": citation.source_begin, "end": citation.source_end}
    body: dict[str, Any] = {"location": {name: {key: value for key, value in place.items() if value is not None}}}
    if citation.title is not None:
        body["title"] = citation.title
    if citation.url is not None:
        body["source"] = citation.url
    if citation.cited_text is not None:
        body["sourceContent"] = [{"text": citation.cited_text}]
    return body


def _cited(found: dict[str, Any]) -> str | None:
    content = found.get("sourceContent")
    if not isinstance(content, list):
        return None
    return "".join(piece["text"] for piece in content if isinstance(piece, dict) and isinstance(piece.get("text"), str))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
