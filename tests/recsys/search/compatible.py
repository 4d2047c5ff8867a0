"""noida-db, a small server that answers the official client of Elasticsearch; it is not Elasticsearch.

It is lax on mappings, so what a server refuses is tested on a real OpenSearch node.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

__all__ = ["running"]


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a server, which keeps its data in `folder` and ends with the block."""
    pytest.importorskip("noida_db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["start", "--only", "elasticsearch", "--elasticsearch-port", str(port)]
    process = subprocess.Popen(
        [str(files("noida_db").joinpath("noida-db")), *options, "--data-dir", str(folder)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, "the server ended while it started"
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not start within 10 seconds")
