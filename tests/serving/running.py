"""Runs an application on a real socket, in a thread of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI


class PromptServer(uvicorn.Server):
    """uvicorn's server, which begins to stop at once: uvicorn looks ten times a second whether it shall."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Serve until `stop`; called when the application has started."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self.on_tick(0)
        self.ready.set()
        await self._stop.wait()

    def stop(self) -> None:
        """Begin to stop; called by another thread."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)


@contextmanager
def running(app: FastAPI, port: int = 0) -> Iterator[httpx.Client]:
    """A client of `app`, which has started; it is stopped at the end. port: 0 for any that is free."""
    listener = socket.create_server(("127.0.0.1", port))
    server = PromptServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))

    def serve() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            server.ready.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        server.ready.wait()
        assert thread.is_alive(), "the application could not start"
        host, port = listener.getsockname()
        # verify=False: reading the certificates of all authorities takes 28 ms, and no address here is https
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=30, verify=False) as client:
            yield client
    finally:
        server.stop()
        thread.join()
        listener.close()
