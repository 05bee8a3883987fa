"""Choices of an upstream, made what the client's dialect promises, in place: for answers that are relayed.

Reasoning goes under its common name; tool calls get their index, their id and their arguments as text (U38); finish
reasons become ours, the upstream's own word beside them. What a choice holds beyond that stays as it came.
"""

from typing import Any

import msgspec
from msgspec import Raw

from trunkline.dialects.common.lenient_json import arguments_text, decode_value
from trunkline.dialects.interfaces import Identity, Outcome
from trunkline.dialects.openai_chat.response_decoder import finish_reason, inside, which
from trunkline.dialects.openai_chat.response_encoder import call_id
from trunkline.dialects.openai_chat.response_state import ToolCall, ToolCalls
from trunkline.model.errors import UpstreamGarbled

PLAIN = frozenset({"role", "content", "refusal"})
"""Keys of a delta or message that need no mending while their values are text or null."""
_REASONS: dict[bytes, str | None] = {b"null": None, b'""': None} | {
    b'"%s"' % word.encode(): word for word in ("stop", "length", "tool_calls", "content_filter")
}
"""Finish reasons on the wire that are both ours and the upstream's word."""

_raw = msgspec.json.Decoder(dict[str, Raw])


class Calls:
    """Makes the tool calls of one choice well-formed: an index from 0, a unique id, arguments as text (U38)."""

    __slots__ = ("_calls", "_identity", "_ids")

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._calls = ToolCalls()
        self._ids: set[str] = set()

    def mend(self, found: dict[str, Any]) -> tuple[Any, int]:
        """*found*, an entry of `tool_calls`, as it must look to the client; and the size of its arguments."""
        kind, inner = inside(found)
        told = inner.get("name")
        name = told if isinstance(told, str) else ""
        known = len(self._calls)
        call = which(self._calls, found, name)
        fresh = call.number == known
        found["index"] = call.number
        if fresh:
            self._open(found, call, kind)
        else:
            found.pop("id", None)
        if not call.take_name(name):
            inner.pop("name", None)
        if fresh:
            inner["name"] = name
        key = "input" if kind == "custom" else "arguments"
        if fresh or inner.get(key) is not None:
            inner[key] = arguments_text(inner.get(key))
        if inner.get(key):
            call.part = call.number
        if inner or fresh:
            found[kind] = inner
        return found, size(inner.get(key))

    def _open(self, found: dict[str, Any], call: ToolCall, kind: str) -> None:
        if not call.id or call.id in self._ids:
            found["id"] = call_id(self._identity, call.number)
        self._ids.add(found["id"])
        if not isinstance(found.get("type"), str):
            found["type"] = kind


NEVER_NULL = frozenset({"tool_calls", "function_call", "audio", "images", "annotations", "reasoning_details"})
"""Keys that are there with a value or not at all; vLLM and others send null for nothing."""


def size(said: Any) -> int:
    """Bytes of *said* where it is text, else 0."""
    if not isinstance(said, str):
        return 0
    return len(said) if said.isascii() else len(said.encode("utf-8", "replace"))


