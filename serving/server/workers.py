"""Several processes that answer on one socket, forked from one that waits: whoever dies is replaced.

The parent holds the program and what the workers read in memory, and starts no thread: a fork copies only the
thread that forks, so a lock that another one holds would stay held for ever. Nothing but memory and the
listening socket is handed down. A worker whose parent is gone ends by itself.
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

__all__ = ["Patience", "Supervisor", "can_fork"]

_HEARD = (signal.SIGINT, signal.SIGTERM)
_log = get_logger(__name__)


def can_fork() -> bool:
    """Whether workers can be forked here; macOS can, but its own libraries do not survive it."""
    return hasattr(os, "fork") and sys.platform != "darwin"


@dataclass(frozen=True)
class Patience:
    """In seconds: the pause before a replacement doubles from `first` to `longest` while workers die young.

    steady    a worker that lived so long is not one that dies young
    deaths    so many in a row, all of them young, and the place is left empty
    drain     so long workers may take to end
    """

    first: float = 0.5
    longest: float = 30.0
    steady: float = 60.0
    deaths: int = 10
    drain: float = 30.0


@dataclass
class _Place:
    """Of one worker and its successors; `due` says when the next one is to start, while there is none."""

    number: int
    due: float | None = 0.0
    process: ForkProcess | None = None
    ready: Connection | None = None
    since: float = 0.0
    deaths: int = 0

    def end(self) -> None:
        if self.process is not None:
            self.process.close()
        if self.ready is not None:
            self.ready.close()
        self.process = self.ready = None


class Supervisor:
    """Keeps `count` workers at work until SIGINT or SIGTERM.

    work : runs in a worker until it is told to end by SIGTERM; calls what it is given once it answers.
    """

    def __init__(
        self, count: int, work: Callable[[Callable[[], None]], None], patience: Patience | None = None
    ) -> None:
        self._work, self._patience = work, patience or Patience()
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._wake: tuple[int, int] = (-1, -1)
        self._signals: list[int] = []
        self._answered = False
        self._ending = False

    def run(self) -> None:
        """Inside `hearing`: returns when all workers have ended after a signal.

        Raises Unavailable when the first ones cannot start, or the last place had to be left empty; no
        process is left behind in any case.
        """
        # what is in memory now lives as long as the process: looking it over would only copy its pages
        gc.collect()
        gc.freeze()
        try:
            while not self._signals:
                self._start_the_due()
                self._wait()
                self._note_the_ready()
                self._note_the_dead()
        finally:
            self._drain()

    # --- one round -----------------------------------------------------------------------------------

    def _start_the_due(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if place.due is not None and place.due <= now:
                self._start(place)

    def _start(self, place: _Place) -> None:
        context = multiprocessing.get_context("fork")
        place.due, place.since = None, time.monotonic()
        place.ready, tell = context.Pipe(duplex=False)
        process = context.Process(target=self._child, args=(tell,), name=f"worker {place.number}")
        # a signal between the fork and the child's first words must not run the parent's handlers in it
        held = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        try:
            process.start()
        except OSError as error:
            _log.error("a worker cannot be forked", worker=place.number, error=str(error))
            self._lost(place)
        else:
            place.process = process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            tell.close()

    def _child(self, tell: Connection) -> None:
        signal.set_wakeup_fd(-1)
        for number in _HEARD:
            signal.signal(number, signal.SIG_DFL)
        for end in self._wake:
            os.close(end)
        for place in self._places:
            if place.ready is not None:
                place.ready.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        self._work(lambda: tell.send_bytes(b"."))

    def _wait(self, until: float | None = None) -> None:
        """Until a worker speaks or dies, a signal comes, or something is due."""
        moments = [place.due for place in self._places if place.due is not None]
        if until is not None:
            moments.append(until)
        timeout = max(0.0, min(moments) - time.monotonic()) if moments else None
        awaited: list[Connection | int] = [self._wake[0]]
        for place in self._places:
            if place.process is not None:
                awaited.append(place.process.sentinel)
            if place.ready is not None:
                awaited.append(place.ready)
        if self._wake[0] in wait(awaited, timeout):
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake[0], 1024)

    def _note_the_ready(self) -> None:
        for place in self._places:
            if place.ready is None or not place.ready.poll():
                continue
            with contextlib.suppress(EOFError, OSError):  # it died first: its end is noted next
                place.ready.recv_bytes()
                assert place.process is not None
                self._answered = True
                _log.info("a worker answers", worker=place.number, pid=place.process.pid)
            place.ready.close()
            place.ready = None

    def _note_the_dead(self) -> None:
        for place in self._places:
            process = place.process
            if process is None or process.is_alive():
                continue
            if not self._ending:
                _log.error(
                    "a worker ended unexpectedly",
                    worker=place.number,
                    pid=process.pid,
                    how=_how(process.exitcode),
                )
            place.end()
            if not self._ending:
                self._lost(place)

    def _lost(self, place: _Place) -> None:
        if not self._answered:  # what keeps the first ones from starting would keep all others
            raise Unavailable("the API could not start; the lines above say why")
        now, patience = time.monotonic(), self._patience
        place.deaths = 1 if now - place.since >= patience.steady else place.deaths + 1
        if place.deaths < patience.deaths:
            pause = min(patience.longest, patience.first * 2.0 ** (place.deaths - 1))
            place.due = now + pause
            _log.info("a worker will be replaced", worker=place.number, seconds=pause)
            return
        _log.error("a worker died too often and is not replaced", worker=place.number, deaths=place.deaths)
        if all(one.process is None and one.due is None for one in self._places):
            raise Unavailable("no worker is left, all died too often; the lines above say how")

    # --- the end -------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Tell the workers to end and wait for them; whoever takes too long is killed."""
        until: float | None = time.monotonic() + self._patience.drain
        for place in self._places:
            place.due = None
        self._ending = True
        self._tell(signal.SIGTERM)
        heard = len(self._signals)
        while any(place.process is not None for place in self._places):
            self._wait(until)
            self._note_the_ready()
            self._note_the_dead()
            if len(self._signals) > max(1, heard):  # somebody is in a hurry
                heard = len(self._signals)
                self._tell(signal.SIGINT)
            if until is not None and time.monotonic() >= until:
                until = None
                _log.warning("workers are killed: they did not end in time")
                self._tell(signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.process is not None and place.process.pid is not None and place.process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(place.process.pid, number)

    @contextlib.contextmanager
    def hearing(self) -> Iterator[None]:
        """Inside, signals are noted and end the waiting; one that comes before `run` ends it at once."""
        self._wake = os.pipe()
        for end in self._wake:
            os.set_blocking(end, False)
        before = {number: signal.signal(number, self._hear) for number in _HEARD}
        woken = signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in self._wake:
                os.close(end)

    def _hear(self, number: int, _: FrameType | None) -> None:
        self._signals.append(number)


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
