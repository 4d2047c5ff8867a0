"""The server of one process, in this one or in a worker that was forked from it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import platform
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from recsys.cache import client as cache
from recsys.database.session import dispose_engines
from recsys.log import get_logger
from serving.server.app import create_app
from serving.state.refresher import Refresher

__all__ = ["ApiServer", "answer", "configuration", "prepare"]

_log = get_logger(__name__)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_prepared: list[uvicorn.Config] = []


def configuration(app: object, workers: int = 1) -> uvicorn.Config:
    """How uvicorn is to run an application, or the factory of one that is named."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=isinstance(app, str),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="on",
        workers=workers,
        timeout_graceful_shutdown=10,
    )


def prepare() -> None:
    """Make what all workers share, before the first is forked. Raises Unavailable.

    The program, the application and the products are shared. The model is not loaded here: its files are
    mapped by each worker and shared by the page cache, and an algorithm may start threads as it is loaded.
    """
    _one_heap()
    refresher = Refresher()
    refresher.prepare_to_fork()
    config = configuration(create_app(refresher))
    config.load()
    # a connection that two processes write to is lost to both
    dispose_engines()
    cache.close()
    _prepared[:] = [config]


def _one_heap() -> None:
    """Have glibc give back what is not in use, instead of keeping it for each thread of each worker.

    Its threshold for memory of its own grows with use if it is not set; see mallopt(3). Other C libraries
    have no such function, or other habits, and are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 2**17), (_TRIM_THRESHOLD, 2**17)):
        mallopt(option, value)


def _give_back() -> None:
    """Return to the system what loading a model took and no longer needs; see malloc_trim(3)."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def answer(listener: socket.socket, ready: Callable[[], None]) -> None:
    """What a worker does, from the fork until SIGTERM: answer requests that come to `listener`."""
    ApiServer(_prepared[-1], ready).run(sockets=[listener])


class ApiServer(uvicorn.Server):
    """Calls `ready` once it answers; as a worker, ends with its parent.

    uvicorn raises the signal again once it has shut down; here a clean end is a success.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Fill the application's state, and listen."""
        await super().startup(sockets)
        if self._ready is not None:
            _give_back()
            self._ready()
        parent = multiprocessing.parent_process()
        if parent is not None:
            asyncio.get_running_loop().add_reader(parent.sentinel, self._orphaned, parent.sentinel)

    def _orphaned(self, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        _log.error("the process that watches this worker is gone; it ends as well")
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Inside, SIGINT and SIGTERM end the server."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
