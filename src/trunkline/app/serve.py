"""Serve until told to stop: listen, make the first key, reload on SIGHUP, finish running requests, close."""

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from trunkline import __version__
from trunkline.app.application import App
from trunkline.app.build import build
from trunkline.app.clock import SystemClock
from trunkline.app.reload import declare_keys, keep_listening, load_again, reload
from trunkline.model.errors import TrunklineError
from trunkline.server.http.protocol import BACKLOG, Connection, ConnectionTimer
from trunkline.server.workers import Workers
from trunkline.settings import ConfigError, Settings, is_loopback
from trunkline.storage.database import DatabaseUnreachable, DatabaseUnusable, open_database
from trunkline.storage.keys import KeyRing
from trunkline.transport.proxy import Proxies

YOUNG_OBJECTS = 20_000
"""New objects between two runs of the garbage collector: some megabytes."""
CLOSE_S = 1.4
"""Seconds after `drain_s` in which the parts close."""
END_S = 1.8
"""Seconds after `drain_s` after which the process ends in any case."""

logger = logging.getLogger(__name__)


class UvicornServer(uvicorn.Server):
    """uvicorn's server; the gateway opens before it listens and closes after the last connection."""

    def __init__(
        self, settings: Settings, *, banner: Callable[[Settings, int], None] | None = None, owns_process: bool = False
    ) -> None:
        config = uvicorn.Config(
            _no_application,
            host=settings.server.host,
            port=settings.server.port,
            loop="uvloop",
            http=self._protocol,  # type: ignore[arg-type]  # any callable with a protocol class's arguments will do
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=None,
        )
        super().__init__(config)
        self._settings = settings
        self._banner = banner
        self._owns_process = owns_process
        """Whether the process ends `END_S` after `drain_s`, whatever hangs."""
        self._ending: threading.Timer | None = None
        self._stack = contextlib.AsyncExitStack()
        self._app: App | None = None
        self._keeper: ConnectionTimer | None = None

    def _protocol(self, **_: Any) -> Connection:
        assert self._app is not None
        return Connection(self._app.server, asyncio.get_running_loop())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, and end the process in any case: a thread that waits for a disk cannot be cancelled."""
        if self._owns_process and self._ending is None:
            app = self._app
            drain_s = (self._settings if app is None else app.settings).server.drain_s
            self._ending = threading.Timer(drain_s + END_S, _end_process)
            self._ending.daemon = True
            self._ending.start()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the gateway, then listen."""
        self._app = app = await self._stack.enter_async_context(build(self._settings))
        self.server_state.connections = app.server.connections  # type: ignore[assignment]  # our own protocol class
        self._keeper = ConnectionTimer(app.server, asyncio.get_running_loop())
        self._keeper.start()
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload, app)
        _tune_garbage_collection()
        await super().startup(sockets=sockets)
        if self._banner is not None and self.started:
            self._banner(self._settings, self._port())

    def _port(self) -> int:
        for server in self.servers:
            for listener in server.sockets:
                return int(listener.getsockname()[1])
        return self._settings.server.port

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, let running requests finish within `drain_s`, flush the journal."""
        app = self._app
        assert app is not None
        app.state.draining = True
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        connections = app.server.connections
        for connection in tuple(connections):
            connection.shutdown()
        limit = app.settings.server.drain_s
        app.closing.deadline = asyncio.get_running_loop().time() + limit + CLOSE_S
        end = time.monotonic() + limit
        while connections and time.monotonic() < end and not self.force_exit:  # noqa: ASYNC110 - uvicorn sets a flag
            await asyncio.sleep(0.05)
        if connections:
            logger.warning("%d requests did not finish within %g s and are aborted", len(connections), limit)
            for connection in tuple(connections):
                connection.cancel()
            end = time.monotonic() + 1.0
            while connections and time.monotonic() < end:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        for connection in tuple(connections):
            connection.abort()
        if self._keeper is not None:
            self._keeper.stop()
        await self._stack.aclose()
        # uvicorn would raise the signal again, and the exit code would be that of a killed process.
        self._captured_signals.clear()


def _tune_garbage_collection() -> None:
    """Exempt all present objects from garbage collection, and collect new ones less often.

    Requests leave no reference cycles, failed ones neither (`model.errors.stripped`), so frequent runs would only
    traverse the records that wait for the database.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


