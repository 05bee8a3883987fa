"""Citations: the sources that a model names for a piece of its text."""

from typing import Any, Literal

from msgspec import Struct, field

CitationKind = Literal["url", "char", "page", "block", "search_result", "file", "opaque"]
"""The kind of source. `url`: a web page. `char`, `page`, `block`: a position in a document of the prompt.
`search_result`: a block of a search result in the prompt. `file`: a file by its id. `opaque`: any other kind, kept in
`native` only."""


class Citation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One citation. A field is None where the upstream did not send it.

    `begin` and `end` are character offsets in the citing text part; `end` is exclusive. `source_begin` and `source_end`
    are offsets in the source, in the unit of its kind: characters, pages (counted from 1) or blocks; `source_end` is
    exclusive. `document` is the index of the document or search result within the prompt, from 0. `native` is the
    citation as the upstream wrote it, in the dialect that `Started.dialect` names; an encoder of that dialect writes it
    back.
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
