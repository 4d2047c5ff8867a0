"""Columns of many events in blocks, so that what a step needs beside them does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["BLOCK", "blocks"]

BLOCK = 1 << 20


def blocks(size: int) -> Iterator[slice]:
    """Yield slices of `BLOCK` places up to `size`."""
    return (slice(start, min(size, start + BLOCK)) for start in range(0, size, BLOCK))
