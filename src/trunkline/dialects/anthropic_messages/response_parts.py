"""Blocks of a Messages answer from parts.

Source: OpenRouter's OpenAPI document, `MessagesResult` and `MessagesStreamEvents`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from trunkline.dialects.anthropic_messages.citations import encode as encode_citation
from trunkline.dialects.anthropic_messages.citations import promised as promised_citation
from trunkline.dialects.anthropic_messages.vocabulary import SERVER_CALLS
from trunkline.dialects.common.ids import generated_id
from trunkline.dialects.common.lenient_json import text
from trunkline.dialects.common.reasoning import ANTHROPIC, OPENAI, pack
from trunkline.dialects.interfaces import Identity
from trunkline.model.events import Delta, PartStarted
from trunkline.model.loss import Losses

NO_WORD = "Messages has no word for it"
NO_MEDIA = "a Messages answer has no such part"
FREE_TEXT = '{"input":"'
"""What stands before free-form input, which has to be an object here."""
DIRECT = {"type": "direct"}
"""Who calls a tool where nobody said: the model itself."""

PROMISED: dict[str, dict[str, Any]] = {
    "text": {"text": "", "citations": None},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}, "caller": DIRECT},
    "web_search_tool_result": {"caller": DIRECT},
    "web_fetch_tool_result": {"caller": DIRECT},
}
"""A block's type → what it always has, and some providers leave out."""

MAX_CUTS = 16
"""Attempts to read arguments that were cut, each without one more of their last members."""

_any = msgspec.json.Decoder()


def promised(block: dict[str, Any]) -> dict[str, Any]:
    """*block* with what it always has; the same object where it has it."""
    missing = {key: said for key, said in PROMISED.get(text(block.get("type")), {}).items() if key not in block}
    notes = block.get("citations")
    if isinstance(notes, list) and any(isinstance(note, dict) and "file_id" not in note for note in notes):
        missing["citations"] = [promised_citation(note) if isinstance(note, dict) else note for note in notes]
    return {**block, **missing} if missing else block


def arguments(text: str) -> dict[str, Any]:
    """A call's input, which is an object: what *text* holds, as far as it got if it was cut; or the text itself in one.

    Official accumulators make the same of a stream whose arguments were cut: what is only begun is left out.
    """
    if not text:
        return {}
    cut = text
    for _ in range(MAX_CUTS):
        try:
            found = _any.decode(cut)
        except (msgspec.DecodeError, RecursionError, ValueError):
            found = _closed(cut)
        if isinstance(found, dict) and (found or cut is text):
            return found
        if found is not None or not cut:
            break
        cut = cut[: max(cut.rfind(","), 0)]
    return {"input": text}


