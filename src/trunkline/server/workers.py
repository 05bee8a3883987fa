"""Several processes that serve on one socket.

The parent serves nothing. It starts its workers, starts one again that died, and hands signals on: SIGHUP to all of
them, SIGTERM or SIGINT as SIGTERM, a second SIGINT as SIGINT (do not wait for answers under way). Its own handle of the
socket is closed before the workers are told to end, so that the system refuses what nobody would take. Workers are
sessions of their own, for a terminal sends its interrupts to every process of a session; one whose parent is gone ends.
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
"""Between two starts of a worker that dies: not sooner."""
GRACE_S = 5.0
"""Beyond what a worker may take to end, before it is killed."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = logging.getLogger(__name__)

Work = Callable[[socket.socket], None]


class Workers:
    """*count* processes that do *work* with *listener*, told to end within *end_s* seconds. `run` it once."""

    def __init__(self, count: int, work: Work, listener: socket.socket, *, end_s: float) -> None:
        self._count = count
        self._work = work
        self._listener = listener
        self._end_s = end_s
        self._processes: list[BaseProcess] = []
        self._started_at: dict[BaseProcess, float] = {}
        self._ending = False

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
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
        """The signals that came, once one came or a worker ended."""
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
        """Start those again that died."""
        for at, process in enumerate(self._processes):
            if process.exitcode is None:
                continue
            logger.error("worker %s ended with %s and is started again", process.pid, process.exitcode)
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
        # A worker that was about to start knows no better end than the signal's.
        return 0 if all(process.exitcode in (0, -signal.SIGTERM) for process in self._processes) else 1


def _ignore_signal(*_: object) -> None:
    """The wake-up descriptor tells of the signal."""


def _run_worker(work: Work, listener: socket.socket) -> None:
    """A worker's life."""
    os.setsid()
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    work(listener)


def _exit_with_parent() -> None:
    """End where the parent is gone without a word."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
