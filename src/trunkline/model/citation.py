"""A source that a model names for a piece of its text."""

from typing import Any, Literal

from msgspec import Struct, field

CitationKind = Literal["url", "char", "page", "block", "search_result", "file", "opaque"]
"""url: a web page; char, page, block: a place in a document of the prompt; search_result: a block of a search result
of the prompt; file: a file by its id; opaque: any other, in `native` alone."""


class Citation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One citation. None is not said.

    `begin` and `end` are characters of the text part that cites, end exclusive. `source_begin` and `source_end` are in
    the source, in the unit of its kind: characters, pages (from 1) or blocks; end exclusive. `document` is the number
    of the document, or of the search result, among those of the prompt, from 0. `native` is the citation as the
    upstream wrote it, in the dialect that `Started.dialect` names; an encoder of the same dialect gives it back.
    """

    kind: CitationKind
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    begin: int | None = None
    end: int | None = None
    source_begin: int | None = None
    source_end: int | None = None
    document: int | None = None
    file_id: str | None = None
    filename: str | None = None
    native: dict[str, Any] = field(default_factory=dict)
