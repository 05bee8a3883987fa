"""Translation between dialects: a decoder of the upstream's, an encoder of the client's, and events between them."""

from typing import Any

from msgspec.structs import replace

from trunkline.dialects.common.signatures import Collector, Thoughts
from trunkline.dialects.common.tool_renaming import client_names
from trunkline.dialects.common.tool_validation import ToolCallCheck, offered_names
from trunkline.dialects.interfaces import Call, Decoder, Encoder, Outcome
from trunkline.model.errors import TrunklineError, UpstreamFailed
from trunkline.model.events import ChoiceEnded, Delta, Event, Finished, PartStarted, Reported, Started
from trunkline.model.usage import Cost, Usage

AT_ONCE = frozenset({"tool_call", "server_tool_call", "server_tool_result", "image"})
"""Kinds of parts whose start already counts as content."""


class Translation:
    """A `Converter` over events. *call*: whose tools are called by the client's names, whatever the upstream says.

    A *shared* encoder serves several attempts one after another. It must not see the events of an attempt that fails
    and is followed by another one, so it gets them from the commit point on: at the first content of a stream, and at
    the end of a JSON body.
    """

    __slots__ = (
        "_call",
        "_calls",
        "_collector",
        "_committed",
        "_decoder",
        "_encoder",
        "_ended",
        "_held",
        "_names",
        "_out",
        "_reported",
        "_streamed",
        "outcome",
    )

    def __init__(
        self, decoder: Decoder, encoder: Encoder, *, streamed: bool, call: Call | None = None, shared: bool = False
    ) -> None:
        self.outcome = Outcome()
        self._decoder = decoder
        self._encoder = encoder
        self._streamed = streamed
        self._call = call
        self._names: dict[str, str] | None = None
        changed = call is not None and call.request is not None  # its tools need not be the envelope's
        self._calls = ToolCallCheck() if call is not None and "tools" in call.envelope and not changed else None
        self._collector = Collector()
        self._held: list[Event] | None = [] if shared else None
        """Events that wait for the commit point; None where the encoder may have them at once."""
        self._out: list[bytes] = []
        self._committed = False
        self._ended = False
        self._reported = False
        """Whether usage was reported after the start of the answer."""

    @property
    def committed(self) -> bool:
        """As `Converter.committed`. A JSON body is never committed before its end."""
        return self._committed and self._streamed

    @property
    def ended(self) -> bool:
        """As `Converter.ended`."""
        return self._ended

    @property
    def thoughts(self) -> dict[str, Thoughts]:
        """The signed reasoning so far, by the id of the tool call that followed it."""
        return self._collector.found

    def feed(self, chunk: bytes) -> bytes:
        """As `Converter.feed`."""
        for event in self._decoder.feed(chunk):
            self._on(event)
        return self._take()

    def close(self) -> bytes:
        """As `Converter.close`."""
        for event in self._decoder.close():
            self._on(event)
        if not self._committed:
            raise UpstreamFailed("the provider sent an empty answer")
        return self._take()

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """As `Converter.finish`."""
        return self._encoder.finish(usage, cost, metadata)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Converter.fail`; output that was ready before the error comes first."""
        return self._take() + self._encoder.fail(error, usage, cost)

    def _take(self) -> bytes:
        if not self._committed or not self._out:
            return b""
        out = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out = []
        return out

    def _named(self, part: PartStarted, call: Call) -> PartStarted:
        """Return *part*, a tool call, with the client's name of the tool. The names are decoded once."""
        if self._names is None:
            self._names = client_names(call.envelope)
        name = self._names.get(part.name or "")
        return part if name is None else replace(part, name=name)

    def _on(self, event: Event) -> None:
        outcome = self.outcome
        match event:
            case Delta(text=text, citations=citations):
                if citations:
                    outcome.pieces += 1
                    self._committed = True
                if self._collector.open:
                    self._collector.delta(event)
                if self._calls is not None:
                    self._calls.delta(event.index, text)
                if text:
                    outcome.content_bytes += len(text) if text.isascii() else len(text.encode())
                    self._committed = True
            case PartStarted(kind=kind, extra=extra, item=item):
                if kind in AT_ONCE or (kind == "opaque" and (item is not None or any(extra.values()))):
                    self._committed = True
                if kind == "tool_call" and self._call is not None:
                    event = self._named(event, self._call)
                    if self._calls is not None:
                        self._calls.part(event)
                self._collector.part(event)
            case Started(id=id_, usage=usage):
                outcome.upstream_id = id_ or None
                outcome.usage = usage
            case Reported(usage=usage, final=final):
                outcome.usage, outcome.usage_final, self._reported = usage, final, True
            case ChoiceEnded(reason=reason, native=native):
                outcome.finish_reason, outcome.native_finish_reason = reason, native
                if reason == "error" and not self._committed:
                    raise UpstreamFailed("the provider ended its answer with an error")
                self._committed = True
            case Finished():
                self._ended = True
                outcome.usage_final = self._reported
                if self._calls is not None and self._call is not None:
                    outcome.tools_valid = self._calls.valid(offered_names(self._call.envelope["tools"]))
            case _:
                pass
        if self._held is not None:
            self._held.append(event)
            if not (self._ended or (self._committed and self._streamed)):
                return
            held, self._held = self._held, None
            self._out += filter(None, map(self._encoder.encode, held))
        else:
            out = self._encoder.encode(event)
            if out:
                self._out.append(out)
        if self._ended:
            outcome.losses = self._encoder.losses
