"""The sources that Gemini names for its text: citations with their places, and what grounding found.

Both count bytes of the whole text in UTF-8, from its first part on; ours are characters of the text part that cites.

Sources: Gemini API, "generateContent" reference: "CitationSource", "GroundingMetadata" and "Segment"; recorded traffic.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

from trunkline.dialects.common.lenient_json import text
from trunkline.model.citation import Citation

BLOCK = 1024
"""Characters of a text that are counted at once: an offset is looked up in one block, however long the text is."""


class Places:
    """Offsets in the last part of a text, of which *before* characters of *said* are in earlier parts."""

    def __init__(self, said: str, before: int) -> None:
        self._before = before
        self._length = len(said)
        self._blocks = [said[at : at + BLOCK].encode() for at in range(0, len(said), BLOCK)]
        self._begins = [0, *accumulate(map(len, self._blocks))]
        """The offset of each block in bytes, and the length of all."""

    def of(self, begin: Any, end: Any) -> dict[str, Any]:
        """`begin` and `end` in characters; neither, where the place is in an earlier part."""
        first, last = self._characters(begin or 0), self._characters(end)
        if first is None or (last is not None and last <= self._before and self._before):
            return {}
        return {
            "begin": max(first - self._before, 0),
            "end": None if last is None else max(last - self._before, 0),
        }

    def _characters(self, offset: Any) -> int | None:
        """Characters before the byte *offset*; what lies beyond the text is counted as if it were ASCII."""
        if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
            return None
        beyond = max(offset - self._begins[-1], 0)
        at = bisect_right(self._begins, offset - beyond) - 1
        inside = self._blocks[at][: offset - self._begins[at]] if at < len(self._blocks) else b""
        return self._length_before(at) + len(inside.decode("utf-8", "ignore")) + beyond

    def _length_before(self, block: int) -> int:
        """Characters before the *block*; the last one may be shorter than the others."""
        return min(block * BLOCK, self._length)


def cited(found: Iterable[dict[str, Any]], places: Places) -> Iterator[Citation]:
    """The sources of `citationMetadata`."""
    for one in found:
        yield Citation(
            kind="url",
            url=text(one.get("uri")) or None,
            title=text(one.get("title")) or None,
            native=one,
            **places.of(one.get("startIndex"), one.get("endIndex")),
        )


def grounded(metadata: dict[str, Any], places: Places) -> Iterator[Citation]:
    """The sources of `groundingMetadata`: each place that a support names, by each of its chunks; else chunks alone."""
    chunks = _dicts(metadata.get("groundingChunks"))
    used: set[int] = set()
    for support in _dicts(metadata.get("groundingSupports")):
        found, indices = support.get("segment"), support.get("groundingChunkIndices")
        segment: dict[str, Any] = found if isinstance(found, dict) else {}
        where = places.of(segment.get("startIndex"), segment.get("endIndex"))
        for index in indices if isinstance(indices, list) else ():
            if isinstance(index, int) and 0 <= index < len(chunks):
                used.add(index)
                yield _chunk(chunks[index], cited_text=text(segment.get("text")) or None, **where)
    for index, chunk in enumerate(chunks):
        if index not in used:
            yield _chunk(chunk)


def _dicts(found: Any) -> list[dict[str, Any]]:
    return [one if isinstance(one, dict) else {} for one in found] if isinstance(found, list) else []


def _chunk(found: dict[str, Any], **more: Any) -> Citation:
    inner = next((said for said in found.values() if isinstance(said, dict)), {})
    url, title = text(inner.get("uri")) or None, text(inner.get("title")) or None
    return Citation(kind="url" if url else "opaque", url=url, title=title, native=found, **more)
