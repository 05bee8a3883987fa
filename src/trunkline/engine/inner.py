"""Inner calls: model calls that the gateway makes for itself (planner, judge, summarizer, advisor …).

An inner call is a `Generation` like a client's: the same routing, limits, attempts and accounting, with a record of its
own (`parent_id`, `purpose`), charged to the same key. Its client is the gateway: the request needs no decoding, and the
answer is collected as events. It ends with its parent, since its parent's task waits for it.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from trunkline.dialects.common.token_estimate import request_tokens
from trunkline.dialects.interfaces import Call, Identity
from trunkline.engine.context import Context, EngineContext, Parent
from trunkline.model.errors import TrunklineError
from trunkline.model.events import Event
from trunkline.model.loss import Loss
from trunkline.model.preferences import NO_PREFERENCES, Preferences
from trunkline.model.request import Request
from trunkline.model.response import Folder
from trunkline.model.usage import Cost, Usage
from trunkline.ports import JSON, Listener

BYTES_PER_TOKEN = 4
"""Of a request that has no body: what its tokens are counted as, where bytes are asked for."""


class CollectingEncoder:
    """An `Encoder` for the gateway itself: events are put together, and nothing is written."""

    losses: tuple[Loss, ...] = ()

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def encode(self, event: Event) -> bytes:
        """As `Encoder.encode`."""
        self._folder.add(event)
        return b""

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """As `Encoder.finish`."""
        return b""

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Encoder.fail`."""
        return b""


class InnerClient:
    """The gateway as the client of one inner call: a `Client` whose calls carry their request."""

    name = "inner"
    keep_alive = b""
    fields: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.folder = Folder()

    def parse(self, body: bytes) -> Call:
        """An inner call has no body."""
        raise NotImplementedError

    def decode(self, call: Call) -> Request:
        """As `Client.decode`."""
        assert call.request is not None
        return call.request

    def encoder(self, call: Call, identity: Identity) -> CollectingEncoder:
        """As `Client.encoder`: one for each attempt, since a failed one leaves nothing behind."""
        del call, identity
        self.folder = Folder()
        return CollectingEncoder(self.folder)

    def error(self, error: TrunklineError, generation_id: str | None) -> bytes:
        """As `Client.error`: nobody reads it."""
        del error, generation_id
        return b""

    def replay(self, body: bytes, id_: str, created: int, *, stream: bool) -> bytes:
        """An inner call is not cached."""
        raise NotImplementedError

    def counted(self, tokens: int, *, estimated: bool) -> bytes:
        """An inner call counts no tokens."""
        raise NotImplementedError

    def status(self, error: TrunklineError) -> int:
        """As `Client.status`."""
        return error.http_status


class InnerSink:
    """A `Sink` that nobody reads. It is never gone: an inner call is cancelled with its parent's task."""

    listener: Listener | None = None
    started = False
    gone = False

    def start(self, status: int, content_type: bytes, headers: bytes = b"") -> None:
        """As `Sink.start`."""
        self.started = True

    def write(self, data: bytes, *, last: bool = False) -> None:
        """As `Sink.write`."""

    def respond(self, status: int, body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> None:
        """As `Sink.respond`."""
        self.started = True


def context_of(engine: EngineContext, parent: Context, client: InnerClient, request: Request, purpose: str) -> Context:
    """The context of an inner call for *parent*: the same key and session, and its demands on data policy."""
    now = engine.clock.now()
    call = Call(
        envelope={},
        model=request.model,
        max_output=request.max_output,
        preferences=_inherited(parent.call.preferences),
        user=parent.call.user,
        request=request,
    )
    return Context(
        id=engine.new_id(now),
        created=now,
        begun=engine.clock.monotonic(),
        key=parent.key,
        client=client,
        call=call,
        body_bytes=request_tokens(request) * BYTES_PER_TOKEN,
        session_id=parent.session_id,
        parent=Parent(parent.id, purpose),
    )


def _inherited(preferences: Preferences) -> Preferences:
    """What a client demands of everybody who sees its data, inner calls included."""
    demands: Mapping[str, Any] = {"zdr": preferences.zdr, "data_collection": preferences.data_collection}
    return replace(NO_PREFERENCES, **demands) if any(demands.values()) else NO_PREFERENCES


def change_request(ctx: Context, request: Request) -> None:
    """*request* is what *ctx* asks from now on: a stage has changed it, or another step follows."""
    call = ctx.call
    models = call.models if request.model in (None, call.model) else ()
    ctx.call = replace(
        call, request=request, model=request.model or call.model, models=models, max_output=request.max_output
    )  # fmt: skip
    ctx.body_bytes = max(ctx.body_bytes, request_tokens(request) * BYTES_PER_TOKEN)
