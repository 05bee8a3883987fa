"""One endpoint, asked once: the encoded request, its credential, the response, and what converts it for the client.

An attempt begins in one of two ways and goes on in the same steps:

    prepare ─▶ begin (the transport's callbacks drive it, no task)   ─▶ on_chunk … ─▶ close
    prepare ─▶ send, receive (a task waits for head and body)        ─▶ on_chunk … ─▶ close

`begin` serves what most attempts are: an idle connection, and a whole answer with status 200. Whatever else comes is
taken up by `send` and `receive`, from where it stands.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, cast

from trunkline.dialects.common.signatures import restore
from trunkline.dialects.interfaces import Converter, Encoded, Identity, Outcome, Relay, Upstream
from trunkline.dialects.translation import Translation
from trunkline.engine.context import Context, EngineContext
from trunkline.engine.event_path import EventPath
from trunkline.engine.intents import BYTES_PER_TOKEN, LEAST_BYTES_PER_TOKEN, parent_part
from trunkline.engine.targets import Kind, Target
from trunkline.engine.unrecorded import unrecorded
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError, UpstreamTimeout, UpstreamTruncated, stripped
from trunkline.model.loss import Loss
from trunkline.ports import Response, Timeouts
from trunkline.providers.provider import Credential
from trunkline.routing.requirements import count_images

MAX_ERROR_BYTES = 64 * 1024
"""Of an error's body that is read."""

_NOTHING = Outcome()


class Caller(Protocol):
    """The generation that an attempt is made for."""

    engine: EngineContext
    ctx: Context

    @property
    def events(self) -> EventPath | None:
        """Where the events of all attempts and steps go; None where each attempt's answer is converted by itself."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the client has its answer, or its error."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client has gone away."""
        ...

    def on_output(self, attempt: "Attempt", out: bytes) -> None:
        """*out* may go to the client, or (`attempt.converter.ended`) the answer is complete."""
        ...


