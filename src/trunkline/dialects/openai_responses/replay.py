"""A response, given again. The frames at both ends of a stream hold all of it; those between name only items."""

from functools import partial

from msgspec import Raw

from trunkline.dialects.common.replay import Fields, decode_fields, encode_fields, map_data, map_frames, replace_fields
from trunkline.dialects.openai_responses.response_echo import null

WHOLE = b'"response":{'
"""What frames with the response in them hold; text cannot, since its quotes are escaped."""


def replay(body: bytes, id_: str, created: int, *, stream: bool) -> bytes:
    """As `Client.replay`. It is begun and completed at *created*."""
    if stream:
        return map_frames(body, partial(_frame, id_, created))
    return encode_fields(_put(id_, created, decode_fields(body)))


def _frame(id_: str, created: int, block: bytes) -> bytes:
    return map_data(block, partial(_within, id_, created)) if WHOLE in block else block


def _within(id_: str, created: int, fields: Fields) -> Fields:
    if "response" in fields:
        fields["response"] = _put(id_, created, decode_fields(fields["response"]))
    return fields


def _put(id_: str, created: int, response: Fields) -> Fields:
    ended: Raw | None = response.get("completed_at")
    times = {"created_at": created} if null(ended) else {"created_at": created, "completed_at": created}
    return replace_fields(response, id=id_, **times)
