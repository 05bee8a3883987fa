"""Frames that are alike but for one string, and how they are passed on without being decoded. See `relay`."""

import re
from itertools import takewhile

_PLAIN = re.compile(rb"[ !#-\[\]-~]*").fullmatch
"""Most text: nothing in it that JSON escapes, and no letter beyond ASCII."""
_STRING = re.compile(rb'(?:[^"\\]|\\.)*').match
_INSIDE = re.compile(rb'(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*').fullmatch
"""What may stand between the quotes of a JSON string."""


class Template:
    """How frames with text look, before and after the text: at the upstream and at ours.

    What follows the text may end with one more string that changes, OpenAI's padding; `padded` is what follows that.
    """

    __slots__ = ("_after", "_before", "_new_after", "_new_before", "_padded")

    def __init__(self, before: bytes, after: bytes, new_before: bytes, new_after: bytes) -> None:
        self._before = before
        self._new_before = new_before
        self._padded = b""
        cut = after.find(b'"obfuscation":"')
        if cut >= 0:
            end = after.index(b'"', cut + 15)
            after, self._padded = after[: cut + 15], after[end:]
            if self._padded != b'"}\n\n':
                after = b"\0"  # the padding does not stand last: nothing is like this template
        self._after = after
        self._new_after = new_after

    def one(self, frame: bytes) -> bytes:
        """*frame* as ours, or nothing where it is not like the template."""
        if not frame.startswith(self._before):
            return b""
        start = len(self._before)
        if self._padded:
            end = frame.rfind(self._after, start)
            if end < 0 or b'"' in frame[end + len(self._after) : -5] or not frame.endswith(self._padded):
                return b""
        elif frame.endswith(self._after):
            end = len(frame) - len(self._after)
        else:
            return b""
        text = frame[start:end]
        if not _is_text(text):
            return b""
        return self._new_before + text + self._new_after

    @property
    def size(self) -> int:
        """Bytes of one of our frames beside its text."""
        return len(self._new_before) + len(self._new_after)

    def run(self, blocks: bytes, start: int) -> tuple[bytes, int, int]:
        """The frames of *blocks* from *start* on that are like the template, as ours; their number, and their end."""
        if self._padded:
            return self._run_padded(blocks, start)
        before, after = self._before, self._after
        if not blocks.startswith(before, start):
            return b"", 0, start
        # Where one frame of a run ends and the next begins is the same bytes each time. To walk from quote to quote
        # costs a tenth of searching for those bytes.
        between = after + before
        width, find, alike = len(between), blocks.find, blocks.startswith
        texts: list[bytes] = []
        at = start + len(before)
        while True:
            end = find(b'"', at)
            if not alike(between, end) or end < 0:
                end = _inside_at(blocks, at)  # the last frame of the run, or a text with an escaped quote
                if not alike(between, end):
                    break
            texts.append(blocks[at:end])
            at = end + width
        if alike(after, end):
            texts.append(blocks[at:end])
            at = end + width
        said = b"".join(texts)
        if _PLAIN(said) is None:
            texts = list(takewhile(_is_text, texts))
            said = b"".join(texts)
        if not texts:
            return b"", 0, start
        ours = (self._new_after + self._new_before).join(texts)
        ours = b"%s%s%s" % (self._new_before, ours, self._new_after)
        return ours, len(texts), start + len(said) + len(texts) * width

    def _run_padded(self, blocks: bytes, start: int) -> tuple[bytes, int, int]:
        out: list[bytes] = []
        one = self.one
        while (end := blocks.find(b"\n\n", start)) >= 0:
            ours = one(blocks[start : end + 2])
            if not ours:
                break
            out.append(ours)
            start = end + 2
        return b"".join(out), len(out), start


def _inside_at(blocks: bytes, at: int) -> int:
    """Where the inside of a JSON string that begins at *at* ends."""
    found = _STRING(blocks, at)
    return at if found is None else found.end()


def _is_text(text: bytes) -> bool:
    return _PLAIN(text) is not None or _is_inside(text)


def _is_inside(text: bytes) -> bool:
    if _INSIDE(text) is None:
        return False
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def learn(written: bytes, ours: bytes, text: bytes) -> Template | None:
    """The template that two spellings of one frame teach, both with the JSON string *text* as content.

    None where that stands in either of them more than once, or differently.
    """
    mine = b'"content":' + text
    theirs = mine if mine in written else b'"content": ' + text
    before, found, after = written.partition(theirs)
    new_before, put, new_after = ours.partition(mine)
    if not found or not put or theirs in after or mine in new_after:
        return None
    head = theirs[: 1 - len(text)]
    return Template(before + head, b'"' + after, new_before + b'"content":"', b'"' + new_after)