class Attempt:
    """One endpoint, asked once."""

    __slots__ = (
        "_caller",
        "_encoded",
        "_progress",
        "_start",
        "_tried",
        "begun_at",
        "cause",
        "converter",
        "credential",
        "endpoint",
        "losses",
        "progress_at",
        "relay",
        "request_bytes",
        "response",
        "target",
    )

    def __init__(self, caller: Caller, endpoint: Endpoint, tried: tuple[str, ...] = ()) -> None:
        """An attempt at *endpoint* for *caller*, with a credential whose id is not in *tried*."""
        self._caller = caller
        self.endpoint = endpoint
        self._tried = tried
        self.target: Target | None = None
        self.credential: Credential | None = None
        self.losses: tuple[Loss, ...] = ()
        """Of the request."""
        self.relay: Relay | None = None
        """What passes the answer on untranslated; None where it is translated."""
        self.request_bytes = 0
        self.begun_at = caller.engine.clock.monotonic()
        self.response: Response | None = None
        """While one is under way."""
        self.converter: Converter | None = None
        """None until the first bytes tell what the body is."""
        self.cause: TrunklineError | None = None
        """Why the gateway broke the attempt off, if it did."""
        self.progress_at = 0.0
        """When the request was sent, or content last came; monotonic seconds."""
        self._progress = (0, 0)
        self._encoded: Encoded | None = None
        """Prepared, and not yet sent."""
        self._start = b""

    # What the generation asks.

    @property
    def way(self) -> str:
        """`relay` or `translate`."""
        return "relay" if self.relay is not None else "translate"

    @property
    def outcome(self) -> Outcome:
        """What is known of the answer so far."""
        return _NOTHING if self.converter is None else self.converter.outcome

    @property
    def committed(self) -> bool:
        """Whether the client has content of this attempt, so that no other endpoint can be asked."""
        return self.converter is not None and self.converter.committed

    @property
    def identity(self) -> Identity:
        """What the answer says of itself."""
        ctx, endpoint = self._caller.ctx, self.endpoint
        return Identity(
            id=ctx.id,
            model=endpoint.model,
            provider=endpoint.provider_name,
            created=int(ctx.created),
            prompt_tokens=self.request_bytes // BYTES_PER_TOKEN,
        )

    @property
    def images(self) -> int | None:
        """The number of images in the request; None where it cannot be read. For endpoints with a price of each."""
        ctx = self._caller.ctx
        if ctx.call.request is None and not any(b"image" in bytes(raw) for raw in ctx.call.envelope.values()):
            return 0
        try:
            return count_images(ctx.request().messages)
        except TrunklineError as error:
            stripped(error)
            return None

    # The request.

    def prepare(self) -> None:
        """Encode the request, and pick a credential.

        Raises:
            TrunklineError: the endpoint's dialect cannot express the request, or every credential rests.
        """
        caller, endpoint = self._caller, self.endpoint
        engine, ctx = caller.engine, caller.ctx
        provider = engine.providers[endpoint.provider]
        target = self.target = engine.targets.of(endpoint, provider, ctx.client.name)
        encoded = self._encoded = self._encode(target)
        self.request_bytes = len(encoded.body)
        self.losses = encoded.losses if ctx.preset is None else (*ctx.preset.losses, *encoded.losses)
        self.credential = engine.credentials.pick(provider, endpoint.upstream_model, self._tried)

    def _encode(self, target: Target) -> Encoded:
        """The request in the target's dialect: the client's own bytes where both speak one and no stage changed it."""
        caller = self._caller
        engine, ctx = caller.engine, caller.ctx
        relay = engine.relays.get((ctx.client.name, target.dialect.name))
        if caller.events is not None:
            relay = None
        self.relay = relay
        changed = ctx.call.request
        if relay is not None:
            if changed is None:
                return relay.request(ctx.call, target.endpoint, target.quirks)
            return target.dialect.encode(changed, target.endpoint, target.quirks)
        request = restore(ctx.request(), partial(engine.signatures.find, ctx.key.id))
        return target.dialect.encode(request, target.endpoint, target.quirks)

    # The response.

    def begin(self, timeouts: Timeouts, on_end: Callable[[bool], None]) -> bool:
        """Send the request and receive the answer without a task, if the transport can do so at once.

        *on_end* is called as `DirectTransport.begin` says. False: nothing was sent.

        Raises:
            TrunklineError: as `prepare`.
        """
        self.prepare()
        target, credential, encoded = self.target, self.credential, self._encoded
        assert target is not None
        assert credential is not None
        assert encoded is not None
        if credential.auth == "google":  # a token may have to be fetched
            return False
        engine = self._caller.engine
        request = target.request(credential, encoded, timeouts, self._kind())
        self._write_intent(target)
        self.progress_at = engine.clock.monotonic()
        self.response = engine.transport.begin(request, self.on_chunk, on_end)
        if self.response is None:
            return False
        self._encoded = None
        return True

    def _write_intent(self, target: Target) -> None:
        """Note in the journal that the request is about to be sent, for the case that the process is killed.

        Raises:
            Overloaded: the journal cannot be written.
        """
        ctx, journal = self._caller.ctx, self._caller.engine.journal
        before = ctx.intent
        try:
            ctx.intent = journal.begin(self._intent(ctx, target))
        except OSError as problem:
            raise unrecorded(problem) from problem
        if before >= 0:
            journal.end(before)

    def _intent(self, ctx: Context, target: Target) -> bytes:
        """A `model.Intent` as JSON. It is written for each request, so only what differs is encoded here."""
        call = ctx.call
        output = (call.max_output or self.endpoint.max_output or 0) * call.choices
        parent = "" if ctx.parent is None else parent_part(ctx.parent.id, ctx.parent.purpose)
        return (
            f'{{"id":"{ctx.id}","created":{ctx.created!r},"key_id":"{ctx.key.id}","api_type":"{ctx.client.name}",'
            f'"streamed":{"true" if call.stream else "false"},"tokens":{self.request_bytes // BYTES_PER_TOKEN},'
            f'"bound":{ctx.body_bytes // LEAST_BYTES_PER_TOKEN},"output":{output}{parent}{target.intent_part}'
        ).encode()

    def send(self, timeouts: Timeouts) -> Awaitable[Response]:
        """The head of the answer: of the call that `begin` made, or of one that is sent now.

        Raises:
            TrunklineError: as `prepare`; when awaited, as `Transport.send`.
        """
        transport = self._caller.engine.transport
        if self.response is not None:
            return transport.headed(self.response)
        if self._encoded is None:
            self.prepare()
        target, credential, encoded, self._encoded = self.target, self.credential, self._encoded, None
        assert target is not None
        assert credential is not None
        assert encoded is not None
        self._write_intent(target)
        return target.send(transport, credential, encoded, timeouts, self._kind())

    async def receive(self, response: Response, trouble: Exception | None = None) -> None:
        """Convert the body of *response*, to the end of the answer.

        *trouble* is what went wrong at the end of an answer that `begin` received: it is raised here.

        Raises:
            TrunklineError: the answer is an error, or has no proper end.
        """
        self.response = response
        self.progress_at = self._caller.engine.clock.monotonic()
        try:
            if self.cause is not None:
                response.abort()
                raise self.cause
            if response.status != 200:
                raise await self._refusal(response)
            if trouble is not None:
                raise trouble
            await response.pump(self.on_chunk)
        except UpstreamTruncated as error:
            raise self.cause or error from None
        if not self._caller.finished and (self.converter is None or not self.converter.ended):
            self.close()

    async def _refusal(self, response: Response) -> TrunklineError:
        """What a status other than 200 means. The body matters less than the status, so half of one will do."""
        assert self.target is not None
        try:
            body = await response.read(MAX_ERROR_BYTES)
        except TrunklineError as error:
            stripped(error)
            body = b""
        dialect: Upstream = self.target.dialect
        return dialect.error(response.status, response.headers, body, self._caller.engine.clock.now())

    def on_chunk(self, chunk: bytes) -> None:
        """A slice of the upstream's body came; called from the transport's reader."""
        caller = self._caller
        if caller.finished:
            return
        converter = self.converter
        if converter is None:
            self._start += chunk
            assert self.target is not None
            sse = self.target.dialect.streamed(self._start)
            if sse is None:
                self._start = self._start.lstrip()
                return
            converter = self.converter = self._make_converter(sse=sse)
            chunk, self._start = self._start, b""
        out = converter.feed(chunk)
        if out or converter.ended:
            caller.on_output(self, out)

    def close(self) -> None:
        """The upstream's body has ended.

        Raises:
            UpstreamTruncated: the answer has not.
            UpstreamFailed: there is nothing in it.
        """
        converter = self.converter
        if converter is None:
            raise UpstreamTruncated("the provider sent an empty answer")
        out = converter.close()
        assert converter.ended, "close raises where the end was not seen"
        self._caller.on_output(self, out)

    def _make_converter(self, *, sse: bool) -> Converter:
        caller, target, identity = self._caller, self.target, self.identity
        assert target is not None
        ctx = caller.ctx
        if self.relay is not None:
            return self.relay.converter(ctx.call, identity, sse=sse)
        decoder = target.dialect.decoder(sse=sse)
        if caller.events is not None:
            encoder = caller.events.encoder_for(identity)
            return Translation(decoder, encoder, streamed=ctx.call.stream, call=ctx.call, shared=True)
        encoder = ctx.client.encoder(ctx.call, identity)
        return Translation(decoder, encoder, streamed=ctx.call.stream, call=ctx.call)

    def _kind(self) -> Kind:
        return "stream" if self._caller.ctx.call.stream else "body"

    def detach(self) -> None:
        """Let go of the generation, whose step holds this attempt. What is known of the answer stays."""
        self._caller = cast("Caller", None)

    # How it ends before its end.

    def abort(self, error: TrunklineError) -> bool:
        """Break off for *error*, which is raised to whoever waits. False where nothing is under way yet."""
        self.cause = error
        if self.response is None:
            return False
        self.response.abort()
        return True

    def check_progress(self, now: float) -> None:
        """Abort if no content came for too long. Bytes without content (pings, comments, blanks) do not count."""
        if self.response is None or self.cause is not None:
            return
        limits = self._caller.engine.timeouts
        outcome = self.outcome
        progress = (outcome.content_bytes, outcome.pieces)
        if progress != self._progress:
            self._progress, self.progress_at = progress, now
        elif progress == (0, 0):
            if now - self.progress_at > limits.first_content_s:
                self.abort(UpstreamTimeout(f"no content within {limits.first_content_s:g} s", maybe_billed=True))
        elif now - self.progress_at > limits.content_idle_s:
            self.abort(UpstreamTimeout(f"no content for {limits.content_idle_s:g} s", maybe_billed=True))
