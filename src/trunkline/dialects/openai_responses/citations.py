"""Annotations of a text, which are flat here. Source: OpenRouter's OpenAPI document, `OpenAIResponsesAnnotation`."""

from typing import Any

from trunkline.dialects.common.lenient_json import count
from trunkline.model.citation import Citation

LACKING = frozenset({"title", "start_index", "end_index"})


def decode(found: dict[str, Any]) -> Citation:
    """One annotation in our words."""
    match found:
        case {"type": "url_citation"}:
            return Citation(
                kind="url",
                url=_text(found.get("url")),
                title=_text(found.get("title")),
                cited_text=_text(found.get("content")),
                begin=count(found.get("start_index")),
                end=count(found.get("end_index")),
                native=found,
            )
        case {"type": "file_citation" | "container_file_citation"}:
            return Citation(
                kind="file",
                file_id=_text(found.get("file_id")),
                filename=_text(found.get("filename")),
                begin=count(found.get("start_index")),
                end=count(found.get("end_index")),
                native=found,
            )
        case _:
            return Citation(kind="opaque", native=found)


def encode(citation: Citation, *, same: bool, length: int) -> dict[str, Any] | None:
    """The annotation of *citation*; None where it names neither an address nor a file.

    *same* says that it came in this dialect; *length* is that of the citing text so far: where the citation does not
    say what of the text it is for, it is for all of it.
    """
    if same and citation.native:
        return complete(citation.native, length)
    begin = citation.begin or 0
    if citation.url is not None:
        body: dict[str, Any] = {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title or "",
            "start_index": begin,
            "end_index": length if citation.end is None else citation.end,
        }
        if citation.cited_text is not None:
            body["content"] = citation.cited_text
        return body
    if citation.file_id is not None:
        filename = citation.filename or citation.title or ""
        return {"type": "file_citation", "file_id": citation.file_id, "filename": filename, "index": begin}
    return None


def complete(note: dict[str, Any], length: int) -> dict[str, Any]:
    """*note* with what an address must have, and xAI leaves out; *length* is that of the citing text."""
    if note.get("type") != "url_citation" or note.keys() >= LACKING:
        return note
    return {"title": "", "start_index": 0, "end_index": length, **note}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
