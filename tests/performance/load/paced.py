"""Requests at fixed moments, whether the ones before were answered or not (no coordinated omission)."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Sequence

__all__ = ["paced", "post", "summary"]


async def paced(
    url: str, paths: Sequence[str | bytes], rate: float, seconds: float, connections: int = 32
) -> tuple[list[float], int, float]:
    """Send requests at a fixed rate.

    Parameters
    ----------
    paths
        What is asked in turn: paths to GET, or whole requests as bytes (`post`).
    rate
        Requests a second.

    Returns
    -------
    milliseconds : list of float
        Of each request, from its planned start.
    wrong : int
        How many responses were not 200.
    rate : float
        Requests a second that came about.
    """
    host, port = url.removeprefix("http://").split(":")
    waiting: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
    latencies: list[float] = []
    wrong = 0

    async def worker() -> None:
        nonlocal wrong
        reader, writer = await asyncio.open_connection(host, int(port))
        while (one := await waiting.get()) is not None:
            planned, request = one
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            latencies.append((time.perf_counter() - planned) * 1000)
            wrong += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    requests = [
        path if isinstance(path, bytes) else f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        for path in paths
    ]
    workers = [asyncio.create_task(worker()) for _ in range(connections)]
    began = time.perf_counter()
    count = int(rate * seconds)
    for number in range(count):
        planned = began + number / rate
        delay = planned - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        waiting.put_nowait((planned, requests[number % len(requests)]))
    for _ in workers:
        waiting.put_nowait(None)
    await asyncio.gather(*workers)
    return latencies, wrong, count / (time.perf_counter() - began)


def post(path: str, body: object) -> bytes:
    """Return a request with a JSON body."""
    packed = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(packed)}\r\n\r\n".encode() + packed


def summary(measured: tuple[list[float], int, float]) -> str:
    """Say the rate, the quantiles from the planned start, and how many were not answered with 200."""
    latencies, wrong, rate = measured
    cuts = statistics.quantiles(latencies, n=1000)
    return (
        f"{rate:,.0f} requests/s, p50 {cuts[499]:.1f} ms, p99 {cuts[989]:.1f} ms, "
        f"p99.9 {cuts[998]:.1f} ms, {wrong} not 200"
    )
