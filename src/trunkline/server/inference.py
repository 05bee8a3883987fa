"""The inference routes: from a request's bytes to a plan that is carried out."""

import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from functools import partial
from os import urandom

from msgspec.structs import replace

from trunkline.dialects.interfaces import Client
from trunkline.engine.context import Context, RequestHeaders
from trunkline.engine.generation import Generation
from trunkline.engine.response_headers import id_header
from trunkline.engine.staged_generation import make_generation
from trunkline.ledger.budget import LeaseNeeded
from trunkline.model.errors import Internal, TrunklineError, stripped
from trunkline.model.key import Key
from trunkline.ports import Sink
from trunkline.server import idempotency, request_parsing, response_cache
from trunkline.server.http.exchange import Exchange
from trunkline.server.http.request_headers import IDEMPOTENCY_KEY, request_headers
from trunkline.server.recording_sink import Answering
from trunkline.server.request_admission import accepted, admitted, refuse
from trunkline.server.state import State
from trunkline.storage.idempotency import Entry

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_ALPHABET = bytes.maketrans(b"+/", b"Az")

logger = logging.getLogger(__name__)


class Ids:
    """Makes generations' ids: `gen-<Unix seconds>-<20 letters and digits>`. Source: OpenRouter, "API overview".

    The first two of the letters are the fraction of the second, in 62nds of 62nds, so that ids sort by time: a
    database's index then grows at its end, which makes an insertion a quarter cheaper. The others are 107 random bits;
    the system is asked for those of many at once. A process has its own.
    """

    __slots__ = ("_at", "_letters", "_moment", "_prefix")

    def __init__(self) -> None:
        self._letters = self._prefix = ""
        self._at = 0
        self._moment = -1

    def __call__(self, now: float) -> str:
        """An id of *now*, Unix seconds."""
        moment = int(now * len(_PAIRS))
        if moment != self._moment:
            seconds, part = divmod(moment, len(_PAIRS))
            self._moment, self._prefix = moment, f"gen-{seconds}-{_PAIRS[part]}"
        at = self._at
        if at >= len(self._letters):
            self._letters, at = b64encode(urandom(27 * 128)).translate(_ALPHABET).decode(), 0
        self._at = at + 18
        return self._prefix + self._letters[at : at + 18]


class Inference:
    """One inference route, for clients of one dialect."""

    def __init__(self, state: State, client: Client) -> None:
        self._state = state
        self._client = client

    async def __call__(self, exchange: Exchange) -> None:
        """Answer *exchange*. Errors before acceptance are answered here and counted; later ones by `Generation`."""
        state = self._state
        now = state.clock.now()
        id_ = state.new_id(now)
        state.metrics.in_flight += 1
        try:
            ctx, body = await self._read(exchange, id_, now)
            accept = partial(self._accept_waiting, ctx, exchange)
            make = response_cache.within(state, ctx, body, exchange, accept)
            named = exchange.fields.get(IDEMPOTENCY_KEY)
            if named is None:
                await (await make(exchange)).run()
            else:
                await self._once(ctx, body, exchange, named, make)
        except TrunklineError as error:
            refuse(state, self._client, exchange, id_, error)
        except Exception as error:
            logger.exception("request %s failed", id_)
            stripped(error)
            refuse(state, self._client, exchange, id_, Internal("internal error"))
        finally:
            state.metrics.in_flight -= 1

    def at_once(self, exchange: Exchange) -> bool:
        """As `__call__`, without a task until something has to be waited for; False: it must be called instead.

        The body of *exchange* is whole.
        """
        said = request_headers(exchange)
        if said.waits:
            return False
        state = self._state
        now = state.clock.now()
        id_ = state.new_id(now)
        state.metrics.in_flight += 1
        try:
            begun = state.clock.monotonic()
            key = admitted(state, said)
            body = exchange.complete_body()
            ctx = self._context(said, key, body, id_, now, begun)
            if ctx.preset is not None and ctx.preset.cache_enabled:  # it wants the response cache
                self._ended()
                return False
            try:
                generation = self._accept(ctx, exchange, exchange)
            except LeaseNeeded:  # it has to wait for a part of the key's limit
                self._ended()
                return False
            exchange.task = generation
            generation.start(self._ended)
        except TrunklineError as error:
            self._ended()
            refuse(state, self._client, exchange, id_, error)
        except Exception as error:
            logger.exception("request %s failed", id_)
            stripped(error)
            self._ended()
            refuse(state, self._client, exchange, id_, Internal("internal error"))
        return True

    def _ended(self) -> None:
        self._state.metrics.in_flight -= 1

    async def _read(self, exchange: Exchange, id_: str, now: float) -> tuple[Context, bytes]:
        """Who asks for what, and the body."""
        begun = self._state.clock.monotonic()
        key, body = await accepted(self._state, exchange)
        return self._context(request_headers(exchange), key, body, id_, now, begun), body

    def _context(self, said: RequestHeaders, key: Key, body: bytes, id_: str, now: float, begun: float) -> Context:
        call, preset = request_parsing.parse(self._client, self._state.presets, self._state.preset_owner(key), body)
        if said.betas:
            call = replace(call, betas=said.betas)
        return Context(
            id=id_,
            created=now,
            begun=begun,
            key=key,
            client=self._client,
            call=call,
            body_bytes=len(body) + (0 if preset is None else preset.added_bytes),
            preset=preset,
            session_id=call.session_id or said.session_id,
            headers=said,
        )

    def _accept(self, ctx: Context, exchange: Exchange, sink: Sink) -> Generation:
        """The generation that answers *ctx* on *sink*.

        Raises:
            TrunklineError, LeaseNeeded: as `Generation.accept`.
        """
        generation = make_generation(self._state.engine, ctx, sink)
        generation.accept()
        self._prepare_stream(ctx, exchange)
        return generation

    async def _accept_waiting(self, ctx: Context, exchange: Exchange, sink: Sink) -> Generation:
        """As `_accept`, for a key's limit that other processes share."""
        generation = make_generation(self._state.engine, ctx, sink)
        await generation.accept_waiting()
        self._prepare_stream(ctx, exchange)
        return generation

    def _prepare_stream(self, ctx: Context, exchange: Exchange) -> None:
        if ctx.call.stream:
            exchange.stream_headers = id_header(ctx.id)
            exchange.comment = self._client.keep_alive

    async def _once(
        self, ctx: Context, body: bytes, exchange: Exchange, named: bytes, make: Callable[[Sink], Awaitable[Answering]]
    ) -> None:
        """Answer a request that has an `Idempotency-Key`."""
        state = self._state
        entry = Entry(ctx.key.id, idempotency.key_of(named), ctx.id)
        hashed = idempotency.hash_of(exchange.path, body)
        await idempotency.once(state.idempotency, state.clock, entry, hashed, exchange, make)
