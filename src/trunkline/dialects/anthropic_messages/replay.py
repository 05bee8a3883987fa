"""A Messages answer, given again. Its first frame has the id, and the first and the last two what it used."""

from functools import partial

from trunkline.dialects.common.replay import Fields, decode_fields, encode_fields, map_data, map_frames, replace_fields

BEGINS = b"event: message_"


def replay(body: bytes, id_: str, created: int, *, stream: bool) -> bytes:
    """As `Client.replay`; this dialect names no time."""
    del created
    if stream:
        return map_frames(body, partial(_frame, id_))
    return encode_fields(replace_fields(decode_fields(body), id=id_))


def _frame(id_: str, block: bytes) -> bytes:
    return map_data(block, partial(_put, id_)) if block.startswith(BEGINS) else block


def _put(id_: str, fields: Fields) -> Fields:
    if "message" in fields:
        fields["message"] = replace_fields(decode_fields(fields["message"]), id=id_)
    return replace_fields(fields)