class Fixer:
    """Makes choices of chunks and bodies what the client's dialect promises."""

    __slots__ = ("_calls", "_ended", "_identity", "complete", "failed", "outcome", "reason")

    def __init__(self, identity: Identity, outcome: Outcome) -> None:
        self._identity = identity
        self._calls: dict[int, Calls] = {}
        self.outcome = outcome
        self.complete: dict[int, bool] = {}
        self._ended = 0
        """Choices that have ended: how many of `complete` are true."""
        self.failed = False
        """What is being read carries an error: that is what ends the answer, whatever finish reason is beside it."""
        self.reason: tuple[Any, Any] = (None, None)

    def choice(self, raw: dict[str, Raw], at: int, key: str) -> tuple[dict[str, Any] | None, bool]:
        """One choice and whether it says something: *key* is `delta` or `message`.

        None where the choice had ended before: the first finish reason wins, and nothing after it is the model's.
        """
        plain = self._plain(raw, key)
        if plain is not None:
            return plain
        choice: dict[str, Any] = dict(raw)
        index = decode_value(raw["index"]) if "index" in raw else at
        number = index if isinstance(index, int) else at
        choice["index"] = number
        if self.complete.setdefault(number, False):
            return None, False
        piece = self._said(choice, key)
        content = self._piece(piece, number) if piece else False
        choice[key] = piece
        native = decode_value(raw["finish_reason"]) if "finish_reason" in raw and not self.failed else None
        reason: str | None = finish_reason(native)
        told = decode_value(raw["native_finish_reason"]) if "native_finish_reason" in raw else None
        if reason is not None:
            native = told if isinstance(told, str) else native
            self.complete[number] = True
            self._ended += 1
            self.outcome.finish_reason, self.outcome.native_finish_reason = reason, native
            reason = native if native == "function_call" else reason
            if not number or self.reason[0] is None:  # the usage chunk repeats it for choice 0
                self.reason = (reason, native)
        choice["finish_reason"] = reason
        choice["native_finish_reason"] = native if reason is not None else None
        return choice, content

    def _plain(self, raw: dict[str, Raw], key: str) -> tuple[dict[str, Any] | None, bool] | None:
        """As `choice`, for the first choice where it says nothing that must be mended; None where it is not so.

        Its strings stay as they are on the wire: nothing of the text is decoded.
        """
        reason, index, piece = raw.get("finish_reason"), raw.get("index"), raw.get(key)
        if reason is None or index is None or piece is None or self.failed or "native_finish_reason" in raw:
            return None
        word = bytes(reason)
        if word not in _REASONS or bytes(index) != b"0" or bytes(piece)[:1] != b"{":
            return None
        told = _REASONS[word]
        fields: dict[str, Any] = _raw.decode(piece)
        if not fields.keys() <= PLAIN:
            return None
        length = 0
        for name in ("content", "refusal"):
            said = bytes(fields.get(name, b"null"))
            if said[:1] == b'"':
                length += len(said) - 2
            elif said != b"null":
                return None
        if self.complete.get(0):
            return None, False
        choice: dict[str, Any] = dict(raw)
        choice[key] = fields
        choice["finish_reason"] = choice["native_finish_reason"] = told
        self.complete[0] = told is not None
        self._ended += told is not None
        self.outcome.content_bytes += length
        if told is not None:
            self.outcome.finish_reason = self.outcome.native_finish_reason = told
            self.reason = (told, told)
        return choice, length > 0

    def _said(self, choice: dict[str, Any], key: str) -> dict[str, Any]:
        """The choice's delta or message, under whichever name it came; a completion's text is one too."""
        for name in (key, "message" if key == "delta" else "delta"):
            piece = decode_value(choice[name]) if name in choice else None
            if isinstance(piece, dict):
                if name != key:
                    del choice[name]
                return piece
            if piece is not None:
                raise UpstreamGarbled("the provider sent a delta that is not an object")
        text = decode_value(choice["text"]) if "text" in choice else None
        if not isinstance(text, str):
            return {}
        del choice["text"]
        return {"content": text}

    def _piece(self, piece: dict[str, Any], number: int) -> bool:
        """Mend a delta or message in place; say whether there is content in it."""
        for key in NEVER_NULL.intersection(piece):
            if piece[key] is None:
                del piece[key]
        thought = piece.get("reasoning_content")
        if isinstance(thought, str) and not piece.get("reasoning"):
            piece["reasoning"] = thought
        if isinstance(piece.get("content"), list):
            _flatten(piece)
        self._mend_calls(piece, number)
        reasoning = piece.get("reasoning")
        details = piece.get("reasoning_details")
        if isinstance(details, list) and details:
            told = [detail.get("text") or detail.get("summary") for detail in details if isinstance(detail, dict)]
            self.outcome.content_bytes += sum(map(size, told))
            words = "".join(text for text in told if isinstance(text, str))
            if words and not reasoning:
                piece["reasoning"] = words
        elif isinstance(reasoning, str) and reasoning:
            piece["reasoning_details"] = [
                {"type": "reasoning.text", "format": "unknown", "index": 0, "text": reasoning}
            ]
            self.outcome.content_bytes += size(reasoning)
        self.outcome.content_bytes += size(piece.get("content")) + size(piece.get("refusal"))
        return any(said for key, said in piece.items() if key != "role")

    def _mend_calls(self, piece: dict[str, Any], number: int) -> None:
        calls = piece.get("tool_calls")
        if isinstance(calls, list):
            mender = self._calls.get(number)
            if mender is None:
                mender = self._calls[number] = Calls(self._identity)
            mended = [mender.mend(call) for call in calls if isinstance(call, dict)]
            piece["tool_calls"] = [call for call, _ in mended]
            self.outcome.content_bytes += sum(length for _, length in mended)
        legacy = piece.get("function_call")
        if isinstance(legacy, dict) and legacy.get("arguments") is not None:
            legacy["arguments"] = arguments_text(legacy["arguments"])
            self.outcome.content_bytes += size(legacy["arguments"])

    @property
    def done(self) -> bool:
        """Whether every choice that began has ended, and one has."""
        return bool(self.complete) and self._ended == len(self.complete)


def _flatten(piece: dict[str, Any]) -> None:
    """Content as a list (Mistral's thinking blocks) becomes the text and the reasoning that clients read.

    Blocks of a kind we do not know stay, in a list.
    """
    text, thought = "", ""
    blocks: list[Any] = []
    known = True
    for block in piece["content"]:
        match block:
            case {"type": "thinking", "thinking": list(inner)}:
                thought += "".join(
                    item["text"] for item in inner if isinstance(item, dict) and isinstance(item.get("text"), str)
                )
                continue
            case {"type": "thinking", "thinking": str(words)}:
                thought += words
                continue
            case {"type": "text", "text": str(words)}:
                text += words
            case _:
                known = False
        blocks.append(block)
    piece["content"] = text if known else blocks
    if thought and not piece.get("reasoning"):
        piece["reasoning"] = thought