def _closed(text: str) -> Any:
    """What *text* holds when its open lists and objects are closed and an open string is left out; None for no JSON."""
    stack: list[str] = []
    start = -1
    escaped = False
    for at, letter in enumerate(text):
        if start >= 0:
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = True
            elif letter == '"':
                start = -1
        elif letter == '"':
            start = at
        elif letter in "{[":
            stack.append("}" if letter == "{" else "]")
        elif letter in "}]" and stack:
            stack.pop()
    whole = (text if start < 0 else text[:start]).rstrip().removesuffix(",")
    try:
        return _any.decode(whole + "".join(reversed(stack)))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _beside(block: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """*block* with *extra* beside what it says already: a delta of no known kind may have fields of any name."""
    return {**block, **extra, **block}


class Writer:
    """Writes the blocks of one answer. `same`: the upstream speaks this dialect, and its extras are ours."""

    def __init__(self, identity: Identity, losses: Losses, *, same: bool = False) -> None:
        self._identity = identity
        self._losses = losses
        self._ids: set[str] = set()
        self._calls = 0
        self._custom: set[int] = set()
        """Calls of free-form input that are under way."""
        self.same = same

    def says(self, part: PartStarted) -> bool:
        """Whether the dialect can say *part* at all; if not, that is a loss."""
        if part.choice:
            return False
        if part.kind in ("image", "audio"):
            self._losses.add(part.kind if part.kind == "audio" else "images", NO_MEDIA)
            return False
        if self.same:
            return True
        if part.kind == "opaque":
            said = part.extra if part.item is None else part.item.fields
            self._losses.add(f"opaque.{said.get('type') or next(iter(said), '')}", NO_WORD)
            return False
        if part.kind == "reasoning" and part.form == "server_tool_call":
            self._losses.add("reasoning_details.server_tool_call", NO_WORD)
            return False
        if part.kind == "server_tool_result":
            self._losses.add(f"server_tool_result.{part.name}", "the result of the provider's own tool")
            return False
        return True

    def whole(self, part: PartStarted) -> bool:
        """Whether the block of *part* comes whole at its beginning."""
        return part.kind == "server_tool_result" or (part.kind == "reasoning" and part.form == "encrypted")

    def block(self, part: PartStarted, deltas: Sequence[Delta]) -> dict[str, Any]:
        """The block of *part*, empty; or whole, of all its *deltas*, where `whole` says so."""
        extra = dict(part.extra) if self.same else {}
        if not self.same and part.kind != "opaque":
            self._losses.extra(part.kind, part.extra, NO_WORD, but=("index", "type"))
        match part.kind:
            case "text" | "refusal":
                return _beside({"type": "text", "text": "", "citations": None}, extra)
            case "reasoning" if part.form == "encrypted":
                data = "".join(delta.text for delta in deltas)
                if part.format != ANTHROPIC:
                    data = pack(part.format, part.id, data)
                return {"type": "redacted_thinking", "data": data, **extra}
            case "reasoning":
                return _beside({"type": "thinking", "thinking": "", "signature": ""}, extra)
            case "tool_call":
                return _beside({"type": "tool_use", **self._named(part), "input": {}}, {"caller": DIRECT, **extra})
            case "server_tool_call":
                kind = extra.get("type") if extra.get("type") in SERVER_CALLS else "server_tool_use"
                return _beside({"type": kind, **self._named(part), "input": {}}, extra)
            case _:
                for delta in deltas:
                    extra = {**extra, **(delta.extra or {})}
                return promised(extra)

    def _named(self, part: PartStarted) -> dict[str, Any]:
        id_ = part.id
        if not id_ or id_ in self._ids:
            id_ = generated_id(self._identity.id, "toolu", self._calls)
        self._calls += 1
        self._ids.add(id_)
        if part.form == "custom":
            self._losses.add("tool_use.input", "free-form input stands in an object, under `input`")
        return {"id": id_, "name": part.name or ""}

    def delta(self, part: PartStarted, event: Delta) -> Iterator[dict[str, Any]]:
        """What *event* adds to the open block of *part*."""
        if event.logprobs is not None:
            self._losses.add("logprobs", NO_WORD)
        match part.kind:
            case "text" | "refusal":
                if event.text:
                    yield {"type": "text_delta", "text": event.text}
                for citation in event.citations or ():
                    said = encode_citation(citation, same=self.same)
                    if said is None:
                        self._losses.add(f"citations.{citation.kind}", "Messages cites no such source")
                    else:
                        yield {"type": "citations_delta", "citation": said}
            case "reasoning":
                if event.text:
                    yield {"type": "thinking_delta", "thinking": event.text}
                if event.signature is not None:
                    foreign = part.format not in (ANTHROPIC, None)
                    signature = pack(part.format, part.id, event.signature) if foreign else event.signature
                    yield {"type": "signature_delta", "signature": signature}
            case "tool_call" | "server_tool_call":
                if event.text and part.form == "custom":
                    begun = part.index in self._custom
                    self._custom.add(part.index)
                    text = msgspec.json.encode(event.text).decode()[1:-1]
                    yield {"type": "input_json_delta", "partial_json": text if begun else FREE_TEXT + text}
                elif event.text:
                    yield {"type": "input_json_delta", "partial_json": event.text}
            case _:
                pass
        if self.same and event.native is not None and event.native.kind is not None:
            yield {"type": event.native.kind, **(event.extra or {})}

    def last(self, part: PartStarted, *, said: bool) -> Iterator[dict[str, Any]]:
        """What the block of *part* still needs before it ends; *said*: text of it has come."""
        if part.kind == "reasoning" and part.form == "summary" and part.id:
            # So that it comes back as the item that it is.
            yield {"type": "signature_delta", "signature": pack(part.format or OPENAI, part.id, "")}
        if part.kind == "tool_call" and part.form == "custom":
            begun = part.index in self._custom
            self._custom.discard(part.index)
            yield {"type": "input_json_delta", "partial_json": '"}' if begun else FREE_TEXT + '"}'}
        elif part.kind == "tool_call" and not said:
            yield {"type": "input_json_delta", "partial_json": "{}"}
