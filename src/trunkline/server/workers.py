"""Worker processes that serve on one shared socket.

The parent does not serve. It starts its workers, restarts those that die, and forwards signals: SIGHUP to all workers,
SIGTERM and SIGINT as SIGTERM, a second SIGINT as SIGINT (do not wait for running responses). It closes its own handle
of the socket before it stops the workers, so that the system refuses connections that nobody would accept. Each worker
is a session of its own, because a terminal sends interrupts to all processes of a session. A worker whose parent has
died exits.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

RESTART_S = 1.0
"""The minimum time between two starts of a worker that dies."""
GRACE_S = 5.0
"""The time after `end_s` before a worker is killed."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = logging.getLogger(__name__)

Work = Callable[[socket.socket], None]


class Workers:
    """Runs *work* with *listener* in *count* processes, which get *end_s* seconds to end. Call `run` once."""

    def __init__(self, count: int, work: Work, listener: socket.socket, *, end_s: float) -> None:
        self._count = count
        self._work = work
        self._listener = listener
        self._end_s = end_s
        self._processes: list[BaseProcess] = []
        self._started_at: dict[BaseProcess, float] = {}
        self._ending = False

    def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        woken, wake = socket.socketpair()
        woken.setblocking(False)
        wake.setblocking(False)
        before = {number: signal.signal(number, _ignore_signal) for number in SIGNALS}
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            self._processes = [self._start() for _ in range(self._count)]
            while not self._ending:
                for number in self._wait_for_signals(woken, [process.sentinel for process in self._processes]):
                    self._on_signal(number)
                if not self._ending:
                    self._restart_dead()
            return self._shut_down(woken)
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            woken.close()
            wake.close()

    def _start(self) -> BaseProcess:
        process = get_context("spawn").Process(target=_run_worker, args=(self._work, self._listener))
        process.start()
        self._started_at[process] = time.monotonic()
        return process

    def _wait_for_signals(self, woken: socket.socket, sentinels: list[int], limit_s: float | None = None) -> bytes:
        """Wait for a signal or for the end of a worker; returns the received signals."""
        wait([woken, *sentinels], limit_s)
        try:
            return woken.recv(64)
        except BlockingIOError:
            return b""

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._signal_all(signal.SIGHUP)
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._ending = True

    def _signal_all(self, number: int) -> None:
        for process in self._processes:
            if process.exitcode is None and process.pid is not None:
                os.kill(process.pid, number)

    def _restart_dead(self) -> None:
        """Restart workers that died."""
        for at, process in enumerate(self._processes):
            if process.exitcode is None:
                continue
            logger.error("worker %s ended with exit code %s and is restarted", process.pid, process.exitcode)
            time.sleep(max(0.0, self._started_at.pop(process) + RESTART_S - time.monotonic()))
            process.close()
            self._processes[at] = self._start()

    def _shut_down(self, woken: socket.socket) -> int:
        self._listener.close()
        self._signal_all(signal.SIGTERM)
        limit = time.monotonic() + self._end_s + GRACE_S
        while left := [process for process in self._processes if process.exitcode is None]:
            rest = limit - time.monotonic()
            if rest <= 0:
                for process in left:
                    logger.error("worker %s did not end in time and is killed", process.pid)
                    process.kill()
                    process.join()
                break
            if signal.SIGINT in self._wait_for_signals(woken, [process.sentinel for process in left], rest):
                self._signal_all(signal.SIGINT)
        # A worker that was still starting is ended by the signal itself.
        return 0 if all(process.exitcode in (0, -signal.SIGTERM) for process in self._processes) else 1


def _ignore_signal(*_: object) -> None:
    """A handler that does nothing: the wake-up descriptor reports the signal."""


def _run_worker(work: Work, listener: socket.socket) -> None:
    """The main function of a worker process."""
    os.setsid()
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    work(listener)


def _exit_with_parent() -> None:
    """Exit when the parent process has died."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
