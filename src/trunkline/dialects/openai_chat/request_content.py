"""Parts of another dialect's messages, in chat's words. Source: OpenRouter's OpenAPI document, `ChatRequest`.

A document that is text becomes text with its title before it, and so does a search result; that the model may cite from
them is lost.
"""

from collections.abc import Iterator
from typing import Any

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.request_fields import some
from trunkline.dialects.interfaces import Quirks
from trunkline.model.loss import Losses
from trunkline.model.request import (
    AudioPart,
    CacheMark,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    RefusalPart,
    SearchResultPart,
    TextPart,
    VideoPart,
)

Item = dict[str, Any]
NO_CITING = "chat cannot ask for citations from what the prompt holds"
NO_FILE_ID = "a file kept by another provider"
NO_MARK = "the provider takes no cache marks"
UNKNOWN = "a part that only its own dialect knows"


class Content:
    """Makes content items of parts, and notes what they cannot say."""

    __slots__ = ("_dialect", "_losses", "_quirks")

    def __init__(self, dialect: str, quirks: Quirks, losses: Losses) -> None:
        self._dialect = dialect
        self._quirks = quirks
        self._losses = losses

    def items(self, parts: tuple[Part, ...], path: str) -> list[Item]:
        """The items of *parts*, which stand at *path*."""
        return [item for at, part in enumerate(parts) for item in self.item(part, f"{path}[{at}]")]

    def item(self, part: Part, path: str) -> Iterator[Item]:
        """What *part* becomes; usually one item."""
        match part:
            case TextPart():
                yield from self._marked([{"type": "text", "text": part.text}], part.cache, path)
                if part.citations:
                    self._losses.add(f"{path}.citations", "chat has no place for citations of earlier text")
            case RefusalPart():
                yield {"type": "text", "text": part.text}
            case ImagePart():
                yield from self._marked(self._image(part, path), part.cache, path)
            case AudioPart():
                item = {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
                yield from self._marked([item], part.cache, path)
            case VideoPart():
                yield from self._marked([{"type": "video_url", "video_url": {"url": part.url}}], part.cache, path)
            case FilePart():
                yield from self._marked(self._file(part, path), part.cache, path)
            case SearchResultPart():
                yield from self._marked(self._search_result(part, path), part.cache, path)
            case OpaquePart():
                self._losses.add(path, UNKNOWN)
                return
            case _:
                self._losses.add(path, "a part that only an assistant's message has")
                return
        self._losses.extra(path, part.extra, "chat has no word for it")

    def mark(self, item: Item, mark: CacheMark | None, path: str) -> None:
        """Put *mark* on *item*, as the provider spells it."""
        if mark is None:
            return
        spelling = self._quirks.cache_marks
        if spelling is None:
            self._losses.add(f"{path}.{mark.spelling}", NO_MARK)
        elif spelling == "prompt_cache_breakpoint" and item.get("type") != "text":
            self._losses.add(f"{path}.{mark.spelling}", "the provider takes cache marks on text alone")
        else:
            item[spelling] = cache_control.encode_mark(mark, spelling)

    def _marked(self, items: list[Item], mark: CacheMark | None, path: str) -> list[Item]:
        if items:
            self.mark(items[-1], mark, path)
        return items

    def _image(self, part: ImagePart, path: str) -> list[Item]:
        if not part.url:
            self._losses.add(path, NO_FILE_ID)
            return []
        return [{"type": "image_url", "image_url": {"url": part.url, **some(detail=part.detail)}}]

    def _file(self, part: FilePart, path: str) -> list[Item]:
        if part.citations:
            self._losses.add(f"{path}.citations", NO_CITING)
        heading = _heading(part.title or part.filename, part.context)
        if part.text is not None:
            return [{"type": "text", "text": heading + part.text}]
        if part.content is not None:
            inner = self.items(part.content, f"{path}.source.content")
            return [{"type": "text", "text": heading.rstrip()}, *inner] if heading else inner
        if part.data is not None:
            file = {"filename": part.filename or _filename(part), "file_data": part.data}
            about = [{"type": "text", "text": heading.rstrip()}] if part.context else []
            return [*about, {"type": "file", "file": file}]
        if self._dialect != "responses":
            self._losses.add(path, NO_FILE_ID)
            return []
        return [{"type": "file", "file": some(file_id=part.file_id)}]

    def _search_result(self, part: SearchResultPart, path: str) -> list[Item]:
        self._losses.add(path if part.citations is None else f"{path}.citations", NO_CITING)
        text = "\n".join(inner.text for inner in part.content)
        return [{"type": "text", "text": _heading(part.title, part.source) + text}]


def _heading(title: str | None, context: str | None) -> str:
    lines = [said for said in (title, context) if said]
    return "\n".join(lines) + "\n\n" if lines else ""


SUFFIXES = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "application/json": "json",
}


def _filename(part: FilePart) -> str:
    """A name for a document that has none: OpenAI wants one."""
    kind = (part.data or "")[5:60].partition(";")[0] if (part.data or "").startswith("data:") else ""
    name = part.title or "document"
    suffix = SUFFIXES.get(kind, "pdf")
    return name if name.lower().endswith(f".{suffix}") else f"{name}.{suffix}"
