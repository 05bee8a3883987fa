"""The head that a client sends with every request of a connection, read once.

Clients that keep a connection send one head again and again, and only the body's length differs. A `Head` is what the
parser made of such a head. Bytes that are the same, but for the digits of that length, and a body of just that length
behind them, mean the same: they need not be parsed again. Whatever differs in one byte is the parser's.
"""

import re

from msgspec import Struct

from trunkline.pipeline.context import Told

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})\r\n", re.IGNORECASE)
_SPECIAL = (b"transfer-encoding", b"upgrade", b"expect")
"""Headers after which a body is read in a way of its own."""


class Head(Struct):
    """A head of HTTP/1.1: the bytes around the digits of its length, and what it says; `fields` without that length."""

    before: bytes
    after: bytes
    path: bytes
    query: bytes
    fields: dict[bytes, bytes]
    told: Told | None = None
    """What the fields tell, once somebody has read them."""

    def body_at(self, data: bytes) -> int:
        """Where the body begins, if *data* is one request with this head and a body; else 0."""
        before, after = self.before, self.after
        if not data.startswith(before):
            return 0
        start = len(before)
        end = data.find(b"\r", start, start + 19)
        if end < 0 or not data.startswith(after, end):
            return 0
        digits, at = data[start:end], end + len(after)
        return at if len(data) > at and digits.isdigit() and int(digits) == len(data) - at else 0


def learn(data: bytes, path: bytes, query: bytes, fields: dict[bytes, bytes]) -> Head | None:
    """The head of *data*, which the parser took for one whole request that says this; None where it is not so plain."""
    end = data.find(b"\r\n\r\n") + 4
    head = data[:end]
    length = _LENGTH.search(head)
    if length is None or int(length[1]) != len(data) - end or head.count(b"\n") != head.count(b"\r\n"):
        return None
    if any(name in fields for name in _SPECIAL):
        return None
    said = {name: value for name, value in fields.items() if name != b"content-length"}
    return Head(head[: length.start(1)], head[length.end(1) :], path, query, said)
