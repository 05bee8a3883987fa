"""A chat answer, given again. Every chunk names id and time, so most of a stream is told by its chunks' beginnings."""

from trunkline.dialects.common.replay import Fields, decode_fields, encode_fields, map_data, map_frames, replace_fields

CHOICES = b'"choices":'
USAGE, METADATA = b'"usage"', b'"openrouter_metadata"'
"""What only the last chunks have."""


def replay(body: bytes, id_: str, created: int, *, stream: bool) -> bytes:
    """As `Client.replay`."""
    if stream:
        return map_frames(body, _Chunks(id_, created).one)
    return encode_fields(replace_fields(decode_fields(body), id=id_, created=created))


class _Chunks:
    """Chunks, one after the other. `_before` is how the last one began, `_ours` how it begins now."""

    def __init__(self, id_: str, created: int) -> None:
        self._id = id_
        self._created = created
        self._before = b""
        self._ours = b""

    def one(self, block: bytes) -> bytes:
        """*block* with our id and time."""
        if block == b"data: [DONE]":
            return block
        before = self._before
        if before and block.startswith(before) and USAGE not in block and METADATA not in block:
            return self._ours + block[len(before) :]
        out = map_data(block, self._put)
        self._learn(block, out)
        return out

    def _put(self, fields: Fields) -> Fields:
        return replace_fields(fields, id=self._id, created=self._created)

    def _learn(self, block: bytes, out: bytes) -> None:
        """Take note of how *block* begins, if all of its beginning is what stands before the choices."""
        before, found, _ = block.partition(CHOICES)
        ours, put_, _ = out.partition(CHOICES)
        self._before = b""
        if not (found and put_) or USAGE in before or METADATA in before:
            return
        try:
            fields = decode_fields(before.removeprefix(b"data: ") + b'"choices":0}')
        except ValueError:
            return
        if {"id", "created"} <= fields.keys():
            self._before, self._ours = before + found, ours + put_
