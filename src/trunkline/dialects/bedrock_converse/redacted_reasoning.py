"""A thought that the provider keeps to itself: bytes in Converse (`redactedContent`), one text in our words.

Claude's are the text that Anthropic itself says (`data`), which is base64; Converse has it in base64 once more. Those
go by that text, and so to Anthropic too. Whatever else the bytes are goes by a mark and the bytes in base64, in no
format that another provider takes. The mark tells the two ways back apart: both texts are base64.

A stream may cut the bytes into pieces, of which none need be base64 text even where the whole is.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence

from trunkline.dialects.common.reasoning import ANTHROPIC

UNKNOWN = "unknown"
MARK = "bedrock:"
"""Not the beginning of any base64."""


def opened(pieces: Sequence[str]) -> tuple[str, str]:
    """The format and the text of the thought whose blobs are *pieces*."""
    blob = pieces[0] if len(pieces) == 1 else _joined(pieces)
    try:
        inner = b64decode(blob, validate=True).decode("ascii")
        b64decode(inner, validate=True)
    except (NotBase64, ValueError):
        return UNKNOWN, MARK + blob
    return ANTHROPIC, inner


def closed(text: str) -> str:
    """The blob of the thought *text*."""
    return text.removeprefix(MARK) if text.startswith(MARK) else b64encode(text.encode()).decode()


def is_ours(format_: str | None, text: str) -> bool:
    """Whether `opened` made this text of what Bedrock sent, though no format tells."""
    return format_ in (None, UNKNOWN) and text.startswith(MARK)


def _joined(pieces: Sequence[str]) -> str:
    try:
        return b64encode(b"".join(b64decode(piece, validate=True) for piece in pieces)).decode()
    except (NotBase64, ValueError):
        return "".join(pieces)