async def _no_application(scope: Any, receive: Any, send: Any) -> None:
    """Uvicorn requires an application; our protocol class never calls it."""
    raise AssertionError(scope, receive, send)


def serve(settings: Settings) -> int:
    """Serve until a signal stops the process; return the exit code."""
    _log_to_stderr()
    if not settings.auth.required and not is_loopback(settings.server.host):
        logger.warning("auth.required is false: every client that can reach %s can spend money", settings.server.host)
    try:
        Proxies.from_environ(os.environ)
        listener = _listen(settings.server.host, settings.server.port)
        secret = asyncio.run(_first_key(settings))
    except (DatabaseUnreachable, TrunklineError) as error:
        print(f"trunkline: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except (DatabaseUnusable, ValueError) as error:
        print(f"trunkline: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:
        where = f"{settings.server.host}:{settings.server.port}"
        print(f"trunkline: cannot listen on {where}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    banner = functools.partial(_print_banner, secret)
    if settings.server.workers == 1:
        server = UvicornServer(settings, banner=banner, owns_process=True)
        try:
            server.run(sockets=[listener])
        except (DatabaseUnusable, TrunklineError) as error:
            print(f"trunkline: {error}", file=sys.stderr)  # noqa: T201
            return 1
        return 0 if server.started else 1
    return _serve_with_workers(settings, banner, listener)


def _listen(host: str, port: int) -> socket.socket:
    """Open the listening socket. This comes before the first key is made: a failed start must not use the key up.

    Raises:
        OSError: the address is in use, or is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


async def _first_key(settings: Settings) -> str | None:
    """Create the database if missing; on the very first start make a key and return its secret."""
    database = await open_database(settings.storage.url, settings.storage.timeout_s)
    try:
        keys = KeyRing(database, SystemClock())
        declare_keys(keys, settings)
        await keys.load()
        return await keys.ensure_first_key()
    finally:
        await database.close()


def _serve_with_workers(settings: Settings, banner: Callable[[Settings, int], None], listener: socket.socket) -> int:
    """Serve with several processes on one socket; a process that dies is started again."""
    banner(settings, int(listener.getsockname()[1]))
    workers = settings.server.workers
    return Workers(workers, functools.partial(_worker, settings), listener, end_s=settings.server.drain_s).run()


def _worker(settings: Settings, listener: socket.socket) -> None:
    """Run one worker process. A restarted one reads the configuration again: it may have been reloaded since."""
    _log_to_stderr()
    try:
        settings = keep_listening(load_again(settings, os.environ), settings)
    except ConfigError as error:
        logger.error("the configuration has an error; the worker starts with that of the first start: %s", error)
    UvicornServer(settings, owns_process=True).run(sockets=[listener])


def _end_process() -> None:
    """End the process now. What is not in the database is in the journal, for the next start."""
    logger.error("the server did not stop in time and ends now")
    logging.shutdown()
    os._exit(1)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for verbose in ("uvicorn", "alembic"):
        logging.getLogger(verbose).setLevel(logging.WARNING)


def _print_banner(secret: str | None, settings: Settings, port: int) -> None:
    """Print the address, the key made on the first start, and a command that works as printed."""
    host = settings.server.host
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    address = f"http://{shown}:{port}"
    lines = [f"Trunkline {__version__} listens on {address}"]
    if secret is not None:
        lines += ["", f"A first key was made; keep it, it is not shown again:  {secret}"]
    header = ""
    if settings.auth.required:
        header = f" \\\n  -H 'Authorization: Bearer {secret or '<your key>'}'"
    body = '{"model": "demo/echo", "stream": true, "messages": [{"role": "user", "content": "Hello, Trunkline!"}]}'
    lines += [
        "",
        "Try it:",
        "",
        f"curl -N {address}/api/v1/chat/completions{header} \\",
        f"  -H 'Content-Type: application/json' -d '{body}'",
        "",
    ]
    if settings.auth.required and secret is None:
        lines += ["(A key for <your key>: trunkline keys create --name me)", ""]
    print("\n".join(lines), flush=True)  # noqa: T201
