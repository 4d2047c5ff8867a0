"""The HTTP server of one process: this one, or a forked worker."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from recsys.cache import client as cache
from recsys.database.session import dispose_engines
from recsys.log import get_logger
from recsys.processes.heap import trim_heap, use_one_heap
from serving.server.app import create_app
from serving.state.refresher import Refresher

__all__ = ["ApiServer", "prepare_workers", "run_worker", "server_config"]

_log = get_logger(__name__)
_prepared: list[uvicorn.Config] = []


def server_config(app: object, workers: int = 1) -> uvicorn.Config:
    """Return the configuration of uvicorn for an application, or for the name of its factory."""
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


def prepare_workers() -> None:
    """Load what all workers share, before the first is forked.

    The program, the application and the catalogue are shared. The model is not loaded here: each worker maps
    its files, which the page cache shares, and loading an algorithm may start threads.

    Raises
    ------
    Unavailable
        PostgreSQL is away.
    """
    use_one_heap()
    refresher = Refresher()
    refresher.prepare_to_fork()
    config = server_config(create_app(refresher))
    config.load()
    # a connection must not be shared by processes
    dispose_engines()
    cache.close()
    _prepared[:] = [config]


def run_worker(listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve requests of `listener` in a worker, until SIGTERM."""
    ApiServer(_prepared[-1], ready).run(sockets=[listener])


class ApiServer(uvicorn.Server):
    """A server that calls `ready` once it serves; as a worker, it ends with its parent.

    uvicorn raises the signal again after shutting down; here a clean shutdown is a success.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the application's state, and listen."""
        await super().startup(sockets)
        if self._ready is not None:
            trim_heap()
            self._ready()
        parent = multiprocessing.parent_process()
        if parent is not None:
            asyncio.get_running_loop().add_reader(parent.sentinel, self._orphaned, parent.sentinel)

    def _orphaned(self, sentinel: int) -> None:
        asyncio.get_running_loop().remove_reader(sentinel)
        _log.error("the supervisor of this worker is gone; the worker ends, too")
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Within the block, SIGINT and SIGTERM stop the server."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous_handlers = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in previous_handlers.items():
                signal.signal(number, handler)
