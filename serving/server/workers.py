"""The supervisor of worker processes: forks workers that share one socket, and replaces dead ones.

The parent loads the program and the data that workers share, and starts no thread: a fork copies only the
thread that forks, so a lock that another thread holds would never be released. Workers inherit memory and the
listening socket only. A worker whose parent is gone ends by itself.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import FrameType

from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.web.shared_metrics import forget_process

__all__ = ["RestartPolicy", "Supervisor", "can_fork", "describe_exit"]

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_log = get_logger(__name__)


def can_fork() -> bool:
    """Whether workers can be forked; not on macOS, whose system libraries do not survive a fork."""
    return hasattr(os, "fork") and sys.platform != "darwin"


@dataclass(frozen=True)
class RestartPolicy:
    """When dead workers are replaced, in seconds.

    Attributes
    ----------
    initial_delay
        Pause before the first replacement; it doubles with each early death.
    max_delay
        The longest pause.
    stable_seconds
        A worker that ran for this long did not die early.
    max_deaths
        Early deaths in a row after which a worker is not replaced.
    drain_seconds
        Time that workers may take to end.
    """

    initial_delay: float = 0.5
    max_delay: float = 30.0
    stable_seconds: float = 60.0
    max_deaths: int = 10
    drain_seconds: float = 30.0


@dataclass
class _WorkerSlot:
    """One worker and its replacements.

    Attributes
    ----------
    start_at
        When to start the next one; None while one runs.
    """

    number: int
    start_at: float | None = 0.0
    process: ForkProcess | None = None
    ready: Connection | None = None
    started_at: float = 0.0
    deaths: int = 0

    def end(self) -> None:
        if self.process is not None:
            self.process.close()
        if self.ready is not None:
            self.ready.close()
        self.process = self.ready = None


class Supervisor:
    """Keeps `count` workers running until SIGINT or SIGTERM.

    Attributes
    ----------
    work
        Runs in a worker until SIGTERM; calls its argument once it serves.
    policy
        When dead workers are replaced; default: `RestartPolicy()`.
    """

    def __init__(
        self, count: int, work: Callable[[Callable[[], None]], None], policy: RestartPolicy | None = None
    ) -> None:
        self._work, self._policy = work, policy or RestartPolicy()
        self._slots = [_WorkerSlot(number) for number in range(1, count + 1)]
        self._wake: tuple[int, int] = (-1, -1)
        self._signals: list[int] = []
        self._any_ready = False
        self._ending = False

    def run(self) -> None:
        """Run within `handling_signals`; returns when all workers have ended after a signal.

        Raises
        ------
        Unavailable
            The first workers cannot start, or no worker is left; no process remains in any case.
        """
        # objects of now live as long as the process: garbage collection would only copy their pages
        gc.collect()
        gc.freeze()
        try:
            while not self._signals:
                self._start_due()
                self._wait()
                self._note_ready()
                self._note_dead()
        finally:
            self._drain()

    # --- one round -----------------------------------------------------------------------------------

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.start_at is not None and slot.start_at <= now:
                self._start(slot)

    def _start(self, slot: _WorkerSlot) -> None:
        context = multiprocessing.get_context("fork")
        slot.start_at, slot.started_at = None, time.monotonic()
        slot.ready, send_ready = context.Pipe(duplex=False)
        process = context.Process(target=self._child, args=(send_ready,), name=f"worker {slot.number}")
        # a signal right after the fork must not run the parent's handlers in the child
        previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            process.start()
        except OSError as error:
            _log.error("a worker cannot be forked", worker=slot.number, error=str(error))
            self._schedule_replacement(slot)
        else:
            slot.process = process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
            send_ready.close()

    def _child(self, send_ready: Connection) -> None:
        signal.set_wakeup_fd(-1)
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for end in self._wake:
            os.close(end)
        for slot in self._slots:
            if slot.ready is not None:
                slot.ready.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        self._work(lambda: send_ready.send_bytes(b"."))

    def _wait(self, deadline: float | None = None) -> None:
        """Wait until a worker is ready or dies, a signal comes, or a start is due."""
        times = [slot.start_at for slot in self._slots if slot.start_at is not None]
        if deadline is not None:
            times.append(deadline)
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        wait_for: list[Connection | int] = [self._wake[0]]
        for slot in self._slots:
            if slot.process is not None:
                wait_for.append(slot.process.sentinel)
            if slot.ready is not None:
                wait_for.append(slot.ready)
        if self._wake[0] in wait(wait_for, timeout):
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake[0], 1024)

    def _note_ready(self) -> None:
        for slot in self._slots:
            if slot.ready is None or not slot.ready.poll():
                continue
            with contextlib.suppress(EOFError, OSError):  # it died before: its end is noted next
                slot.ready.recv_bytes()
                assert slot.process is not None
                self._any_ready = True
                _log.info("a worker answers", worker=slot.number, pid=slot.process.pid)
            slot.ready.close()
            slot.ready = None

    def _note_dead(self) -> None:
        for slot in self._slots:
            process = slot.process
            if process is None or process.is_alive():
                continue
            if not self._ending:
                _log.error(
                    "a worker ended unexpectedly",
                    worker=slot.number,
                    pid=process.pid,
                    how=describe_exit(process.exitcode),
                )
            if process.pid is not None:
                forget_process(process.pid)
            slot.end()
            if not self._ending:
                self._schedule_replacement(slot)

    def _schedule_replacement(self, slot: _WorkerSlot) -> None:
        if not self._any_ready:  # what prevents the first workers from starting would prevent all others
            raise Unavailable("the API could not start; the lines above say why")
        now, policy = time.monotonic(), self._policy
        slot.deaths = 1 if now - slot.started_at >= policy.stable_seconds else slot.deaths + 1
        if slot.deaths < policy.max_deaths:
            pause = min(policy.max_delay, policy.initial_delay * 2.0 ** (slot.deaths - 1))
            slot.start_at = now + pause
            _log.info("a worker will be replaced", worker=slot.number, seconds=pause)
            return
        _log.error("a worker died too often and is not replaced", worker=slot.number, deaths=slot.deaths)
        if all(slot.process is None and slot.start_at is None for slot in self._slots):
            raise Unavailable("no worker is left, all died too often; the lines above say how")

    # --- the end -------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Terminate the workers and wait for them; kill those that take too long."""
        deadline: float | None = time.monotonic() + self._policy.drain_seconds
        for slot in self._slots:
            slot.start_at = None
        self._ending = True
        self._signal_workers(signal.SIGTERM)
        handled = len(self._signals)
        while any(slot.process is not None for slot in self._slots):
            self._wait(deadline)
            self._note_ready()
            self._note_dead()
            if len(self._signals) > max(1, handled):  # a second signal: do not wait for open connections
                handled = len(self._signals)
                self._signal_workers(signal.SIGINT)
            if deadline is not None and time.monotonic() >= deadline:
                deadline = None
                _log.warning("workers are killed: they did not end in time")
                self._signal_workers(signal.SIGKILL)

    def _signal_workers(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.process is not None and slot.process.pid is not None and slot.process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.process.pid, number)

    @contextlib.contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Within the block, signals end the wait of `run`; a signal before `run` ends it at once."""
        self._wake = os.pipe()
        for end in self._wake:
            os.set_blocking(end, False)
        previous_handlers = {number: signal.signal(number, self._note_signal) for number in _STOP_SIGNALS}
        previous_fd = signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous_fd)
            for number, handler in previous_handlers.items():
                signal.signal(number, handler)
            for end in self._wake:
                os.close(end)

    def _note_signal(self, number: int, _: FrameType | None) -> None:
        self._signals.append(number)


def describe_exit(code: int | None) -> str:
    """Return the end of a process in words; `code` as `multiprocessing` has it."""
    if code is None or code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
