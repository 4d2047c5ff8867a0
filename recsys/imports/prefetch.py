"""Prepares the next batch while the database works on this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")


def ahead(batches: Iterable[T]) -> Iterator[T]:
    """The same items in the same order, each made in a thread while the caller uses the one before.

    At most one item waits, so memory holds two. What the iterable raises is raised at its place.
    """
    source = iter(batches)
    end = object()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="import-ahead") as worker:
        coming = worker.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = worker.submit(next, source, end)
            yield item  # type: ignore[misc]
