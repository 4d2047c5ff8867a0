"""The process beside the API that relays, consumes and does periodic jobs, for a shop on one machine.

Refreshing a list takes as much processor time as a hundred answers. In a thread of the API it would hold the
lock of the interpreter; in a process of lower priority it takes what answers leave.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from recsys import log
from recsys.cache import client as cache
from recsys.database.session import dispose_engines
from recsys.events import in_process
from recsys.log import get_logger
from recsys.observation.tracing import tracing
from recsys.settings import get_settings
from recsys.write_buffer import drain
from serving.batch.refresh import load_ahead
from serving.server.workers import can_fork, describe_exit

__all__ = ["background_process"]

NICENESS = 5
FIRST_DELAY, MAX_DELAY = 1.0, 30.0
"""Seconds before a process that ended is replaced; the delay doubles with each early end."""
STABLE_SECONDS = 60.0
DRAIN_SECONDS = 15.0
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
_log = get_logger(__name__)


@contextlib.contextmanager
def background_process(listener: socket.socket) -> Iterator[None]:
    """Keep the process running inside the block; at the end it finishes what it began.

    Enter it before this process starts a thread: the first one is forked, which costs no imports.

    Parameters
    ----------
    listener
        The socket of the API, which the process must not keep open.
    """
    # a connection must not be shared by processes
    dispose_engines()
    cache.close()
    first = _start("fork", listener) if can_fork() else _start("spawn")
    stopped, stop = multiprocessing.Pipe(duplex=False)
    keeper = threading.Thread(target=_keep, args=(first, stopped), name="background process", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.close()
        keeper.join()
        stopped.close()


def _start(method: str, listener: socket.socket | None = None) -> BaseProcess:
    process: BaseProcess = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
        target=_work, args=(listener,), name="background"
    )
    # a signal right after the fork must not run the handlers of the API
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
    return process


def _keep(process: BaseProcess, stopped: Connection) -> None:
    """Replace a process that ended, until `stopped` is readable; then end it."""
    delay, started_at = FIRST_DELAY, time.monotonic()
    while stopped not in wait([process.sentinel, stopped]):
        process.join()
        delay = FIRST_DELAY if time.monotonic() - started_at > STABLE_SECONDS else min(MAX_DELAY, 2 * delay)
        _log.error(
            "the background process ended and is replaced; events and queued posts wait meanwhile",
            reason=describe_exit(process.exitcode),
            seconds=delay,
        )
        if wait([stopped], delay):
            return
        # not forked: a lock that another thread holds at that moment would never be released in the child
        process, started_at = _start("spawn"), time.monotonic()
    process.terminate()
    process.join(DRAIN_SECONDS)
    if process.is_alive():
        _log.warning("the background process did not finish in time; its work is repeated elsewhere")
        process.kill()
        process.join()


def _work(listener: socket.socket | None) -> None:
    """Work until SIGTERM, or until the API is gone."""
    if listener is not None:
        listener.close()
    log.configure(get_settings().log_level)
    parent = multiprocessing.parent_process()
    assert parent is not None
    with in_process.stopped_by_signals() as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the API too, which then ends this
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        os.nice(NICENESS)
        with tracing("background"), in_process.working({"intake": drain.run, "model": load_ahead}):
            while not stop.is_set() and not wait([parent.sentinel], 0.5):
                pass
