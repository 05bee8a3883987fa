"""Images, documents, video and audio as Converse takes them: their bytes, or an address in S3.

Source: Bedrock API reference, "ImageBlock", "DocumentBlock", "VideoBlock", "AudioBlock" and "S3Location", read
2026-11-26.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from trunkline.model.request import AudioPart, FilePart, ImagePart, TextPart, VideoPart

Json: TypeAlias = dict[str, Any]

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
VIDEOS = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
"""A media type → the word for it here; so are the three above."""
AUDIO = {
    "mp3": "mp3", "opus": "opus", "wav": "wav", "aac": "aac", "flac": "flac", "mp4": "mp4", "ogg": "ogg", "m4a": "m4a",
    "webm": "webm", "mpeg": "mpeg", "pcm": "pcm", "pcm16": "pcm",
}  # fmt: skip
"""A format of ours → the word for it here."""
ENDINGS = {"jpg": "jpeg", "htm": "html", "3gp": "three_gp", "mpg": "mpeg", "text": "txt", "markdown": "md"}
"""A file name's ending → the word for it here, where it is another."""

NO_FETCH = "Bedrock fetches nothing: the bytes themselves can be sent, or an s3:// address"
NO_FORMAT = "a format that Bedrock does not take"
NO_FILES = "Bedrock knows no uploaded files"
_DATA = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_NAME = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")


class Unsayable(Exception):
    """There is no way to say it; the message says why."""


def image(part: ImagePart) -> Json:
    """The block of *part*.

    Raises:
        Unsayable: by that address, or in that format.
    """
    if not part.url:
        raise Unsayable(NO_FILES)
    format_, source = _source(part.url, IMAGES)
    return {"image": {"format": format_, "source": source}}


def video(part: VideoPart) -> Json:
    """The block of *part*; raises as `image`."""
    format_, source = _source(part.url, VIDEOS)
    return {"video": {"format": format_, "source": source}}


def audio(part: AudioPart) -> Json:
    """The block of *part*; raises as `image`."""
    if part.format not in AUDIO:
        raise Unsayable(NO_FORMAT)
    return {"audio": {"format": AUDIO[part.format], "source": {"bytes": part.data}}}


def document(part: FilePart, name: str) -> Json:
    """The block of *part*, under *name*; raises as `image`."""
    if part.text is not None:
        body: Json = {"format": "txt", "name": name, "source": {"text": part.text}}
    elif part.content is not None:
        texts = [{"text": inner.text} for inner in part.content if isinstance(inner, TextPart)]
        body = {"format": "txt", "name": name, "source": {"content": texts}}
    elif part.data is not None:
        format_, source = _source(part.data, DOCUMENTS, part.filename)
        body = {"format": format_, "name": name, "source": source}
    else:
        raise Unsayable(NO_FILES)
    if part.context is not None:
        body["context"] = part.context
    if part.citations is not None:
        body["citations"] = {"enabled": part.citations}
    return {"document": body}


def named(part: FilePart, taken: set[str]) -> str:
    """A name for *part* that Bedrock takes and that is not among *taken*, to which it is added.

    Letters, digits, hyphens, round and square brackets, and one blank at a time; at most 200.
    """
    said = part.title or part.filename or ""
    name = " ".join(_NAME.sub("-", said).split())[:190].strip("- ") or "Document"
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    taken.add(found)
    return found


def _source(url: str, formats: dict[str, str], filename: str | None = None) -> tuple[str, Json]:
    """The format of what *url* says or points to, and the source."""
    if url.startswith("s3://"):
        return _by_ending(filename or url, formats), {"s3Location": {"uri": url}}
    match = _DATA.match(url)
    if match is None:
        raise Unsayable(NO_FETCH)
    kind, data = match[1].lower(), url[match.end() :]
    format_ = formats.get(kind) or _by_ending(filename or "", formats)
    if ";base64" in match[2].lower():
        return format_, {"bytes": _padded(data)}
    return format_, {"bytes": b64encode(unquote_to_bytes(data)).decode()}


def _by_ending(name: str, formats: dict[str, str]) -> str:
    ending = name.rpartition(".")[2].lower()
    ending = ENDINGS.get(ending, ending)
    if ending not in formats.values():
        raise Unsayable(NO_FORMAT)
    return ending


def _padded(data: str) -> str:
    """*data* as strict base64: browsers leave out the padding, and clients break lines."""
    if len(data) % 4 == 0 and "\n" not in data and "%" not in data and "-" not in data and "_" not in data:
        return data
    plain = "".join(unquote_to_bytes(data).decode("latin-1").split()).replace("-", "+").replace("_", "/")
    plain = plain.rstrip("=")
    plain += "=" * (-len(plain) % 4)
    try:
        b64decode(plain, validate=True)
    except (NotBase64, ValueError) as error:
        raise Unsayable("its data is not base64") from error
    return plain
