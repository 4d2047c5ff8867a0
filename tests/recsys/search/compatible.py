"""Servers that speak Elasticsearch's language, started for the tests. Neither is Elasticsearch.

noida-db : answers the official client as it is; lax on mappings.
osmem-server : like OpenSearch, strict on mappings; its answers lack the header that the official client asks
    for, and it does not know the client's media types, so a node class rewrites both.
"""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

SERVERS = ("noida-db", "osmem-server")


@contextmanager
def running(name: str, folder: Path) -> Iterator[str]:
    """The address of a server, which ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if name == "noida-db":
        pytest.importorskip("noida_db")
        binary = files("noida_db").joinpath("noida-db")
        options = ["start", "--only", "elasticsearch", "--elasticsearch-port", str(port)]
        options += ["--data-dir", str(folder)]
    else:
        pytest.importorskip("osmem_server")
        binary = files("osmem_server").joinpath("bin", "osmem-server")
        options = ["-addr", f"127.0.0.1:{port}", "-no-ja"]
    process = subprocess.Popen(
        [str(binary), *options],
        cwd=folder,
        # osmem-server ends when its stdin closes
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process)
        yield url
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
        process.wait(10)


def client(name: str, url: str) -> Any:
    """The official client, fit for this server."""
    from elastic_transport import HttpHeaders, Urllib3HttpNode
    from elasticsearch import Elasticsearch

    class Rewriting(Urllib3HttpNode):
        def perform_request(self, method: str, target: str, **others: Any) -> Any:
            headers = HttpHeaders(others.pop("headers", None) or {})
            for header in ("accept", "content-type"):
                if header in headers:
                    plain = "x-ndjson" if "ndjson" in headers[header] else "json"
                    headers[header] = f"application/{plain}"
            answer = super().perform_request(method, target, headers=headers, **others)
            told = HttpHeaders(answer.meta.headers)
            told["x-elastic-product"] = "Elasticsearch"
            return type(answer)(dataclasses.replace(answer.meta, headers=told), answer.body)

    node = Rewriting if name == "osmem-server" else Urllib3HttpNode
    return Elasticsearch(url, node_class=node, request_timeout=10)


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, "the server ended while it started"
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not start within 10 seconds")
